"""The serving core: the content of a mount, as plain values over inodes, without any FUSE binding.

    /                       the project with the empty name
    /team/vision            projects
    /team/vision/imagenet   an artifact: its versions and its aliases
    .../v3                  a version: the root directory of its tree
    .../v3/train/0.jpg      a file in it
    .../.history/train/0.jpg/v3    a link to the file, in the history of its path; not listed above that

Each request is answered from one snapshot of the store, opened only if the worker's caches do not suffice.  The caches
hold parsed directory records, functions of node numbers, which are never reused; and the places of directories and the
content of files in versions, which are valid until a version is deleted or purged: the epoch determines when to drop
them.  A restarted worker only has to fill its caches again.

A file of a deleted version has its attributes and bytes until its reaping begins, but names in it are not found.  The
kernel is given the root of a version, by a look-up or in a listing, if the version lives after its lease was taken.
"""

from __future__ import annotations

import os
import time
from bisect import bisect_right
from collections.abc import Callable, Generator, Iterator
from functools import partial

from artfs.mount import catalogue, histories, inodes, xattrs
from artfs.mount.attributes import (
    Attributes,
    Contents,
    DirectoryEntry,
    Modes,
    Statistics,
    of_entry,
)
from artfs.mount.cache import Cache
from artfs.mount.counters import Epoch
from artfs.mount.errnos import NameTooLongError, NoAttributeError, NotDirectoryError, NotLinkError, StaleError
from artfs.mount.inodes import Inode, Sort
from artfs.mount.leases import Leases
from artfs.mount.nodetable import NodeTable
from artfs.mount.places import Place, Places, Request, recorded
from artfs.mount.snapshot_source import SnapshotSource
from artstore.errors import DamageError, NotFoundError
from artstore.ids import Buffer
from artstore.records.catalogue import VersionRecord
from artstore.records.references import ReferenceRecord
from artstore.records.trees import Kind, TreeEntry
from artstore.rows import trees
from artstore.rows.snapshot import Snapshot
from artstore.rows.views import is_lazy

__all__ = ["DOTS", "LONGEST_NAME", "RECORD_BYTES", "Fetch", "Tree"]

LONGEST_NAME = 255
LONGEST_LINK = 4096

RECORD_BYTES = 48 << 20
"""Memory for parsed directory records, of all workers of a mount together."""
_LISTINGS = 4
"""Number of listings above versions that are cached, per worker, each until the store changes."""

Fetch = Callable[[], list[Buffer]]
"""Waits for an outside service, then returns the requested bytes; raises as `Tree.read` does."""

_REFERENCES = 4096
"""Number of records of outside files that are cached, per worker."""
_OF_HISTORIES = (Sort.HISTORIES, Sort.HISTORY)
_FILES = frozenset((Kind.FILE, Kind.EXECUTABLE, Kind.REFERENCE))
_KIND_BITS = 3
_KIND_MASK = (1 << _KIND_BITS) - 1
DOTS = 2
"""Cookies up to this value denote '.' and '..'; the entry at position p of a version's directory has cookie p + 3."""


class Tree:
    """Answer the kernel's requests for one workspace.

    Raises errors of `artstore.errors` (or `artfs.mount.errnos`), which the transport turns into numbers.
    """

    def __init__(
        self,
        source: SnapshotSource,
        epoch: Epoch,
        *,
        nodes: NodeTable | None = None,
        leases: Leases | None = None,
        modes: Modes | None = None,
        record_bytes: int = RECORD_BYTES,
    ) -> None:
        """Show ``modes``; cache at most ``record_bytes`` of directory records, and files' content in ``nodes``.

        ``leases`` are taken of the versions that the kernel is given; without them nothing keeps these from reapers.
        """
        self._source = source
        self._epoch = epoch
        self._seen = epoch.value
        self._nodes = nodes or NodeTable()
        self._leases = leases
        self._modes = modes or Modes()
        self._places = Places(record_bytes)
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
        self._follow_epoch()
        known = self._places.known(parent)
        if known is not None and not known[1].level:
            where, view = known
            index = view.find(name)
            if index < 0:
                return None
            entry = view.entry(index)
            return self._looked_up(parent + 1 + entry.inodes_before, entry, parent, where)
        with Request(self._source) as request:
            if known is not None:
                return self._lookup_in_version(request, parent, known[0], name)
            place = _decode(parent)
            if place.sort is Sort.ENTRY:
                return self._lookup_in_version(request, parent, self._places.directory(request, parent)[0], name)
            if place.sort is Sort.PROJECT:
                return catalogue.find_in_project(request.snapshot, self._modes, place.value, name)
            if place.sort is Sort.ARTIFACT:
                return self._lookup_in_artifact(request, place.value, name)
            if place.sort in _OF_HISTORIES:
                return histories.find(request.snapshot, self._modes, place, name)
        raise NotDirectoryError("not a directory")

    def attributes(self, inode: int) -> Attributes:
        """Return the attributes of ``inode``; StaleError if its object no longer exists."""
        place = _decode(inode)
        with self._request() as request:
            if inode == inodes.ROOT:
                return catalogue.root(request.snapshot, self._modes, self._source.created_ns)
            if place.sort is Sort.ENTRY:
                found = self._places.find(request, inode)
                if found.entry.kind is Kind.DIRECTORY and not found.is_live:
                    # The kernel shows a listing that it has cached as long as the directory has attributes.
                    raise StaleError("the version was deleted")
                return of_entry(inode, found.entry, self._modes, found.created_ns)
            if place.sort in _OF_HISTORIES or place.sort is Sort.HISTORY_LINK:
                return histories.attributes(request.snapshot, self._modes, place)
            return catalogue.attributes(request.snapshot, self._modes, place)

    def page(self, inode: int, cookie: int) -> Generator[DirectoryEntry, None, None]:
        """Yield the entries of the directory ``inode`` that follow ``cookie``, 0 for the first.

        Guarantees: a cookie keeps its meaning while entries are added and removed, and only the entries taken cost
        work.  Close the iterator: it holds a snapshot.
        """
        place = _decode(inode)
        if place.sort not in (Sort.ENTRY, Sort.PROJECT, Sort.ARTIFACT, *_OF_HISTORIES):
            raise NotDirectoryError("not a directory")
        with self._request() as request:
            if place.sort is Sort.ENTRY:
                yield from self._page_of_version(request, inode, place, cookie)
                return
            parent_of = histories.parent_of if place.sort in _OF_HISTORIES else catalogue.parent_of
            yield from self._dots(inode, parent_of(request.snapshot, place), cookie)
            listing = self._listing(request, inode, place)
            yield from listing[bisect_right(listing, cookie, key=_cookie) :]

    def contents(self, inode: int, cookie: int) -> Contents | None:
        """Return the result of `page` for a directory of a version without subdirectories, in one record, or None."""
        place = _decode(inode)
        if place.sort is not Sort.ENTRY:
            return None
        with self._request() as request:
            where, view = self._places.directory(request, inode)
        if view.level or view.totals.directories:
            return None
        position = max(cookie - DOTS, 0)
        return Contents(
            list(self._dots(inode, where.parent, cookie)),
            view.leaves(position),
            position + DOTS,
            inode + position,
            self._modes.shown,
            where.created_ns,
            inode + 1 + view.totals.inodes,
        )

    def version(self, mount: int) -> tuple[int, Place | None]:
        """Return (epoch, place of the root of the living version with a mount serial, or None).

        A version that only a remote has is none that others than this object can read.
        What it says is valid as long as that is the epoch.
        """
        with self._request() as request:
            version = request.snapshot.version_of_mount(mount)
        place = None if version is None or is_lazy(version) else Place.of(version)
        return self._seen, place if place is not None and place.is_live else None

    def link_target(self, inode: int) -> bytes:
        """Return the text of the symbolic link ``inode``."""
        place = _decode(inode)
        with self._request() as request:
            if place.sort is Sort.ENTRY:
                entry = self._places.find(request, inode).entry
                if entry.kind is Kind.LINK:
                    return request.snapshot.read(entry.node, 0, LONGEST_LINK)
            if place.sort in (Sort.ALIAS, Sort.LATEST):
                return catalogue.link_target(request.snapshot, place)
            if place.sort is Sort.HISTORY_LINK:
                return histories.link_target(request.snapshot, place)
        raise NotLinkError("not a symbolic link")

    def read(self, inode: int, offset: int, size: int) -> list[Buffer] | Fetch:
        """Return ``size`` verified bytes of the file ``inode`` from ``offset`` in pieces, fewer only at its end.

        For an outside file that must be fetched, return a callable that does that instead: it takes as long as the
        outside service takes, may be called in any thread, and accesses no state of this object.
        """
        with self._request() as request:
            known = self._nodes.get(inode, self._seen)
            if not known:
                known = self._content(request, inode)
                self._nodes.put(inode, known, self._seen)
            node, kind = known >> _KIND_BITS, known & _KIND_MASK
            if kind != Kind.REFERENCE:
                try:
                    return request.snapshot.read_pieces(node, offset, size)
                except DamageError:
                    self._forget()
                    self._content(request, inode)  # StaleError if the version was purged, unnoticed by this mount
                    raise
        return self._read_outside(node, offset, size)

    def _content(self, request: Request, inode: int) -> int:
        """Return the node and the kind of the file ``inode``, as `NodeTable` keeps them."""
        place = _decode(inode)
        if place.sort is Sort.ENTRY:
            entry = self._places.find(request, inode).entry
            if entry.kind in _FILES:
                return entry.node << _KIND_BITS | entry.kind
        raise NotLinkError("not a file")

    def _read_outside(self, node: int, offset: int, size: int) -> list[Buffer] | Fetch:
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
        with self._request() as request:
            value = self._xattr(request, inode, place, name)
        if value is None:
            raise NoAttributeError("no such attribute")
        return value

    def _xattr(self, request: Request, inode: int, place: Inode, name: bytes) -> bytes | None:
        if place.sort is Sort.ENTRY:
            entry = self._places.find(request, inode).entry
            if entry.kind is Kind.REFERENCE:
                return xattrs.of_reference(request.snapshot, entry.node, name)
            if entry.kind in _FILES:
                return xattrs.of_file(request.snapshot, entry.node, name)
            if entry.kind is Kind.LINK:
                return None
        elif place.sort not in (Sort.PROJECT, Sort.ARTIFACT):
            return None
        if name == xattrs.WORKSPACE:
            return self._source.uuid.encode()
        if place.sort is not Sort.ENTRY or place.ordinal:
            return None
        return xattrs.of_version(request.snapshot, recorded(request.snapshot, place.value)).get(name)

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

    def _request(self) -> Request:
        """Begin a request: places from before the present epoch are dropped before any snapshot is opened."""
        self._follow_epoch()
        return Request(self._source)

    def _follow_epoch(self) -> None:
        epoch = self._epoch.value
        if epoch != self._seen:
            self._forget()
            self._seen = epoch

    def _forget(self) -> None:
        self._places.forget()
        self._references.clear()

    def _lookup_in_artifact(self, request: Request, artifact: int, name: bytes) -> Attributes:
        if name == histories.NAME:
            return histories.top(request.snapshot, self._modes, artifact)
        found = catalogue.find_in_artifact(request.snapshot, artifact, name)
        if isinstance(found, VersionRecord):
            found = self._leased(request.snapshot.number, found)
            attributes = catalogue.of_version(found, self._modes)
            self._places.put(attributes.inode, Place.of(found))
            return attributes
        return found

    def _leased(self, seen: int, version: VersionRecord) -> VersionRecord:
        """Take the lease of a version, and return the version as it lives afterwards; else NotFoundError.

        ``seen`` is the number of the snapshot in which it was found.
        """
        if self._leases is None:
            return version
        self._leases.take(version.artifact, version.number, version.number)
        with self._source.snapshot() as later:
            if later.number == seen:
                return version
            living = later.version(version.serial)  # it may have another number by now, and this lease counts
        if living is None:
            self._leases.stray()
            raise NotFoundError("the version was deleted")
        return living

    def _leased_listing(self, snapshot: Snapshot, artifact: int, listing: list[DirectoryEntry]) -> list[DirectoryEntry]:
        """Take the leases of the versions in a listing, and return it without those that do not live afterwards."""
        if self._leases is None:
            return listing
        seen, deletions = snapshot.number, snapshot.deletions
        for first, last in catalogue.version_ranges(snapshot, artifact, listing):
            self._leases.take(artifact, first, last)
        with self._source.snapshot() as later:
            if later.number == seen or later.deletions == deletions:
                return listing
            living = {version.number for version in later.versions_of(artifact)}
        kept = [entry for entry in listing if catalogue.number_of(entry) in living | {None}]
        if len(kept) < len(listing):
            self._leases.stray()
        return kept

    def _lookup_in_version(self, request: Request, parent: int, where: Place, name: bytes) -> Attributes | None:
        found = trees.lookup(self._places.loader(request), where.entry.node, name)
        if found is None:
            return None
        entry, before = found
        return self._looked_up(parent + 1 + before, entry, parent, where)

    def _looked_up(self, inode: int, entry: TreeEntry, parent: int, where: Place) -> Attributes:
        """Return the attributes of an entry that the kernel looks up, and remember what it is likely to need next."""
        kind = entry.kind
        if kind is Kind.DIRECTORY:
            self._places.put(inode, Place(entry, parent, where.created_ns, True))
        elif kind is not Kind.LINK:
            self._nodes.put(inode, entry.node << _KIND_BITS | kind, self._seen)
        return of_entry(inode, entry, self._modes, where.created_ns)

    def _page_of_version(self, request: Request, inode: int, place: Inode, cookie: int) -> Iterator[DirectoryEntry]:
        where, _ = self._places.directory(request, inode)
        yield from self._dots(inode, where.parent, cookie)
        position = max(cookie - DOTS, 0)
        cookie = position + DOTS
        for entry, before in trees.entries_from(self._places.loader(request), where.entry.node, position):
            cookie += 1
            below = inode + 1 + before
            if entry.kind is Kind.DIRECTORY:
                self._places.put(below, Place(entry, inode, where.created_ns, True))
            yield DirectoryEntry(entry.name, cookie, of_entry(below, entry, self._modes, where.created_ns))

    def _listing(self, request: Request, inode: int, place: Inode) -> list[DirectoryEntry]:
        """Return all entries of a project or artifact by cookie; they are cached until the store changes."""
        snapshot = request.snapshot
        key = (inode, snapshot.number)
        listing = self._listings.get(key)
        if listing is None:
            if place.sort is Sort.PROJECT:
                listing = catalogue.list_project(snapshot, self._modes, place.value)
            elif place.sort in _OF_HISTORIES:
                listing = histories.listing(snapshot, place)
            else:
                listing = catalogue.list_artifact(snapshot, self._modes, place.value)
                listing = self._leased_listing(snapshot, place.value, listing)
            self._listings.put(key, listing)
        return listing

    def _dots(self, inode: int, parent: int, cookie: int) -> Iterator[DirectoryEntry]:
        if cookie < 1:
            yield DirectoryEntry(b".", 1, self._bare(inode))
        if cookie < DOTS:
            yield DirectoryEntry(b"..", DOTS, self._bare(parent))

    def _bare(self, inode: int) -> Attributes:
        """Return attributes for a dot entry, of which the kernel takes only the inode."""
        return Attributes(inode, 0o040555, 0, 0, 0, 0, 0)


def _cookie(entry: DirectoryEntry) -> int:
    return entry.cookie


def _decode(inode: int) -> Inode:
    try:
        return inodes.decode(inode)
    except ValueError as error:
        raise NotFoundError(str(error)) from error
