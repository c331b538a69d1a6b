"""The daemon's release of leases: about once a second, those of deleted versions that its kernel has forgotten.

A notification of the deletion releases at once what is not in use; this finds what was closed later, what no
notification told of, and leases that a worker took in vain or left behind when it was killed.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final, Protocol

import trio

from artfs.mount.counters import Counters, Field
from artstore.errors import ArtfsError
from artstore.mount_leases import DeletedVersion, MountLeases
from artstore.rows import deadlist
from artstore.store import Store

__all__ = ["Releasing", "Settle"]

_EVERY_SECONDS: Final = 1.0
_SETTLE_SECONDS: Final = 0.8

_log = logging.getLogger(__name__)


class Settle(Protocol):
    """Release the leases of deleted versions that the kernel does not use."""

    def __call__(self, versions: Sequence[DeletedVersion], free: set[int], *, seconds: float) -> None:
        """Add the serials of those that are free to ``free``, for so many seconds at most."""


class Releasing:
    """Release the leases of one mount until cancelled, and continue after errors."""

    def __init__(
        self,
        store: Store,
        counters: Counters,
        leases: MountLeases,
        settle: Settle,
        *,
        every_seconds: float = _EVERY_SECONDS,
    ) -> None:
        self._store = store
        self._counters = counters
        self._leases = leases
        self._settle = settle
        self._every = every_seconds
        self._stray = -1
        self._next_entry = -1
        self._leased: dict[tuple[int, int], DeletedVersion] = {}  # by entry and number
        self._known: set[int] = set()
        self._last_error = ""

    async def run(self) -> None:
        """Look for leases to release at regular intervals."""
        while True:
            await trio.sleep(self._every)
            await trio.to_thread.run_sync(self._look)

    def _look(self) -> None:
        """Release what can be released; log an error that differs from the last."""
        try:
            self.release()
        except (ArtfsError, OSError) as error:
            if str(error) != self._last_error:
                _log.warning("leases of deleted versions cannot be released: %s", error)
            self._last_error = str(error)
        except Exception:
            _log.exception("releasing leases failed")
        else:
            self._last_error = ""

    def release(self) -> bool:
        """Release the leases of deleted versions that are not in use; return whether there were any.

        Work: one read transaction if nothing was deleted since the last call and nothing deleted is leased.
        """
        stray = self._counters.total(Field.STRAY_LEASES) + self._counters.total(Field.RESTARTS)
        if stray != self._stray:
            self._known.clear()
            self._next_entry = -1
        self._find()
        self._stray = stray
        if self._leased:
            self._forget_undeleted()
        if not self._leased:
            return False
        free: set[int] = set()
        self._settle(list(self._leased.values()), free, seconds=_SETTLE_SECONDS)
        self._leased = {
            entry: version
            for entry, version in self._leased.items()
            if version.serial not in free and self._leases.has(version.artifact, version.number)
        }
        return bool(free)

    def _forget_undeleted(self) -> None:
        with self._store.snapshot() as snapshot:
            records = {entry: snapshot.recorded_version(version.serial) for entry, version in self._leased.items()}
        for place, record in records.items():
            if record is not None and record.entry != place[0]:
                del self._leased[place]

    def _find(self) -> None:
        """Add the leased versions among those that were deleted since the last call."""
        with self._store.snapshot() as snapshot:
            if snapshot.deletions == self._next_entry:
                return
            self._next_entry = snapshot.deletions
            waiting = {
                entry.number: deadlist.leased_as(snapshot.transaction, entry)
                for entry in deadlist.entries(snapshot.transaction)
                if entry.serial
            }
        for entry in waiting.keys() - self._known:
            for version in waiting[entry]:
                if self._leases.has(version.artifact, version.number):
                    self._leased[entry, version.number] = version
        self._known = set(waiting)
