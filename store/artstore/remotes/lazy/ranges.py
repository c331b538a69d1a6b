"""Ranges of remote objects: from this process, from the cache of the user, or from the remote.

A range that several readers want is fetched once: by one thread of a process, and by one process of the user.  Nothing
here is compared with a hash; who reads does so, and asks for a range once more by `Ranges.again`.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Final, Protocol

from artstore.errors import ArtfsError
from artstore.objects.failures import WrongAnswerError
from artstore.objects.protocol import ObjectStore
from artstore.remotes.lazy.cache import RangeCache
from artstore.remotes.packs.places import Place
from artstore.remotes.packs.ranges import JoinedRange, joined
from artstore.rows.lazy_source import AbsentError

__all__ = ["PackSource", "Ranges"]

_RECENT_BYTES: Final = 24 << 20
"""Memory of the ranges that were fetched last, so that a full disk does not keep a reader from going on."""
_AT_ONCE: Final = 8
"""Requests that run at the same time for one reader."""
_WARMING: Final = 3
"""Requests that run at the same time where a whole version is fetched, of up to 8 MiB each."""
_AGAIN_SECONDS: Final = 10.0
"""A range that was fetched twice and is wrong is not asked for again for so long."""


class PackSource(Protocol):
    """Whence the bytes of packs come."""

    def read(self, places: Sequence[Place]) -> list[bytes]:
        """Return the bytes of each place, which are to be compared with a hash; shorter ones if an object ends."""

    def again(self, place: Place) -> bytes:
        """Return the bytes of a place from the remote, past all caches."""


class Ranges:
    """The ranges of one remote; for any number of threads.

    If it may not wait, what has to be fetched raises `AbsentError`.
    """

    def __init__(self, objects: ObjectStore, cache: RangeCache | None, *, waits: bool, threads: bool) -> None:
        self._objects = objects
        self._cache = cache
        self._waits = waits
        self._threads = threads
        self._lock = threading.Lock()
        self._recent: OrderedDict[Place, bytes] = OrderedDict()
        self._held = 0
        self._refetched: dict[Place, float] = {}
        self._flying: dict[Place, Future[None]] = {}
        self._pool: ThreadPoolExecutor | None = None

    def present(self, places: Sequence[Place]) -> list[bytes | None]:
        """Return the bytes of the places that this process or the cache has."""
        with self._lock:
            found = [self._recent.get(place) for place in places]
        lacking = [place for place, data in zip(places, found, strict=True) if data is None]
        if lacking and self._cache is not None:
            cached = iter(self._cache.get(lacking))
            found = [next(cached) if data is None else data for data in found]
        return found

    def read(self, places: Sequence[Place], more: Sequence[Place] = ()) -> list[bytes]:
        """Return the bytes of each place; what is fetched for them may bring some of ``more`` along.

        Raises the errors of the store, and `AbsentError` where this may not wait.
        """
        found = self.present(places)
        lacking = [place for place, data in zip(places, found, strict=True) if data is None]
        if lacking:
            wanted = lacking + [place for place, data in zip(more, self.present(more), strict=True) if data is None]
            if not self._waits:
                raise AbsentError(partial(self._bring, wanted))
            brought = self._bring(wanted)
            found = [
                brought.get(place, b"") if data is None else data for place, data in zip(places, found, strict=True)
            ]
        return [data or b"" for data in found]

    def again(self, place: Place) -> bytes:
        """Return the bytes of a place from the remote, past all caches; those of the last time if that was just now."""
        with self._lock:
            at = self._refetched.get(place)
        if at is not None and time.monotonic() - at < _AGAIN_SECONDS:
            return self.present([place])[0] or b""
        if not self._waits:
            raise AbsentError(partial(self._refetch, place))
        return self._refetch(place)

    def _refetch(self, place: Place) -> bytes:
        data = self._request(place, fresh=True)
        self._keep({place: data})
        with self._lock:
            if len(self._refetched) > 1000:
                self._refetched.clear()
            self._refetched[place] = time.monotonic()
        return data

    def ask_ahead(self, places: Sequence[Place]) -> None:
        """Begin to fetch places in a thread, if this process may have some; what fails is asked for by its reader."""
        if not self._threads or not places:
            return
        lacking = [place for place, data in zip(places, self.present(places), strict=True) if data is None]
        with self._lock:
            lacking = [place for place in lacking if place not in self._flying]
        if lacking:
            self._later(partial(self._bring_quietly, lacking), lacking)

    def _later(self, task: Callable[[], None], places: Sequence[Place]) -> None:
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(2, "artfs-ahead")
            with suppress(RuntimeError):  # the interpreter is ending
                future = self._pool.submit(task)
                self._flying.update(dict.fromkeys(places, future))
                future.add_done_callback(lambda _: self._landed(places, future))

    def _landed(self, places: Sequence[Place], future: Future[None]) -> None:
        for place in places:
            if self._flying.get(place) is future:
                self._flying.pop(place, None)

    def _bring_quietly(self, places: Sequence[Place]) -> None:
        with suppress(ArtfsError, OSError):
            self._fetch(places)

    def bring_all(self, places: Sequence[Place]) -> Iterator[int]:
        """Fetch places into the cache, in few long requests; yield the bytes of each.  Nothing stays in memory."""
        groups = [(each, [places[number] for number in each.members]) for each in joined(places)]
        with ThreadPoolExecutor(_WARMING, "artfs-warm") as pool:
            for result in pool.map(lambda group: self._fetch_group(*group), groups):
                yield sum(map(len, result.values()))

    # -- fetching ------------------------------------------------------------------------------------------------------

    def _bring(self, places: Sequence[Place]) -> dict[Place, bytes]:
        """Return places, after those that are being fetched by another thread have come."""
        with self._lock:
            flying = {self._flying[place] for place in places if place in self._flying}
        for future in flying:
            future.result()
        found = (
            {place: data for place, data in zip(places, self.present(places), strict=True) if data is not None}
            if (flying)
            else {}
        )
        lacking = [place for place in dict.fromkeys(places) if place not in found]
        return found | self._fetch(lacking) if lacking else found

    def _fetch(self, places: Sequence[Place]) -> dict[Place, bytes]:
        groups = [(each, [places[number] for number in each.members]) for each in joined(places)]
        if len(groups) == 1 or not self._threads:
            results = [self._fetch_group(*group) for group in groups]
        else:
            with ThreadPoolExecutor(min(_AT_ONCE, len(groups)), "artfs-fetch") as pool:
                results = list(pool.map(lambda group: self._fetch_group(*group), groups))
        brought: dict[Place, bytes] = {}
        for result in results:
            brought.update(result)
        return brought

    def _fetch_group(self, wanted: JoinedRange, places: Sequence[Place]) -> dict[Place, bytes]:
        """Fetch one range, unless another process does or did so."""
        whole = Place(wanted.pack, wanted.offset, wanted.length)
        if self._cache is None:
            return self._split(whole, places)
        with self._cache.fetching(whole):
            present = self._cache.get(places)
            if None not in present:
                return {place: data for place, data in zip(places, present, strict=True) if data is not None}
            return self._split(whole, places)

    def _split(self, whole: Place, places: Sequence[Place]) -> dict[Place, bytes]:
        data = self._request(whole)
        parts = {}
        for place in places:
            start = place.offset - whole.offset
            parts[place] = data[start : start + place.stored]
        self._keep({place: part for place, part in parts.items() if len(part) == place.stored})
        return parts

    def _request(self, place: Place, *, fresh: bool = False) -> bytes:
        try:
            return self._objects.read(place.pack.object_name, place.offset, place.stored, fresh=fresh)
        except WrongAnswerError:
            return b""  # an object that is shorter than it was: its reader says so

    def _keep(self, parts: dict[Place, bytes]) -> None:
        with self._lock:
            for place, data in parts.items():
                self._held += len(data) - len(self._recent.pop(place, b""))
                self._recent[place] = data
            while self._held > _RECENT_BYTES and len(self._recent) > len(parts):
                self._held -= len(self._recent.popitem(last=False)[1])
        if self._cache is not None:
            self._cache.put(list(parts.items()))
