"""Checking a workspace (`fsck`): that its content is complete and unchanged.

``files``       the files in the workspace's folder
``lmdb_check``  LMDB's own pages, audited in a child process (`lmdb_audit`) before this one maps them
``structure``   counts, index, extents, deadlist, names, journal and counters against each other
``content``     every stored form read and verified

``recounting`` counts references and bytes, ``tracing`` leads from damage to files and versions.  `artstore.repairing`
repairs the damage that a check has found.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Final, NamedTuple

from artstore.checking.content import check_content
from artstore.checking.files import Place, check_files
from artstore.checking.lmdb_check import check_pages
from artstore.checking.report import OnProgress, Problem, Progress, Report, message_of
from artstore.checking.structure import check_structure
from artstore.errors import ArtfsError, DamageError
from artstore.limits import raise_machine_error
from artstore.storage import manifest
from artstore.storage.manifest_folders import read_current

__all__ = ["OnProgress", "Problem", "Progress", "Report", "Result", "check", "examine"]


_UNCHECKED: Final = "records and content were not checked"


class Result(NamedTuple):
    """The report of a check, the nodes whose stored forms are damaged, and whether the workspace opens."""

    report: Report
    damaged: list[int]
    opens: bool


def check(path: Path, *, data: bool = False, progress: OnProgress | None = None) -> Report:
    """Check the workspace at ``path``, which may be in use; with ``data`` also read and verify all content.

    Takes a path, not an open workspace: opening may recreate missing files, and a damaged workspace may not open.
    Changes nothing but a bookmark in the cache folder.  Raises `WorkspaceNotFoundError`, `BusyError`, and
    `UnsupportedError` for a newer format or a read-only file system; all that is wrong is in the report.
    """
    return examine(path, data=data, progress=progress).report


def examine(path: Path, *, data: bool = False, progress: OnProgress | None = None) -> Result:
    """Check the workspace at ``path`` as `check` does; return the report and the input of a repair."""
    workspace = Path(os.path.realpath(path))
    while True:
        report = Report()
        place = check_files(workspace, report)
        if place.manifest is None:
            report.add("unchecked", f"{_UNCHECKED}, because the manifest cannot be opened")
            return Result(report, [], opens=False)
        if check_pages(place.manifest, report, progress):
            damaged = _check_records(workspace, place, data, report, progress)
            return Result(report, damaged, opens=bool(place.uuid))
        if read_current(workspace)[1] == place.manifest.name:  # else a compacted copy took its place meanwhile
            report.add("unchecked", f"{_UNCHECKED}, because LMDB's pages are damaged")
            return Result(report, [], opens=False)


def _check_records(workspace: Path, place: Place, data: bool, report: Report, progress: OnProgress | None) -> list[int]:
    """Check the records of a sound LMDB file; return the nodes whose stored forms are damaged."""
    try:
        with manifest.read(workspace) as transaction:
            recounted = check_structure(workspace, transaction, place, report, progress)
    except Exception as error:
        if isinstance(error, ArtfsError) and not isinstance(error, DamageError):
            raise  # busy, or a file system on which nothing can be opened
        raise_machine_error(error, "the records cannot be checked", but=errno.EIO)
        report.add("unchecked", f"the records could not be read: {message_of(error)}")
        return []
    if not data:
        return []
    damaged = check_content(workspace, place.uuid, recounted, report, progress)
    return sorted({node for nodes in damaged.values() for node in nodes})
