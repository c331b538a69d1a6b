"""Copy the live content of a pack to other packs, so that the pack can be removed, and remove packs without any.

Punching holes frees whole blocks only.  Compaction also frees dead content in smaller pieces, dead content on a file
system without holes, and the indexes of dead content.

Guarantees:

- A stored form is verified while it is copied, and synced in its new place before a transaction refers to it.
- The old place is condemned, not freed: an older reader may still read it.
- A concurrent change wins.  If another process has reaped or moved a node, the copy is unreferenced, and is condemned.
- Damaged content stays in place, and so does its pack.
- A process killed at any moment leaves each node whole, in the old or in the new place; the next run continues.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from artstore import beneath
from artstore.errors import DamageError, OutOfSpaceError
from artstore.records.deadlist import decode_free, encode_free
from artstore.records.nodes import KIND_CHUNK, KIND_TREE, Extent, decode_chunk, with_extent
from artstore.records.packing import (
    CLASS_CONTENT,
    CLASS_ROOT_LIST,
    HEAD_LENGTH,
    HEADER_LENGTH,
    PackedEntry,
    encode_index,
    parse_index,
    parse_segment_head,
)
from artstore.records.tables import Table, key32, number32, pack_end
from artstore.records.trees import tree_with_extent
from artstore.rows import space
from artstore.rows.nodes import find_node, node_extent
from artstore.storage import disk
from artstore.storage.codec import Encoded, verify_stored
from artstore.storage.manifest import ReadTransaction
from artstore.storage.packs import PackWriter, pack_path
from artstore.store import Store

__all__ = ["Copied", "compact_pack", "remove_empty", "worthwhile"]

BATCH_BYTES: Final = 16 * 1024 * 1024
"""Stored bytes of one segment, and of one transaction."""
BATCH_NODES: Final = 1000
"""Maximum number of nodes of one transaction: it then holds the write lock for less than 50 ms."""
_BLOCK: Final = 4096
_NAME: Final = re.compile(r"(\d{8,10})\.pack")


@dataclass
class Copied:
    """The nodes and stored bytes copied out of a pack, and a sentence for each damaged part, which stays there."""

    nodes: int = 0
    bytes: int = 0
    damaged: list[str] = field(default_factory=list)


class _Segment(NamedTuple):
    """The position of a segment's data and index in its pack."""

    data: int
    data_length: int
    index_at: int
    index_length: int


class _Life(NamedTuple):
    """A stored form that a node refers to: its entry in the pack's index, the node, and whether the two agree."""

    entry: PackedEntry
    node: int
    is_sound: bool


# -- reading a pack ----------------------------------------------------------------------------------------------------


class _Source:
    """A pack that is locked against appending while it is open."""

    def __init__(self, number: int, fd: int, end: int) -> None:
        self.number = number
        self.fd = fd
        self.end = end

    def segments(self) -> Iterator[_Segment]:
        """Yield the pack's segments in order; raise `DamageError` if the sequence of segments is broken."""
        position = HEADER_LENGTH
        while position < self.end:
            data_length, index_length = parse_segment_head(disk.read_exactly(self.fd, HEAD_LENGTH, position))
            data = position + HEAD_LENGTH
            segment = _Segment(data, data_length, data + data_length, index_length)
            position = segment.index_at + index_length
            if position > self.end:
                raise DamageError("a segment reaches past the end of its pack")
            yield segment

    def entries(self, segment: _Segment) -> list[PackedEntry]:
        """Return the entries of a segment's index; raise `DamageError` if it is unreadable."""
        return parse_index(disk.read_exactly(self.fd, segment.index_length, segment.index_at))

    def life(self, transaction: ReadTransaction, entries: Collection[PackedEntry]) -> Iterator[_Life]:
        """Yield the stored forms of a segment that nodes refer to."""
        for entry in entries:
            row = find_node(transaction, CLASS_CONTENT if entry.klass == CLASS_ROOT_LIST else entry.klass, entry.id)
            if row is None:
                continue
            node, payload = row
            extent = node_extent(payload)
            if (extent.pack, extent.offset) == (self.number, entry.offset):
                agrees = extent == _extent(self.number, entry)
                if payload[0] == KIND_CHUNK:
                    agrees = agrees and decode_chunk(payload).checksums == entry.checksums
                yield _Life(entry, node, agrees)


def _extent(pack: int, entry: PackedEntry) -> Extent:
    return Extent(pack, entry.offset, entry.stored, entry.codec)


@contextmanager
def _held(store: Store, number: int) -> Iterator[_Source | None]:
    """Yield a pack that no other process can append to or remove inside the block; None if it is in use or gone."""
    try:
        fd = beneath.open_file(store.path, pack_path(store.path, number))
    except FileNotFoundError:
        yield None
        return
    try:
        source = None
        if disk.try_lock(fd):
            with store.snapshot() as snapshot:
                value = snapshot.transaction.get(Table.PACKS, key32(number))
            if value is not None:
                source = _Source(number, fd, pack_end(value))
        yield source
    finally:
        os.close(fd)


# -- copying -----------------------------------------------------------------------------------------------------------


def compact_pack(store: Store, number: int, *, avoid: Collection[int] = ()) -> Copied:
    """Copy the live content of a pack to packs other than those in ``avoid``; report what was copied.

    A pack that a writer appends to is skipped.  Raises `OutOfSpaceError` if the disk has no room for the copy; content
    copied before that keeps its new place.
    """
    copied = Copied()
    with _held(store, number) as source:
        if source is None:
            return copied
        writer = store.pack_writer(avoid)
        try:
            for batch in _batches(store, source, copied):
                _copy(store, writer, source, batch, copied)
        finally:
            writer.close()
    return copied


def _batches(store: Store, source: _Source, copied: Copied) -> Iterator[list[_Life]]:
    """Yield the live content of a pack in batches of one transaction each, in the order of its offsets."""
    batch: list[_Life] = []
    size = 0
    for entries in _readable(source, copied):
        for start in range(0, len(entries), BATCH_NODES):
            with store.snapshot() as snapshot:
                living = list(source.life(snapshot.transaction, entries[start : start + BATCH_NODES]))
            for life in living:
                batch.append(life)
                size += life.entry.stored
                if size >= BATCH_BYTES or len(batch) >= BATCH_NODES:
                    yield batch
                    batch, size = [], 0
    if batch:
        yield batch


def _readable(source: _Source, copied: Copied) -> Iterator[list[PackedEntry]]:
    """Yield the entries of each segment; record unreadable segments in ``copied``."""
    segments = source.segments()
    while True:
        try:
            segment = next(segments)
        except StopIteration:
            return
        except DamageError as error:
            copied.damaged.append(f"pack {source.number}: {error}")
            return
        try:
            entries = source.entries(segment)
        except DamageError as error:
            copied.damaged.append(f"pack {source.number}, offset {segment.index_at}: {error}")
            continue
        yield entries


def _copy(store: Store, writer: PackWriter, source: _Source, batch: list[_Life], copied: Copied) -> None:
    """Copy a batch of stored forms as one segment, and point their nodes to it."""
    segment = writer.new_segment()
    moves: list[tuple[int, Extent, Extent]] = []
    for life in batch:
        entry = life.entry
        try:
            data = _verified(source, life)
        except DamageError as error:
            copied.damaged.append(f"pack {source.number}, offset {entry.offset}, {entry.id.hex()}: {error}")
            continue
        encoded = Encoded(entry.codec, data, entry.checksums)
        before = _extent(source.number, entry)
        offset = segment.add(entry.klass, entry.id, encoded, entry.size, entry.birth_ns)
        moves.append((life.node, before, before._replace(pack=writer.number, offset=offset)))
    if not moves:
        return
    writer.write_segment(segment)
    left: list[Extent] = []
    with store.write() as transaction:
        for node, before, after in moves:
            payload = transaction.get_numbered(Table.NODES, node)
            if payload is None or node_extent(payload) != before:
                left.append(after)  # reaped or moved since the snapshot
                continue
            relocated = tree_with_extent if payload[0] == KIND_TREE else with_extent
            transaction.put_numbered(Table.NODES, node, relocated(payload, after))
            left.append(before)
            copied.nodes += 1
            copied.bytes += before.stored
        space.condemn(transaction, left)
        writer.record_end(transaction)


def _verified(source: _Source, life: _Life) -> bytes:
    """Return a stored form; raise `DamageError` if it does not match the index or the record."""
    if not life.is_sound:
        raise DamageError("its record and the pack's index disagree")
    stored = disk.read_exactly(source.fd, life.entry.stored, life.entry.offset)
    verify_stored(stored, life.entry.checksums)
    return stored


# -- choosing ----------------------------------------------------------------------------------------------------------


def worthwhile(store: Store, numbers: Collection[int] | None, *, eager: bool) -> list[int]:
    """Return the packs among ``numbers``, or among all for None, that are worth copying.

    A pack is worth copying if gaps that are not holes make up a quarter of its size on disk.  With ``eager`` 3 % is
    enough, and the indexes of dead content count as well; this reads the indexes of the packs that may reach it.  The
    copy has neither such gaps nor such indexes, so no content is copied repeatedly.
    """
    with store.snapshot() as snapshot:
        transaction = snapshot.transaction
        ends = _ends(transaction)
        chosen = sorted(ends if numbers is None else ends.keys() & set(numbers))
        gaps = {number: _gaps(transaction, number) for number in chosen}
    chosen_packs = []
    for number in chosen:
        length, punched = gaps[number]
        taken = ends[number] - punched
        loose = length - punched
        if (loose >= _BLOCK and loose * 4 >= taken) or (eager and _is_loose(store, number, length, punched)):
            chosen_packs.append(number)
    return chosen_packs


def _ends(transaction: ReadTransaction) -> dict[int, int]:
    rows = transaction.rows(Table.PACKS)
    return {number32(key): pack_end(value) for key, value in rows}


def _gaps(transaction: ReadTransaction, number: int) -> tuple[int, int]:
    """Return the bytes of a pack's gaps, and those of them that are holes."""
    length = punched = 0
    for gap in space.free_extents(transaction, number):
        length += gap.length
        punched += gap.punched
    return length, punched


def _is_loose(store: Store, number: int, gaps: int, punched: int) -> bool:
    """Return whether copying a pack would free 3 % of its size on disk, and at least one block."""
    with _held(store, number) as source:
        if source is None:
            return False
        taken = source.end - punched
        try:
            segments = list(source.segments())
            most = sum(segment.data_length for segment in segments) - gaps  # upper bound of the live bytes
            if not _pays(taken, HEADER_LENGTH + most):
                return False
            needed = HEADER_LENGTH
            for segment in segments:
                entries = source.entries(segment)
                with store.snapshot() as snapshot:
                    alive = [life.entry for life in source.life(snapshot.transaction, entries)]
                if alive:
                    needed += HEAD_LENGTH + sum(entry.stored for entry in alive) + len(encode_index(alive))
        except DamageError:
            return False  # left to fsck: damaged content would stay, and the pack with it
    return needed > HEADER_LENGTH and _pays(taken, needed)


def _pays(taken: int, needed: int) -> bool:
    return (taken - needed) * 100 >= 3 * taken and -(-taken // _BLOCK) > -(-needed // _BLOCK)


# -- removing ----------------------------------------------------------------------------------------------------------


def remove_empty(store: Store, numbers: Collection[int] | None = None) -> int:
    """Remove packs without live content, and files of packs that the manifest lacks; return the number of the former.

    ``numbers`` limits the packs; None means all.  A pack that a writer appends to stays, and so does one with condemned
    bytes, which a reader may still use.
    """
    with store.snapshot() as snapshot:
        ends = _ends(snapshot.transaction)
        next_pack = snapshot.transaction.counters().next_pack
    removed = 0
    for number in sorted(ends if numbers is None else ends.keys() & set(numbers)):
        removed += _remove_if_empty(store, number)
    for name in beneath.names(store.path, "packs"):
        match = _NAME.fullmatch(name)
        if match is None or int(match[1]) in ends:
            continue
        if int(match[1]) < next_pack:
            _remove_leftover(store, int(match[1]))
        else:
            with store.write() as transaction:  # inside one, no other process can be creating a pack
                if int(match[1]) >= transaction.state.next_pack:
                    _remove_leftover(store, int(match[1]))
    return removed


def _remove_if_empty(store: Store, number: int) -> bool:
    if _only_empty_chunks(store, number):
        with suppress(OutOfSpaceError):  # left to a later run: the pack's blocks are already freed
            compact_pack(store, number)
    with _held(store, number) as source:
        if source is None or _occupants(store, source) != []:
            return False
        with store.write() as transaction:
            length = 0
            for gap in list(space.free_extents(transaction, number)):
                transaction.delete(Table.FREE, encode_free(gap)[0])
                transaction.state.free_bytes -= gap.length - gap.punched
                length += gap.length
            transaction.state.framing_bytes -= source.end - length
            transaction.delete(Table.PACKS, key32(number))
        disk.remove(store.path, pack_path(store.path, number))
    return True


def _only_empty_chunks(store: Store, number: int) -> bool:
    """Return whether all live content of a pack is empty: its index entries then must move to another pack."""
    with _held(store, number) as source:
        return source is not None and bool(_occupants(store, source))


def _occupants(store: Store, source: _Source) -> list[PackedEntry] | None:
    """Return the empty stored forms that live in a pack; None if others do, or if a reader may still use the pack."""
    occupants: list[PackedEntry] = []
    with store.snapshot() as snapshot:
        transaction = snapshot.transaction
        try:
            data = 0
            for segment in source.segments():
                data += segment.data_length
                entries = source.entries(segment)
                if _is_gap(transaction, source.number, segment):
                    entries = [entry for entry in entries if not entry.stored]
                for life in source.life(transaction, entries):
                    if life.entry.stored:
                        return None
                    occupants.append(life.entry)
        except DamageError:
            return None
        if data != _gaps(transaction, source.number)[0]:
            return None  # condemned bytes, or bytes without a known owner that a rebuild kept
        return occupants


def _is_gap(transaction: ReadTransaction, number: int, segment: _Segment) -> bool:
    key = key32(number) + key32(segment.data)
    payload = transaction.get(Table.FREE, key)
    return payload is not None and decode_free(key, payload).length == segment.data_length


def _remove_leftover(store: Store, number: int) -> None:
    """Remove the file of a pack that is no longer in the manifest."""
    path = pack_path(store.path, number)
    with suppress(FileNotFoundError):
        fd = beneath.open_file(store.path, path)
        try:
            if disk.try_lock(fd):
                disk.remove(store.path, path)
        finally:
            os.close(fd)
