"""What a process knows of the directories of a workspace between its calls.

Two things are kept.  *Records* that were parsed, each with the row that it was parsed from: one is used only while its
row has the same bytes, so neither a repair nor a damaged page is missed.  And of the last transaction that was looked
at, which version a reference names, which root it has, where paths below that lead, and the records of small files;
these are used in snapshots of that transaction only, so a deletion, a purge and another name are seen by the next call.

Threads share this without a lock: what one of them replaces, another may use to the end of its snapshot.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from artstore.records.catalogue import ArtifactRecord, VersionRecord
from artstore.records.tables import Table, key64
from artstore.records.trees import TreeView
from artstore.rows import catalogue
from artstore.rows.nodes import tree_view
from artstore.storage.manifest import ReadTransaction

__all__ = ["Directories", "DirectoryCache", "DirectoryPlace", "LivingVersion", "ResolvedVersion"]

_RECORD_BYTES: Final = 32 << 20
_MOST_PLACES: Final = 1 << 14
_MOST_FILES: Final = 1 << 14
_MOST_VERSIONS: Final = 1 << 10


class DirectoryPlace(NamedTuple):
    """Where a path to a directory leads: its path behind links, and the node of its record."""

    path: bytes
    node: int


ResolvedVersion = tuple[ArtifactRecord, VersionRecord, bytes]
"""An artifact, a living version of it, and a path inside."""


class LivingVersion(NamedTuple):
    """The parts of a living version's record that reading needs: the root's node, and the mount serial."""

    root: int
    mount: int


class _Records:
    """Parsed records of one manifest, by node: all are dropped when they weigh too much."""

    __slots__ = ("entries", "weight")

    def __init__(self) -> None:
        self.entries: dict[int, tuple[int, bytes, TreeView]] = {}
        """The transaction in which the row was last compared, the row, and the record."""
        self.weight = 0

    def keep(self, node: int, number: int, row: bytes, view: TreeView) -> None:
        """Keep a record that was just parsed."""
        self.weight += view.footprint + len(row)
        if self.weight > _RECORD_BYTES:
            self.entries = {}
            self.weight = view.footprint + len(row)
        self.entries[node] = number, row, view


class Directories:
    """The directories as of one transaction of one manifest."""

    __slots__ = ("_files", "_kept_files", "_places", "_records", "_versions", "handles", "number", "references")

    def __init__(self, handles: list[Any], number: int, records: _Records) -> None:
        self.handles = handles
        self.number = number
        self._records = records
        self._places: dict[tuple[int, bytes], DirectoryPlace] = {}
        self._versions: dict[int, LivingVersion] = {}
        self._files: dict[int, dict[str, bytes]] = {}
        self._kept_files = 0
        self.references: dict[str, ResolvedVersion] = {}
        """The living versions that references in text name, for `keep_reference`."""

    def following(self, transaction: ReadTransaction) -> Directories:
        """Return the directories as of a transaction: these, or those that take their place."""
        number = transaction.number
        is_same = transaction.handles is self.handles  # a list of its own for each environment, which this one keeps
        if is_same and number == self.number:
            return self
        return Directories(transaction.handles, number, self._records if is_same else _Records())

    def version(self, transaction: ReadTransaction, serial: int) -> LivingVersion | None:
        """Return the root and the mount serial of the living version with a serial, or None."""
        known = self._versions.get(serial)
        if known is None:
            record = catalogue.version(transaction, serial)
            if record is None:
                return None
            if len(self._versions) >= _MOST_VERSIONS:
                self._versions = {}
            known = self._versions[serial] = LivingVersion(record.root, record.mount)
        return known

    def record(self, transaction: ReadTransaction, node: int) -> TreeView:
        """Return the directory record of a node."""
        known = self._records.entries.get(node)
        if known is not None and known[0] == self.number:
            return known[2]
        row = transaction.raw.get(key64(node), db=transaction.handles[Table.NODES])
        if known is not None and known[1] == row:
            self._records.entries[node] = self.number, known[1], known[2]
            return known[2]
        view = tree_view(transaction, node)
        self._records.keep(node, self.number, row, view)
        return view

    def place(self, root: int, path: bytes) -> DirectoryPlace | None:
        """Return where a path below a root leads, if it is known to lead to a directory."""
        return self._places.get((root, path))

    def keep_place(self, root: int, path: bytes, place: DirectoryPlace) -> None:
        """Keep where a path below a root leads."""
        if len(self._places) >= _MOST_PLACES:
            self._places = {}
        self._places[root, path] = place

    def file(self, serial: int, path: str) -> bytes | None:
        """Return the record of the chunk that a file of a living version consists of, by its path, if it is known."""
        files = self._files.get(serial)
        return None if files is None else files.get(path)

    def keep_file(self, serial: int, path: str, record: bytes) -> None:
        """Keep the record of the chunk that a file of a living version consists of: bytes, for the garbage collector.

        Parsed records of many files would be objects that it visits again and again.
        """
        if self._kept_files >= _MOST_FILES:
            self._files, self._kept_files = {}, 0
        self._files.setdefault(serial, {})[path] = record
        self._kept_files += 1

    def keep_reference(self, ref: str, resolved: ResolvedVersion) -> None:
        """Keep which version a reference names."""
        if len(self.references) >= _MOST_VERSIONS:
            self.references = {}
        self.references[ref] = resolved


class DirectoryCache:
    """The directories that one process knows of a workspace."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Drop everything."""
        self._last = Directories([], 0, _Records())

    def at(self, transaction: ReadTransaction) -> Directories:
        """Return the directories as of a transaction, for use during it."""
        directories = self._last.following(transaction)
        self._last = directories
        return directories
