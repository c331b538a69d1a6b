"""Rebuilding nodes from the packs: from a directory's digest down to the chunks of its files.

A node is written after those that it refers to, so that numbers have the same order as after a put.  Content without
a stored form becomes a lost node: its version keeps all other files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from artstore.checking.packed import Packed, PackedForm
from artstore.records.nodes import (
    KIND_LOST,
    ChunkRecord,
    Extent,
    ListChild,
    ListRecord,
    LostRecord,
    encode_chunk,
    encode_list,
    parse_canonical_list,
)
from artstore.records.packing import CLASS_CONTENT, CLASS_ROOT_LIST, CLASS_TREE
from artstore.records.tables import Table
from artstore.records.trees import (
    CanonicalTree,
    ChildRecord,
    Kind,
    TreeEntry,
    TreeTotals,
    TreeView,
    encode_tree,
    parse_canonical_tree,
)
from artstore.rows.nodes import children_of, find_lost, node_payload, put_lost
from artstore.storage.manifest import WriteTransaction

__all__ = ["Regrower", "Wanted", "list_record", "tree_record"]

_LEAVES: Final = (Kind.LINK, Kind.REFERENCE)
"""What is always one chunk."""
NOTHING: Final = TreeTotals(0, 0, 0, 0)
"""The totals that a lost directory adds to its parents."""


class Wanted(NamedTuple):
    """A node that something refers to: index class, id, and of content its size; ``leaf``: it is a chunk."""

    klass: int
    id: bytes
    size: int
    leaf: bool = False


class _Open(NamedTuple):
    """A node whose children are not written yet; ``tree`` or else ``rows`` (level, children) list its references."""

    wanted: Wanted
    form: PackedForm
    tree: CanonicalTree | None
    rows: tuple[int, list[tuple[int, bytes, int]]]
    below: Iterator[Wanted]


class Regrower:
    """Write nodes into ``transaction``, which ``pause`` may replace.

    ``pause`` is called between nodes.  ``used`` gets the extents of nodes, ``lost`` the lost nodes, ``stored_bytes``
    counts the stored bytes of the written nodes, and ``changes`` their references: the caller writes these when it
    commits.
    """

    def __init__(self, packed: Packed, transaction: WriteTransaction, pause: Callable[[], None]) -> None:
        self.transaction = transaction
        self.changes: dict[int, int] = {}
        self.stored_bytes = 0
        self.used: list[Extent] = []
        self.lost: list[int] = []
        self._packed = packed
        self._pause = pause

    def grow(self, digest: bytes) -> int:
        """Write the node of a directory record and all nodes below it; return it, or 0 if the record itself is lost."""
        root = Wanted(CLASS_TREE, digest, 0)
        if self.transaction.find(CLASS_TREE, digest) is None and self._packed.canonical(CLASS_TREE, digest) is None:
            return 0
        stack = [opened for opened in [self._begin(root)] if opened is not None]
        while stack:
            below = next((child for child in stack[-1].below if self._node(child) == 0), None)
            if below is None:
                self._finish(stack.pop())
                self._pause()
                continue
            opened = self._begin(below)
            if opened is not None:
                stack.append(opened)
        return self._node(root)

    def _node(self, wanted: Wanted) -> int:
        """Return the present node for an id, living or lost, or 0."""
        node = self.transaction.find(wanted.klass, wanted.id)
        if node is None:
            lost = find_lost(self.transaction, wanted.klass, wanted.id)
            node = lost[0] if lost is not None else 0
        return node

    def _begin(self, wanted: Wanted) -> _Open | None:
        """Write a node without children, or a lost one; return any other as an open node."""
        if self._node(wanted):
            return None
        if wanted.klass == CLASS_CONTENT:
            chunk = self._packed.sound_form(CLASS_CONTENT, wanted.id)
            if chunk is not None:
                self._add_chunk(wanted, chunk)
                return None
        if not wanted.leaf:
            opened = self._open(wanted)
            if opened is not None:
                return opened
        node = self._next_node()
        births = [form.entry.birth_ns for form in self._packed.forms(wanted.klass, wanted.id)]
        birth_ns = births[0] if births and wanted.klass != CLASS_TREE else 0
        put_lost(self.transaction, node, LostRecord(wanted.klass, wanted.id, birth_ns, wanted.size))
        self.lost.append(node)
        return None

    def _open(self, wanted: Wanted) -> _Open | None:
        klass = CLASS_ROOT_LIST if wanted.klass == CLASS_CONTENT else wanted.klass
        canonical = self._packed.canonical(klass, wanted.id)
        if canonical is None:
            return None
        form, data = canonical
        if wanted.klass == CLASS_TREE:
            tree = parse_canonical_tree(data)
            return _Open(wanted, form, tree, (0, []), iter(_children_of_tree(tree)))
        level, rows = parse_canonical_list(data)
        below = [Wanted(klass, ident, length, klass == CLASS_CONTENT) for klass, ident, length in rows]
        return _Open(wanted, form, None, (level, rows), iter(below))

    def _finish(self, opened: _Open) -> None:
        wanted, form, tree, (level, rows), _ = opened
        if tree is not None:
            payload = tree_record(self.transaction, wanted.id, tree, form.extent, self._node)
        else:
            nodes = [self._node(Wanted(klass, ident, 0)) for klass, ident, _ in rows]
            lengths = [length for *_, length in rows]
            payload = list_record(wanted.id, form.extent, form.entry.birth_ns, level, nodes, lengths)
        for node in children_of(payload):
            self.changes[node] = self.changes.get(node, 0) + 1
        self._add(wanted, payload, form.extent)

    def _add_chunk(self, wanted: Wanted, form: PackedForm) -> None:
        entry = form.entry
        record = ChunkRecord(wanted.id, entry.birth_ns, entry.size, form.extent, entry.checksums)
        self._add(wanted, encode_chunk(record), form.extent)

    def _add(self, wanted: Wanted, payload: bytes, extent: Extent) -> None:
        node = self._next_node()
        self.transaction.put_numbered(Table.NODES, node, payload)
        self.transaction.put_index(wanted.klass, wanted.id, node)
        self.stored_bytes += extent.stored
        if extent.stored:
            self.used.append(extent)

    def _next_node(self) -> int:
        state = self.transaction.state
        state.next_node += 1
        return state.next_node - 1


def _children_of_tree(tree: CanonicalTree) -> list[Wanted]:
    if tree.level:
        return [Wanted(CLASS_TREE, digest, 0) for _, digest in tree.children]
    return [
        Wanted(CLASS_TREE, entry.id, 0)
        if entry.kind == Kind.DIRECTORY
        else Wanted(CLASS_CONTENT, entry.id, entry.size, entry.kind in _LEAVES)
        for entry in tree.entries
    ]


def list_record(ident: bytes, extent: Extent, birth_ns: int, level: int, nodes: list[int], lengths: list[int]) -> bytes:
    """Return the local record of an extent list whose children have these nodes and lengths."""
    rows, end = [], 0
    for node, length in zip(nodes, lengths, strict=True):
        end += length
        rows.append(ListChild(node, end))
    return encode_list(ListRecord(ident, birth_ns, end, level, extent, tuple(rows)))


def tree_record(
    transaction: WriteTransaction,
    digest: bytes,
    tree: CanonicalTree,
    extent: Extent,
    node_of: Callable[[Wanted], int],
) -> bytes:
    """Return the local record of a directory record whose children exist; `node_of` returns their nodes."""
    if tree.level:
        return _index_record(transaction, digest, tree, extent, node_of)
    rows: list[TreeEntry] = []
    files = directories = size = 0
    for entry, wanted in zip(tree.entries, _children_of_tree(tree), strict=True):
        node = node_of(wanted)
        if entry.kind == Kind.DIRECTORY:
            below = _totals(transaction, node)
            rows.append(TreeEntry(entry.name, entry.kind, node, below.bytes, 0, below.directories + 1, directories))
            files += below.files
            directories += below.directories + 1
            size += below.bytes
        else:
            birth = int.from_bytes(node_payload(transaction, node)[34:42], "little", signed=True)
            rows.append(TreeEntry(entry.name, entry.kind, node, entry.size, birth, 0, 0))
            files += 1
            if entry.kind != Kind.LINK:
                size += entry.size
    return encode_tree(0, digest, TreeTotals(len(rows), files, directories, size), extent, rows)


def _index_record(
    transaction: WriteTransaction,
    digest: bytes,
    tree: CanonicalTree,
    extent: Extent,
    node_of: Callable[[Wanted], int],
) -> bytes:
    rows: list[ChildRecord] = []
    sums = NOTHING
    for (last_name, _), wanted in zip(tree.children, _children_of_tree(tree), strict=True):
        node = node_of(wanted)
        below = _totals(transaction, node)
        rows.append(ChildRecord(node, last_name, below.entries, sums.entries, below.directories, sums.directories))
        sums = TreeTotals(*(a + b for a, b in zip(sums, below, strict=True)))
    return encode_tree(tree.level, digest, sums, extent, rows)


def _totals(transaction: WriteTransaction, node: int) -> TreeTotals:
    lost = node_payload(transaction, node)[0] == KIND_LOST
    return NOTHING if lost else TreeView(node_payload(transaction, node)).totals
