"""The blocks of a stat cache's file (`artstore.ingest.statcache`).

The file is a sequence of blocks, one per folder, each after those of its subfolders, and a trailer.

    block    magic 4s, flags u32, checksum u64, entries u64, digest 32s, then for all entries
             kinds u8[], figures (u64, i64, i64, u64, u64)[], ids 32s[], and the keys, joined by two zeros
    trailer  magic 4s, flags u32 (0), checksum u64, offset u64 and length u64 of the root's block

All integers are little-endian.  Entries are in the order of their names.  For a file the figures are its stamp, the id
its content's; for a subfolder they are (offset, length, 0, 0, 0) of its block, and the id its digest; for a symlink
zeros, and the key is name, zero, text.  A checksum is XXH3-64 over everything else of its block or trailer, with a seed
made of path and identity of the source.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Final, NamedTuple

import xxhash

__all__ = [
    "DIRECTORY",
    "EMPTY",
    "FILE",
    "ID_BYTES",
    "LINK",
    "TRAILER_LENGTH",
    "StatBlock",
    "StatEntry",
    "encode_block",
    "encode_figures",
    "encode_trailer",
    "parse_block",
    "parse_trailer",
]

FILE, LINK, DIRECTORY = 0, 1, 2
"""The kinds of entries."""
_KINDS: Final = bytes((FILE, LINK, DIRECTORY))
ID_BYTES: Final = 32

_BLOCK_MAGIC: Final = b"aSC1"  # a new number whenever this format, or the meaning of a folder's digest, changes
_TRAILER_MAGIC: Final = b"aST1"
_BLOCK: Final = struct.Struct("<4sIQQ32s")
_TRAILER: Final = struct.Struct("<4sIQQQ")
_FIGURES: Final = struct.Struct("<QqqQQ")
_CHECKSUM: Final = struct.Struct("<Q")
_CHECKSUM_AT: Final = 8  # in a block and in a trailer
_COMPLETE: Final = 1  # flag: the folder's digest is known, and every entry of it is in the block
_SEPARATOR: Final = b"\0\0"  # names and link texts are not empty and have no zeros
TRAILER_LENGTH: Final = _TRAILER.size


class StatBlock(NamedTuple):
    """One folder's state: parallel sequences by entry, and their raw bytes, from which runs are copied."""

    digest: bytes | None
    kinds: bytes
    figures: bytes
    ids: bytes
    keys: list[bytes]
    stamps: list[tuple[int, ...]]

    def part(self, start: int, stop: int) -> StatBlock:
        """Return the raw bytes of some entries, to be copied into another block."""
        return StatBlock(
            None,
            self.kinds[start:stop],
            self.figures[start * _FIGURES.size : stop * _FIGURES.size],
            self.ids[start * ID_BYTES : stop * ID_BYTES],
            self.keys[start:stop],
            [],
        )


EMPTY: Final = StatBlock(None, b"", b"", b"", [], [])


class StatEntry:
    """One entry of a new block that is not copied from another; left out as long as it has no *ident*."""

    __slots__ = ("figures", "ident", "key", "kind")

    def __init__(self, kind: int, key: bytes, figures: bytes = b"", ident: bytes | None = None) -> None:
        self.kind = kind
        self.key = key
        self.figures = figures
        self.ident = ident


def encode_figures(*figures: int) -> bytes:
    """Return the five figures of an entry as bytes."""
    return _FIGURES.pack(*figures)


def encode_block(pieces: Iterable[StatEntry | StatBlock], digest: bytes, seed: int) -> bytearray:
    """Assemble a folder's block; entries without an id are left out, and the flags say so."""
    kinds, figures, ids, keys = bytearray(), bytearray(), bytearray(), []
    flags = _COMPLETE
    for piece in pieces:
        if isinstance(piece, StatBlock):
            kinds += piece.kinds
            figures += piece.figures
            ids += piece.ids
            keys += piece.keys
        elif piece.ident is None:
            flags = 0
        else:
            kinds.append(piece.kind)
            figures += piece.figures
            ids += piece.ident
            keys.append(piece.key)
    block = bytearray(_BLOCK.pack(_BLOCK_MAGIC, flags, 0, len(keys), digest))
    for part in (kinds, figures, ids, _SEPARATOR.join(keys)):
        block += part
    return _with_checksum(block, seed)


def parse_block(data: bytes, seed: int) -> StatBlock:
    """Return a folder's block; an empty one if it is damaged, or another source's."""
    if len(data) < _BLOCK.size or not _is_sound(data, _BLOCK_MAGIC, seed):
        return EMPTY
    _, flags, _, entries, digest = _BLOCK.unpack_from(data)
    figures_at = _BLOCK.size + entries
    ids_at = figures_at + entries * _FIGURES.size
    keys_at = ids_at + entries * ID_BYTES
    keys = data[keys_at:].split(_SEPARATOR) if entries else []
    if keys_at > len(data) or len(keys) != entries or flags & ~_COMPLETE or (not entries and len(data) != keys_at):
        return EMPTY
    kinds, figures = data[_BLOCK.size : figures_at], data[figures_at:ids_at]
    if kinds.translate(None, _KINDS):
        return EMPTY
    return StatBlock(
        digest if flags & _COMPLETE else None,
        kinds,
        figures,
        data[ids_at:keys_at],
        keys,
        list(_FIGURES.iter_unpack(figures)),
    )


def encode_trailer(offset: int, length: int, seed: int) -> bytearray:
    """Return the trailer that leads to the root's block."""
    return _with_checksum(bytearray(_TRAILER.pack(_TRAILER_MAGIC, 0, 0, offset, length)), seed)


def parse_trailer(data: bytes, seed: int) -> tuple[int, int] | None:
    """Return (offset, length) of the root's block, or None if the trailer is damaged or another source's."""
    if len(data) != TRAILER_LENGTH or not _is_sound(data, _TRAILER_MAGIC, seed):
        return None
    _, flags, _, offset, length = _TRAILER.unpack(data)
    return None if flags else (offset, length)


def _with_checksum(data: bytearray, seed: int) -> bytearray:
    _CHECKSUM.pack_into(data, _CHECKSUM_AT, _checksum(data, seed))
    return data


def _is_sound(data: bytes, magic: bytes, seed: int) -> bool:
    return data[:4] == magic and _CHECKSUM.unpack_from(data, _CHECKSUM_AT)[0] == _checksum(data, seed)


def _checksum(data: bytes | bytearray, seed: int) -> int:
    state = xxhash.xxh3_64(memoryview(data)[:_CHECKSUM_AT], seed)
    state.update(memoryview(data)[_CHECKSUM_AT + _CHECKSUM.size :])
    return state.intdigest()
