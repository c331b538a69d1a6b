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
from dataclasses import dataclass, field
from typing import Any, Final

from artstore.errors import DamageError
from artstore.records.catalogue import ArtifactRecord, VersionRecord
from artstore.records.events import ArtifactEvent
from artstore.records.tables import Table
from artstore.rows import catalogue
from artstore.rows.journal_events import EVENTS, told_of
from artstore.storage import disk, journal
from artstore.storage.manifest import ReadTransaction
from artstore.store import Store

__all__ = ["compact_journal", "remove_old_journals"]

_BLOCK: Final = 4096
_RETIRED: Final = b"\0"

_Event = dict[str, Any]


@dataclass
class _Told:
    """What the journal says of one version: each a whole event."""

    made: _Event
    revision: _Event | None = None
    tags: _Event | None = None
    ttl: _Event | None = None
    purges: list[_Event] = field(default_factory=list)
    deleted: _Event | None = None

    def renamed(self, to: str) -> _Told:
        """Return the same of another name."""

        def about(event: _Event | None) -> _Event | None:
            return None if event is None else {**event, "name": to}

        return _Told(
            {**self.made, "name": to},
            about(self.revision),
            about(self.tags),
            about(self.ttl),
            [{**event, "name": to} for event in self.purges],
            about(self.deleted),
        )

    def events(self) -> list[_Event]:
        """Return the events that lead to the version as it is."""
        told = (self.made, self.revision, self.tags, self.ttl, *self.purges, self.deleted)
        return [event for event in told if event is not None]


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
    versions, aliases, rules = _fold(store, transaction)
    artifacts = list(_artifacts(transaction))
    recorded = {
        (artifact.name, version.number): version
        for artifact in artifacts
        for version in catalogue.recorded_versions(transaction, artifact.number)
    }
    _compare(transaction, artifacts, recorded, versions, aliases)
    next_serial = transaction.counters().next_serial
    events = [_artifact_event(artifact, next_serial) for artifact in artifacts]
    for place in sorted(recorded, key=lambda place: recorded[place].serial):
        events += versions[place].events()
    events += [aliases[place] for place in sorted(aliases)]
    events += [rules] if rules is not None else []
    events += [event.encode() for event in told_of(transaction).events()]
    return journal.encode_records(events)


def _artifacts(transaction: ReadTransaction) -> Iterator[ArtifactRecord]:
    """Yield all artifacts by name, first those that are retired."""
    for _, value in transaction.rows(Table.NAMES):
        record = catalogue.artifact(transaction, int.from_bytes(value, "big"))
        if record is None:
            raise DamageError(f"the record of artifact number {int.from_bytes(value, 'big')} is missing")
        if record.is_artifact:
            yield record


def _artifact_event(artifact: ArtifactRecord, next_serial: int) -> _Event:
    return ArtifactEvent.of(artifact, next_serial).encode()


def _fold(
    store: Store, transaction: ReadTransaction
) -> tuple[dict[tuple[str, int], _Told], dict[tuple[str, str], _Event], _Event | None]:
    """Return what the journal says of each version that was ever made, and the last word on aliases and rules."""
    state = transaction.counters()
    path = journal.journal_path(store.path, state.journal_generation)
    versions: dict[tuple[str, int], _Told] = {}
    aliases: dict[tuple[str, str], _Event] = {}
    rules: _Event | None = None
    try:
        for event in journal.replay(path, state.journal_end):
            if event["event"] == "retention":
                rules = event
            elif event["event"] not in EVENTS:
                _apply(event, versions, aliases)
    except FileNotFoundError as error:
        raise DamageError(f"the journal of {store.path} is missing") from error
    except (KeyError, TypeError) as error:
        raise DamageError(f"the journal of {store.path} contradicts itself: {error}") from error
    return versions, aliases, rules


def _apply(event: _Event, versions: dict[tuple[str, int], _Told], aliases: dict[tuple[str, str], _Event]) -> None:
    """Take one event in; one that cannot be raises `KeyError`."""
    kind, name = event["event"], event["name"]
    match kind:
        case "rename":
            _rename(name, event["to"], versions, aliases)
        case "version":
            versions[name, event["number"]] = _Told(event)
        case "tags":
            versions[name, event["version"]].tags = event
        case "revision":
            versions[name, event["version"]].revision = event
        case "ttl":
            versions[name, event["version"]].ttl = event
        case "purge":
            versions[name, event["version"]].purges.append(event)
        case "delete":
            versions[name, event["version"]].deleted = event
            for alias in event["aliases"]:
                aliases.pop((name, alias), None)
        case "undelete":
            versions[name, event["version"]].deleted = None
        case "alias" if event["version"] is None:
            aliases.pop((name, event["alias"]), None)
        case "alias":
            aliases[name, event["alias"]] = event
        case "artifact" | "type" | "description":
            pass  # the manifest says it
        case _:
            raise KeyError(kind)


def _rename(name: str, to: str, versions: dict[tuple[str, int], _Told], aliases: dict[tuple[str, str], _Event]) -> None:
    """Let all that was said of an artifact be said of another name, as if it had always been called so."""
    for owner, number in [place for place in versions if place[0] == name]:
        versions[to, number] = versions.pop((owner, number)).renamed(to)
    for owner, alias in [place for place in aliases if place[0] == name]:
        aliases[to, alias] = {**aliases.pop((owner, alias)), "name": to}


def _compare(
    transaction: ReadTransaction,
    artifacts: list[ArtifactRecord],
    recorded: dict[tuple[str, int], VersionRecord],
    versions: dict[tuple[str, int], _Told],
    aliases: dict[tuple[str, str], _Event],
) -> None:
    """Raise `DamageError` where the journal would not lead to what the manifest says."""
    for place, version in recorded.items():
        told = versions.get(place)
        if told is None or (told.deleted is None) != (version.state == "live"):
            raise DamageError(f"the journal does not tell of {place[0]}:v{place[1]} as it is")
    found = {
        (artifact.name, alias.name): alias.version
        for artifact in artifacts
        for alias in catalogue.aliases_of(transaction, artifact.number)
    }
    if found != {place: event["version"] for place, event in aliases.items()}:
        raise DamageError("the journal does not tell of the aliases as they are")
