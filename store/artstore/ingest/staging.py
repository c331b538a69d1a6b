"""Staging: how nodes come into the store, in batches, each owned from the moment it is there.

A batch is written in three steps: its stored forms go to a pack as one synced segment; one write transaction gives
node numbers in the order in which nodes were handed over (tree order) and counts references; then the caller's
`Ref` objects know their nodes.

Guarantees:

- Every node counts its parents.  A node whose parent is not there yet is held by the draft; when the parent comes, in
  this batch or a later one, it takes that reference over.
- Whatever is looked up outside the write transaction is a hint.  The transaction looks again: a stored form that
  another put brought first is condemned, and a node that has vanished raises `StaleHintError`.
- An exception leaves the store as the last whole batch left it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, TypeVar

from artstore.errors import BusyError
from artstore.ids import content_id
from artstore.records.nodes import ChunkRecord, Extent, ListChild, ListRecord, canonical_list, encode_chunk, encode_list
from artstore.records.packing import CLASS_CONTENT, CLASS_LIST, CLASS_LOST, CLASS_ROOT_LIST, CLASS_TREE
from artstore.records.tables import Table
from artstore.records.trees import (
    CanonicalEntry,
    ChildRecord,
    Kind,
    TreeEntry,
    TreeTotals,
    TreeView,
    canonical_entries,
    canonical_index,
    encode_tree,
)
from artstore.rows import space
from artstore.rows.drafts import Draft, pin
from artstore.rows.nodes import change_counts, find_lost, find_node, has_lost, read_count
from artstore.storage.codec import Encoded, encode
from artstore.storage.manifest import WriteTransaction
from artstore.store import Store

__all__ = ["EntryDraft", "Ref", "Stager", "StaleHintError"]

T = TypeVar("T")

Action = Callable[[WriteTransaction, "Ref", int], tuple[bool, T]]

BATCH_BYTES: Final = 32 * 1024 * 1024
"""Stored bytes after which a batch is written."""
BATCH_NODES: Final = 1500
"""Nodes after which a batch is written: its transaction then holds the write lock for less than 50 ms."""


class StaleHintError(BusyError):
    """Say that content which was there a moment ago has been reaped: the put must look again."""


class Ref:
    """A node that was handed over; its number is known once its batch is written."""

    __slots__ = ("birth_ns", "id", "klass", "node", "totals")

    def __init__(self, klass: int, ident: bytes) -> None:
        self.klass = klass
        self.id = ident
        self.node = 0
        self.birth_ns = 0
        self.totals: TreeTotals | None = None


class EntryDraft(NamedTuple):
    """An entry of a directory that is being built; ``ref`` is None for content or a directory known by its id."""

    name: bytes
    kind: Kind
    size: int
    id: bytes
    ref: Ref | None


class _Operation:
    """One node of a batch; ``encoded`` is its stored form unless it is known to be there."""

    __slots__ = ("encoded", "extent", "promises", "ref")

    def __init__(self, ref: Ref, encoded: Encoded | None) -> None:
        self.ref = ref
        self.encoded = encoded
        self.extent: Extent | None = None
        self.promises = 1
        """How often the node was handed over, each time to become the child of some parent."""

    packed_class = 0
    size = 0

    def make(self, batch: _Batch, extent: Extent) -> bytes:
        """Return the local record of a node that is not there yet, counting its children."""
        raise StaleHintError("content that was there a moment ago is gone")

    def consumed(self) -> list[Ref]:
        """Return the handed-over nodes that this one becomes the parent of."""
        return []


class _Known(_Operation):
    """A node that a hint says is there."""


class _Chunk(_Operation):
    __slots__ = ("size",)
    packed_class = CLASS_CONTENT

    def __init__(self, ref: Ref, encoded: Encoded, size: int) -> None:
        super().__init__(ref, encoded)
        self.size = size

    def make(self, batch: _Batch, extent: Extent) -> bytes:
        assert self.encoded is not None
        return encode_chunk(ChunkRecord(self.ref.id, self.ref.birth_ns, self.size, extent, self.encoded.checksums))


class _List(_Operation):
    __slots__ = ("_children", "_level", "packed_class", "size")

    def __init__(self, ref: Ref, data: bytes, level: int, children: Sequence[tuple[Ref, int]]) -> None:
        super().__init__(ref, encode(data))
        self.size = len(data)
        self.packed_class = CLASS_LIST if ref.klass == CLASS_LIST else CLASS_ROOT_LIST
        self._level = level
        self._children = children

    def consumed(self) -> list[Ref]:
        return [child for child, _ in self._children]

    def make(self, batch: _Batch, extent: Extent) -> bytes:
        rows, end = [], 0
        for child, length in self._children:
            end += length
            batch.count(child.node)
            rows.append(ListChild(child.node, end))
        return encode_list(ListRecord(self.ref.id, self.ref.birth_ns, end, self._level, extent, tuple(rows)))


class _Tree(_Operation):
    """A directory record of level 0."""

    __slots__ = ("_entries", "size")
    packed_class = CLASS_TREE

    def __init__(self, ref: Ref, data: bytes, entries: Sequence[EntryDraft]) -> None:
        super().__init__(ref, encode(data))
        self.size = len(data)
        self._entries = entries

    def consumed(self) -> list[Ref]:
        return [entry.ref for entry in self._entries if entry.ref is not None]

    def make(self, batch: _Batch, extent: Extent) -> bytes:
        rows: list[TreeEntry] = []
        files = directories = size_of_all = 0
        for entry in self._entries:
            ref = entry.ref or batch.known(CLASS_TREE if entry.kind == Kind.DIRECTORY else CLASS_CONTENT, entry.id)
            batch.count(ref.node)
            if entry.kind == Kind.DIRECTORY:
                below = batch.totals(ref)
                count = below.directories + 1
                rows.append(TreeEntry(entry.name, entry.kind, ref.node, below.bytes, 0, count, directories))
                files += below.files
                directories += count
                size_of_all += below.bytes
            else:
                rows.append(TreeEntry(entry.name, entry.kind, ref.node, entry.size, ref.birth_ns, 0, 0))
                files += 1
                size_of_all += 0 if entry.kind == Kind.LINK else entry.size
        self.ref.totals = TreeTotals(len(rows), files, directories, size_of_all)
        return encode_tree(0, self.ref.id, self.ref.totals, extent, rows)


class _Index(_Operation):
    """A directory record above level 0."""

    __slots__ = ("_children", "_level", "size")
    packed_class = CLASS_TREE

    def __init__(self, ref: Ref, data: bytes, level: int, children: Sequence[tuple[bytes, Ref]]) -> None:
        super().__init__(ref, encode(data))
        self.size = len(data)
        self._level = level
        self._children = children

    def consumed(self) -> list[Ref]:
        return [child for _, child in self._children]

    def make(self, batch: _Batch, extent: Extent) -> bytes:
        rows: list[ChildRecord] = []
        entries = files = directories = size_of_all = 0
        for last_name, child in self._children:
            below = batch.totals(child)
            batch.count(child.node)
            rows.append(ChildRecord(child.node, last_name, below.entries, entries, below.directories, directories))
            entries += below.entries
            files += below.files
            directories += below.directories
            size_of_all += below.bytes
        self.ref.totals = TreeTotals(entries, files, directories, size_of_all)
        return encode_tree(self._level, self.ref.id, self.ref.totals, extent, rows)


class _Batch:
    """The inside of one batch's transaction: nodes that come in, and counts that change."""

    def __init__(self, transaction: WriteTransaction, now_ns: int) -> None:
        self.transaction = transaction
        self.now_ns = now_ns
        self.changes: dict[int, int] = {}
        self.created: list[int] = []
        self.stored = 0
        self.lost: list[Extent] = []
        self._known: dict[tuple[int, bytes], Ref] = {}
        self._has_lost = has_lost(transaction)

    def count(self, node: int, change: int = 1) -> None:
        """Add to a node's references."""
        self.changes[node] = self.changes.get(node, 0) + change

    def adopt(self, ref: Ref) -> bool:
        """Let a ref lead to the node that the store has for its id; return whether it has one."""
        if ref.node:
            return True
        found = find_node(self.transaction, ref.klass, ref.id)
        if found is None:
            return False
        ref.node, payload = found
        if ref.klass == CLASS_TREE:
            ref.totals = TreeView(payload).totals
        else:
            ref.birth_ns = int.from_bytes(payload[34:42], "little", signed=True)
        return True

    def known(self, klass: int, ident: bytes) -> Ref:
        """Return a ref to a node that must be there; raise `StaleHintError` where it is not."""
        ref = self._known.get((klass, ident))
        if ref is None:
            ref = self._known[klass, ident] = Ref(klass, ident)
            if not self.adopt(ref) and not self._adopt_lost(ref):
                raise StaleHintError("content that was there a moment ago is gone")
        return ref

    def _adopt_lost(self, ref: Ref) -> bool:
        """Let a ref lead to a lost file: a version that takes it over from another is as damaged as that one."""
        lost = find_lost(self.transaction, ref.klass, ref.id) if self._has_lost and ref.klass != CLASS_TREE else None
        if lost is not None:
            ref.node, ref.birth_ns = lost[0], lost[1].birth_ns
        return lost is not None

    def totals(self, ref: Ref) -> TreeTotals:
        """Return the totals of a directory record that is in the store by now."""
        assert ref.totals is not None
        return ref.totals

    def apply(self, operation: _Operation) -> None:
        """Bring one node in, or find it; a stored form that lost the race is nobody's."""
        ref, extent, state = operation.ref, operation.extent, self.transaction.state
        if self.adopt(ref):
            if extent is not None:
                self.lost.append(extent)
            return
        if extent is None:
            raise StaleHintError("content that was there a moment ago is gone")
        self.stored += extent.stored
        if isinstance(operation, _Chunk) and self._heal(operation, extent):
            return
        ref.birth_ns = self.now_ns
        payload = operation.make(self, extent)
        ref.node = state.next_node
        state.next_node += 1
        self.transaction.append_numbered(Table.NODES, ref.node, payload)
        self.transaction.put_index(ref.klass, ref.id, ref.node)
        self.created.append(ref.node)

    def _heal(self, operation: _Chunk, extent: Extent) -> bool:
        """Give a node that was lost its content again, for all that refer to it; return whether there is one."""
        ref = operation.ref
        lost = find_lost(self.transaction, ref.klass, ref.id) if self._has_lost else None
        if lost is None:
            return False
        ref.node, ref.birth_ns = lost[0], lost[1].birth_ns
        self.transaction.delete(Table.INDEX, (CLASS_LOST + ref.klass).to_bytes(1, "big") + ref.id)
        self.transaction.put_numbered(Table.NODES, ref.node, operation.make(self, extent))
        self.transaction.put_index(ref.klass, ref.id, ref.node)
        return True


class Stager:
    """Bring the nodes of one version in; used by one thread, ended by `commit` or `close`."""

    def __init__(self, store: Store, artifact: str, source: str) -> None:
        self._store = store
        self._artifact = artifact
        self._source = source
        self._writer = store.pack_writer()
        self._operations: list[_Operation] = []
        self._pending: dict[tuple[int, bytes], _Operation] = {}
        self._bytes = 0
        self._withdrawn: list[Ref] = []
        self._owed: dict[int, int] = {}
        self._draft: Draft | None = None
        self._pin: Draft | None = None
        self._is_lost = self._is_stale = False
        self.stored_bytes = 0
        """Stored bytes that this put has added."""

    def hold_base(self, serial: int, root: int) -> None:
        """Keep the root of a version while the stager lives, whatever happens to the version.

        Raises `NotFoundError` where it is gone.
        """
        with self._store.write() as transaction:
            self._pin = pin(transaction, self._store.run_dir, self._store.file_mode, self._artifact, serial, root)

    def _hand_over(self, operation: _Operation) -> Ref:
        ref = operation.ref
        present = self._pending.get((ref.klass, ref.id))
        if present is not None and (present.encoded is not None or operation.encoded is None):
            present.promises += 1
            self._withdrawn += operation.consumed()  # its children have their parent already
            return present.ref
        self._pending[ref.klass, ref.id] = operation
        self._operations.append(operation)
        if operation.encoded is not None:
            self._bytes += len(operation.encoded.data)
        return ref

    def chunk(self, ident: bytes, size: int, encoded: Encoded | None) -> Ref:
        """Hand a chunk over: its id, its length, and its stored form, or None where a hint says that it is there."""
        ref = Ref(CLASS_CONTENT, ident)
        return self._hand_over(_Known(ref, None) if encoded is None else _Chunk(ref, encoded, size))

    def known_tree(self, digest: bytes) -> Ref:
        """Hand over a directory that a hint says is there."""
        return self._hand_over(_Known(Ref(CLASS_TREE, digest), None))

    def list(self, level: int, children: Sequence[tuple[Ref, int]], root_id: bytes | None) -> Ref:
        """Hand over an extent list of (child, length); ``root_id`` is the content's id where it is the whole file."""
        data = canonical_list(level, [(child.klass, child.id, length) for child, length in children])
        ref = Ref(CLASS_LIST, content_id(data)) if root_id is None else Ref(CLASS_CONTENT, root_id)
        return self._hand_over(_List(ref, data, level, children))

    def tree(self, entries: Sequence[EntryDraft]) -> Ref:
        """Hand over a directory record of level 0; its digest is the ref's id."""
        data = canonical_entries([CanonicalEntry(entry.name, entry.kind, entry.size, entry.id) for entry in entries])
        return self._hand_over(_Tree(Ref(CLASS_TREE, content_id(data)), data, entries))

    def index(self, level: int, children: Sequence[tuple[bytes, Ref]]) -> Ref:
        """Hand over a directory record above level 0: (last name, record) of each record below."""
        data = canonical_index(level, [(name, child.id) for name, child in children])
        return self._hand_over(_Index(Ref(CLASS_TREE, content_id(data)), data, level, children))

    def withdraw(self, ref: Ref) -> None:
        """Take back one handing over: no parent will come for it."""
        self._withdrawn.append(ref)

    def discard(self) -> None:
        """Forget what was handed over since the last batch; the caller has no use for these refs any more.

        To be called where a batch raised `StaleHintError` and the stager is to go on.
        """
        self._is_lost &= not self._is_stale
        self._is_stale = False
        self._operations = []
        self._pending = {}
        self._withdrawn = []
        self._bytes = 0

    def flush(self) -> None:
        """Write the batch, so that all that was handed over is in the store."""
        if self._operations:
            self._write(None, None)

    def flush_if_full(self) -> None:
        """Write the batch if it is large enough."""
        if self._bytes >= BATCH_BYTES or len(self._operations) >= BATCH_NODES:
            self._write(None, None)

    def commit(self, root: Ref, action: Action[T]) -> T:
        """Write what is left and run ``action(transaction, root, added)`` in the same transaction.

        ``added`` are the stored bytes of this last batch.  The action returns (whether a version now refers to the
        root, result); the reference passes from the draft to the version.
        """
        return self._write(root, action)

    def close(self) -> None:
        """Let go of locks; what was staged and not committed is left to a dead draft."""
        self._writer.close()
        for draft in self._drafts():
            draft.close()

    def _drafts(self) -> tuple[Draft, ...]:
        return tuple(draft for draft in (self._draft, self._pin) if draft is not None)

    def _pack(self, now_ns: int) -> None:
        """Put the stored forms that the store lacks into a segment, and that on the disk."""
        with self._store.snapshot() as snapshot:
            find = snapshot.transaction.find
            wanted = [
                operation
                for operation in self._operations
                if operation.encoded is not None and find(operation.ref.klass, operation.ref.id) is None
            ]
        if not wanted:
            return
        segment = self._writer.new_segment()
        for operation in wanted:
            encoded = operation.encoded
            assert encoded is not None
            offset = segment.add(operation.packed_class, operation.ref.id, encoded, operation.size, now_ns)
            operation.extent = Extent(self._writer.number, offset, len(encoded.data), encoded.codec)
        self._writer.write_segment(segment)

    def _write(self, root: Ref | None, action: Action[T] | None) -> T:
        if self._is_lost:
            raise BusyError("what was put could not be written", hint="begin again: what is stored already is found")
        now_ns = time.time_ns()  # the birth of what is new, in the pack's index as in the manifest
        self._pack(now_ns)
        try:
            return self._write_batch(root, action, now_ns)
        except BaseException as error:
            # Refs have numbers by now that no node has, unless there was nothing to bring in.
            self._is_lost |= bool(self._operations)
            self._is_stale = isinstance(error, StaleHintError)
            raise

    def _write_batch(self, root: Ref | None, action: Action[T] | None, now_ns: int) -> T:
        result = None
        with self._store.write() as transaction:
            batch = _Batch(transaction, now_ns)
            owed = self._apply(batch)
            if root is not None and action is not None:
                referred, result = action(transaction, root, batch.stored)
                owed[root.node] = owed.get(root.node, 0) - 1
                if referred:
                    batch.count(root.node)
            self._is_lost = True  # until it is committed: what is owed is as after it
            self._settle(batch, owed)
            change_counts(transaction, batch.changes, new=frozenset(batch.created))
            space.condemn(transaction, batch.lost)
            transaction.state.stored_bytes += batch.stored
            if any(operation.extent is not None for operation in self._operations):
                self._writer.record_end(transaction)
            if root is not None:
                for draft in self._drafts():
                    draft.remove(transaction)
        self._is_lost = False
        for draft in self._drafts():
            draft.touch()
        self.stored_bytes += batch.stored
        self._operations = []
        self._pending = {}
        self._bytes = 0
        return result  # type: ignore[return-value]  # only `commit` uses it, and gives an action

    def _apply(self, batch: _Batch) -> dict[int, int]:
        """Bring the operations in; return how many more (or fewer) parents each node is owed."""
        owed: dict[int, int] = {}
        for operation in self._operations:
            batch.apply(operation)
            node = operation.ref.node
            owed[node] = owed.get(node, 0) + operation.promises
            for child in operation.consumed():
                owed[child.node] = owed.get(child.node, 0) - 1
        for ref in self._withdrawn:
            owed[ref.node] = owed.get(ref.node, 0) - 1
        self._withdrawn = []
        return owed

    def _settle(self, batch: _Batch, owed: dict[int, int]) -> None:
        """Hold for the draft what still waits for a parent, and let go of what has one."""
        for node in batch.created:
            if not batch.changes.get(node) and not owed.get(node):
                owed[node] = 1  # nothing refers to it, nor will: the draft keeps it until it is reaped
        for node, change in owed.items():
            before = self._owed.get(node, 0)
            after = before + change
            if after:
                self._owed[node] = after
            else:
                self._owed.pop(node, None)
            if after and not before:
                if self._draft is None:
                    self._draft = Draft(
                        batch.transaction, self._store.run_dir, self._store.file_mode, self._artifact, self._source
                    )
                self._draft.hold(batch.transaction, node)
                batch.count(node)
            elif before and not after and self._draft is not None:
                if read_count(batch.transaction, node) + batch.changes.get(node, 0) == 1:
                    self._owed[node] = before  # withdrawn: nothing refers to it but the draft, which keeps it
                    continue
                self._draft.release(batch.transaction, node)
                batch.count(node, -1)
