"""`gc`: reap the entries that are due, report the waiting ones, and shrink files that have grown too large."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from functools import partial

from artstore.errors import OutOfSpaceError
from artstore.reclaim import compaction
from artstore.reclaim.eviction import daemons_to_evict
from artstore.reclaim.plan import CollectionPlan, plan_collection, what_is_left
from artstore.reclaim.reaper import Reaped, Reaper, forget_references, reap
from artstore.rows import catalogue
from artstore.storage import disk
from artstore.storage.reserve import with_reserve
from artstore.store import Store

__all__ = ["GcReport", "collect"]


@dataclass(frozen=True, slots=True)
class GcReport:
    """The result of a run, or of its dry run: freed content, and what is left.

    ``freed_bytes`` are stored bytes.  ``undelete_ended`` names the versions that could have been undeleted until then.
    ``deadlist_entries`` and ``deadlist_bytes`` count everything left on the deadlist; ``waiting_entries`` and
    ``waiting_bytes`` count the part that is still in its window or in use, of which the first entry is due at
    ``next_due``.  ``interrupted_puts`` left ``interrupted_bytes``, which are kept for another put to reuse, the first
    until ``interrupted_until``.  ``in_use`` names each version in use and its user.  ``condemned_bytes`` were reaped,
    and wait for a reader to end.  ``manifest_bytes_before`` and ``manifest_bytes_after`` are the sizes of the LMDB
    file, with ``compact`` only.  ``not_compacted`` names what was not copied for want of space.
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
    undelete_ended: list[str] = field(default_factory=list)
    interrupted_puts: int = 0
    interrupted_bytes: int = 0
    interrupted_until: datetime | None = None
    dry_run: bool = False

    def __repr__(self) -> str:
        return f"<GcReport {self.freed_bytes} bytes freed, {self.deadlist_bytes} on the deadlist>"


def collect(
    store: Store,
    *,
    now: bool,
    interrupted: bool,
    dry_run: bool,
    compact: bool,
    evict: Sequence[str | os.PathLike[str]] = (),
    progress: Callable[[Reaped], None] | None = None,
) -> GcReport:
    """Reap entries that are due, with ``now`` also those in their window; ``compact`` shrinks the LMDB file and packs.

    ``interrupted``, and ``now``, include what interrupted puts hold.  What is open under the mounts ``evict`` is not
    kept.  ``dry_run`` returns what the plan of the run says, and carries nothing out.  Raises what
    `artstore.reclaim.reaper.reap` and `artstore.reclaim.eviction.daemons_to_evict` raise.
    """
    evicted = daemons_to_evict(store, evict)
    if not dry_run:
        disk.require_writable(store.path)
    reaper = Reaper(store, every_pack=True, evicted=evicted)
    plan = plan_collection(store, reaper, now=now, interrupted_too=interrupted)
    if dry_run:
        return _planned(plan)
    reaped = reap(store, now=True, only=plan.entries, abandon=plan.drafts, reaper=reaper, progress=progress)
    forget_references(store)  # including those left by a killed reaper
    before = after = None
    with_reserve(store.path, partial(compaction.remove_old_journals, store), is_certain=False)
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
    done = _done(store, plan, reaped)
    return replace(done, manifest_bytes_before=before, manifest_bytes_after=after, not_compacted=lacking)


def _compact_packs(store: Store, reaped: Reaped) -> None:
    """Copy the content of packs with gaps, and free the old space."""
    done = compaction.compact_packs(store, None, eager=True)
    reaped.packs_compacted += done.packs
    reaped.packs_left = done.left
    reaped.packs_removed += done.removed + reap(store, only=(), reaper=Reaper(store, every_pack=True)).packs_removed


def _planned(plan: CollectionPlan) -> GcReport:
    return GcReport(
        plan.freed_bytes,
        plan.freed_nodes,
        condemned_bytes=0,
        in_use=list(plan.in_use),
        undelete_ended=[name for _, name in plan.windows_ended],
        dry_run=True,
        **asdict(plan.left),
    )


def _done(store: Store, plan: CollectionPlan, reaped: Reaped) -> GcReport:
    with store.snapshot() as snapshot:
        transaction = snapshot.transaction
        ended = [
            name for serial, name in plan.windows_ended if catalogue.recorded_version(transaction, serial) is None
        ]  # others were undeleted meanwhile
        condemned_bytes = transaction.counters().condemned_bytes
    return GcReport(
        reaped.freed_bytes,
        reaped.freed_nodes,
        condemned_bytes=condemned_bytes,
        in_use=list(plan.in_use),
        packs_removed=reaped.packs_removed,
        packs_compacted=reaped.packs_compacted,
        undelete_ended=ended,
        **asdict(what_is_left(store, plan.using)),
    )
