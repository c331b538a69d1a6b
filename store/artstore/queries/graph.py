"""The graph of lineage around a version or run, as it is shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from artstore.arguments import text
from artstore.errors import InvalidInputError
from artstore.queries.resolving import resolve_recorded
from artstore.queries.runs import run_by_title
from artstore.reclaim.leases import run_state
from artstore.records.catalogue import EdgeRecord
from artstore.rows import catalogue, lineage, runs
from artstore.rows.catalogue import label
from artstore.rows.lineage import Edge, End, edges_from, edges_to, run_end, version_end
from artstore.storage.manifest import ReadTransaction
from artstore.store import Store

__all__ = ["Graph", "GraphEdge", "GraphNode", "graph_around", "graph_of"]

_RUN: Final = "run:"
KINDS: Final = {
    lineage.USED: "used by",
    lineage.LOGGED: "logged",
    lineage.BASE: "base of",
    lineage.INCLUDED: "included in",
    lineage.LINKED: "linked as",
}


@dataclass(frozen=True, slots=True)
class GraphNode:
    """A version (``NAME:v3``) or a run (``PROJECT/ID``); ``state`` is ``live``, ``deleted``, ``gone``, or a run's."""

    key: str
    kind: str
    name: str
    state: str
    type: str | None


@dataclass(frozen=True, slots=True)
class GraphEdge:
    """An edge between two nodes, by their keys; ``name`` is a run's name for a version that it used."""

    source: str
    target: str
    kind: str
    at_ns: int
    name: str


@dataclass(frozen=True, slots=True)
class Graph:
    """All that a version or run came of, or that came of it; ``root`` is its key."""

    root: str
    nodes: list[GraphNode]
    edges: list[GraphEdge]

    def __repr__(self) -> str:
        name = next((node.name for node in self.nodes if node.key == self.root), self.root)
        return f"<Graph of {name}: {len(self.nodes)} nodes, {len(self.edges)} edges>"


def graph_of(store: Store, ref: str, *, up: bool = True, down: bool = True, depth: int | None = None) -> Graph:
    """Return the graph around a version, also a deleted one, or a run (``run:PROJECT/ID``)."""
    if text(ref, "a reference").startswith(_RUN):
        end = run_end(run_by_title(store, ref.removeprefix(_RUN)).number)
    else:
        version, path = resolve_recorded(store, ref)
        if path:
            raise InvalidInputError(f"{ref!r} names a path inside a version; lineage is that of whole versions")
        end = version_end(version.serial)
    return graph_around(store, end, up=up, down=down, depth=depth)


def graph_around(store: Store, root: End, *, up: bool = True, down: bool = True, depth: int | None = None) -> Graph:
    """Return the sources of ``root`` (``up``) and its results (``down``), in chronological order.

    ``depth`` limits the distance in edges.
    """
    with store.snapshot() as snapshot:
        transaction = snapshot.transaction
        edge_records: dict[Edge, EdgeRecord] = {}
        if up:
            edge_records.update(_walk(transaction, root, edges_to, lambda edge: edge.source, depth))
        if down:
            edge_records.update(_walk(transaction, root, edges_from, lambda edge: edge.target, depth))
        titles = {root: ""}
        for edge, record in edge_records.items():
            titles[edge.source], titles[edge.target] = record.source, record.target
        nodes = [_node(store, transaction, end, title) for end, title in titles.items()]
    edges = [
        GraphEdge(str(edge.source), str(edge.target), KINDS[edge.kind], record.at_ns, record.name)
        for edge, record in sorted(edge_records.items(), key=lambda item: item[1].at_ns)
    ]
    return Graph(str(root), nodes, edges)


def _walk(
    transaction: ReadTransaction,
    root: End,
    step: Callable[[ReadTransaction, End], Iterator[tuple[Edge, EdgeRecord]]],
    after: Callable[[Edge], End],
    depth: int | None,
) -> Iterator[tuple[Edge, EdgeRecord]]:
    seen = {root}
    waiting = [root]
    while waiting and depth != 0:
        depth = None if depth is None else depth - 1
        following: list[End] = []
        for here in waiting:
            for edge, record in step(transaction, here):
                yield edge, record
                end = after(edge)
                if end not in seen:
                    seen.add(end)
                    following.append(end)
        waiting = following


def _node(store: Store, transaction: ReadTransaction, end: End, title: str) -> GraphNode:
    if not end.is_version:
        run = runs.run(transaction, end.number)
        if run is None:
            return GraphNode(str(end), "run", title, "gone", None)
        return GraphNode(str(end), "run", run.title, run_state(store, run), run.job_type or None)
    version = catalogue.recorded_version(transaction, end.number)
    if version is None:
        return GraphNode(str(end), "version", title, "gone", None)
    artifact = catalogue.artifact(transaction, version.artifact)
    return GraphNode(
        str(end), "version", label(transaction, version), version.state, artifact.type if artifact else None
    )
