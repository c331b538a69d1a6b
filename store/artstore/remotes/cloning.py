"""Making a version of a remote local for good: with its number, its description and its aliases.

What is committed has the digest that the log names, and content that was compared with its ids: see
`artstore.remotes.packs.importing`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Final

from artstore.changes.committing import Commit, Committed, commit
from artstore.changes.deleting import undelete
from artstore.changes.results import announce
from artstore.changes.tracking import record_counterpart, track
from artstore.errors import BusyError, NotFoundError, RefusedError
from artstore.ingest.batch import Ref, StaleHintError
from artstore.ingest.staging import Stager
from artstore.records.catalogue import ArtifactRecord, VersionRecord
from artstore.records.remotes import PULLED, Counterpart
from artstore.remotes.connection import Connection, decode_description, form_of
from artstore.remotes.log.state import VersionRow
from artstore.remotes.packs.importing import import_tree
from artstore.rows import catalogue
from artstore.rows import remotes as rows
from artstore.rows.lineage import BASE, INCLUDED, LINKED
from artstore.storage.manifest import ReadTransaction, WriteTransaction
from artstore.store import Store

__all__ = ["pull_version"]

_ATTEMPTS: Final = 3


def pull_version(
    store: Store, remote: Connection, row: VersionRow, *, on_bytes: Callable[[int], None] | None = None
) -> VersionRecord:
    """Make a version of the log local, under the name of its artifact and with its number; return it.

    A version that is local already is returned as it is, and one that was deleted here is restored.

    Raises `RefusedError` if the name means another artifact here, or its number is taken, `BusyError` while a deleted
    copy is being freed, `DamageError` with object, version and path for anything that is not as the log says, and the
    errors of the store.
    """
    for attempt in range(_ATTEMPTS):
        found = _present(store, remote, row)
        if found is not None:
            return found
        stager = Stager(store, remote.state.artifacts[row.artifact].name, remote.store.url)
        try:
            return _pull(store, remote, row, stager, hints=attempt < _ATTEMPTS - 1, on_bytes=on_bytes)
        except StaleHintError:
            if attempt == _ATTEMPTS - 1:
                raise
        finally:
            stager.close()
    raise AssertionError("the last attempt returns or raises")


def _present(store: Store, remote: Connection, row: VersionRow) -> VersionRecord | None:
    """Return the local version that is the remote's, if there is one; one that was deleted here is restored."""
    with store.snapshot() as snapshot:
        artifact = _tracking(snapshot.transaction, remote, row)
        number = None if artifact is None else artifact.number
        for version in [] if number is None else catalogue.recorded_versions(snapshot.transaction, number):
            there = rows.counterparts_of(snapshot.transaction, version.serial).get(remote.uuid)
            if there is not None and there.uuid == row.uuid:
                name = catalogue.label(snapshot.transaction, version)
                break
        else:
            return None
    if version.state == "live":
        return version
    with suppress(NotFoundError):  # it is being reaped
        return undelete(store, [name])[0].version.record
    raise BusyError(f"the copy of {name} that was deleted here is being freed", hint="run it again: artfs gc ends it")


def _tracking(transaction: ReadTransaction, remote: Connection, row: VersionRow) -> ArtifactRecord | None:
    """Return the local artifact that tracks the remote's, None if there is none and the name is free."""
    tracked = rows.tracked_in(transaction, remote.uuid)
    for number, uuid in tracked.items():
        if uuid == row.artifact:
            return catalogue.artifact(transaction, number)
    name = remote.state.artifacts[row.artifact].name
    if catalogue.find_name(transaction, name) is not None or catalogue.find_retired(transaction, name) is not None:
        raise RefusedError(
            f"this workspace has another artifact called {name!r}",
            hint=f"rename it first: artfs artifact rename {name} NAME",
        )
    return None


def _local_sources(transaction: ReadTransaction, remote: Connection, row: VersionRow) -> list[tuple[str, int, str]]:
    """Return (kind, serial, name) of the sources of a version that are local."""
    known = {
        there.uuid: serial
        for (serial, uuid), there in rows.read_tracking(transaction).versions.items()
        if uuid == remote.uuid
    }
    found = []
    for source in row.sources:
        version = catalogue.version(transaction, known.get(source.version, 0))
        if version is not None:
            found.append((chr(source.kind), version.serial, catalogue.label(transaction, version)))
    return found


def _pull(
    store: Store,
    remote: Connection,
    row: VersionRow,
    stager: Stager,
    *,
    hints: bool,
    on_bytes: Callable[[int], None] | None,
) -> VersionRecord:
    tree, state = remote.tree(row), remote.state
    said = {"description": "", "metadata": {}, "tags": []}
    if row.record is not None:
        said = decode_description(tree.form(form_of(row.record)))
    there = state.artifacts[row.artifact]
    with store.snapshot() as snapshot:
        local = _local_sources(snapshot.transaction, remote, row)
    request = Commit(
        name=there.name,
        type=there.type or None,
        aliases=state.aliases_of(row.artifact, row.number),
        description=said["description"],  # type: ignore[arg-type]
        metadata=said["metadata"],  # type: ignore[arg-type]
        force=True,
        mtime_ns=row.mtime_ns,
        mode=row.mode,
        number=row.number,
        created_ns=row.created_ns,
        tags=said["tags"],  # type: ignore[arg-type]
        origin={},
        base=next((label for kind, _, label in local if kind == BASE), None),
        included=[serial for kind, serial, _ in local if kind == INCLUDED],
        linked=next((serial for kind, serial, _ in local if kind == LINKED), 0),
    )

    def action(transaction: WriteTransaction, root: Ref, added: int) -> tuple[bool, Committed]:
        before = _tracking(transaction, remote, row)
        created, committed = commit(store, transaction, root, request, stager.stored_bytes + added)
        if before is None:
            track(store, transaction, committed.artifact, remote.uuid, row.artifact)
        counterpart = Counterpart(row.uuid, row.number, PULLED)
        record_counterpart(store, transaction, committed.version.serial, remote.uuid, counterpart)
        return created, committed

    committed = stager.commit(import_tree(store, tree, stager, hints=hints, on_bytes=on_bytes), action)
    announce(store, committed.changes)
    return committed.version
