"""Connecting to a remote of a workspace: choosing it, opening its store, and reading its log to the end."""

from __future__ import annotations

import time
import uuid as uuids
from typing import Final

from artstore.changes import tracking
from artstore.errors import InvalidInputError, NotFoundError, RefusedError
from artstore.objects.opening import open_store
from artstore.objects.protocol import ObjectStore
from artstore.origins.process import user_and_host
from artstore.records.remotes import RemoteRecord
from artstore.remotes.adding import read_log, require_identity
from artstore.remotes.connection import Connection
from artstore.remotes.identity import RemoteIdentity
from artstore.remotes.log.appending import Machine
from artstore.remotes.showing import show
from artstore.rows import remotes as rows
from artstore.store import Store

__all__ = ["DEFAULT", "choose", "connect", "join", "machine_of", "note_position", "require_writable"]

DEFAULT: Final = "origin"
"""The name of the remote that commands use where none is named and there are several."""


def choose(store: Store, name: str | None) -> tuple[bytes, RemoteRecord]:
    """Return (uuid, record) of a remote: by default the only one, or the one called ``origin``.

    Raises `NotFoundError` if there is none of the name, `InvalidInputError` if a name is needed.
    """
    with store.snapshot() as snapshot:
        found = rows.all_remotes(snapshot.transaction)
    wanted = [item for item in found.items() if item[1].name == (name or DEFAULT)]
    if not wanted and name is None and len(found) == 1:
        wanted = list(found.items())
    if wanted:
        return wanted[0]
    if name is not None:
        raise NotFoundError(f"there is no remote {name!r}", hint="list them: artfs remote ls")
    if not found:
        raise NotFoundError("this workspace has no remote", hint="add one: artfs remote add origin URL")
    names = ", ".join(record.name for record in found.values())
    raise InvalidInputError(f"this workspace has several remotes: {names}", hint="give the name of one")


def require_writable(record: RemoteRecord) -> None:
    """Raise `RefusedError` for a remote that was added for reading only."""
    if record.read_only:
        raise RefusedError(
            f"the remote {record.name!r} was added for reading only",
            hint=f"to write to it: artfs remote rm {record.name}, and add it without --read-only",
        )


def connect(store: Store, uuid: bytes, record: RemoteRecord) -> Connection:
    """Open a remote and read its log to the end.

    Raises `BrokenLogError` if the log does not go on from where it was read before, `DamageError` and `NotFoundError`
    if another remote or none is there, and the errors of the store.
    """
    objects = open_store(record.url, read_only=record.read_only, anonymous=record.anonymous)
    require_identity(objects, uuid, record)
    return Connection(uuid, objects, read_log(objects, uuid, record), machine_of(store))


def machine_of(store: Store) -> Machine:
    """Return who writes to logs for a workspace."""
    return Machine(uuids.UUID(store.uuid).bytes, user_and_host())


def join(
    store: Store, name: str, objects: ObjectStore, identity: RemoteIdentity, *, read_only: bool, anonymous: bool
) -> None:
    """Record the remote that a store has, and show what is there.

    The store is not probed: its identity says what was found when the remote was made.  Raises `ExistsError` for a name
    or a remote that is known already, and what reading a log raises.
    """
    read_only = read_only or anonymous
    record = RemoteRecord(name, objects.url, read_only, time.time_ns(), anonymous, probe=identity.probe)
    connection = Connection(identity.uuid, objects, read_log(objects, identity.uuid, record), machine_of(store))
    tracking.record_remote(store, identity.uuid, record)
    note_position(store, connection)


def note_position(store: Store, remote: Connection) -> None:
    """Record how far the log was read, and show to readers what it has."""
    state = remote.state
    tracking.update_remote(store, remote.uuid, folded=state.number, head=state.last.hex())
    show(store, remote)
