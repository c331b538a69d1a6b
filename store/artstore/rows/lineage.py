"""Lineage: which version was made from which, as edges between versions and runs.

An edge leads from a source to a result.  It is stored as two rows, so that it is found from both ends.  A deleted
version stays an end of its edges as long as a result of it exists: the origin of a result stays known after its source
is deleted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from artstore.errors import DamageError, NotFoundError
from artstore.names import version_label
from artstore.records.catalogue import EdgeRecord, VersionRecord
from artstore.records.events import EdgeEvent
from artstore.records.tables import Table, key64
from artstore.rows import catalogue, runs
from artstore.storage.manifest import ReadTransaction, WriteTransaction

__all__ = [
    "BASE",
    "INCLUDED",
    "LINKED",
    "LOGGED",
    "USED",
    "Edge",
    "End",
    "dependants",
    "edge_event",
    "edge_keys",
    "edges_from",
    "edges_to",
    "end_title",
    "forget_version",
    "parse_row",
    "put_edge",
    "run_end",
    "version_end",
]

USED: Final = "u"
"""From a version to a run that used it."""
LOGGED: Final = "l"
"""From a run to a version that it made."""
BASE: Final = "b"
"""From a version to one that was laid over it."""
INCLUDED: Final = "i"
"""From a version to one that has it, or a part of it, as a folder or file."""
LINKED: Final = "k"
"""From a version to one that shows it under another name."""

_KINDS: Final = frozenset((USED, LOGGED, BASE, INCLUDED, LINKED))
_AHEAD: Final = b">"
_BACK: Final = b"<"
_END: Final = 9
_ROW: Final = 2 * _END + 2


class End(NamedTuple):
    """An end of an edge: the version with a serial, or the run with a number."""

    kind: str
    number: int

    @property
    def is_version(self) -> bool:
        """Whether it is a version."""
        return self.kind == "v"

    @property
    def key(self) -> bytes:
        """The end as a part of a row's key."""
        return self.kind.encode() + key64(self.number)

    def __str__(self) -> str:
        return f"{self.kind}{self.number}"


class Edge(NamedTuple):
    """An edge; at most one of a kind leads from one end to another."""

    source: End
    kind: str
    target: End


def version_end(serial: int) -> End:
    """Return a version as an end."""
    return End("v", serial)


def run_end(number: int) -> End:
    """Return a run as an end."""
    return End("r", number)


def parse_row(key: bytes) -> tuple[bool, Edge]:
    """Return (whether the row leads ahead, its edge); raise `DamageError` for a key that is none."""
    ends = [End(chr(part[0]), int.from_bytes(part[1:], "big")) for part in (key[:_END], key[_END + 2 :]) if part]
    direction, kind = key[_END : _END + 1], key[_END + 1 : _END + 2].decode("latin-1")
    if len(key) != _ROW or direction not in (_AHEAD, _BACK) or kind not in _KINDS:
        raise DamageError(f"the row {key.hex()} of the table lineage is malformed")
    if not {end.kind for end in ends} <= {"v", "r"}:
        raise DamageError(f"the row {key.hex()} of the table lineage has an unknown source or target")
    first, second = ends
    return (True, Edge(first, kind, second)) if direction == _AHEAD else (False, Edge(second, kind, first))


def edge_keys(edge: Edge) -> tuple[bytes, bytes]:
    """Return the keys of an edge's two rows: ahead, and back."""
    kind = edge.kind.encode()
    return edge.source.key + _AHEAD + kind + edge.target.key, edge.target.key + _BACK + kind + edge.source.key


def edge_event(edge: Edge, record: EdgeRecord) -> EdgeEvent:
    """Return the journal's event for an edge that was made."""
    return EdgeEvent(source=str(edge.source), kind=edge.kind, target=str(edge.target), record=record)


def put_edge(transaction: WriteTransaction, edge: Edge, record: EdgeRecord) -> bool:
    """Record an edge, unless it is there; return whether it was not."""
    ahead, back = edge_keys(edge)
    if transaction.get(Table.LINEAGE, ahead) is not None:
        return False
    transaction.put(Table.LINEAGE, ahead, record.encode())
    transaction.put(Table.LINEAGE, back, b"")
    return True


def _remove_edge(transaction: WriteTransaction, edge: Edge) -> None:
    for key in edge_keys(edge):
        transaction.delete(Table.LINEAGE, key)


def edges_from(transaction: ReadTransaction, end: End) -> Iterator[tuple[Edge, EdgeRecord]]:
    """Yield the edges from an end to its results."""
    for key, payload in transaction.rows(Table.LINEAGE, end.key + _AHEAD):
        yield parse_row(key)[1], EdgeRecord.decode(payload)


def edges_to(transaction: ReadTransaction, end: End) -> Iterator[tuple[Edge, EdgeRecord]]:
    """Yield the edges from an end's sources."""
    for key, _ in transaction.rows(Table.LINEAGE, end.key + _BACK):
        edge = parse_row(key)[1]
        payload = transaction.get(Table.LINEAGE, edge_keys(edge)[0])
        if payload is None:
            raise DamageError(f"the lineage edge from {edge.source} to {edge.target} is recorded at one end only")
        yield edge, EdgeRecord.decode(payload)


def forget_version(transaction: WriteTransaction, serial: int) -> None:
    """Drop the edges of a deleted version without results, and of deleted sources that lose their last result."""
    waiting = [version_end(serial)]
    while waiting:
        end = waiting.pop()
        if next(edges_from(transaction, end), None) is not None:
            continue
        for edge, _ in list(edges_to(transaction, end)):
            _remove_edge(transaction, edge)
            above = edge.source
            if above.is_version and catalogue.recorded_version(transaction, above.number) is None:
                waiting.append(above)


def dependants(transaction: ReadTransaction, version: VersionRecord) -> list[tuple[VersionRecord, str]]:
    """Return the live versions that were made from a version, each with the relation.

    These include it, or show it under another name, or belong to other artifacts and were logged by a run that used it.
    A version based on it is complete without it, and the next version of the same artifact replaces it.
    """
    by_serial: dict[int, tuple[VersionRecord, str]] = {}
    for edge, record in edges_from(transaction, version_end(version.serial)):
        if edge.kind == BASE:
            continue
        if edge.kind == USED:
            made: Iterable[End] = (
                below.target
                for below, logged in edges_from(transaction, edge.target)
                if below.kind == LOGGED and logged.at_ns >= record.at_ns
            )
        else:
            made = (edge.target,)
        for end in made:
            dependant = catalogue.version(transaction, end.number)
            if dependant is None or dependant.serial == version.serial:
                continue
            if dependant.artifact == version.artifact and edge.kind == USED:
                continue
            by_serial.setdefault(dependant.serial, (dependant, _HOW[edge.kind]))
    return [by_serial[serial] for serial in sorted(by_serial)]


_HOW: Final = {USED: "was made from it", INCLUDED: "includes it", LINKED: "links to it"}


def end_title(transaction: ReadTransaction, end: End) -> str:
    """Return the current name of an end of an edge; raise `NotFoundError` if it is gone."""
    if end.is_version:
        version = catalogue.recorded_version(transaction, end.number)
        artifact = None if version is None else catalogue.artifact(transaction, version.artifact)
        if version is None or artifact is None:
            raise NotFoundError("an input version no longer exists")
        return f"{artifact.name}:{version_label(version.number)}"
    run = runs.run(transaction, end.number)
    if run is None:
        raise NotFoundError("the run no longer exists")
    return run.title
