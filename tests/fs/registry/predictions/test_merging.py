"""Parts are merged so that there are few of them, and each row is written again few times."""

from __future__ import annotations

import random

from artfs.registry.predictions.merging import is_small_data, to_merge
from artfs.registry.predictions.parts import Part


def grown(sizes: list[int], row_bytes: int = 300) -> tuple[list[Part], int]:
    """Return the parts after rows were added one call after another, and how many rows were written in all."""
    parts: list[Part] = []
    written = 0
    for call, rows in enumerate(sizes):
        merged = to_merge(parts, rows)
        parts = [part for part in parts if part not in merged]
        total = rows + sum(part.rows for part in merged)
        parts.append(Part(f"part-{call}", total, total * row_bytes))
        written += total
    return parts, written


def test_single_additions_stay_few_parts() -> None:
    """After 5,000 additions there are at most 15 parts of each of four tiers, and no row was written five times."""
    for count in (15, 16, 255, 256, 1000, 5000):
        parts, written = grown([1] * count)
        assert sum(part.rows for part in parts) == count and written < 5 * count
        assert len(parts) <= 15 * 4
    assert len(grown([1] * 16)[0]) == 1 and len(grown([1] * 15)[0]) == 15


def test_any_additions_stay_few_parts() -> None:
    """Additions of any size stay within 15 parts a tier, apart from those too large to be written again."""
    draw = random.Random(0)
    for _ in range(20):
        sizes = [draw.choice([1, 2, 17, 300, 5000, 70_000]) for _ in range(200)]
        parts, written = grown(sizes, row_bytes=100)
        small = [part for part in parts if part.rows < 1 << 16]
        assert len(small) <= 15 * 4 and sum(part.rows for part in parts) == sum(sizes) and written < 5 * sum(sizes)


def test_large_parts_are_not_written_again() -> None:
    """A part of 8 MiB stays as it is, and so do arrays of 4 MiB."""
    assert to_merge([Part(f"p{each}", 1, 1 << 23) for each in range(100)], 1) == []
    assert not is_small_data(1 << 22) and is_small_data((1 << 22) - 1)
