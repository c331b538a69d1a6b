"""Checksums of the cached data of external files: one XXH3-64, little-endian, for each 64 KiB."""

from __future__ import annotations

import struct
from typing import Final

from xxhash import xxh3_64_intdigest

from artstore.ids import Buffer

__all__ = ["PART", "SUM", "are_sound", "sums_of"]

PART: Final = 64 * 1024
SUM: Final = 8


def sums_of(data: Buffer) -> bytes:
    """Return the checksums of ``data``; its last part may be short."""
    return struct.pack(f"<{-(-len(data) // PART)}Q", *_sums(data))


def are_sound(data: Buffer, sums: Buffer) -> bool:
    """Return whether ``data``, which begins at a part, matches the first of ``sums``."""
    return all(
        actual == expected
        for actual, expected in zip(_sums(data), struct.unpack_from(f"<{-(-len(data) // PART)}Q", sums), strict=True)
    )


def _sums(data: Buffer) -> list[int]:
    view = memoryview(data)
    return [xxh3_64_intdigest(view[at : at + PART]) for at in range(0, len(view), PART)]
