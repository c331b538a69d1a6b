"""The daemon's reaper: it frees due entries of the deadlist while the workers serve reads.

The store's reaper works in small steps; this module schedules them.  Reads that the workers serve slow it down.  Other
load on the disk need not: in measurements, reads of other programs were as fast while it ran as without it.
"""

from __future__ import annotations

import logging
import time
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import trio

from artfs.mount.counters import Counters, Field
from artstore.errors import ArtfsError, DamageError
from artstore.reclaim.reaper import Reaped, Reaper, Step, forget_references, next_due_ns, tidy
from artstore.rows.settings import Settings, read_settings
from artstore.store import Store

__all__ = ["Reaping", "State", "Status"]

_IDLE_SECONDS = 60.0
"""Longest sleep. Work that sends no notification, such as a put that died, is noticed after this time."""
_IN_USE_SECONDS = 1.0
_READERS_SECONDS = 0.2
_SETTLE_SECONDS = 0.05
"""Pause before a step that a notification triggers, so that a series of changes costs one step."""
_FIRST_RETRY_SECONDS, _LAST_RETRY_SECONDS = 1.0, 60.0
_BUSY_SHARE = 0.25
"""Share of the time for steps while workers serve requests."""

_log = logging.getLogger(__name__)


class State(StrEnum):
    """The activity of the reaper."""

    IDLE = "idle"
    REAPING = "reaping"
    IN_USE = "in use"
    FAILING = "failing"
    STOPPED = "stopped"
    OFF = "off"


@dataclass
class Status:
    """The state of the reaper, and its counts since the mount began.

    ``state``: ``idle`` and ``reaping`` are normal, ``in use`` waits for content still in use, ``failing`` will try
    again, ``stopped`` found damage and does nothing until the daemon restarts, ``off`` waits until the workspace's file
    system is writable.  ``next_due`` is in nanoseconds since 1970, None for an empty deadlist.
    """

    state: State = State.IDLE
    freed_bytes: int = 0
    freed_nodes: int = 0
    in_use: int = 0
    next_due: int | None = None
    last_error: str | None = None


class Reaping:
    """Reap one workspace until cancelled, and retry after errors."""

    def __init__(self, store: Store, counters: Counters) -> None:
        self._store = store
        self._counters = counters
        self._reaper = Reaper(store, every_pack=True)
        self._news = trio.Event()
        self._retry_seconds = _FIRST_RETRY_SECONDS
        self._status = Status()
        self._must_forget = False

    def wake(self) -> None:
        """Look at the deadlist soon; call it from trio's thread."""
        self._news.set()

    def status(self) -> dict[str, Any]:
        """Return the state and the counts, ready for JSON."""
        return asdict(self._status)

    async def run(self) -> None:
        """Reap entries of the deadlist when they are due.

        An error is recorded and the step is retried at growing intervals; after damage nothing more is freed.
        """
        while self._status.state is not State.STOPPED:
            try:
                pause = await self._turn()
                self._retry_seconds = _FIRST_RETRY_SECONDS
            except DamageError as error:
                self._note(State.STOPPED, error)
                _log.error("the reaper has stopped because of damage: %s", error)
                return
            except (ArtfsError, OSError) as error:
                self._note(State.FAILING, error)
                pause = self._after_failure()
            except Exception as error:
                self._note(State.FAILING, error)
                _log.exception("the reaper failed")
                pause = self._after_failure()
            await self._sleep(pause)

    def _note(self, state: State, error: Exception) -> None:
        self._status.state = state
        self._status.last_error = str(error) or type(error).__name__

    def _after_failure(self) -> float:
        pause = self._retry_seconds
        self._retry_seconds = min(_LAST_RETRY_SECONDS, 2 * pause)
        return pause

    def _rest(self) -> float:
        if self._status.state is not State.OFF:
            _log.info("the workspace is on a read-only file system: nothing is freed, and no version expires")
        self._status.state, self._status.last_error = State.OFF, "the workspace is on a read-only file system"
        return _IDLE_SECONDS

    async def _sleep(self, seconds: float) -> None:
        with trio.move_on_after(seconds):
            await self._news.wait()
            await trio.sleep(min(seconds, _SETTLE_SECONDS))
        self._news = trio.Event()

    async def _turn(self) -> float:
        """Reap until there is nothing to do, and return the seconds until the next turn."""
        if self._store.is_read_only:
            return self._rest()
        settings = await trio.to_thread.run_sync(self._settings)
        while True:
            freed = self._status.freed_nodes
            waits_for_readers = await self._reap(settings)
            if self._status.freed_nodes != freed:
                self._must_forget = True
            if waits_for_readers or not await trio.to_thread.run_sync(self._tidy):
                if self._must_forget:
                    await trio.to_thread.run_sync(forget_references, self._store)
                    self._must_forget = False
                return await self._pause(waits_for_readers)

    async def _reap(self, settings: Settings) -> bool:
        """Take steps until one finds nothing to do; return whether it waits for readers to end."""
        status = self._status
        while True:
            begun, requests = time.monotonic(), self._counters.total(Field.REQUESTS)
            step = await trio.to_thread.run_sync(self._reaper.step)
            took = time.monotonic() - begun
            status.freed_nodes += step.nodes
            status.freed_bytes += step.freed_bytes
            if not step.did_something:
                return step.more
            status.state, status.last_error = State.REAPING, None
            busy = self._counters.total(Field.REQUESTS) != requests
            await trio.sleep(max(_least_seconds(step, settings) - took, took * (1 / _BUSY_SHARE - 1) if busy else 0))

    def _tidy(self) -> bool:
        return tidy(self._store, self._reaper, Reaped())

    def _settings(self) -> Settings:
        with self._store.snapshot() as snapshot:
            return read_settings(snapshot.transaction)

    async def _pause(self, waits_for_readers: bool) -> float:
        status = self._status
        status.next_due = await trio.to_thread.run_sync(self._next_due)
        status.in_use = len(self._reaper.in_use)
        status.state, status.last_error = State.IN_USE if status.in_use else State.IDLE, None
        if waits_for_readers:
            return _READERS_SECONDS
        if status.in_use:
            return _IN_USE_SECONDS
        if status.next_due is None:
            return _IDLE_SECONDS
        return max(0.0, min(_IDLE_SECONDS, status.next_due / 1e9 - time.time()))

    def _next_due(self) -> int | None:
        with self._store.snapshot() as snapshot:
            return next_due_ns(snapshot.transaction)


def _least_seconds(step: Step, settings: Settings) -> float:
    """Return the minimum duration of a step, by the workspace's settings."""
    freed_bytes = max(step.freed_bytes, step.punched_bytes)
    by_bytes = freed_bytes / settings.reap_bytes_per_second if settings.reap_bytes_per_second else 0.0
    by_nodes = step.nodes / settings.reap_nodes_per_second if settings.reap_nodes_per_second else 0.0
    return max(by_bytes, by_nodes)
