"""A pack that is copied or removed: its segments, and which of their stored forms nodes refer to."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from artstore import beneath
from artstore.errors import DamageError
from artstore.records.deadlist import Free, decode_free
from artstore.records.nodes import KIND_CHUNK, Extent, decode_chunk
from artstore.records.packing import (
    CLASS_CONTENT,
    CLASS_ROOT_LIST,
    HEAD_LENGTH,
    HEADER_LENGTH,
    PackedEntry,
    parse_index,
    parse_segment_head,
)
from artstore.records.tables import Table, key32, number32, pack_end
from artstore.rows import space
from artstore.rows.nodes import find_node, node_extent
from artstore.storage import disk
from artstore.storage.manifest import ReadTransaction
from artstore.storage.packs import pack_path
from artstore.store import Store

__all__ = ["Life", "Segment", "Source", "extent_of", "gap_of", "gaps_of", "held", "pack_ends"]


class Segment(NamedTuple):
    """The position of a segment's data and index in its pack."""

    data: int
    data_length: int
    index_at: int
    index_length: int

    @property
    def start(self) -> int:
        """The offset of its head."""
        return self.data - HEAD_LENGTH

    @property
    def end(self) -> int:
        """The offset after its index."""
        return self.index_at + self.index_length


class Life(NamedTuple):
    """A stored form that a node refers to: its entry in the pack's index, the node, and whether the two agree."""

    entry: PackedEntry
    node: int
    is_sound: bool


class Source:
    """A pack that is locked against appending while it is open; ``end`` is that of its committed bytes."""

    def __init__(self, number: int, fd: int, end: int) -> None:
        self.number = number
        self.fd = fd
        self.end = end

    def segments(self) -> Iterator[Segment]:
        """Yield the pack's segments in order; raise `DamageError` if the sequence of segments is broken."""
        position = HEADER_LENGTH
        while position < self.end:
            data_length, index_length = parse_segment_head(disk.read_exactly(self.fd, HEAD_LENGTH, position))
            data = position + HEAD_LENGTH
            segment = Segment(data, data_length, data + data_length, index_length)
            position = segment.end
            if position > self.end:
                raise DamageError("a segment reaches past the end of its pack")
            yield segment

    def entries(self, segment: Segment) -> list[PackedEntry]:
        """Return the entries of a segment's index; raise `DamageError` if it is unreadable."""
        return parse_index(disk.read_exactly(self.fd, segment.index_length, segment.index_at))

    def life(self, transaction: ReadTransaction, entries: Collection[PackedEntry]) -> Iterator[Life]:
        """Yield the stored forms of a segment that nodes refer to."""
        for entry in entries:
            row = find_node(transaction, CLASS_CONTENT if entry.klass == CLASS_ROOT_LIST else entry.klass, entry.id)
            if row is None:
                continue
            node, payload = row
            extent = node_extent(payload)
            if (extent.pack, extent.offset) == (self.number, entry.offset):
                agrees = extent == extent_of(self.number, entry)
                if payload[0] == KIND_CHUNK:
                    agrees = agrees and decode_chunk(payload).checksums == entry.checksums
                yield Life(entry, node, agrees)


def extent_of(number: int, entry: PackedEntry) -> Extent:
    """Return where an entry of a pack's index says that a stored form is."""
    return Extent(number, entry.offset, entry.stored, entry.codec)


@contextmanager
def held(store: Store, number: int) -> Iterator[Source | None]:
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
                source = Source(number, fd, pack_end(value))
        yield source
    finally:
        os.close(fd)


def pack_ends(transaction: ReadTransaction) -> dict[int, int]:
    """Return the end of each pack's committed bytes, by the pack's number."""
    rows = transaction.rows(Table.PACKS)
    return {number32(key): pack_end(value) for key, value in rows}


def gaps_of(transaction: ReadTransaction, number: int) -> tuple[int, int]:
    """Return the bytes of a pack's gaps, and those of them that are holes."""
    length = punched = 0
    for gap in space.free_extents(transaction, number):
        length += gap.length
        punched += gap.punched
    return length, punched


def gap_of(transaction: ReadTransaction, number: int, segment: Segment) -> Free | None:
    """Return the gap that consists of all data of a segment, or None."""
    key = key32(number) + key32(segment.data)
    payload = transaction.get(Table.FREE, key)
    gap = None if payload is None else decode_free(key, payload)
    return gap if gap is not None and gap.length == segment.data_length else None
