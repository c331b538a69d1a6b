"""Deleting, restoring and expiring versions wherever they are: here only, or in remotes as well.

What needs a remote is imported only if the workspace knows one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from artstore.arguments import texts_of
from artstore.changes.deleting import Cascade, Deletion, Undeletion
from artstore.queries.resolving import numbered_reference
from artstore.rows.remotes import all_remotes, read_tracking
from artstore.store import Store

if TYPE_CHECKING:
    from artstore.retention.applying import Retired

__all__ = ["delete", "retire", "undelete"]


def delete(
    store: Store,
    refs: Sequence[str],
    *,
    force: bool,
    now: bool,
    dry_run: bool,
    recursive: bool,
    cascade: Cascade,
    local: bool = False,
) -> Deletion:
    """Delete versions, in the remotes that have them too unless ``local``; see `Workspace.delete`."""
    if local or not _has_remotes(store):
        from artstore.changes.deleting import delete
    else:
        from artstore.remotes.deleting import delete
    names = [numbered_reference(store, ref) for ref in texts_of(refs, "the versions to delete")]
    return delete(store, names, force=force, now=now, dry_run=dry_run, recursive=recursive, cascade=cascade)


def undelete(store: Store, refs: Sequence[str]) -> list[Undeletion]:
    """Restore deleted versions, in the remotes that had deleted them too; see `Workspace.undelete`."""
    if _has_remotes(store):
        from artstore.remotes.deleting import undelete
    else:
        from artstore.changes.deleting import undelete
    return undelete(store, refs)


def retire(store: Store, *, trust_clock: bool = False, dry_run: bool = False) -> Retired:
    """Delete the versions that expire, in the remotes that have them too; see `artstore.retention.applying.apply`."""
    from artstore.retention.applying import Deleter, apply

    deleter: Deleter | None = None
    if _has_remotes(store):
        from artstore.remotes.deleting import delete_expired

        with store.snapshot() as snapshot:
            groups = dict(read_tracking(snapshot.transaction).versions.keys())
        deleter = Deleter(delete_expired, groups)
    return apply(store, trust_clock=trust_clock, dry_run=dry_run, deleter=deleter)


def _has_remotes(store: Store) -> bool:
    with store.snapshot() as snapshot:
        return bool(all_remotes(snapshot.transaction))
