"""Deleting and restoring versions that remotes have: entries of their logs first, then the copies of this workspace.

Guarantees:

- A version is deleted for all machines, or an error says why not and nothing has changed: the order of the log decides
  between a deletion and an alias, a link or a push of another machine.
- A call that stops in between is finished by the same call, or by the next ``artfs fetch``.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from artstore.changes import deleting as local
from artstore.changes import tracking
from artstore.changes.deleting import Cascade, Deletion, RemoteDeletion, Undeletion
from artstore.clock import utc
from artstore.errors import BusyError, InvalidInputError, InvalidNameError, NotFoundError, OutsideError, RefusedError
from artstore.names import parse_reference
from artstore.objects.failures import UnknownOutcomeError
from artstore.queries.resolving import version_of_reference
from artstore.records.catalogue import VersionRecord
from artstore.records.remotes import PENDING, Counterpart, RemoteRecord
from artstore.remotes.connecting import connect, note_position
from artstore.remotes.connection import Connection
from artstore.remotes.entry_notes import EntryNotes
from artstore.remotes.following import deleted_by
from artstore.remotes.log.appending import append
from artstore.remotes.log.entries import Transaction
from artstore.remotes.log.operations import ORPHANS_DEPENDANTS, RELEASES_ALIASES, Alias, Delete, Operation, Undelete
from artstore.remotes.log.state import DELETED, LIVE, State, VersionRow
from artstore.remotes.log.voids import Reason, Void
from artstore.remotes.showing import show
from artstore.rows import catalogue
from artstore.rows import remotes as rows
from artstore.rows.settings import read_settings
from artstore.rows.views import is_lazy
from artstore.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["delete", "delete_expired", "undelete"]

_TOGETHER: Final = 200
"""Versions that one transaction of the log deletes: all or none of them."""
_TURNS: Final = 20
_REASON: Final = 200
_CLOCKS_APART: Final = 300.0
_SECOND: Final = 10**9
_LOCAL: Final = "to delete only the copy here: artfs rm --local"


class _Target(NamedTuple):
    """A local version that a remote has, or may have: its name, its serial, and what it is there."""

    name: str
    serial: int
    there: Counterpart


class _Options(NamedTuple):
    force: bool
    now: bool
    cascade: Cascade
    reasons: Mapping[int, str]
    window_ns: int
    checks_clock: bool


def delete(
    store: Store,
    refs: Sequence[str],
    *,
    force: bool,
    now: bool,
    dry_run: bool,
    recursive: bool,
    cascade: Cascade = "no",
    reasons: Mapping[int, str] | None = None,
    checks_clock: bool = False,
) -> Deletion:
    """Delete versions here and in the remotes that have them; see `Workspace.delete`.

    With ``checks_clock`` this machine's clock must be that of each store, within five minutes.

    Raises `RefusedError` for what another machine has done meanwhile, naming who and when, and for a remote that is
    read-only; `OutsideError` and its kinds if a remote does not answer.
    """
    try:
        planned = local.delete(
            store, refs, force=force, now=now, dry_run=True, recursive=recursive, cascade=cascade, reasons=reasons
        )
    except NotFoundError:
        _refuse_shown(store, refs)
        raise
    targets = _tracked(store, planned.versions)
    with store.snapshot() as snapshot:
        window_ns = int(read_settings(snapshot.transaction).undelete_seconds * _SECOND)
        known = rows.all_remotes(snapshot.transaction)
    options = _Options(force, now, cascade, reasons or {}, window_ns, checks_clock)
    done = [_Deleting(store, uuid, known[uuid], some, options) for uuid, some in targets.items() if uuid in known]
    if dry_run:
        return replace(planned, remotes=[each.plan() for each in done])
    logged = [each.run() for each in done]
    told = dict(reasons or {})
    for each in done:
        told.update(each.reasons())
    deletion = local.delete(
        store, planned.versions, force=force, now=now, dry_run=False, recursive=False, cascade=cascade, reasons=told
    )
    for each in done:
        each.show()
    return replace(deletion, remotes=logged)


def _refuse_shown(store: Store, refs: Iterable[str]) -> None:
    """Raise `RefusedError` for a version that readers see, and of which there is no copy here."""
    for ref in refs:
        with suppress(NotFoundError, InvalidInputError, InvalidNameError):
            version = version_of_reference(store, ref)
            if is_lazy(version.record):
                raise RefusedError(
                    f"{version.name} is in a remote only, and this workspace deletes versions of which it has a copy",
                    hint=f"make it local first: artfs pull {version.name}",
                )


def delete_expired(store: Store, refs: Sequence[str], **options: Any) -> Deletion:
    """Delete versions that have expired by this machine's clock, which must be that of each store within 5 minutes."""
    return delete(store, refs, checks_clock=True, **options)


def _tracked(store: Store, names: Iterable[str]) -> dict[bytes, list[_Target]]:
    """Return the living local versions that each remote may have, by the remote's uuid."""
    found: dict[bytes, list[_Target]] = {}
    with store.snapshot() as snapshot:
        transaction = snapshot.transaction
        for name in names:
            version = _recorded(store, name)
            if version is not None:
                for uuid, there in rows.counterparts_of(transaction, version.serial).items():
                    found.setdefault(uuid, []).append(_Target(name, version.serial, there))
    return found


def _recorded(store: Store, name: str) -> VersionRecord | None:
    """Return the version ``NAME:v3``, living or deleted."""
    reference = parse_reference(name)
    with store.snapshot() as snapshot:
        transaction = snapshot.transaction
        artifact = catalogue.find_name(transaction, reference.name) or catalogue.find_retired(
            transaction, reference.name
        )
        if artifact is None or reference.version is None:
            return None
        return catalogue.recorded_by_number(transaction, artifact.number, reference.version)


@contextmanager
def _reached(record: RemoteRecord, name: str, hint: str) -> Iterator[None]:
    """Say in the error of a store that does not answer what was not done, and another way."""
    try:
        yield
    except UnknownOutcomeError:
        raise
    except OutsideError as error:
        raise type(error)(f"{name} is also in the remote {record.name!r}: {error.message}", hint=hint) from error


class _Deleting:
    """The deletion of some versions in one remote."""

    def __init__(
        self, store: Store, uuid: bytes, record: RemoteRecord, targets: list[_Target], options: _Options
    ) -> None:
        self._store = store
        self._record = record
        self._targets = targets
        self._options = options
        if record.read_only:
            raise RefusedError(
                f"{targets[0].name} is also in the remote {record.name!r}, which was added for reading only",
                hint=_LOCAL,
            )
        with _reached(record, targets[0].name, _LOCAL):
            self._remote = connect(store, uuid, record)
        self._check_clock()
        self._first = {row.uuid: self._obstacles(self._remote.state, row) for row in self._rows(self._remote.state)}
        self._deleted: list[str] = []

    def _check_clock(self) -> None:
        date = self._remote.store.date()
        apart = 0.0 if date is None else abs(date - time.time())
        if self._options.checks_clock and (date is None or apart > _CLOCKS_APART):
            raise RefusedError(
                f"this machine's clock and that of the remote {self._record.name!r} differ by {apart:,.0f} s, "
                "so nothing expires there",
                hint="correct the clock",
            )

    # -- what is to be deleted -----------------------------------------------------------------------------------------

    def _rows(self, state: State) -> list[VersionRow]:
        """Return the living versions to delete, those that were made from others before these."""
        found: dict[bytes, VersionRow] = {}
        waiting = [state.version_of(target.there.uuid) for target in self._targets]
        while waiting:
            row = waiting.pop()
            if row is not None and row.state == LIVE and row.uuid not in found:
                found[row.uuid] = row
                if self._options.cascade == "delete":
                    waiting += state.dependants(row)
        return sorted(found.values(), key=lambda row: row.place, reverse=True)

    @staticmethod
    def _obstacles(state: State, row: VersionRow) -> set[str]:
        """Return the aliases of a version, and the versions that were made from it."""
        aliases = {f"the alias {alias!r}" for alias in state.aliases_of(row.artifact, row.number)}
        return aliases | {state.title(other.artifact, other.number) for other in state.dependants(row)}

    def _check_first(self, state: State, row: VersionRow) -> None:
        """Raise `RefusedError` for what another machine added to a version after this call had looked at it."""
        new = self._obstacles(state, row) - self._first.get(row.uuid, set())
        if new and row.uuid in self._first and (self._options.force or self._options.cascade == "orphan"):
            title = state.title(row.artifact, row.number)
            raise RefusedError(f"nothing was deleted: {title} got {min(new)} meanwhile", hint="look, and run it again")

    # -- the log -------------------------------------------------------------------------------------------------------

    def run(self) -> RemoteDeletion:
        """Write the entries; return what was deleted."""
        remote, due_ns = self._remote, self._due_ns()
        notes = EntryNotes(self._store, remote.uuid)
        with _reached(self._record, self._targets[0].name, _LOCAL):
            for _ in range(_TURNS + len(self._targets) // _TOGETHER):
                appended = append(remote.log, remote.machine, lambda state: self._prepare(state, due_ns), notes)
                void = next((verdict for verdict in appended.verdicts if verdict is not None), None)
                if void is not None and appended.number is None:
                    raise _refusal(void)
                if not self._rows(remote.state):
                    break
            else:
                raise BusyError(f"others change {remote.store.url} all the time", hint="run it again later")
        note_position(self._store, remote)
        remote.publish()
        return RemoteDeletion(self._record.name, self._deleted, None if not due_ns else utc(due_ns))

    def _due_ns(self) -> int:
        """Return when the undelete window ends, by the store's clock; 0 for no window."""
        options, remote = self._options, self._remote
        if options.now or not options.window_ns:
            return 0
        date = remote.store.date()
        if date is None:
            raise RefusedError(
                f"{remote.store.url} does not tell the time, so no undelete window can begin",
                hint="pass its Date header through proxies, or delete without a window: artfs rm --now",
            )
        return max(remote.state.time_ns, int(date * _SECOND)) + options.window_ns

    def _prepare(self, state: State, due_ns: int) -> list[Transaction]:
        found = self._rows(state)[:_TOGETHER]
        for row in found:
            self._check_first(state, row)
        self._deleted = sorted({*self._deleted, *(state.title(row.artifact, row.number) for row in found)})
        serials = {target.there.uuid: target.serial for target in self._targets}
        flags = RELEASES_ALIASES * self._options.force | ORPHANS_DEPENDANTS * (self._options.cascade == "orphan")
        deletions = [
            Delete(
                row.artifact,
                row.number,
                state.artifacts[row.artifact].revision,
                due_ns,
                flags,
                self._options.reasons.get(serials.get(row.uuid, 0), "")[:_REASON],
            )
            for row in found
        ]
        return [state.transaction(*deletions)] if deletions else []

    def reasons(self) -> dict[int, str]:
        """Return, by serial, who has deleted each version."""
        state, found = self._remote.state, {}
        for target in self._targets:
            row = state.version_of(target.there.uuid)
            if row is not None and row.state != LIVE:
                found[target.serial] = deleted_by(state, row, self._record.name)
        return found

    def show(self) -> None:
        """Let readers see what is there, once the local copies are gone."""
        show(self._store, self._remote)

    def plan(self) -> RemoteDeletion:
        """Return what would be deleted, and the bytes that come back; raise what `run` would."""
        from artstore.remotes.holdings import Holdings

        state = self._remote.state
        due_ns = self._due_ns()
        found = self._rows(state)
        transaction = self._prepare(state, due_ns)
        void = _judged(self._remote, transaction)
        if void is not None:
            raise _refusal(void)
        freed = Holdings(self._remote).freed_by(found)
        return RemoteDeletion(self._record.name, self._deleted, None if not due_ns else utc(due_ns), freed)


def _judged(remote: Connection, transactions: Sequence[Transaction]) -> Void | None:
    """Return why transactions would be void, None if they would be accepted; the state stays."""
    from artstore.remotes.log.appending import verdicts_on

    return next((void for void in verdicts_on(remote.log, remote.machine, transactions) if void is not None), None)


def _refusal(void: Void) -> RefusedError:
    hints = {
        Reason.HAS_ALIASES: "--force deletes it anyway",
        Reason.HAS_DEPENDANTS: "--cascade also deletes those; --cascade=orphan keeps them without their inputs",
    }
    return RefusedError(
        f"nothing was deleted: {void.text}", hint=hints.get(void.reason, "see what is there: artfs fetch")
    )


# -- undelete ----------------------------------------------------------------------------------------------------------


def undelete(store: Store, refs: Sequence[str]) -> list[Undeletion]:
    """Restore deleted versions here and in the remotes that had deleted them; see `Workspace.undelete`.

    A version whose content a remote has given up is restored here only; the next push sends it as a new version.

    Raises what `artstore.changes.deleting.undelete` raises, and `OutsideError` and its kinds for a remote that does not
    answer.
    """
    with store.snapshot() as snapshot:
        known = rows.all_remotes(snapshot.transaction)
    targets: dict[bytes, list[_Target]] = {}
    for ref in dict.fromkeys(refs):
        version = _recorded(store, ref)
        if version is None or version.state == "live" or not version.reason:
            continue  # deleted here only, or an error that the local operation finds
        with store.snapshot() as snapshot:
            for uuid, there in rows.counterparts_of(snapshot.transaction, version.serial).items():
                if uuid in known and there.way != PENDING:
                    targets.setdefault(uuid, []).append(_Target(ref, version.serial, there))
    remotes = [_restore(store, uuid, known[uuid], some) for uuid, some in targets.items()]
    restored = local.undelete(store, refs)
    for remote in remotes:
        show(store, remote)
    return restored


def _restore(store: Store, uuid: bytes, record: RemoteRecord, targets: list[_Target]) -> Connection:
    if record.read_only:
        raise RefusedError(
            f"{targets[0].name} was deleted in the remote {record.name!r}, which was added for reading only",
            hint="restore it on a machine that may write to it",
        )
    with _reached(record, targets[0].name, "run it again when the remote answers"):
        remote = connect(store, uuid, record)
        _write_undeletes(store, remote, targets)
    note_position(store, remote)
    remote.publish()
    reaped = [each for each in targets if (row := remote.state.version_of(each.there.uuid)) and row.state != LIVE]
    with store.write() as transaction:
        for target in reaped:
            tracking.forget_counterpart(store, transaction, target.serial, uuid)
    return remote


def _write_undeletes(store: Store, remote: Connection, targets: list[_Target]) -> None:
    def wanted(state: State) -> list[VersionRow]:
        found = (state.version_of(target.there.uuid) for target in targets)
        return [row for row in found if row is not None and row.state == DELETED]

    def prepare(state: State) -> list[Transaction]:
        operations: list[Operation] = []
        for row in wanted(state)[:_TOGETHER]:
            operations.append(Undelete(row.artifact, row.number))
            for alias in row.released:
                there = state.aliases.get((row.artifact, alias))
                if there is None or there.version is None:
                    operations.append(Alias(row.artifact, alias, None, row.number))
        return [state.transaction(*operations)] if operations else []

    notes = EntryNotes(store, remote.uuid)
    for _ in range(_TURNS + len(targets) // _TOGETHER):
        if not wanted(remote.state):
            return
        appended = append(remote.log, remote.machine, prepare, notes)
        void = next((verdict for verdict in appended.verdicts if verdict is not None), None)
        if void is not None and appended.number is None and not void.is_stale:
            raise RefusedError(f"nothing was restored: {void.text}", hint="see what is there: artfs fetch")
    raise BusyError(f"others change {remote.store.url} all the time", hint="run it again later")
