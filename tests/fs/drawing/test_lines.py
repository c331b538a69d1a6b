"""Lines pass through the points, gaps stay gaps, and long series take no more than the pixels."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artfs.drawing.lines import Series, line_chart
from fs.drawing.shapes import NAMES, all_of, read, texts

POINTS = st.lists(st.tuples(st.floats() | st.integers(), st.none() | st.floats() | st.integers()), max_size=8)


@given(st.lists(st.builds(Series, NAMES, POINTS), max_size=5), NAMES, NAMES, st.booleans())
def test_any_series_are_drawn(series: list[Series], title: str, horizontal: str, logarithmic: bool) -> None:
    drawing = line_chart(series, title=title, horizontal=horizontal, logarithmic=logarithmic)
    if not drawing:
        return
    for line in all_of(read(drawing), "polyline"):
        for place in line.get("points", "").split():
            x, y = map(float, place.split(","))
            assert 89 <= x <= 951 and 9 <= y <= 271


def test_points_are_where_the_numbers_are() -> None:
    root = read(line_chart([Series("loss", [(0, 4.0), (5, 1.0), (10, 0.0)])], title="loss"))
    (line,) = all_of(root, "polyline")
    assert line.get("points") == "90.0,10.0 520.0,205.0 950.0,270.0"
    assert "loss 0" in texts(root)


@pytest.mark.parametrize("gap", [math.nan, math.inf, -math.inf, None, 10**400])
def test_gaps_stay_gaps(gap: float | None) -> None:
    """The line ends before a gap and begins again behind it; a single point between gaps is a disc."""
    series = Series("a", [(0, 1), (1, 2), (2, gap), (3, 2), (4, gap), (5, 1), (6, 2)])
    root = read(line_chart([series], title="a"))
    assert [len(line.get("points", "").split()) for line in all_of(root, "polyline")] == [2, 2]
    assert len(all_of(root, "circle")) == 1


def test_a_logarithmic_scale_has_gaps_where_nothing_is_positive() -> None:
    root = read(line_chart([Series("a", [(0, 1), (1, 100), (2, 0), (3, 10), (4, 1)])], title="a", logarithmic=True))
    first, second = (line.get("points") for line in all_of(root, "polyline"))
    assert first == "90.0,270.0 305.0,10.0" and second == "735.0,140.0 950.0,270.0"


def test_long_series_keep_their_peaks() -> None:
    """Many points take at most four a pixel, and the one peak among them is still there."""
    points = [(step, 50.0 if step == 123_457 else step % 2) for step in range(200_000)]
    root = read(line_chart([Series("a", points)], title="a"))
    (line,) = all_of(root, "polyline")
    places = line.get("points", "").split()
    assert len(places) <= 4 * 862 and min(float(place.split(",")[1]) for place in places) == 10.0


def test_more_series_than_are_drawn_are_counted() -> None:
    root = read(line_chart([Series(f"s{at}", [(0, at), (1, at)]) for at in range(43)], title="a"))
    assert len(all_of(root, "polyline")) == 40 and "and 3 more" in texts(root)


def test_no_number_is_no_picture() -> None:
    assert line_chart([], title="x") == line_chart([Series("a", [(0, math.nan)])], title="x") == ""
