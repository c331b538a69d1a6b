"""Space for content that is being stored: on a full disk, deleted content is reaped for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from artstore.errors import OutOfSpaceError
from artstore.storage import disk
from artstore.storage.reserve import RESERVE, refill, require_room
from artstore.store import Store

__all__ = ["with_room"]

T = TypeVar("T")

_ROOM: Final = 8 * RESERVE
"""Free bytes at which a put on a full disk continues after reaping deleted content."""


def with_room(store: Store, action: Callable[[], T]) -> tuple[T, int]:
    """Run an action that stores content; return (its result, stored bytes reaped for it).

    If the disk is full, deleted content is reaped, the oldest first, then packs with large gaps are copied, and the
    action is run again.  Raises `OutOfSpaceError` if that does not suffice.
    """

    def enough() -> bool:
        return disk.free_bytes(store.path) >= _ROOM

    reaped = 0
    while True:
        try:
            require_room(store.path)
            done = action()
            refill(store.path)
            return done, reaped
        except OutOfSpaceError:
            # Loaded only on a full disk: every put would take longer to start.
            from artstore.reclaim import compaction

            more = _reap(store, enough)
            if not more and not compaction.compact_packs(store, None, eager=False, until=enough).nodes:
                raise
            reaped += more


def _reap(store: Store, enough: Callable[[], bool]) -> int:
    """Reap entries that are due, then those still in their window, the oldest first, until there is room.

    Content of dead drafts stays: otherwise a put on a full disk would free the content it has just stored, and never
    end.  Returns the freed stored bytes; 0 if there was nothing to reap, or no room to do so.
    """
    from artstore.reclaim.reaper import reap
    from artstore.rows import deadlist

    with store.snapshot() as snapshot:
        waiting = frozenset(entry.number for entry in deadlist.entries(snapshot.transaction))
    try:
        return reap(store, now=True, only=waiting, until=enough).freed_bytes
    except OutOfSpaceError:
        return 0
