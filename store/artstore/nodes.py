"""Nodes in the manifest: looking them up, checking that they are what the index says, and counting references.

Counts stand in blocks of 128 neighbours: nodes get their numbers in tree order, so a directory record that is written
anew changes the counts of its children in one or two rows.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import Final

from artstore.errors import DamageError
from artstore.manifest import ReadTransaction, Table, WriteTransaction
from artstore.records.nodes import KIND_CHUNK, KIND_LIST, ChunkRecord, Extent, ListRecord, decode_chunk, decode_list
from artstore.records.packing import CLASS_TREE
from artstore.records.trees import TreeView

__all__ = [
    "COUNT_BLOCK",
    "all_counts",
    "change_counts",
    "children_of",
    "content_record",
    "find_node",
    "node_extent",
    "node_payload",
    "read_count",
    "read_counts",
    "tree_view",
]

COUNT_BLOCK: Final = 128
_COUNTS: Final = struct.Struct(f"<{COUNT_BLOCK}I")
_NO_COUNTS: Final = [0] * COUNT_BLOCK


def node_payload(transaction: ReadTransaction, node: int) -> bytes:
    """Return a node's record; raise `DamageError` where it is missing, since something refers to it."""
    payload = transaction.get_numbered(Table.NODES, node)
    if not payload:
        raise DamageError(f"node {node} is missing from the manifest")
    return payload


def content_record(transaction: ReadTransaction, node: int) -> ChunkRecord | ListRecord:
    """Return the record of a content node."""
    payload = node_payload(transaction, node)
    if payload[0] == KIND_CHUNK:
        return decode_chunk(payload)
    if payload[0] == KIND_LIST:
        return decode_list(payload)
    raise DamageError(f"node {node} is not content")


def tree_view(transaction: ReadTransaction, node: int) -> TreeView:
    """Return the directory record of a tree node."""
    return TreeView(node_payload(transaction, node))


def node_extent(payload: bytes) -> Extent:
    """Return where the stored form of a node of any kind lies."""
    if payload[0] == KIND_CHUNK:
        return decode_chunk(payload).extent
    if payload[0] == KIND_LIST:
        return decode_list(payload).extent
    return TreeView(payload).extent


def children_of(payload: bytes) -> list[int]:
    """Return the references that a node of any kind counts, in order: one number may come several times."""
    if payload[0] == KIND_CHUNK:
        return []
    if payload[0] == KIND_LIST:
        return [child.node for child in decode_list(payload).children]
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
        raise DamageError(f"the index leads from {ident.hex()} to node {node}, which is something else")
    return node, payload


def read_count(transaction: ReadTransaction, node: int) -> int:
    """Return how many references a node has."""
    return read_counts(transaction, node // COUNT_BLOCK)[node % COUNT_BLOCK]


def read_counts(transaction: ReadTransaction, block: int) -> list[int]:
    """Return the references of the `COUNT_BLOCK` neighbours that begin at node ``block * COUNT_BLOCK``."""
    payload = transaction.get_numbered(Table.COUNTS, block)
    return _NO_COUNTS.copy() if payload is None else list(_COUNTS.unpack(payload))


def all_counts(transaction: ReadTransaction) -> Iterator[tuple[int, int]]:
    """Yield (node, count) for every count that is not zero, in node order."""
    for block, payload in transaction.numbered_rows(Table.COUNTS):
        for index, count in enumerate(_COUNTS.unpack(payload)):
            if count:
                yield block * COUNT_BLOCK + index, count


def change_counts(transaction: WriteTransaction, changes: Mapping[int, int]) -> None:
    """Add to the counts of nodes; raise `DamageError` rather than let one go below zero."""
    by_block: dict[int, list[tuple[int, int]]] = {}
    for node, change in changes.items():
        if change:
            by_block.setdefault(node // COUNT_BLOCK, []).append((node, change))
    for block in sorted(by_block):
        counts = read_counts(transaction, block)
        for node, change in by_block[block]:
            counts[node % COUNT_BLOCK] += change
            if counts[node % COUNT_BLOCK] < 0:
                raise DamageError(f"node {node} would have {counts[node % COUNT_BLOCK]} references")
        transaction.put_numbered(Table.COUNTS, block, _COUNTS.pack(*counts))
