"""Following the log of a remote: versions that were deleted or restored there are deleted or restored here.

The log decides what exists of the artifacts that track a remote.  A copy here keeps an undelete window of its own,
which begins when this workspace reads of the deletion, so that no fetch takes content away at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from artstore.changes.deleting import delete, undelete
from artstore.errors import NotFoundError, RefusedError
from artstore.records.catalogue import VersionRecord
from artstore.records.remotes import PENDING
from artstore.remotes.connection import Connection
from artstore.remotes.log.state import LIVE, State, VersionRow
from artstore.remotes.showing import show
from artstore.rows import catalogue
from artstore.rows import remotes as rows
from artstore.rows.remotes import Tracking
from artstore.storage.manifest import ReadTransaction
from artstore.store import Store

__all__ = ["Followed", "deleted_by", "follow"]


@dataclass(slots=True)
class Followed:
    """The local versions, as ``NAME:v3``, that were ``deleted`` and ``restored``; ``kept`` are sentences why not."""

    deleted: list[str] = field(default_factory=list)
    restored: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)


def deleted_by(state: State, row: VersionRow, remote: str) -> str:
    """Return who deleted a version, by which rule and by which entry, as the reason that is recorded here."""
    machine = state.machines.get(row.changed.machine)
    by = machine.by if machine is not None and machine.by else f"machine {row.changed.machine.hex()[:8]}"
    rule = f"{row.reason}; " if row.reason else ""
    return f"{rule}{by} (entry {row.changed.number} of {remote})"


def follow(store: Store, remote: Connection) -> Followed:
    """Delete and restore local versions as the log says, as far as it was read; aliases and dependants do not matter.

    A version that was deleted here only (``artfs rm --local``) stays deleted.
    """
    followed = Followed()
    state = remote.state
    gone: list[tuple[str, int, str]] = []
    back: list[str] = []
    with store.snapshot() as snapshot:
        transaction = snapshot.transaction
        record = rows.all_remotes(transaction).get(remote.uuid)
        tracking = rows.read_tracking(transaction)
        found = [] if record is None else _counterparts(transaction, tracking, remote)
        for version, row in found:
            assert record is not None
            name = catalogue.label(transaction, version)
            if version.state == "live" and row.state != LIVE:
                gone.append((name, version.serial, deleted_by(state, row, record.name)))
            elif version.state != "live" and row.state == LIVE and version.reason and record.folded <= state.number:
                back.append(name)
    _delete(store, gone, followed)
    for name in back:
        try:
            undelete(store, [name])
            followed.restored.append(name)
        except (RefusedError, NotFoundError):
            pass  # it is being reaped: a pull makes it local again
    if followed.deleted or followed.restored:
        show(store, remote)
    return followed


def _counterparts(
    transaction: ReadTransaction, tracking: Tracking, remote: Connection
) -> list[tuple[VersionRecord, VersionRow]]:
    """Return the local versions that the log has, with their rows there."""
    found = []
    for (serial, uuid), there in sorted(tracking.versions.items()):
        if uuid == remote.uuid and there.way != PENDING:
            version, row = catalogue.recorded_version(transaction, serial), remote.state.version_of(there.uuid)
            if version is not None and row is not None:
                found.append((version, row))
    return found


def _delete(store: Store, gone: Sequence[tuple[str, int, str]], followed: Followed) -> None:
    """Delete versions together, or one by one if one of them cannot be deleted."""
    if not gone:
        return
    names = [name for name, _, _ in gone]
    reasons = {serial: reason for _, serial, reason in gone}
    try:
        delete(store, names, force=True, now=False, dry_run=False, recursive=False, cascade="orphan", reasons=reasons)
    except (RefusedError, NotFoundError) as error:
        if len(gone) == 1:
            followed.kept.append(f"{names[0]} was deleted by {gone[0][2]}, and is kept here: {error.message}")
        for each in gone if len(gone) > 1 else ():
            _delete(store, [each], followed)
        return
    followed.deleted += names
