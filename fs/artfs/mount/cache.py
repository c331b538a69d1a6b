"""A bounded cache with least-recently-used eviction."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

__all__ = ["Cache"]

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Cache(Generic[K, V]):
    """Keep values until their weights sum to more than ``limit``, then evict the least recently used.

    A value is immutable and a function of its key; if the function changes, all values must be dropped.
    """

    __slots__ = ("_entries", "limit", "weight")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.weight = 0
        self._entries: OrderedDict[K, tuple[V, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: K) -> V | None:
        """Return the value of ``key``, or None; count the call as a use."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        self._entries.move_to_end(key)
        return entry[0]

    def put(self, key: K, value: V, weight: int = 1) -> None:
        """Keep ``value`` unless ``key`` is there already."""
        if key in self._entries:
            return
        self._entries[key] = (value, weight)
        self.weight += weight
        while self.weight > self.limit and len(self._entries) > 1:
            _, (_, freed) = self._entries.popitem(last=False)
            self.weight -= freed

    def clear(self) -> None:
        """Drop everything."""
        self._entries.clear()
        self.weight = 0
