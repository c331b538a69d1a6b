"""`WindowOrder`: each file once, shuffled as well as it says, in stretches of the disk, the same after a restart."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from itertools import combinations, islice
from statistics import fmean
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artfs.training.shuffling import WindowOrder
from artstore.errors import InvalidInputError


class Files:
    """A sequence of files of which file i lies at place i times 7, modulo their number."""

    def __init__(self, count: int, size: int = 1000) -> None:
        self.count = count
        self.bytes = size
        self.asked: list[int] = []

    def __len__(self) -> int:
        return self.count

    def size(self, index: int) -> int:
        return self.bytes

    def pack_order(self) -> list[int]:
        return sorted(range(self.count), key=lambda index: index * 7 % max(self.count, 1))

    def read_ahead(self, indices: Sequence[int]) -> None:
        self.asked += indices


def ordered(count: int, **options: Any) -> WindowOrder:
    """Return an order of files in blocks of ten."""
    return WindowOrder(Files(count), block_bytes=10_000, **options)


@given(
    count=st.integers(1, 300),
    ranks=st.integers(1, 7),
    window=st.integers(1, 9),
    drop_last=st.booleans(),
    shuffle=st.booleans(),
    epoch=st.integers(0, 3),
)
def test_each_file_once(count: int, ranks: int, window: int, drop_last: bool, shuffle: bool, epoch: int) -> None:
    """The ranks have equal parts; together each file once, but for less than one sample of each rank."""
    parts = []
    for rank in range(ranks):
        options: Any = {"rank": rank, "world_size": ranks, "drop_last": drop_last, "shuffle": shuffle, "window": window}
        order = ordered(count, **options)
        order.set_epoch(epoch)
        parts.append(list(order))
        assert len(parts[-1]) == len(order)
        assert list(order) != [] or not len(order)
    seen = Counter(index for part in parts for index in part)
    assert len({len(part) for part in parts}) == 1
    if drop_last:
        assert set(seen.values()) <= {1} and count - len(seen) < ranks
    else:
        assert seen.keys() == set(range(count)) and seen.total() - count < ranks
    if not shuffle and ranks == 1:
        assert parts[0] == Files(count).pack_order()


def test_epochs_and_seeds_differ() -> None:
    """An epoch is another one than the one before, and the same in each process; the next one follows by itself."""
    order = ordered(500, window=8)
    epochs = [list(order) for _ in range(3)]
    assert len({tuple(epoch) for epoch in epochs}) == 3 and order.epoch == 3
    again = ordered(500, window=8)
    for number in (2, 0, 1):
        again.set_epoch(number)
        assert list(again) == epochs[number]
    assert list(ordered(500, window=8, seed=1)) != epochs[0]
    left = ordered(500, window=8)
    assert list(islice(left, 20)) == epochs[0][:20]
    assert list(left) == epochs[0]


@given(used=st.integers(0, 200), rank=st.integers(0, 2), epoch=st.integers(0, 2), by_position=st.booleans())
def test_it_resumes(used: int, rank: int, epoch: int, by_position: bool) -> None:
    """A state, through JSON, continues with the next sample, and later epochs are those that would have come."""
    options: Any = {"rank": rank, "world_size": 3, "window": 3, "seed": 5}
    whole = ordered(600, **options)
    whole.set_epoch(epoch)
    expected = [list(whole), list(whole)]
    order = ordered(600, **options)
    order.set_epoch(epoch)
    taken = list(order if by_position else islice(order, used))  # a DataLoader takes samples ahead, even all
    state = json.loads(json.dumps(order.state_dict(used) if by_position else order.state_dict()))
    resumed = ordered(600, **options)
    resumed.load_state_dict(state)
    assert taken[:used] + list(resumed) == expected[0] + (expected[1] if used == 200 else [])
    assert resumed.epoch == (epoch + 2 if used == 200 else epoch + 1)
    if used < 200:
        again = ordered(600, **options)
        again.load_state_dict(state)
        again.set_epoch(epoch)  # as a loop over epochs does
        assert list(again) == expected[0][used:]
        assert list(again) == expected[1]


def test_a_state_of_something_else_is_refused() -> None:
    state = ordered(100, seed=1).state_dict()
    for other in (
        ordered(100),
        ordered(101, seed=1),
        ordered(100, seed=1, world_size=2),
        ordered(100, seed=1, window=3),
    ):
        with pytest.raises(InvalidInputError):
            other.load_state_dict(state)
    for wrong in ({}, 3, None, {**state, "epoch": -1}, {**state, "position": "x"}):
        with pytest.raises(InvalidInputError):
            ordered(100, seed=1).load_state_dict(wrong)  # type: ignore[arg-type]
    wrongs: Any = ({"rank": 1}, {"rank": -1}, {"world_size": 0}, {"window": 0}, {"seed": "x"}, {"order": [0, 0]})
    for wrong in wrongs:
        with pytest.raises(InvalidInputError):
            ordered(100, **wrong)


def test_what_is_read_lies_together_and_was_asked_for() -> None:
    """A window holds whole blocks, and no file is yielded before the disk was asked for it."""
    files = Files(2000)
    order = WindowOrder(files, block_bytes=10_000, window=8)
    place = {index: number for number, index in enumerate(files.pack_order())}
    seen = []
    for index in order:
        assert index in set(files.asked[-400:])
        seen.append(place[index] // 10)
    windows = [Counter(seen[start : start + 80]) for start in range(0, 2000, 80)]
    assert all(set(window.values()) == {10} for window in windows)
    assert sorted(files.asked) == list(range(2000))


def same_block(order: WindowOrder, files: Files, batch: int, epochs: int) -> float:
    """Return the share of the pairs in a batch that come from one block."""
    place = {index: number for number, index in enumerate(files.pack_order())}
    shares = []
    for _ in range(epochs):
        epoch = list(order)
        for start in range(0, len(epoch) - batch, batch):
            blocks = [place[index] // 10 for index in epoch[start : start + batch]]
            shares.append(fmean(one == other for one, other in combinations(blocks, 2)))
    return fmean(shares)


@pytest.mark.parametrize("window", [4, 16, 200])
def test_the_share_of_pairs_of_one_block(window: int) -> None:
    """It is (b - 1) / (w * b - 1), and in one window for all that of a full shuffle."""
    files = Files(2000)
    order = WindowOrder(files, block_bytes=10_000, window=window, seed=3)
    expected = 9 / (window * 10 - 1)
    assert same_block(order, files, batch=40, epochs=10) == pytest.approx(expected, rel=0.15)


def test_the_place_of_a_file_is_uniform() -> None:
    """Over many epochs, the mean place of each file is the middle, its spread that of a uniform one, and neighbours
    on the disk come in either order equally often."""
    files = Files(500)
    order = WindowOrder(files, block_bytes=10_000, window=8, seed=4)
    first, second = files.pack_order()[100:102]
    places: dict[int, list[int]] = {index: [] for index in range(500)}
    before = 0
    epochs = 300
    for _ in range(epochs):
        epoch = list(order)
        for place, index in enumerate(epoch):
            places[index].append(place)
        before += epoch.index(first) < epoch.index(second)
    means = [fmean(each) for each in places.values()]
    deviation = 500 / 12**0.5 / epochs**0.5  # of such a mean
    assert max(abs(mean - 249.5) for mean in means) < 5 * deviation
    quarters = Counter(place // 125 for place in places[first])
    assert sum((quarters[quarter] - epochs / 4) ** 2 / (epochs / 4) for quarter in range(4)) < 16.3  # p = 0.001
    assert abs(before / epochs - 0.5) < 0.1


def test_the_epoch_does_not_follow_the_disk() -> None:
    """The rank correlation of an epoch's order with the order of storage is that of chance."""
    files = Files(5000)
    order = WindowOrder(files, block_bytes=10_000, window=50, seed=6)
    place = {index: number for number, index in enumerate(files.pack_order())}
    for _ in range(5):
        ranks = [place[index] for index in order]
        differences = sum((rank - number) ** 2 for number, rank in enumerate(ranks))
        correlation = 1 - 6 * differences / (5000 * (5000**2 - 1))
        assert abs(correlation) < 4 / 500**0.5  # 500 blocks are placed by chance
