"""Counters written by one process are read by the others, each in its own slot."""

from __future__ import annotations

import os

import pytest

from artfs.mount.counters import CountedChunks, Counters, Epoch, Field
from artstore.errors import DamageError
from artstore.storage.chunkcaches import CACHE_BYTES, ChunkCache


def test_each_slot_and_the_epoch_have_places_of_their_own() -> None:
    """This also holds if they fill more than a page."""
    for slots in (1, 2, 64, 100):
        counters = Counters(slots)
        for slot in range(slots):
            for field in Field:
                counters.slot(slot).set(field, 100 * slot + field)
        counters.epoch.advance()
        assert counters.epoch.value == 1
        for slot in range(slots):
            assert [counters.slot(slot).get(field) for field in Field] == [100 * slot + field for field in Field]
        assert counters.total(Field.READS) == sum(100 * slot + Field.READS for slot in range(slots))
        with pytest.raises(IndexError):
            counters.slot(slots)


def test_a_child_sees_the_epoch_advance_and_is_counted() -> None:
    counters = Counters(1)
    go, begin = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.read(go, 1)
        counters.slot(0).add(Field.REQUESTS, counters.epoch.value)
        os._exit(0)
    counters.epoch.advance()
    counters.epoch.advance()
    os.write(begin, b"x")
    assert os.waitpid(pid, 0)[1] == 0
    assert counters.total(Field.REQUESTS) == 2
    for descriptor in (go, begin):
        os.close(descriptor)


def test_an_epoch_may_stand_alone() -> None:
    epoch, other = Epoch(), Epoch()
    epoch.advance()
    assert (epoch.value, other.value) == (1, 0)


def test_hits_and_misses_of_the_cache_are_counted() -> None:
    """What cannot be read is neither, and bytes and errors are those of the cache."""
    counts = Counters(1).slot(0)
    chunks = CountedChunks(ChunkCache(CACHE_BYTES), counts)

    def damaged() -> bytes:
        raise DamageError("damaged")

    with pytest.raises(DamageError):
        chunks.fetch(b"a" * 32, 0, 3, damaged)
    assert (counts.get(Field.CACHE_HITS), counts.get(Field.CACHE_MISSES)) == (0, 0)
    assert bytes(chunks.fetch(b"a" * 32, 1, 3, lambda: b"abcdef")) == b"bc"
    assert (counts.get(Field.CACHE_HITS), counts.get(Field.CACHE_MISSES)) == (0, 1)
    for end in (2, 6):
        assert bytes(chunks.fetch(b"a" * 32, 0, end, damaged)) == b"abcdef"[:end]
    assert (counts.get(Field.CACHE_HITS), counts.get(Field.CACHE_MISSES)) == (2, 1)
