"""The location of LMDB's own structure in its file, found without LMDB, for flips that do damage.

The layout is that of LMDB 0.9 on 64 bits, little-endian: two meta pages, then pages of 4 KiB that begin with their
number u64, 2 bytes, flags u16, and the bounds of the free space between the pointers to its nodes and the nodes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

PAGE: Final = 4096
_HEAD: Final = struct.Struct("<QHHHH")
_META_AT: Final = _HEAD.size
_META_LENGTH: Final = 136
_LAST_TRANSACTION: Final = 128
_FREE_ROOT: Final = 64
"""Of the meta: where the root page of the table of free pages stands."""
_BRANCH, _LEAF, _OVERFLOW, _META = 0x01, 0x02, 0x04, 0x08
_NODE_HEAD: Final = 8


class FreeList(NamedTuple):
    """A row of the table of free pages: the offset of its page numbers in the file, and the numbers."""

    at: int
    pages: tuple[int, ...]


def structure(image: bytes) -> list[int]:
    """Return the offsets of all bytes of LMDB's own structure: metas, heads of pages, pointers and heads of nodes."""
    places: set[int] = set()
    for start in range(0, len(image), PAGE):
        _, _, flags, lower, _ = _HEAD.unpack_from(image, start)
        places.update(range(start, start + _HEAD.size))
        if flags & _META:
            places.update(range(start + _META_AT, start + _META_AT + _META_LENGTH))
        elif flags & (_BRANCH | _LEAF) and _HEAD.size <= lower <= PAGE:
            places.update(range(start, start + lower))
            for node in _nodes(image, start):
                places.update(range(node, node + _NODE_HEAD))
    return sorted(place for place in places if place < len(image))


def _nodes(image: bytes, start: int) -> Iterator[int]:
    lower = _HEAD.unpack_from(image, start)[3]
    for pointer in range(start + _HEAD.size, start + lower, 2):
        yield start + int.from_bytes(image[pointer : pointer + 2], "little")


def newest_meta(image: bytes) -> int:
    """Return the offset of the current meta page."""
    metas = (_META_AT, PAGE + _META_AT)
    return max(metas, key=lambda at: int.from_bytes(image[at + _LAST_TRANSACTION :][:8], "little"))


def free_lists(image: bytes) -> list[FreeList]:
    """Return the rows of the table of free pages, if it is one leaf, as in a small environment."""
    root = int.from_bytes(image[newest_meta(image) + _FREE_ROOT :][:8], "little")
    found = []
    for node in _nodes(image, root * PAGE):
        key_length = int.from_bytes(image[node + 6 : node + 8], "little")
        at = node + _NODE_HEAD + key_length
        count = int.from_bytes(image[at : at + 8], "little")
        found.append(FreeList(at + 8, struct.unpack_from(f"<{count}Q", image, at + 8)))
    return found
