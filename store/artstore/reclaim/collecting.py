"""`gc`: reap the entries that are due, report the waiting ones, and shrink files that have grown too large."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Final, TypeVar

from artstore.errors import OutOfSpaceError
from artstore.names import version_label
from artstore.reclaim import compaction
from artstore.reclaim.eviction import daemons_to_evict
from artstore.reclaim.reaper import InUse, Reaped, forget_references, reap
from artstore.rows import catalogue, deadlist
from artstore.rows.planner import Plan
from artstore.storage import disk
from artstore.storage.manifest import ReadTransaction
from artstore.storage.reserve import RESERVE, refill, require_room, with_reserve
from artstore.store import Store

__all__ = ["GcReport", "collect", "with_room"]

T = TypeVar("T")

_ROOM: Final = 8 * RESERVE
"""Free bytes at which a put on a full disk continues after reaping deleted content."""


@dataclass(frozen=True, slots=True)
class GcReport:
    """The result of a run: freed content, and the content of the deadlist afterwards.

    ``freed_bytes`` are stored bytes.  ``deadlist_entries`` and ``deadlist_bytes`` count everything left on the
    deadlist; ``waiting_entries`` and ``waiting_bytes`` count the part that is still in its window or in use, of which
    the first entry is due at ``next_due``.  ``in_use`` names each version in use and its user.  ``condemned_bytes``
    were reaped, and wait for a reader to end.  ``manifest_bytes_before`` and ``manifest_bytes_after`` are the sizes of
    the LMDB file, with ``compact`` only.  ``not_compacted`` names what was not copied for want of space.
    """

    freed_bytes: int
    freed_nodes: int
    deadlist_entries: int
    deadlist_bytes: int
    waiting_entries: int
    waiting_bytes: int
    next_due: datetime | None
    condemned_bytes: int
    in_use: list[str] = field(default_factory=list)
    packs_removed: int = 0
    packs_compacted: int = 0
    manifest_bytes_before: int | None = None
    manifest_bytes_after: int | None = None
    not_compacted: list[str] = field(default_factory=list)
    dry_run: bool = False

    def __repr__(self) -> str:
        return f"<GcReport {self.freed_bytes} bytes freed, {self.deadlist_bytes} on the deadlist>"


def collect(
    store: Store,
    *,
    now: bool,
    dry_run: bool,
    compact: bool,
    evict: Sequence[str | os.PathLike[str]] = (),
    progress: Callable[[Reaped], None] | None = None,
) -> GcReport:
    """Reap entries that are due, with ``now`` also those in their window; ``compact`` shrinks the LMDB file and packs.

    What is open under the mounts ``evict`` is not kept.  ``dry_run`` reports what would be freed and takes no lock.
    Raises what `artstore.reclaim.reaper.reap` and `artstore.reclaim.eviction.daemons_to_evict` raise.
    """
    evicted = daemons_to_evict(store, evict)
    if dry_run:
        return _planned(store, now)
    disk.require_writable(store.path)
    reaped = reap(store, now=now, every_pack=True, evicted=evicted, progress=progress)
    forget_references(store)  # including those left by a killed reaper
    before = after = None
    with_reserve(store.path, partial(compaction.remove_old_journals, store))
    lacking = []
    if compact:
        _compact_packs(store, reaped)
        for name, shrink in (("journal", compaction.compact_journal), ("manifest", compaction.compact_environment)):
            try:
                sizes = with_reserve(store.path, partial(shrink, store))
            except OutOfSpaceError:
                lacking.append(f"the {name}")
            else:
                before, after = sizes if name == "manifest" else (None, None)
    if reaped.packs_left:
        lacking.insert(0, "1 pack" if reaped.packs_left == 1 else f"{reaped.packs_left} packs")
    left = _left(store, reaped)
    return replace(left, manifest_bytes_before=before, manifest_bytes_after=after, not_compacted=lacking)


def _compact_packs(store: Store, reaped: Reaped) -> None:
    """Copy the content of packs with gaps, and free the old space."""
    done = compaction.compact_packs(store, None, eager=True)
    reaped.packs_compacted += done.packs
    reaped.packs_left = done.left
    reaped.packs_removed += done.removed + reap(store, only=(), every_pack=True).packs_removed


def _left(store: Store, reaped: Reaped) -> GcReport:
    with store.snapshot() as snapshot:
        transaction = snapshot.transaction
        plan = Plan(transaction)
        now_ns = time.time_ns()
        entries = list(deadlist.entries(transaction))
        using = {use.serial for use in reaped.in_use}
        due = [entry for entry in entries if entry.due_ns <= now_ns and entry.serial not in using]
        waiting = [entry for entry in entries if entry.due_ns > now_ns or entry.serial in using]
        due_bytes = plan.release_entries(due)
        waiting_bytes = plan.release_entries(waiting)
        return GcReport(
            freed_bytes=reaped.freed_bytes,
            freed_nodes=reaped.freed_nodes,
            deadlist_entries=len(entries),
            deadlist_bytes=due_bytes + waiting_bytes,
            waiting_entries=len(waiting),
            waiting_bytes=waiting_bytes,
            next_due=datetime.fromtimestamp(waiting[0].due_ns / 1e9, UTC) if waiting else None,
            condemned_bytes=transaction.counters().condemned_bytes,
            in_use=[f"{_name(transaction, use)}: {use.by}" for use in reaped.in_use],
            packs_removed=reaped.packs_removed,
            packs_compacted=reaped.packs_compacted,
        )


def _name(transaction: ReadTransaction, use: InUse) -> str:
    artifact = catalogue.artifact(transaction, use.artifact)
    return f"{artifact.name if artifact else '?'}:{version_label(use.version)}"


def _planned(store: Store, now: bool) -> GcReport:
    """Return the report of a run that finds no version in use."""
    with store.snapshot() as snapshot:
        transaction = snapshot.transaction
        plan = Plan(transaction)
        now_ns = time.time_ns()
        entries = list(deadlist.entries(transaction))
        due = [entry for entry in entries if now or entry.due_ns <= now_ns]
        waiting = entries[len(due) :]
        freed = [plan.release(entry.nodes) for entry in due]
        waiting_bytes = plan.release_entries(waiting)
    return GcReport(
        freed_bytes=sum(release.bytes for release in freed),
        freed_nodes=sum(len(release.nodes) for release in freed),
        deadlist_entries=len(waiting),
        deadlist_bytes=waiting_bytes,
        waiting_entries=len(waiting),
        waiting_bytes=waiting_bytes,
        next_due=datetime.fromtimestamp(waiting[0].due_ns / 1e9, UTC) if waiting else None,
        condemned_bytes=0,
        dry_run=True,
    )


def reap_for_room(store: Store, enough: Callable[[], bool]) -> int:
    """Reap entries that are due, then those still in their window, the oldest first, until there is room.

    Content of dead drafts stays: otherwise a put on a full disk would free the content it has just stored, and never
    end.  Returns the freed stored bytes; 0 if there was nothing to reap, or no room to do so.
    """
    with store.snapshot() as snapshot:
        waiting = frozenset(entry.number for entry in deadlist.entries(snapshot.transaction))
    try:
        return reap(store, now=True, only=waiting, until=enough).freed_bytes
    except OutOfSpaceError:
        return 0


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
            more = reap_for_room(store, enough)
            if not more and not compaction.compact_packs(store, None, eager=False, until=enough).nodes:
                raise
            reaped += more
