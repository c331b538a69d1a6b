"""Lengths and heights are the amounts, whatever the names are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artfs.drawing.bars import Bin, Part, histogram, stacked_bar
from fs.drawing.shapes import NAMES, all_of, numbers, read, texts


@given(st.lists(st.builds(Part, NAMES, st.integers(1, 10**18), st.none() | NAMES), min_size=1, max_size=20), NAMES)
def test_lengths_are_amounts(parts: list[Part], title: str) -> None:
    """The parts follow one another, fill the bar, and each has its share of it and its line in the legend."""
    root = read(stacked_bar(parts, title=title))
    total = sum(part.amount for part in parts)
    end = 0.0
    for shape, part in zip(all_of(root, "rect", "area"), parts, strict=True):
        x, width = numbers(shape, "x", "width")
        assert x == pytest.approx(end, abs=0.02)
        assert width == pytest.approx(960 * part.amount / total, abs=0.02)
        end = x + width
    assert end == pytest.approx(960, abs=0.02)
    assert len(texts(root)) == len(parts)


def test_a_bar_of_nothing_is_no_picture() -> None:
    assert stacked_bar([], title="x") == stacked_bar([Part("a", 0)], title="x") == ""
    assert histogram([], title="x") == histogram([Bin(0, 1, 0, 0)], title="x") == ""


def test_the_legend_has_the_amounts() -> None:
    root = read(stacked_bar([Part("stored", 3_000_000), Part("empty", 0), Part("manifest", 1_000_000)], title="Space"))
    assert texts(root) == ["stored, 3.0 MB, 75.0%", "manifest, 1.0 MB, 25.0%"]


@given(st.lists(st.tuples(st.integers(0, 10**12), st.integers(0, 10**12)), min_size=1, max_size=30))
def test_heights_are_counts(counts: list[tuple[int, int]]) -> None:
    most = max(map(max, counts))
    drawing = histogram([Bin(at, at + 1, *pair) for at, pair in enumerate(counts)], title="x")
    if not most:
        assert drawing == ""
        return
    root = read(drawing)
    legend = 2
    heights = [numbers(shape, "y", "height") for shape in all_of(root, "rect")[legend:]]
    for (y, height), count in zip(heights, [count for pair in counts for count in pair], strict=True):
        assert height == pytest.approx(200 * count / most, abs=0.02)
        assert y + height == pytest.approx(220, abs=0.02)
    assert str(most) in texts(root)
