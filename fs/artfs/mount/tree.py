"""The serving core: the content of a mount, as plain values over inodes, without any FUSE binding.

    /                       the project with the empty name
    /team/vision            projects
    /team/vision/imagenet   an artifact: its versions and its aliases
    .../v3                  a version: the root directory of its tree
    .../v3/train/0.jpg      a file in it

Each request is answered from one snapshot of the store, opened only if the worker's caches do not suffice.  The caches
hold parsed directory records, functions of node numbers, which are never reused; and the places of directories in
versions, which are valid until a version is deleted or purged: the epoch determines when to drop them.  A restarted
worker only has to fill its caches again.
"""

from __future__ import annotations

import os
import time
from bisect import bisect_right
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple, Self

from artfs.mount import catalogue, inodes, xattrs
from artfs.mount.attributes import (
    Attributes,
    Contents,
    DirectoryEntry,
    Statistics,
    of_content,
    of_directory,
)
from artfs.mount.cache import Cache
from artfs.mount.counters import Epoch
from artfs.mount.errnos import NameTooLongError, NoAttributeError, NotDirectoryError, NotLinkError, StaleError
from artfs.mount.inodes import Inode, Sort
from artfs.mount.snapshot_source import SnapshotSource
from artstore.errors import NotFoundError
from artstore.ids import Buffer
from artstore.records.catalogue import VersionRecord
from artstore.records.references import ReferenceRecord
from artstore.records.trees import Kind, TreeEntry, TreeView
from artstore.rows import trees
from artstore.rows.snapshot import Snapshot

if TYPE_CHECKING:
    pass

__all__ = ["LONGEST_NAME", "RECORD_BYTES", "Fetch", "Tree"]

LONGEST_NAME = 255
LONGEST_LINK = 4096

RECORD_BYTES = 48 << 20
"""Memory for parsed directory records, of all workers of a mount together."""
_PLACES = 32768
"""Number of directories whose place in their version is cached, per worker."""
_LISTINGS = 4
"""Number of listings above versions that are cached, per worker, each until the store changes."""

Fetch = Callable[[], list[Buffer]]
"""Waits for an outside service, then returns the requested bytes; raises as `Tree.read` does."""

_REFERENCES = 4096
"""Number of records of outside files that are cached, per worker."""
_KINDS = {Sort.FILE: Kind.FILE, Sort.EXECUTABLE: Kind.EXECUTABLE, Sort.LINK: Kind.LINK}
_DOTS = 2
"""Cookies up to this value denote '.' and '..'; the entry at position p of a version's directory has cookie p + 3."""


class _Place(NamedTuple):
    """The place of a directory of a version: its record, the inode above it, its version and preorder index."""

    node: int
    parent: int
    created_ns: int
    serial: int
    ordinal: int


class _Request:
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
        if self._opened is None:
            self._context = self._source.snapshot()
            self._opened = self._context.__enter__()
        return self._opened


class Tree:
    """Answer the kernel's requests for one workspace.

    Raises errors of `artstore.errors` (or `artfs.mount.errnos`), which the transport turns into numbers.
    """

    def __init__(self, source: SnapshotSource, epoch: Epoch, *, record_bytes: int = RECORD_BYTES) -> None:
        """Cache at most ``record_bytes`` of directory records."""
        self._source = source
        self._epoch = epoch
        self._seen = epoch.value
        self._records: Cache[int, TreeView] = Cache(record_bytes)
        self._places: Cache[int, _Place] = Cache(_PLACES)
        self._listings: Cache[tuple[int, int], list[DirectoryEntry]] = Cache(_LISTINGS)
        self._references: Cache[int, tuple[bytes, ReferenceRecord]] = Cache(_REFERENCES)
        self._statistics = Statistics(4096, 0, 0, 0)
        self._statistics_until = 0.0

    @property
    def epoch(self) -> int:
        """The epoch: while it is unchanged, cached places inside versions are valid."""
        return self._epoch.value

    def lookup(self, parent: int, name: bytes) -> Attributes | None:
        """Return the attributes of ``name`` in the directory ``parent``.

        None means that a version has no such name, which never changes; NotFoundError that there is none at present.
        """
        if len(name) > LONGEST_NAME:
            raise NameTooLongError("a name has more than 255 bytes")
        known = self._known(parent)
        if known is not None:
            where, view = known
            index = view.find(name)
            if index < 0:
                return None
            entry = view.entry(index)
            return self._attributes_of(entry, entry.directories_before, parent, where)
        place = _decode(parent)
        with self._request() as request:
            if place.sort is Sort.DIRECTORY:
                return self._lookup_in_version(request, parent, place, name)
            if place.sort is Sort.PROJECT:
                return catalogue.find_in_project(request.snapshot, place.value, name)
            if place.sort is Sort.ARTIFACT:
                return self._lookup_in_artifact(request, place.value, name)
        raise NotDirectoryError("not a directory")

    def attributes(self, inode: int) -> Attributes:
        """Return the attributes of ``inode``; StaleError if its object no longer exists."""
        place = _decode(inode)
        with self._request() as request:
            if inode == inodes.ROOT:
                return catalogue.root(request.snapshot, self._source.created_ns)
            if place.sort is Sort.DIRECTORY:
                return of_directory(*place[1:], self._place(request, inode).created_ns)
            if place.sort in _KINDS:
                content = request.snapshot.content(place.value)
                return of_content(_KINDS[place.sort], place.value, content.size, content.birth_ns)
            if place.sort is Sort.REFERENCE:
                birth_ns = request.snapshot.content(place.value).birth_ns
                size = request.snapshot.reference(place.value).size
                return of_content(Kind.REFERENCE, place.value, size, birth_ns)
            return catalogue.attributes(request.snapshot, place)

    def page(self, inode: int, cookie: int) -> Generator[DirectoryEntry, None, None]:
        """Yield the entries of the directory ``inode`` that follow ``cookie``, 0 for the first.

        Guarantees: a cookie keeps its meaning while entries are added and removed, and only the entries taken cost
        work.  Close the iterator: it holds a snapshot.
        """
        place = _decode(inode)
        if place.sort not in (Sort.DIRECTORY, Sort.PROJECT, Sort.ARTIFACT):
            raise NotDirectoryError("not a directory")
        with self._request() as request:
            yield from self._dots(request, inode, place, cookie)
            if place.sort is Sort.DIRECTORY:
                yield from self._page_of_version(request, inode, place, max(cookie - _DOTS, 0))
                return
            listing = self._listing(request, inode, place)
            yield from listing[bisect_right(listing, cookie, key=_cookie) :]

    def contents(self, inode: int, cookie: int) -> Contents | None:
        """Return the result of `page` for a directory of a version without subdirectories, in one record, or None."""
        place = _decode(inode)
        if place.sort is not Sort.DIRECTORY:
            return None
        with self._request() as request:
            where = self._place(request, inode)
            view = self._record(request, where.node)
            if view.level or view.totals.directories:
                return None
            dots = list(self._dots(request, inode, place, cookie))
        position = max(cookie - _DOTS, 0)
        return Contents(dots, view.contents(position), position + _DOTS)

    def link_target(self, inode: int) -> bytes:
        """Return the text of the symbolic link ``inode``."""
        place = _decode(inode)
        with self._request() as request:
            if place.sort is Sort.LINK:
                return request.snapshot.read(place.value, 0, LONGEST_LINK)
            if place.sort in (Sort.ALIAS, Sort.LATEST):
                return catalogue.link_target(request.snapshot, place)
        raise NotLinkError("not a symbolic link")

    def read(self, inode: int, offset: int, size: int) -> list[Buffer] | Fetch:
        """Return ``size`` verified bytes of the file ``inode`` from ``offset`` in pieces, fewer only at its end.

        For an outside file that must be fetched, return a callable that does that instead: it takes as long as the
        outside service takes, may be called in any thread, and accesses no state of this object.
        """
        place = _decode(inode)
        if place.sort is Sort.REFERENCE:
            return self._read_outside(place.value, offset, size)
        if place.sort not in (Sort.FILE, Sort.EXECUTABLE):
            raise NotLinkError("not a file")
        with self._source.snapshot() as snapshot:
            return snapshot.read_pieces(place.value, offset, size)

    def _read_outside(self, node: int, offset: int, size: int) -> list[Buffer] | Fetch:
        self._follow_epoch()
        known = self._references.get(node)
        if known is None:
            with self._source.snapshot() as snapshot:
                known = snapshot.identity(node), snapshot.reference(node)
            self._references.put(node, known)
        outside = self._source.outside
        data = outside.cached(*known, offset, size)
        return partial(outside.read, *known, offset, size) if data is None else data

    def xattr(self, inode: int, name: bytes) -> bytes:
        """Return an extended attribute; NoAttributeError, without a store query, for names of other prefixes."""
        if not name.startswith(xattrs.PREFIX):
            raise NoAttributeError("no such attribute")
        place = _decode(inode)
        if name == xattrs.WORKSPACE:
            if place.sort in (Sort.DIRECTORY, Sort.PROJECT, Sort.ARTIFACT):
                return self._source.uuid.encode()
            raise NoAttributeError("no such attribute")
        with self._source.snapshot() as snapshot:
            if place.sort in (Sort.FILE, Sort.EXECUTABLE):
                value = xattrs.of_file(snapshot, place.value, name)
            elif place.sort is Sort.REFERENCE:
                value = xattrs.of_reference(snapshot, place.value, name)
            else:
                value = self._xattrs(snapshot, place).get(name)
        if value is None:
            raise NoAttributeError("no such attribute")
        return value

    def xattr_names(self, inode: int) -> list[bytes]:
        """Return the names of the extended attributes of ``inode``."""
        place = _decode(inode)
        if place.sort in (Sort.FILE, Sort.EXECUTABLE):
            return list(xattrs.OF_FILES)
        if place.sort is Sort.REFERENCE:
            return list(xattrs.OF_REFERENCES)
        with self._source.snapshot() as snapshot:
            return list(self._xattrs(snapshot, place))

    def statistics(self) -> Statistics:
        """Return the values for ``df``: the bytes stored, and the room left on the workspace's disk; up to 1 s old."""
        now = time.monotonic()
        if now >= self._statistics_until:
            disk = os.statvfs(self._source.path)
            with self._source.snapshot() as snapshot:
                stored = snapshot.usage_totals().stored_bytes
            free = disk.f_bavail * disk.f_frsize // 4096
            self._statistics = Statistics(4096, -(-stored // 4096) + free, free, 0)
            self._statistics_until = now + 1
        return self._statistics

    def _request(self) -> _Request:
        """Begin a request: places from before the present epoch are dropped before any snapshot is opened."""
        self._follow_epoch()
        return _Request(self._source)

    def _follow_epoch(self) -> None:
        epoch = self._epoch.value
        if epoch != self._seen:
            self._places.clear()
            self._references.clear()
            self._seen = epoch

    def _known(self, inode: int) -> tuple[_Place, TreeView] | None:
        """Return the place of a directory of a version, and its one record, if both are cached; needs no snapshot."""
        self._follow_epoch()
        place = self._places.get(inode)
        view = None if place is None else self._records.get(place.node)
        return None if place is None or view is None or view.level else (place, view)

    def _xattrs(self, snapshot: Snapshot, place: Inode) -> dict[bytes, bytes]:
        """Return the attributes of a non-file: only versions have any."""
        if place.sort is Sort.DIRECTORY and place.ordinal == 0:
            return xattrs.of_version(snapshot, self._version(snapshot, place.value))
        return {}

    def _lookup_in_artifact(self, request: _Request, artifact: int, name: bytes) -> Attributes:
        child = catalogue.find_in_artifact(request.snapshot, artifact, name)
        if isinstance(child, VersionRecord):
            return self._enter(child, inodes.artifact(artifact))
        return child

    def _enter(self, version: VersionRecord, parent: int) -> Attributes:
        root = of_directory(version.serial, 0, version.created_ns)
        self._places.put(root.inode, _Place(version.root, parent, version.created_ns, version.serial, 0))
        return root

    def _lookup_in_version(self, request: _Request, parent: int, place: Inode, name: bytes) -> Attributes | None:
        where = self._place(request, parent)
        lookup_result = trees.lookup(partial(self._record, request), where.node, name)
        return None if lookup_result is None else self._attributes_of(*lookup_result, parent, where)

    def _attributes_of(self, entry: TreeEntry, before: int, parent: int, where: _Place) -> Attributes:
        """Return an entry's attributes; ``before`` counts the directories in its own that come before it."""
        if not entry.directories:
            return of_content(entry.kind, entry.node, entry.size, entry.birth_ns)
        attributes = of_directory(where.serial, where.ordinal + 1 + before, where.created_ns)
        place = _Place(entry.node, parent, where.created_ns, where.serial, where.ordinal + 1 + before)
        self._places.put(attributes.inode, place)
        return attributes

    def _page_of_version(self, request: _Request, inode: int, place: Inode, position: int) -> Iterator[DirectoryEntry]:
        where = self._place(request, inode)
        cookie = position + _DOTS
        for entry, before in trees.entries_from(partial(self._record, request), where.node, position):
            cookie += 1
            attributes = self._attributes_of(entry, before, inode, where)
            yield DirectoryEntry(entry.name, cookie, attributes)

    def _listing(self, request: _Request, inode: int, place: Inode) -> list[DirectoryEntry]:
        """Return all entries of a project or artifact by cookie; they are cached until the store changes."""
        snapshot = request.snapshot
        key = (inode, snapshot.number)
        listing = self._listings.get(key)
        if listing is None:
            of_place = catalogue.list_project if place.sort is Sort.PROJECT else catalogue.list_artifact
            listing = of_place(snapshot, place.value)
            self._listings.put(key, listing)
        return listing

    def _dots(self, request: _Request, inode: int, place: Inode, cookie: int) -> Iterator[DirectoryEntry]:
        if cookie < 1:
            yield DirectoryEntry(b".", 1, self._bare(inode))
        if cookie < _DOTS:
            if place.sort is Sort.DIRECTORY:
                parent = self._place(request, inode).parent
            else:
                parent = catalogue.parent_of(request.snapshot, place)
            yield DirectoryEntry(b"..", _DOTS, self._bare(parent))

    def _bare(self, inode: int) -> Attributes:
        """Return attributes for a dot entry, of which the kernel takes only the inode."""
        return Attributes(inode, 0o040555, 0, 0, 0, 0)

    def _record(self, request: _Request, node: int) -> TreeView:
        view = self._records.get(node)
        if view is None:
            view = request.snapshot.tree(node)
            self._records.put(node, view, view.footprint)
        return view

    def _version(self, snapshot: Snapshot, serial: int) -> VersionRecord:
        version = snapshot.version(serial)
        if version is None:
            raise StaleError("the version no longer exists")
        return version

    def _place(self, request: _Request, inode: int) -> _Place:
        place = self._places.get(inode)
        if place is None:
            place = self._find_place(request, inode)
            self._places.put(inode, place)
        return place

    def _find_place(self, request: _Request, inode: int) -> _Place:
        _, serial, index = inodes.decode(inode)
        if not index:
            version = self._version(request.snapshot, serial)
            return _Place(version.root, inodes.artifact(version.artifact), version.created_ns, serial, 0)
        root = self._place(request, inodes.directory(serial, 0))
        place = trees.directory_at(partial(self._record, request), root.node, index)
        if place is None:
            raise StaleError(f"version serial {serial} has no directory {index}")
        return _Place(place.node, inodes.directory(serial, place.parent), root.created_ns, serial, index)


def _cookie(entry: DirectoryEntry) -> int:
    return entry.cookie


def _decode(inode: int) -> Inode:
    try:
        return inodes.decode(inode)
    except ValueError as error:
        raise NotFoundError(str(error)) from error
