"""The entries of versions by their inodes, as one worker knows them.

The caches hold parsed directory records, functions of node numbers, which are never reused, and the places of
directories of living versions: the caller drops these when a version is deleted or purged.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import partial
from types import TracebackType
from typing import NamedTuple, Self

from artfs.mount import inodes
from artfs.mount.attributes import root_entry
from artfs.mount.cache import Cache
from artfs.mount.errnos import NotDirectoryError, StaleError
from artfs.mount.inodes import Sort
from artfs.mount.snapshot_source import SnapshotSource
from artstore.errors import DamageError
from artstore.records.catalogue import VersionRecord
from artstore.records.trees import INODES_MAX, Kind, TreeEntry, TreeView
from artstore.rows import trees
from artstore.rows.snapshot import Snapshot

__all__ = ["Place", "Places", "Request", "recorded"]

_PLACES = 16384
"""Number of directories whose place in their version is cached."""


class Place(NamedTuple):
    """An entry of a version, the inode of the directory that lists it, and what it has from its version.

    ``entry`` is without a name, and counts no inodes, if it is the version's root.
    """

    entry: TreeEntry
    parent: int
    created_ns: int
    is_live: bool

    @classmethod
    def of(cls, version: VersionRecord) -> Self:
        """Return the place of a version's root."""
        root = root_entry(version.root, version.mtime_ns, version.mode)
        return cls(root, inodes.artifact(version.artifact), version.created_ns, version.state == "live")


class _Vicinity(NamedTuple):
    """The record in which an entry of a living version was found last; what it holds has the inodes from ``first``."""

    record: TreeView
    first: int
    parent: int
    created_ns: int


class Request:
    """Open the store's snapshot at its first use, and end it with the request."""

    __slots__ = ("_context", "_opened", "_source")

    def __init__(self, source: SnapshotSource) -> None:
        self._source = source
        self._opened: Snapshot | None = None
        self._context: AbstractContextManager[Snapshot] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._context is not None:
            self._context.__exit__(kind, error, trace)

    @property
    def snapshot(self) -> Snapshot:
        """The snapshot of this request."""
        if self._opened is None:
            self._context = self._source.snapshot()
            self._opened = self._context.__enter__()
        return self._opened


def recorded(snapshot: Snapshot, mount: int) -> VersionRecord:
    """Return the version with a mount serial, living or deleted; StaleError if there is none any more."""
    version = snapshot.version_of_mount(mount)
    if version is None:
        raise StaleError("the version is gone, or was purged")
    return version


class Places:
    """Find entries of versions, with caches."""

    def __init__(self, record_bytes: int) -> None:
        """Cache at most ``record_bytes`` of directory records."""
        self._records: Cache[int, TreeView] = Cache(record_bytes)
        self._directories: Cache[int, Place] = Cache(_PLACES)
        self._vicinity: _Vicinity | None = None

    def forget(self) -> None:
        """Drop all places."""
        self._directories.clear()
        self._vicinity = None

    def put(self, inode: int, place: Place) -> None:
        """Remember the place of a directory of a living version."""
        self._directories.put(inode, place)

    def known(self, inode: int) -> tuple[Place, TreeView] | None:
        """Return the place and the record of a directory of a living version if both are cached; needs no snapshot."""
        place = self._directories.get(inode)
        view = None if place is None else self._records.get(place.entry.node)
        return None if place is None or view is None or not _fits(place.entry, view) else (place, view)

    def find(self, request: Request, inode: int) -> Place:
        """Return the entry that ``inode`` denotes, of a version that is living or deleted; else StaleError."""
        place = self._directories.get(inode)
        if place is not None:
            return place
        place = self._nearby(inode) or self._resolve(request, inode)
        if place.is_live and place.entry.kind is Kind.DIRECTORY:
            self._directories.put(inode, place)
        return place

    def _resolve(self, request: Request, inode: int) -> Place:
        sort, mount, ordinal = inodes.decode(inode)
        assert sort is Sort.ENTRY
        return self._walk(request, inode, inode - ordinal) if ordinal else Place.of(recorded(request.snapshot, mount))

    def _nearby(self, inode: int) -> Place | None:
        """Return the entry that ``inode`` denotes if its row is in the record in which one was found last."""
        if self._vicinity is None:
            return None
        record, first, parent, created_ns = self._vicinity
        row = record.row_for_inode(inode - first) if inode >= first else -1
        if row < 0:
            return None
        entry = record.entry(row)
        return Place(entry, parent, created_ns, True) if entry.inodes_before == inode - first else None

    def directory(self, request: Request, inode: int) -> tuple[Place, TreeView]:
        """Return the place and the record of a directory in which names can be found."""
        place = self.find(request, inode)
        if place.entry.kind is not Kind.DIRECTORY:
            raise NotDirectoryError("not a directory")
        if not place.is_live:
            raise StaleError("the version was deleted")
        return place, self._open(request, place.entry)

    def loader(self, request: Request) -> trees.Loader:
        """Return the function that reads records for a walk."""
        return partial(self._record, request)

    def _record(self, request: Request, node: int) -> TreeView:
        view = self._records.get(node)
        if view is None:
            view = request.snapshot.tree(node)
            self._records.put(node, view, view.footprint)
        return view

    def _open(self, request: Request, entry: TreeEntry) -> TreeView:
        """Return the record of a directory; DamageError if it does not hold as many entries as the one above says.

        So two entries never have one inode, even in a version that is damaged.
        """
        view = self._record(request, entry.node)
        if not _fits(entry, view):
            raise DamageError(f"a directory has {view.totals.inodes} entries below it, and another number was recorded")
        return view

    def _walk(self, request: Request, inode: int, root: int) -> Place:
        """Find an entry by its index in its version."""
        above = self.find(request, root)
        self._open(request, above.entry)
        found = trees.entry_at(self.loader(request), above.entry.node, inode - root)
        if found is None:
            raise StaleError("the version has no such entry")
        if above.is_live:
            self._vicinity = _Vicinity(found.record, root + found.first, root + found.parent, above.created_ns)
        return Place(found.entry, root + found.parent, above.created_ns, above.is_live)


def _fits(entry: TreeEntry, view: TreeView) -> bool:
    """Return whether a directory's record counts as many entries as the one above it; for a root, not too many."""
    count = view.totals.inodes
    return entry.inodes == count + 1 or (not entry.inodes and count <= INODES_MAX)
