"""Checking a workspace (`fsck`): that all is there, and as it was put.

``files``       what lies in the workspace's folder
``pages``       LMDB's own pages, audited in a child process (``auditing``) before this one maps them
``structure``   counts, index, extents, deadlist, names, journal and counters against each other
``content``     every stored form read and verified

``recounting`` adds up what there is, ``tracing`` leads from damage to files and versions.
"""

from __future__ import annotations

import os
from pathlib import Path

from artstore import manifest
from artstore.checking.content import check_content
from artstore.checking.files import check_files
from artstore.checking.pages import check_pages
from artstore.checking.report import OnProgress, Problem, Progress, Report, said
from artstore.checking.structure import check_structure
from artstore.errors import BusyError

__all__ = ["OnProgress", "Problem", "Progress", "Report", "check"]


def check(path: Path, *, data: bool = False, progress: OnProgress | None = None) -> Report:
    """Check the workspace at ``path``, beside whatever uses it; with ``data`` read and verify all content as well.

    Takes a path, not an open workspace: opening one may make anew what is missing, and a damaged one does not open.
    Changes nothing but a bookmark in the cache folder.  Raises `WorkspaceNotFoundError`, `UnsupportedError` for a newer
    format, and `BusyError`; all else that is wrong is in the report.
    """
    workspace = Path(os.path.realpath(path))
    report = Report()
    place = check_files(workspace, report)
    if place.manifest is None:
        report.add("unchecked", "the records and what they refer to were not checked, for the manifest does not open")
        return report
    if not check_pages(place.manifest, report, progress):
        report.add("unchecked", "the records and what they refer to were not checked, for LMDB's pages are damaged")
        return report
    try:
        with manifest.read(workspace) as transaction:
            found = check_structure(workspace, transaction, place, report, progress)
    except BusyError:
        raise
    except Exception as error:  # a check reports what it meets, whatever that is
        report.add("unchecked", f"the records could not be read: {said(error)}")
        return report
    if data:
        check_content(workspace, place.uuid, found, report, progress)
    return report
