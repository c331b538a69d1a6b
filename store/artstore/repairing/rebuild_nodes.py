"""Rebuilding nodes from the packs: from a directory's form id down to the chunks of its files.

A node is written after those that it refers to, so that numbers have the same order as after a put.  Content without
a stored form becomes a lost node: its version keeps all other files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from artstore.checking.packed import Packed, PackedForm
from artstore.errors import DamageError
from artstore.ids import ID_LENGTH
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
from artstore.records.packed_trees import CanonicalTree, parse_packed_tree
from artstore.records.packing import CLASS_CONTENT, CLASS_ROOT_LIST, CLASS_TREE
from artstore.records.tables import Table
from artstore.records.trees import (
    INODES_MAX,
    ChildRecord,
    Kind,
    TreeEntry,
    TreeTotals,
    TreeView,
    encode_tree,
)
from artstore.rows.nodes import children_of, find_lost, node_payload, put_lost
from artstore.rows.packed_trees import NOTHING, summed
from artstore.storage.manifest import WriteTransaction

__all__ = ["Regrower", "Wanted", "list_record", "tree_record"]

_LEAVES: Final = (Kind.LINK, Kind.REFERENCE)
"""What is always one chunk."""
_BYTES_MAX: Final = 2**63 - 1
"""Bytes of a tree, at most."""


class Wanted(NamedTuple):
    """A node that something refers to: index class and id, and of content its size, of a directory record its digest.

    ``leaf``: it is a chunk.
    """

    klass: int
    id: bytes
    size: int = 0
    digest: bytes = bytes(ID_LENGTH)
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

    def grow(self, form: bytes, digest: bytes) -> int:
        """Write the node of a directory record and all nodes below it; return it, or 0 if the record itself is lost."""
        root = Wanted(CLASS_TREE, form, digest=digest)
        if self.transaction.find(CLASS_TREE, form) is None and self._packed.canonical(CLASS_TREE, form) is None:
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
        return self.transaction.find(CLASS_TREE, form) or 0

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
        self._lose(wanted)
        return None

    def _lose(self, wanted: Wanted) -> None:
        node = self._next_node()
        births = [form.entry.birth_ns for form in self._packed.forms(wanted.klass, wanted.id)]
        birth_ns = births[0] if births and wanted.klass != CLASS_TREE else 0
        lost = LostRecord(wanted.klass, wanted.id, birth_ns, wanted.size, wanted.digest)
        put_lost(self.transaction, node, lost)
        self.lost.append(node)

    def _open(self, wanted: Wanted) -> _Open | None:
        klass = CLASS_ROOT_LIST if wanted.klass == CLASS_CONTENT else wanted.klass
        canonical = self._packed.canonical(klass, wanted.id)
        if canonical is None:
            return None
        form, data = canonical
        if wanted.klass == CLASS_TREE:
            tree = parse_packed_tree(data)
            return _Open(wanted, form, tree, (0, []), iter(_children_of_tree(tree)))
        level, rows = parse_canonical_list(data)
        below = [Wanted(klass, ident, length, leaf=klass == CLASS_CONTENT) for klass, ident, length in rows]
        return _Open(wanted, form, None, (level, rows), iter(below))

    def _finish(self, opened: _Open) -> None:
        wanted, form, tree, (level, rows), _ = opened
        if tree is not None:
            try:
                payload = tree_record(self.transaction, tree, form.extent, self._node)
            except DamageError:
                self._lose(wanted)
                return
        else:
            nodes = [self._node(Wanted(klass, ident)) for klass, ident, _ in rows]
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
        return [Wanted(CLASS_TREE, form, digest=digest) for _, digest, form in tree.children]
    return [
        Wanted(CLASS_TREE, attributes.form, digest=entry.id)
        if entry.kind == Kind.DIRECTORY
        else Wanted(CLASS_CONTENT, entry.id, entry.size, leaf=entry.kind in _LEAVES)
        for entry, attributes in zip(tree.entries, tree.attributes, strict=True)
    ]


def list_record(ident: bytes, extent: Extent, birth_ns: int, level: int, nodes: list[int], lengths: list[int]) -> bytes:
    """Return the local record of an extent list whose children have these nodes and lengths."""
    rows, end = [], 0
    for node, length in zip(nodes, lengths, strict=True):
        end += length
        rows.append(ListChild(node, end))
    return encode_list(ListRecord(ident, birth_ns, end, level, extent, tuple(rows)))


def tree_record(
    transaction: WriteTransaction, tree: CanonicalTree, extent: Extent, node_of: Callable[[Wanted], int]
) -> bytes:
    """Return the local record of a directory record whose children exist; `node_of` returns their nodes.

    Raises `DamageError` if it has more entries or bytes than a record can count.
    """
    nodes = [node_of(wanted) for wanted in _children_of_tree(tree)]
    rows: list[TreeEntry] | list[ChildRecord]
    if tree.level:
        rows, totals = _index_rows(transaction, tree, nodes)
    else:
        rows, totals = _entry_rows(transaction, tree, nodes)
    if totals.inodes > INODES_MAX or totals.bytes > _BYTES_MAX:
        raise DamageError("a directory has more entries or bytes than its record can count")
    return encode_tree(tree.level, tree.digest, tree.form, totals, extent, rows)


def _entry_rows(
    transaction: WriteTransaction, tree: CanonicalTree, nodes: list[int]
) -> tuple[list[TreeEntry], TreeTotals]:
    rows: list[TreeEntry] = []
    sums = NOTHING
    for entry, attributes, node in zip(tree.entries, tree.attributes, nodes, strict=True):
        if entry.kind == Kind.DIRECTORY:
            below = _totals(transaction, node)
            size, inodes = below.bytes, below.inodes + 1
            added = below._replace(directories=below.directories + 1)
        else:
            size, inodes = entry.size, 1
            added = NOTHING._replace(files=1, bytes=0 if entry.kind == Kind.LINK else size)
        mtime_ns, mode, _ = attributes
        rows.append(TreeEntry(entry.name, entry.kind, node, size, mtime_ns, mode, sums.inodes, inodes))
        newest_ns = max(added.newest_ns, mtime_ns)
        sums = summed(sums, added._replace(entries=1, newest_ns=newest_ns))
    return rows, sums


def _index_rows(
    transaction: WriteTransaction, tree: CanonicalTree, nodes: list[int]
) -> tuple[list[ChildRecord], TreeTotals]:
    rows: list[ChildRecord] = []
    sums = NOTHING
    for (last_name, _, _), node in zip(tree.children, nodes, strict=True):
        below = _totals(transaction, node)
        rows.append(ChildRecord(node, last_name, below.entries, sums.entries, below.inodes, sums.inodes))
        sums = summed(sums, below)
    return rows, sums


def _totals(transaction: WriteTransaction, node: int) -> TreeTotals:
    payload = node_payload(transaction, node)
    return NOTHING if payload[0] == KIND_LOST else TreeView(payload).totals
