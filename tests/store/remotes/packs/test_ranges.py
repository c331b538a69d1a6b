"""Joined ranges cover every place, and waste little."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from artstore.remotes.packs.places import Pack, Place
from artstore.remotes.packs.ranges import LARGEST_GAP, LONGEST, joined
from store.remotes.packs.pack_codecs import packs

PACKS = packs(3)
PLACES = st.lists(
    st.builds(
        Place,
        st.sampled_from(PACKS),
        st.one_of(st.integers(0, 2000), st.integers(0, 64 << 20)),
        st.one_of(st.integers(1, 500), st.integers(1, 1 << 20)),
    ),
    max_size=40,
)


@given(PLACES)
def test_every_place_is_in_one_range(places: list[Place]) -> None:
    """Each place is a member of one range, which covers it; no more than a tenth of what is wanted is extra."""
    ranges = joined(places)
    assert sorted(number for each in ranges for number in each.members) == list(range(len(places)))
    for pack, offset, length, members in ranges:
        wanted: set[tuple[int, int]] = set()
        for number in members:
            place = places[number]
            assert place.pack == pack and offset <= place.offset and place.offset + place.stored <= offset + length
            wanted.add((place.offset, place.offset + place.stored))
        needed, at = 0, 0
        for start, end in sorted(wanted):
            assert start - at <= LARGEST_GAP or needed == 0
            needed += max(0, end - max(start, at))
            at = max(at, end)
        assert (length - needed) * 10 <= needed
        assert length <= LONGEST or len(members) == 1


def _place(offset: int, stored: int, pack: Pack = PACKS[0]) -> Place:
    return Place(pack, offset, stored)


def test_neighbours_are_one_request() -> None:
    places = [_place(32 + 1000 * number, 1000) for number in range(50)]
    assert joined(places) == [(PACKS[0], 32, 50_000, list(range(50)))]


def test_a_large_gap_is_not_fetched() -> None:
    assert len(joined([_place(0, 10 << 10), _place((10 << 10) + 3000, 10 << 10)])) == 2
    assert len(joined([_place(0, 100 << 10), _place((100 << 10) + 3000, 10 << 10)])) == 1
    assert len(joined([_place(0, 3 << 20), _place((3 << 20) + LARGEST_GAP + 1, 10 << 10)])) == 2


def test_packs_are_not_joined() -> None:
    assert len(joined([_place(0, 10), _place(10, 10, PACKS[1])])) == 2


def test_nothing_is_asked_for_nothing() -> None:
    assert joined([]) == []
