"""The plan of a run of `gc`: what it will free, and what stays.  A dry run shows it; a run carries it out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from artstore.clock import utc
from artstore.names import version_label
from artstore.reclaim.reaper import Reaper
from artstore.records.deadlist import DeadEntry
from artstore.rows import catalogue, deadlist, drafts
from artstore.rows.interrupted import interrupted
from artstore.rows.planner import Plan
from artstore.storage.manifest import ReadTransaction
from artstore.store import Store

__all__ = ["CollectionPlan", "Left", "plan_collection", "what_is_left"]

_ASK_AT_ONCE: Final = 256


@dataclass(frozen=True, slots=True)
class Left:
    """What a run leaves: the deadlist, its part in the undelete window or in use, and interrupted puts."""

    deadlist_entries: int
    deadlist_bytes: int
    waiting_entries: int
    waiting_bytes: int
    next_due: datetime | None
    interrupted_puts: int
    interrupted_bytes: int
    interrupted_until: datetime | None


@dataclass(frozen=True, slots=True)
class CollectionPlan:
    """What a run of `gc` will free.

    ``entries`` of the deadlist are reaped and the references of the dead ``drafts`` dropped, which frees
    ``freed_bytes`` stored bytes in ``freed_nodes`` nodes.  ``windows_ended`` has serial and name of each version that
    could be undeleted until then.  ``in_use`` says of each version that is kept who uses it, and ``using`` are the
    serials of those.
    """

    entries: frozenset[int]
    drafts: frozenset[int]
    freed_bytes: int
    freed_nodes: int
    windows_ended: tuple[tuple[int, str], ...]
    in_use: tuple[str, ...]
    using: frozenset[int]
    left: Left


def plan_collection(store: Store, reaper: Reaper, *, now: bool, interrupted_too: bool) -> CollectionPlan:
    """Plan to reap what is due and not in use, with ``now`` also what is in its undelete window.

    ``interrupted_too`` includes what interrupted puts hold, as ``now`` does.  Nothing is written.
    """
    now_ns = time.time_ns()
    with store.snapshot() as snapshot:
        due = [entry for entry in deadlist.entries(snapshot.transaction) if now or entry.due_ns <= now_ns]
    parts = [due[start : start + _ASK_AT_ONCE] for start in range(0, len(due), _ASK_AT_ONCE)]
    wanted = {entry.number for part in parts for entry in reaper.unused(part)}
    using = frozenset(use.serial for use in reaper.in_use)
    with store.snapshot() as snapshot:
        transaction = snapshot.transaction
        entries = list(deadlist.entries(transaction))
        dead = frozenset(reaper.dead_drafts(transaction, now or interrupted_too))
        plan = Plan(transaction)
        chosen = [entry for entry in entries if entry.number in wanted]
        kept = [entry for entry in entries if entry.number not in wanted]
        freed = [plan.release(entry.nodes) for entry in chosen]
        freed += [plan.release(list(drafts.staged_nodes(transaction, number))) for number in sorted(dead)]
        return CollectionPlan(
            entries=frozenset(entry.number for entry in chosen),
            drafts=dead,
            freed_bytes=sum(release.bytes for release in freed),
            freed_nodes=sum(len(release.nodes) for release in freed),
            windows_ended=tuple(
                (entry.serial, _name(transaction, entry.artifact, entry.version))
                for entry in chosen
                if entry.serial and entry.due_ns > now_ns
            ),
            in_use=tuple(f"{_name(transaction, use.artifact, use.version)}: {use.by}" for use in reaper.in_use),
            using=using,
            left=_left(store, transaction, plan, kept, using, dead),
        )


def what_is_left(store: Store, using: frozenset[int]) -> Left:
    """Return what there is to free now, or later; ``using`` are the serials of deleted versions in use."""
    with store.snapshot() as snapshot:
        transaction = snapshot.transaction
        return _left(store, transaction, Plan(transaction), list(deadlist.entries(transaction)), using, frozenset())


def _left(
    store: Store,
    transaction: ReadTransaction,
    plan: Plan,
    entries: Sequence[DeadEntry],
    using: frozenset[int],
    dropped: frozenset[int],
) -> Left:
    now_ns = time.time_ns()
    waits = [entry.due_ns > now_ns or entry.serial in using for entry in entries]
    due_bytes = plan.release_entries(entry for entry, waiting in zip(entries, waits, strict=True) if not waiting)
    waiting = [entry for entry, is_waiting in zip(entries, waits, strict=True) if is_waiting]
    waiting_bytes = plan.release_entries(waiting)
    puts = interrupted(transaction, store.run_dir, plan, without=dropped)
    return Left(
        deadlist_entries=len(entries),
        deadlist_bytes=due_bytes + waiting_bytes,
        waiting_entries=len(waiting),
        waiting_bytes=waiting_bytes,
        next_due=utc(waiting[0].due_ns) if waiting else None,
        interrupted_puts=len(puts),
        interrupted_bytes=sum(put.bytes for put in puts),
        interrupted_until=utc(min(put.until_ns for put in puts)) if puts else None,
    )


def _name(transaction: ReadTransaction, artifact: int, version: int) -> str:
    record = catalogue.artifact(transaction, artifact)
    return f"{record.name if record else '?'}:{version_label(version)}"
