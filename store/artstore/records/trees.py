"""Directory records: the canonical form that is hashed and packed, and the local form that is read.

A directory is one record while it has at most `FANOUT` entries; a larger one is split (see
`artstore.ingest.content_cuts`) into records of level 0, and records of level 1 and up list those below them.  The
*canonical* form holds names, kinds, sizes and ids and nothing local, so its BLAKE3 is the same on any machine: a
version's digest is that of its root record.  The *local* form holds node numbers, birth times and running totals, in
rows of fixed width, so that a name is found by bisection without parsing the record.
"""

from __future__ import annotations

import struct
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from enum import IntEnum
from itertools import pairwise
from typing import Final, NamedTuple

from artstore.errors import DamageError
from artstore.ids import ID_LENGTH
from artstore.records.nodes import FANOUT, KIND_TREE, LARGEST, Extent

__all__ = [
    "FANOUT",
    "CanonicalEntry",
    "CanonicalTree",
    "ChildRecord",
    "Content",
    "Kind",
    "TreeEntry",
    "TreeTotals",
    "TreeView",
    "canonical_entries",
    "canonical_index",
    "encode_tree",
    "is_entry_name",
    "parse_canonical_tree",
    "tree_with_extent",
]

MAX_NAME: Final = 255
MAX_LINK: Final = 4095
_FORMAT: Final = 1


class Kind(IntEnum):
    """The kind of a directory entry.

    The content of a `REFERENCE` is the record (see `artstore.records.references`) of a file whose bytes stay outside
    the store; the entry's size is that file's.
    """

    FILE = 0
    EXECUTABLE = 1
    LINK = 2
    DIRECTORY = 3
    REFERENCE = 4


class CanonicalEntry(NamedTuple):
    """One entry in the canonical form; ``id`` is the content's or the directory's, ``size`` 0 for a directory.

    For a link ``id`` is the BLAKE3 of its text and ``size`` the text's length: a link is content of another kind.
    """

    name: bytes
    kind: Kind
    size: int
    id: bytes


class CanonicalTree(NamedTuple):
    """A parsed canonical record: entries at level 0, (last name, digest) pairs above."""

    level: int
    entries: tuple[CanonicalEntry, ...]
    children: tuple[tuple[bytes, bytes], ...]


class TreeEntry(NamedTuple):
    """One entry of a directory, with the attributes that LOOKUP and READDIRPLUS return.

    ``node`` is a content node, or for a directory its root record.  ``size`` is in bytes, for a directory that of all
    files below it.  ``directories`` counts a directory with all below it (0 for others); ``directories_before`` sums
    that over the entries before this one in the same record.
    """

    name: bytes
    kind: Kind
    node: int
    size: int
    birth_ns: int
    directories: int
    directories_before: int


Content = tuple[bytes, int, int, int, int]
"""(name, kind, node, size, birth_ns) of an entry that is no directory: a plain tuple, for reading many entries fast."""


class ChildRecord(NamedTuple):
    """One row of an index record: a record below, its last name, and running totals."""

    node: int
    last_name: bytes
    entries: int
    entries_before: int
    directories: int
    directories_before: int


class TreeTotals(NamedTuple):
    """Sums over a record: entries of this directory under it, and files, directories and bytes at all depths."""

    entries: int
    files: int
    directories: int
    bytes: int


_CANONICAL_HEAD: Final = struct.Struct("<BBH")
_CANONICAL_FILE: Final = struct.Struct("<BQ32s")
_HEAD: Final = struct.Struct("<BB32sBHIQIQBIII")
_EXTENT: Final = struct.Struct("<BIII")
_ROW: Final = struct.Struct("<QQQIBBxx")
_INDEX_ROW: Final = struct.Struct("<QIIIIIBBxx")
_ROW_LENGTH: Final = 32
_NAME_OVERHEAD: Final = 48
"""Bytes of an object and of the reference to it, for each name that a view has taken out."""
_NAME_OUTSIDE: Final = "a directory record has a name outside its bounds"
assert _ROW.size == _INDEX_ROW.size == _ROW_LENGTH


def is_entry_name(name: bytes) -> bool:
    """Return whether a file or directory can have a name: 1 to 255 bytes, which lead nowhere else."""
    return 0 < len(name) <= MAX_NAME and b"/" not in name and b"\0" not in name and name not in (b".", b"..")


def canonical_entries(entries: Sequence[CanonicalEntry]) -> bytes:
    """Return the canonical record of level 0: entries sorted by name bytes, at most `FANOUT`."""
    parts = [_CANONICAL_HEAD.pack(_FORMAT, 0, len(entries))]
    for name, kind, size, ident in entries:
        parts.append(len(name).to_bytes(1, "little") + name)
        parts.append(_CANONICAL_FILE.pack(kind, size, ident))
    return b"".join(parts)


def canonical_index(level: int, children: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Return the canonical record of a level above 0: (last name, digest) of each record below, in order."""
    parts = [_CANONICAL_HEAD.pack(_FORMAT, level, len(children))]
    for last_name, digest in children:
        parts.append(len(last_name).to_bytes(1, "little") + last_name + digest)
    return b"".join(parts)


def parse_canonical_tree(data: bytes) -> CanonicalTree:
    """Return a canonical record's content; raise `DamageError` on anything malformed."""
    try:
        form, level, count = _CANONICAL_HEAD.unpack_from(data)
        position = _CANONICAL_HEAD.size
        entries: list[CanonicalEntry] = []
        children: list[tuple[bytes, bytes]] = []
        for _ in range(count):
            name_end = position + 1 + data[position]
            name = data[position + 1 : name_end]
            if level:
                children.append((name, data[name_end : name_end + ID_LENGTH]))
                position = name_end + ID_LENGTH
            else:
                kind, size, ident = _CANONICAL_FILE.unpack_from(data, name_end)
                entries.append(CanonicalEntry(name, Kind(kind), size, ident))
                position = name_end + _CANONICAL_FILE.size
    except (struct.error, IndexError, ValueError) as error:
        raise DamageError("a packed directory record is malformed") from error
    if form != _FORMAT or position != len(data) or count > FANOUT or (level and not count):
        raise DamageError("a packed directory record is malformed")
    names = [entry.name for entry in entries] or [name for name, _ in children]
    if not all(map(is_entry_name, names)) or any(name >= following for name, following in pairwise(names)):
        raise DamageError("a packed directory record has names that are invalid or out of order")
    return CanonicalTree(level, tuple(entries), tuple(children))


def encode_tree(
    level: int,
    digest: bytes,
    totals: TreeTotals,
    extent: Extent,
    rows: Sequence[TreeEntry] | Sequence[ChildRecord],
) -> bytes:
    """Return the local record's bytes, without the seal; ``rows`` are entries at level 0, children above."""
    head = _HEAD.pack(
        KIND_TREE,
        _FORMAT,
        digest,
        level,
        len(rows),
        totals.entries,
        totals.files,
        totals.directories,
        totals.bytes,
        extent.codec,
        extent.pack,
        extent.offset,
        extent.stored,
    )
    parts = [head]
    names: list[bytes] = []
    offset = 0
    for row in rows:
        if isinstance(row, TreeEntry):
            name = row.name
            extra = row.directories_before << 32 | row.directories if row.kind == Kind.DIRECTORY else row.birth_ns
            parts.append(_ROW.pack(row.node, row.size, extra, offset, len(name), row.kind))
        else:
            name = row.last_name
            parts.append(
                _INDEX_ROW.pack(
                    row.node,
                    row.entries,
                    row.entries_before,
                    row.directories,
                    row.directories_before,
                    offset,
                    len(name),
                    0,
                )
            )
        names.append(name)
        offset += len(name)
    return b"".join(parts + names)


def tree_with_extent(payload: bytes, extent: Extent) -> bytes:
    """Return the directory record whose stored form lies somewhere else."""
    start = _HEAD.size - _EXTENT.size
    place = _EXTENT.pack(extent.codec, extent.pack, extent.offset, extent.stored)
    return payload[:start] + place + payload[_HEAD.size :]


class TreeView:
    """Read one local directory record, parsing only the requested entries.

    Immutable, and valid for as long as its node lives: node numbers are never reused.
    """

    __slots__ = (
        "_data",
        "_folders",
        "_names",
        "_size_of_names",
        "_sorted",
        "count",
        "digest",
        "extent",
        "level",
        "totals",
    )

    def __init__(self, payload: bytes) -> None:
        try:
            fields = _HEAD.unpack_from(payload)
        except struct.error as error:
            raise DamageError("a directory record is cut short") from error
        kind, version, self.digest, self.level, self.count = fields[:5]
        self.totals = TreeTotals(*fields[5:9])
        codec, pack, offset, stored = fields[9:]
        self.extent = Extent(pack, offset, stored, codec)
        self._data = payload
        self._folders: list[tuple[int, int]] | None = None
        self._sorted: list[bytes] | None = None
        self._names: int = _HEAD.size + self.count * _ROW_LENGTH
        self._size_of_names = len(payload) - self._names
        if kind != KIND_TREE or version != _FORMAT or self.count > FANOUT or self._size_of_names < 0:
            raise DamageError(f"a directory record is malformed (kind {kind}, version {version})")
        if stored > LARGEST or (not self.count if self.level else self.count != self.totals.entries):
            raise DamageError(f"a directory record has {self.count} of {self.totals.entries} entries")

    @property
    def total_entries(self) -> int:
        """Entries of this directory under this record."""
        return self.totals.entries

    @property
    def total_files(self) -> int:
        """Files and links below, at all depths."""
        return self.totals.files

    @property
    def total_directories(self) -> int:
        """Directories below, at all depths; the record's own is not counted."""
        return self.totals.directories

    @property
    def total_bytes(self) -> int:
        """Bytes of all files below, at all depths."""
        return self.totals.bytes

    @property
    def footprint(self) -> int:
        """Upper bound in bytes of this view's memory, for caches."""
        return len(self._data) + int(self._size_of_names) + int(self.count) * _NAME_OVERHEAD + 300

    def name(self, index: int) -> bytes:
        """Return the name of row ``index`` (the last name below it in an index record)."""
        row = _HEAD.size + index * _ROW_LENGTH
        return self._name(int.from_bytes(self._data[row + 24 : row + 28], "little"), self._data[row + 28])

    def _name(self, offset: int, length: int) -> bytes:
        start = self._names + offset
        name = self._data[start : start + length]
        if not length or len(name) != length:
            raise DamageError(_NAME_OUTSIDE)
        return name

    def entry(self, index: int) -> TreeEntry:
        """Return entry ``index`` of a level-0 record."""
        row = _ROW.unpack_from(self._data, _HEAD.size + index * _ROW_LENGTH)
        return self._entry(*row)

    def _entry(self, node: int, size: int, extra: int, offset: int, length: int, kind: int) -> TreeEntry:
        start = self._names + offset
        name = self._data[start : start + length]
        if not length or len(name) != length:
            raise DamageError(_NAME_OUTSIDE)
        if kind == Kind.DIRECTORY:
            directories, before = extra & 0xFFFFFFFF, extra >> 32
            if not 0 < directories <= self.totals.directories - before:
                raise DamageError("a directory record has an entry with more directories than itself")
            return TreeEntry(name, Kind.DIRECTORY, node, size, 0, directories, before)
        try:
            return TreeEntry(name, _KINDS[kind], node, size, extra, 0, 0)
        except KeyError as error:
            raise DamageError(f"a directory record has an entry of the unknown kind {kind}") from error

    def entries(self, start: int = 0) -> Iterator[TreeEntry]:
        """Yield the entries of a level-0 record from ``start``, in name order."""
        data, names = self._data, self._names
        for node, size, extra, offset, length, kind in _ROW.iter_unpack(data[_HEAD.size + start * _ROW_LENGTH : names]):
            name = data[names + offset : names + offset + length]
            if kind in _FILES and len(name) == length and length:
                yield TreeEntry(name, _FILES[kind], node, size, extra, 0, 0)
            else:
                yield self._entry(node, size, extra, offset, length, kind)

    def contents(self, start: int = 0) -> Iterator[Content]:
        """Yield the entries of a level-0 record without directories from ``start``, in name order."""
        data, names = self._data, self._names
        for node, size, birth_ns, offset, length, kind in _ROW.iter_unpack(
            data[_HEAD.size + start * _ROW_LENGTH : names]
        ):
            name = data[names + offset : names + offset + length]
            if kind not in _FILES or len(name) != length or not length:
                raise DamageError("a directory record has an invalid entry")
            yield name, kind, node, size, birth_ns

    def child(self, index: int) -> ChildRecord:
        """Return row ``index`` of an index record."""
        row = _INDEX_ROW.unpack_from(self._data, _HEAD.size + index * _ROW_LENGTH)
        node, entries, entries_before, directories, directories_before, offset, length, _ = row
        totals = self.totals
        if not 0 < entries <= totals.entries - entries_before or directories + directories_before > totals.directories:
            raise DamageError("a directory record has a row with more entries than itself")
        return ChildRecord(node, self._name(offset, length), entries, entries_before, directories, directories_before)

    def children(self) -> Iterator[ChildRecord]:
        """Yield the rows of an index record, in order."""
        for index in range(self.count):
            yield self.child(index)

    def nodes(self) -> list[int]:
        """Return the node number of every row, in order: the references that this record counts."""
        rows = self._data[_HEAD.size : self._names]
        return [fields[0] for fields in _ROW.iter_unpack(rows)]

    def _first_not_below(self, name: bytes) -> int:
        names = self._sorted
        if names is None:
            names = self._sorted = [self.name(index) for index in range(self.count)]
        return bisect_left(names, name)

    def find(self, name: bytes) -> int:
        """Return the index of the entry called ``name`` in a level-0 record, or -1."""
        index = self._first_not_below(name)
        return index if index < self.count and self.name(index) == name else -1

    def child_for_name(self, name: bytes) -> int:
        """Return the row of an index record below which ``name`` would be, or -1 when it is past the last."""
        index = self._first_not_below(name)
        return index if index < self.count else -1

    def child_for_position(self, position: int) -> int:
        """Return the row below which entry ``position`` (counted from this record's first) lies, or -1."""
        return self._last_at_or_before(position, 12) if position < self.totals.entries else -1

    def child_for_directory(self, directory: int) -> int:
        """Return the row below which the ``directory``-th directory (in preorder, from 0) lies, or -1.

        At level 0 the row is an entry; above, a record.
        """
        if directory >= self.totals.directories:
            return -1
        if self.level:
            return self._last_at_or_before(directory, 20)
        if self._folders is None:
            self._folders = [
                (entry.directories_before, row) for row, entry in enumerate(self.entries()) if entry.directories
            ]
        index = bisect_right(self._folders, (directory, self.count)) - 1
        if index < 0:
            return -1
        row = self._folders[index][1]
        entry = self.entry(row)
        return row if 0 <= directory - entry.directories_before < entry.directories else -1

    def _last_at_or_before(self, value: int, field: int) -> int:
        """Return the last row whose running total, at byte ``field`` of the rows, is at most ``value``."""
        data, base = self._data, _HEAD.size + field
        if any(data[base : base + 4]):
            raise DamageError("a directory record's running totals do not begin with 0")
        low, high = 0, self.count - 1
        while low < high:
            middle = (low + high + 1) // 2
            at = base + middle * _ROW_LENGTH
            if int.from_bytes(data[at : at + 4], "little") <= value:
                low = middle
            else:
                high = middle - 1
        return low


_KINDS: Final = {int(kind): kind for kind in Kind}
_FILES: Final = {number: kind for number, kind in _KINDS.items() if kind is not Kind.DIRECTORY}
