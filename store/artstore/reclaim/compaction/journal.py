"""Writing the journal anew: the fewest events that lead to the catalogue as it is.

What is said of artifacts (type, description, the numbers that are given next) comes from the manifest, as events of
the kind ``artifact``, which come first.  What is said of versions is taken over word for word from the journal, for
those that are there or can be undeleted: the event that made one, what was last said of it, its last tags, its own end,
its purges, its deletion.  The aliases follow, the retention rules as they were last set, and runs and lineage as the
manifest has them.  Of a version that is gone nothing stays but the edges to what came of it; the numbers and the serial
in the ``artifact`` events see to it that it does not come back, and that what it was called by is not given again.

The new journal is a generation of its own (`artstore.storage.journal` says how one without a manifest finds the
right one).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from artstore.errors import DamageError
from artstore.records.catalogue import ArtifactRecord, VersionRecord
from artstore.records.events import AliasEvent, ArtifactEvent, Event, decode
from artstore.records.tables import Table
from artstore.rows import catalogue
from artstore.rows.history import History, read_provenance
from artstore.storage import disk, journal
from artstore.storage.manifest import ReadTransaction
from artstore.store import Store

__all__ = ["compact_journal", "remove_old_journals"]

_BLOCK: Final = 4096
_RETIRED: Final = b"\0"


def compact_journal(store: Store) -> tuple[int, int]:
    """Write the journal anew where that saves a block of the disk; return its bytes (before, after).

    Killed at any moment, it leaves one journal or two that say the same.  Raises `DamageError` where journal and
    manifest do not agree, and changes nothing then; `OutOfSpaceError` as any writer.
    """
    with store.snapshot() as snapshot:
        before = snapshot.transaction.counters()
        data = _rewritten(store, snapshot.transaction)
    if before.journal_end - len(data) < _BLOCK and not journal.others(store.path, before.journal_generation):
        return before.journal_end, before.journal_end
    with store.write() as transaction:
        state = transaction.state
        if (state.journal_generation, state.journal_end) != (before.journal_generation, before.journal_end):
            data = _rewritten(store, transaction)  # somebody has appended meanwhile
        length = state.journal_end
        if length - len(data) < _BLOCK:
            journal.remove_others(store.path, state.journal_generation)
            return length, length
        old = journal.journal_path(store.path, state.journal_generation)
        state.journal_generation += 1
        state.journal_end = len(data)
        with disk.out_of_space(store.path, "the journal"):
            journal.remove_others(store.path, state.journal_generation - 1)
            new = journal.journal_path(store.path, state.journal_generation)
            disk.write_file(new, data, old.stat().st_mode & 0o777)
    with store.write() as transaction:
        journal.remove_others(store.path, transaction.state.journal_generation)
    return length, len(data)


def remove_old_journals(store: Store) -> None:
    """Remove what a process that was killed while it wrote the journal anew has left, and no change has removed yet."""
    with store.snapshot() as snapshot:
        generation = snapshot.transaction.counters().journal_generation
    if journal.others(store.path, generation):
        with store.write() as transaction:
            journal.remove_others(store.path, transaction.state.journal_generation)


def _rewritten(store: Store, transaction: ReadTransaction) -> bytes:
    """Return the bytes of the journal that says what the present one and the manifest say."""
    history = _replay(store, transaction)
    artifacts = list(_artifacts(transaction))
    recorded = {
        (artifact.name, version.number): version
        for artifact in artifacts
        for version in catalogue.recorded_versions(transaction, artifact.number)
    }
    _compare(transaction, artifacts, recorded, history)
    next_serial = transaction.counters().next_serial
    events: list[Event] = [ArtifactEvent.of(artifact, next_serial) for artifact in artifacts]
    for name, number in sorted(recorded, key=lambda place: recorded[place].serial):
        events += history.artifacts[name].versions[number].events()
    for (name, alias), number in sorted(history.aliases.items()):
        events.append(AliasEvent(name=name, alias=alias, version=number))
    if history.retention is not None:
        events.append(history.retention)
    events += read_provenance(transaction).events()
    return journal.encode_events(events)


def _artifacts(transaction: ReadTransaction) -> Iterator[ArtifactRecord]:
    """Yield all artifacts by name, first those that are retired."""
    for _, value in transaction.rows(Table.NAMES):
        record = catalogue.artifact(transaction, int.from_bytes(value, "big"))
        if record is None:
            raise DamageError(f"the record of artifact number {int.from_bytes(value, 'big')} is missing")
        if record.is_artifact:
            yield record


def _replay(store: Store, transaction: ReadTransaction) -> History:
    """Return what the acknowledged part of the journal leads to."""
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
            raise DamageError(f"the journal does not tell of {name}:v{number} as it is")
    aliases = {
        (artifact.name, alias.name): alias.version
        for artifact in artifacts
        for alias in catalogue.aliases_of(transaction, artifact.number)
    }
    if aliases != history.aliases:
        raise DamageError("the journal does not tell of the aliases as they are")
