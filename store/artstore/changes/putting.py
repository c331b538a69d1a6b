"""`put`: a folder, a file, or a path on a mount of the workspace becomes the next version of an artifact."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeVar

from artstore import daemon_requests, daemons
from artstore.changes.committing import Commit, Committed, commit
from artstore.daemon_requests import Change
from artstore.daemons import DaemonInfo
from artstore.errors import InvalidInputError, NotFoundError, OutOfSpaceError
from artstore.ingest.batch import EntryDraft, Ref, StaleHintError
from artstore.ingest.building import DirectoryBuilder
from artstore.ingest.overlay import Overlay
from artstore.ingest.pipeline import Ingest, Progress
from artstore.ingest.source import FileEntry, Identity, LinkEntry, Source, open_source
from artstore.ingest.staging import Stager
from artstore.ingest.statcache import StatCache
from artstore.queries.mounted import MountedPath, mounted_path
from artstore.queries.resolving import base_version
from artstore.queries.versions import PutReceipt, Version
from artstore.reclaim.collecting import reap_for_room
from artstore.records.catalogue import VersionRecord
from artstore.records.trees import Kind
from artstore.storage import disk
from artstore.storage.reserve import RESERVE, refill, require_room
from artstore.store import Store

__all__ = [
    "PutOptions",
    "PutResult",
    "announce",
    "commit_staged",
    "forbidden_folders",
    "put",
    "put_version",
    "reporter",
    "version_of",
    "with_room",
]

T = TypeVar("T")

_ATTEMPTS: Final = 3
_ROOM: Final = 8 * RESERVE
"""Free bytes at which a put on a full disk goes on, having reaped what was deleted."""
_PROGRESS_SECONDS: Final = 0.1


@dataclass(frozen=True, slots=True)
class PutOptions:
    """How a put reads its source; ``base`` is the version that the source is laid over."""

    exclude: Sequence[str] = ()
    remove: Sequence[str] = ()
    base: VersionRecord | None = None
    progress: Callable[[Progress], None] | None = None


@dataclass(frozen=True, slots=True)
class PutResult:
    """What a put did: the version, stored bytes added, and the daemons that did not hear of it.

    ``reaped_bytes`` of what was deleted came back early, for the disk was full.
    """

    committed: Committed
    new_bytes: int
    silent: list[DaemonInfo]
    reaped_bytes: int = 0


def put(store: Store, path: Path, asked: Commit, options: PutOptions) -> PutResult:
    """Store what is at ``path`` and make it a version.

    Streams: memory grows with the entries of the largest folder, not with files or the number of folders.  What was
    stored when an exception ends it is kept in a dead draft, so that the next put of the same content stores only the
    rest.  Where the disk is full, what was deleted and still waits is reaped, the oldest first.  Raises `SourceError`
    for files that cannot be taken, `OutOfSpaceError` when the disk fills up all the same, and what `commit` raises.
    """
    done, reaped = with_room(store, lambda: _put(store, path, asked, options))
    return replace(done, reaped_bytes=reaped)


def put_version(
    store: Store,
    path: str | os.PathLike[str],
    asked: Commit,
    *,
    base: str | None = None,
    exclude: Sequence[str] = (),
    remove: Sequence[str] = (),
    progress: Callable[[Progress], None] | None = None,
) -> Version:
    """Do as `put`; ``base`` is ``v3``, an alias or ``NAME:v3``.  Return the version, with the receipt for it."""
    if not os.fspath(path):
        raise InvalidInputError("the path to put is empty")  # Path("") would mean the current folder
    if remove and base is None:
        raise InvalidInputError("--remove needs --base")
    below = None if base is None else base_version(store, asked.name, base)
    if below is not None:
        asked = replace(asked, base=below.name)
    options = PutOptions(exclude, remove, None if below is None else below.record, progress)
    return version_of(store, put(store, Path(path), asked, options))


def with_room(store: Store, action: Callable[[], T]) -> tuple[T, int]:
    """Do what stores something; return (its result, stored bytes reaped for it).

    Where the disk is full, what was deleted and still waits is reaped, the oldest first, and it is done again.  Raises
    `OutOfSpaceError` when that does not suffice.
    """
    reaped = 0
    while True:
        try:
            require_room(store.path)
            done = action()
            refill(store.path)
            return done, reaped
        except OutOfSpaceError:
            more = reap_for_room(store, lambda: disk.free_bytes(store.path) >= _ROOM)
            if not more:
                raise
            reaped += more


def _put(store: Store, path: Path, asked: Commit, options: PutOptions) -> PutResult:
    whole = options.base is None and not options.exclude and not options.remove
    mounted = mounted_path(store, path) if whole else None
    for attempt in range(_ATTEMPTS):
        stager = Stager(store, asked.name, os.fspath(path))
        try:
            if mounted is not None:
                return commit_staged(store, stager, _take_mounted(store, stager, mounted), asked)
            return _put_source(store, stager, path, asked, options, attempt)
        except StaleHintError:
            if attempt == _ATTEMPTS - 1:
                raise
        finally:
            stager.close()
    raise AssertionError("the last attempt returns or raises")


def commit_staged(store: Store, stager: Stager, root: Ref, asked: Commit) -> PutResult:
    """Make what was staged a version; raise what `commit` does."""
    committed = stager.commit(
        root, lambda transaction, root, added: commit(store, transaction, root, asked, stager.stored_bytes + added)
    )
    return PutResult(committed, stager.stored_bytes, announce(store, committed.changes))


def version_of(store: Store, result: PutResult) -> Version:
    """Return the version that a put led to, with the receipt for it."""
    committed = result.committed
    silent = [daemon.mountpoint for daemon in result.silent]
    receipt = PutReceipt(committed.created, result.new_bytes, silent, result.reaped_bytes)
    return Version(store, committed.artifact.name, committed.version, committed.artifact.type, receipt)


def announce(store: Store, changes: list[Change]) -> list[DaemonInfo]:
    """Tell every live daemon what changed; return those that stayed silent."""
    return daemon_requests.notify(store.run_dir, changes) if changes else []


def _put_source(
    store: Store, stager: Stager, path: Path, asked: Commit, options: PutOptions, attempt: int
) -> PutResult:
    """Take a folder or file; a second attempt reads every file, a third takes nothing for granted."""
    hints = attempt < _ATTEMPTS - 1
    with open_source(path, exclude=options.exclude, forbidden=forbidden_folders(store)) as source:
        report = reporter(source, options.progress)
        with StatCache.open(store.path / "cache" / "stat", source.real_path, source.identity) as cache:
            overlay = None
            if options.base is not None:
                stager.hold_base(options.base.serial, options.base.root)
                overlay = Overlay(store, stager, options.base.root, options.remove)
            ingest = Ingest(
                store, stager, source, None if attempt else cache, overlay=overlay, hints=hints, progress=report
            )
            result = commit_staged(store, stager, ingest.run(), asked)
            if overlay is None and not attempt:
                cache.commit()
    return result


def forbidden_folders(store: Store) -> dict[Identity, str]:
    """Return the folders that a source must not hold: the workspace, and where it is mounted."""
    status = store.path.stat()
    found = {(status.st_dev, status.st_ino): f"the folder holds the workspace {store.path} itself"}
    for daemon in daemons.live_daemons(store.run_dir):
        major, _, minor = daemon.device.partition(":")
        device = os.makedev(int(major), int(minor))
        found[device, 1] = f"the folder holds {daemon.mountpoint}, a mount of the same workspace"
    return found


def _take_mounted(store: Store, stager: Stager, place: MountedPath) -> Ref:
    """Return the root for a path on a mount: the directory's node itself, or a new root that names the file's."""
    with store.snapshot() as snapshot:
        found = snapshot.name_number(place.name)
        version = snapshot.version_by_number(found[0], place.number) if found else None
        if version is None:
            raise NotFoundError(f"{place.name}:v{place.number} is not there any more")
        if not place.path:
            return stager.known_tree(version.digest)
        entry = snapshot.resolve(version.root, place.path)
        if entry is None:
            raise NotFoundError(f"{place.name}:v{place.number} has no {os.fsdecode(place.path)!r}")
        ident = snapshot.identity(entry.node)
    if entry.kind == Kind.DIRECTORY:
        return stager.known_tree(ident)
    builder = DirectoryBuilder(stager)
    builder.add(EntryDraft(entry.name, entry.kind, entry.size, ident, None))
    return builder.finish()


def reporter(source: Source, progress: Callable[[Progress], None] | None) -> Callable[[int, int, bytes], None] | None:
    """Return what tells ``progress`` a few times a second how far the reading of a source is; counts what is in it."""
    return None if progress is None else _Reporter(progress, *_count(source, progress))


def _count(source: Source, progress: Callable[[Progress], None]) -> tuple[int, int]:
    """Walk the source once for the totals that a progress bar shows; return (files, bytes)."""
    files = size = 0
    next_report = 0.0
    for event in source.walk():
        if isinstance(event, FileEntry | LinkEntry):
            files += 1
            size += event.size if isinstance(event, FileEntry) else 0
            if time.monotonic() >= next_report:
                next_report = time.monotonic() + _PROGRESS_SECONDS
                progress(Progress("scan", files, size, None, None, os.fsdecode(event.name)))
    return files, size


class _Reporter:
    """Pass progress on, a few times a second."""

    def __init__(self, progress: Callable[[Progress], None], files: int, size: int) -> None:
        self._progress = progress
        self._files = files
        self._size = size
        self._next = 0.0

    def __call__(self, files: int, size: int, name: bytes) -> None:
        if time.monotonic() >= self._next or files == self._files:
            self._next = time.monotonic() + _PROGRESS_SECONDS
            self._progress(Progress("put", files, size, self._files, self._size, os.fsdecode(name)))
