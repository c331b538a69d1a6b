"""Lineage as JSON."""

from __future__ import annotations

from artfs.documents.encoding import encode
from artfs.documents.lineage import LineageDocument, NeighboursItem
from artstore.queries.graph import Graph, GraphEdge, GraphNode
from fs.documents.shapes import check


def test_edges_name_their_nodes() -> None:
    nodes = [GraphNode("v1", "version", "x:v0", "live", None), GraphNode("r1", "run", "p/one", "finished", None)]
    document = encode(LineageDocument.of(Graph("v1", nodes, [GraphEdge("r1", "v1", "logged", 10**9, "")])))
    check(document)
    assert document["root"] == "x:v0"
    assert document["edges"][0] == {
        "source": "p/one",
        "target": "x:v0",
        "kind": "logged",
        "name": None,
        "created_at": "1970-01-01T00:00:01.000000Z",
    }


def test_relations_have_no_blanks() -> None:
    assert NeighboursItem.of({"made by": ["p/one"]}) == NeighboursItem(made_by=["p/one"])
