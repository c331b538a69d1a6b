"""Stored forms that are damaged: written anew where the content is found elsewhere, else given up.

A chunk may have another stored form that is sound; a list or directory record says itself what its canonical form is.
What is found is written into a new segment, so that it lies in a pack that reads and is named by an index.  A chunk
that is nowhere becomes a lost node: what refers to it stays, no put finds it any more, and the next put of the same
content gives it back to every version.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from artstore import space
from artstore.checking.packed import Packed, PackedForm
from artstore.codec import Encoded, encode
from artstore.errors import DamageError
from artstore.ids import content_id
from artstore.manifest import ReadTransaction
from artstore.nodes import index_keys, node_extent, node_payload, put_lost
from artstore.packs import PackWriter
from artstore.records.nodes import (
    KIND_CHUNK,
    KIND_LIST,
    KIND_LOST,
    ChunkRecord,
    Extent,
    LostRecord,
    canonical_list,
    decode_chunk,
    decode_list,
    encode_chunk,
    encode_list,
)
from artstore.records.packing import (
    CLASS_CONTENT,
    CLASS_LIST,
    CLASS_ROOT_LIST,
    CLASS_TREE,
    PackedEntry,
)
from artstore.records.trees import (
    CanonicalEntry,
    Kind,
    TreeView,
    canonical_entries,
    canonical_index,
    encode_tree,
)
from artstore.store import Store
from artstore.tables import Table

__all__ = ["Renewed", "renew"]

_ROUND_BYTES: Final = 16 * 1024 * 1024
_ROUND_NODES: Final = 1500


class Renewed(NamedTuple):
    """How many stored forms were written anew, and the nodes of the content that is lost."""

    written: int
    lost: list[int]


class _Fresh(NamedTuple):
    """A node's record as it was read, and its content in a new stored form, or None where that is nowhere."""

    node: int
    payload: bytes
    packed_class: int
    size: int
    encoded: Encoded | None


def renew(store: Store, packed: Packed, suspects: Iterable[int], ends: dict[int, int]) -> Renewed:
    """Look at the stored forms of some nodes, and write those anew that cannot stay where they are.

    ``ends`` says by pack how far what lies in it may stay; elsewhere a sound form is copied.  In rounds of bounded size,
    each of which leaves the store whole.  For the holder of `space.exclusive`.
    """
    done = Renewed(0, [])
    writer = store.pack_writer()
    try:
        for fresh in _rounds(_looked_at(store, packed, suspects, ends)):
            done = Renewed(done.written + _write(store, writer, fresh, done.lost), done.lost)
    finally:
        writer.close()
    return done


def _rounds(found: Iterable[_Fresh]) -> Iterator[list[_Fresh]]:
    waiting: list[_Fresh] = []
    size = 0
    for fresh in found:
        waiting.append(fresh)
        size += len(fresh.encoded.data) if fresh.encoded is not None else 0
        if size >= _ROUND_BYTES or len(waiting) == _ROUND_NODES:
            yield waiting
            waiting, size = [], 0
    if waiting:
        yield waiting


def _looked_at(
    store: Store, packed: Packed, suspects: Iterable[int], ends: dict[int, int]
) -> Iterator[_Fresh]:
    """Yield what is to become of each suspect that cannot stay as it is."""
    for node in sorted(suspects):
        with store.snapshot() as snapshot:
            transaction = snapshot.transaction
            payload = transaction.get_numbered(Table.NODES, node)
            if payload is None or payload[0] == KIND_LOST or not node_extent(payload).stored:
                continue
            extent = node_extent(payload)
            stays = extent.offset + extent.stored <= ends.get(extent.pack, 0)
            if payload[0] == KIND_CHUNK:
                klass, data = CLASS_CONTENT, _chunk_content(packed, payload, stays)
            else:
                klass, data = _canonical(transaction, payload)
                if stays and any(form.extent == extent and packed.read(form) == data for form in packed.forms(klass, payload[2:34])):
                    continue
        if data is _STAYS:
            continue
        yield _Fresh(node, payload, klass, len(data or b""), None if data is None else encode(data))


_STAYS: Final = b"the stored form is sound and can stay"


def _chunk_content(packed: Packed, payload: bytes, stays: bool) -> bytes | None:
    """Return a chunk's content, from any stored form that has it; `_STAYS` where its own can stay, None for nowhere."""
    chunk = decode_chunk(payload)
    own = PackedForm(
        chunk.extent.pack,
        PackedEntry(
            CLASS_CONTENT,
            chunk.extent.codec,
            chunk.id,
            chunk.extent.offset,
            chunk.extent.stored,
            chunk.size,
            chunk.birth_ns,
            chunk.checksums,
        ),
    )
    for form in (own, *packed.forms(CLASS_CONTENT, chunk.id)):
        data = packed.read(form)
        if data is not None and content_id(data) == chunk.id:
            return _STAYS if stays and form is own else data
    return None


def _canonical(transaction: ReadTransaction, payload: bytes) -> tuple[int, bytes]:
    """Return (class in packs, canonical form) of a list or directory record, from its local record."""

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
    view = TreeView(payload)
    if view.level:
        data = canonical_index(view.level, [(row.last_name, child(row.node)[2:34]) for row in view.children()])
    else:
        data = canonical_entries(
            [
                CanonicalEntry(
                    entry.name, entry.kind, 0 if entry.kind == Kind.DIRECTORY else entry.size, child(entry.node)[2:34]
                )
                for entry in view.entries()
            ]
        )
    return CLASS_TREE, data


def _write(store: Store, writer: PackWriter, round_: list[_Fresh], lost: list[int]) -> int:
    """Write one round's stored forms and let their nodes lead to them; return how many."""
    places: dict[int, Extent] = {}
    found = [fresh for fresh in round_ if fresh.encoded is not None]
    if found:
        segment = writer.new_segment()
        for fresh in found:
            assert fresh.encoded is not None
            birth = int.from_bytes(fresh.payload[34:42], "little", signed=True)
            offset = segment.add(
                fresh.packed_class,
                fresh.payload[2:34],
                fresh.encoded,
                fresh.size,
                birth if fresh.packed_class != CLASS_TREE else store.created_ns,
            )
            places[fresh.node] = Extent(writer.number, offset, len(fresh.encoded.data), fresh.encoded.codec)
        writer.write_segment(segment)
    with store.write() as transaction:
        given_up: list[Extent] = []
        for fresh in round_:
            place = places.get(fresh.node)
            if transaction.get_numbered(Table.NODES, fresh.node) != fresh.payload:
                given_up += [place] if place is not None else []  # reaped, or put again meanwhile
                continue
            given_up.append(node_extent(fresh.payload))
            transaction.state.stored_bytes -= given_up[-1].stored
            if place is not None and fresh.encoded is not None:
                transaction.state.stored_bytes += place.stored
                transaction.put_numbered(Table.NODES, fresh.node, _moved(fresh.payload, place, fresh.encoded))
            else:
                chunk = decode_chunk(fresh.payload)
                put_lost(transaction, fresh.node, LostRecord(CLASS_CONTENT, chunk.id, chunk.birth_ns, chunk.size))
                lost.append(fresh.node)
        space.condemn(transaction, given_up)
        if found:
            writer.record_end(transaction)
    return len(found)


def _moved(payload: bytes, extent: Extent, encoded: Encoded) -> bytes:
    """Return a node's record with another stored form."""
    if payload[0] == KIND_CHUNK:
        chunk = decode_chunk(payload)
        return encode_chunk(ChunkRecord(chunk.id, chunk.birth_ns, chunk.size, extent, encoded.checksums))
    if payload[0] == KIND_LIST:
        return encode_list(decode_list(payload)._replace(extent=extent))
    view = TreeView(payload)
    rows = list(view.children()) if view.level else list(view.entries())
    return encode_tree(view.level, view.digest, view.totals, extent, rows)  # type: ignore[arg-type]
