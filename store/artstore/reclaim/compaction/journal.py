"""Rewrite the journal as the fewest events that lead to the present catalogue.

The new journal has, in this order:

- ``artifact`` events from the manifest: type, description, and the next numbers of each artifact;
- the remotes, and which artifacts track them;
- for each version that exists or can be undeleted, its events copied unchanged from the journal: creation, the last
  200 revisions (they are its history), last tags, its own expiry, purges, what it is in remotes, deletion;
- the aliases, the retention rules as last set, and runs and lineage as recorded in the manifest.

Of a version that has been reaped only the edges to versions made from it remain.  The numbers and the serial in the
``artifact`` events ensure that it does not reappear, and that its number is not reused.

The new journal is a new generation (`artstore.storage.journal` describes how the right one is found without a
manifest).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from artstore import beneath
from artstore.errors import DamageError
from artstore.names import version_label
from artstore.records.catalogue import ArtifactRecord, VersionRecord
from artstore.records.events import AliasEvent, ArtifactEvent, Event, decode
from artstore.records.journal_frames import encode_events
from artstore.records.tables import Table, number64
from artstore.rows import catalogue
from artstore.rows.history import History, read_provenance
from artstore.storage import disk, journal
from artstore.storage.manifest import ReadTransaction, WriteTransaction
from artstore.store import Store

__all__ = ["compact_journal", "remove_old_journals", "rewrite_journal"]

_BLOCK: Final = 4096
_RETIRED: Final = b"\0"


def compact_journal(store: Store) -> tuple[int, int]:
    """Rewrite the journal if that saves a block on disk; return its bytes (before, after).

    A process killed at any moment leaves one journal, or two with the same content.  Raises `DamageError` if journal
    and manifest disagree, and `OutOfSpaceError` as any writer does; nothing is changed then.
    """
    with store.snapshot() as snapshot:
        before = snapshot.transaction.counters()
        data = _rewritten(store, snapshot.transaction)
    if before.journal_end - len(data) < _BLOCK and not journal.others(store.path, before.journal_generation):
        return before.journal_end, before.journal_end
    with store.write() as transaction:
        state = transaction.state
        if (state.journal_generation, state.journal_end) != (before.journal_generation, before.journal_end):
            data = _rewritten(store, transaction)  # another process has appended to the journal
        length = state.journal_end
        if length - len(data) < _BLOCK:
            journal.remove_others(store.path, state.journal_generation)
            return length, length
        _replace(store, transaction, data)
    _remove_replaced(store)
    return length, len(data)


def rewrite_journal(store: Store, edit: Callable[[History], None]) -> None:
    """Rewrite the journal after ``edit`` has changed the past of its versions, but not their present state.

    The file of the journal before is removed.  Raises what `compact_journal` raises; nothing is changed then.
    """
    with store.write() as transaction:
        _replace(store, transaction, _rewritten(store, transaction, edit))
    _remove_replaced(store)


def _replace(store: Store, transaction: WriteTransaction, data: bytes) -> None:
    """Write the next generation of the journal, and acknowledge it in the transaction."""
    state = transaction.state
    old = journal.journal_path(store.path, state.journal_generation)
    state.journal_generation += 1
    state.journal_end = len(data)
    with disk.out_of_space(store.path, "the journal"):
        journal.remove_others(store.path, state.journal_generation - 1)
        new = journal.journal_path(store.path, state.journal_generation)
        disk.write_file(store.path, new, data, beneath.status(store.path, old).st_mode & 0o777)


def _remove_replaced(store: Store) -> None:
    with store.write() as transaction:
        journal.remove_others(store.path, transaction.state.journal_generation)


def remove_old_journals(store: Store) -> None:
    """Remove journals left by a process that was killed while rewriting, unless a later change has removed them."""
    with store.snapshot() as snapshot:
        generation = snapshot.transaction.counters().journal_generation
    if journal.others(store.path, generation):
        with store.write() as transaction:
            journal.remove_others(store.path, transaction.state.journal_generation)


def _rewritten(store: Store, transaction: ReadTransaction, edit: Callable[[History], None] | None = None) -> bytes:
    """Return the bytes of a new journal that leads to the same catalogue as the present one and the manifest."""
    history = _replay(store, transaction)
    if edit is not None:
        edit(history)
    artifacts = list(_artifacts(transaction))
    recorded = {
        (artifact.name, version.number): version
        for artifact in artifacts
        for version in catalogue.recorded_versions(transaction, artifact.number)
    }
    _compare(transaction, artifacts, recorded, history)
    next_serial = transaction.counters().next_serial
    events: list[Event] = [ArtifactEvent.of(artifact, next_serial) for artifact in artifacts]
    events += history.remotes.values()
    for artifact in artifacts:
        if artifact.name in history.artifacts:
            events += history.artifacts[artifact.name].tracks.values()
    for name, number in sorted(recorded, key=lambda place: recorded[place].serial):
        events += history.artifacts[name].versions[number].events()
    for (name, alias), number in sorted(history.aliases.items()):
        events.append(AliasEvent(name=name, alias=alias, version=number))
    if history.retention is not None:
        events.append(history.retention)
    events += read_provenance(transaction).events()
    return encode_events(events)


def _artifacts(transaction: ReadTransaction) -> Iterator[ArtifactRecord]:
    """Yield all artifacts by name, retired ones first."""
    for _, value in transaction.rows(Table.NAMES):
        record = catalogue.artifact(transaction, number64(value))
        if record is None:
            raise DamageError(f"the record of artifact number {number64(value)} is missing")
        if record.is_artifact:
            yield record


def _replay(store: Store, transaction: ReadTransaction) -> History:
    """Return the history that the acknowledged part of the journal records."""
    state = transaction.counters()
    path = journal.journal_path(store.path, state.journal_generation)
    history = History()
    try:
        for event in journal.replay(path, state.journal_end):
            history.apply(decode(event))
    except FileNotFoundError as error:
        raise DamageError(f"the journal of {store.path} is missing") from error
    except DamageError as error:
        raise DamageError(f"the journal of {store.path} contradicts itself: {error}") from error
    return history


def _compare(
    transaction: ReadTransaction,
    artifacts: list[ArtifactRecord],
    recorded: dict[tuple[str, int], VersionRecord],
    history: History,
) -> None:
    """Raise `DamageError` if the journal does not lead to the versions and aliases of the manifest."""
    for (name, number), version in recorded.items():
        replayed = history.version(name, number)
        if replayed is None or replayed.is_deleted != (version.state != "live"):
            raise DamageError(f"the journal and the manifest disagree on {name}:{version_label(number)}")
    aliases = {
        (artifact.name, alias.name): alias.version
        for artifact in artifacts
        for alias in catalogue.aliases_of(transaction, artifact.number)
    }
    if aliases != history.aliases:
        raise DamageError("the journal and the manifest disagree on the aliases")
