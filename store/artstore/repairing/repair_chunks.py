"""Repairing damaged stored forms: rewritten if the content has another copy, else marked as lost.

A chunk may have another, sound stored form; the packed form of a list or directory record follows from the record.
Recovered content is written into a new segment, so that it lies in a readable pack and has an entry in an index.  A
chunk without a sound copy becomes a lost node: references to it stay, no put reuses it, and the next put of the same
content restores it in every version.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from artstore.checking.packed import Packed, PackedForm
from artstore.ids import content_id
from artstore.records.nodes import (
    KIND_CHUNK,
    KIND_LIST,
    KIND_LOST,
    KIND_TREE,
    Extent,
    LostRecord,
    canonical_list,
    decode_chunk,
    decode_list,
    encode_chunk,
    with_extent,
)
from artstore.records.packing import (
    CLASS_CONTENT,
    CLASS_LIST,
    CLASS_ROOT_LIST,
    CLASS_TREE,
    PackedEntry,
)
from artstore.records.tables import Table
from artstore.records.trees import TreeView, tree_with_extent
from artstore.rows import space
from artstore.rows.nodes import node_extent, node_payload, put_lost
from artstore.rows.packed_trees import packed_tree
from artstore.storage.codec import Encoded, encode
from artstore.storage.manifest import ReadTransaction
from artstore.storage.packs import PackWriter
from artstore.store import Store

__all__ = ["Renewed", "renew"]

_ROUND_BYTES: Final = 16 * 1024 * 1024
_ROUND_NODES: Final = 1500


class Renewed(NamedTuple):
    """The number of rewritten stored forms, and the nodes of the lost content."""

    written: int
    lost: list[int]


class _Fresh(NamedTuple):
    """A node's record as it was read, and its content in a new stored form, or None if it is lost."""

    node: int
    payload: bytes
    packed_class: int
    size: int
    encoded: Encoded | None


def renew(store: Store, packed: Packed, suspects: Iterable[int]) -> Renewed:
    """Rewrite the stored forms of suspect nodes that are damaged or lie in no whole segment.

    Works in rounds of bounded size, each of which leaves the store consistent.  For the holder of `space.exclusive`.
    """
    renewed = Renewed(0, [])
    writer = store.pack_writer()
    try:
        for fresh in _rounds(_looked_at(store, packed, suspects)):
            renewed = Renewed(renewed.written + _write(store, writer, fresh, renewed.lost), renewed.lost)
    finally:
        writer.close()
    return renewed


def _rounds(forms: Iterable[_Fresh]) -> Iterator[list[_Fresh]]:
    waiting: list[_Fresh] = []
    size = 0
    for fresh in forms:
        waiting.append(fresh)
        if fresh.encoded is not None:
            size += len(fresh.encoded.data)
        if size >= _ROUND_BYTES or len(waiting) == _ROUND_NODES:
            yield waiting
            waiting, size = [], 0
    if waiting:
        yield waiting


def _looked_at(store: Store, packed: Packed, suspects: Iterable[int]) -> Iterator[_Fresh]:
    """Yield the replacement of each suspect that is damaged or misplaced."""
    for node in sorted(suspects):
        with store.snapshot() as snapshot:
            payload = snapshot.transaction.get_numbered(Table.NODES, node)
            if payload is None or payload[0] == KIND_LOST:
                continue
            if payload[0] == KIND_CHUNK:
                klass, data = CLASS_CONTENT, _chunk_content(packed, payload)
            else:
                klass, data = _packed_form(snapshot.transaction, payload)
                if data is None:
                    continue  # the packs may have what the record has not
        extent = node_extent(payload)
        own = next((form for form in packed.forms(klass, payload[2:34]) if form.extent == extent), None)
        if own is None or data is None or packed.read(own) != data:
            yield _Fresh(node, payload, klass, len(data or b""), None if data is None else encode(data))


def _own_form(payload: bytes) -> PackedForm:
    """Return a chunk's stored form according to its record."""
    ident, birth_ns, size, extent, checksums = decode_chunk(payload)
    entry = PackedEntry(CLASS_CONTENT, extent.codec, ident, extent.offset, extent.stored, size, birth_ns, checksums)
    return PackedForm(extent.pack, entry)


def _chunk_content(packed: Packed, payload: bytes) -> bytes | None:
    """Return a chunk's content, from any stored form that has it, or None."""
    ident = payload[2:34]
    for form in (_own_form(payload), *packed.forms(CLASS_CONTENT, ident)):
        data = packed.read(form)
        if data is not None and content_id(data) == ident:
            return data
    return None


def _packed_form(transaction: ReadTransaction, payload: bytes) -> tuple[int, bytes | None]:
    """Return (class in packs, packed form) of a list or directory record, from its local record.

    The form is None if a directory record does not lead to it, because it is wrong or the digest of a lost child is
    unknown.
    """

    def child(node: int) -> bytes:
        return node_payload(transaction, node)

    if payload[0] == KIND_LIST:
        record = decode_list(payload)
        rows, before = [], 0
        for item in record.children:
            below = child(item.node)
            inner = transaction.find(CLASS_LIST, below[2:34]) == item.node
            rows.append((CLASS_LIST if inner else CLASS_CONTENT, below[2:34], item.end - before))
            before = item.end
        data = canonical_list(record.level, rows)
        return (CLASS_LIST if content_id(data) == record.id else CLASS_ROOT_LIST), data
    packed = packed_tree(transaction, TreeView(payload))
    return CLASS_TREE, packed.data if packed.form == payload[2:34] else None


def _write(store: Store, writer: PackWriter, fresh: list[_Fresh], lost: list[int]) -> int:
    """Write some stored forms and point their nodes to them; return how many."""
    places: dict[int, Extent] = {}
    if any(form.encoded is not None for form in fresh):
        segment = writer.new_segment()
        for form in fresh:
            if form.encoded is not None:
                birth_ns = time.time_ns()
                if form.packed_class != CLASS_TREE:
                    birth_ns = int.from_bytes(form.payload[34:42], "little", signed=True)
                offset = segment.add(form.packed_class, form.payload[2:34], form.encoded, form.size, birth_ns)
                places[form.node] = Extent(writer.number, offset, len(form.encoded.data), form.encoded.codec)
        writer.write_segment(segment)
    with store.write() as transaction:
        left: list[Extent] = []
        for form in fresh:
            place = places.get(form.node)
            if transaction.get_numbered(Table.NODES, form.node) != form.payload:  # reaped, or put again meanwhile
                if place is not None:
                    left.append(place)
                continue
            left.append(node_extent(form.payload))
            transaction.state.stored_bytes -= left[-1].stored
            if place is not None and form.encoded is not None:
                transaction.state.stored_bytes += place.stored
                transaction.put_numbered(Table.NODES, form.node, _moved(form.payload, place, form.encoded))
            else:
                chunk = decode_chunk(form.payload)
                put_lost(transaction, form.node, LostRecord(CLASS_CONTENT, chunk.id, chunk.birth_ns, chunk.size))
                lost.append(form.node)
        space.condemn(transaction, left)
        if places:
            writer.record_end(transaction)
    return len(places)


def _moved(payload: bytes, extent: Extent, encoded: Encoded) -> bytes:
    """Return a node's record with another stored form."""
    if payload[0] == KIND_CHUNK:
        return encode_chunk(decode_chunk(payload)._replace(extent=extent, checksums=encoded.checksums))
    return tree_with_extent(payload, extent) if payload[0] == KIND_TREE else with_extent(payload, extent)
