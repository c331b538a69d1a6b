"""Reading content: from a content node and a range to verified bytes."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import OrderedDict
from typing import Final, NamedTuple

from artstore.codec import RAW
from artstore.errors import DamageError
from artstore.ids import Buffer
from artstore.manifest import ReadTransaction
from artstore.nodes import content_record
from artstore.packs import PackReader
from artstore.records.nodes import BLOCK, LOST, ChunkRecord, ListView

__all__ = ["ChunkCache", "ContentInfo", "chunks_between", "describe", "read", "stored_bytes"]


class ContentInfo(NamedTuple):
    """What one record says of a content node: BLAKE3 id, size in bytes, and when it was first put."""

    id: bytes
    size: int
    birth_ns: int


class ChunkCache:
    """Decompressed chunks, least recently used first, bounded in bytes; one for each process.

    Keyed by content id, so that an entry is right in every workspace, and for as long as it stays.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = 0
        self._chunks: OrderedDict[bytes, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, ident: bytes) -> bytes | None:
        """Return a chunk's content if it is here."""
        with self._lock:
            data = self._chunks.get(ident)
            if data is not None:
                self._chunks.move_to_end(ident)
            return data

    def put(self, ident: bytes, data: bytes) -> None:
        """Keep a chunk's content, letting the oldest go."""
        with self._lock:
            if ident in self._chunks or len(data) > self._limit:
                return
            self._chunks[ident] = data
            self._held += len(data)
            while self._held > self._limit:
                self._held -= len(self._chunks.popitem(last=False)[1])

    def after_fork(self) -> None:
        """Start empty in a forked child, where another thread's lock would never be released."""
        self._lock = threading.Lock()
        self._chunks = OrderedDict()
        self._held = 0


CACHE_BYTES: Final = 16 * 1024 * 1024


def describe(transaction: ReadTransaction, node: int) -> ContentInfo:
    """Return what is known of a content node, from its own record alone."""
    record = content_record(transaction, node)
    return ContentInfo(record.id, record.size, record.birth_ns)


def stored_bytes(transaction: ReadTransaction, node: int) -> int:
    """Return the bytes in packs of a content node: of its chunks and list records, each of which is looked at."""
    waiting, total = [content_record(transaction, node)], 0
    while waiting:
        record = waiting.pop()
        total += record.extent.stored
        if isinstance(record, ListView):
            waiting += [_child(transaction, record, index) for index in range(len(record.nodes))]
    return total


def _child(transaction: ReadTransaction, above: ListView, index: int) -> ChunkRecord | ListView:
    """Return the record of a list's child; raise `DamageError` where it is not the next level down, and as long.

    So that reading ends, and finds the right bytes or none, whatever records say.
    """
    node = above.nodes[index]
    size = above.ends[index] - above.ends[index - 1] if index else above.ends[0]
    record = content_record(transaction, node)
    as_said = record.level == above.level - 1 if isinstance(record, ListView) else _is_leaf(record, above.level)
    if record.size != size or not as_said:
        raise DamageError(f"content node {node} is not what the list above it says")
    return record


def _is_leaf(record: ChunkRecord, level_above: int) -> bool:
    """Return whether a chunk may stand below a list of a level; what is lost stands for a list as well."""
    return level_above == 0 or record.extent.codec == LOST


def chunks_between(transaction: ReadTransaction, node: int, start: int, end: int) -> list[tuple[ChunkRecord, int, int]]:
    """Return (chunk, from, to) of the chunks that bytes ``[start, end)`` touch, in order; from and to within each."""
    found: list[tuple[ChunkRecord, int, int]] = []
    record = content_record(transaction, node)
    _add_chunks_between(transaction, record, start, min(end, record.size), found)
    return found


def _add_chunks_between(
    transaction: ReadTransaction,
    record: ChunkRecord | ListView,
    start: int,
    end: int,
    found: list[tuple[ChunkRecord, int, int]],
) -> None:
    if start >= end:
        return
    if isinstance(record, ChunkRecord):
        found.append((record, start, end))
        return
    ends = record.ends
    index = bisect_right(ends, start)
    base = ends[index - 1] if index else 0
    while base < end:
        child = _child(transaction, record, index)
        child_end = ends[index]
        _add_chunks_between(transaction, child, max(start - base, 0), min(end, child_end) - base, found)
        base = child_end
        index += 1


def read(
    transaction: ReadTransaction, reader: PackReader, cache: ChunkCache, node: int, offset: int, size: int
) -> list[Buffer]:
    """Return up to ``size`` bytes of a content node from ``offset``, fewer only at its end, as consecutive pieces.

    Raises `DamageError` where what is stored fails its checksum; other bytes are never returned.
    """
    return [
        _read_chunk(reader, cache, chunk, start, end)
        for chunk, start, end in chunks_between(transaction, node, offset, offset + size)
    ]


def _read_chunk(reader: PackReader, cache: ChunkCache, chunk: ChunkRecord, start: int, end: int) -> Buffer:
    if chunk.extent.codec == LOST:
        raise DamageError(
            f"content {chunk.id.hex()} was damaged and is lost",
            hint="put the same file again, and every version has it",
        )
    try:
        if chunk.extent.codec == RAW:
            return reader.read_range(chunk.extent, chunk.checksums, start, end)
        data = cache.get(chunk.id)
        if data is None:
            data = reader.read(chunk.extent, chunk.size, chunk.checksums)
            if chunk.size > BLOCK or end - start < chunk.size:
                cache.put(chunk.id, data)
        return data if end - start == chunk.size else memoryview(data)[start:end]
    except DamageError as error:
        place = f"pack {chunk.extent.pack}, offset {chunk.extent.offset}"
        raise DamageError(f"chunk {chunk.id.hex()} ({place}) is damaged: {error}") from error
