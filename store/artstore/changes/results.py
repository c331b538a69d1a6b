"""The result of a change: the version that it led to, and the daemons that were not notified."""

from __future__ import annotations

from dataclasses import dataclass

from artstore import daemon_requests
from artstore.changes.committing import Commit, Committed, commit
from artstore.daemon_requests import Change
from artstore.daemons import DaemonInfo
from artstore.ingest.batch import Ref
from artstore.ingest.staging import Stager
from artstore.queries.versions import PutReceipt, Version
from artstore.store import Store

__all__ = ["PutResult", "announce", "commit_staged", "version_of"]


@dataclass(frozen=True, slots=True)
class PutResult:
    """The result of a put: the version, the stored bytes added, and the daemons that did not answer.

    ``reaped_bytes`` are bytes of deleted content that were freed early because the disk was full.
    """

    committed: Committed
    new_bytes: int
    silent: list[DaemonInfo]
    reaped_bytes: int = 0


def commit_staged(store: Store, stager: Stager, root: Ref, request: Commit) -> PutResult:
    """Make the staged content a version; raise the errors of `commit`."""
    committed = stager.commit(
        root, lambda transaction, root, added: commit(store, transaction, root, request, stager.stored_bytes + added)
    )
    return PutResult(committed, stager.stored_bytes, announce(store, committed.changes))


def version_of(store: Store, result: PutResult) -> Version:
    """Return the version that a put led to, with the receipt for it."""
    committed = result.committed
    silent = [daemon.mountpoint for daemon in result.silent]
    receipt = PutReceipt(committed.created, result.new_bytes, silent, result.reaped_bytes)
    return Version(store, committed.artifact.name, committed.version, committed.artifact.type, receipt)


def announce(store: Store, changes: list[Change]) -> list[DaemonInfo]:
    """Notify every live daemon of changes; return those that did not answer."""
    return daemon_requests.notify(store.run_dir, changes) if changes else []
