"""Operations on what a workspace knows of remotes: which there are, and what tracks them.

What a rebuild must restore is journalled: remotes, tracking artifacts, and versions that were pushed or pulled.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from artstore import daemon_requests
from artstore.changes.landing import land
from artstore.daemon_requests import Change
from artstore.errors import ExistsError, NotFoundError, RefusedError
from artstore.names import is_pending
from artstore.records.catalogue import ArtifactRecord
from artstore.records.events import CounterpartEvent, RemoteEvent, TrackEvent
from artstore.records.remotes import PENDING, Counterpart, RemoteRecord
from artstore.rows import catalogue
from artstore.rows import remotes as rows
from artstore.rows.pending import is_tracked
from artstore.storage import journal
from artstore.storage.manifest import WriteTransaction
from artstore.store import Store

__all__ = ["forget_counterpart", "forget_remote", "record_counterpart", "record_remote", "track", "update_remote"]


def record_remote(store: Store, uuid: bytes, record: RemoteRecord) -> None:
    """Record a remote; raise `ExistsError` if its name, its URL or the remote itself is known already."""
    with store.write() as transaction:
        for other_uuid, other in rows.all_remotes(transaction).items():
            if other.name == record.name:
                raise ExistsError(
                    f"there is a remote {record.name!r} already, at {other.url}", hint="use another name for this one"
                )
            if other_uuid == uuid or other.url == record.url:
                raise ExistsError(
                    f"{record.url} is the remote {other.name!r} already",
                    hint=f"use it, or remove it first: artfs remote rm {other.name}",
                )
        rows.put_remote(transaction, uuid, record)
        journal.append(store.path, transaction, [rows.remote_event(uuid, record)])


def update_remote(store: Store, uuid: bytes, **values: Any) -> RemoteRecord:
    """Change what is recorded of a remote; return the record.  Raises `NotFoundError` if it was removed meanwhile."""
    with store.write() as transaction:
        before = rows.all_remotes(transaction).get(uuid)
        if before is None:
            raise NotFoundError("the remote was removed in the meantime")
        after = replace(before, **values)
        rows.put_remote(transaction, uuid, after)
        if (event := rows.remote_event(uuid, after)) != rows.remote_event(uuid, before):
            journal.append(store.path, transaction, [event])
    return after


def forget_remote(store: Store, name: str, *, keep_local: bool = False) -> tuple[RemoteRecord, list[str]]:
    """Forget a remote; return its record and the names of the artifacts that tracked it.

    Nothing is removed at the remote, and no local version is.  Pending versions that no other remote numbers become the
    next ones here.  Raises `NotFoundError`, and without ``keep_local`` `RefusedError` if artifacts track it.
    """
    changes: list[Change] = []
    with store.write() as transaction:
        found = rows.find_remote(transaction, name)
        if found is None:
            raise NotFoundError(f"there is no remote {name!r}", hint="list them: artfs remote ls")
        uuid, record = found
        numbers = list(rows.tracked_in(transaction, uuid))
        records = (catalogue.artifact(transaction, number) for number in numbers)
        tracking = sorted(artifact.name for artifact in records if artifact is not None)
        if tracking and not keep_local:
            more = len(tracking) - 1
            some = (
                f"{tracking[0]!r} and {more} more artifacts belong" if more else f"the artifact {tracking[0]!r} belongs"
            )
            raise RefusedError(
                f"{some} to the remote {name!r}",
                hint=f"to keep them as local artifacts: artfs remote rm {name} --keep-local",
            )
        rows.forget_remote(transaction, uuid)
        journal.append(store.path, transaction, [RemoteEvent(uuid=uuid.hex(), name=None)])
        for number in numbers:
            changes += _number_pending(store, transaction, number)
    if changes:
        daemon_requests.notify(store.run_dir, changes)
    return record, tracking


def _number_pending(store: Store, transaction: WriteTransaction, number: int) -> Iterator[Change]:
    """Number the pending versions of an artifact, unless a remote does; yield what mounts have to drop."""
    if is_tracked(transaction, number):
        return
    for version in catalogue.versions_of(transaction, number):
        artifact = catalogue.artifact(transaction, number)
        if artifact is not None and is_pending(version.number):
            yield from land(store, transaction, version, artifact.next_version)[1]


def track(store: Store, transaction: WriteTransaction, artifact: ArtifactRecord, remote: bytes, uuid: bytes) -> None:
    """Record and journal that an artifact tracks one of a remote."""
    rows.put_tracked(transaction, artifact.number, remote, uuid)
    event = TrackEvent(name=artifact.name, remote=remote.hex(), artifact=uuid.hex())
    journal.append(store.path, transaction, [event])


def record_counterpart(
    store: Store, transaction: WriteTransaction, serial: int, remote: bytes, counterpart: Counterpart
) -> None:
    """Record which version of a remote a version is; journal it unless it is only about to be pushed.

    Raises `NotFoundError` if the version has been reaped.
    """
    version = catalogue.recorded_version(transaction, serial)
    artifact = None if version is None else catalogue.artifact(transaction, version.artifact)
    if version is None or artifact is None:
        raise NotFoundError("the version has been deleted in the meantime")
    rows.put_counterpart(transaction, serial, remote, counterpart)
    if counterpart.way != PENDING:
        event = rows.counterpart_event(artifact.name, version.number, remote, counterpart)
        journal.append(store.path, transaction, [event])


def forget_counterpart(store: Store, transaction: WriteTransaction, serial: int, remote: bytes) -> None:
    """Forget, and journal, which version of a remote a version is: a push sends it as a new one."""
    counterpart = rows.counterparts_of(transaction, serial).get(remote)
    version = catalogue.recorded_version(transaction, serial)
    artifact = None if version is None else catalogue.artifact(transaction, version.artifact)
    if counterpart is None or version is None or artifact is None:
        return
    rows.forget_counterpart(transaction, serial, remote)
    if counterpart.way != PENDING:
        event = CounterpartEvent(
            name=artifact.name,
            version=version.number,
            remote=remote.hex(),
            uuid=counterpart.uuid.hex(),
            number=counterpart.number,
            way="none",
        )
        journal.append(store.path, transaction, [event])
