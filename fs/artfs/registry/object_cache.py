"""Loaded objects, bounded by count and bytes, each loaded once however many threads want it."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from artstore.arguments import shown_value
from artstore.errors import InvalidInputError

__all__ = ["CacheFigures", "ObjectCache"]


@dataclass(frozen=True, slots=True)
class CacheFigures:
    """What a cache holds and how often it was asked."""

    count: int
    max_count: int
    bytes: int
    max_bytes: int
    hits: int
    misses: int


class ObjectCache:
    """Keeps the objects that were used last.

    The bytes of an object are what its loader says, the size of its payload.  An object that is larger than the whole
    cache is not kept; a cache of 0 objects keeps none.
    """

    def __init__(self, max_count: int, max_bytes: int) -> None:
        self._lock = threading.Lock()
        self._objects: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._loading: dict[Hashable, Future[Any]] = {}
        self._bytes = self._hits = self._misses = 0
        self._max_count, self._max_bytes = _bound(max_count, "cache_size"), _bound(max_bytes, "cache_bytes")

    def __contains__(self, key: object) -> bool:
        with self._lock:
            return key in self._objects

    def get(self, key: Hashable, size: int, load: Callable[[], Any]) -> Any:
        """Return the object of a key, which *load* makes if it is not kept; an error of *load* reaches all who wait."""
        with self._lock:
            if key in self._objects:
                self._objects.move_to_end(key)
                self._hits += 1
                return self._objects[key][0]
            waiting = self._loading.get(key)
            if waiting is None:
                mine: Future[Any] = Future()
                self._loading[key] = mine
                self._misses += 1
            else:
                self._hits += 1
        if waiting is not None:
            return waiting.result()
        try:
            loaded = load()
        except BaseException as error:
            with self._lock:
                del self._loading[key]
            mine.set_exception(error)
            raise
        with self._lock:
            del self._loading[key]
            self._keep(key, loaded, size)
        mine.set_result(loaded)
        return loaded

    def clear(self) -> None:
        """Keep nothing, and count from 0."""
        with self._lock:
            self._objects.clear()
            self._bytes = self._hits = self._misses = 0

    def resize(self, max_count: int, max_bytes: int | None = None) -> None:
        """Set the bounds, and drop what was not used for the longest time until they hold."""
        count = _bound(max_count, "the size of the cache")
        size = self._max_bytes if max_bytes is None else _bound(max_bytes, "the bytes of the cache")
        with self._lock:
            self._max_count, self._max_bytes = count, size
            self._shrink()

    def figures(self) -> CacheFigures:
        """Return what it holds."""
        with self._lock:
            return CacheFigures(
                len(self._objects), self._max_count, self._bytes, self._max_bytes, self._hits, self._misses
            )

    def _keep(self, key: Hashable, loaded: Any, size: int) -> None:
        if size > self._max_bytes or not self._max_count:
            return
        self._objects[key] = (loaded, size)
        self._bytes += size
        self._shrink()

    def _shrink(self) -> None:
        while len(self._objects) > self._max_count or self._bytes > self._max_bytes:
            _, (_, size) = self._objects.popitem(last=False)
            self._bytes -= size


def _bound(value: object, what: str) -> int:
    if type(value) is not int or value < 0:
        raise InvalidInputError(f"{what} must be a whole number from 0, not {shown_value(value)}")
    return value
