"""``ws.drafts``: versions that are assembled step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

from artstore.arguments import Duration, seconds_of, texts_of
from artstore.interrupts import deferring
from artstore.names import check_name
from artstore.queries.resolving import base_version
from artstore.store import Store

if TYPE_CHECKING:
    from artstore.changes.committing import VersionOptions
    from artstore.drafting.batches import VersionBatch
    from artstore.drafting.gathering import Gathering
    from artstore.drafting.open_draft import OpenDraft
    from artstore.queries.versions import Version
    from artstore.rows.drafts import DraftInfo
    from artstore.rows.interrupted import Interrupted

__all__ = ["Drafts"]


@deferring()
class Drafts:
    """The drafts of a workspace."""

    __slots__ = ("_store",)

    def __init__(self, store: Store) -> None:
        self._store = store

    def new(
        self, name: str, *, base: str | None = None, id: str = "", expires: Duration | None = None, shared_as: str = ""
    ) -> OpenDraft:
        """Open a draft of an artifact's next version, empty or with the content of ``base``.

        ``base`` is ``v3``, an alias, or ``NAME:v3``.  Without ``id`` an id is generated.  The draft expires ``expires``
        after its last step, by default after 7 days.  ``shared_as`` is recorded: the name that several programs
        use for the draft.  Raises `ExistsError` if a draft ``id`` is open.
        """
        from artstore.drafting.open_draft import EXPIRY_SECONDS, open_new

        below = None if base is None else base_version(self._store, check_name(name), base).record
        seconds = EXPIRY_SECONDS if expires is None else seconds_of(expires, "expires")
        return open_new(self._store, check_name(name), id, below, seconds, shared_as)

    def gather(self, name: str, base: Version | None = None) -> Gathering:
        """Begin the content of a version that only this process assembles, empty or with the content of ``base``.

        Unlike an open draft, it ends with the process.
        """
        from artstore.drafting.gathering import Gathering

        return Gathering(self._store, name, None if base is None else base.record)

    def batch(self, name: str) -> VersionBatch:
        """Begin a batch: versions of several artifacts that this process commits in one transaction.

        ``name`` describes it until then: that of an artifact.
        """
        from artstore.drafting.batches import VersionBatch

        return VersionBatch(self._store, check_name(name))

    def get(self, id: str) -> OpenDraft:
        """Return the open draft with an id; raise `NotFoundError` if there is none, or it has expired."""
        from artstore.drafting.open_draft import find_draft

        return find_draft(self._store, id)

    def all(self) -> list[OpenDraft]:
        """Return the open drafts, oldest first."""
        from artstore.drafting.open_draft import open_drafts

        return open_drafts(self._store)

    def commit(self, *ids: str, **options: Unpack[VersionOptions]) -> list[Version]:
        """Commit several drafts as versions in one transaction, all or none; the options apply to each of them.

        Raises what `OpenDraft.commit` does, and `InvalidInputError` if two are of one artifact.
        """
        from artstore.changes.committing import Commit
        from artstore.drafting.open_draft import commit_drafts

        drafts = [self.get(ident) for ident in texts_of(ids, "the drafts to commit")]
        versions = commit_drafts(self._store, [(draft, Commit.checked(draft.artifact, **options)) for draft in drafts])
        if not any(version.is_pending for version in versions):
            return versions
        from artstore.remotes.settling import settle

        return [settle(self._store, version) for version in versions]

    def interrupted(self) -> list[Interrupted]:
        """Return what interrupted puts left, the oldest first, and until when another put can reuse it.

        ``ws.gc(interrupted=True)`` frees it at once.
        """
        from artstore.rows.interrupted import are_there, interrupted
        from artstore.rows.planner import plan_after_backlog

        with self._store.snapshot() as snapshot:
            transaction = snapshot.transaction
            if not are_there(transaction, self._store.run_dir):
                return []
            return interrupted(transaction, self._store.run_dir, plan_after_backlog(transaction)[0])

    def states(self) -> list[DraftInfo]:
        """Return all drafts, which hold content that is not yet a version: open drafts, running puts, and dead drafts.

        A dead draft waits until a put of the same content resumes it, or until it is reaped.
        """
        from artstore.rows.drafts import list_drafts

        with self._store.snapshot() as snapshot:
            return list_drafts(snapshot.transaction, self._store.run_dir)
