"""Staging: adding nodes to the store, in batches, each node owned from the moment it exists.

A batch is written in three steps: its stored forms go to a pack as one synced segment; one write transaction gives
node numbers in the order in which nodes were handed over (tree order) and counts references; then the caller's
`Ref` objects know their nodes.

Guarantees:

- Every node counts its parents.  A node whose parent is not staged yet is held by the draft; when the parent is added,
  in this batch or a later one, it takes that reference over.
- Every lookup outside the write transaction is a hint.  The transaction checks it again: a stored form that another
  put added first is condemned, and a node that has vanished raises `StaleHintError`.
- After an exception the store is as the last complete batch left it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, TypeVar

from artstore.errors import ArtfsError, BusyError
from artstore.ids import content_id
from artstore.ingest.batch import (
    Batch,
    EntryDraft,
    KnownNode,
    NewChunk,
    NewIndex,
    NewList,
    NewTree,
    Operation,
    Ref,
    StaleHintError,
)
from artstore.interrupts import shielded
from artstore.records.nodes import Extent, canonical_list
from artstore.records.packed_trees import (
    Attributes,
    CanonicalEntry,
    canonical_entries,
    canonical_index,
    entry_attributes,
    form_id,
    index_attributes,
)
from artstore.records.packing import CLASS_CONTENT, CLASS_LIST, CLASS_TREE
from artstore.records.trees import Kind, TreeEntry
from artstore.rows import space
from artstore.rows.drafts import Draft, pin
from artstore.rows.nodes import change_counts, read_count
from artstore.rows.snapshot import Snapshot
from artstore.rows.views import refuse_shown_only
from artstore.storage import disk
from artstore.storage.codec import Encoded
from artstore.storage.manifest import ReadTransaction, WriteTransaction
from artstore.storage.reserve import RESERVE
from artstore.store import Store

__all__ = ["RequirementError", "Stager", "draft_of", "entries_digest"]

T = TypeVar("T")

Action = Callable[[WriteTransaction, "Ref", int], tuple[bool, T]]

BATCH_BYTES: Final = 32 * 1024 * 1024
"""Stored bytes after which a batch is written."""
BATCH_NODES: Final = 1500
"""Nodes after which a batch is written: its transaction then holds the write lock for less than 50 ms."""


class RequirementError(BusyError):
    """Raised by what `Stager.commit` requires, if another process has changed what the commit was prepared for."""


class Stager:
    """Add the nodes of one version to the store; used by one thread, ended by `commit` or `close`."""

    def __init__(
        self, store: Store, artifact: str, source: str, *, keep_free: int = RESERVE, writes: bool = True
    ) -> None:
        """Leave ``keep_free`` bytes of the disk; with ``writes`` False nothing is required of it."""
        if writes:
            disk.require_writable(store.path)  # before the source is read
            with store.snapshot() as snapshot:
                refuse_shown_only(snapshot.transaction)
        self._store = store
        self._artifact = artifact
        self._source = source
        self._writer = store.pack_writer(keep_free=keep_free)
        self._operations: list[Operation] = []
        self._pending: dict[tuple[int, bytes], Operation] = {}
        self._bytes = 0
        self._withdrawn: list[Ref] = []
        self._owed: dict[int, int] = {}
        self._draft: Draft | None = None
        self._pin: Draft | None = None
        self._is_lost = False
        self._is_stale = False
        self._has_content = False
        self.stored_bytes = 0
        """Stored bytes that this put has added."""

    def hold_base(self, serial: int, root: int) -> None:
        """Keep the root of a version while the stager lives, even if the version is deleted.

        Raises `NotFoundError` if it is gone.
        """
        with self._store.write() as transaction:
            self._pin = pin(transaction, self._store.run_dir, self._store.file_mode, self._artifact, serial, root)

    def _hand_over(self, operation: Operation) -> Ref:
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
        """Hand a chunk over: its id, its length, and its stored form, or None if it exists according to a hint."""
        ref = Ref(CLASS_CONTENT, ident)
        return self._hand_over(KnownNode(ref, None) if encoded is None else NewChunk(ref, encoded, size))

    def known_tree(self, form: bytes, digest: bytes = b"") -> Ref:
        """Hand over a directory that exists according to a hint, by its form id.

        Without a ``digest``, the ref has the right one when its batch is written, and can have no parent before.
        """
        return self._hand_over(KnownNode(Ref(CLASS_TREE, form, digest), None))

    def list(self, level: int, children: Sequence[tuple[Ref, int]], root_id: bytes | None) -> Ref:
        """Hand over an extent list of (child, length); ``root_id`` is the content's id if this is the whole file."""
        data = canonical_list(level, [(child.klass, child.id, length) for child, length in children])
        ref = Ref(CLASS_LIST, content_id(data)) if root_id is None else Ref(CLASS_CONTENT, root_id)
        return self._hand_over(NewList(ref, data, level, children))

    def tree(self, entries: Sequence[EntryDraft]) -> Ref:
        """Hand over a directory record of level 0; its form id is the ref's id."""
        data = _canonical(entries)
        attributes = entry_attributes([Attributes(entry.mtime_ns, entry.mode, entry.form) for entry in entries])
        return self._hand_over(NewTree(_tree_ref(data, attributes), data + attributes, entries))

    def index(self, level: int, children: Sequence[tuple[bytes, Ref]]) -> Ref:
        """Hand over a directory record above level 0: (last name, record) of each record below."""
        data = canonical_index(level, [(name, child.digest) for name, child in children])
        attributes = index_attributes([child.id for _, child in children])
        return self._hand_over(NewIndex(_tree_ref(data, attributes), data + attributes, level, children))

    def withdraw(self, ref: Ref) -> None:
        """Withdraw one reference: no parent will follow for it."""
        self._withdrawn.append(ref)

    def discard(self) -> None:
        """Forget the nodes handed over since the last batch; the caller must not use their refs any more.

        To be called if a batch raised `StaleHintError` and the stager is still needed.
        """
        if self._is_stale:
            self._is_lost = False
        self._is_stale = False
        self._operations = []
        self._pending = {}
        self._withdrawn = []
        self._bytes = 0

    def flush(self) -> None:
        """Write the batch, so that all handed-over nodes are in the store."""
        if self._operations:
            self._write(None, None)

    def flush_if_full(self) -> None:
        """Write the batch if it is large enough."""
        if self._bytes >= BATCH_BYTES or len(self._operations) >= BATCH_NODES:
            self._write(None, None)

    def commit(self, root: Ref, action: Action[T], require: Callable[[ReadTransaction], None] | None = None) -> T:
        """Write the remaining nodes and run ``action(transaction, root, added)`` in the same transaction.

        ``added`` are the stored bytes of this last batch.  The action returns (whether a version now refers to the
        root, result); the reference passes from the draft to the version.  ``require`` is called first: if it raises,
        nothing is written, and the stager can go on.
        """
        return self._write(root, action, require)

    def close(self, *, keep: bool = True) -> None:
        """Release the locks; nodes that were staged but not committed are left to a dead draft.

        There another put finds them.  Without ``keep``, and if there is no content of files among them, they are given
        up instead.
        """
        self._writer.close()
        given_up = [draft for draft in self._drafts() if not draft.has_ended and not (keep and self._has_content)]
        try:
            if given_up:
                # If that fails they are dead drafts.
                with shielded(), suppress(ArtfsError, OSError), self._store.write() as transaction:
                    for draft in given_up:
                        draft.remove(transaction)
        finally:
            for draft in self._drafts():
                draft.close()

    def _drafts(self) -> tuple[Draft, ...]:
        return tuple(draft for draft in (self._draft, self._pin) if draft is not None)

    def _pack(self, now_ns: int) -> None:
        """Write the stored forms that the store lacks to the disk, as one segment."""
        with self._store.snapshot() as snapshot:
            find = snapshot.transaction.find
            wanted = [
                operation
                for operation in self._operations
                if operation.encoded is not None
                and operation.extent is None  # else a write that was refused has packed it already
                and find(operation.ref.klass, operation.ref.id) is None
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

    def _write(
        self, root: Ref | None, action: Action[T] | None, require: Callable[[ReadTransaction], None] | None = None
    ) -> T:
        if self._is_lost:
            raise BusyError(
                "the new content could not be written", hint="try again: content that is already stored is reused"
            )
        now_ns = time.time_ns()  # the birth time of new nodes, in the pack's index as in the manifest
        self._pack(now_ns)
        try:
            return self._write_batch(root, action, require, now_ns)
        except RequirementError:
            raise
        except BaseException as error:
            # Refs now have numbers that no node has, unless there was nothing to add.
            if self._operations:
                self._is_lost = True
            self._is_stale = isinstance(error, StaleHintError)
            raise

    def _write_batch(
        self,
        root: Ref | None,
        action: Action[T] | None,
        require: Callable[[ReadTransaction], None] | None,
        now_ns: int,
    ) -> T:
        result = None
        with self._store.write() as transaction:
            if require is not None:
                require(transaction)
            batch = Batch(transaction, now_ns)
            owed = self._apply(batch)
            if root is not None and action is not None:
                referred, result = action(transaction, root, batch.stored)
                owed[root.node] = owed.get(root.node, 0) - 1
                if referred:
                    batch.count(root.node)
            self._is_lost = True  # until it is committed: ``_owed`` is already as after it
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
        self._has_content |= any(isinstance(operation, NewChunk) for operation in self._operations)
        self._operations = []
        self._pending = {}
        self._bytes = 0
        return result  # type: ignore[return-value]  # only `commit` uses it, and gives an action

    def _apply(self, batch: Batch) -> dict[int, int]:
        """Apply the operations; return how many more (or fewer) parents each node is owed."""
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

    def _settle(self, batch: Batch, owed: dict[int, int]) -> None:
        """Hold nodes that still wait for a parent for the draft, and release those that have one."""
        for node in batch.created:
            if not batch.changes.get(node) and not owed.get(node):
                owed[node] = 1  # nothing refers to it or will: the draft keeps it until the draft is reaped
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


def draft_of(snapshot: Snapshot, entry: TreeEntry) -> EntryDraft:
    """Return a stored entry as an entry of a directory that is being built."""
    if entry.kind is Kind.DIRECTORY:
        view = snapshot.tree(entry.node)
        return EntryDraft(entry.name, entry.kind, 0, view.digest, None, entry.mtime_ns, entry.mode, view.form)
    ident = snapshot.identity(entry.node)
    return EntryDraft(entry.name, entry.kind, entry.size, ident, None, entry.mtime_ns, entry.mode)


def _canonical(entries: Sequence[EntryDraft]) -> bytes:
    return canonical_entries([CanonicalEntry(entry.name, entry.kind, entry.size, entry.id) for entry in entries])


def entries_digest(entries: Sequence[EntryDraft]) -> bytes:
    """Return the digest of a directory record of level 0."""
    return content_id(_canonical(entries))


def _tree_ref(canonical: bytes, attributes: bytes) -> Ref:
    digest = content_id(canonical)
    return Ref(CLASS_TREE, form_id(digest, attributes), digest)
