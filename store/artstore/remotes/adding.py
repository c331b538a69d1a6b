"""Adding, showing and checking the remotes of a workspace."""

from __future__ import annotations

import time
import uuid as uuids
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

from artstore.changes import tracking
from artstore.clock import utc
from artstore.errors import DamageError, ExistsError, InvalidInputError, NotFoundError
from artstore.names import check_new_remote
from artstore.objects.opening import address_of, open_store
from artstore.objects.probing import Probe, probe
from artstore.objects.protocol import ObjectStore
from artstore.records.remotes import RemoteRecord
from artstore.records.uris import has_user_part, secret_parameter, shown_uri
from artstore.remotes.identity import IDENTITY, RemoteIdentity, create_identity, read_identity, refuse_foreign
from artstore.remotes.log.fold import BrokenLogError
from artstore.remotes.log.reading import Log
from artstore.rows import catalogue
from artstore.rows import remotes as rows
from artstore.storage.manifest import ReadTransaction
from artstore.store import Store

__all__ = [
    "Remote",
    "add",
    "all_remotes",
    "check",
    "find",
    "log_break",
    "open_objects",
    "open_remote",
    "read_log",
    "remove",
    "require_identity",
]

_KINDS: Final = "s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, az://CONTAINER/PREFIX or file:///FOLDER"


@dataclass(frozen=True, slots=True)
class Remote:
    """A remote as a workspace knows it.

    ``probe`` is the document of the last probe, made at ``probed_at``; ``broken`` says what it found against using the
    remote, "" if nothing.  The log was read up to entry ``entries``.  ``artifacts`` are the local ones that track it.
    """

    name: str
    url: str
    uuid: str
    read_only: bool
    added_at: datetime
    probed_at: datetime | None
    broken: str
    entries: int
    artifacts: list[str]
    probe: Mapping[str, Any] = field(repr=False)


def all_remotes(store: Store) -> list[Remote]:
    """Return the remotes, by name; no request is made."""
    with store.snapshot() as snapshot:
        found = rows.all_remotes(snapshot.transaction)
        return [_described(snapshot.transaction, uuid, record) for uuid, record in found.items()]


def find(store: Store, name: str) -> Remote:
    """Return a remote; raise `NotFoundError` if there is none of that name."""
    uuid, _ = _find(store, name)
    return _current(store, uuid)


def _find(store: Store, name: str) -> tuple[bytes, RemoteRecord]:
    with store.snapshot() as snapshot:
        found = rows.find_remote(snapshot.transaction, name)
    if found is None:
        raise NotFoundError(f"there is no remote {name!r}", hint="list them: artfs remote ls")
    return found


def _current(store: Store, uuid: bytes) -> Remote:
    with store.snapshot() as snapshot:
        record = rows.all_remotes(snapshot.transaction).get(uuid)
        if record is None:
            raise NotFoundError("the remote was removed in the meantime")
        return _described(snapshot.transaction, uuid, record)


def _described(transaction: ReadTransaction, uuid: bytes, record: RemoteRecord) -> Remote:
    artifacts = (catalogue.artifact(transaction, number) for number in rows.tracked_in(transaction, uuid))
    return Remote(
        name=record.name,
        url=record.url,
        uuid=str(uuids.UUID(bytes=uuid)),
        read_only=record.read_only,
        added_at=utc(record.added_ns),
        probed_at=utc(record.probed_ns) if record.probed_ns else None,
        broken=record.broken,
        entries=record.folded,
        artifacts=sorted(artifact.name for artifact in artifacts if artifact is not None),
        probe=record.probe,
    )


def add(store: Store, name: str, url: str, *, read_only: bool = False, anonymous: bool = False) -> Remote:
    """Add a remote, after a probe of its store; make the prefix a remote if it is empty, unless ``read_only``.

    One that is read as ``anonymous`` is read-only.

    Raises `InvalidInputError` for a URL of another kind or with a secret, `ExistsError` if the name or the place is
    known already, `NotFoundError` if there is no bucket or, with ``read_only``, no remote, `RefusedError` for a prefix
    with other objects, `UnsupportedError` for another format or a store that breaks a promise, and the errors of the
    store.  Nothing is recorded then.
    """
    check_new_remote(name)
    read_only = read_only or anonymous
    objects = open_objects(url, read_only=read_only, anonymous=anonymous)
    _refuse_known(store, name, objects.url)
    identity = read_identity(objects)
    if identity is None:
        refuse_foreign(objects)
        if read_only:
            raise _no_remote(objects)
    found = probe(objects, writing=not read_only)
    found.require(writing=not read_only)
    document = found.document()
    if identity is None:
        created = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        identity = create_identity(objects, created, document)
    now_ns = time.time_ns()
    record = RemoteRecord(name, objects.url, read_only, now_ns, anonymous, probed_ns=now_ns, probe=document)
    log = read_log(objects, identity.uuid, record)
    record = replace(record, folded=log.state.number, head=log.state.last.hex())
    tracking.record_remote(store, identity.uuid, record)
    return _current(store, identity.uuid)


def open_remote(url: str, *, read_only: bool = False, anonymous: bool = False) -> tuple[ObjectStore, RemoteIdentity]:
    """Return the store of a URL, and the identity of the remote there.

    Raises `NotFoundError` if there is none, and what `add` raises for one that cannot be used.
    """
    objects = open_objects(url, read_only=read_only or anonymous, anonymous=anonymous)
    identity = read_identity(objects)
    if identity is None:
        raise _no_remote(objects)
    return objects, identity


def _no_remote(objects: ObjectStore) -> NotFoundError:
    return NotFoundError(f"there is no remote at {objects.url}", hint="make one there: artfs remote add NAME URL")


def open_objects(url: str, *, read_only: bool, anonymous: bool) -> ObjectStore:
    """Open the store of a URL that a remote may have, without a request; raise `InvalidInputError` for another URL."""
    if not isinstance(url, str) or ("://" not in url and not url.startswith("/")):
        raise InvalidInputError(f"{url!r} is not the URL of a remote", hint=_KINDS)
    secret = "a password" if has_user_part(url) else secret_parameter(url) and "a secret"
    if secret:
        raise InvalidInputError(
            f"the URL {shown_uri(url)} contains {secret}, and the URL of a remote is stored",
            hint="remove it, and set credentials in the environment",
        )
    objects = open_store(url, read_only=read_only, anonymous=anonymous)
    if not url.startswith(("/", "file:")) and any(mark in objects.url for mark in "?#"):
        raise InvalidInputError(f"{objects.url} contains '?' or '#', which no prefix of a remote has", hint=_KINDS)
    return objects


def _refuse_known(store: Store, name: str, url: str) -> None:
    """Raise `ExistsError` before the probe where the transaction would at the end."""
    with store.snapshot() as snapshot:
        known = rows.all_remotes(snapshot.transaction).values()
    for record in known:
        if record.name == name:
            raise ExistsError(f"there is a remote {name!r} already, at {record.url}", hint="use another name")
        if address_of(record.url) == address_of(url):
            raise ExistsError(
                f"{url} is the remote {record.name!r} already",
                hint=f"use it, or remove it first: artfs remote rm {record.name}",
            )


def check(store: Store, name: str) -> tuple[Remote, Probe]:
    """Probe a remote again and read its log on; record what was found.

    Raises `DamageError` if another remote is there now, or the log is not the one that was read before, `NotFoundError`
    if there is none any more, and the errors of the store.
    """
    uuid, record = _find(store, name)
    objects = open_store(record.url, read_only=record.read_only, anonymous=record.anonymous)
    require_identity(objects, uuid, record)
    found = probe(objects, writing=not record.read_only)
    broken = "" if found.verdict == "writable" or (record.read_only and found.verdict != "refused") else found.reason
    tracking.update_remote(store, uuid, broken=broken, probed_ns=time.time_ns(), probe=found.document())
    if found.verdict != "refused":
        log = read_log(objects, uuid, record)
        tracking.update_remote(store, uuid, folded=log.state.number, head=log.state.last.hex())
    return _current(store, uuid), found


def require_identity(objects: ObjectStore, uuid: bytes, record: RemoteRecord) -> None:
    """Raise `NotFoundError` if a remote is gone from its place, `DamageError` if another one is there."""
    identity = read_identity(objects)
    if identity is None:
        raise NotFoundError(
            f"the remote {record.name!r} at {record.url} has lost its {IDENTITY}",
            hint=f"restore it, or forget the remote: artfs remote rm {record.name} --keep-local",
        )
    if identity.uuid != uuid:
        raise DamageError(
            f"there is another remote at {record.url} than the one that was added as {record.name!r}",
            hint=f"restore the former one, or forget it: artfs remote rm {record.name} --keep-local",
        )


def read_log(objects: ObjectStore, uuid: bytes, record: RemoteRecord) -> Log:
    """Read a log to its end; raise `BrokenLogError` if it does not go on from where it was read before."""
    log = Log(objects, uuid)
    log.read_on()
    if log.trouble is not None:
        raise log.trouble
    if log.newer is not None:
        raise log.newer
    error = log_break(log, record)
    if error is not None:
        raise error
    return log


def log_break(log: Log, record: RemoteRecord) -> BrokenLogError | None:
    """Return what is wrong with a log that does not go on from where it was read before."""
    url = log.store.url
    if record.folded > log.state.number:
        return BrokenLogError(
            f"the log of {url} ends at entry {log.state.number}, and was read up to {record.folded} before",
            log.state.number + 1,
        )
    following = log.entry(record.folded + 1) if 0 < record.folded < log.state.number else None
    head = log.state.last if record.folded == log.state.number else following and following.before
    if record.folded and head is not None and head.hex() != record.head:
        return BrokenLogError(
            f"entry {record.folded} of the log of {url} is not the one that was read before", record.folded
        )
    return None


def remove(store: Store, name: str, *, keep_local: bool = False) -> list[str]:
    """Forget a remote; return the artifacts that tracked it.  No request is made, and all versions stay.

    Raises `NotFoundError`, and without ``keep_local`` `RefusedError` if artifacts track it.
    """
    return tracking.forget_remote(store, name, keep_local=keep_local)[1]
