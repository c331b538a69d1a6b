"""Reading content: from a content node and a range to verified bytes."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from artstore.errors import DamageError
from artstore.ids import Buffer
from artstore.records.nodes import BLOCK, KIND_CHUNK, LOST, ChunkRecord, ListView, decode_chunk
from artstore.rows.nodes import content_record
from artstore.storage.chunkcaches import ChunkSource
from artstore.storage.codec import RAW
from artstore.storage.manifest import ReadTransaction
from artstore.storage.packs import ChunkPart, PackReader, damaged

__all__ = ["ContentInfo", "chunks_between", "describe", "read", "read_chunk", "stored_bytes", "stored_of_chunk"]


class ContentInfo(NamedTuple):
    """A content node's record: BLAKE3 id, size in bytes, and the time of its first put."""

    id: bytes
    size: int
    birth_ns: int


def describe(transaction: ReadTransaction, node: int) -> ContentInfo:
    """Return the `ContentInfo` of a content node, from its own record alone."""
    record = content_record(transaction, node)
    return ContentInfo(record.id, record.size, record.birth_ns)


def stored_of_chunk(payload: bytes) -> int:
    """Return the bytes in packs of a content node from its record, if it is a chunk; 0 for any other."""
    return decode_chunk(payload).extent.stored if payload[0] == KIND_CHUNK else 0


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
    """Return the record of a list's child; raise `DamageError` if its level or length is wrong.

    With these checks a read terminates and returns the right bytes or none, even over damaged records.
    """
    node = above.nodes[index]
    size = above.ends[index] - above.ends[index - 1] if index else above.ends[0]
    record = content_record(transaction, node)
    as_said = record.level == above.level - 1 if isinstance(record, ListView) else _is_leaf(record, above.level)
    if record.size != size or not as_said:
        raise DamageError(f"content node {node} does not match its parent list")
    return record


def _is_leaf(record: ChunkRecord, level_above: int) -> bool:
    """Return whether a chunk may be a child of a list of a level; a lost node may also stand for a list."""
    return level_above == 0 or record.extent.codec == LOST


def chunks_between(transaction: ReadTransaction, node: int, start: int, end: int) -> list[ChunkPart]:
    """Return (chunk, from, to) of the chunks that bytes ``[start, end)`` touch, in order; from and to within each."""
    parts: list[ChunkPart] = []
    record = content_record(transaction, node)
    _add_chunks_between(transaction, record, start, min(end, record.size), parts)
    return parts


def _add_chunks_between(
    transaction: ReadTransaction,
    record: ChunkRecord | ListView,
    start: int,
    end: int,
    parts: list[ChunkPart],
) -> None:
    if start >= end:
        return
    if isinstance(record, ChunkRecord):
        parts.append((record, start, end))
        return
    ends = record.ends
    index = bisect_right(ends, start)
    base = ends[index - 1] if index else 0
    while base < end:
        child = _child(transaction, record, index)
        child_end = ends[index]
        _add_chunks_between(transaction, child, max(start - base, 0), min(end, child_end) - base, parts)
        base = child_end
        index += 1


def read(
    transaction: ReadTransaction, reader: PackReader, cache: ChunkSource, node: int, offset: int, size: int
) -> list[Buffer]:
    """Return up to ``size`` bytes of a content node from ``offset``, fewer only at its end, as consecutive pieces.

    Raises `DamageError` if what is stored fails its checksum; other bytes are never returned.
    """
    record = content_record(transaction, node)
    if isinstance(record, ChunkRecord) and not offset and size >= record.size:
        return [read_chunk(reader, cache, record)] if record.size else []
    end = min(offset + size, record.size)
    parts: list[ChunkPart] = []
    _add_chunks_between(transaction, record, offset, end, parts)
    if not parts:
        return []
    last = parts[-1][0].extent
    if last.stored:
        if isinstance(record, ChunkRecord):
            reader.touch(last)
        else:
            low = _stored_from(*parts[0]) if parts[0][0].extent.pack == last.pack else -1
            reader.follow(node, offset, end, last.pack, low, _stored_to(*parts[-1]))
    if len(parts) == 1:
        return [_read_part(reader, cache, *parts[0])]
    pieces: list[Buffer] = []
    for run in _runs(parts):
        if run[0][0].extent.codec == RAW:
            pieces += reader.read_parts(run)
        else:
            pieces.append(_read_part(reader, cache, *run[0]))
    return pieces


def read_chunk(reader: PackReader, cache: ChunkSource, chunk: ChunkRecord) -> Buffer:
    """Return the bytes of a chunk that is a whole file, verified."""
    if chunk.extent.stored:
        reader.touch(chunk.extent)
    return _read_part(reader, cache, chunk, 0, chunk.size)


def _stored_from(chunk: ChunkRecord, start: int, end: int) -> int:
    """Return the offset in its pack of the first stored byte that a part of a chunk needs."""
    return chunk.extent.offset + (start if chunk.extent.codec == RAW else 0)


def _stored_to(chunk: ChunkRecord, start: int, end: int) -> int:
    """Return the offset in its pack after the last stored byte that a part of a chunk needs."""
    return chunk.extent.offset + (end if chunk.extent.codec == RAW else chunk.extent.stored)


def _runs(parts: Sequence[ChunkPart]) -> Iterator[list[ChunkPart]]:
    """Group consecutive parts of raw chunks that lie behind each other in a pack; any other part is alone."""
    run: list[ChunkPart] = []
    for part in parts:
        extent = part[0].extent
        if run:
            before = run[-1][0].extent
            goes_on = before.codec == extent.codec == RAW and (before.pack, before.offset + before.stored) == extent[:2]
            if not goes_on:
                yield run
                run = []
        run.append(part)
    yield run


def _read_part(reader: PackReader, cache: ChunkSource, chunk: ChunkRecord, start: int, end: int) -> Buffer:
    if end - start == chunk.size <= BLOCK or chunk.extent.codec == LOST:
        return _read_whole(reader, chunk)
    if chunk.extent.codec == RAW:
        return reader.read_parts([(chunk, start, end)])[0]
    return cache.fetch(chunk.id, start, end, lambda: _read_whole(reader, chunk))


def _read_whole(reader: PackReader, chunk: ChunkRecord) -> bytes:
    if chunk.extent.codec == LOST:
        raise DamageError(
            f"content {chunk.id.hex()} was damaged and is lost",
            hint="put the same file again to restore it in every version",
        )
    try:
        return reader.read(chunk.extent, chunk.size, chunk.checksums)
    except DamageError as error:
        raise damaged(chunk, error) from error
