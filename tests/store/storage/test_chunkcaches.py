"""Caches of chunks: bounded, right among threads and among processes, and sound when one of these is killed."""

from __future__ import annotations

import mmap
import multiprocessing
import os
import random
import signal
import threading
from collections.abc import Callable

import pytest
from blake3 import blake3

from artstore.records.nodes import LARGEST
from artstore.storage.chunkcaches import CACHE_BYTES, ChunkCache, ChunkSource, SharedChunkCache

CHUNKS = {blake3(b"%d" % number).digest(): random.Random(number).randbytes(1000 * number + 1) for number in range(40)}


class Made:
    """Count how often chunks are made, in memory that forked processes share."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 4096)

    def of(self, ident: bytes, before: Callable[[], object] = bool) -> Callable[[], bytes]:
        """Return what makes a chunk, and counts that, after it has done something else."""

        def make() -> bytes:
            before()
            self._memory[list(CHUNKS).index(ident)] += 1
            return CHUNKS[ident]

        return make

    @property
    def counts(self) -> list[int]:
        return list(self._memory[: len(CHUNKS)])


def unexpected() -> bytes:
    raise AssertionError("it is kept already")


@pytest.mark.parametrize("make_cache", [lambda: ChunkCache(CACHE_BYTES), SharedChunkCache], ids=["process", "shared"])
def test_parts_are_those_of_the_chunk(make_cache: Callable[[], ChunkSource]) -> None:
    """Whatever is asked for, of chunks that are kept and of others, is what slicing gives; errors come through."""
    cache, made, chance = make_cache(), Made(), random.Random(1)
    for _ in range(2000):
        ident = chance.choice(list(CHUNKS))
        start, end = sorted(chance.choices(range(len(CHUNKS[ident]) + 1), k=2))
        assert bytes(cache.fetch(ident, start, end, made.of(ident))) == CHUNKS[ident][start:end]
    assert sum(made.counts) < 2000
    with pytest.raises(AssertionError, match="kept already"):
        cache.fetch(bytes([7] * 32), 0, 1, unexpected)


def test_the_cache_of_a_process_is_bounded() -> None:
    """It holds at most its limit, lets the oldest go, keeps what is used, and takes nothing larger than itself."""
    cache = ChunkCache(100)
    made: list[bytes] = []

    def fetch(ident: bytes, size: int) -> None:
        cache.fetch(ident, 0, size, lambda: made.append(ident) or bytes(size))

    for number in range(4):
        fetch(b"%d" % number, 30)
        fetch(b"0", 30)
    assert made == [b"0", b"1", b"2", b"3"]
    fetch(b"1", 30)
    assert made[-1] == b"1", "it was the oldest"
    for _ in range(2):
        fetch(b"large", 101)
    assert made[-2:] == [b"large"] * 2
    cache.after_fork()
    fetch(b"1", 30)
    assert made[-1] == b"1"


def test_the_cache_of_a_process_among_threads() -> None:
    """Threads that fill and ask at once never get another's bytes, and the bound holds."""
    cache = ChunkCache(1000)
    wrong = []

    def work(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(2000):
            number = chance.randrange(50)
            if cache.fetch(b"%d" % number, 0, 40, lambda: bytes([number]) * 40) != bytes([number]) * 40:  # noqa: B023
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert cache._held == sum(map(len, cache._chunks.values())) <= 1000


def test_processes_that_ask_at_once_make_a_chunk_once() -> None:
    """Four processes read all chunks in the same order: each is made by one of them, and the others wait for it."""
    cache, made = SharedChunkCache(len(CHUNKS) * 4 * LARGEST), Made()
    slots = {int.from_bytes(ident[:4], "little") % (len(CHUNKS) * 4) for ident in CHUNKS}

    def read() -> None:
        for ident, data in CHUNKS.items():
            assert bytes(cache.fetch(ident, 0, len(data), made.of(ident))) == data

    assert [_end_of(pid) for pid in [_forked(read) for _ in range(4)]] == [0] * 4
    shared = len(CHUNKS) - len(slots)
    assert sum(made.counts) <= len(CHUNKS) + 4 * 2 * shared, "only chunks of one slot push each other out"


def test_processes_that_miss_at_the_same_moment_do_not_wait_for_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both have looked in vain before either goes on: one makes the chunk, and the other is given it."""
    cache, made = SharedChunkCache(LARGEST), Made()
    meeting = multiprocessing.get_context("fork").Barrier(2)
    ident, data = next(reversed(CHUNKS.items()))
    holds = cache._holds
    looked: list[bool] = []

    def look(slot: int, ident: bytes) -> bool:
        found = holds(slot, ident)
        if not looked:
            looked.append(found)
            meeting.wait(10)
        return found

    def read() -> None:
        monkeypatch.setattr(cache, "_holds", look)
        assert bytes(cache.fetch(ident, 0, len(data), made.of(ident))) == data
        assert looked == [False]

    assert [_end_of(pid) for pid in [_forked(read), _forked(read)]] == [0, 0]
    assert sum(made.counts) == 1


@pytest.mark.parametrize("when", ["making", "filling"])
def test_a_process_that_is_killed_leaves_its_slot_free(when: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever comes next makes the chunk, and does not wait, nor see half of it."""
    cache, made = SharedChunkCache(LARGEST), Made()
    ident = next(reversed(CHUNKS))

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def fill_half(slot: int, ident: bytes, data: bytes) -> None:
        cache._memory[: len(data) // 2] = data[: len(data) // 2]
        die()

    def read() -> None:
        if when == "filling":
            monkeypatch.setattr(cache, "_fill", fill_half)
        cache.fetch(ident, 0, 1, made.of(ident, die if when == "making" else bool))

    assert os.waitstatus_to_exitcode(_status_of(_forked(read))) == -signal.SIGKILL
    assert bytes(cache.fetch(ident, 0, len(CHUNKS[ident]), made.of(ident))) == CHUNKS[ident]
    assert bytes(cache.fetch(ident, 5, 9, unexpected)) == CHUNKS[ident][5:9]


def test_a_slot_is_empty_while_it_is_filled() -> None:
    """Killed in the middle of replacing a chunk, a process leaves neither the old one nor the new one."""
    cache, made = SharedChunkCache(LARGEST), Made()
    old, new = list(CHUNKS)[:2]
    cache.fetch(old, 0, 1, made.of(old))

    class Dying(bytes):
        """Be written half, and then no further."""

        def __len__(self) -> int:
            os._exit(9)

    def read() -> None:
        cache._fill(0, new, Dying(CHUNKS[new]))

    assert _end_of(_forked(read)) == 9
    before = made.counts
    assert bytes(cache.fetch(old, 0, 1, made.of(old))) == CHUNKS[old][:1]
    assert sum(made.counts) == sum(before) + 1


def _forked(task: Callable[[], None]) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        task()
    except BaseException:
        os._exit(1)
    os._exit(0)


def _status_of(pid: int) -> int:
    return os.waitpid(pid, 0)[1]


def _end_of(pid: int) -> int:
    return os.waitstatus_to_exitcode(_status_of(pid))
