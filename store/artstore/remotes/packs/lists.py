"""List objects: the chunks of one file, or for a very large file lists of them.

    list     head · packs · rows
    head     format u8 = 1 · level u8 · packs u16 · rows u32
    pack     folder u8 · id 16
    rows at level 0, in columns: pack u16 · gap u32 · saved u32 · size u32 · codec u8; then the ids 32
    rows above, in columns: pack u16 · offset u32 · stored u32 · size u32 · chunks u64 · bytes u64; then the hashes 32

Columns, gaps, saved bytes and the order of packs are those of `artstore.remotes.packs.spans`.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

from artstore.errors import DamageError
from artstore.ids import ID_LENGTH
from artstore.remotes.packs.columns import ColumnReader, PackTable, pack_columns
from artstore.remotes.packs.located import Chunk, ChunkList, check_chunk, check_list
from artstore.remotes.packs.places import Pack, Place

__all__ = ["LIST_ROWS", "ListedPart", "decode_chunks", "decode_parts", "encode_chunks", "encode_parts"]

LIST_ROWS: Final = 4096
"""Rows of a list, at most."""
MOST_LEVELS: Final = 4
_FORMAT: Final = 1
_HEAD: Final = struct.Struct("<BBHI")
_CHUNKS: Final = "HIIIB"
_PARTS: Final = "HIIIQQ"
_MODULUS: Final = 2**32


class ListedPart(NamedTuple):
    """A row of a list above level 0: a list below, and the bytes of the file that it lists."""

    item: ChunkList
    bytes: int


def encode_chunks(chunks: Sequence[Chunk]) -> bytes:
    """Return the bytes of a list of level 0; raise `DamageError` if a reader would refuse it."""
    table = PackTable()
    ends: dict[Pack, int] = {}
    rows = []
    for chunk in chunks:
        check_chunk(chunk)
        pack, offset, stored = chunk.place
        gap = (offset - ends.get(pack, 0)) % _MODULUS
        ends[pack] = offset + stored
        rows.append((table.number(pack), gap, chunk.size - stored, chunk.size, chunk.codec))
    return _encoded(0, table, _CHUNKS, rows, [chunk.id for chunk in chunks])


def encode_parts(level: int, parts: Sequence[ListedPart]) -> bytes:
    """Return the bytes of a list of a level above 0; raise `DamageError` if a reader would refuse it."""
    table = PackTable()
    rows = []
    for item, size in parts:
        _check_part(level, item, size)
        pack, offset, stored = item.place
        rows.append((table.number(pack), offset, stored, item.size, item.chunks, size))
    return _encoded(level, table, _PARTS, rows, [item.hash for item, _ in parts])


def _encoded(level: int, table: PackTable, codes: str, rows: Sequence[tuple[int, ...]], ids: list[bytes]) -> bytes:
    _check_head(level, len(rows), len(table))
    head = _HEAD.pack(_FORMAT, level, len(table), len(rows))
    return b"".join([head, table.encode(), pack_columns(codes, rows), *ids])


def _check_head(level: int, rows: int, packs: int) -> None:
    if not 0 < rows <= LIST_ROWS or level >= MOST_LEVELS or packs > rows:
        raise DamageError(f"a list of level {level} has {rows} rows and {packs} packs")


def _check_part(level: int, item: ChunkList, size: int) -> None:
    check_list(item)
    if item.level != level - 1 or not item.chunks <= size or len(item.hash) != ID_LENGTH:
        raise DamageError(f"a list of level {level} has a row of level {item.level} with {item.chunks} chunks")


def decode_chunks(raw: bytes) -> list[Chunk]:
    """Return what `encode_chunks` was given; raise `DamageError` for anything else."""
    packs, columns, ids = _decoded(raw, 0, _CHUNKS)
    ends: dict[int, int] = {}
    chunks = []
    for ident, number, gap, saved, size, codec in zip(ids, *columns, strict=True):
        offset, stored = (ends.get(number, 0) + gap) % _MODULUS, size - saved
        ends[number] = offset + stored
        chunk = Chunk(ident, size, codec, Place(packs[number], offset, stored))
        check_chunk(chunk)
        chunks.append(chunk)
    return chunks


def decode_parts(raw: bytes, level: int) -> list[ListedPart]:
    """Return what `encode_parts` was given for a level; raise `DamageError` for anything else."""
    packs, columns, ids = _decoded(raw, level, _PARTS)
    parts = []
    for ident, number, offset, stored, size, chunks, length in zip(ids, *columns, strict=True):
        item = ChunkList(ident, level - 1, chunks, size, Place(packs[number], offset, stored))
        _check_part(level, item, length)
        parts.append(ListedPart(item, length))
    return parts


def _decoded(raw: bytes, level: int, codes: str) -> tuple[list[Pack], list[tuple[int, ...]], list[bytes]]:
    try:
        format_number, said, packs, rows = _HEAD.unpack_from(raw)
    except struct.error as error:
        raise DamageError("a list is cut short") from error
    _check_head(said, rows, packs)
    if format_number != _FORMAT or said != level:
        raise DamageError(f"a list has the format {format_number} and the level {said}, not {level}")
    reader = ColumnReader(raw, _HEAD.size, "a list")
    table = reader.packs(packs)
    columns = reader.columns(codes, rows)
    ids = reader.ids(rows)
    reader.finish()
    table.check(columns[0])
    return table.packs, columns, ids
