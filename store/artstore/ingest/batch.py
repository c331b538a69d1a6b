"""A batch of nodes that are added to the store in one write transaction.

Every lookup outside the write transaction is a hint.  The transaction looks again: a stored form that another
put brought first is condemned, and a node that has vanished raises `StaleHintError`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from artstore.errors import BusyError, RefusedError
from artstore.records.nodes import ChunkRecord, Extent, ListChild, ListRecord, encode_chunk, encode_list
from artstore.records.packing import CLASS_CONTENT, CLASS_LIST, CLASS_LOST, CLASS_ROOT_LIST, CLASS_TREE
from artstore.records.tables import Table
from artstore.records.trees import (
    EARLIEST_NS,
    INODES_MAX,
    ChildRecord,
    Kind,
    TreeEntry,
    TreeTotals,
    TreeView,
    encode_tree,
)
from artstore.rows.nodes import find_lost, find_node, has_lost
from artstore.storage.codec import Encoded, encode
from artstore.storage.manifest import ReadTransaction, WriteTransaction

__all__ = [
    "Batch",
    "EntryDraft",
    "KnownNode",
    "NewChunk",
    "NewIndex",
    "NewList",
    "NewTree",
    "NodeBatch",
    "Operation",
    "Ref",
    "StaleHintError",
]

_LARGEST_TOTAL: Final = 2**58
"""Bytes of all files of a version, at most: the sum of very many versions fits into a counter of 64 bits."""


class StaleHintError(BusyError):
    """Raised when content that a hint named has been reaped: the put must look it up again."""


class Ref:
    """A node that was handed over; its number is known once its batch is written.

    ``id`` is its key in the index: a content's id, or a directory record's form id, whose ``digest`` names the content.
    """

    __slots__ = ("birth_ns", "digest", "id", "klass", "node", "totals")

    def __init__(self, klass: int, ident: bytes, digest: bytes = b"") -> None:
        self.klass = klass
        self.id = ident
        self.digest = digest or ident
        self.node = 0
        self.birth_ns = 0
        self.totals: TreeTotals | None = None


class EntryDraft(NamedTuple):
    """An entry of a directory that is being built.

    ``id`` is a content's id or a directory's digest, and ``form`` a directory's form id; ``ref`` is None for content
    or a directory that the store is known to have.  ``mtime_ns`` is clamped to what an entry can have.
    """

    name: bytes
    kind: Kind
    size: int
    id: bytes
    ref: Ref | None
    mtime_ns: int
    mode: int
    form: bytes = b""


class Operation:
    """A node of a batch; ``encoded`` is its stored form unless the store is known to have it."""

    __slots__ = ("encoded", "extent", "promises", "ref")

    def __init__(self, ref: Ref, encoded: Encoded | None) -> None:
        self.ref = ref
        self.encoded = encoded
        self.extent: Extent | None = None
        self.promises = 1
        """How often the node was handed over, each time to become the child of some parent."""

    packed_class = 0
    size = 0

    def make(self, batch: NodeBatch, extent: Extent) -> bytes:
        """Return the local record of a node that the store lacks, counting its children."""
        raise StaleHintError("content that was found a moment ago no longer exists")

    def consumed(self) -> list[Ref]:
        """Return the handed-over nodes whose parent this one becomes."""
        return []


class KnownNode(Operation):
    """A node that exists according to a hint."""


class NewChunk(Operation):
    """A chunk of content with its stored form."""

    __slots__ = ("size",)
    packed_class = CLASS_CONTENT

    def __init__(self, ref: Ref, encoded: Encoded, size: int) -> None:
        super().__init__(ref, encoded)
        self.size = size

    def make(self, batch: NodeBatch, extent: Extent) -> bytes:
        """Return the local record."""
        assert self.encoded is not None
        return encode_chunk(ChunkRecord(self.ref.id, self.ref.birth_ns, self.size, extent, self.encoded.checksums))


class NewList(Operation):
    """An extent list: the chunks or lists below it, in order."""

    __slots__ = ("_children", "_level", "packed_class", "size")

    def __init__(self, ref: Ref, data: bytes, level: int, children: Sequence[tuple[Ref, int]]) -> None:
        super().__init__(ref, encode(data))
        self.size = len(data)
        self.packed_class = CLASS_LIST if ref.klass == CLASS_LIST else CLASS_ROOT_LIST
        self._level = level
        self._children = children

    def consumed(self) -> list[Ref]:
        """Return the children."""
        return [child for child, _ in self._children]

    def make(self, batch: NodeBatch, extent: Extent) -> bytes:
        """Return the local record, counting the children."""
        rows, end = [], 0
        for child, length in self._children:
            end += length
            batch.count(child.node)
            rows.append(ListChild(child.node, end))
        return encode_list(ListRecord(self.ref.id, self.ref.birth_ns, end, self._level, extent, tuple(rows)))


class NewTree(Operation):
    """A directory record of level 0."""

    __slots__ = ("_entries", "size")
    packed_class = CLASS_TREE

    def __init__(self, ref: Ref, data: bytes, entries: Sequence[EntryDraft]) -> None:
        super().__init__(ref, encode(data))
        self.size = len(data)
        self._entries = entries

    def consumed(self) -> list[Ref]:
        """Return the children."""
        return [entry.ref for entry in self._entries if entry.ref is not None]

    def make(self, batch: NodeBatch, extent: Extent) -> bytes:
        """Return the local record, counting the children."""
        rows: list[TreeEntry] = []
        files = directories = size_of_all = 0
        newest_ns = EARLIEST_NS
        for entry in self._entries:
            is_directory = entry.kind is Kind.DIRECTORY
            ref = entry.ref or (
                batch.known(CLASS_TREE, entry.form) if is_directory else batch.known(CLASS_CONTENT, entry.id)
            )
            batch.count(ref.node)
            size, inodes, before = entry.size, 1, files + directories
            if is_directory:
                below = batch.totals(ref)
                size, inodes = below.bytes, below.inodes + 1
                files += below.files
                directories += below.directories + 1
                newest_ns = max(newest_ns, below.newest_ns)
            else:
                files += 1
            if entry.kind is not Kind.LINK:
                size_of_all += size
            newest_ns = max(newest_ns, entry.mtime_ns)
            rows.append(TreeEntry(entry.name, entry.kind, ref.node, size, entry.mtime_ns, entry.mode, before, inodes))
        self.ref.totals = _bounded(TreeTotals(len(rows), files, directories, size_of_all, newest_ns))
        return encode_tree(0, self.ref.digest, self.ref.id, self.ref.totals, extent, rows)


class NewIndex(Operation):
    """A directory record above level 0."""

    __slots__ = ("_children", "_level", "size")
    packed_class = CLASS_TREE

    def __init__(self, ref: Ref, data: bytes, level: int, children: Sequence[tuple[bytes, Ref]]) -> None:
        super().__init__(ref, encode(data))
        self.size = len(data)
        self._level = level
        self._children = children

    def consumed(self) -> list[Ref]:
        """Return the children."""
        return [child for _, child in self._children]

    def make(self, batch: NodeBatch, extent: Extent) -> bytes:
        """Return the local record, counting the children."""
        rows: list[ChildRecord] = []
        entries = files = directories = size_of_all = 0
        newest_ns = EARLIEST_NS
        for last_name, child in self._children:
            below = batch.totals(child)
            batch.count(child.node)
            rows.append(ChildRecord(child.node, last_name, below.entries, entries, below.inodes, files + directories))
            entries += below.entries
            files += below.files
            directories += below.directories
            size_of_all += below.bytes
            newest_ns = max(newest_ns, below.newest_ns)
        self.ref.totals = _bounded(TreeTotals(entries, files, directories, size_of_all, newest_ns))
        return encode_tree(self._level, self.ref.digest, self.ref.id, self.ref.totals, extent, rows)


def _bounded(totals: TreeTotals) -> TreeTotals:
    """Return the totals of a directory; raise `RefusedError` if they are more than records and counters can hold."""
    if totals.bytes > _LARGEST_TOTAL:
        raise RefusedError(
            f"the files of a version can have at most {_LARGEST_TOTAL:,} bytes together, not {totals.bytes:,}",
            hint="check the sizes of its references: artfs ref ls",
        )
    if totals.inodes > INODES_MAX:
        raise RefusedError(
            f"a version can have at most {INODES_MAX:,} files and directories", hint="split it into several artifacts"
        )
    return totals


class NodeBatch:
    """What the records of new nodes are made with: the nodes that exist, and the counts of references."""

    def __init__(self, transaction: ReadTransaction) -> None:
        self.transaction = transaction
        self.changes: dict[int, int] = {}
        self.stored = 0
        self._known: dict[tuple[int, bytes], Ref] = {}
        self._has_lost = has_lost(transaction)

    def count(self, node: int, change: int = 1) -> None:
        """Add to a node's references."""
        self.changes[node] = self.changes.get(node, 0) + change

    def adopt(self, ref: Ref) -> bool:
        """Point a ref at the node that the store has for its id; return whether there is one."""
        if ref.node:
            return True
        row = find_node(self.transaction, ref.klass, ref.id)
        if row is None:
            return False
        ref.node, payload = row
        if ref.klass == CLASS_TREE:
            view = TreeView(payload)
            ref.totals, ref.digest = view.totals, view.digest
        else:
            ref.birth_ns = int.from_bytes(payload[34:42], "little", signed=True)
        return True

    def known(self, klass: int, ident: bytes) -> Ref:
        """Return a ref to a node that must exist; raise `StaleHintError` if it does not."""
        ref = self._known.get((klass, ident))
        if ref is None:
            ref = Ref(klass, ident)
            if not self.adopt(ref) and not self._adopt_lost(ref):
                raise StaleHintError("content that was found a moment ago no longer exists")
            self._known[klass, ident] = ref
        return ref

    def _adopt_lost(self, ref: Ref) -> bool:
        """Point a ref at a lost file: a version that adopts it from another is equally damaged."""
        lost = find_lost(self.transaction, ref.klass, ref.id) if self._has_lost and ref.klass != CLASS_TREE else None
        if lost is not None:
            ref.node, ref.birth_ns = lost[0], lost[1].birth_ns
        return lost is not None

    def totals(self, ref: Ref) -> TreeTotals:
        """Return the totals of a directory record that is already in the store."""
        assert ref.totals is not None
        return ref.totals


class Batch(NodeBatch):
    """The work inside one batch's transaction: adding nodes and changing counts."""

    transaction: WriteTransaction

    def __init__(self, transaction: WriteTransaction, now_ns: int) -> None:
        super().__init__(transaction)
        self.now_ns = now_ns
        self.created: list[int] = []
        self.lost: list[Extent] = []

    def apply(self, operation: Operation) -> None:
        """Add one node, or find the existing one; a stored form that lost the race is condemned."""
        ref, extent, state = operation.ref, operation.extent, self.transaction.state
        if self.adopt(ref):
            if extent is not None:
                self.lost.append(extent)
            return
        if extent is None:
            raise StaleHintError("content that was found a moment ago no longer exists")
        self.stored += extent.stored
        if isinstance(operation, NewChunk) and self._heal(operation, extent):
            return
        ref.birth_ns = self.now_ns
        payload = operation.make(self, extent)
        ref.node = state.next_node
        state.next_node += 1
        self.transaction.append_numbered(Table.NODES, ref.node, payload)
        self.transaction.put_index(ref.klass, ref.id, ref.node)
        self.created.append(ref.node)

    def _heal(self, operation: NewChunk, extent: Extent) -> bool:
        """Restore the content of a lost node, for all references to it; return whether there is one."""
        ref = operation.ref
        lost = find_lost(self.transaction, ref.klass, ref.id) if self._has_lost else None
        if lost is None:
            return False
        ref.node, ref.birth_ns = lost[0], lost[1].birth_ns
        self.transaction.delete(Table.INDEX, (CLASS_LOST + ref.klass).to_bytes(1, "big") + ref.id)
        self.transaction.put_numbered(Table.NODES, ref.node, operation.make(self, extent))
        self.transaction.put_index(ref.klass, ref.id, ref.node)
        return True
