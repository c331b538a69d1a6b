"""Holders of a node: the versions, drafts and deadlist entries that reach it.

Nodes do not store their parents, so this reads every record that roots reach, each once: seconds for a million files.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from artstore.records.catalogue import DraftRecord, VersionRecord
from artstore.records.deadlist import DeadEntry
from artstore.records.nodes import KIND_TREE
from artstore.records.tables import Table
from artstore.records.trees import TreeEntry
from artstore.rows import deadlist, drafts
from artstore.rows.nodes import children_of, node_payload, tree_view
from artstore.rows.trees import entries_from
from artstore.storage.manifest import ReadTransaction

__all__ = ["Holders", "Place", "Reach", "below", "find_holders", "places"]


class Reach:
    """Which nodes lead to one of a set of nodes; each record is read once, when it is first asked about.

    ``whole_files``: a file that has a target for one of its chunks does not lead to it.
    """

    def __init__(self, transaction: ReadTransaction, targets: Collection[int], *, whole_files: bool = False) -> None:
        self._transaction = transaction
        self._whole_files = whole_files
        self.targets = frozenset(targets)
        self._leads = dict.fromkeys(targets, True)

    def leads(self, node: int) -> bool:
        """Return whether a node is one of the targets, or has one below it."""
        known = self._leads
        stack: list[tuple[int, list[int] | None]] = [(node, None)]
        while stack:
            current, children = stack[-1]
            if children is None:
                if current in known:
                    stack.pop()
                    continue
                payload = node_payload(self._transaction, current)
                is_closed = self._whole_files and payload[0] != KIND_TREE
                children = [] if is_closed else children_of(payload)
                unknown = [child for child in dict.fromkeys(children) if child not in known]
                if unknown:
                    stack[-1] = (current, children)
                    stack.extend((child, None) for child in unknown)
                    continue
            known[current] = any(known[child] for child in children)
            stack.pop()
        return known[node]

    def leading_directories(self) -> Iterator[int]:
        """Yield the nodes of directory records that were read and lead to a target."""
        for node, leads in self._leads.items():
            if leads and node not in self.targets and node_payload(self._transaction, node)[0] == KIND_TREE:
                yield node


@dataclass
class Holders:
    """Holders of some nodes; ``versions`` are the recorded ones, live and deleted, in the order of their commits."""

    versions: list[VersionRecord] = field(default_factory=list)
    drafts: list[DraftRecord] = field(default_factory=list)
    entries: list[DeadEntry] = field(default_factory=list)


def find_holders(transaction: ReadTransaction, reach: Reach) -> Holders:
    """Return all versions, drafts and entries of the deadlist that lead to the targets of ``reach``."""
    holders = Holders()
    for _, payload in transaction.rows(Table.VERSIONS):
        version = VersionRecord.decode(payload)
        if reach.leads(version.root):
            holders.versions.append(version)
    for _, payload in transaction.rows(Table.DRAFTS):
        draft = DraftRecord.decode(payload)
        if any(reach.leads(node) for node in drafts.staged_nodes(transaction, draft.draft)):
            holders.drafts.append(draft)
    for entry in deadlist.entries(transaction):
        if any(reach.leads(node) for node in entry.nodes):
            holders.entries.append(entry)
    return holders


def below(transaction: ReadTransaction, nodes: Iterable[int]) -> set[int]:
    """Return some nodes and all that they lead to."""
    reached: set[int] = set()
    stack = list(nodes)
    while stack:
        node = stack.pop()
        if node not in reached:
            reached.add(node)
            stack.extend(children_of(node_payload(transaction, node)))
    return reached


class Place(NamedTuple):
    """A target's position in a version: its preorder index and that of its directory, its path, and its entry."""

    ordinal: int
    directory: int
    path: bytes
    entry: TreeEntry


def places(transaction: ReadTransaction, root: int, reach: Reach) -> Iterator[Place]:
    """Yield the positions of targets below a root, and of the files that contain one, in name order."""
    stack = [(root, 0, b"")]
    while stack:
        node, index, prefix = stack.pop()
        below = []
        for entry, before in entries_from(lambda node: tree_view(transaction, node), node):
            if not reach.leads(entry.node):
                continue
            if entry.is_directory and entry.node not in reach.targets:
                below.append((entry.node, index + 1 + before, prefix + entry.name + b"/"))
            else:
                yield Place(index + 1 + before, index, prefix + entry.name, entry)
        stack.extend(reversed(below))
