"""Runs of versions that a remote has: those made here go there with what they logged, those of others come here.

A run goes there when a version that it made is pushed, and again with a later push if it has gone on.  It comes here
when a version that it made is local.  A run is the same one everywhere (`artstore.remotes.run_records.run_uuid`).  Rows
that were logged here are never replaced by others: if a run went on at two machines, each keeps what it has.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from artstore.errors import DamageError
from artstore.ids import content_id
from artstore.objects.failures import ObjectMissingError
from artstore.reclaim.leases import run_state
from artstore.records.catalogue import EdgeRecord, RunRecord
from artstore.records.events import Event, MetricsEvent, RunEvent
from artstore.records.remotes import PENDING, ContentPlace, RemoteRecord
from artstore.records.tables import Table
from artstore.remotes.connection import Connection, span_of
from artstore.remotes.descriptions import was_moved_there
from artstore.remotes.entry_notes import EntryNotes
from artstore.remotes.log.appending import append
from artstore.remotes.log.entries import Transaction
from artstore.remotes.log.fields import Span
from artstore.remotes.log.operations import LOGGED, USED, Run
from artstore.remotes.log.operations import Edge as LogEdge
from artstore.remotes.log.state import RunRow, State
from artstore.remotes.log.voids import who
from artstore.remotes.packs.containers import RECORD
from artstore.remotes.packs.output import PackOutput
from artstore.remotes.packs.places import TREES, Pack
from artstore.remotes.packs.spans import compress
from artstore.remotes.run_records import RemoteRun, encode_run, is_left, read_form, read_run, run_key, run_uuid
from artstore.remotes.sending import Sending
from artstore.rows import catalogue, lineage, runs
from artstore.rows import remotes as rows
from artstore.rows.lineage import Edge, edge_event, edge_keys, end_title, run_end, version_end
from artstore.storage import journal
from artstore.storage.manifest import ReadTransaction, WriteTransaction
from artstore.store import Store

__all__ = ["align_runs"]

_TURNS: Final = 5
_EDGES: Final = 1000
"""Edges of a run that one operation adds: an entry holds twice as many."""
_PLACED: Final = ord("r")
"""The class of records and blocks of runs among the places that a workspace knows."""


class _Local(NamedTuple):
    """A run of this workspace as the remote would have it: its record there, its edges, the names of what it used."""

    uuid: bytes
    number: int
    record: RunRecord
    edges: tuple[LogEdge, ...]
    names: dict[bytes, str]

    @property
    def key(self) -> bytes:
        return run_key(self.record, self.names)


def align_runs(store: Store, remote: Connection, record: RemoteRecord, push: Collection[int]) -> list[str]:
    """Bring runs here and there together; return a sentence for each that stays as it is here, or cannot be read.

    Runs that made versions of the artifacts ``push``, by their numbers, are sent.  Raises the errors of the store and
    of the log.
    """
    told = _take_all(store, remote, record)
    for _ in range(_TURNS if push else 0):
        with store.snapshot() as snapshot:
            mine = list(_made(store, snapshot.transaction, remote, push))
        if not _send(store, remote, record, mine):
            break
    return told


# -- from here to there ------------------------------------------------------------------------------------------------


def _made(store: Store, transaction: ReadTransaction, remote: Connection, push: Collection[int]) -> Iterator[_Local]:
    """Yield the runs that made versions which the remote has, of some artifacts."""
    numbers: set[int] = set()
    for artifact in push:
        for version in catalogue.versions_of(transaction, artifact):
            if _uuid_there(transaction, remote, version.serial) is not None:
                edges = lineage.edges_to(transaction, version_end(version.serial))
                numbers |= {edge.source.number for edge, _ in edges if edge.kind == lineage.LOGGED}
    for number in sorted(numbers):
        found = runs.run(transaction, number)
        if found is not None:
            yield _local(store, transaction, remote, found)


def _uuid_there(transaction: ReadTransaction, remote: Connection, serial: int) -> bytes | None:
    """Return the uuid of a version in the remote, None if it is not there."""
    there = rows.counterparts_of(transaction, serial).get(remote.uuid)
    return None if there is None or remote.state.version_of(there.uuid) is None else there.uuid


def _local(store: Store, transaction: ReadTransaction, remote: Connection, record: RunRecord) -> _Local:
    end, edges, names = run_end(record.number), [], {}
    for edge, data in lineage.edges_to(transaction, end):
        uuid = _uuid_there(transaction, remote, edge.source.number)
        if uuid is not None:
            edges.append(LogEdge(USED, uuid, data.at_ns))
            names.update({uuid: data.name} if data.name else {})
    for edge, data in lineage.edges_from(transaction, end):
        uuid = _uuid_there(transaction, remote, edge.target.number)
        if uuid is not None:
            edges.append(LogEdge(LOGGED, uuid, data.at_ns))
    state = "failed" if run_state(store, record) == "crashed" else record.state
    shared = replace(record, number=0, pid=0, state=state)
    return _Local(run_uuid(record), record.number, shared, tuple(edges), names)


def _send(store: Store, remote: Connection, record: RemoteRecord, mine: Sequence[_Local]) -> bool:
    """Send what the remote lacks of runs, in one entry; return whether there was anything to send."""
    condemned = remote.condemned()
    operations: list[tuple[Run, tuple[Span, ...]]] = []
    with Sending(store, remote) as sending:
        output = PackOutput(sending)
        places: dict[bytes, Span] = {}
        for each in mine:
            row = remote.state.runs.get(each.uuid)
            known = _known(store, remote, each.key, condemned)
            is_same = row is not None and row.record is not None and _is_at(row.record, known)
            if row is not None and not is_same and was_moved_there(remote, record, row.changed):
                continue  # the log's state has come here, or the run went on at two machines
            missing = each.edges if row is None else tuple(edge for edge in each.edges if edge not in row.edges)
            if is_same and not missing:
                continue
            blocks: tuple[Span, ...] = ()
            span = row.record if is_same and row is not None else None
            if span is None:
                blocks = tuple(_blocks(store, remote, output, each, places, condemned))
                span = span_of(output.form(RECORD, encode_run(RemoteRun(each.record, blocks, each.names))))
                places[each.key] = span
            expected = 0 if row is None else row.changed.number
            operations.append((Run(each.uuid, each.record.title, expected, span, missing[:_EDGES]), (span, *blocks)))
        if places:
            output.finish()
    if not operations:
        return False
    _note_places(store, remote, places)
    _append(store, remote, operations)
    with store.write() as transaction:
        for added in output.added:
            rows.settle(transaction, remote.uuid, added.pack.folder, added.pack.id)
    return True


def _append(store: Store, remote: Connection, operations: Sequence[tuple[Run, tuple[Span, ...]]]) -> None:
    """Write operations to the log, but those whose objects were given up, and those of runs that were changed since."""

    def prepare(state: State) -> list[Transaction]:
        condemned = remote.condemned()
        return [
            state.transaction(run)
            for run, spans in operations
            if not condemned & {Pack(TREES, span.pack) for span in spans}
            and run.expected == (state.runs[run.run].changed.number if run.run in state.runs else 0)
        ]

    notes = EntryNotes(store, remote.uuid)
    while (appended := append(remote.log, remote.machine, prepare, notes)).verdicts:  # an entry holds some of many
        if appended.number is None:
            break


def _blocks(
    store: Store,
    remote: Connection,
    output: PackOutput,
    run: _Local,
    places: dict[bytes, Span],
    condemned: Collection[Pack],
) -> Iterator[Span]:
    """Yield the places of what a run logged; what the remote lacks goes into the output."""
    with store.snapshot() as snapshot:
        blocks = [data for _, data in runs.metric_blocks(snapshot.transaction, run.number)]
    for data in blocks[: run.record.blocks]:
        digest = content_id(compress(data))
        known = _known(store, remote, digest, condemned)
        if known is not None:
            yield Span(known.pack, known.offset, known.stored, digest)
            continue
        if digest not in places:
            places[digest] = span_of(output.form(RECORD, data))
        yield places[digest]


def _known(store: Store, remote: Connection, key: bytes, condemned: Collection[Pack]) -> ContentPlace | None:
    with store.snapshot() as snapshot:
        place = rows.find_place(snapshot.transaction, remote.uuid, _PLACED, key)
    return None if place is None or Pack(place.folder, place.pack) in condemned else place


def _is_at(span: Span, place: ContentPlace | None) -> bool:
    return place is not None and (span.pack, span.offset, span.length) == (place.pack, place.offset, place.stored)


def _note_places(store: Store, remote: Connection, places: dict[bytes, Span]) -> None:
    with store.write() as transaction:
        for key, span in places.items():
            place = ContentPlace(TREES, span.pack, span.offset, span.length)
            rows.put_place(transaction, remote.uuid, _PLACED, key, place)


# -- from there to here ------------------------------------------------------------------------------------------------


def _take_all(store: Store, remote: Connection, record: RemoteRecord) -> list[str]:
    """Bring the runs here that made versions which are local, with what is new of them."""
    told: list[str] = []
    with store.snapshot() as snapshot:
        known = rows.read_tracking(snapshot.transaction).versions
    local = {
        there.uuid: serial for (serial, uuid), there in known.items() if uuid == remote.uuid and there.way != PENDING
    }
    for row in list(remote.state.runs.values()):
        is_made_here = any(edge.kind == LOGGED and edge.version in local for edge in row.edges)
        if row.record is not None and is_made_here and is_left(remote.state, row):
            try:
                sentence = _Taking(store, remote, record, row, row.record, local).take()
            except (DamageError, ObjectMissingError) as error:  # versions are exchanged without it
                sentence = f"the run {row.name} cannot be read: {error.message}"
            told += [] if sentence is None else [sentence]
    return told


class _Taking:
    """One run of the log on its way here."""

    def __init__(
        self,
        store: Store,
        remote: Connection,
        record: RemoteRecord,
        row: RunRow,
        span: Span,
        local: dict[bytes, int],
    ) -> None:
        self._store, self._remote, self._record = store, remote, record
        self._row, self._span, self._local = row, span, local
        project, _, ident = row.name.rpartition("/")
        with store.snapshot() as snapshot:
            self._here = runs.find_run(snapshot.transaction, project, ident)
            self._is_lacking = self._here is None or any(
                snapshot.transaction.get(Table.LINEAGE, edge_keys(edge)[0]) is None
                for edge, _ in self._edges(self._here.number)
            )
            self._mine = None if self._here is None else _local(store, snapshot.transaction, remote, self._here)

    def take(self) -> str | None:
        """Record what is new; return a sentence if another run has that name, or the run went on here, too."""
        here, row = self._here, self._row
        is_moved = was_moved_there(self._remote, self._record, row.changed)
        if here is not None and run_uuid(here) != row.run:
            return self._kept("this workspace has another run of that name") if is_moved else None
        is_same = self._mine is not None and _is_at(self._span, _known(self._store, self._remote, self._mine.key, ()))
        if here is not None and (is_same or not is_moved) and not self._is_lacking:
            return None
        there = read_run(self._remote, row.name, self._span)
        if (there.record.project, there.record.id) != tuple(row.name.rpartition("/")[::2]):
            raise DamageError(f"the record of the run {row.name} in {self._remote.store.url} is of another run")
        blocks = self._own_blocks()
        hashes = [span.hash for span in there.blocks]
        is_ahead = blocks != hashes[: len(blocks)]
        is_taken = here is None or (is_moved and not is_same and not is_ahead)
        data = [read_form(self._remote, row.name, span) for span in there.blocks[len(blocks) :]] if is_taken else []
        for block in data:
            runs.unpack_rows(block)
        self._write(there, len(blocks), data, is_taken=is_taken)
        if is_moved and not is_same and is_ahead:
            return self._kept("it went on here, too, and stays as it is here")
        return None

    def _own_blocks(self) -> list[bytes]:
        """Return the hashes that the blocks of the run here have, or would have, in the remote."""
        if self._here is None:
            return []
        with self._store.snapshot() as snapshot:
            blocks = runs.metric_blocks(snapshot.transaction, self._here.number)
            return [content_id(compress(data)) for _, data in blocks]

    def _kept(self, why: str) -> str:
        return f"the run {self._row.name} was changed {who(self._remote.state, self._row.changed)}: {why}"

    def _edges(self, number: int) -> Iterator[tuple[Edge, LogEdge]]:
        """Yield the edges of the log whose versions are local, as edges of a run here."""
        for edge in self._row.edges:
            serial = self._local.get(edge.version)
            if serial is not None and edge.kind == USED:
                yield Edge(version_end(serial), lineage.USED, run_end(number)), edge
            elif serial is not None:
                yield Edge(run_end(number), lineage.LOGGED, version_end(serial)), edge

    def _write(self, there: RemoteRun, first: int, blocks: Sequence[bytes], *, is_taken: bool) -> None:
        """Record a run, its blocks from ``first`` on and its edges in one transaction."""
        events: list[Event] = []
        with self._store.write() as transaction:
            state = transaction.state
            current = runs.find_run(transaction, there.record.project, there.record.id)
            if current != self._here:
                return  # it goes on here meanwhile: the next alignment looks again
            number = state.next_run if current is None else current.number
            if is_taken:
                state.next_run = max(state.next_run, number + 1)
                taken = replace(there.record, number=number)
                runs.put_run(transaction, taken)
                events.append(RunEvent(record=taken))
                for block, data in enumerate(blocks, first):
                    runs.put_block(transaction, number, block, data)
                    events.append(MetricsEvent(run=number, block=block, data=data))
                self._note(transaction, there)
            events += self._linked(transaction, number, there)
            if events:
                journal.append(self._store.path, transaction, events)

    def _linked(self, transaction: WriteTransaction, number: int, there: RemoteRun) -> Iterator[Event]:
        for edge, known in self._edges(number):
            end = edge.source if edge.source.is_version else edge.target
            if catalogue.recorded_version(transaction, end.number) is None:
                continue
            titles = end_title(transaction, edge.source), end_title(transaction, edge.target)
            record = EdgeRecord(known.at_ns, *titles, there.names.get(known.version, "") if known.kind == USED else "")
            if lineage.put_edge(transaction, edge, record):
                yield edge_event(edge, record)

    def _note(self, transaction: WriteTransaction, there: RemoteRun) -> None:
        """Note where the record and the blocks lie, so that they are neither sent nor read again."""
        placed = [(span.hash, span) for span in there.blocks]
        placed.append((run_key(there.record, there.names), self._span))
        for key, span in placed:
            place = ContentPlace(TREES, span.pack, span.offset, span.length)
            rows.put_place(transaction, self._remote.uuid, _PLACED, key, place)
