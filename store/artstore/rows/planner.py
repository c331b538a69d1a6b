"""Planning a deletion: the nodes that dropping references would free, without a change of the store.

The plan is made over a snapshot, with an overlay of the counts that would change.  It descends only below nodes whose
count reaches zero, so it takes time proportional to its result, however much is shared with live versions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from artstore.records.deadlist import DeadEntry
from artstore.rows import deadlist
from artstore.rows.nodes import CountOverlay, children_of, node_extent, node_payload
from artstore.storage.manifest import ReadTransaction

__all__ = ["Plan", "Release", "plan_after_backlog", "plan_release"]


class Release(NamedTuple):
    """A plan: the ``nodes`` to free, parents before their children, and the ``bytes`` of their stored forms."""

    nodes: list[int]
    bytes: int


class Plan:
    """A series of releases over one state of the store, each in the state that those before it would leave."""

    def __init__(self, transaction: ReadTransaction) -> None:
        self._counts = CountOverlay(transaction)

    def move_to(self, transaction: ReadTransaction) -> None:
        """Go on in another transaction, in which no node or count differs."""
        self._counts.transaction = transaction

    def release(self, roots: Sequence[int]) -> Release:
        """Return the nodes freed by dropping one reference to each of ``roots``; a root may be given several times.

        Raises `DamageError` if a count is too low or a record is unreadable: then nothing may be freed.
        """
        counts = self._counts
        nodes: list[int] = []
        size = 0
        stack = list(reversed(roots))
        while stack:
            node = stack.pop()
            if counts.drop(node):
                continue
            payload = node_payload(counts.transaction, node)
            nodes.append(node)
            size += node_extent(payload).stored
            stack.extend(reversed(children_of(payload)))
        return Release(nodes, size)

    def unique(self, *roots: int) -> int:
        """Return the bytes that `release` of roots would free, and release nothing."""
        release = self.release(roots)
        for root in roots:
            self._counts.restore(root)
        for node in release.nodes:
            for child in children_of(node_payload(self._counts.transaction, node)):
                self._counts.restore(child)
        return release.bytes

    def release_entries(self, entries: Iterable[DeadEntry]) -> int:
        """Return the bytes that would be freed if entries of the deadlist were reaped."""
        return sum(self.release(entry.nodes).bytes for entry in entries)


def plan_release(transaction: ReadTransaction, roots: Sequence[int]) -> Release:
    """Return the nodes freed by dropping one reference to each of ``roots``, while deleted versions keep theirs."""
    return Plan(transaction).release(roots)


def plan_after_backlog(transaction: ReadTransaction) -> tuple[Plan, int]:
    """Return a plan in which all of the deadlist has been released, and the bytes that this frees."""
    plan = Plan(transaction)
    return plan, plan.release_entries(deadlist.entries(transaction))
