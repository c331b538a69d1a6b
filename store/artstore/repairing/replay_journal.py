"""Rebuilding the catalogue from the journal, and the journal from the catalogue."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from artstore import beneath
from artstore.checking.report import Report, message_of
from artstore.errors import DamageError, InvalidInputError
from artstore.names import version_label
from artstore.records.catalogue import ArtifactRecord, VersionRecord
from artstore.records.events import (
    AliasEvent,
    ArtifactEvent,
    DeleteEvent,
    Event,
    PurgeEvent,
    RetentionEvent,
    TagsEvent,
    TtlEvent,
    VersionEvent,
    decode,
)
from artstore.records.tables import Table
from artstore.retention.rules import Rule, Rules, check_rules, read_rules, write_rules
from artstore.rows import catalogue
from artstore.rows.history import ArtifactHistory, History, VersionHistory, read_provenance
from artstore.rows.nodes import tree_view
from artstore.rows.remotes import read_tracking
from artstore.storage import journal
from artstore.storage.manifest import ReadTransaction, WriteTransaction

__all__ = ["Recalled", "Root", "events_of", "read_journal", "write_catalogue"]


@dataclass
class Recalled:
    """A replayed journal; ``end`` is the offset after its last whole event; ``is_damaged`` if some are missing."""

    history: History = field(default_factory=lambda: History(check_rules))
    end: int = 0
    is_damaged: bool = False

    @property
    def living(self) -> list[tuple[str, int, VersionHistory]]:
        """The versions that were not deleted, as (name, number, version), in order of creation."""
        versions = [
            (name, number, version)
            for name, artifact in self.history.artifacts.items()
            for number, version in artifact.versions.items()
            if not version.is_deleted
        ]
        return sorted(versions, key=lambda item: item[2].made.serial)

    @property
    def has_purged(self) -> bool:
        """Whether content was purged from any version."""
        versions = (version for artifact in self.history.artifacts.values() for version in artifact.versions.values())
        return any(version.purged for version in versions)


@dataclass(frozen=True, slots=True)
class Root:
    """The node of a version's root, and the stored bytes that it needs and no earlier version needs."""

    node: int
    new_bytes: int


def read_journal(path: Path, report: Report) -> Recalled:
    """Replay the readable part of a journal without a manifest; unreadable parts go to the report.

    A torn tail is ignored: it was never acknowledged.  The last whole events may also belong to a transaction that
    never committed.  They are applied: the content of a version is synced before its event is written, so it exists,
    and whether a deletion was acknowledged is unknown.  Raises `DamageError` if there is nothing to replay.
    """
    recalled = Recalled()
    try:
        events = list(journal.salvage(path))
    except OSError as error:
        raise DamageError(
            f"the journal {path} cannot be read ({message_of(error)}), and it is the only list of the versions",
            hint="restore it from a backup, if there is one",
        ) from error
    while events and events[-1][1] is None:
        events.pop()
    names = beneath.names(path.parents[1], path.parent)
    # Such a file was kept by a rebuild that may not have come to its end.
    recalled.is_damaged = any(name.endswith(".damaged") for name in names)
    for end, event in events:
        if event is None:
            recalled.is_damaged = True
            report.add("journal", f"the journal {path} is unreadable before byte {end}: the events before it are lost")
        else:
            try:
                recalled.history.apply(decode(event))
            except DamageError as error:
                recalled.is_damaged = True
                report.add("journal", f"in the journal {path}, before byte {end}: {error}")
        recalled.end = end
    return recalled


def write_catalogue(
    transaction: WriteTransaction, history: History, roots: dict[tuple[str, int], Root], report: Report
) -> None:
    """Write names, artifacts, versions and aliases into an empty catalogue; ``roots`` has the existing versions.

    Former uses of a name are retired first, so that they do not conflict with the present one.
    """
    living = {name for name, _ in roots}
    state = transaction.state
    by_age = sorted(history.artifacts.items(), key=lambda item: (item[1].created_ns, item[0]))
    for name, artifact in by_age:
        if name not in living:
            record = _write_artifact(transaction, name, artifact)
            catalogue.retire(transaction, record)
    for name, artifact in by_age:
        if name not in living:
            continue
        try:
            record = _write_artifact(transaction, name, artifact)
        except InvalidInputError as error:
            report.add("catalogue", f"{name!r} cannot be restored: {error}")
            continue
        for number, version in sorted(artifact.versions.items()):
            root = roots.get((name, number))
            if root is not None:
                recorded = version_record(transaction, record.number, number, version, root)
                catalogue.put_version(transaction, recorded)
                state.versions += 1
                state.logical_bytes += recorded.bytes
        for alias, number in sorted(artifact.aliases.items()):
            if (name, number) in roots:
                catalogue.put_alias(
                    transaction, record.number, alias, number, artifact.versions[number].made.created_ns
                )
    if history.rules:
        write_rules(transaction, Rules(tuple(map(Rule.of, history.rules))))
    history.provenance.prune({history.artifacts[name].versions[number].made.serial for name, number in roots})
    history.provenance.write(transaction)
    _write_tracking(transaction, history)
    state.next_serial = max(state.next_serial, history.next_serial)


def _write_tracking(transaction: WriteTransaction, history: History) -> None:
    """Write remotes and what tracks them, for the artifacts and versions that were written."""
    artifacts = {
        record.name: number
        for number, payload in transaction.numbered_rows(Table.ARTIFACTS)
        if (record := ArtifactRecord.decode(payload)).is_artifact
    }
    versions = (VersionRecord.decode(payload) for _, payload in transaction.rows(Table.VERSIONS))
    owners = {version.serial: version.artifact for version in versions}
    tracking = history.tracking(artifacts).without_loose(set(artifacts.values()), owners)
    for table, rows in tracking.rows().items():
        for key, payload in rows.items():
            transaction.put(table, key, payload)


def _write_artifact(transaction: WriteTransaction, name: str, artifact: ArtifactHistory) -> ArtifactRecord:
    record = replace(
        catalogue.ensure_artifact(transaction, name, artifact.created_ns),
        type=artifact.type,
        description=artifact.description,
        next_version=artifact.next_version,
        next_pending=artifact.next_pending,
    )
    catalogue.put_artifact(transaction, record)
    return record


def version_record(
    transaction: ReadTransaction, artifact: int, number: int, version: VersionHistory, root: Root
) -> VersionRecord:
    """Return the record of a living version, from its history in the journal and its root."""
    view = tree_view(transaction, root.node)
    return VersionRecord(
        serial=version.made.serial,
        artifact=artifact,
        number=number,
        root=root.node,
        digest=bytes.fromhex(version.digest),
        form=bytes.fromhex(version.form),
        created_ns=version.made.created_ns,
        mtime_ns=version.made.mtime_ns,
        mode=version.made.mode,
        newest_ns=version.made.newest_ns,
        mount=version.mount,
        files=view.total_files,
        bytes=view.total_bytes,
        new_bytes=root.new_bytes,
        description=version.description,
        metadata=version.metadata,
        tags=version.tags,
        base=version.made.base,
        draft=version.made.draft,
        purged=version.purged,
        expires_ns=version.expires_ns,
        origin=version.made.origin or {},
        former=version.made.former,
    )


def events_of(transaction: ReadTransaction) -> Iterator[Event]:
    """Yield events that reproduce the present catalogue, for a journal that agrees with the manifest."""
    artifacts = {
        number: ArtifactRecord.decode(payload) for number, payload in transaction.numbered_rows(Table.ARTIFACTS)
    }
    next_serial = transaction.counters().next_serial
    if rules := read_rules(transaction).rules:
        yield RetentionEvent(rules=[rule.record() for rule in rules])
    for artifact in artifacts.values():
        if artifact.is_artifact:
            yield ArtifactEvent.of(artifact, next_serial)
    for _, payload in transaction.rows(Table.VERSIONS):
        version = VersionRecord.decode(payload)
        if version.artifact in artifacts:
            yield from _version_events(artifacts[version.artifact].name, version)
    for artifact in artifacts.values():
        for alias in catalogue.aliases_of(transaction, artifact.number):
            yield AliasEvent(name=artifact.name, alias=alias.name, version=alias.version)
    yield from read_provenance(transaction).events()
    names = {artifact.number: artifact.name for artifact in artifacts.values() if artifact.is_artifact}
    recorded = (VersionRecord.decode(payload) for _, payload in transaction.rows(Table.VERSIONS))
    versions = {one.serial: (names[one.artifact], one.number) for one in recorded if one.artifact in names}
    yield from read_tracking(transaction).events(names, versions)


def _version_events(name: str, version: VersionRecord) -> Iterator[Event]:
    number = version.number
    yield VersionEvent.of(name, version)
    if version.tags:
        yield TagsEvent(name=name, version=number, tags=version.tags)
    if version.expires_ns:
        yield TtlEvent(name=name, version=number, expires_ns=version.expires_ns)
    if version.purged:
        yield PurgeEvent(
            name=name,
            version=number,
            digest=version.digest.hex(),
            form=version.form.hex(),
            mount=version.mount,
            purged=version.purged,
        )
    if version.state != "live":
        yield DeleteEvent(
            name=name,
            version=number,
            serial=version.serial,
            due_ns=version.due_ns,
            aliases=version.released_aliases,
            reason=version.reason,
        )


def label(name: str, number: int) -> str:
    """Return ``NAME:vN``."""
    return f"{name}:{version_label(number)}"
