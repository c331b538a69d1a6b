"""Collecting a remote: giving up objects that nothing needs, by entries of its log, and deleting them after a wait.

An object is deleted only if an accepted entry has given it up, and the wait of `WAIT_SECONDS` has passed since, so that
readers finish.  The entry is accepted only if nothing was pushed or restored since its packs were compared with what is
needed (rules R1 and R2), and pushers compare theirs with what was given up.  So any machine may collect, beside any
number of others; one that is killed is continued by any other.  All times are the store's: no local clock is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple

from artstore.clock import utc
from artstore.errors import BusyError, DamageError, RefusedError
from artstore.ids import content_id
from artstore.interrupts import checkpoint
from artstore.objects.failures import NoRightError
from artstore.objects.protocol import PROBES, ObjectInfo
from artstore.progress import Progress
from artstore.remotes.connecting import choose, connect, note_position, require_writable
from artstore.remotes.connection import Connection
from artstore.remotes.entry_notes import EntryNotes
from artstore.remotes.holdings import Holdings, LostSetError, is_kept
from artstore.remotes.log.appending import append
from artstore.remotes.log.condemn_lists import Pack as ListedPack
from artstore.remotes.log.condemn_lists import encode_condemn_list
from artstore.remotes.log.entries import Transaction
from artstore.remotes.log.fields import Span
from artstore.remotes.log.operations import Condemn
from artstore.remotes.log.publishing import old_checkpoints
from artstore.remotes.log.state import DELETED, State, VersionRow
from artstore.remotes.packs.places import TREES, Pack, new_pack
from artstore.rows import remotes as rows
from artstore.store import Store

__all__ = ["LEFT_SECONDS", "WAIT_SECONDS", "RemoteCollection", "collect_remote", "store_time"]

WAIT_SECONDS: Final = 24 * 3600
"""From giving up objects until they are deleted."""
LEFT_SECONDS: Final = 7 * 24 * 3600
"""The least age of an object that no version of the log needs: a push under way may still come to need it."""
_SECOND: Final = 10**9
_TURNS: Final = 50
_REAPED: Final = 3000
"""Versions that one entry names, at most: an entry has at most 64 KiB."""
_AHEAD: Final = 300 * _SECOND
_BATCH: Final = 1000


@dataclass(slots=True)
class RemoteCollection:
    """What a collection of a remote did, or with ``dry_run`` would do.

    ``condemned`` objects were given up now, ``left`` of them by pushes that never ended; they are deleted after a wait.
    ``deleted`` ones had been given up before; ``waiting`` ones still wait, the first until ``next_due``.  ``reaped``
    names the deleted versions that can no longer be restored.  ``removed`` are old checkpoints and objects of probes.
    """

    remote: str
    dry_run: bool
    condemned: int = 0
    condemned_bytes: int = 0
    left: int = 0
    deleted: int = 0
    deleted_bytes: int = 0
    waiting: int = 0
    waiting_bytes: int = 0
    next_due: datetime | None = None
    removed: int = 0
    reaped: list[str] = field(default_factory=list)


def store_time(remote: Connection) -> int:
    """Return the store's clock in nanoseconds since 1970.

    Raises `RefusedError` if it does not tell the time, or the log is more than five minutes ahead of it.
    """
    date = remote.store.date()
    if date is None:
        raise RefusedError(
            f"{remote.store.url} does not tell the time, so nothing is collected",
            hint="pass its Date header through proxies",
        )
    now_ns = int(date * _SECOND)
    if remote.state.time_ns > now_ns + _AHEAD:
        raise RefusedError(
            f"the log of {remote.store.url} is ahead of the store's clock, so nothing is collected",
            hint="an entry was written while that clock was wrong; wait until it has caught up",
        )
    return now_ns


def collect_remote(
    store: Store,
    name: str | None = None,
    *,
    dry_run: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> RemoteCollection:
    """Give up what nothing needs in a remote, and delete what was given up a day ago.

    Raises `NotFoundError` for an unknown remote, `RefusedError` for one that is read-only or whose clock is behind its
    log, `LostSetError` if it is not known what a version needs, `NoRightError` if these credentials may not delete
    (what was given up stays so), `BrokenLogError`, and the errors of the store.
    """
    uuid, record = choose(store, name)
    require_writable(record)
    remote = connect(store, uuid, record)
    collector = _Collector(store, remote, RemoteCollection(record.name, dry_run), progress)
    if dry_run:
        collector.plan()
    else:
        collector.run()
        note_position(store, remote)
    return collector.report


class _Plan(NamedTuple):
    """The packs to give up, those of them that no version ever had, and the versions that are reaped with them."""

    packs: frozenset[Pack]
    left: frozenset[Pack]
    reaped: tuple[VersionRow, ...]


class _Collector:
    def __init__(
        self,
        store: Store,
        remote: Connection,
        report: RemoteCollection,
        progress: Callable[[Progress], None] | None,
    ) -> None:
        self._store = store
        self._remote = remote
        self._progress = progress
        self._holdings = Holdings(remote, self._on_version)
        self._listed: tuple[frozenset[Pack], Span] | None = None
        self._planned: _Plan | None = None
        self.report = report

    def _on_version(self, done: int, total: int) -> None:
        checkpoint()
        if self._progress is not None:
            self._progress(Progress("reading versions", done, 0, total, None, ""))

    # -- giving up -----------------------------------------------------------------------------------------------------

    def _plan(self, state: State) -> _Plan:
        """Return what can be given up at a state, which is that of the connection."""
        remote, holdings, now_ns = self._remote, self._holdings, store_time(self._remote)
        expired = sorted(
            (row for row in state.versions.values() if row.state == DELETED and not is_kept(state, row, now_ns)),
            key=lambda row: row.place,
        )
        expired, later = expired[:_REAPED], expired[_REAPED:]
        lost = self._read(expired)
        given_up = remote.condemned()
        present = set(holdings.objects) - given_up
        needed = holdings.needed(now_ns) | holdings.of(later)
        masks = {row.uuid: holdings.of([row]) for row in expired if row.uuid not in lost}
        known = 0
        for mask in masks.values():
            known |= mask
        oldest = now_ns / _SECOND - LEFT_SECONDS
        left = {pack for pack in present if 0 < holdings.objects[pack].modified < oldest}
        left -= set(holdings.packs(needed | known))
        dead = (set(holdings.packs(known & ~needed)) & present) | left
        dying = holdings.mask(dead)
        reaped = tuple(row for row in expired if row.uuid in lost or masks[row.uuid] & dying)
        return _Plan(frozenset(dead), frozenset(left), reaped)

    def _read(self, expired: Sequence[VersionRow]) -> set[bytes]:
        """Read the sets of versions; return the uuids of those whose sets are lost, which is no reason to stop."""
        try:
            self._holdings.read(expired)
        except LostSetError:
            lost = set()
            for row in expired:
                try:
                    self._holdings.read([row])
                except LostSetError:
                    lost.add(row.uuid)
            return lost
        return set()

    def _prepare(self, state: State) -> list[Transaction]:
        """Return the entry's transaction at a state, with a list that is in the store."""
        self._planned = plan = self._plan(state)
        if not plan.packs:
            return []
        if self._listed is None or self._listed[0] != plan.packs:
            self._listed = plan.packs, self._write_list(plan.packs)
        size = self._holdings.bytes_of(plan.packs)
        places = tuple(row.place for row in plan.reaped)
        return [state.transaction(Condemn(self._listed[1], len(plan.packs), size, places))]

    def _write_list(self, packs: Iterable[Pack]) -> Span:
        data = encode_condemn_list(ListedPack(chr(pack.folder), pack.id) for pack in packs)
        pack = new_pack(TREES)
        if not self._remote.store.create(pack.object_name, data):
            raise DamageError(f"{self._remote.store.url} has another object called {pack.object_name}")
        return Span(pack.id, 0, len(data), content_id(data))

    def _condemn(self) -> None:
        """Write entries until nothing is left to give up."""
        remote, notes = self._remote, EntryNotes(self._store, self._remote.uuid)
        for _ in range(_TURNS):
            condemns = remote.state.condemns
            appended = append(remote.log, remote.machine, self._prepare, notes)
            if appended.number is None:
                return
            plan = self._planned
            is_ours = not appended.by_earlier_run and remote.state.condemns == condemns + 1 and plan is not None
            if is_ours and appended.verdicts == (None,) and plan is not None:
                self._count(plan)
                with self._store.write() as transaction:
                    rows.drop_places(transaction, remote.uuid, {pack.id for pack in plan.packs})
                if len(plan.reaped) < _REAPED:
                    remote.publish()
                    return
        raise BusyError(f"others push to {remote.store.url} as fast as it is collected", hint="run it again later")

    def _count(self, plan: _Plan) -> None:
        report, state = self.report, self._remote.state
        report.condemned += len(plan.packs)
        report.condemned_bytes += self._holdings.bytes_of(plan.packs)
        report.left += len(plan.left)
        report.reaped += [state.title(row.artifact, row.number) for row in plan.reaped]

    # -- deleting ------------------------------------------------------------------------------------------------------

    def _due(self) -> set[Pack]:
        """Return the objects to delete now; note those that wait."""
        now_ns = store_time(self._remote)
        due: set[Pack] = set()
        self._remote.condemned()  # reads the lists
        for place, row in self._remote.state.condemned.items():
            packs = {pack for pack in self._remote.lists[place] if pack in self._holdings.objects}
            ends_ns = row.made.at_ns + WAIT_SECONDS * _SECOND
            if ends_ns <= now_ns:
                due |= packs
            else:
                self._wait(packs, ends_ns)
        needed = due & set(self._holdings.packs(self._holdings.needed(now_ns)))
        if needed:
            name = min(pack.object_name for pack in needed)
            raise DamageError(
                f"an entry of the log of {self._remote.store.url} gives up {name}, which a living version needs",
                hint="nothing is deleted; a program that is not artfs has written to it: artfs fsck --remote",
            )
        return due

    def _wait(self, packs: Collection[Pack], ends_ns: int) -> None:
        report, ends = self.report, utc(ends_ns)
        if packs:
            report.waiting += len(packs)
            report.waiting_bytes += self._holdings.bytes_of(packs)
            report.next_due = ends if report.next_due is None else min(ends, report.next_due)

    def _delete(self, due: set[Pack], removed: Sequence[ObjectInfo]) -> None:
        report, names = self.report, sorted(pack.object_name for pack in due)
        done = 0
        try:
            doomed = [*names, *(info.name for info in removed)]
            for start in range(0, len(doomed), _BATCH):
                checkpoint()
                some = doomed[start : start + _BATCH]
                self._remote.store.delete(some)
                done += len(some)
                if self._progress is not None:
                    self._progress(Progress("deleting", done, 0, len(names) + len(removed), None, ""))
        except NoRightError as error:
            raise NoRightError(
                f"{len(names)} objects of {self._remote.store.url} were given up and stay, because these credentials "
                f"may not delete: {error.message}",
                hint="grant the right, or collect on a machine that has it; docs/remotes.md names the rights",
            ) from error
        report.deleted, report.deleted_bytes = len(names), self._holdings.bytes_of(due)
        report.removed = len(removed)

    def _removable(self) -> list[ObjectInfo]:
        """Return old checkpoints, and what probes have left."""
        now = store_time(self._remote) / _SECOND
        probes = [info for info in self._remote.store.list(PROBES) if 0 < info.modified < now - LEFT_SECONDS]
        return [*old_checkpoints(self._remote.store, now), *probes]

    # -- the whole -----------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Condemn, and delete."""
        log = self._remote.log
        log.prove()  # what is deleted is deleted for good: no checkpoint is believed
        log.check_writable()
        self._condemn()
        self._delete(self._due(), self._removable())

    def plan(self) -> None:
        """Count what `run` would do."""
        self._remote.log.check_writable()
        plan = self._plan(self._remote.state)
        self._count(plan)
        due = self._due()
        self._wait(plan.packs, store_time(self._remote) + WAIT_SECONDS * _SECOND)
        self.report.deleted, self.report.deleted_bytes = len(due), self._holdings.bytes_of(due)
        self.report.removed = len(self._removable())
