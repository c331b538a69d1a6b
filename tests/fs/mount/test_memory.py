"""A worker's caches are bounded, and all processes see the workers' counters."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artfs.mount.cache import Cache
from artfs.mount.counters import Counters, Field


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(1, 10))), st.integers(1, 40))
def test_a_cache_holds_what_was_used_last_within_its_limit(uses: list[tuple[int, int]], limit: int) -> None:
    """Against a plain list: the entries are the most recently used ones that fit, and at least the last one."""
    cache: Cache[int, str] = Cache(limit)
    model: dict[int, int] = {}
    for key, weight in uses:
        found = cache.get(key)
        assert found == (str(key) if key in model else None)
        if key in model:
            model[key] = model.pop(key)
            continue
        cache.put(key, str(key), weight)
        model[key] = weight
        while sum(model.values()) > limit and len(model) > 1:
            del model[next(iter(model))]
        assert cache.weight == sum(model.values())
        assert len(cache) == len(model)


def test_counts_are_shared_with_children() -> None:
    counters = Counters(3)
    child = os.fork()
    if child == 0:
        counters.slot(2).add(Field.BYTES, 1 << 40)
        counters.slot(2).add(Field.REQUESTS)
        os._exit(0)
    os.waitpid(child, 0)
    assert counters.slot(2).get(Field.BYTES) == 1 << 40
    assert counters.slot(2).get(Field.REQUESTS) == 1
    assert counters.slot(1).get(Field.BYTES) == 0
    with pytest.raises(IndexError):
        counters.slot(3)


def test_many_workers_fit() -> None:
    counters = Counters(1000)
    counters.slot(999).set(Field.ERRORS, 7)
    assert counters.slot(999).get(Field.ERRORS) == 7
