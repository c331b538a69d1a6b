"""Copy the live content of a pack to other packs, so that the pack can be removed or cut.

Punching holes frees whole blocks only.  Compaction also frees dead content in smaller pieces, dead content on a file
system without holes, and the indexes of dead content.

Guarantees:

- A stored form is verified while it is copied, and synced in its new place before a transaction refers to it.
- The old place is condemned, not freed: an older reader may still read it.
- A concurrent change wins.  If another process has reaped or moved a node, the copy is unreferenced, and is condemned.
- Damaged content stays in place, and so does its pack.
- A process killed at any moment leaves each node whole, in the old or in the new place; the next run continues.
- If the disk has no room for a whole copy, the pack is copied from its end, and what was copied is freed before the
  next part: so the room for one segment, which the reserve has, suffices for a pack of any size.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Final

from artstore.errors import DamageError
from artstore.reclaim.compaction.environment import retire_replaced
from artstore.reclaim.compaction.pack_sources import Life, Segment, Source, extent_of, gaps_of, held, pack_ends
from artstore.reclaim.compaction.pack_tails import cut_tail
from artstore.reclaim.holes import free_unread
from artstore.records.nodes import KIND_TREE, Extent, with_extent
from artstore.records.packing import HEAD_LENGTH, HEADER_LENGTH, PackedEntry, encode_index
from artstore.records.tables import Table
from artstore.records.trees import tree_with_extent
from artstore.rows import space
from artstore.rows.nodes import node_extent
from artstore.storage import disk, manifest
from artstore.storage.codec import Encoded, verify_stored
from artstore.storage.packs import PackWriter
from artstore.storage.reserve import RESERVE, release_if_short
from artstore.store import Store

__all__ = ["Copied", "compact_pack", "worthwhile"]

BATCH_BYTES: Final = 16 * 1024 * 1024
"""Stored bytes of one segment, and of one transaction."""
BATCH_NODES: Final = 1000
"""Maximum number of nodes of one transaction: it then holds the write lock for less than 50 ms."""
_BLOCK: Final = 4096
_KEEP_FREE: Final = 4 * 1024 * 1024
"""Bytes that a copy leaves free on the disk, for the pages of the transaction that refers to it."""
_READER_SECONDS: Final = 1.0


@dataclass
class Copied:
    """The nodes and stored bytes copied out of a pack, and a sentence for each damaged part, which stays there."""

    nodes: int = 0
    bytes: int = 0
    damaged: list[str] = field(default_factory=list)


# -- copying -----------------------------------------------------------------------------------------------------------


def compact_pack(store: Store, number: int, *, avoid: Collection[int] = ()) -> Copied:
    """Copy the live content of a pack to packs other than those in ``avoid``; report what was copied.

    The caller holds `space.exclusive`.  A pack that a writer appends to is skipped.  Raises `OutOfSpaceError` if the
    disk and the reserve have no room for the next part of the copy; content copied before that keeps its new place.
    """
    copied = Copied()
    with held(store, number) as source:
        if source is None:
            return copied
        with store.snapshot() as snapshot:
            lives = source.end - gaps_of(snapshot.transaction, number)[0]
        in_parts = disk.free_bytes(store.path) < lives + RESERVE
        writer = store.pack_writer(avoid, keep_free=_KEEP_FREE)
        patience = _READER_SECONDS
        try:
            if in_parts:
                _give_back(store, source, 0, 0.0)  # what an earlier copy has left may be all the room that is needed
            for batch in _batches(store, source, copied, from_end=in_parts):
                release_if_short(store.path, sum(life.entry.stored for life in batch) + 2 * _KEEP_FREE)
                written = _copy(store, writer, source, batch, copied)
                if in_parts and not _give_back(store, source, written, patience):
                    patience = 0.0  # a reader that lasts: the copy goes on as far as there is room
        finally:
            writer.close()
    return copied


def _give_back(store: Store, source: Source, written: int, patience: float) -> bool:
    """Free what a transaction has condemned in a pack; return False if readers still use it after ``patience``."""
    until = time.monotonic() + patience
    while manifest.oldest_reader(store.path) < written:
        if time.monotonic() >= until:
            return False
        retire_replaced(store)
        time.sleep(0.002)
    free_unread(store, source.number)
    cut_tail(store, source)
    return True


def _batches(store: Store, source: Source, copied: Copied, *, from_end: bool) -> Iterator[list[Life]]:
    """Yield the live content of a pack in batches of one transaction each.

    They are in the order of offsets, or with ``from_end`` from the pack's last segment to its first: a batch then ends
    with a segment wherever that is possible, so that what was copied can be cut off.
    """
    batch: list[Life] = []
    size = 0
    for entries in _readable(source, copied, from_end=from_end):
        if from_end and size + sum(entry.stored for entry in entries) > BATCH_BYTES and batch:
            yield sorted(batch, key=_offset)
            batch, size = [], 0
        for start in range(0, len(entries), BATCH_NODES):
            with store.snapshot() as snapshot:
                living = list(source.life(snapshot.transaction, entries[start : start + BATCH_NODES]))
            for life in living:
                batch.append(life)
                size += life.entry.stored
                if size >= BATCH_BYTES or len(batch) >= BATCH_NODES:
                    yield sorted(batch, key=_offset)
                    batch, size = [], 0
    if batch:
        yield sorted(batch, key=_offset)


def _offset(life: Life) -> int:
    return life.entry.offset


def _readable(source: Source, copied: Copied, *, from_end: bool) -> Iterator[list[PackedEntry]]:
    """Yield the entries of each segment; record unreadable segments in ``copied``."""
    segments: list[Segment] = []
    try:
        segments.extend(source.segments())
    except DamageError as error:
        copied.damaged.append(f"pack {source.number}: {error}")
    for segment in reversed(segments) if from_end else segments:
        try:
            yield source.entries(segment)
        except DamageError as error:
            copied.damaged.append(f"pack {source.number}, offset {segment.index_at}: {error}")


def _copy(store: Store, writer: PackWriter, source: Source, batch: list[Life], copied: Copied) -> int:
    """Copy a batch of stored forms as one segment, and point their nodes to it; return the transaction's number."""
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
        before = extent_of(source.number, entry)
        offset = segment.add(entry.klass, entry.id, encoded, entry.size, entry.birth_ns)
        moves.append((life.node, before, before._replace(pack=writer.number, offset=offset)))
    if not moves:
        return 0
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
        return transaction.number


def _verified(source: Source, life: Life) -> bytes:
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
    copy has neither such gaps nor such indexes, so no content is copied repeatedly.  The pack with the least live
    content, whose copy needs the least room, comes first.
    """
    with store.snapshot() as snapshot:
        transaction = snapshot.transaction
        ends = pack_ends(transaction)
        chosen = sorted(ends if numbers is None else ends.keys() & set(numbers))
        gaps = {number: gaps_of(transaction, number) for number in chosen}
    chosen_packs = []
    for number in chosen:
        length, punched = gaps[number]
        taken = ends[number] - punched
        loose = length - punched
        if (loose >= _BLOCK and loose * 4 >= taken) or (eager and _is_loose(store, number, length, punched)):
            chosen_packs.append(number)
    return sorted(chosen_packs, key=lambda number: ends[number] - gaps[number][0])


def _is_loose(store: Store, number: int, gaps: int, punched: int) -> bool:
    """Return whether copying a pack would free 3 % of its size on disk, and at least one block."""
    with held(store, number) as source:
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
