"""Another process's change between two snapshots of an operation, at each place where there can be one.

An operation that remembers a node from one snapshot and looks it up in a later one finds it reaped.  Here the change
happens before the operation's first snapshot, its second one, and so on, so that no timing is needed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any
from unittest import mock

from artstore.errors import ArtfsError, BusyError, ExistsError, NotFoundError, RefusedError
from artstore.rows import space
from artstore.storage import manifest

__all__ = ["EXPECTED", "Outcome", "is_expected", "outcomes"]

EXPECTED = (NotFoundError, ExistsError, RefusedError)
"""How an operation may fail whose object another process has changed or deleted."""
PLACES = (0, 1, 2, 3, 4, 5, 6, 8, 11, 15, 20, 27, 36)
"""The snapshots of an operation before which the change is tried; what is looked up is looked up early."""

Outcome = tuple[int, BaseException | None]


class _Intruder:
    """Run a change once, before snapshot number ``at``; never under a lock that the change would wait for."""

    def __init__(self, change: Callable[[], object], at: int) -> None:
        self._change = change
        self._at = at
        self._lock = threading.RLock()
        self._locks = 0
        self._busy = False
        self.seen = 0
        self.done = False

    def before_read(self) -> None:
        with self._lock:
            if self._busy or self._locks or self.done:
                return
            self.seen += 1
            if self.seen <= self._at:
                return
            self._busy = True
            try:
                with suppress(BusyError):  # what the operation holds cannot be changed
                    self._change()
            finally:
                self._busy = False
                self.done = True

    @contextmanager
    def locked(self, inner: Any) -> Iterator[Any]:
        with self._lock:
            self._locks += 1
        try:
            with inner as held:
                yield held
        finally:
            with self._lock:
                self._locks -= 1


def outcomes(
    prepare: Callable[[], tuple[Callable[[], object], Callable[[], object]]], *, places: Sequence[int] = PLACES
) -> Iterator[Outcome]:
    """Yield (snapshot, error) of an operation during which a change happens before that snapshot.

    ``prepare`` makes a new workspace and returns (operation, change).  Ends at the first of ``places`` that the
    operation does not reach.
    """
    for at in places:
        operation, change = prepare()
        intruder = _Intruder(change, at)
        begin = manifest.Reading.__enter__

        def enter(reading: Any, begin: Any = begin, intruder: _Intruder = intruder) -> Any:
            intruder.before_read()
            return begin(reading)

        def locking(lock: Callable[..., Any], intruder: _Intruder = intruder) -> Any:
            return lambda *given, **named: intruder.locked(lock(*given, **named))

        error: BaseException | None = None
        with (
            mock.patch.object(manifest.Reading, "__enter__", enter),
            mock.patch.object(manifest, "write", locking(manifest.write)),
            mock.patch.object(manifest, "frozen", locking(manifest.frozen)),
            mock.patch.object(space, "exclusive", locking(space.exclusive)),
        ):
            try:
                operation()
            except Exception as raised:
                error = raised
        if not intruder.done:
            return
        yield at, error


def is_expected(error: BaseException | None) -> bool:
    """Return whether an error says what has become of the operation's object."""
    return error is None or (isinstance(error, EXPECTED) and isinstance(error, ArtfsError))
