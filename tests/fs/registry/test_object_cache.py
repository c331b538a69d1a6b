"""The cache holds its bounds, counts what it is asked, and loads once."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from artfs.registry.object_cache import ObjectCache
from artstore.errors import InvalidInputError


def filled(cache: ObjectCache, *keys: str, size: int = 1) -> None:
    for key in keys:
        cache.get(key, size, lambda key=key: key.upper())


def test_what_was_used_last_stays() -> None:
    cache = ObjectCache(2, 100)
    filled(cache, "a", "b", "a", "c")
    assert "a" in cache and "c" in cache and "b" not in cache
    figures = cache.figures()
    assert (figures.count, figures.hits, figures.misses, figures.bytes) == (2, 1, 3, 2)


def test_bytes_are_bounded() -> None:
    """An object that is larger than the cache is returned and not kept, and displaces nothing."""
    cache = ObjectCache(10, 10)
    filled(cache, "a", "b", size=4)
    filled(cache, "large", size=11)
    assert "a" in cache and "b" in cache and "large" not in cache
    filled(cache, "c", size=6)
    assert "a" not in cache and cache.figures().bytes == 10


def test_a_cache_of_none() -> None:
    cache = ObjectCache(0, 10)
    filled(cache, "a", "a")
    assert (cache.figures().count, cache.figures().misses) == (0, 2)


def test_resizing_and_clearing() -> None:
    cache = ObjectCache(5, 100)
    filled(cache, *"abcde", "e")
    cache.resize(2)
    assert cache.figures().count == 2 and cache.figures().max_bytes == 100
    cache.resize(5, 1)
    assert cache.figures().count == 1
    cache.resize(0)
    assert cache.figures().count == 0
    filled(cache, "a")
    cache.clear()
    assert (cache.figures().hits, cache.figures().misses, cache.figures().bytes) == (0, 0, 0)


@pytest.mark.parametrize("bound", [-1, 1.5, True, None, "1"])
def test_bounds_that_are_none(bound: Any) -> None:
    with pytest.raises(InvalidInputError):
        ObjectCache(bound, 1)
    with pytest.raises(InvalidInputError):
        ObjectCache(1, 1).resize(bound)


def test_threads_that_want_one_object_load_it_once() -> None:
    cache = ObjectCache(5, 100)
    started, finish = threading.Event(), threading.Event()
    loads: list[int] = []

    def load() -> object:
        loads.append(1)
        started.set()
        finish.wait(10)
        return object()

    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(cache.get("a", 1, load))) for _ in range(8)]
    for thread in threads:
        thread.start()
    started.wait(10)
    finish.set()
    for thread in threads:
        thread.join()
    assert len(loads) == 1 and len(set(map(id, found))) == 1
    assert cache.figures().hits == 7


def test_an_error_is_not_kept() -> None:
    """It reaches every thread that waits, and the next call loads again."""
    cache = ObjectCache(5, 100)

    def fails() -> object:
        raise ValueError("once")

    with pytest.raises(ValueError, match="once"):
        cache.get("a", 1, fails)
    assert cache.get("a", 1, lambda: 1) == 1
