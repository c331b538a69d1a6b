"""Planning a deletion: what would be freed if references went, without changing anything.

The plan is made over a snapshot, with an overlay of the counts that would change.  It descends only where a count
reaches zero, so it costs time in proportion to its answer, however much is shared with what stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from artstore.errors import DamageError
from artstore.manifest import ReadTransaction
from artstore.nodes import COUNT_BLOCK, children_of, node_extent, node_payload, read_counts

__all__ = ["Release", "plan_release"]


class Release(NamedTuple):
    """What would be freed: ``nodes``, parents before their children, and the ``bytes`` of their stored forms."""

    nodes: list[int]
    bytes: int


class _Counts:
    """The reference counts of a snapshot, and what a plan has taken off them."""

    def __init__(self, transaction: ReadTransaction) -> None:
        self._transaction = transaction
        self._blocks: dict[int, list[int]] = {}

    def drop(self, node: int) -> int:
        """Take one reference off a node; return how many are left."""
        block, index = divmod(node, COUNT_BLOCK)
        counts = self._blocks.get(block)
        if counts is None:
            counts = self._blocks[block] = read_counts(self._transaction, block)
        if not counts[index]:
            raise DamageError(f"node {node} has fewer references than others make to it")
        counts[index] -= 1
        return counts[index]


def plan_release(transaction: ReadTransaction, roots: Sequence[int]) -> Release:
    """Return what would be freed if one reference to each of ``roots`` went; a root may be given several times.

    Raises `DamageError` where a count is too low or a record does not read: then nothing may be freed.
    """
    counts = _Counts(transaction)
    nodes: list[int] = []
    size = 0
    stack = list(reversed(roots))
    while stack:
        node = stack.pop()
        if counts.drop(node):
            continue
        payload = node_payload(transaction, node)
        nodes.append(node)
        size += node_extent(payload).stored
        stack.extend(reversed(children_of(payload)))
    return Release(nodes, size)
