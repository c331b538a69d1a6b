"""The cache of blocks: whole or not there, never other bytes, never more than its limit."""

from __future__ import annotations

import fcntl
import os
import random
import threading
import time
from pathlib import Path

import pytest

from artstore.references.blocks import BLOCK, BlockCache
from artstore.references.recent import SPAN, RecentSpans

A, B = b"a" * 32, b"b" * 32


@pytest.fixture
def cache(tmp_path: Path) -> BlockCache:
    return BlockCache(tmp_path / "blocks", 1 << 40, 0o600)


def some(seed: int, size: int = BLOCK) -> bytes:
    return bytes((seed + n * 7) % 251 for n in range(256)) * (size // 256) + b"x" * (size % 256)


@pytest.mark.parametrize("size", [1, 100, 65536, 65537, 300_000, BLOCK])
def test_every_part_of_a_block_is_what_was_written(cache: BlockCache, size: int) -> None:
    data = some(3, size)
    assert cache.read(A, 7, 0, size, size) is None
    cache.keep(A, 7, data)
    for start, end in [(0, size), (0, 1), (size - 1, size), (size // 3, size // 2 + 1)]:
        found = cache.read(A, 7, start, end, size)
        assert found is not None and bytes(found) == data[start:end]
    assert cache.read(B, 7, 0, size, size) is None
    assert cache.has(A, 7) and not cache.has(A, 8)


@pytest.mark.parametrize("at", [0, 70_000, BLOCK - 1, BLOCK + 3])
def test_a_flipped_bit_is_never_served(cache: BlockCache, at: int) -> None:
    cache.keep(A, 0, some(1))
    path = Path(cache.folder_of(A)) / f"{0:08x}"
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 1]))
    assert cache.read(A, 0, 0, BLOCK, BLOCK) is None
    assert not path.exists()  # so that it is fetched again


def test_a_block_that_is_cut_short_is_none(cache: BlockCache) -> None:
    cache.keep(A, 0, some(1))
    os.truncate(Path(cache.folder_of(A)) / f"{0:08x}", 5000)
    assert cache.read(A, 0, 0, 10, BLOCK) is None


def test_what_was_used_longest_ago_goes_first(cache: BlockCache) -> None:
    for number in range(4):
        cache.keep(A, number, some(number))
        os.utime(Path(cache.folder_of(A)) / f"{number:08x}", (number, number))
    assert cache.read(A, 0, 0, 1, BLOCK) is not None  # used just now
    blocks, size = cache.usage()
    assert blocks == 4
    assert cache.shrink(size // 2) >= size // 2
    assert [cache.has(A, number) for number in range(4)] == [True, False, False, True]


def test_it_stays_below_its_limit(tmp_path: Path) -> None:
    limit = 8 * BLOCK
    cache = BlockCache(tmp_path / "blocks", limit, 0o600)
    for number in range(40):
        cache.keep(bytes([number]) * 32, 0, some(number))
        assert cache.usage()[1] <= limit + BLOCK
    assert cache.usage()[0] >= 4
    assert len(list((tmp_path / "blocks").iterdir())) <= 9  # folders go with their blocks


def test_another_process_begins_with_what_is_there(tmp_path: Path) -> None:
    first = BlockCache(tmp_path / "blocks", 1 << 40, 0o600)
    for number in range(10):
        first.keep(A, number, some(number))
    second = BlockCache(tmp_path / "blocks", 4 * BLOCK, 0o600)
    second.keep(B, 0, some(1))
    assert second.usage()[1] <= 4 * BLOCK


def test_a_disk_that_takes_nothing_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    cache = BlockCache(tmp_path / "file" / "blocks", 1 << 30, 0o600)
    cache.keep(A, 0, b"data")
    assert cache.read(A, 0, 0, 4, 4) is None
    with cache.fetching(A, 0, 1):
        pass


def test_one_fetches_and_the_others_wait(cache: BlockCache) -> None:
    order: list[str] = []

    def second() -> None:
        with cache.fetching(A, 3, 5):
            order.append("second")

    with cache.fetching(A, 0, 4):
        thread = threading.Thread(target=second)
        thread.start()
        with cache.fetching(A, 8, 9):  # others of the same file do not wait
            order.append("apart")
        time.sleep(0.1)
        order.append("first")
    thread.join(10)
    assert order == ["apart", "first", "second"]


def test_what_a_killed_process_left_goes_too(cache: BlockCache) -> None:
    cache.keep(A, 0, some(1))
    left = Path(cache.folder_of(A)) / ".00000001.99.99"
    left.write_bytes(b"half")
    cache.shrink(0)
    assert not left.exists() and not Path(cache.folder_of(A)).exists()


# -- spans -------------------------------------------------------------------------------------------------------------

WHOLE = random.Random(4).randbytes(SPAN)


def each(data: bytes) -> list[bytes]:
    return [data[at : at + BLOCK] for at in range(0, len(data), BLOCK)]


def found_in(cache: BlockCache, first: int) -> list[bytes | None]:
    found = [cache.read(A, first + number, 0, BLOCK, BLOCK) for number in range(SPAN // BLOCK)]
    return [None if block is None else bytes(block) for block in found]


@pytest.fixture
def sharing(tmp_path: Path) -> BlockCache:
    return BlockCache(tmp_path / "blocks", 1 << 40, 0o600, RecentSpans(slots=2))


def test_a_span_is_there_at_once_and_on_the_disk_when_it_has_settled(cache: BlockCache, sharing: BlockCache) -> None:
    sharing.keep_span(A, 16, iter(each(WHOLE)))
    assert found_in(sharing, 16) == each(WHOLE)
    sharing.settle()
    assert [path.name for path in Path(cache.folder_of(A)).iterdir()] == ["00000010+8"]
    assert found_in(cache, 16) == each(WHOLE)  # which has no memory of it
    part = cache.read(A, 18, 70_000, 70_010, BLOCK)
    assert part is not None and bytes(part) == WHOLE[2 * BLOCK + 70_000 :][:10]
    assert cache.has(A, 23) and not cache.has(A, 24) and not cache.has(A, 15)


def test_it_is_written_past_the_page_cache_where_that_can_be(
    sharing: BlockCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_flags: list[int] = []
    real = fcntl.fcntl

    def recording(fd: int, what: int, argument: int = 0) -> int:
        if what == fcntl.F_SETFL:
            set_flags.append(argument)
        return real(fd, what, argument)

    monkeypatch.setattr(fcntl, "fcntl", recording)
    sharing.keep(A, 0, WHOLE)
    sharing.settle()
    assert set_flags == [os.O_DIRECT, 0]


def test_a_file_system_that_knows_only_the_page_cache(
    cache: BlockCache, sharing: BlockCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0

    def refusing(fd: int, what: int, argument: int = 0) -> int:
        nonlocal asked
        asked += 1
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(fcntl, "fcntl", refusing)
    for first in (0, 8):
        sharing.keep(A, first, WHOLE)
        sharing.settle()
        assert found_in(cache, first) == each(WHOLE)
    assert asked == 1


def test_more_than_memory_has_room_for(cache: BlockCache, sharing: BlockCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes while the disk still writes what came before is written by whoever brings it."""
    goes_on = threading.Event()
    real = fcntl.fcntl

    def waiting(fd: int, what: int, argument: int = 0) -> int:
        goes_on.wait(20)
        return real(fd, what, argument)

    monkeypatch.setattr(fcntl, "fcntl", waiting)
    for first in range(0, 32, 8):
        sharing.keep(A, first, WHOLE)
    assert [cache.has(A, first) for first in range(0, 32, 8)] == [False, False, True, True]
    assert all(found_in(sharing, first) == each(WHOLE) for first in range(0, 32, 8))
    goes_on.set()
    sharing.settle()
    assert all(found_in(cache, first) == each(WHOLE) for first in range(0, 32, 8))


def test_a_flipped_bit_in_a_span_is_never_served(cache: BlockCache) -> None:
    cache.keep(A, 0, WHOLE)
    path = Path(cache.folder_of(A)) / "00000000+8"
    with path.open("r+b") as file:
        file.seek(3 * BLOCK + 1)
        byte = file.read(1)
        file.seek(3 * BLOCK + 1)
        file.write(bytes([byte[0] ^ 1]))
    assert bytes(cache.read(A, 2, 0, BLOCK, BLOCK) or b"") == each(WHOLE)[2]
    assert cache.read(A, 3, 0, BLOCK, BLOCK) is None
    assert not path.exists()


def test_a_disk_without_room_for_a_span(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    cache = BlockCache(tmp_path / "file" / "blocks", 1 << 30, 0o600, RecentSpans(slots=1))
    for first in (0, 8):
        cache.keep(A, first, WHOLE)
        assert found_in(cache, first) == each(WHOLE)  # for as long as it stays in memory
        cache.settle()
    assert found_in(cache, 0) == [None] * 8
