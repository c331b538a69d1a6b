"""Layered graphs from left to right, after Sugiyama, Tagawa and Toda (1981): layers, then the order within each.

Written here because the layout libraries that are packaged either need a program outside of Python or are no longer
maintained; lineage needs no more than this.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple
from xml.sax.saxutils import escape

from artfs.drawing.svg import drawing, element, fitted, plain, text_of

__all__ = ["Edge", "Node", "layered_graph", "layers_of"]

_BOX: Final = 170.0
_TALL: Final = 40.0
_ACROSS: Final = 240.0
_DOWN: Final = 56.0
_SWEEPS: Final = 8
_COLOURS: Final = {"version": "c1", "run": "c2"}


class Node(NamedTuple):
    """A box: a key that is unique, what is written in it, and where it leads; ``kind`` is version or run."""

    key: str
    name: str
    kind: str
    deleted: bool = False
    target: str | None = None


class Edge(NamedTuple):
    """An arrow between the nodes of two keys."""

    source: str
    target: str


def layered_graph(nodes: Sequence[Node], edges: Iterable[Edge], *, root: str, title: str, most: int = 200) -> str:
    """Return the graph with every arrow from left to right, but for those that close a circle.

    Of more than ``most`` nodes, those nearest to the node with the key ``root`` are drawn, and the others counted.
    Edges that lead to absent nodes are left out.
    """
    by_key = {node.key: node for node in nodes}
    known = sorted({edge for edge in edges if edge.source in by_key and edge.target in by_key})
    near = _nearest(list(by_key), known, root, most)
    drawn = [edge for edge in known if edge.source in near and edge.target in near and edge.source != edge.target]
    if not near:
        return ""
    rows = _ordered(layers_of(near, drawn), drawn)
    tallest = max(len(row) for row in rows)
    places = {
        key: (10 + layer * _ACROSS, 10 + (index + (tallest - len(row)) / 2) * _DOWN)
        for layer, row in enumerate(rows)
        for index, key in enumerate(row)
    }
    pieces = [_arrow(places[edge.source], places[edge.target]) for edge in drawn]
    pieces += [_box(by_key[key], places[key], key == root) for row in rows for key in row]
    height = 10 + tallest * _DOWN
    if len(near) < len(by_key):
        pieces.append(text_of(f"and {len(by_key) - len(near)} more", x=10, y=height + 12))
        height += 20
    names = ", ".join(by_key[key].name for row in rows for key in row[:10])
    return drawing(
        "".join(pieces),
        width=10 + (len(rows) - 1) * _ACROSS + _BOX + 10,
        height=height,
        title=title,
        description=f"{len(by_key)} versions and runs, {len(known)} relations: {names[:1000]}",
        has_links=any(by_key[key].target is not None for key in near),
    )


def _nearest(keys: Sequence[str], edges: Iterable[Edge], root: str, most: int) -> dict[str, None]:
    """Return the keys that are the fewest steps from the root, in that order, then the others."""
    beside = _neighbours(edges)
    found: dict[str, None] = {}
    for start in [*([root] if root in keys else []), *keys]:
        waiting = deque([start])
        while waiting and len(found) < most:
            key = waiting.popleft()
            if key not in found:
                found[key] = None
                waiting.extend(beside[key])
        if len(found) >= most:
            break
    return found


def _neighbours(edges: Iterable[Edge]) -> Mapping[str, list[str]]:
    beside: dict[str, list[str]] = defaultdict(list)
    for edge in edges:
        beside[edge.source].append(edge.target)
        beside[edge.target].append(edge.source)
    return beside


def layers_of(keys: Iterable[str], edges: Iterable[Edge]) -> list[list[str]]:
    """Return the keys in layers, each as far left as the nodes before it allow.

    An edge that closes a circle does not count: a run may use what it made.
    """
    after: dict[str, list[str]] = defaultdict(list)
    for edge in edges:
        after[edge.source].append(edge.target)
    finished = _finished(list(keys), after)
    rank = {key: index for index, key in enumerate(reversed(finished))}
    layer = dict.fromkeys(rank, 0)
    for key in rank:
        for target in after[key]:
            if rank[target] > rank[key]:
                layer[target] = max(layer[target], layer[key] + 1)
    rows: list[list[str]] = [[] for _ in range(max(layer.values(), default=-1) + 1)]
    for key in rank:
        rows[layer[key]].append(key)
    return rows


def _finished(keys: Sequence[str], after: Mapping[str, list[str]]) -> list[str]:
    """Return the keys in the order in which a search in depth leaves them; without recursion, for long chains."""
    entered: set[str] = set()
    finished: list[str] = []
    for start in keys:
        if start in entered:
            continue
        entered.add(start)
        path = [(start, iter(after.get(start, ())))]
        while path:
            key, targets = path[-1]
            target = next((each for each in targets if each not in entered), None)
            if target is None:
                finished.append(key)
                path.pop()
            else:
                entered.add(target)
                path.append((target, iter(after.get(target, ()))))
    return finished


def _ordered(rows: list[list[str]], edges: Iterable[Edge]) -> list[list[str]]:
    """Return the layers, each sorted by the mean place of the neighbours of its nodes, left to right and back."""
    beside = _neighbours(edges)
    places = {key: index - len(row) / 2 for row in rows for index, key in enumerate(row)}
    for sweep in range(_SWEEPS):
        for row in rows if sweep % 2 == 0 else reversed(rows):
            centre = {key: _mean([places[each] for each in beside[key]], places[key]) for key in row}
            row.sort(key=lambda key: (centre[key], places[key]))
            places.update({key: index - len(row) / 2 for index, key in enumerate(row)})
    return rows


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _arrow(source: tuple[float, float], target: tuple[float, float]) -> str:
    x, y = source[0] + _BOX, source[1] + _TALL / 2
    to_x, to_y = target[0], target[1] + _TALL / 2
    bend = max((to_x - x) / 2, 30.0)
    curve = f"M {x:.1f} {y:.1f} C {x + bend:.1f} {y:.1f} {to_x - bend:.1f} {to_y:.1f} {to_x - 5:.1f} {to_y:.1f}"
    tip = f"{to_x:.1f},{to_y:.1f} {to_x - 7:.1f},{to_y - 4:.1f} {to_x - 7:.1f},{to_y + 4:.1f}"
    return element("path", d=curve, fill="none", stroke_width=1.5, class_="l8") + element(
        "polygon", points=tip, class_="c8"
    )


def _box(node: Node, place: tuple[float, float], is_root: bool) -> str:
    x, y = place
    about = f"{node.kind}, deleted" if node.deleted else node.kind
    colour = "c8" if node.deleted else _COLOURS.get(node.kind, "c3")
    content = element("title", escape(f"{plain(node.name)}, {plain(about)}"))
    content += element(
        "rect", x=x, y=y, width=_BOX, height=_TALL, rx=6 if node.kind == "version" else 18,
        stroke_width=4 if is_root else None, class_=f"area {colour}{' l5' if is_root else ''}",
    )  # fmt: skip
    below = element("tspan", escape(plain(about)), x=x + 10, dy=15)
    content += element("text", escape(fitted(node.name, _BOX - 16)) + below, x=x + 10, y=y + 17)
    return element("g", content) if node.target is None else element("a", content, href=node.target)
