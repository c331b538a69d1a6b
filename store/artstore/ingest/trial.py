"""Building the tree that a put would store, without storing it: for dry runs and for comparing folders with versions.

A `TrialStager` takes the place of a `Stager`.  Directory records stay in memory, under node numbers that no store gives
(from `FIRST_NODE` on), and refer to the nodes that the store has; content is only counted.  So the tree can be compared
with any other, and what it would add is known to the byte.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NoReturn, TypeVar

from artstore.errors import NotFoundError
from artstore.ingest.batch import NewChunk, NewIndex, NewTree, NodeBatch, Operation, Ref, StaleHintError
from artstore.ingest.staging import Action, Stager
from artstore.records.nodes import Extent
from artstore.records.trees import TreeTotals, TreeView
from artstore.rows.snapshot import Snapshot
from artstore.storage.manifest import ReadTransaction
from artstore.store import Store

__all__ = ["FIRST_NODE", "TrialStager"]

T = TypeVar("T")

FIRST_NODE: Final = 1 << 62
"""The first node number of what is not stored."""
_NOWHERE: Final = Extent(0, 0, 0, 0)


class _Known:
    """What was made of a node in an earlier batch."""

    __slots__ = ("digest", "node", "totals")

    def __init__(self, ref: Ref) -> None:
        self.node = ref.node
        self.digest = ref.digest
        self.totals: TreeTotals | None = ref.totals


class _TrialBatch(NodeBatch):
    """One batch of new nodes that are numbered, but not stored."""

    def __init__(self, transaction: ReadTransaction, made: dict[tuple[int, bytes], _Known]) -> None:
        super().__init__(transaction)
        self._made = made

    def adopt(self, ref: Ref) -> bool:
        """Point a ref at the node that the store or an earlier batch has for its id; return whether there is one."""
        if super().adopt(ref):
            return True
        known = self._made.get((ref.klass, ref.id))
        if known is None:
            return False
        ref.node, ref.digest, ref.totals = known.node, known.digest, known.totals
        return True

    def add(self, operation: Operation) -> bytes | None:
        """Number one node, or find the existing one; return the record of a new directory."""
        ref = operation.ref
        if self.adopt(ref):
            return None
        if operation.encoded is None:
            raise StaleHintError("content that was found a moment ago no longer exists")
        self.stored += len(operation.encoded.data)
        if isinstance(operation, NewChunk) and self._adopt_lost(ref):
            return None
        ref.node = FIRST_NODE + len(self._made)
        payload = operation.make(self, _NOWHERE) if isinstance(operation, NewTree | NewIndex) else None
        self._made[ref.klass, ref.id] = _Known(ref)
        return payload


class TrialStager(Stager):
    """Take nodes as a `Stager` does, and keep only directory records, in memory; nothing is written to the store."""

    def __init__(self, store: Store, artifact: str) -> None:
        super().__init__(store, artifact, "", writes=False)
        self._made: dict[tuple[int, bytes], _Known] = {}
        self._views: dict[int, TreeView] = {}

    def hold_base(self, serial: int, root: int) -> None:
        """Check that a version lives; nothing keeps it from being deleted meanwhile."""
        with self._store.snapshot() as snapshot:
            if snapshot.version(serial) is None:
                raise NotFoundError("the version to build on has been deleted")

    def root(self, root: Ref) -> int:
        """Take the remaining nodes; return the node of the root."""
        self.flush()
        return root.node

    def loader(self, snapshot: Snapshot) -> Callable[[int], TreeView]:
        """Return what reads directory records, those of the trial and those of the store as of ``snapshot``."""

        def load(node: int) -> TreeView:
            return self._views[node] if node >= FIRST_NODE else snapshot.tree(node)

        return load

    def identity(self, snapshot: Snapshot) -> Callable[[int], bytes]:
        """Return what gives a node's content id, or a directory's digest, of the trial and of the store."""
        ids = {known.node: known.digest for known in self._made.values()}

        def identity(node: int) -> bytes:
            return ids[node] if node >= FIRST_NODE else snapshot.identity(node)

        return identity

    def commit(
        self, root: Ref, action: Action[T], require: Callable[[ReadTransaction], None] | None = None
    ) -> NoReturn:
        """Refuse: a trial makes no version."""
        raise AssertionError("a trial makes no version")

    def close(self, *, keep: bool = True) -> None:
        """Do nothing: there are no locks."""

    def _write(
        self,
        root: Ref | None,
        action: Action[T] | None,
        require: Callable[[ReadTransaction], None] | None = None,
    ) -> T:
        with self._store.snapshot() as snapshot:
            batch = _TrialBatch(snapshot.transaction, self._made)
            for operation in self._operations:
                payload = batch.add(operation)
                if payload is not None:
                    self._views[operation.ref.node] = TreeView(payload)
        self.stored_bytes += batch.stored
        self.discard()
        return None  # type: ignore[return-value]  # only `commit` uses it
