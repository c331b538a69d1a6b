"""The versions of an artifact, as the next one is compared with them: what it shares, and its times.

Programs such as rsync, make, HTTP caches and Python's import recognise a file by its size and its modification time
in seconds.  So content that differs from what an earlier version shows at the same path must not show the same pair.
Earlier versions are the living ones, and deleted ones that can still be undeleted:

- A directory record whose digest is unchanged, at its place in the latest version, is shared with its times.  One of
  several of a changed directory is not if it has Python modules of other times: their compiled files, which name the
  second, are in another record.
- In a record that is written, each entry has the time of its source.  If an earlier version shows other content of the
  same size at the path with the same second, the entry gets the time of the commit instead, or the second after the
  latest one shown there.  If its content is that of the latest version, it keeps the time that it has there.
- A file that was written since the latest version shows a later time than that does, even if that one was given.
- What a version gives (a base) gets the time of the commit where the latest version has other content, so that time
  does not run backwards.

An entry is looked up in earlier versions only if its second is not later than all that they show, which is known of
the latest one (`VersionRecord.newest_ns`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from operator import ne
from typing import Final

from artstore.ingest.batch import EntryDraft
from artstore.ingest.staging import RequirementError
from artstore.records.catalogue import VersionRecord
from artstore.records.tables import Table
from artstore.records.trees import EARLIEST_NS, LATEST_NS, Kind, TreeEntry, TreeView
from artstore.rows import catalogue, trees
from artstore.rows.nodes import node_identity
from artstore.rows.snapshot import Snapshot
from artstore.storage.manifest import ReadTransaction
from artstore.store import Store

__all__ = ["Earlier", "EarlierDirectory"]

_SECOND: Final = 1_000_000_000
_MODULE: Final = b".py"
_CLOCK_TICK_NS: Final = 20_000_000
"""How far the times of files may lag behind the clock, which file systems read at its ticks."""
_GIVEN_AHEAD_NS: Final = 60 * _SECOND
"""How far a time that was given may be ahead of its version; what is further ahead is the source's own."""
_VIEWS: Final = 512
"""Parsed records that are kept."""


class Earlier:
    """The versions of an artifact as of one moment, with deleted ones that can come back.

    With ``share`` false, unchanged records are written with the times of their source too.
    """

    def __init__(self, store: Store, artifact: str, *, share: bool = True) -> None:
        """``artifact`` is a name, which need not exist yet."""
        self.store = store
        self.share = share
        self.now_ns = time.time_ns()
        self.differing = 0
        """Paths whose time or mode differs from that in a record that was shared."""
        self._artifact = artifact
        self._roots: list[int] | None = None
        self._views: dict[int, TreeView] = {}
        with store.snapshot() as snapshot:
            versions = self._recorded(snapshot)
            highest = next(versions, None)
            living = (version for version in versions if version.state == "live")
            self.latest = highest if highest is not None and highest.state == "live" else next(living, None)
            self._place = self._place_in(snapshot.transaction)
        self._has_versions = highest is not None
        self.newest_ns = EARLIEST_NS if highest is None else highest.newest_ns
        """The latest time that any of the versions shows."""

    def _recorded(self, snapshot: Snapshot) -> Iterator[VersionRecord]:
        """Yield the versions, from the highest number down."""
        transaction = snapshot.transaction
        record = catalogue.find_name(transaction, self._artifact) or catalogue.find_retired(transaction, self._artifact)
        return iter(()) if record is None else catalogue.recorded_descending(transaction, record.number)

    def _find_roots(self) -> list[int]:
        if self._roots is None:
            with self.store.snapshot() as snapshot:
                self._roots = [version.root for version in self._recorded(snapshot)]
        return self._roots

    def require_latest(self, transaction: ReadTransaction) -> None:
        """Raise `RequirementError` if the artifact has another latest version now, or a newer one that was deleted."""
        if self._place_in(transaction) != self._place:
            raise RequirementError(
                f"another version of {self._artifact!r} was committed at the same time", hint="try again"
            )

    def _place_in(self, transaction: ReadTransaction) -> tuple[int, int, int]:
        """Return how many version numbers the artifact has given, and the serial and root of its newest version."""
        record = catalogue.find_name(transaction, self._artifact) or catalogue.find_retired(transaction, self._artifact)
        latest = None if record is None else catalogue.newest(transaction, record.number)
        number = 0 if record is None else record.next_version + record.next_pending
        return (number, 0, 0) if latest is None else (number, latest.serial, latest.root)

    def root(self) -> EarlierDirectory | None:
        """Return the root directory of the versions, or None if there is no version."""
        if not self._has_versions:
            return None
        return EarlierDirectory(self, None if self.latest is None else self.latest.root, self._find_roots)

    def view(self, snapshot: Snapshot, node: int) -> TreeView | None:
        """Return a directory record, or None if it has been reaped since the versions were read."""
        view = self._views.get(node)
        if view is None:
            if not snapshot.transaction.get_numbered(Table.NODES, node):
                return None
            if len(self._views) >= _VIEWS:
                self._views.pop(next(iter(self._views)))
            view = self._views[node] = snapshot.tree(node)
        return view

    def count_differing(self, view: TreeView, entries: Sequence[EntryDraft]) -> None:
        """Count the entries whose time or mode differs from that in a record of the same content."""
        given = [(entry.mtime_ns, entry.mode) for entry in entries]
        if given != (shown := view.times_and_modes()):
            self.differing += sum(map(ne, given, shown))

    def entry(self, snapshot: Snapshot, directory: int, name: bytes) -> TreeEntry | None:
        """Return the entry with a name in a directory, or None."""

        def load(node: int) -> TreeView:
            view = self.view(snapshot, node)
            if view is None:
                raise _ReapedError
            return view

        try:
            found = trees.lookup(load, directory, name)
        except _ReapedError:
            return None
        return None if found is None else found[0]

    def is_content(self, snapshot: Snapshot, node: int, ident: bytes) -> bool:
        """Return whether a content node of an earlier version has an id; one that has been reaped has none."""
        payload = snapshot.transaction.get_numbered(Table.NODES, node)
        return bool(payload) and node_identity(payload or b"") == ident


class _ReapedError(Exception):
    """Raised if a record of an earlier version has been reaped meanwhile."""


class EarlierDirectory:
    """A directory of the earlier versions: ``latest`` is its node in the latest one, or None if that has none."""

    __slots__ = ("_find_forms", "_forms", "earlier", "latest")

    def __init__(self, earlier: Earlier, latest: int | None, find_forms: Callable[[], Iterable[int]]) -> None:
        self.earlier = earlier
        self.latest = latest
        self._find_forms = find_forms
        self._forms: list[int] | None = None

    def enter(self, name: bytes) -> EarlierDirectory:
        """Return the directory with a name in this one, which some version may have."""
        latest = None
        if self.latest is not None:
            with self.earlier.store.snapshot() as snapshot:
                entry = self.earlier.entry(snapshot, self.latest, name)
            if entry is not None and entry.kind is Kind.DIRECTORY:
                latest = entry.node
        return EarlierDirectory(self.earlier, latest, lambda: self._directories_called(name))

    def forms(self) -> list[int]:
        """Return the distinct nodes of the directory in the earlier versions."""
        if self._forms is None:
            self._forms = list(dict.fromkeys(self._find_forms()))
        return self._forms

    def _directories_called(self, name: bytes) -> Iterator[int]:
        forms = self.forms()
        with self.earlier.store.snapshot() as snapshot:
            for node in forms:
                entry = self.earlier.entry(snapshot, node, name)
                if entry is not None and entry.kind is Kind.DIRECTORY:
                    yield entry.node

    def whole(self, digest: bytes) -> bytes | None:
        """Return the form id of the directory in the latest version if it has a digest there, else None."""
        if self.latest is None or not self.earlier.share:
            return None
        with self.earlier.store.snapshot() as snapshot:
            view = self.earlier.view(snapshot, self.latest)
            return bytes(view.form) if view is not None and view.digest == digest else None

    def shared(self, digest: bytes, entries: Sequence[EntryDraft]) -> bytes | None:
        """Return the form id of the record of level 0 with a digest at the same place in the latest version, or None.

        Counts the entries whose time or mode is another one there.
        """
        if self.latest is None or not self.earlier.share or not entries:
            return None
        node = self.record(entries[-1].name)
        if node is None:
            return None
        with self.earlier.store.snapshot() as snapshot:
            view = self.earlier.view(snapshot, node)
            if view is None or view.digest != digest:
                return None
            self.earlier.count_differing(view, entries)
            return None if node != self.latest and _has_newer_modules(view, entries) else bytes(view.form)

    def record(self, name: bytes) -> int | None:
        """Return the node of the record of level 0 in the latest version in which a name is, or would be."""
        node = self.latest
        with self.earlier.store.snapshot() as snapshot:
            while node is not None:
                view = self.earlier.view(snapshot, node)
                if view is None or not view.level:
                    return None if view is None else node
                row = view.child_for_name(name)
                node = None if row < 0 else view.child(row).node
        return None

    def count_differing(self, entries: Sequence[EntryDraft]) -> None:
        """Count the entries of the directory, one record, whose time or mode is another one in the latest version."""
        if self.latest is not None:
            with self.earlier.store.snapshot() as snapshot:
                view = self.earlier.view(snapshot, self.latest)
                if view is not None:
                    self.earlier.count_differing(view, entries)

    def settled(self, entries: Sequence[EntryDraft], taken: Set[bytes] = frozenset()) -> list[EntryDraft]:
        """Return the entries of a record that is written, with the times that the new version shows.

        ``taken`` names those that a version gives.
        """
        with self.earlier.store.snapshot() as snapshot:
            return [
                entry if entry.kind is Kind.DIRECTORY else self._settled(snapshot, entry, entry.name in taken)
                for entry in entries
            ]

    def _settled(self, snapshot: Snapshot, entry: EntryDraft, is_taken: bool) -> EntryDraft:
        second = entry.mtime_ns // _SECOND
        current = None if self.latest is None else self.earlier.entry(snapshot, self.latest, entry.name)
        if current is not None and current.kind is Kind.DIRECTORY:
            current = None
        is_new_second = second * _SECOND > self.earlier.newest_ns
        is_same = False
        if current is not None and (is_taken or not is_new_second):
            is_same = self.earlier.is_content(snapshot, current.node, entry.id)
            if is_taken and is_same:
                return entry._replace(mtime_ns=current.mtime_ns)
            if is_same and _pair(current) == (second, entry.size):
                return entry
            if not is_same and (is_taken or self._is_set_back(entry, current)):
                seconds = self._seconds_shown(snapshot, entry)
                return entry._replace(mtime_ns=self._commit_time(seconds | {current.mtime_ns // _SECOND}))
        if is_new_second:
            return entry
        seconds = self._seconds_shown(snapshot, entry)
        if second not in seconds:
            return entry
        if current is not None and is_same:
            return entry._replace(mtime_ns=current.mtime_ns)  # it was given another time before, and has not changed
        return entry._replace(mtime_ns=self._commit_time(seconds))

    def _is_set_back(self, entry: EntryDraft, current: TreeEntry) -> bool:
        """Return whether a file that was written since the latest version would show a time before one given there."""
        latest = self.earlier.latest
        if latest is None or not latest.created_ns - _CLOCK_TICK_NS < entry.mtime_ns <= self.earlier.now_ns:
            return False
        return entry.mtime_ns <= current.mtime_ns < latest.created_ns + _GIVEN_AHEAD_NS

    def _seconds_shown(self, snapshot: Snapshot, entry: EntryDraft) -> set[int]:
        """Return the seconds that earlier versions show at an entry's path for other content of its size."""
        seconds = set()
        for node in self.forms():
            there = self.earlier.entry(snapshot, node, entry.name)
            if there is not None and there.kind is not Kind.DIRECTORY and there.size == entry.size:
                second = there.mtime_ns // _SECOND
                if second not in seconds and not self.earlier.is_content(snapshot, there.node, entry.id):
                    seconds.add(second)
        return seconds

    def _commit_time(self, taken_seconds: set[int]) -> int:
        """Return the time of the commit, or the second after the last of some seconds, whichever is later."""
        second = self.earlier.now_ns // _SECOND
        last = max(taken_seconds, default=second - 1)
        if second > last:
            return self.earlier.now_ns
        if last < LATEST_NS // _SECOND:
            return (last + 1) * _SECOND
        while second in taken_seconds:  # the last second of all is shown already
            second += 1
        return second * _SECOND


def _has_newer_modules(view: TreeView, entries: Sequence[EntryDraft]) -> bool:
    """Return whether Python modules of a record have other seconds than in a record of the same content."""
    if not any(entry.name.endswith(_MODULE) for entry in entries):
        return False
    return any(
        entry.name.endswith(_MODULE) and entry.mtime_ns // _SECOND != there.mtime_ns // _SECOND
        for entry, there in zip(entries, view.entries(), strict=True)
    )


def _pair(entry: TreeEntry) -> tuple[int, int]:
    return entry.mtime_ns // _SECOND, entry.size
