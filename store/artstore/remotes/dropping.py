"""Giving local copies of versions back: the remote has them, and they are read from there again."""

from __future__ import annotations

from collections.abc import Sequence

from artstore.changes.deleting import delete
from artstore.changes.version_ranges import select
from artstore.errors import RefusedError
from artstore.names import version_label
from artstore.records.remotes import PENDING
from artstore.remotes.connecting import choose, connect, note_position
from artstore.remotes.log.state import LIVE
from artstore.rows import remotes as rows
from artstore.store import Store

__all__ = ["drop"]


def drop(store: Store, refs: Sequence[str], remote: str | None = None) -> list[str]:
    """Remove local versions for good that a remote has; return their names.  They are shown as the remote's then.

    Nothing is deleted in the remote, and there is no undelete window here.  Raises `RefusedError` for a version that
    the remote does not have, or that another local one was made from, and the errors of the store: nothing is removed
    then.
    """
    uuid, record = choose(store, remote)
    connection = connect(store, uuid, record)
    names = []
    with store.snapshot() as snapshot:
        for artifact, version in select(snapshot.transaction, refs):
            name = f"{artifact.name}:{version_label(version.number)}"
            there = rows.counterparts_of(snapshot.transaction, version.serial).get(uuid)
            row = None if there is None or there.way == PENDING else connection.state.version_of(there.uuid)
            if row is None or row.state != LIVE:
                raise RefusedError(
                    f"the remote {record.name!r} does not have {name}", hint=f"send it first: artfs push {name}"
                )
            names.append(name)
    delete(store, names, force=True, now=True, dry_run=False, recursive=False)
    note_position(store, connection)
    return names
