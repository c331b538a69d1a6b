"""What of a pack is asked for before it is read."""

from __future__ import annotations

import os
import random

import pytest

from artstore.storage.readahead import REGION, ReadAhead, Regions

PACK = 7


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Collect (offset, length) of each hint."""
    hints: list[tuple[int, int]] = []

    def advise(fd: int, offset: int, length: int, advice: int) -> None:
        assert fd == 3 and advice == os.POSIX_FADV_WILLNEED
        hints.append((offset, length))

    monkeypatch.setattr(os, "posix_fadvise", advise)
    return hints


def test_neighbours_of_small_files_are_asked_for_once_at_the_second_touch(asked: list[tuple[int, int]]) -> None:
    ahead = ReadAhead()
    for offset in (5, 3 * REGION + 1, 9, 17, 3 * REGION + 70):
        ahead.touch(3, PACK, offset)
    ahead.touch(3, PACK + 1, 5)
    assert asked == [(0, REGION), (3 * REGION, REGION)]


def test_who_reads_on_is_kept_ahead_of_without_gaps_or_repeats(asked: list[tuple[int, int]]) -> None:
    """Reads of 128 KiB, every second one by another process: what is asked for covers all that follows, once."""
    ahead = ReadAhead()
    size = 128 << 10
    for start in range(0, 64 << 20, 2 * size):
        ahead.follow(3, 40, start, start + size, PACK, 1000 + start, 1000 + start + size)
        assert asked[-1][0] + asked[-1][1] >= 1000 + start + 3 * size, "the next read is asked for"
    ends = [offset + length for offset, length in asked]
    assert [offset for offset, _ in asked[1:]] == ends[:-1]
    assert len(asked) < 100


def test_for_who_reads_at_random_only_that_is_asked_for_and_at_once(asked: list[tuple[int, int]]) -> None:
    ahead = ReadAhead()
    for start in (50 << 20, 10 << 20, 30 << 20):
        ahead.follow(3, 40, start, start + 4096, PACK, start, start + 65536)
    assert not asked, "the kernel reads as much by itself"
    ahead.follow(3, 40, 20 << 20, 300_000 + (20 << 20), PACK, 17, 300_017)
    ahead.follow(3, 40, 5 << 20, 300_000 + (5 << 20), PACK, -1, 300_017)
    assert asked == [(17, 300_000)]


def test_a_file_system_that_takes_no_hints_is_read_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: int) -> None:
        raise OSError(95, "not supported")

    monkeypatch.setattr(os, "posix_fadvise", refuse)
    ReadAhead().follow(3, 40, 0, 4096, PACK, 0, 1)


def test_streams_are_bounded(asked: list[tuple[int, int]]) -> None:
    ahead = ReadAhead()
    for node in range(1000):
        ahead.follow(3, node, 0, 4096, PACK, 0, 1)
    assert len(ahead._streams) <= 64


def test_who_reads_nearly_all_of_a_data_set_has_it_asked_for_in_larger_pieces() -> None:
    """Once half of the regions were touched twice, a new region brings its neighbours; nothing is asked twice."""
    regions = Regions()
    first = [regions.touch(PACK, number * 5 * REGION) for number in range(64)]
    again = [regions.touch(PACK, number * 5 * REGION + 9) for number in range(64)]
    assert first == [None] * 64
    assert again[:63] == [(number * 5 * REGION, REGION) for number in range(63)]
    assert regions.touch(PACK, 402 * REGION) == (400 * REGION, 4 * REGION)
    assert [regions.touch(PACK, number * REGION) for number in range(400, 404)] == [None] * 4


def test_who_reads_a_few_files_of_many_gets_little_more() -> None:
    chance = random.Random(3)
    regions = Regions()
    wanted = [regions.touch(chance.randrange(8), chance.randrange(1024) * REGION) for _ in range(2000)]
    asked = sum(each[1] for each in wanted if each)
    assert asked <= 2000 * REGION // 4


def test_regions_are_shared_with_what_is_forked() -> None:
    """What one process touches first and another again is asked for."""
    regions = Regions()
    pid = os.fork()
    if not pid:
        regions.touch(PACK, 5)
        os._exit(0)
    os.waitpid(pid, 0)
    assert regions.touch(PACK, 9) == (0, REGION)


def test_what_was_asked_for_long_ago_is_asked_for_again() -> None:
    """A data set that is larger than memory is not in the page cache any more when it is read once more."""
    regions = Regions(budget=10 * REGION)
    for _ in range(3):
        asked = [regions.touch(PACK, number * REGION) for number in range(11) for _ in range(2)]
        assert asked == [each for number in range(11) for each in (None, (number * REGION, REGION))]
