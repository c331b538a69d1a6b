"""Which parts are merged, so that their number grows with the logarithm of what they hold.

Parts of less than 16 rows are one tier, of less than 256 the next, and so on.  Where a new part would be the sixteenth
of its tier, the tier becomes one part of the next.  So each row is written once for each tier, and a catalogue has at
most fifteen parts of each.  Parts of 65,536 rows or 8 MiB, and files of arrays of 4 MiB, are never written again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from artfs.registry.predictions.parts import Part

__all__ = ["is_small_data", "to_merge"]

_TIER_BITS: Final = 4
_MOST: Final = 1 << _TIER_BITS
_LARGEST_ROWS: Final = 1 << 16
_LARGEST_BYTES: Final = 1 << 23
_LARGEST_DATA: Final = 1 << 22


def _tier(rows: int) -> int:
    return max(rows.bit_length() - 1, 0) // _TIER_BITS


def to_merge(parts: Sequence[Part], rows: int) -> list[Part]:
    """Return the parts of ``predictions_meta.parquet`` that become one part with ``rows`` new rows."""
    left = [part for part in parts if part.rows < _LARGEST_ROWS and part.size < _LARGEST_BYTES]
    chosen: list[Part] = []
    while rows < _LARGEST_ROWS:
        same = [part for part in left if _tier(part.rows) == _tier(rows) and part not in chosen]
        if len(same) < _MOST - 1:
            break
        chosen += same
        rows += sum(part.rows for part in same)
    return chosen


def is_small_data(size: int) -> bool:
    """Return whether a file of arrays is written again when the rows that name it are merged."""
    return size < _LARGEST_DATA
