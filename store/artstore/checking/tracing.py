"""Tracing damaged nodes to the files and versions that they affect.

Runs only if there is damage.  A pass over the records, in the order of numbers, finds all nodes that lead to a damaged
one; then versions are walked along these nodes only.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from artstore.checking.check_names import Names
from artstore.checking.report import Problem
from artstore.errors import DamageError
from artstore.records.catalogue import VersionRecord
from artstore.records.nodes import KIND_CHUNK
from artstore.records.seal import unseal_numbered
from artstore.records.tables import Table
from artstore.records.trees import Kind
from artstore.rows.nodes import children_of, tree_view
from artstore.storage.manifest import ReadTransaction

__all__ = ["MOST_TRACED", "Touched", "trace"]

MOST_TRACED: Final = 1000
"""Groups of damaged nodes that are traced, and files and versions that are listed for each."""


@dataclass
class Touched:
    """What damaged nodes touch; see `artstore.checking.report.Problem`.  ``more`` versions are not listed."""

    files: list[str] = field(default_factory=list)
    versions: list[str] = field(default_factory=list)
    more: int = 0

    def problem(self, kind: str, sentence: str, chunk: str | None = None, node: int = 0) -> Problem:
        """Return a problem with the files and versions that it touches."""
        if self.more:
            sentence += f" (in {self.more} more versions)"
        return Problem(kind, sentence, chunk, self.files, self.versions, node)


def trace(
    transaction: ReadTransaction,
    groups: Iterable[Collection[int]],
    versions: Sequence[VersionRecord],
    names: Names,
) -> list[Touched]:
    """Return what the damaged nodes of each group touch, for at most `MOST_TRACED` groups; nothing for those after."""
    bits: dict[int, int] = {}
    traced: list[Touched] = []
    rest: list[Touched] = []
    for index, group in enumerate(groups):
        if index >= MOST_TRACED:
            rest.append(Touched())
            continue
        traced.append(Touched())
        for node in group:
            bits[node] = bits.get(node, 0) | 1 << index
    if not bits:
        return traced + rest
    masks = _spread(transaction, bits)
    newest_first = sorted(versions, key=lambda version: (version.artifact, -version.number))
    walk = _Walk(transaction, bits, masks, traced)
    for version in newest_first:
        mask = masks.get(version.root, 0)
        if not mask:
            continue
        label = names.label(version.artifact, version.number)
        for index in _indexes(mask):
            if len(traced[index].versions) < MOST_TRACED:
                traced[index].versions.append(label)
            else:
                traced[index].more += 1
        walk.enter(version, label)
    return traced + rest


def _spread(transaction: ReadTransaction, bits: dict[int, int]) -> dict[int, int]:
    """Return for each node that leads to damaged ones which they are, as a sum of bits."""
    masks = dict(bits)
    while not _spread_once(transaction, bits, masks):
        pass  # a record that refers to a higher number learnt of it too late
    return masks


def _spread_once(transaction: ReadTransaction, bits: dict[int, int], masks: dict[int, int]) -> bool:
    """Go through all records in the order of numbers; return whether every one knows all that is below it."""
    settled = True
    late: set[int] = set()
    with transaction.raw.cursor(transaction.handles[Table.NODES]) as cursor:
        for key, value in cursor:
            if value[:1] == _CHUNK:
                continue
            number = int.from_bytes(key, "big")
            try:
                children = children_of(unseal_numbered(Table.NODES, number, value))
            except DamageError:
                continue  # its children are unknown
            late.update(child for child in children if child > number)
            if masks.keys().isdisjoint(children):
                continue
            mask = bits.get(number, 0)
            for child in children:
                mask |= masks.get(child, 0)
            if mask != masks.get(number):
                masks[number] = mask
                if number in late:
                    settled = False
    return settled


_CHUNK: Final = bytes([KIND_CHUNK])


def _indexes(mask: int) -> Iterator[int]:
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


class _Step(NamedTuple):
    """A record that is entered, by its path (of the directory that it is part of) and the step before."""

    node: int
    path: bytes
    above: _Step | None

    def is_in_circle(self) -> bool:
        """Return whether the record was entered before on the way to it."""
        above = self.above
        while above is not None:
            if above.node == self.node:
                return True
            above = above.above
        return False


class _Walk:
    """Enter versions along what leads to damage, and collect paths."""

    def __init__(
        self, transaction: ReadTransaction, bits: dict[int, int], masks: dict[int, int], traced: list[Touched]
    ) -> None:
        self._transaction = transaction
        self._bits = bits
        self._masks = masks
        self._traced = traced
        self._open = (1 << len(traced)) - 1
        self._artifact = 0
        self._seen: set[tuple[int, bytes]] = set()
        self._entered: set[tuple[int, bytes]] = set()
        self._label = ""

    def enter(self, version: VersionRecord, label: str) -> None:
        """Collect the paths of one version that newer versions of its artifact do not have."""
        if version.artifact != self._artifact:
            self._artifact = version.artifact
            self._seen.clear()
            self._entered.clear()
        self._label = label
        stack = [_Step(version.root, b"", None)]
        while stack:
            step = stack.pop()
            if self._masks.get(step.node, 0) & self._open and (step.node, step.path) not in self._entered:
                self._entered.add((step.node, step.path))
                stack += reversed(self._below(step))

    def _below(self, step: _Step) -> list[_Step]:
        """Collect the files of one record, and return the records below it that lead to damage."""
        node, path = step.node, step.path
        if step.is_in_circle():
            return []  # malformed records; what they hold was collected the first time
        if node in self._bits:
            self._collect(self._bits[node], path)
        try:
            view = tree_view(self._transaction, node)
            children, entries = (list(view.children()), []) if view.level else ([], list(view.entries()))
        except DamageError:
            return []
        below = [_Step(child.node, path, step) for child in children]
        for entry in entries:
            if not self._masks.get(entry.node, 0) & self._open:
                continue
            if entry.kind == Kind.DIRECTORY:
                below.append(_Step(entry.node, path + entry.name + b"/", step))
            else:
                self._collect(self._masks[entry.node], path + entry.name)
        return below

    def _collect(self, mask: int, path: bytes) -> None:
        for index in _indexes(mask & self._open):
            if (index, path) not in self._seen:
                self._seen.add((index, path))
                files = self._traced[index].files
                files.append(f"{self._label}/{os.fsdecode(path)}")
                if len(files) == MOST_TRACED:
                    self._open ^= 1 << index
