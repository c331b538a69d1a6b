"""Inodes are a one-to-one function of their objects, and avoid the numbers that the kernel reserves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artfs.mount import inodes
from artfs.mount.inodes import Inode, Sort
from messages import raises

serials = st.integers(min_value=0, max_value=(1 << 31) - 1)
mounts = indexes = st.integers(min_value=1, max_value=(1 << 31) - 1)
names = st.integers(min_value=1, max_value=(1 << 32) - 1)

places = st.one_of(
    st.tuples(serials, serials).map(lambda pair: (inodes.entry(*pair), Inode(Sort.ENTRY, *pair))),
    names.map(lambda number: (inodes.project(number), Inode(Sort.PROJECT, number))),
    names.map(lambda number: (inodes.artifact(number), Inode(Sort.ARTIFACT, number))),
    serials.map(lambda serial: (inodes.alias(serial), Inode(Sort.ALIAS, serial))),
    names.map(lambda number: (inodes.histories(number), Inode(Sort.HISTORIES, number))),
    st.tuples(mounts, indexes).map(lambda pair: (inodes.history(*pair), Inode(Sort.HISTORY, *pair))),
    st.tuples(mounts, indexes).map(lambda pair: (inodes.history_link(*pair), Inode(Sort.HISTORY_LINK, *pair))),
    serials.map(lambda serial: (inodes.latest(serial), Inode(Sort.LATEST, serial))),
)


@given(places)
def test_decoding_gives_back_what_was_encoded(pair: tuple[int, Inode]) -> None:
    """Each inode says what it stands for, in 64 bits, and is none of the numbers that have a meaning of their own."""
    inode, place = pair
    assert inodes.decode(inode) == place
    assert 32 <= inode < 1 << 64


@given(places, places)
def test_different_things_have_different_inodes(one: tuple[int, Inode], other: tuple[int, Inode]) -> None:
    assert (one[0] == other[0]) == (one[1] == other[1])


def test_the_root_is_the_project_without_a_name() -> None:
    assert inodes.project(0) == inodes.ROOT == 1
    assert inodes.decode(1) == Inode(Sort.PROJECT, 0)


@given(st.integers(min_value=0, max_value=(1 << 64) - 1))
def test_any_number_is_decoded_or_refused(number: int) -> None:
    """A number that comes back from the kernel can be anything; it is refused with ValueError, never misread."""
    try:
        place = inodes.decode(number)
    except ValueError:
        return
    encoders = {
        Sort.ENTRY: lambda: inodes.entry(place.value, place.ordinal),
        Sort.PROJECT: lambda: inodes.project(place.value),
        Sort.ARTIFACT: lambda: inodes.artifact(place.value),
        Sort.ALIAS: lambda: inodes.alias(place.value),
        Sort.LATEST: lambda: inodes.latest(place.value),
        Sort.HISTORIES: lambda: inodes.histories(place.value),
        Sort.HISTORY: lambda: inodes.history(place.value, place.ordinal),
        Sort.HISTORY_LINK: lambda: inodes.history_link(place.value, place.ordinal),
    }
    assert encoders[place.sort]() == number


@pytest.mark.parametrize(
    "number", [0, 2, 31, 3 << 62, (3 << 62) | (9 << 58), (3 << 62) | (2 << 58) | (1 << 32), (2 << 62) | 3]
)
def test_numbers_without_a_meaning_are_refused(number: int) -> None:
    with raises(ValueError, names=[str(number)]):
        inodes.decode(number)


def test_numbers_that_do_not_fit_are_refused() -> None:
    for number, encode in (
        (1 << 31, lambda: inodes.entry(1 << 31, 0)),
        (1 << 31, lambda: inodes.entry(0, 1 << 31)),
        (-1, lambda: inodes.entry(-1, 0)),
        (1 << 32, lambda: inodes.artifact(1 << 32)),
    ):
        with raises(ValueError, names=[str(number)]):
            encode()
