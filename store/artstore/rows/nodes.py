"""Nodes in the manifest: look them up, check them against the index, and count references.

Counts are stored in blocks of 128 neighbours: nodes get their numbers in tree order, so rewriting a directory record
changes the counts of its children in one or two rows.
"""

from __future__ import annotations

import struct
from collections.abc import Container, Iterator, Mapping
from contextlib import suppress
from operator import lt
from typing import Final

from artstore.errors import DamageError
from artstore.records.nodes import (
    KIND_CHUNK,
    KIND_LIST,
    KIND_LOST,
    KIND_TREE,
    LOST,
    ChunkRecord,
    Extent,
    ListView,
    LostRecord,
    decode_chunk,
    decode_lost,
    encode_lost,
    view_list,
)
from artstore.records.packing import CLASS_CONTENT, CLASS_LIST, CLASS_LOST, CLASS_TREE
from artstore.records.tables import Table, key64
from artstore.records.trees import TreeView
from artstore.storage.manifest import ReadTransaction, WriteTransaction

__all__ = [
    "COUNT_BLOCK",
    "CountOverlay",
    "all_counts",
    "change_counts",
    "children_of",
    "content_record",
    "find_lost",
    "find_node",
    "has_lost",
    "index_keys",
    "is_whole",
    "node_extent",
    "node_identity",
    "node_payload",
    "put_lost",
    "read_count",
    "read_counts",
    "tree_view",
]

COUNT_BLOCK: Final = 128
_COUNTS: Final = struct.Struct(f"<{COUNT_BLOCK}I")
_MOST: Final = 2**32 - 1
_NO_COUNTS: Final = [0] * COUNT_BLOCK
_NOWHERE: Final = Extent(0, 0, 0, LOST)
_PAIR: Final = struct.Struct("<BI")
_FEW: Final = 24
"""Up to this many nonzero counts a block is written as pairs, so that a sparse block is small."""


def node_payload(transaction: ReadTransaction, node: int) -> bytes:
    """Return a node's record; raise `DamageError` if it is missing, since something refers to it."""
    payload = transaction.get_numbered(Table.NODES, node)
    if not payload:
        raise DamageError(f"node {node} is missing from the manifest")
    return payload


def content_record(transaction: ReadTransaction, node: int) -> ChunkRecord | ListView:
    """Return the record of a content node."""
    payload = node_payload(transaction, node)
    if payload[0] == KIND_CHUNK:
        return decode_chunk(payload)
    if payload[0] == KIND_LIST:
        return view_list(payload)
    if payload[0] == KIND_LOST and (lost := decode_lost(payload)).klass != CLASS_TREE:
        return ChunkRecord(lost.id, lost.birth_ns, lost.size, _NOWHERE, ())
    raise DamageError(f"node {node} is not content")


def tree_view(transaction: ReadTransaction, node: int) -> TreeView:
    """Return the directory record of a tree node."""
    payload = node_payload(transaction, node)
    if payload[0] == KIND_LOST:
        raise DamageError(f"the directory {payload[2:34].hex()} is lost")
    return TreeView(payload)


def node_extent(payload: bytes) -> Extent:
    """Return the location of the stored form of a node of any kind."""
    if payload[0] == KIND_CHUNK:
        return decode_chunk(payload).extent
    if payload[0] == KIND_LIST:
        return view_list(payload).extent
    return _NOWHERE if payload[0] == KIND_LOST else TreeView(payload).extent


def node_identity(payload: bytes) -> bytes:
    """Return what a node's content is known by: a content's id, a directory record's digest."""
    if payload[0] == KIND_TREE:
        return payload[34:66]
    if payload[0] == KIND_LOST and (lost := decode_lost(payload)).klass == CLASS_TREE:
        return lost.digest
    return payload[2:34]


def children_of(payload: bytes) -> list[int]:
    """Return the references that a node of any kind counts, in order: one number may come several times."""
    if payload[0] in (KIND_CHUNK, KIND_LOST):
        return []
    if payload[0] == KIND_LIST:
        return list(view_list(payload).nodes)
    return TreeView(payload).nodes()


def find_node(transaction: ReadTransaction, klass: int, ident: bytes) -> tuple[int, bytes] | None:
    """Return (node, record) of the node that holds an id, or None.

    The node's own record is compared with the id, so that a damaged index row can never pass other content off.
    """
    node = transaction.find(klass, ident)
    if node is None:
        return None
    payload = node_payload(transaction, node)
    if payload[2:34] != ident or (payload[0] == KIND_CHUNK or payload[0] == KIND_LIST) == (klass == CLASS_TREE):
        raise DamageError(f"the index maps {ident.hex()} to node {node}, which has another id")
    return node, payload


def index_keys(payload: bytes) -> list[bytes]:
    """Return the keys of the index under which a node may be found: one, and of a list either of two."""
    if payload[0] == KIND_LOST:
        klasses = [CLASS_LOST + decode_lost(payload).klass]
    elif payload[0] == KIND_LIST:
        klasses = [CLASS_CONTENT, CLASS_LIST]
    else:
        klasses = [CLASS_TREE if payload[0] == KIND_TREE else CLASS_CONTENT]
    return [klass.to_bytes(1, "big") + payload[2:34] for klass in klasses]


def put_lost(transaction: WriteTransaction, node: int, record: LostRecord) -> None:
    """Mark a node as lost, so that only `find_lost` finds it; the caller condemns its stored form."""
    if transaction.find(record.klass, record.id) == node:
        transaction.delete(Table.INDEX, record.klass.to_bytes(1, "big") + record.id)
    transaction.put_index(CLASS_LOST + record.klass, record.id, node)
    transaction.put_numbered(Table.NODES, node, encode_lost(record))


def find_lost(transaction: ReadTransaction, klass: int, ident: bytes) -> tuple[int, LostRecord] | None:
    """Return (node, record) of the lost node that had an id, or None."""
    node = transaction.find(CLASS_LOST + klass, ident)
    if node is None:
        return None
    return node, decode_lost(node_payload(transaction, node))


def has_lost(transaction: ReadTransaction) -> bool:
    """Return whether any node is lost; a matter of one look."""
    with transaction.raw.cursor(transaction.handles[Table.INDEX]) as cursor:
        return bool(cursor.set_range(bytes([CLASS_LOST])))


def is_whole(transaction: ReadTransaction, ident: bytes) -> bool:
    """Return whether the store has a content without any lost node, walking through its lists."""
    row = find_node(transaction, CLASS_CONTENT, ident)
    if row is None:
        return False
    waiting = [row[1]]
    while waiting:
        payload = waiting.pop()
        if payload[0] == KIND_LOST:
            return False
        waiting += [node_payload(transaction, child) for child in children_of(payload)]
    return True


def read_count(transaction: ReadTransaction, node: int) -> int:
    """Return how many references a node has."""
    return read_counts(transaction, node // COUNT_BLOCK)[node % COUNT_BLOCK]


def read_counts(transaction: ReadTransaction, block: int) -> list[int]:
    """Return the references of the `COUNT_BLOCK` neighbours that begin at node ``block * COUNT_BLOCK``."""
    payload = transaction.get_numbered(Table.COUNTS, block)
    return _NO_COUNTS.copy() if payload is None else _unpack_counts(payload)


def _unpack_counts(payload: bytes) -> list[int]:
    if len(payload) == _COUNTS.size:
        counts = list(_COUNTS.unpack(payload))
        if counts.count(0) < COUNT_BLOCK - _FEW:
            return counts
    elif 0 < len(payload) <= _FEW * _PAIR.size:
        counts = _NO_COUNTS.copy()
        with suppress(struct.error, IndexError):
            pairs = list(_PAIR.iter_unpack(payload))
            for index, count in pairs:
                counts[index] = count
            if all(map(lt, pairs, pairs[1:])) and counts.count(0) == COUNT_BLOCK - len(pairs):
                return counts
    raise DamageError("a block of reference counts is malformed")


def _pack_counts(counts: list[int]) -> bytes:
    if counts.count(0) < COUNT_BLOCK - _FEW:
        return _COUNTS.pack(*counts)
    return b"".join(_PAIR.pack(index, count) for index, count in enumerate(counts) if count)


def all_counts(transaction: ReadTransaction) -> Iterator[tuple[int, int]]:
    """Yield (node, count) for every count that is not zero, in node order."""
    for block, payload in transaction.numbered_rows(Table.COUNTS):
        for index, count in enumerate(_unpack_counts(payload)):
            if count:
                yield block * COUNT_BLOCK + index, count


class CountOverlay:
    """Reference counts of a transaction, with pending decrements that are not written yet."""

    __slots__ = ("_blocks", "transaction")

    def __init__(self, transaction: ReadTransaction) -> None:
        self.transaction = transaction
        self._blocks: dict[int, list[int]] = {}

    def drop(self, node: int) -> int:
        """Take one reference off a node; return how many are left; raise `DamageError` if it had none."""
        block, index = divmod(node, COUNT_BLOCK)
        counts = self._blocks.get(block)
        if counts is None:
            counts = self._blocks[block] = read_counts(self.transaction, block)
        if not counts[index]:
            raise DamageError(f"the reference count of node {node} is too low")
        counts[index] -= 1
        return counts[index]

    def restore(self, node: int) -> None:
        """Undo one `drop`."""
        self._blocks[node // COUNT_BLOCK][node % COUNT_BLOCK] += 1

    def save(self, transaction: WriteTransaction) -> None:
        """Write the pending decrements; the transaction must be the one in which the counts were read."""
        for block in sorted(self._blocks):
            _write_counts(transaction, block, self._blocks[block])
        self._blocks.clear()


def _write_counts(transaction: WriteTransaction, block: int, counts: list[int]) -> None:
    payload = _pack_counts(counts)
    if payload:
        transaction.put_numbered(Table.COUNTS, block, payload)
    else:
        transaction.delete(Table.COUNTS, key64(block))


def change_counts(
    transaction: WriteTransaction, changes: Mapping[int, int], *, new: Container[int] | None = None
) -> None:
    """Add to the counts of nodes; raise `DamageError` if one would become negative or exceed 32 bits.

    ``new`` are the nodes that this transaction has made.  If it is given, any other node must have a count before it
    grows: a node without one has lost it, and would be freed while others refer to it.
    """
    by_block: dict[int, list[tuple[int, int]]] = {}
    for node, change in changes.items():
        if change:
            by_block.setdefault(node // COUNT_BLOCK, []).append((node, change))
    for block in sorted(by_block):
        counts = read_counts(transaction, block)
        for node, change in by_block[block]:
            if new is not None and change > 0 and not counts[node % COUNT_BLOCK] and node not in new:
                raise DamageError(f"the reference count of node {node} is lost")
            counts[node % COUNT_BLOCK] += change
            if not 0 <= counts[node % COUNT_BLOCK] <= _MOST:
                raise DamageError(f"node {node} would have {counts[node % COUNT_BLOCK]} references")
        _write_counts(transaction, block, counts)
