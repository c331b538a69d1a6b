"""Gaps are what is left: compared with marking every byte."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from artstore.repairing.repair_space import Stretch, merged, without

STRETCHES = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 12)).map(lambda pair: Stretch(pair[0], sum(pair))))


def _bytes(stretches: list[Stretch]) -> set[int]:
    return {byte for stretch in stretches for byte in range(stretch.start, stretch.end)}


@given(STRETCHES)
def test_merged_stretches_cover_the_same_and_do_not_touch(stretches: list[Stretch]) -> None:
    found = merged(stretches)
    assert _bytes(found) == _bytes(stretches)
    assert all(before.end < after.start for before, after in pairwise(found))


@given(STRETCHES, STRETCHES)
def test_what_is_taken_is_taken_away_and_no_byte_comes_twice(stretches: list[Stretch], taken: list[Stretch]) -> None:
    parts = list(without(sorted(stretches), merged(taken)))
    found = [part for _, part in parts]
    assert _bytes(found) == _bytes(stretches) - _bytes(taken)
    assert sum(part.end - part.start for part in found) == len(_bytes(found))
    assert all(_bytes([part]) <= _bytes([sorted(stretches)[rank]]) for rank, part in parts)
