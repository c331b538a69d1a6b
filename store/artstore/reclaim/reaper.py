"""The reaper: frees the content on the deadlist, in small steps, each of which leaves the store consistent.

A node is freed in three parts, so that neither a crash nor an older reader ever finds it partly freed:

(a) One durable transaction drops the entry's reference to a node.  If it was the last reference, the node is removed
    from the tables and the index, its references to its children are dropped in turn, and its extent is condemned with
    the transaction's number.
(b) When no reader has a snapshot of an older transaction, condemned extents are punched out of their packs.
(c) A later transaction, which is part (a) of the next step, turns them into free extents.

Part (b) can be repeated, and space in packs is never reused, so a reaper can be killed at any point.  Any number of
reapers may run: each step holds the lock of `space.exclusive`.  A version in use stays whole on the deadlist.  If a
record is unreadable or a count is wrong, the reaper stops with `DamageError` and frees nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final, NamedTuple

from artstore import beneath, daemon_requests
from artstore.interrupts import checkpoint
from artstore.reclaim import compaction, leases
from artstore.reclaim.holes import punch_unread
from artstore.records.deadlist import DeadEntry
from artstore.records.nodes import Extent
from artstore.records.packing import CLASS_CONTENT
from artstore.records.tables import Table
from artstore.rows import catalogue, deadlist, drafts, lineage, space
from artstore.rows.nodes import CountOverlay, children_of, index_keys, node_extent, node_payload
from artstore.storage import journal, manifest
from artstore.storage.manifest import ReadTransaction, WriteTransaction
from artstore.storage.reserve import with_reserve
from artstore.store import Store

__all__ = ["InUse", "Reaped", "Reaper", "Step", "forget_references", "next_due_ns", "reap", "tidy"]

STEP_NODES: Final = 1000
"""Maximum number of nodes that one step removes: its transaction then holds the write lock for less than 50 ms."""
_STEP_REFERENCES: Final = 8000
_ASK_AT_ONCE: Final = 256
_READER_SECONDS: Final = 1.0
OPEN_IN_PYTHON: Final = "a file that is open through the Python API"
_ASK_AGAIN_SECONDS: Final = 1.0


class InUse(NamedTuple):
    """A deleted version that is kept whole, and its user."""

    serial: int
    artifact: int
    version: int
    by: str


class Step(NamedTuple):
    """The result of one step: removed nodes, their stored bytes, and whether there may be more to do at once.

    ``punched_bytes`` were freed on the disk, from nodes that earlier steps removed and from content that compaction
    copied.
    """

    nodes: int
    freed_bytes: int
    more: bool
    punched_bytes: int = 0

    @property
    def did_something(self) -> bool:
        """Whether the step made progress."""
        return bool(self.nodes or self.freed_bytes or self.punched_bytes)


@dataclass
class Reaped:
    """The result of a run of the reaper.

    ``freed_bytes`` are the stored bytes of the reaped nodes.  ``more`` is set if work is left, because the time was up
    or a reader may still use condemned extents.  ``packs_left`` were not copied for want of space.
    """

    freed_nodes: int = 0
    freed_bytes: int = 0
    in_use: list[InUse] = field(default_factory=list)
    packs_removed: int = 0
    packs_compacted: int = 0
    packs_left: int = 0
    more: bool = False


class Reaper:
    """Reap step by step; for one thread at a time.

    ``patience`` is the time to wait for readers, in seconds.  With ``every_pack``, the first call of `tidy` examines
    all packs and locks of drafts: a killed process may have left unused ones.  ``evicted`` are the ids of daemons whose
    leases do not count: what is open under their mounts is lost.
    """

    def __init__(
        self,
        store: Store,
        *,
        patience: float = _READER_SECONDS,
        every_pack: bool = False,
        evicted: Collection[str] = (),
    ) -> None:
        self._store = store
        self._evicted = evicted
        self._patience = patience
        self._in_use: dict[int, tuple[InUse, float]] = {}
        self._known_unused: set[int] = set()
        self._own: set[int] = set()  # entries made of the drafts that were abandoned
        self.touched: set[int] | None = None if every_pack else set()
        """Packs with new gaps since they were last examined for compaction; None for all packs."""

    @property
    def in_use(self) -> list[InUse]:
        """The deleted versions that were in use at their last check."""
        return [use for use, _ in self._in_use.values()]

    def step(self, *, now: bool = False, only: Collection[int] | None = None, abandon: Collection[int] = ()) -> Step:
        """Do one bounded part of the work that is due; ``now`` includes entries that are still in their window.

        ``only`` limits the entries to reap, and dead drafts to those of ``abandon``.  Raises `DamageError` if the
        records are inconsistent, `OutOfSpaceError` if the disk is full and the reserve does not suffice, `BusyError` if
        another reaper hangs.
        """
        store = self._store
        compaction.retire_replaced(store)
        entries = self._choose(now, only)
        with store.snapshot() as snapshot:
            dead = self.dead_drafts(snapshot.transaction, now or bool(abandon)) if only is None or abandon else []
            dead = dead if only is None else [number for number in dead if number in abandon]
            is_idle = not entries and not dead and next(space.condemned(snapshot.transaction), None) is None
        if is_idle:
            return Step(0, 0, False)  # take reserve and lock only if there is something to free
        return with_reserve(store.path, partial(self._free, entries, dead))

    def _free(self, entries: Sequence[DeadEntry], dead: Sequence[int]) -> Step:
        """Punch what no reader can reach, and drop the references of entries and dead drafts, in one transaction."""
        store = self._store
        with space.exclusive(store.path):
            merges = punch_unread(store)
            if not (entries or merges or dead):
                return Step(0, 0, self._waits_for_readers())
            with store.write() as transaction:
                punched = space.apply_merges(transaction, merges)
                first = transaction.state.next_entry
                for number in dead:
                    drafts.abandon(transaction, number)
                made = range(first, transaction.state.next_entry)
                if dead:
                    drafts.remove_stray_locks(transaction, store.run_dir)
                work = _Work(transaction)
                for entry in entries:
                    if work.is_full:
                        break
                    work.take(entry)
                work.finish()
        self._own.update(made)
        if self.touched is not None:
            self.touched.update(merge.gap.pack for merge in merges)
        return Step(work.nodes, work.freed_bytes, True, punched)

    def _waits_for_readers(self) -> bool:
        with self._store.snapshot() as snapshot:
            return next(space.condemned(snapshot.transaction), None) is not None

    def dead_drafts(self, transaction: ReadTransaction, now: bool) -> list[int]:
        """Return the numbers of dead drafts that another put had time to reuse; ``now`` includes the others."""
        before = time.time_ns() - (0 if now else int(drafts.RESUME_SECONDS * 1e9))
        generation = transaction.counters().journal_generation
        recorded_ns = beneath.status(self._store.path, journal.journal_path(self._store.path, generation)).st_mtime_ns
        return drafts.dead_drafts(transaction, self._store.run_dir, before, recorded_ns=recorded_ns)

    def _choose(self, now: bool, only: Collection[int] | None) -> list[DeadEntry]:
        """Return entries that are due and unused."""
        due_ns = time.time_ns()
        clock = time.monotonic()
        self._in_use = {number: kept for number, kept in self._in_use.items() if kept[1] > clock}
        chosen: list[DeadEntry] = []
        nodes = 0
        with self._store.snapshot() as snapshot:
            for entry in deadlist.entries(snapshot.transaction):
                if (entry.due_ns > due_ns and not now) or nodes >= STEP_NODES or len(chosen) == _ASK_AT_ONCE:
                    break
                is_meant = only is None or entry.number in only or entry.number in self._own
                if entry.number in self._in_use or not is_meant:
                    continue
                chosen.append(entry)
                nodes += len(entry.nodes)
        return self.unused(chosen)

    def unused(self, entries: list[DeadEntry]) -> list[DeadEntry]:
        """Return the unused entries, and skip the others until `_ASK_AGAIN_SECONDS` have passed.

        Entries that are partly reaped, or that are not versions, cannot be in use.  A version is in use if a reader
        whose snapshot precedes the deletion may still open a file, or if the Python API or a mount has a lease on it.
        """
        versions = [
            entry for entry in entries if entry.serial and not entry.started and entry.number not in self._known_unused
        ]
        if not versions:
            return entries
        users: dict[int, str] = {}
        newest = max(entry.transaction for entry in versions)
        oldest = self._wait_for_readers(newest)
        for entry in versions:
            if oldest is not None and oldest < entry.transaction:
                users[entry.serial] = self._earlier_readers(entry.transaction)
            elif leases.is_held(self._store, entry.serial):
                users[entry.serial] = OPEN_IN_PYTHON
        with self._store.snapshot() as snapshot:
            transaction = snapshot.transaction
            waiting = [entry for entry in versions if entry.serial not in users]
            rest = [each for entry in waiting for each in deadlist.leased_as(transaction, entry)]
        users |= daemon_requests.in_use(self._store.run_dir, rest, evicted=self._evicted)
        until = time.monotonic() + _ASK_AGAIN_SECONDS
        for entry in versions:
            if entry.serial in users:
                use = InUse(entry.serial, entry.artifact, entry.version, users[entry.serial])
                self._in_use[entry.number] = (use, until)
            else:
                self._known_unused.add(entry.number)  # for good: the version can no longer be opened
        return [entry for entry in entries if entry.number not in self._in_use]

    def _earlier_readers(self, transaction: int) -> str:
        """Return the name of what still reads a state from before a transaction."""
        pids = manifest.readers_before(self._store.path, transaction)
        named = ", ".join(f"process {pid}" for pid in pids)
        return f"{named}, reading since before the deletion" if pids else "a reader that began before the deletion"

    def _wait_for_readers(self, transaction: int) -> int | None:
        """Wait a moment for readers that began before a transaction; return the transaction of the oldest reader."""
        until = time.monotonic() + self._patience
        while True:
            oldest = manifest.oldest_reader(self._store.path)
            if oldest is None or oldest >= transaction or time.monotonic() >= until:
                return oldest
            checkpoint()
            time.sleep(0.002)


class _Work:
    """The work inside one step's transaction: nodes to remove, and the reference counts that change."""

    def __init__(self, transaction: WriteTransaction) -> None:
        self.nodes = 0
        self.freed_bytes = 0
        self._references = 0
        self._transaction = transaction
        self._counts = CountOverlay(transaction)
        self._extents: dict[bool, list[Extent]] = {False: [], True: []}

    @property
    def is_full(self) -> bool:
        """Whether the step has reached its limit."""
        return self.nodes >= STEP_NODES or self._references >= _STEP_REFERENCES

    def take(self, chosen: DeadEntry) -> None:
        """Drop the references of an entry to its nodes, as many as the step's limit allows."""
        transaction = self._transaction
        entry = deadlist.find_entry(transaction, chosen.due_ns, chosen.number)
        if entry is None:
            return  # undeleted, or reaped by another process
        if entry.serial and not entry.started:
            catalogue.remove_version(transaction, entry.serial, entry.artifact, entry.version)
            lineage.forget_version(transaction, entry.serial)
        stack = list(entry.nodes)
        while stack and not self.is_full:
            node = stack.pop()
            self._references += 1
            if not self._counts.drop(node):
                stack.extend(reversed(self._dismantle(node, entry.purge)))
        if stack:
            deadlist.change_entry(transaction, entry._replace(nodes=tuple(stack), started=True))
        else:
            deadlist.remove_entry(transaction, entry)

    def _dismantle(self, node: int, purge: bool) -> list[int]:
        """Remove a node from the tables; return the nodes that it refers to."""
        transaction = self._transaction
        payload = node_payload(transaction, node)
        extent = node_extent(payload)
        children = children_of(payload)
        for key in index_keys(payload):
            if transaction.find(key[0], key[1:]) == node:
                transaction.delete(Table.INDEX, key)
        transaction.delete(Table.NODES, node.to_bytes(8, "big"))
        transaction.state.stored_bytes -= extent.stored
        self.freed_bytes += extent.stored
        self._extents[purge].append(extent)
        self.nodes += 1
        return children

    def finish(self) -> None:
        """Write the counts, and condemn the extents of the removed nodes."""
        self._counts.save(self._transaction)
        for purge, extents in self._extents.items():
            space.condemn(self._transaction, extents, purge=purge)


def reap(
    store: Store,
    *,
    now: bool = False,
    seconds: float | None = None,
    only: Collection[int] | None = None,
    abandon: Collection[int] = (),
    until: Callable[[], bool] | None = None,
    every_pack: bool = False,
    evicted: Collection[str] = (),
    reaper: Reaper | None = None,
    progress: Callable[[Reaped], None] | None = None,
) -> Reaped:
    """Reap entries that are due, with ``now`` also those in their window, until none is left or the time is up.

    ``seconds`` limits the time, ``only`` the entries, and then ``abandon`` the dead drafts; reaping stops when
    ``until``, called after each step, returns True.  ``every_pack`` and ``evicted`` are passed to `Reaper`, unless
    ``reaper`` is given, which goes on with what it knows.  Raises what `Reaper.step` does.
    """
    waiting = _READER_SECONDS if seconds is None else min(_READER_SECONDS, seconds)
    reaper = reaper or Reaper(store, patience=waiting, every_pack=every_pack, evicted=evicted)
    done = Reaped()
    deadline = None if seconds is None else time.monotonic() + seconds
    patience = time.monotonic() + waiting
    while True:
        step = reaper.step(now=now, only=only, abandon=abandon)
        done.freed_nodes += step.nodes
        done.freed_bytes += step.freed_bytes
        if step.did_something:
            patience = time.monotonic() + waiting
            if progress is not None:
                progress(done)
        elif step.more:
            checkpoint()
            time.sleep(0.005)
        late = deadline is not None and time.monotonic() >= deadline
        enough = until is not None and until()
        if late or enough or time.monotonic() >= patience:
            break
        if until is not None and step.punched_bytes and tidy(store, reaper, done) and until():
            break  # without holes, only this gives back what the step has freed
        if not step.more and not tidy(store, reaper, done):
            break
    done.in_use = reaper.in_use
    done.more = step.more
    if done.freed_nodes:
        forget_references(store)
    return done


def forget_references(store: Store) -> None:
    """Remove the cached content of references that are no longer in the store."""
    if not store.has_been_outside:
        return
    outside = store.outside
    for ident in [*outside.blocks.references(), *(failure.ident for failure in outside.failures.all())]:
        with store.snapshot() as snapshot:
            is_there = snapshot.transaction.find(CLASS_CONTENT, ident) is not None
        if not is_there:
            outside.blocks.forget(ident)
            outside.failures.forget(ident)


def tidy(store: Store, reaper: Reaper, done: Reaped) -> bool:
    """Remove empty packs and copy those whose gaps cannot be punched; return whether there is then more to reap."""
    touched, reaper.touched = reaper.touched, set()
    if touched is not None and not touched:
        return False
    remove = partial(_remove_unused, store, locks=touched is None)
    done.packs_removed += with_reserve(store.path, remove, is_certain=False)
    compacted = compaction.compact_packs(store, touched, eager=False)
    done.packs_removed += compacted.removed
    done.packs_compacted += compacted.packs
    done.packs_left = compacted.left
    return bool(compacted.nodes)


def _remove_unused(store: Store, *, locks: bool) -> int:
    """Remove packs without live content, and with ``locks`` the locks of drafts that ended; return how many packs."""
    if locks and beneath.names(store.path, "run/drafts"):
        with store.write() as transaction:
            drafts.remove_stray_locks(transaction, store.run_dir)
    with space.exclusive(store.path):
        return compaction.remove_empty(store)


def next_due_ns(transaction: ReadTransaction) -> int | None:
    """Return the time at which the first entry of the deadlist is due, or None if it is empty."""
    entry = next(deadlist.entries(transaction), None)
    return None if entry is None else entry.due_ns
