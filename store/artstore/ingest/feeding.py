"""The thread that walks and reads ahead, and the parcels of work that it hands to the one that stages.

A parcel is a run of steps in tree order, with the futures that they wait for.  Parcels are taken in the order in which
they were given, so nodes reach the store in the order of the tree whatever the order in which workers finish; and a
bounded number of bytes is in flight, so memory is bounded whatever the size of the files.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future
from typing import Any, NamedTuple

__all__ = ["Feed", "Parcel"]


class Parcel(NamedTuple):
    """Steps to run in order once all futures are done; ``cost`` bytes are in flight until then."""

    steps: list[Callable[[], None]]
    futures: list[Future[Any]]
    cost: int


class Feed:
    """Run a generator of parcels in its own thread, at most ``limit`` bytes ahead of the loop over this object.

    A context manager: leaving it closes the generator, in its thread, and ends that thread.  An error of the generator
    is raised by the loop at once, even if parcels are left.
    """

    def __init__(self, parcels: Generator[Parcel, None, None], limit: int) -> None:
        self._parcels = parcels
        self._limit = limit
        self._queue: deque[Parcel] = deque()
        self._in_flight = 0
        self._changed = threading.Condition()
        self._stopped = False
        self._ended = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="artfs-walk", daemon=True)

    def __enter__(self) -> Feed:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        self._thread.join()
        self._queue.clear()  # parcels left by an exception hold directories open
        self._error = None

    def __iter__(self) -> Iterator[Parcel]:
        while (parcel := self._take()) is not None:
            for future in parcel.futures:
                future.result()
            yield parcel
            with self._changed:
                self._in_flight -= parcel.cost
                self._changed.notify_all()

    def _take(self) -> Parcel | None:
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._ended)
            if self._error is not None:
                raise self._error
            return self._queue.popleft() if self._queue else None

    def _run(self) -> None:
        try:
            for parcel in self._parcels:
                if not self._give(parcel):
                    break
        except BaseException as error:
            self._error = error
        finally:
            self._parcels.close()
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _give(self, parcel: Parcel) -> bool:
        """Queue a parcel and wait until there is room for more; return whether more is wanted."""
        with self._changed:
            self._queue.append(parcel)
            self._in_flight += parcel.cost
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._stopped or self._in_flight <= self._limit)
            return not self._stopped
