"""The fold of the journal: the state of the catalogue that a sequence of events leads to.

Checking compares it with the tables, rebuild and repair write tables from it, and compaction writes the events that
are left of it.  Of each version it keeps the events themselves, so that compaction repeats them unchanged.  A new kind
of event needs one case here; the type checker reports a kind that has none.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, assert_never

from artstore.errors import DamageError
from artstore.metadata import equal_metadata
from artstore.names import PENDING, is_pending, version_label
from artstore.records.catalogue import EdgeRecord, RunRecord
from artstore.records.events import (
    AliasEvent,
    ArtifactEvent,
    CounterpartEvent,
    DeleteEvent,
    DescriptionEvent,
    EdgeEvent,
    Event,
    MetricsEvent,
    NumberEvent,
    PurgeEvent,
    RemoteEvent,
    RenameEvent,
    RetentionEvent,
    RevisionEvent,
    RunEvent,
    TagsEvent,
    TrackEvent,
    TtlEvent,
    TypeEvent,
    UndeleteEvent,
    VersionEvent,
)
from artstore.records.remotes import WAYS, Counterpart, RemoteRecord
from artstore.records.tables import Table, key32, key64
from artstore.rows import runs
from artstore.rows.lineage import Edge, End, edge_event, edge_keys, parse_row
from artstore.rows.remotes import Tracking
from artstore.storage.manifest import ReadTransaction, WriteTransaction

__all__ = ["PROVENANCE_TABLES", "ArtifactHistory", "History", "Provenance", "VersionHistory", "read_provenance"]

PROVENANCE_TABLES: Final = (Table.RUNS, Table.RUN_IDS, Table.METRICS, Table.LINEAGE)

_REVISIONS: Final = 200
"""Changes of a version's description and metadata that are kept."""

Rules = list[dict[str, Any]]
"""Retention rules as JSON objects: a higher layer interprets them."""


# -- versions and artifacts --------------------------------------------------------------------------------------------


@dataclass(slots=True)
class VersionHistory:
    """A version: the event that made it, the later events that still have an effect, and its last revisions."""

    made: VersionEvent
    revisions: list[RevisionEvent] = field(default_factory=list)
    tagging: TagsEvent | None = None
    ttl: TtlEvent | None = None
    purges: list[PurgeEvent] = field(default_factory=list)
    deletion: DeleteEvent | None = None
    counterparts: dict[str, CounterpartEvent] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """The digest in hex: after the last purge, if there was one."""
        return self.purges[-1].digest if self.purges else self.made.digest

    @property
    def form(self) -> str:
        """The root's form id in hex: after the last purge, if there was one."""
        return self.purges[-1].form if self.purges else self.made.form

    @property
    def mount(self) -> int:
        """The mount serial: of the last purge, if there was one."""
        return self.purges[-1].mount if self.purges else self.made.serial

    @property
    def _stated(self) -> VersionEvent | RevisionEvent:
        """The event with the present description and metadata."""
        return self.revisions[-1] if self.revisions else self.made

    @property
    def description(self) -> str:
        """The description that was last set."""
        return self._stated.description

    @property
    def metadata(self) -> dict[str, Any]:
        """The metadata that were last set."""
        return self._stated.metadata

    @property
    def tags(self) -> list[str]:
        """The tags that were last set."""
        return [] if self.tagging is None else self.tagging.tags

    @property
    def expires_ns(self) -> int:
        """When it expires, or 0."""
        return 0 if self.ttl is None else self.ttl.expires_ns

    @property
    def purged(self) -> list[dict[str, Any]]:
        """The content that was purged from it."""
        return [entry for event in self.purges for entry in event.purged]

    @property
    def is_deleted(self) -> bool:
        """Whether it is deleted."""
        return self.deletion is not None

    def revise(self, event: RevisionEvent) -> None:
        """Add a revision, and drop the oldest beyond the number that is kept."""
        self.revisions = [*self.revisions, event][-_REVISIONS:]

    def forget(self, *, metadata: Collection[str] = (), description: bool = False) -> None:
        """Remove metadata keys, or the descriptions, from all states before the present one."""
        if not self.revisions:
            return
        stated = self._stated

        def left(values: dict[str, Any]) -> dict[str, Any]:
            return {key: value for key, value in values.items() if key not in metadata}

        def text(earlier: str) -> str:
            return stated.description if description else earlier

        self.made = self.made.with_values(description=text(self.made.description), metadata=left(self.made.metadata))
        before: VersionEvent | RevisionEvent = self.made
        revisions = [
            event.with_values(description=text(event.description), metadata=left(event.metadata))
            for event in self.revisions[:-1]
        ]
        self.revisions, revisions = [], [*revisions, self.revisions[-1]]
        for event in revisions:
            if event.description != before.description or not equal_metadata(event.metadata, before.metadata):
                self.revisions.append(event)
            before = event

    def rename(self, name: str) -> None:
        """Change the name in all its events, as if the artifact had always been called so."""
        self.made = self.made.with_values(name=name)
        self._change(name=name)

    def renumber(self, number: int) -> None:
        """Change the number in all its events; the first keeps the old one."""
        self.made = self.made.with_values(number=number, former=self.made.number)
        self._change(version=number)

    def _change(self, **values: Any) -> None:
        """Change fields of all events but the first."""
        self.revisions = [event.with_values(**values) for event in self.revisions]
        self.tagging = self.tagging and self.tagging.with_values(**values)
        self.ttl = self.ttl and self.ttl.with_values(**values)
        self.purges = [event.with_values(**values) for event in self.purges]
        self.deletion = self.deletion and self.deletion.with_values(**values)
        self.counterparts = {remote: event.with_values(**values) for remote, event in self.counterparts.items()}

    def events(self) -> Iterator[Event]:
        """Yield the fewest events that lead to the version as it is, and its last revisions."""
        there = self.counterparts.values()
        for event in (self.made, *self.revisions, self.tagging, self.ttl, *self.purges, *there, self.deletion):
            if event is not None:
                yield event


@dataclass(slots=True)
class ArtifactHistory:
    """An artifact: versions by number, and the number of the version that each alias names."""

    type: str | None = None
    description: str = ""
    created_ns: int = 0
    next_version: int = 0
    next_pending: int = 0
    versions: dict[int, VersionHistory] = field(default_factory=dict)
    aliases: dict[str, int] = field(default_factory=dict)
    tracks: dict[str, TrackEvent] = field(default_factory=dict)

    def version(self, number: int) -> VersionHistory:
        """Return a version; raise `ValueError` if no event made it."""
        version = self.versions.get(number)
        if version is None:
            raise ValueError(f"{version_label(number)} was never created")
        return version

    def count(self, number: int) -> None:
        """Note that a number is taken."""
        if is_pending(number):
            self.next_pending = max(self.next_pending, number - PENDING + 1)
        else:
            self.next_version = max(self.next_version, number + 1)

    def renumber(self, before: int, number: int) -> None:
        """Give a version another number, and let its aliases follow."""
        version = self.version(before)
        if number in self.versions:
            raise ValueError(f"{version_label(number)} is another version")
        version.renumber(number)
        self.versions[number] = self.versions.pop(before)
        for alias, named in self.aliases.items():
            if named == before:
                self.aliases[alias] = number
        if is_pending(before):
            self.aliases[version_label(before)] = number
        self.count(number)

    def rename(self, name: str) -> None:
        """Change the name in all events."""
        for version in self.versions.values():
            version.rename(name)
        self.tracks = {remote: event.with_values(name=name) for remote, event in self.tracks.items()}


# -- runs and lineage --------------------------------------------------------------------------------------------------


@dataclass
class Provenance:
    """Runs by number, the blocks of metrics that they logged, and the edges of lineage."""

    runs: dict[int, RunRecord] = field(default_factory=dict)
    blocks: dict[tuple[int, int], bytes] = field(default_factory=dict)
    edges: dict[Edge, EdgeRecord] = field(default_factory=dict)

    def apply(self, event: RunEvent | MetricsEvent | EdgeEvent) -> None:
        """Apply an event; raise `DamageError` for an edge that no row can hold."""
        match event:
            case RunEvent():
                self.runs[event.record.number] = event.record
            case MetricsEvent():
                self.blocks[event.run, event.block] = event.data
            case EdgeEvent():
                edge = Edge(_end(event.source), event.kind, _end(event.target))
                parse_row(edge_keys(edge)[0])
                self.edges.setdefault(edge, event.record)
            case _:
                assert_never(event)

    def add_row(self, table: Table, key: bytes, payload: bytes) -> None:
        """Add a row; ignore the reverse row of an edge.  Raises `DamageError` for a malformed row."""
        if table == Table.RUNS:
            self.runs[int.from_bytes(key, "big")] = RunRecord.decode(payload)
        elif table == Table.METRICS:
            self.blocks[int.from_bytes(key[:8], "big"), int.from_bytes(key[8:], "big")] = payload
        elif table == Table.LINEAGE:
            is_ahead, edge = parse_row(key)
            if is_ahead:
                self.edges[edge] = EdgeRecord.decode(payload)

    def prune(self, recorded: Collection[int]) -> None:
        """Drop edges to versions without a record from which nothing was made, as reaping does."""
        while True:
            leading = {edge.source for edge in self.edges}
            loose = [
                edge
                for edge in self.edges
                if edge.target.is_version and edge.target.number not in recorded and edge.target not in leading
            ]
            if not loose:
                return
            for edge in loose:
                del self.edges[edge]

    def events(self) -> Iterator[Event]:
        """Yield the events that lead to this state."""
        for number in sorted(self.runs):
            yield RunEvent(record=self.runs[number])
        for (number, block), data in sorted(self.blocks.items()):
            yield MetricsEvent(run=number, block=block, data=data)
        for edge in sorted(self.edges):
            yield edge_event(edge, self.edges[edge])

    def rows(self) -> dict[Table, dict[bytes, bytes]]:
        """Return the rows of `PROVENANCE_TABLES` by table and key."""
        rows: dict[Table, dict[bytes, bytes]] = {table: {} for table in PROVENANCE_TABLES}
        for number, run in self.runs.items():
            rows[Table.RUNS][key64(number)] = run.encode()
            rows[Table.RUN_IDS][runs.id_key(run.project, run.id)] = key64(number)
        for (number, block), data in self.blocks.items():
            rows[Table.METRICS][key64(number) + key32(block)] = data
        for edge, record in self.edges.items():
            ahead, back = edge_keys(edge)
            rows[Table.LINEAGE].update({ahead: record.encode(), back: b""})
        return rows

    def write(self, transaction: WriteTransaction) -> None:
        """Write the rows into empty tables, and the next run's number."""
        for table, rows in self.rows().items():
            for key, payload in rows.items():
                transaction.put(table, key, payload)
        transaction.state.next_run = max([transaction.state.next_run, *(number + 1 for number in self.runs)])

    def differences(self, other: Provenance) -> Iterator[str]:
        """Yield each difference as a phrase."""
        for number in sorted(self.runs.keys() | other.runs.keys()):
            if self.runs.get(number) != other.runs.get(number):
                yield f"the run {(self.runs.get(number) or other.runs[number]).title!r}"
        if self.blocks != other.blocks:
            yield "the values that runs have logged"
        for edge in sorted(self.edges.keys() ^ other.edges.keys()):
            yield f"the lineage edge from {edge.source} to {edge.target}"
        for edge in sorted(self.edges.keys() & other.edges.keys()):
            if self.edges[edge] != other.edges[edge]:
                yield f"the record of the lineage edge from {edge.source} to {edge.target}"


def _end(text: str) -> End:
    return End(text[:1], int(text[1:]))


def read_provenance(transaction: ReadTransaction) -> Provenance:
    """Return runs, metrics and lineage from the tables; raise `DamageError` for a malformed row."""
    provenance = Provenance()
    for table in PROVENANCE_TABLES:
        for key, payload in transaction.rows(table):
            provenance.add_row(table, key, payload)
    return provenance


# -- the fold ----------------------------------------------------------------------------------------------------------


class History:
    """The catalogue that results from events: artifacts, rules, runs, lineage, remotes by uuid, and the next serial.

    ``check_rules`` returns retention rules in their normal form, or raises `ValueError` or `TypeError` if they are
    invalid; without it they are kept unchanged.
    """

    def __init__(self, check_rules: Callable[[Sequence[dict[str, Any]]], Rules] | None = None) -> None:
        self.artifacts: dict[str, ArtifactHistory] = {}
        self.retention: RetentionEvent | None = None
        self.provenance = Provenance()
        self.remotes: dict[str, RemoteEvent] = {}
        self.next_serial = 1
        self._check_rules = check_rules

    @property
    def rules(self) -> Rules:
        """The retention rules that were last set."""
        return [] if self.retention is None else self.retention.rules

    @property
    def aliases(self) -> dict[tuple[str, str], int]:
        """The number of the version that each alias names, by (artifact, alias)."""
        return {
            (name, alias): number
            for name, artifact in self.artifacts.items()
            for alias, number in artifact.aliases.items()
        }

    def version(self, name: str, number: int) -> VersionHistory | None:
        """Return a version that was made, deleted or not, by its artifact's present name."""
        artifact = self.artifacts.get(name)
        return None if artifact is None else artifact.versions.get(number)

    def version_by_serial(self, serial: int) -> VersionHistory:
        """Return a version that was made, deleted or not; raise `DamageError` if no event made it."""
        for artifact in self.artifacts.values():
            for version in artifact.versions.values():
                if version.made.serial == serial:
                    return version
        raise DamageError(f"the version with serial {serial} was never created")

    def tracking(self, numbers: Mapping[str, int]) -> Tracking:
        """Return remotes and what tracks them; ``numbers`` are those of the artifacts by name, others are left out."""
        tracking = Tracking()
        for uuid, event in self.remotes.items():
            anonymous = event.access == "anonymous"
            record = RemoteRecord(event.name or "", event.url, event.access != "write", event.added_ns, anonymous)
            tracking.remotes[bytes.fromhex(uuid)] = record
        ways = {word: way for way, word in WAYS.items()}
        for name, artifact in self.artifacts.items():
            if name not in numbers:
                continue
            for remote, track in artifact.tracks.items():
                tracking.artifacts[numbers[name], bytes.fromhex(remote)] = bytes.fromhex(track.artifact)
            for version in artifact.versions.values():
                for remote, there in version.counterparts.items():
                    counterpart = Counterpart(bytes.fromhex(there.uuid), there.number, ways[there.way])
                    tracking.versions[version.made.serial, bytes.fromhex(remote)] = counterpart
        return tracking

    def apply(self, event: Event) -> None:
        """Apply an event; raise `DamageError` for one that contradicts those before it."""
        try:
            self._apply(event)
        except (AttributeError, KeyError, TypeError, ValueError, DamageError) as error:
            reason = str(error) or type(error).__name__
            raise DamageError(f"invalid event {event.encode()}: {reason}") from error

    def _apply(self, event: Event) -> None:
        match event:
            case RetentionEvent():
                rules = event.rules if self._check_rules is None else self._check_rules(event.rules)
                self.retention = event.with_values(rules=rules)
            case RunEvent() | MetricsEvent() | EdgeEvent():
                self.provenance.apply(event)
            case RemoteEvent():
                self._apply_remote(event)
            case TrackEvent():
                self._known_remote(event.remote)
                self._artifact(event.name).tracks[event.remote] = event
            case RenameEvent():
                artifact = self.artifacts.pop(event.name, None)
                if artifact is None:
                    raise ValueError("the artifact was never created")
                artifact.rename(event.to)
                self.artifacts[event.to] = artifact
            case ArtifactEvent():
                artifact = self._artifact(event.name)
                artifact.type, artifact.description = event.type, event.description
                artifact.created_ns, artifact.next_version = event.created_ns, event.next_version
                artifact.next_pending = event.next_pending
                self.next_serial = max(self.next_serial, event.next_serial)
            case VersionEvent():
                artifact = self._artifact(event.name)
                artifact.versions[event.number] = VersionHistory(event)
                artifact.created_ns = artifact.created_ns or event.created_ns
                artifact.count(event.number)
                self.next_serial = max(self.next_serial, event.serial + 1)
            case NumberEvent():
                self._artifact(event.name).renumber(event.version, event.number)
            case TypeEvent():
                self._artifact(event.name).type = event.type
            case DescriptionEvent():
                self._artifact(event.name).description = event.description
            case AliasEvent():
                aliases = self._artifact(event.name).aliases
                if event.version is not None:
                    aliases[event.alias] = event.version
                elif aliases.pop(event.alias, None) is None:
                    raise ValueError("the alias does not exist")
            case _:
                if isinstance(event, PurgeEvent):
                    self.next_serial = max(self.next_serial, event.mount + 1)
                elif isinstance(event, CounterpartEvent):
                    self._known_remote(event.remote)
                _change_version(self._artifact(event.name), event)

    def _apply_remote(self, event: RemoteEvent) -> None:
        if event.name is not None:
            self.remotes[event.uuid] = event
            return
        self._known_remote(event.uuid)
        del self.remotes[event.uuid]
        for artifact in self.artifacts.values():
            artifact.tracks.pop(event.uuid, None)
            for version in artifact.versions.values():
                version.counterparts.pop(event.uuid, None)

    def _known_remote(self, uuid: str) -> None:
        if uuid not in self.remotes:
            raise ValueError(f"there is no remote {uuid}")

    def _artifact(self, name: str) -> ArtifactHistory:
        return self.artifacts.setdefault(name, ArtifactHistory())


def _change_version(
    artifact: ArtifactHistory,
    event: DeleteEvent | UndeleteEvent | RevisionEvent | TtlEvent | PurgeEvent | TagsEvent | CounterpartEvent,
) -> None:
    version = artifact.version(event.version)
    match event:
        case DeleteEvent():
            version.deletion = event
            for alias in [alias for alias, number in artifact.aliases.items() if number == event.version]:
                del artifact.aliases[alias]
        case UndeleteEvent():
            version.deletion = None
        case RevisionEvent():
            version.revise(event)
        case TtlEvent():
            version.ttl = event
        case PurgeEvent():
            version.purges.append(event)
        case TagsEvent():
            version.tagging = event
        case CounterpartEvent():
            version.counterparts[event.remote] = event
            if event.way == "none":
                del version.counterparts[event.remote]
        case _:
            assert_never(event)
