"""Values that were used last, as long as they do not weigh too much."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Generic, TypeVar

__all__ = ["Bounded"]

K = TypeVar("K")
V = TypeVar("V")


class Bounded(Generic[K, V]):
    """The values that were used last, bounded by their weight; for any number of threads."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = 0
        self._items: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: K) -> V | None:
        """Return the value of a key, or None."""
        with self._lock:
            found = self._items.get(key)
            if found is None:
                return None
            self._items.move_to_end(key)
            return found[0]

    def put(self, key: K, value: V, weight: int) -> None:
        """Keep a value of so many bytes, unless the key has one; those that were used longest ago go."""
        with self._lock:
            if key not in self._items:
                self._items[key] = value, weight
                self._held += weight
            while self._held > self._limit and len(self._items) > 1:
                self._held -= self._items.popitem(last=False)[1][1]
