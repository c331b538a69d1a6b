"""Joining the ranges of objects that are wanted together, so that few requests fetch them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from artstore.remotes.packs.places import Pack, Place

__all__ = ["JoinedRange", "joined"]

LARGEST_GAP: Final = 64 * 1024
"""Bytes between two ranges that are fetched with them, at most; and no more than a tenth of what is wanted."""
LONGEST: Final = 8 << 20
"""Bytes of a range that several are joined to, at most."""


class JoinedRange(NamedTuple):
    """Bytes ``[offset, offset + length)`` of an object, and the numbers of the places that lie in them."""

    pack: Pack
    offset: int
    length: int
    members: list[int]


def joined(places: Sequence[Place]) -> list[JoinedRange]:
    """Return the ranges that cover places, which may overlap, in the order of objects and offsets."""
    ranges: list[JoinedRange] = []
    wanted = 0
    for number in sorted(range(len(places)), key=lambda number: places[number][:2]):
        pack, offset, stored = places[number]
        if ranges and ranges[-1].pack == pack:
            _, start, length, members = ranges[-1]
            end = max(start + length, offset + stored)
            fresh = max(0, offset + stored - max(offset, start + length))
            gap, waste = offset - start - length, end - start - wanted - fresh
            if gap <= LARGEST_GAP and waste * 10 <= wanted + fresh and end - start <= LONGEST:
                members.append(number)
                ranges[-1] = JoinedRange(pack, start, end - start, members)
                wanted += fresh
                continue
        ranges.append(JoinedRange(pack, offset, stored, [number]))
        wanted = stored
    return ranges
