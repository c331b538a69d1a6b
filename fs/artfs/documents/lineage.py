"""Documents about lineage: which versions and runs a version was made from, and what was made from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar

from artfs.documents.encoding import Document, Record, from_nanoseconds, omittable

if TYPE_CHECKING:
    from artstore.queries.graph import Graph

__all__ = ["EdgeItem", "LineageDocument", "NeighboursItem", "NodeItem"]


@dataclass(frozen=True, slots=True)
class NeighboursItem(Record):
    """The names of the versions and runs that are one step away, by relation; a relation without any is left out."""

    used_by: Sequence[str] | None = omittable()
    used: Sequence[str] | None = omittable()
    logged: Sequence[str] | None = omittable()
    made_by: Sequence[str] | None = omittable()
    base_of: Sequence[str] | None = omittable()
    based_on: Sequence[str] | None = omittable()
    included_in: Sequence[str] | None = omittable()
    includes: Sequence[str] | None = omittable()
    linked_as: Sequence[str] | None = omittable()
    link_to: Sequence[str] | None = omittable()

    @classmethod
    def of(cls, neighbours: Mapping[str, Sequence[str]]) -> NeighboursItem:
        """Return the item of names by relation, such as ``used by``."""
        return cls(**{relation.replace(" ", "_"): names for relation, names in neighbours.items()})


@dataclass(frozen=True, slots=True)
class NodeItem(Record):
    """A version (``NAME:v3``) or a run (``PROJECT/ID``): ``kind`` says which."""

    name: str
    kind: str
    type: str | None
    state: str


@dataclass(frozen=True, slots=True)
class EdgeItem(Record):
    """A relation of two nodes; ``name`` is what a run called a version that it used, else null."""

    source: str
    target: str
    kind: str
    name: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class LineageDocument(Document):
    """The graph around the version or run ``root`` (``artfs lineage``)."""

    schema: ClassVar[str] = "artfs.lineage/1"
    root: str
    nodes: Sequence[NodeItem]
    edges: Sequence[EdgeItem]

    @classmethod
    def of(cls, graph: Graph) -> LineageDocument:
        """Return the document of a graph."""
        names = {node.key: node.name for node in graph.nodes}
        edges = [
            EdgeItem(
                source=names[edge.source],
                target=names[edge.target],
                kind=edge.kind,
                name=edge.name or None,
                created_at=from_nanoseconds(edge.at_ns),
            )
            for edge in graph.edges
        ]
        return cls(names[graph.root], [NodeItem.from_attributes(node) for node in graph.nodes], edges)
