"""Node numbers of what lies in a remote: the root of a version, a directory record, or the content of a file.

    bit 60       1: no node of the manifest has such a number
    bits 58-59   kind: 0 root, 1 record, 2 content
    bits 22-57   of a root the serial of the version, else the number of the span (`artstore.remotes.lazy.cache`)
    bits 0-21    of a record its number in the span, of content the row of its entry in the span

A reader resolves such a number through a `artstore.rows.lazy_source.LazySource`.  Nothing in the manifest refers to one
but the rows of VIEWS, so nothing counts, reaps or checks them.
"""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ["CONTENT", "LAZY", "MOST_ROWS", "MOST_SPANS", "RECORD", "ROOT", "LazyNode", "decode", "encode", "kind_of",
           "root_node"]  # fmt: skip

LAZY: Final = 1 << 60
"""Numbers from this one on are of nodes in remotes."""
ROOT: Final = 0
RECORD: Final = 1
CONTENT: Final = 2
_KIND_SHIFT: Final = 58
_SPAN_SHIFT: Final = 22
MOST_SPANS: Final = 1 << 36
MOST_ROWS: Final = 1 << _SPAN_SHIFT


class LazyNode(NamedTuple):
    """What a number stands for: ``span`` is the number of a span, or the serial of a version; ``row`` a place in it."""

    kind: int
    span: int
    row: int


def encode(kind: int, span: int, row: int) -> int:
    """Return the node number of a record, or of the content of an entry, of a span."""
    if not (0 <= span < MOST_SPANS and 0 <= row < MOST_ROWS):
        raise ValueError(f"row {row} of span {span} does not fit into a node number")
    return LAZY | kind << _KIND_SHIFT | span << _SPAN_SHIFT | row


def root_node(serial: int) -> int:
    """Return the node number of the root of the version with a serial."""
    return encode(ROOT, serial, 0)


def decode(node: int) -> LazyNode:
    """Return what a number from `LAZY` on stands for."""
    return LazyNode(node >> _KIND_SHIFT & 3, node >> _SPAN_SHIFT & (MOST_SPANS - 1), node & (MOST_ROWS - 1))


def kind_of(node: int) -> int:
    """Return the kind of what a number from `LAZY` on stands for."""
    return node >> _KIND_SHIFT & 3
