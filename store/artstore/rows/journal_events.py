"""What the journal tells of runs and lineage: the rows as events, and the events as rows.

`Told` is what both lead to; an event is taken over whole, so that the last one of a kind is what holds.

    {"event": "run", "record": ...}                              a run's record, as it is by then
    {"event": "metrics", "run": 5, "block": 0, "data": ...}      a block of METRICS, in base64
    {"event": "edge", "from": "v3", "kind": "u", "to": "r5", "record": ...}
"""

from __future__ import annotations

import base64
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from artstore.records.catalogue import EdgeRecord, RunRecord
from artstore.records.events import Event, MetricsEvent, RunEvent
from artstore.records.tables import Table, key32, key64
from artstore.rows import runs
from artstore.rows.lineage import Edge, End, edge_event, edge_keys, parse_row
from artstore.storage.manifest import ReadTransaction, WriteTransaction

__all__ = ["EVENTS", "TABLES", "Told", "read_row", "told_of"]

EVENTS: Final = frozenset({"run", "metrics", "edge"})
TABLES: Final = (Table.RUNS, Table.RUN_IDS, Table.METRICS, Table.LINEAGE)


@dataclass
class Told:
    """Runs by number, blocks of what they logged, and edges."""

    runs: dict[int, RunRecord] = field(default_factory=dict)
    blocks: dict[tuple[int, int], bytes] = field(default_factory=dict)
    edges: dict[Edge, EdgeRecord] = field(default_factory=dict)

    def apply(self, event: Mapping[str, Any]) -> None:
        """Take one of `EVENTS` in; raise `ValueError`, `TypeError`, `KeyError` or `DamageError` for what cannot be."""
        match event["event"]:
            case "run":
                record = RunRecord.decode(json.dumps(event["record"]).encode())
                self.runs[record.number] = record
            case "metrics":
                self.blocks[int(event["run"]), int(event["block"])] = base64.b64decode(event["data"], validate=True)
            case "edge":
                edge = Edge(_end(event["from"]), event["kind"], _end(event["to"]))
                parse_row(edge.source.key + b">" + edge.kind.encode() + edge.target.key)
                self.edges.setdefault(edge, EdgeRecord.decode(json.dumps(event["record"]).encode()))

    def prune(self, recorded: Collection[int]) -> None:
        """Drop edges to versions that are not recorded and of which nothing came, as reaping does."""
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
        """Yield the events that lead to all this."""
        for number in sorted(self.runs):
            yield RunEvent(record=self.runs[number])
        for (number, block), data in sorted(self.blocks.items()):
            yield MetricsEvent(run=number, block=block, data=data)
        for edge in sorted(self.edges):
            yield edge_event(edge, self.edges[edge])

    def rows(self) -> dict[Table, dict[bytes, bytes]]:
        """Return the rows that all this is, by table and key."""
        found: dict[Table, dict[bytes, bytes]] = {table: {} for table in TABLES}
        for number, record in self.runs.items():
            found[Table.RUNS][key64(number)] = record.encode()
            found[Table.RUN_IDS][runs.id_key(record.project, record.id)] = key64(number)
        for (number, block), data in self.blocks.items():
            found[Table.METRICS][key64(number) + key32(block)] = data
        for edge, said in self.edges.items():
            ahead, back = edge_keys(edge)
            found[Table.LINEAGE].update({ahead: said.encode(), back: b""})
        return found

    def write(self, transaction: WriteTransaction) -> None:
        """Write all this into tables that have nothing of it."""
        for table, rows in self.rows().items():
            for key, payload in rows.items():
                transaction.put(table, key, payload)
        transaction.state.next_run = max([transaction.state.next_run, *(number + 1 for number in self.runs)])

    def differences(self, other: Told) -> Iterator[str]:
        """Yield what another says otherwise, a phrase each."""
        for number in sorted(self.runs.keys() | other.runs.keys()):
            if self.runs.get(number) != other.runs.get(number):
                yield f"the run {(self.runs.get(number) or other.runs[number]).title!r}"
        if self.blocks != other.blocks:
            yield "what runs have logged"
        for edge in sorted(self.edges.keys() ^ other.edges.keys()):
            yield f"the edge of lineage from {edge.source} to {edge.target}"
        for edge in sorted(self.edges.keys() & other.edges.keys()):
            if self.edges[edge] != other.edges[edge]:
                yield f"what is said of the edge of lineage from {edge.source} to {edge.target}"


def told_of(transaction: ReadTransaction) -> Told:
    """Return what the tables say; raise `DamageError` for a row that does not read."""
    told = Told()
    for table in TABLES:
        for key, payload in transaction.rows(table):
            read_row(told, table, key, payload)
    return told


def read_row(told: Told, table: Table, key: bytes, payload: bytes) -> None:
    """Take a row in; those that only lead to others say nothing.  Raises `DamageError` for one that does not read."""
    if table == Table.RUNS:
        told.runs[int.from_bytes(key, "big")] = RunRecord.decode(payload)
    elif table == Table.METRICS:
        told.blocks[int.from_bytes(key[:8], "big"), int.from_bytes(key[8:], "big")] = payload
    elif table == Table.LINEAGE:
        ahead, edge = parse_row(key)
        if ahead:
            told.edges[edge] = EdgeRecord.decode(payload)


def _end(text: str) -> End:
    return End(text[:1], int(text[1:]))
