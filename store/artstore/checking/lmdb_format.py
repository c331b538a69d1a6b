"""The pages of an LMDB 0.9 file, as bytes: what its own source (mdb.c) says of them, for 64-bit little-endian machines.

    file    = page ...                                        page size: in the first meta page
    page    = number u64, pad u16, flags u16, then lower u16, upper u16 (or, of overflow pages, their number u32)
    meta    = page, magic u32, version u32, address u64, map size u64, table (free list), table (main), last page u64,
              transaction u64; pages 0 and 1, the newer one counts
    table   = pad u32, flags u16, depth u16, branch pages u64, leaf pages u64, overflow pages u64, entries u64, root u64
    branch, leaf = page, offsets of nodes u16 ... up to ``lower``, nodes from ``upper`` to the end, in any order
    node    = low u16, high u16, flags u16, key length u16, key, data; padded to an even length

A node of a branch has its child's page in low, high and flags; one of a leaf the length of its data in low and high.
Data that is too long for a leaf is replaced by the number of an overflow page, which starts with a page's head and goes
on without.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

from artstore.errors import DamageError

__all__ = [
    "BIG_DATA",
    "BRANCH",
    "HEAD_LENGTH",
    "LEAF",
    "NO_PAGE",
    "OVERFLOW",
    "SUB_TABLE",
    "Meta",
    "Node",
    "TableRecord",
    "parse_meta",
    "parse_nodes",
    "parse_overflow",
    "parse_table",
]

BRANCH: Final = 0x01
LEAF: Final = 0x02
OVERFLOW: Final = 0x04
_META: Final = 0x08
BIG_DATA: Final = 0x01
SUB_TABLE: Final = 0x02
NO_PAGE: Final = (1 << 64) - 1
_MAGIC: Final = 0xBEEFC0DE
_VERSION: Final = 1
_PAGE: Final = struct.Struct("<QHHHH")
_OVERFLOW_PAGE: Final = struct.Struct("<QHHI")
_TABLE: Final = struct.Struct("<IHHQQQQQ")
_META_HEAD: Final = struct.Struct("<IIQQ")
_META_TAIL: Final = struct.Struct("<QQ")
_NODE: Final = struct.Struct("<HHHH")
HEAD_LENGTH: Final = _PAGE.size


class TableRecord(NamedTuple):
    """What LMDB keeps of one table."""

    pad: int
    flags: int
    depth: int
    branch_pages: int
    leaf_pages: int
    overflow_pages: int
    entries: int
    root: int


class Meta(NamedTuple):
    """A meta page: the state of the file after one transaction."""

    page_size: int
    free: TableRecord
    main: TableRecord
    last_page: int
    transaction: int


class Node(NamedTuple):
    """A node of a branch (``page`` is its child) or of a leaf (``page`` is that of overflowing data, or `NO_PAGE`)."""

    key: bytes
    flags: int
    page: int
    size: int
    data: bytes


def parse_table(data: bytes) -> TableRecord:
    """Return a table's record; raise `DamageError` for another length."""
    if len(data) != _TABLE.size:
        raise DamageError("the record of a table has the wrong length")
    return TableRecord(*_TABLE.unpack(data))


def parse_meta(page: bytes, number: int) -> Meta:
    """Return meta page ``number``; raise `DamageError` if it is none."""
    try:
        label, _, flags, _, _ = _PAGE.unpack_from(page)
        magic, version, _, _ = _META_HEAD.unpack_from(page, HEAD_LENGTH)
        position = HEAD_LENGTH + _META_HEAD.size
        free = TableRecord(*_TABLE.unpack_from(page, position))
        main = TableRecord(*_TABLE.unpack_from(page, position + _TABLE.size))
        last_page, transaction = _META_TAIL.unpack_from(page, position + 2 * _TABLE.size)
    except struct.error as error:
        raise DamageError(f"meta page {number} is cut short") from error
    size = free.pad
    if (label, flags, magic, version) != (number, _META, _MAGIC, _VERSION):
        raise DamageError(f"page {number} is not a meta page")
    if not 512 <= size <= 65536 or size & (size - 1):
        raise DamageError(f"meta page {number} gives a page size of {size} bytes")
    if transaction & 1 != number and transaction:
        raise DamageError(f"meta page {number} is of transaction {transaction}, which belongs on the other one")
    return Meta(size, free, main, last_page, transaction)


def parse_overflow(head: bytes, number: int) -> int:
    """Return how many pages an overflow page begins; raise `DamageError` if it is none."""
    if len(head) < HEAD_LENGTH:
        raise DamageError(f"page {number} lies past the end of the file")
    label, _, flags, pages = _OVERFLOW_PAGE.unpack_from(head)
    if label != number or flags != OVERFLOW or not pages:
        raise DamageError(f"page {number} is labelled page {label} of kind {flags}, not as an overflow page")
    return int(pages)


def parse_nodes(page: bytes, number: int) -> tuple[bool, list[Node]]:
    """Return (whether it is a leaf, its nodes in order); raise `DamageError` for what LMDB would not write.

    The nodes must fill the page from its ``upper`` to its end, each byte once.
    """
    label, _, kind, lower, upper = _PAGE.unpack_from(page)
    size = len(page)
    if label != number:
        raise DamageError(f"page {number} is labelled page {label}")
    if kind not in (BRANCH, LEAF):
        raise DamageError(f"page {number} is of kind {kind}, neither branch nor leaf")
    count = (lower - HEAD_LENGTH) // 2
    if lower & 1 or not HEAD_LENGTH < lower <= upper <= size:
        raise DamageError(f"page {number} has invalid bounds of free space: {lower} and {upper}")
    offsets = struct.unpack_from(f"<{count}H", page, HEAD_LENGTH)
    is_leaf = kind == LEAF
    nodes, spans = [], []
    for offset in offsets:
        if not upper <= offset <= size - _NODE.size:
            raise DamageError(f"page {number} has a node at the invalid offset {offset}")
        node, end = _parse_node(page, offset, is_leaf)
        nodes.append(node)
        spans.append((offset, end))
    _refuse_untiled(spans, upper, size, number)
    return is_leaf, nodes


def _parse_node(page: bytes, offset: int, is_leaf: bool) -> tuple[Node, int]:
    """Return a node, and the offset after it."""
    low, high, flags, key_length = _NODE.unpack_from(page, offset)
    start = offset + _NODE.size
    key = page[start : start + key_length]
    start += key_length
    size = low | high << 16
    if not is_leaf:
        return Node(key, 0, size | flags << 32, 0, b""), start + (start & 1)
    data = page[start : start + (8 if flags & BIG_DATA else size)]
    overflow = int.from_bytes(data, "little") if flags & BIG_DATA else NO_PAGE
    start += 8 if flags & BIG_DATA else size
    return Node(key, flags, overflow, size, data), start + (start & 1)


def _refuse_untiled(spans: Sequence[tuple[int, int]], upper: int, size: int, number: int) -> None:
    position = upper
    for start, end in sorted(spans):
        if start != position:
            raise DamageError(f"page {number} has nodes that overlap or leave a gap at {min(start, position)}")
        position = end
    if position != size:
        raise DamageError(f"page {number} has nodes that end at {position}, not at its end")
