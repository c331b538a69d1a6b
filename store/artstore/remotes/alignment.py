"""Names and aliases of artifacts that a remote numbers: changes made here go to its log, those of others come here.

A change goes to the log with the state that it expects.  If another machine has changed the same alias or name since
this workspace was last aligned with the log, the log's state comes here, and a sentence says who changed what when.
What was last aligned is kept as the number of an entry, so nothing is recorded of each alias.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from artstore.changes.aliasing import rename
from artstore.changes.results import announce
from artstore.changes.tracking import update_remote
from artstore.daemon_requests import Change
from artstore.errors import ArtfsError
from artstore.names import parse_version_label, version_label
from artstore.records.catalogue import ArtifactRecord, VersionRecord
from artstore.records.events import AliasEvent
from artstore.records.remotes import PENDING, RemoteRecord
from artstore.remotes.connection import Connection
from artstore.remotes.descriptions import align_descriptions, was_moved_there
from artstore.remotes.entry_notes import EntryNotes
from artstore.remotes.log.appending import append
from artstore.remotes.log.entries import Transaction
from artstore.remotes.log.operations import Alias, Rename
from artstore.remotes.log.state import NEVER, ArtifactRow, Mark, State
from artstore.remotes.log.voids import who
from artstore.remotes.runs import align_runs
from artstore.rows import catalogue
from artstore.rows import remotes as rows
from artstore.storage import journal
from artstore.storage.manifest import ReadTransaction, WriteTransaction
from artstore.store import Store

__all__ = ["align"]

_TURNS: Final = 5


class _LocalAlias(NamedTuple):
    """An alias that has to name another version here, or (None) none."""

    artifact: int
    alias: str
    version: int | None


@dataclass(slots=True)
class _Plan:
    """What has to change there and here, and who changed what was changed here too."""

    there: list[Alias | Rename] = field(default_factory=list)
    aliases: list[_LocalAlias] = field(default_factory=list)
    names: list[tuple[str, str]] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)


def align(store: Store, remote: Connection, *, push: Collection[int] = ()) -> list[str]:
    """Bring names, aliases, descriptions and runs together; return a sentence for each change of another machine.

    An alias that was not changed here comes without a sentence.  Changes are taken from the log as far as it was read,
    for all artifacts that the remote numbers; those made here are sent for the artifacts ``push``, by their numbers.
    Raises the errors of the store and of the log.
    """
    lost: list[str] = []
    with store.snapshot() as snapshot:
        record = rows.all_remotes(snapshot.transaction).get(remote.uuid)
    if record is None:
        return lost
    for _ in range(_TURNS):
        plan = _Planning(store, remote, record, push).plan(remote.state)
        lost += [sentence for sentence in plan.lost if sentence not in lost]
        _apply(store, plan)
        if not plan.there:
            break
        voids = _send(store, remote, record, push)
        lost += [text for text in voids if text not in lost]
        if voids:
            break
    lost += align_descriptions(store, remote, record, push)
    lost += align_runs(store, remote, record, push)
    update_remote(store, remote.uuid, aligned=remote.state.number, aligned_ns=time.time_ns())
    return lost


def _send(store: Store, remote: Connection, record: RemoteRecord, push: Collection[int]) -> list[str]:
    """Write the changes made here to the log, as far as the log takes them; return why it did not take the others."""
    planning = _Planning(store, remote, record, push)

    def prepare(state: State) -> list[Transaction]:
        return [state.transaction(operation) for operation in planning.plan(state).there]

    appended = append(remote.log, remote.machine, prepare, EntryNotes(store, remote.uuid))
    return [] if appended.by_earlier_run else [void.text for void in appended.verdicts if void is not None]


def _apply(store: Store, plan: _Plan) -> None:
    """Change aliases and names here as the log has them."""
    changes: list[Change] = []
    if plan.aliases:
        with store.write() as transaction:
            for wanted in plan.aliases:
                changes += _set(store, transaction, wanted)
    for name, to in plan.names:
        try:
            rename(store, name, to)
        except ArtfsError as error:
            plan.lost.append(f"{name} cannot be renamed here as it was there: {error}")
    announce(store, changes)


def _set(store: Store, transaction: WriteTransaction, wanted: _LocalAlias) -> list[Change]:
    artifact = catalogue.artifact(transaction, wanted.artifact)
    if artifact is None:
        return []
    if wanted.version is None:
        if catalogue.remove_alias(transaction, wanted.artifact, wanted.alias) is None:
            return []
    elif catalogue.version_by_number(transaction, wanted.artifact, wanted.version) is None:
        return []
    else:
        catalogue.put_alias(transaction, wanted.artifact, wanted.alias, wanted.version, time.time_ns())
    event = AliasEvent(name=artifact.name, alias=wanted.alias, version=wanted.version)
    journal.append(store.path, transaction, [event])
    return [Change(artifact.name, [wanted.alias])]


class _Planning:
    """Compare the names and aliases here with those of a state of the log."""

    def __init__(self, store: Store, remote: Connection, record: RemoteRecord, push: Collection[int]) -> None:
        self._store = store
        self._remote = remote
        self._record = record
        self._push = push

    def plan(self, state: State) -> _Plan:
        """Return what has to change."""
        plan = _Plan()
        with self._store.snapshot() as snapshot:
            transaction = snapshot.transaction
            for number, uuid in rows.tracked_in(transaction, self._remote.uuid).items():
                artifact, there = catalogue.artifact(transaction, number), state.artifacts.get(uuid)
                if artifact is None or there is None or catalogue.find_name(transaction, artifact.name) is None:
                    continue
                if rows.home_of(transaction, number) == self._remote.uuid:
                    self._compare_names(state, plan, artifact, there)
                    self._compare_aliases(transaction, state, plan, artifact, there)
        return plan

    def _moved(self, mark: Mark) -> bool:
        return was_moved_there(self._remote, self._record, mark)

    def _compare_names(self, state: State, plan: _Plan, artifact: ArtifactRecord, there: ArtifactRow) -> None:
        if artifact.name == there.name:
            return
        if self._moved(there.named):
            plan.names.append((artifact.name, there.name))
            plan.lost.append(f"{artifact.name} is called {there.name} now, renamed {who(state, there.named)}")
        elif artifact.number in self._push:
            plan.there.append(Rename(there.uuid, there.name, artifact.name))

    def _compare_aliases(
        self, transaction: ReadTransaction, state: State, plan: _Plan, artifact: ArtifactRecord, there: ArtifactRow
    ) -> None:
        here = {
            alias.name: alias.version
            for alias in catalogue.aliases_of(transaction, artifact.number)
            if parse_version_label(alias.name) is None
        }
        theirs = {row.alias: row for row in state.aliases.values() if row.artifact == there.uuid}
        numbers = dict(self._numbers(transaction, artifact))
        local = {number: version.number for version, number in numbers.values() if number is not None}
        for alias in sorted(here.keys() | theirs.keys()):
            row = theirs.get(alias)
            wanted, mark = (None, NEVER) if row is None else (row.version, row.changed)
            mine = here.get(alias)
            number = None if mine is None or mine not in numbers else numbers[mine][1]
            if mine is not None and number == wanted and wanted is not None:
                continue
            if self._moved(mark):
                target = None if wanted is None else local.get(wanted)
                if mine != target:
                    plan.aliases.append(_LocalAlias(artifact.number, alias, target))
                is_pending_here = mine is not None and number is None
                if mine != target and (is_pending_here or self._changed_here(artifact, alias)):
                    now = "removed" if wanted is None else f"set to {version_label(wanted)}"
                    plan.lost.append(f"the alias {artifact.name}:{alias} was {now} {who(state, mark)}")
            elif artifact.number in self._push:
                is_removed = mine is None and wanted in local and self._changed_here(artifact, alias)
                if number is not None or (is_removed and wanted is not None):
                    plan.there.append(Alias(there.uuid, alias, wanted, number))

    def _numbers(
        self, transaction: ReadTransaction, artifact: ArtifactRecord
    ) -> Iterator[tuple[int, tuple[VersionRecord, int | None]]]:
        """Yield (number here, (version, its number there or None)) of the living versions."""
        for version in catalogue.versions_of(transaction, artifact.number):
            found = rows.counterparts_of(transaction, version.serial).get(self._remote.uuid)
            there = None if found is None or found.way == PENDING else found.number
            yield version.number, (version, there)

    def _changed_here(self, artifact: ArtifactRecord, alias: str) -> bool:
        """Return whether an alias was set or removed here since this workspace was last aligned."""
        return any(
            each["alias"] == alias and each["at_ns"] > self._record.aligned_ns for each in artifact.alias_history
        )
