"""Exporting a version: `export` writes the files of a tree into a folder, verified, and deletes nothing.

First the folder is surveyed (``survey``): equal files are left alone and different ones are collected, so that a
refusal names all of them before anything is written.  Then several threads write files (``writing``), each to a
temporary name, and rename them after their content has been hashed: an unverified file never has its final name.

Guarantees:

- A file appears under its name whole and verified, or not at all; an exception leaves no temporary files, and what a
  killed export left is removed by the next one into the same folder (`artstore.temporaries`).
- Folders are never entered through a link (``folders``), so all writes stay inside the destination.
- Memory is bounded: a page of entries of each directory at a time, a window of each file, whatever their sizes.
- No transaction outlives a page or a window.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from artstore.arguments import raw_path
from artstore.errors import DamageError
from artstore.locate import refuse_non_folder
from artstore.progress import Progress
from artstore.queries.exporting.meter import Meter
from artstore.queries.exporting.selection import Selection
from artstore.queries.exporting.survey import Survey
from artstore.queries.exporting.workers import Workers
from artstore.queries.exporting.writing import GetReceipt, RootAttributes, Writing
from artstore.queries.resolving import resolve_recorded, resolve_version, version_of_reference
from artstore.reclaim.leases import Lease
from artstore.store import Store

__all__ = ["GetReceipt", "export", "export_version"]


def export_version(
    store: Store,
    ref: str,
    dest: str | os.PathLike[str],
    *,
    prefix: str | bytes | None = None,
    overwrite: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> GetReceipt:
    """Do as `export` for a version, which is held meanwhile; the part at the reference's path, and ``prefix`` in it."""
    version, path = resolve_version(store, ref)
    if prefix is not None:
        path = b"/".join(part for part in (path, raw_path(prefix).strip(b"/")) if part)
    lease = Lease(store, version.record.serial)
    try:
        record = version_of_reference(store, version.name).record  # a purge may have changed it before the lease
        while True:
            whole = None if path else RootAttributes(record.mtime_ns, record.mode)
            try:
                return export(
                    store,
                    record.root,
                    Path(os.fsdecode(raw_path(dest))),
                    name=version.name,
                    prefix=path or None,
                    overwrite=overwrite,
                    progress=progress,
                    whole=whole,
                )
            except DamageError:
                present = resolve_recorded(store, version.name)[0]
                if present.root == record.root:
                    raise
                record = present  # the lease does not keep a purge from removing content
    finally:
        lease.close()


def export(
    store: Store,
    root: int,
    dest: Path,
    *,
    name: str = "the version",
    prefix: bytes | None = None,
    overwrite: bool = False,
    progress: Callable[[Progress], None] | None = None,
    whole: RootAttributes | None = None,
) -> GetReceipt:
    """Copy the tree below record ``root``, or the file or directory at ``prefix`` in it, into ``dest``.

    Paths are kept: ``a/b`` is written to ``dest/a/b`` with a prefix too.  Files, links and folders that are made have
    the times and modes of the version; ``whole`` are those of ``dest``.  Equal files, and folders that exist, are left
    as they are.

    Raises `ExistsError`, before anything is written, for all that differs, unless ``overwrite``; a folder in a file's
    place is refused even then.  Raises `NotFolderError` if ``dest`` or a part of it is a file, `NotFoundError` for a
    prefix that the tree lacks, `DamageError` for content that fails its checksum, `OutOfSpaceError` if the disk fills
    up: files written before the error stay.
    """
    dest = Path(os.path.abspath(dest))
    selection = Selection(store, root, (prefix or b"").strip(b"/"), name)
    refuse_non_folder(dest)
    meters = [Meter(phase, selection.files, selection.bytes, progress) for phase in ("check", "get")]
    with Workers() as workers:
        survey = Survey(selection, dest, workers, meters[0])
        if dest.is_dir():
            survey.run()
            survey.refuse(overwrite=overwrite)
        return Writing(selection, dest, workers, survey, overwrite=overwrite, meter=meters[1], root=whole).run()
