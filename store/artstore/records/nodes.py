"""Node records: LMDB's record of a chunk or an extent list, keyed by node number.

A *chunk* is a leaf: up to 1 MiB of content in one extent of a pack.  A *list* is the content of a larger file as a
tree of chunks with at most 256 children in each record.  The root of a list, like a chunk, has the BLAKE3 of the
bytes below it as its id, so a file of one chunk needs no list: its content node is the chunk.

A *lost* node is one whose only stored form was found damaged.  References to it stay unchanged; reading it is an error
until the same content is put again.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import lru_cache
from operator import lt
from typing import Final, NamedTuple

from artstore.errors import DamageError
from artstore.ids import ID_LENGTH

__all__ = [
    "BLOCK",
    "FANOUT",
    "FINE_BLOCK",
    "KIND_CHUNK",
    "KIND_LIST",
    "KIND_LOST",
    "KIND_TREE",
    "LARGEST",
    "LOST",
    "ChunkRecord",
    "Extent",
    "ListChild",
    "ListRecord",
    "ListView",
    "LostRecord",
    "block_length",
    "canonical_list",
    "decode_chunk",
    "decode_list",
    "decode_lost",
    "encode_chunk",
    "encode_list",
    "encode_lost",
    "parse_canonical_list",
    "view_list",
    "with_extent",
]

KIND_CHUNK: Final = 1
KIND_LIST: Final = 2
KIND_TREE: Final = 3
KIND_LOST: Final = 4
LOST: Final = 255
"""The codec of a node without a stored form."""
_VERSION: Final = 1
_FINE_VERSION: Final = 2
"""Of the record of a chunk whose checksums cover `FINE_BLOCK` each."""
_LOST_VERSION: Final = 2
"""Of the record of a lost node, which has had a digest since format 2."""
BLOCK: Final = 64 * 1024
"""Stored bytes that one checksum covers, in forms that are read whole."""
FINE_BLOCK: Final = 4 * 1024
"""The same in raw forms of more than `BLOCK`, of which parts are read: a page at random costs a page."""
LARGEST: Final = 1024 * 1024
"""Bytes of one chunk or record before and after compression, at most: the room that a reader ever makes for one."""
FANOUT: Final = 256
"""Children of one record, at most.  Part of the format and of the digest."""


class Extent(NamedTuple):
    """The location of a node's stored form: bytes ``[offset, offset + stored)`` of one pack."""

    pack: int
    offset: int
    stored: int
    codec: int


class ChunkRecord(NamedTuple):
    """A chunk: ``size`` content bytes, stored in ``extent`` with one XXH3-64 per `block_length` of stored bytes."""

    id: bytes
    birth_ns: int
    size: int
    extent: Extent
    checksums: tuple[int, ...]


class ListChild(NamedTuple):
    """One child of a list: a content node whose bytes end at ``end`` within the list."""

    node: int
    end: int


class ListRecord(NamedTuple):
    """An extent list: ``children`` in order; ``end`` of the last child equals ``size``.

    ``extent`` is the canonical form in a pack, which only a rebuild reads.
    """

    id: bytes
    birth_ns: int
    size: int
    level: int
    extent: Extent
    children: tuple[ListChild, ...]


class ListView(NamedTuple):
    """An extent list as reading needs it: child i is ``nodes[i]``, whose bytes end at ``ends[i]`` within the list."""

    id: bytes
    birth_ns: int
    size: int
    level: int
    extent: Extent
    nodes: tuple[int, ...]
    ends: tuple[int, ...]


class LostRecord(NamedTuple):
    """A node without a stored form: the class of its id, the id, and of content its birth and size, else 0.

    ``digest`` is that of a directory record, whose id is its form id; it is zeros for content, or if it is unknown.
    """

    klass: int
    id: bytes
    birth_ns: int
    size: int
    digest: bytes = bytes(ID_LENGTH)


_CHUNK: Final = struct.Struct("<BB32sqIBIII")
_ONE_CHECKSUM: Final = struct.Struct("<Q")
_SMALL_CHUNK: Final = struct.Struct("<BB32sqIBIIIQ")
_LIST: Final = struct.Struct("<BB32sqQBBIIIH")
_LOST: Final = struct.Struct("<BB32sqQB32s")
_EXTENT: Final = struct.Struct("<BIII")
_EXTENT_AT: Final = {KIND_CHUNK: struct.calcsize("<BB32sqI"), KIND_LIST: struct.calcsize("<BB32sqQB")}
_CHILD: Final = struct.Struct("<QQ")
_CANONICAL_HEAD: Final = struct.Struct("<BBH")
_CANONICAL_CHILD: Final = struct.Struct("<B32sQ")
_CHILD_CLASSES: Final = b"cl"
_LIST_FORMAT: Final = 1


def block_length(stored: int, count: int) -> int:
    """Return how many stored bytes each of ``count`` checksums covers; raise `DamageError` if no block length fits."""
    if count == -(-stored // BLOCK):
        return BLOCK
    if count == -(-stored // FINE_BLOCK):
        return FINE_BLOCK
    raise DamageError(f"{stored} stored bytes have {count} checksums")


def encode_chunk(record: ChunkRecord) -> bytes:
    """Return the record's bytes, without the seal; raise `DamageError` if `decode_chunk` would refuse them."""
    extent = record.extent
    _check_chunk(record.size, extent.stored)
    fine = block_length(extent.stored, len(record.checksums)) == FINE_BLOCK
    return _chunk_with(len(record.checksums)).pack(
        KIND_CHUNK,
        _FINE_VERSION if fine else _VERSION,
        record.id,
        record.birth_ns,
        record.size,
        extent.codec,
        extent.pack,
        extent.offset,
        extent.stored,
        *record.checksums,
    )


@lru_cache(maxsize=512)
def _chunk_with(checksums: int) -> struct.Struct:
    return struct.Struct(f"{_CHUNK.format}{checksums}Q")


def decode_chunk(payload: bytes) -> ChunkRecord:
    """Return the chunk that `encode_chunk` wrote; raise `DamageError` on anything else."""
    if len(payload) == _SMALL_CHUNK.size:  # most files of a data set
        kind, version, ident, birth, size, codec, pack, offset, stored, checksum = _SMALL_CHUNK.unpack(payload)
        if kind == KIND_CHUNK and version == _VERSION and 0 < stored <= size <= LARGEST and stored <= BLOCK:
            return ChunkRecord(ident, birth, size, Extent(pack, offset, stored, codec), (checksum,))
    try:
        kind, version, ident, birth, size, codec, pack, offset, stored = _CHUNK.unpack_from(payload)
        count = -(-stored // (FINE_BLOCK if version == _FINE_VERSION else BLOCK))
        layout = _ONE_CHECKSUM if count == 1 else struct.Struct(f"<{count}Q")
        checksums = layout.unpack_from(payload, _CHUNK.size)
    except struct.error as error:
        raise DamageError("a chunk record is cut short") from error
    if kind != KIND_CHUNK or not _VERSION <= version <= _FINE_VERSION or len(payload) != _CHUNK.size + 8 * count:
        raise DamageError(f"a chunk record is malformed (kind {kind}, version {version})")
    if version == _FINE_VERSION and stored <= FINE_BLOCK:
        raise DamageError(f"a chunk record is malformed: {stored} stored bytes need no fine checksums")
    _check_chunk(size, stored)
    return ChunkRecord(ident, birth, size, Extent(pack, offset, stored, codec), checksums)


def _check_chunk(size: int, stored: int) -> None:
    if not stored <= size <= LARGEST or bool(stored) != bool(size):
        raise DamageError(f"a chunk record has invalid sizes: {size} bytes, {stored} stored")


def encode_list(record: ListRecord) -> bytes:
    """Return the record's bytes, without the seal."""
    extent = record.extent
    head = _LIST.pack(
        KIND_LIST,
        _VERSION,
        record.id,
        record.birth_ns,
        record.size,
        record.level,
        extent.codec,
        extent.pack,
        extent.offset,
        extent.stored,
        len(record.children),
    )
    return head + b"".join(_CHILD.pack(*child) for child in record.children)


@lru_cache(maxsize=64)
def view_list(payload: bytes) -> ListView:
    """Return the list that `encode_list` wrote; raise `DamageError` on anything else.

    Recent lists are cached, because random reads in a large file go through the same few lists.
    """
    try:
        kind, version, ident, birth, size, level, codec, pack, offset, stored, count = _LIST.unpack_from(payload)
    except struct.error as error:
        raise DamageError("a list record is cut short") from error
    if kind != KIND_LIST or version != _VERSION or len(payload) != _LIST.size + _CHILD.size * count:
        raise DamageError(f"a list record is malformed (kind {kind}, version {version})")
    if not 0 < count <= FANOUT or stored > LARGEST:
        raise DamageError(f"a list record has invalid sizes: {count} children, {stored} bytes stored")
    rows = struct.unpack_from(f"<{2 * count}Q", payload, _LIST.size)
    ends = rows[1::2]
    if ends[-1] != size or not ends[0] or not all(map(lt, ends, ends[1:])):
        raise DamageError("a list record's lengths do not add up")
    return ListView(ident, birth, size, level, Extent(pack, offset, stored, codec), rows[::2], ends)


def decode_list(payload: bytes) -> ListRecord:
    """Return the list that `encode_list` wrote, child by child; raise `DamageError` on anything else."""
    view = view_list(payload)
    children = tuple(map(ListChild, view.nodes, view.ends))
    return ListRecord(view.id, view.birth_ns, view.size, view.level, view.extent, children)


def with_extent(payload: bytes, extent: Extent) -> bytes:
    """Return the record of a chunk or list whose stored form lies somewhere else."""
    start = _EXTENT_AT[payload[0]]
    place = _EXTENT.pack(extent.codec, extent.pack, extent.offset, extent.stored)
    return payload[:start] + place + payload[start + len(place) :]


def encode_lost(record: LostRecord) -> bytes:
    """Return the record's bytes, without the seal."""
    return _LOST.pack(KIND_LOST, _LOST_VERSION, record.id, record.birth_ns, record.size, record.klass, record.digest)


def decode_lost(payload: bytes) -> LostRecord:
    """Return the record that `encode_lost` wrote; raise `DamageError` on anything else."""
    try:
        kind, version, ident, birth, size, klass, digest = _LOST.unpack(payload)
    except struct.error as error:
        raise DamageError("the record of a lost node has the wrong length") from error
    if kind != KIND_LOST or version != _LOST_VERSION:
        raise DamageError(f"the record of a lost node is malformed (kind {kind}, version {version})")
    return LostRecord(klass, ident, birth, size, digest)


def canonical_list(level: int, children: Sequence[tuple[int, bytes, int]]) -> bytes:
    """Return the packed form of a list: children as (index class, id, length).

    It holds ids where the local record holds node numbers, so that packs alone suffice to rebuild the store.
    """
    head = _CANONICAL_HEAD.pack(_LIST_FORMAT, level, len(children))
    return head + b"".join(_CANONICAL_CHILD.pack(*child) for child in children)


def parse_canonical_list(data: bytes) -> tuple[int, list[tuple[int, bytes, int]]]:
    """Return (level, children) of a packed list; raise `DamageError` on anything malformed."""
    try:
        form, level, count = _CANONICAL_HEAD.unpack_from(data)
    except struct.error as error:
        raise DamageError("a packed list is cut short") from error
    body = data[_CANONICAL_HEAD.size :]
    if form != _LIST_FORMAT or len(body) != count * _CANONICAL_CHILD.size or not 0 < count <= FANOUT:
        raise DamageError("a packed list is malformed")
    children = [(klass, ident, length) for klass, ident, length in _CANONICAL_CHILD.iter_unpack(body)]
    if any(klass not in _CHILD_CLASSES or not length for klass, _, length in children):
        raise DamageError("a packed list has an invalid child")
    return level, children
