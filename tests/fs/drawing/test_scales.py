"""Axes hold their numbers, and their ticks are round numbers inside them."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from artfs.drawing.scales import finite, number, scale

FLOATS = st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(FLOATS, min_size=1, max_size=10), st.booleans())
@example([-1.7e308, 1.7e308], False)
@example([5e-324], False)
@example([5e-324], True)
@example([0.0], False)
@example([1e16, 1e16 + 2], False)
@example([1.7976931348623157e308], False)
def test_numbers_and_ticks_lie_on_the_axis(values: list[float], logarithmic: bool) -> None:
    axis = scale(values, logarithmic=logarithmic)
    usable = [value for value in values if value > 0 or not logarithmic]
    if not usable:
        assert axis is None
        return
    assert axis is not None
    places = [axis.at(value) for value in usable]
    assert all(place is not None and -1e-6 <= place <= 1 + 1e-6 for place in places)
    assert sorted(usable) == [value for _, value in sorted(zip(places, usable, strict=True))]
    ticks = axis.ticks()
    assert 1 <= len(ticks) <= 13 and ticks == sorted(set(ticks))
    for tick in ticks:
        place = axis.at(tick)
        assert place is None or -0.01 <= place <= 1.01


@pytest.mark.parametrize(
    ("values", "logarithmic", "shown"),
    [
        ([0, 10], False, ["0", "2", "4", "6", "8", "10"]),
        ([0, 1], False, ["0", "0.2", "0.4", "0.6", "0.8", "1"]),
        ([-3, 3], False, ["-3", "-2", "-1", "0", "1", "2", "3"]),
        ([1e-4, 1], True, ["0.0001", "0.001", "0.01", "0.1", "1"]),
    ],
)
def test_ticks_are_round(values: list[float], logarithmic: bool, shown: list[str]) -> None:
    axis = scale(values, logarithmic=logarithmic)
    assert axis is not None and [number(tick) for tick in axis.ticks()] == shown


def test_what_is_no_finite_number() -> None:
    assert [finite(value) for value in (math.nan, math.inf, -math.inf, None, 10**400)] == [None] * 5
    assert finite(3) == 3.0
