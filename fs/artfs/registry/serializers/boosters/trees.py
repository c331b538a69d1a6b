"""What must hold of the nodes of a tree before compiled code walks through them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from artfs.registry.serializers.errors import MalformedPayloadError, UntrustedError
from artfs.registry.serializers.libraries import require

__all__ = ["DEEPEST_TREE", "Checks", "check_children", "failing", "judging"]

DEEPEST_TREE: Final = 1000
"""Explanations of predictions walk through a tree by recursion, and take memory by the square of its depth."""

Checks = Callable[[bool, str], None]
"""Called with whether something holds and with what does not."""


def check_children(left: Any, right: Any, leaf: Any, check: Checks) -> None:
    """Check that nodes are one tree whose root is the first: each other node has one parent, which stands before it.

    *left* and *right* are arrays of the nodes' children, *leaf* says which nodes have none.
    """
    numpy = require("numpy", "a tree")
    count = len(left)
    inner = numpy.flatnonzero(~leaf)
    children = numpy.concatenate([left[inner], right[inner]])
    parents = numpy.concatenate([inner, inner])
    check(bool(((children > parents) & (children < count)).all()), "a child that is no later node of its tree")
    seen = numpy.bincount(children, minlength=count)
    check(bool(seen[0] == 0 and (seen[1:] == 1).all()), "a node that does not have one parent")
    depth = [0] * count
    for node, first, second in zip(inner.tolist(), left[inner].tolist(), right[inner].tolist(), strict=True):
        depth[first] = depth[second] = depth[node] + 1
    check(max(depth, default=0) <= DEEPEST_TREE, f"a tree deeper than {DEEPEST_TREE}")


def failing(label: str) -> Checks:
    """Return a check that raises `MalformedPayloadError` for what does not hold."""

    def check(holds: bool, what: str) -> None:
        if not holds:
            raise MalformedPayloadError(f"{label} is inconsistent: {what}")

    return check


def judging(label: str) -> Checks:
    """Return a check that raises `UntrustedError` for kinds of models of which it is not known what must hold."""

    def check(holds: bool, what: str) -> None:
        if not holds:
            raise UntrustedError(
                f"{label} is a model that is not validated: it has {what}",
                hint="examine where it comes from; 'artfs registry trust' signs it, trust=True loads it once",
            )

    return check
