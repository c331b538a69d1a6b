"""The framing of pack files.

    pack     = header, segment...
    header   = magic "ARTFSPAC", version u16, 6 zero bytes, workspace uuid (16), pack number u32, created i64, xxh3-64
    segment  = head, data, index
    head     = magic "ARTFSEG1", data length u32, index length u32, xxh3-64 of the two lengths
    index    = magic "ARTFIDX1", entry count u32, entries, xxh3-64 of all before
    entry    = class u8, codec u8, id (32), offset in the pack u32, stored u32, size u32, birth i64, checksums u16,
               checksums (xxh3-64 of each block of the stored form)

All integers are little-endian.  A segment is written and synced before any record refers to it, so a torn one can
only be the last.  The index holds ids where LMDB holds numbers, so that LMDB can be rebuilt from packs and journal.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from xxhash import xxh3_64_intdigest

from artstore.errors import DamageError

__all__ = [
    "CLASS_CONTENT",
    "CLASS_LIST",
    "CLASS_LOST",
    "CLASS_ROOT_LIST",
    "CLASS_TREE",
    "HEADER_LENGTH",
    "HEAD_LENGTH",
    "PackedEntry",
    "encode_header",
    "encode_index",
    "encode_segment_head",
    "parse_header",
    "parse_index",
    "parse_segment_head",
]

CLASS_CONTENT: Final = 0x63
"""Chunks, and in LMDB's index the root lists of files too: the id is the BLAKE3 of the content."""
CLASS_ROOT_LIST: Final = 0x72
"""A packed root list: the id is that of the content that it lists."""
CLASS_LIST: Final = 0x6C
"""Index class of lists below another list: the id is the BLAKE3 of the canonical list."""
CLASS_TREE: Final = 0x74
"""Index class of directory records: the id is the form id."""
CLASS_LOST: Final = 0x80
"""Added to the class of a lost node in LMDB's index, so that ordinary lookups do not find it."""

_HEADER: Final = struct.Struct("<8sH6s16sIq")
_CHECK: Final = struct.Struct("<Q")
_HEAD: Final = struct.Struct("<8sII")
_INDEX: Final = struct.Struct("<8sI")
_ENTRY: Final = struct.Struct("<BB32sIIIqH")
_MAGIC: Final = b"ARTFSPAC"
_SEGMENT_MAGIC: Final = b"ARTFSEG1"
_INDEX_MAGIC: Final = b"ARTFIDX1"
_VERSION: Final = 2
_UNUSED: Final = bytes(6)
HEADER_LENGTH: Final = _HEADER.size + _CHECK.size
HEAD_LENGTH: Final = _HEAD.size + _CHECK.size


class PackedEntry(NamedTuple):
    """A segment's index entry of one stored node; ``size`` is the length before compression."""

    klass: int
    codec: int
    id: bytes
    offset: int
    stored: int
    size: int
    birth_ns: int
    checksums: tuple[int, ...]


def _with_check(data: bytes) -> bytes:
    return data + _CHECK.pack(xxh3_64_intdigest(data))


def _checked(data: bytes, length: int, what: str) -> bytes:
    body = data[:length]
    if (
        length < 0
        or len(data) != length + _CHECK.size
        or _CHECK.unpack_from(data, length)[0] != xxh3_64_intdigest(body)
    ):
        raise DamageError(f"{what} is damaged")
    return body


def encode_header(uuid: bytes, number: int, created_ns: int) -> bytes:
    """Return a pack's first `HEADER_LENGTH` bytes."""
    return _with_check(_HEADER.pack(_MAGIC, _VERSION, _UNUSED, uuid, number, created_ns))


def parse_header(data: bytes) -> tuple[bytes, int, int]:
    """Return (workspace uuid, pack number, created_ns); raise `DamageError` if it is no pack header."""
    magic, version, unused, uuid, number, created_ns = _HEADER.unpack(_checked(data, _HEADER.size, "a pack's header"))
    if magic != _MAGIC or version != _VERSION or unused != _UNUSED:
        raise DamageError("a pack has an unknown format")
    return uuid, number, created_ns


def encode_segment_head(data_length: int, index_length: int) -> bytes:
    """Return a segment's first `HEAD_LENGTH` bytes."""
    return _with_check(_HEAD.pack(_SEGMENT_MAGIC, data_length, index_length))


def parse_segment_head(data: bytes) -> tuple[int, int]:
    """Return (data length, index length); raise `DamageError` if no segment starts here."""
    magic, data_length, index_length = _HEAD.unpack(_checked(data, _HEAD.size, "a segment's head"))
    if magic != _SEGMENT_MAGIC:
        raise DamageError("no segment starts here")
    return data_length, index_length


def encode_index(entries: Sequence[PackedEntry]) -> bytes:
    """Return a segment's closing index."""
    parts = [_INDEX.pack(_INDEX_MAGIC, len(entries))]
    for klass, codec, ident, offset, stored, size, birth_ns, checksums in entries:
        count = len(checksums)
        parts.append(_entry_with(count).pack(klass, codec, ident, offset, stored, size, birth_ns, count, *checksums))
    return _with_check(b"".join(parts))


@lru_cache(maxsize=512)
def _entry_with(checksums: int) -> struct.Struct:
    return struct.Struct(f"{_ENTRY.format}{checksums}Q")


def parse_index(data: bytes) -> list[PackedEntry]:
    """Return the entries of a segment's index; raise `DamageError` on a checksum or a length that does not fit."""
    body = _checked(data, len(data) - _CHECK.size, "a segment's index")
    try:
        magic, count = _INDEX.unpack_from(body)
        if magic != _INDEX_MAGIC:
            raise DamageError("a segment's index has an unknown format")
        position = _INDEX.size
        entries = []
        for _ in range(count):
            klass, codec, ident, offset, stored, size, birth_ns, sums = _ENTRY.unpack_from(body, position)
            position += _ENTRY.size
            checksums = struct.unpack_from(f"<{sums}Q", body, position)
            entries.append(PackedEntry(klass, codec, ident, offset, stored, size, birth_ns, checksums))
            position += 8 * sums
    except struct.error as error:
        raise DamageError("a segment's index is cut short") from error
    if position != len(body):
        raise DamageError("a segment's index has bytes left over")
    return entries
