"""Pushing a version that was just made in an artifact whose versions a remote numbers.

It is pushed at once if the remote answers; else it stays pending, as ``p1``, which a later push makes the next version.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from artstore.errors import ArtfsError
from artstore.names import is_pending, version_label
from artstore.queries.resolving import version_of_reference
from artstore.queries.versions import PutReceipt, Version
from artstore.records.catalogue import VersionRecord
from artstore.rows import remotes as rows
from artstore.store import Store

if TYPE_CHECKING:
    from artstore.records.remotes import RemoteRecord

__all__ = ["settle"]


def settle(store: Store, version: Version, *, push: bool = True) -> Version:
    """Push a pending version, and those before it, to the remote that numbers it; return it as it is then.

    A version that is not pending is returned as it is.  ``unpushed`` of the receipt says why it stays pending: a push
    that fails is no error.
    """
    if not is_pending(version.number):
        return version
    remote, waiting = _waiting(store, version.record)
    reason, lost = "", []
    if remote is None:
        reason = "the remote that it belongs to is not known any more"
    elif not push:
        reason = "it was put without a push"
    elif remote.read_only:
        reason = f"the remote {remote.name!r} was added for reading only"
    else:
        from artstore.remotes.exchanging import push as send

        try:
            sent = send(store, [f"{version.artifact}:{version_label(each.number)}" for each in waiting], remote.name)
            lost = sent.lost
        except (ArtfsError, OSError) as error:
            reason = str(error)
    settled = version_of_reference(store, version.name)
    receipt = version.receipt or PutReceipt(True, 0, [])
    pushed_to = remote.name if remote is not None and not reason else ""
    receipt = receipt._replace(unpushed=reason, pushed_to=pushed_to, lost=tuple(lost))
    return Version(store, settled.artifact, settled.record, settled.type, receipt)


def _waiting(store: Store, record: VersionRecord) -> tuple[RemoteRecord | None, list[VersionRecord]]:
    """Return the remote that numbers a version, and the pending ones of its artifact up to it."""
    with store.snapshot() as snapshot:
        home = rows.home_of(snapshot.transaction, record.artifact)
        remote = None if home is None else rows.all_remotes(snapshot.transaction).get(home)
        versions = snapshot.versions_of(record.artifact)
    return remote, [each for each in versions if is_pending(each.number) and each.number <= record.number]
