"""The cache of blocks: whole or not there, never other bytes, never more than its limit."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from artstore.references.blocks import BLOCK, BlockCache

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
    cache.write(A, 7, data)
    for start, end in [(0, size), (0, 1), (size - 1, size), (size // 3, size // 2 + 1)]:
        found = cache.read(A, 7, start, end, size)
        assert found is not None and bytes(found) == data[start:end]
    assert cache.read(B, 7, 0, size, size) is None
    assert cache.has(A, 7) and not cache.has(A, 8)


@pytest.mark.parametrize("at", [0, 70_000, BLOCK - 1, BLOCK + 3])
def test_a_flipped_bit_is_never_served(cache: BlockCache, at: int) -> None:
    cache.write(A, 0, some(1))
    path = cache.folder_of(A) / f"{0:08x}"
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 1]))
    assert cache.read(A, 0, 0, BLOCK, BLOCK) is None
    assert not path.exists()  # so that it is fetched again


def test_a_block_that_is_cut_short_is_none(cache: BlockCache) -> None:
    cache.write(A, 0, some(1))
    os.truncate(cache.folder_of(A) / f"{0:08x}", 5000)
    assert cache.read(A, 0, 0, 10, BLOCK) is None


def test_what_was_used_longest_ago_goes_first(cache: BlockCache) -> None:
    for number in range(4):
        cache.write(A, number, some(number))
        os.utime(cache.folder_of(A) / f"{number:08x}", (number, number))
    assert cache.read(A, 0, 0, 1, BLOCK) is not None  # used just now
    blocks, size = cache.usage()
    assert blocks == 4
    assert cache.shrink(size // 2) >= size // 2
    assert [cache.has(A, number) for number in range(4)] == [True, False, False, True]


def test_it_stays_below_its_limit(tmp_path: Path) -> None:
    limit = 8 * BLOCK
    cache = BlockCache(tmp_path / "blocks", limit, 0o600)
    for number in range(40):
        cache.write(bytes([number]) * 32, 0, some(number))
        assert cache.usage()[1] <= limit + BLOCK
    assert cache.usage()[0] >= 4
    assert len(list((tmp_path / "blocks").iterdir())) <= 9  # folders go with their blocks


def test_another_process_begins_with_what_is_there(tmp_path: Path) -> None:
    first = BlockCache(tmp_path / "blocks", 1 << 40, 0o600)
    for number in range(10):
        first.write(A, number, some(number))
    second = BlockCache(tmp_path / "blocks", 4 * BLOCK, 0o600)
    second.write(B, 0, some(1))
    assert second.usage()[1] <= 4 * BLOCK


def test_a_disk_that_takes_nothing_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    cache = BlockCache(tmp_path / "file" / "blocks", 1 << 30, 0o600)
    cache.write(A, 0, b"data")
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
    cache.write(A, 0, some(1))
    left = cache.folder_of(A) / ".00000001.99.99"
    left.write_bytes(b"half")
    cache.shrink(0)
    assert not left.exists() and not cache.folder_of(A).exists()
