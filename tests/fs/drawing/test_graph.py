"""Arrows lead from left to right, every node has its box, and large graphs are bounded."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from artfs.drawing.graph import Edge, Node, layered_graph, layers_of
from fs.drawing.shapes import NAMES, all_of, numbers, read, texts

KEYS = st.integers(0, 11)


@given(st.lists(st.tuples(KEYS, KEYS), max_size=40))
def test_arrows_lead_to_the_right(pairs: list[tuple[int, int]]) -> None:
    """In a graph without circles each edge leads to a later layer; with circles every node still has a place."""
    keys = [str(at) for at in range(12)]
    acyclic = [Edge(str(min(pair)), str(max(pair))) for pair in pairs if pair[0] != pair[1]]
    layer = {key: at for at, row in enumerate(layers_of(keys, acyclic)) for key in row}
    assert sorted(layer) == sorted(keys)
    assert all(layer[edge.source] < layer[edge.target] for edge in acyclic)
    rows = layers_of(keys, [Edge(str(a), str(b)) for a, b in pairs])
    assert sorted(key for row in rows for key in row) == sorted(keys)


@given(
    st.lists(st.builds(Node, NAMES, NAMES, st.sampled_from(["version", "run", "?"]), st.booleans(), st.none() | NAMES),
             max_size=12, unique_by=lambda node: node.key),
    st.lists(st.tuples(KEYS, KEYS), max_size=20),
    NAMES,
)  # fmt: skip
def test_any_graph_is_drawn(nodes: list[Node], pairs: list[tuple[int, int]], title: str) -> None:
    """Every node has a box, and no two boxes share a place; circles and edges of a node to itself do no harm."""
    if not nodes:
        assert layered_graph([], [], root="x", title=title) == ""
        return
    edges = [Edge(nodes[a % len(nodes)].key, nodes[b % len(nodes)].key) for a, b in pairs]
    root = read(layered_graph(nodes, [*edges, Edge("absent", nodes[0].key)], root=nodes[0].key, title=title))
    places = [tuple(numbers(box, "x", "y")) for box in all_of(root, "rect")]
    assert len(places) == len(set(places)) == len(nodes)
    assert len(all_of(root, "path")) == len({edge for edge in edges if edge.source != edge.target})


def test_a_chain_is_three_columns() -> None:
    nodes = [
        Node("d", "data:v0", "version"),
        Node("r", "p/run", "run", target="/run"),
        Node("m", "m:v0", "version", True),
    ]
    root = read(layered_graph(nodes, [Edge("d", "r"), Edge("r", "m")], root="r", title="Lineage"))
    assert [numbers(box, "x", "y") for box in all_of(root, "rect")] == [[10, 10], [250, 10], [490, 10]]
    assert texts(root) == ["data:v0version", "p/runrun", "m:v0version, deleted"]


def test_crossings_are_taken_out() -> None:
    """Two pairs whose targets stand in the other order are drawn without a crossing."""
    nodes = [Node(key, key, "version") for key in ("a", "b", "x", "y")]
    root = read(layered_graph(nodes, [Edge("a", "y"), Edge("b", "x")], root="a", title="t"))
    where = {"".join(each.itertext()).removesuffix("version"): numbers(each, "y") for each in all_of(root, "text")}
    assert (where["a"] < where["b"]) == (where["y"] < where["x"])


def test_large_graphs_show_what_is_near() -> None:
    """Of a chain of 5,000 the nodes around the root are drawn, and the others counted."""
    nodes = [Node(str(at), f"v{at}", "version") for at in range(5000)]
    edges = [Edge(str(at), str(at + 1)) for at in range(4999)]
    root = read(layered_graph(nodes, edges, root="2500", title="t", most=101))
    assert len(all_of(root, "rect")) == 101 and "and 4899 more" in texts(root)
    assert {"v2450version", "v2500version", "v2550version"} <= set(texts(root))
