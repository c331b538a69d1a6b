"""Directory records: the local form that is read; `artstore.records.packed_trees` has the canonical and packed forms.

A directory is one record while it has at most `FANOUT` entries; a larger one is split (see
`artstore.ingest.content_cuts`) into records of level 0, and records of level 1 and up list those below them.

The *canonical* form holds names, kinds, sizes and ids, so its BLAKE3, the *digest*, is the same for the same content
on any machine: a version's digest is that of its root record.  The *attributes* of a record are what it holds beside
the content: of each entry the modification time and the permission bits, of each directory or record below its form
id.  The *form id* is the BLAKE3 of the digest and the attributes: two records of equal content and other times are two
forms of one digest, two nodes.  The *packed* form is the canonical form followed by the attributes.

The *local* form holds node numbers and running totals, in rows of fixed width, so that an entry is found by name, by
position or by preorder index without parsing the record.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from enum import IntEnum
from itertools import pairwise
from typing import Final, NamedTuple

from artstore.errors import DamageError
from artstore.records.nodes import FANOUT, KIND_TREE, LARGEST, Extent

__all__ = [
    "EARLIEST_NS",
    "FANOUT",
    "INODES_MAX",
    "LATEST_NS",
    "LINK_MODE",
    "MAX_LINK",
    "MODE_BITS",
    "NEW_FILE_MODE",
    "NEW_FOLDER_MODE",
    "ChildRecord",
    "Kind",
    "TreeEntry",
    "TreeTotals",
    "TreeView",
    "clamped_ns",
    "encode_tree",
    "is_entry_name",
    "tree_with_extent",
]

MAX_NAME: Final = 255
MAX_LINK: Final = 4095
MODE_BITS: Final = 0o777
"""The permission bits that an entry keeps."""
LINK_MODE: Final = 0o777
"""The permission bits of every symlink, which no system looks at."""
NEW_FOLDER_MODE: Final = 0o755
NEW_FILE_MODE: Final = 0o644
"""The permission bits of a folder, and of a file, that has no source."""
EARLIEST_NS: Final = -(2**63)
LATEST_NS: Final = 2**63 - 1
"""The modification times that an entry can have, in ns since 1970: the years 1677 to 2262."""
INODES_MAX: Final = 2**31 - 1
"""Entries of a tree at all depths, at most: an inode number has 31 bits for them, and the root is 0."""
_FORMAT: Final = 2


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


class TreeEntry(NamedTuple):
    """One entry of a directory, with the attributes that LOOKUP and READDIRPLUS return.

    ``node`` is a content node, or for a directory its root record.  ``size`` is in bytes, for a directory that of all
    files below it.  ``inodes`` counts the entry with all below it (1 unless it is a directory); ``inodes_before`` sums
    that over the entries before this one in the same record.
    """

    name: bytes
    kind: Kind
    node: int
    size: int
    mtime_ns: int
    mode: int
    inodes_before: int
    inodes: int

    @property
    def is_directory(self) -> bool:
        """Whether the entry is a directory."""
        return self.kind is Kind.DIRECTORY


class ChildRecord(NamedTuple):
    """One row of an index record: a record below, its last name, and running totals."""

    node: int
    last_name: bytes
    entries: int
    entries_before: int
    inodes: int
    inodes_before: int


class TreeTotals(NamedTuple):
    """Sums over a record: entries of this directory under it, and files, directories and bytes at all depths.

    ``newest_ns`` is the latest modification time of any entry at any depth, `EARLIEST_NS` if there is none.
    """

    entries: int
    files: int
    directories: int
    bytes: int
    newest_ns: int

    @property
    def inodes(self) -> int:
        """Entries at all depths."""
        return self.files + self.directories


_HEAD: Final = struct.Struct("<BB32s32sBHIQIQqBIII")
_EXTENT: Final = struct.Struct("<BIII")
_ROW: Final = struct.Struct("<QQqIHH")
_INDEX_ROW: Final = struct.Struct("<QIIII6sH")
_NAME_OFFSET: Final = struct.Struct("<30xH")
_UNUSED: Final = bytes(6)
_ROW_LENGTH: Final = 32
_BEFORE_AT: Final = 24
_ENTRIES_BEFORE_AT: Final = 12
_INODES_BEFORE_AT: Final = 20
_NAME_AT: Final = 30
_KIND_SHIFT: Final = 9
_SEARCHES: Final = 4
"""The search of a view at which it takes all its names out: that costs as much as a few bisections."""
_NAME_OVERHEAD: Final = 48
"""Bytes of an object and of the reference to it, for each name that a view has taken out."""
_CHILD_OVERHEAD: Final = 300
"""Bytes of the parsed row of an index record, for each that a view has kept."""
assert _ROW.size == _INDEX_ROW.size == _NAME_OFFSET.size == _ROW_LENGTH


def is_entry_name(name: bytes) -> bool:
    """Return whether a file or directory can have a name: 1 to 255 bytes, which lead nowhere else."""
    return 0 < len(name) <= MAX_NAME and b"/" not in name and b"\0" not in name and name not in (b".", b"..")


def clamped_ns(mtime_ns: int) -> int:
    """Return the nearest modification time that an entry can have."""
    return min(max(mtime_ns, EARLIEST_NS), LATEST_NS)


def encode_tree(
    level: int,
    digest: bytes,
    form: bytes,
    totals: TreeTotals,
    extent: Extent,
    rows: Sequence[TreeEntry] | Sequence[ChildRecord],
) -> bytes:
    """Return the local record's bytes, without the seal; ``rows`` are entries at level 0, children above."""
    place = (extent.codec, extent.pack, extent.offset, extent.stored)
    head = _HEAD.pack(KIND_TREE, _FORMAT, form, digest, level, len(rows), *totals, *place)
    parts = [head]
    names: list[bytes] = []
    offset = 0
    for row in rows:
        if isinstance(row, TreeEntry):
            name = row.name
            kind = row.kind << _KIND_SHIFT | row.mode
            parts.append(_ROW.pack(row.node, row.size, row.mtime_ns, row.inodes_before, kind, offset))
        else:
            name = row.last_name
            parts.append(
                _INDEX_ROW.pack(
                    row.node, row.entries, row.entries_before, row.inodes, row.inodes_before, _UNUSED, offset
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
        *("_children", "_data", "_names", "_searches", "_sorted"),
        *("count", "digest", "extent", "form", "level", "totals"),
    )

    def __init__(self, payload: bytes) -> None:
        try:
            fields = _HEAD.unpack_from(payload)
        except struct.error as error:
            raise DamageError("a directory record is cut short") from error
        kind, version, self.form, self.digest, self.level, self.count = fields[:6]
        self.totals = TreeTotals(*fields[6:11])
        codec, pack, offset, stored = fields[11:]
        self.extent = Extent(pack, offset, stored, codec)
        self._data = payload
        self._sorted: list[bytes] | None = None
        self._children: dict[int, ChildRecord] = {}
        self._searches = 0
        self._names: int = _HEAD.size + self.count * _ROW_LENGTH
        if kind != KIND_TREE or version != _FORMAT or self.count > FANOUT or self._names > len(payload):
            raise DamageError(f"a directory record is malformed (kind {kind}, version {version})")
        if (
            any(payload[_HEAD.size + _NAME_AT : _HEAD.size + _ROW_LENGTH])
            if self.count
            else self._names != len(payload)
        ):
            raise DamageError("a directory record has bytes that belong to no name")
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
        overhead = _NAME_OVERHEAD + _CHILD_OVERHEAD if self.level else _NAME_OVERHEAD
        return 2 * len(self._data) + int(self.count) * overhead + 300

    def name(self, index: int) -> bytes:
        """Return the name of row ``index`` (the last name below it in an index record)."""
        data, at = self._data, _HEAD.size + index * _ROW_LENGTH + _NAME_AT
        start = self._names + int.from_bytes(data[at : at + 2], "little")
        if index + 1 < self.count:
            at += _ROW_LENGTH
            end = self._names + int.from_bytes(data[at : at + 2], "little")
        else:
            end = len(data)
        if not start < end <= min(len(data), start + MAX_NAME):
            raise DamageError("a directory record has a name outside its bounds")
        return data[start:end]

    def entry(self, index: int) -> TreeEntry:
        """Return entry ``index`` of a level-0 record."""
        data, at = self._data, _HEAD.size + index * _ROW_LENGTH
        node, size, mtime_ns, before, kind, _ = _ROW.unpack_from(data, at)
        if index + 1 < self.count:
            at += _ROW_LENGTH + _BEFORE_AT
            after = int.from_bytes(data[at : at + 4], "little")
        else:
            after = self.totals.inodes
        return self._entry(self.name(index), node, size, mtime_ns, before, kind, after)

    @staticmethod
    def _entry(name: bytes, node: int, size: int, mtime_ns: int, before: int, kind: int, after: int) -> TreeEntry:
        try:
            entry_kind = _KINDS[kind >> _KIND_SHIFT]
        except KeyError as error:
            raise DamageError(f"a directory record has an entry of the unknown kind {kind >> _KIND_SHIFT}") from error
        inodes = after - before
        if inodes < 1 or (inodes > 1 and entry_kind is not Kind.DIRECTORY):
            raise DamageError("a directory record's running totals do not add up")
        return TreeEntry(name, entry_kind, node, size, mtime_ns, kind & MODE_BITS, before, inodes)

    def entries(self, start: int = 0) -> Iterator[TreeEntry]:
        """Yield the entries of a level-0 record from ``start``, in name order."""
        data, names, kinds = self._data, self._names, _KINDS
        rows = list(_ROW.iter_unpack(data[_HEAD.size + start * _ROW_LENGTH : names]))
        rows.append((0, 0, 0, self.totals.inodes, 0, len(data) - names))
        for (node, size, mtime_ns, before, kind, offset), following in pairwise(rows):
            inodes, end = following[3] - before, following[5]
            if (
                inodes == 1
                and 0 < end - offset <= MAX_NAME
                and kind >> _KIND_SHIFT in kinds
                and names + end <= len(data)
            ):
                name = data[names + offset : names + end]
                yield TreeEntry(
                    name, kinds[kind >> _KIND_SHIFT], node, size, mtime_ns, kind & MODE_BITS, before, inodes
                )
            else:
                yield self.entry(start)  # a directory, or damaged
            start += 1

    def times_and_modes(self) -> list[tuple[int, int]]:
        """Return the modification time and the permission bits of each entry of a level-0 record."""
        rows = _ROW.iter_unpack(self._data[_HEAD.size : self._names])
        return [(mtime_ns, kind & MODE_BITS) for _, _, mtime_ns, _, kind, _ in rows]

    def leaves(self, start: int = 0) -> Iterator[tuple[bytes, int, int, int]]:
        """Yield (name, kind << 9 | mode, size, mtime in ns) of a level-0 record without directories, in name order."""
        data, names = self._data, self._names
        rows = list(_ROW.iter_unpack(data[_HEAD.size + start * _ROW_LENGTH : names]))
        rows.append((0, 0, 0, 0, 0, len(data) - names))
        for (_, size, mtime_ns, before, kind, offset), following in pairwise(rows):
            end = following[5]
            name = data[names + offset : names + end]
            if before != start or not 0 < len(name) == end - offset <= MAX_NAME or kind >> _KIND_SHIFT not in _LEAVES:
                raise DamageError("a directory record has an invalid entry")
            yield name, kind, size, mtime_ns
            start += 1

    def child(self, index: int) -> ChildRecord:
        """Return row ``index`` of an index record; those of a view that is searched again and again are kept."""
        known = self._children.get(index)
        if known is not None:
            return known
        row = _INDEX_ROW.unpack_from(self._data, _HEAD.size + index * _ROW_LENGTH)
        node, entries, entries_before, inodes, inodes_before, unused, _ = row
        totals = self.totals
        if unused != _UNUSED:
            raise DamageError("a directory record has a row with unknown fields")
        if not 0 < entries <= totals.entries - entries_before or not 0 < inodes <= totals.inodes - inodes_before:
            raise DamageError("a directory record has a row with more entries than itself")
        child = ChildRecord(node, self.name(index), entries, entries_before, inodes, inodes_before)
        if self._sorted is not None:
            self._children[index] = child
        return child

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
            self._searches += 1
            names = self._all_names() if self._searches == _SEARCHES else None
            if names is None:
                return bisect_left(range(self.count), name, key=self.name)
            self._sorted = names
        return bisect_left(names, name)

    def _all_names(self) -> list[bytes] | None:
        """Return the names of all rows, or None if one is outside its bounds."""
        data, base = self._data, self._names
        bounds = [base + offset for (offset,) in _NAME_OFFSET.iter_unpack(data[_HEAD.size : base])]
        bounds.append(len(data))
        if any(not start < end <= start + MAX_NAME for start, end in pairwise(bounds)):
            return None
        return [data[start:end] for start, end in pairwise(bounds)]

    def find(self, name: bytes) -> int:
        """Return the index of the entry called ``name`` in a level-0 record, or -1."""
        index = self._first_not_below(name)
        if index >= self.count:
            return -1
        names = self._sorted
        return index if (self.name(index) if names is None else names[index]) == name else -1

    def child_for_name(self, name: bytes) -> int:
        """Return the row of an index record below which ``name`` would be, or -1 when it is past the last."""
        index = self._first_not_below(name)
        return index if index < self.count else -1

    def child_for_position(self, position: int) -> int:
        """Return the row below which entry ``position`` (counted from this record's first) lies, or -1."""
        return self._last_at_or_before(position, _ENTRIES_BEFORE_AT) if position < self.totals.entries else -1

    def row_for_inode(self, inode: int) -> int:
        """Return the row that is, or holds, entry ``inode`` of all depths (in preorder, from 0), or -1.

        At level 0 the row is an entry; above, a record.
        """
        if inode >= self.totals.inodes:
            return -1
        if self.count == self.totals.inodes:
            return inode  # each row is one entry
        return self._last_at_or_before(inode, _INODES_BEFORE_AT if self.level else _BEFORE_AT)

    def _last_at_or_before(self, value: int, field: int) -> int:
        """Return the last row whose running total, at byte ``field`` of the rows, is at most ``value``."""
        data, base = self._data, _HEAD.size + field
        low, high = 0, int(self.count) - 1
        if any(data[base : base + 4]):
            raise DamageError("a directory record's running totals do not begin with 0")
        while low < high:
            middle = (low + high + 1) // 2
            at = base + middle * _ROW_LENGTH
            if int.from_bytes(data[at : at + 4], "little") <= value:
                low = middle
            else:
                high = middle - 1
        return low


_KINDS: Final = {int(kind): kind for kind in Kind}
_LEAVES: Final = frozenset(_KINDS) - {Kind.DIRECTORY}
