"""Pushing one version with its aliases: objects first, then one entry of the log, then what this workspace knows.

Guarantees:

- The entry is written once all its objects are acknowledged; a version that is seen in the log is whole.
- A push that was killed, or whose answer was lost, is taken up by the next one: the version's uuid is recorded before
  anything is sent, and the log takes it once; chunks that were acknowledged are not sent again.
- One process of the workspace pushes to a remote at a time.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from artstore.changes.tracking import record_counterpart, track
from artstore.errors import BusyError, NotFoundError, RefusedError
from artstore.objects.failures import ObjectMissingError
from artstore.reclaim.leases import Lease
from artstore.records.catalogue import ArtifactRecord, VersionRecord
from artstore.records.remotes import PENDING, PUSHED, Counterpart
from artstore.remotes.connection import Connection, encode_description, span_of
from artstore.remotes.entry_notes import EntryNotes
from artstore.remotes.log.appending import append
from artstore.remotes.log.entries import Transaction
from artstore.remotes.log.fields import Span
from artstore.remotes.log.operations import Alias, Commit, Source
from artstore.remotes.log.state import LIVE, REAPED, State, VersionRow
from artstore.remotes.packs.output import PackOutput
from artstore.remotes.packs.places import Pack
from artstore.remotes.packs.writing import BaseVersion, WrittenVersion, write_version
from artstore.remotes.sending import Counting, Sending
from artstore.rows import catalogue, lineage
from artstore.rows import remotes as rows
from artstore.rows.lineage import BASE, INCLUDED, LINKED, version_end
from artstore.storage import disk
from artstore.storage.manifest import ReadTransaction
from artstore.store import Store

__all__ = ["PushPlan", "PushedVersion", "plan_push", "push_version"]

_TURNS: Final = 5
_UUID: Final = 16


@dataclass(frozen=True, slots=True)
class PushedVersion:
    """The version in the remote, whether this call made it, and the stored bytes of content that it sent."""

    row: VersionRow
    created: bool
    sent: int = 0


@dataclass(frozen=True, slots=True)
class PushPlan:
    """The objects that a push would send, without its entry, and their bytes; none for a version that is there."""

    objects: int
    bytes: int


class _CondemnedError(Exception):
    """Raised if objects that the version needs were given up, or are gone: the version is written again without."""

    def __init__(self, packs: Collection[Pack]) -> None:
        super().__init__()
        self.packs = {pack.id for pack in packs}


def plan_push(store: Store, remote: Connection, artifact: ArtifactRecord, version: VersionRecord) -> PushPlan:
    """Return what `push_version` would send now; nothing is sent or recorded.

    Content that a version has several times may be counted as often.  Raises the errors of the store and of the log.
    """
    with _held(store, artifact, version) as present:
        return _Push(store, remote, artifact, present).plan()


def push_version(
    store: Store,
    remote: Connection,
    artifact: ArtifactRecord,
    version: VersionRecord,
    *,
    on_sent: Callable[[int], None] | None = None,
) -> PushedVersion:
    """Make a living version of this workspace one of a remote, with the aliases that it has now.

    It keeps its number if that is free there, else it gets the next one.  A version that is there already stays.
    ``on_sent`` is called with the bytes of each object that was acknowledged.

    Raises `NotFoundError` if the version has been deleted, `RefusedError` if its name means another artifact there, an
    alias was moved there, or if it includes or links to a version that is not there, `BusyError` while another process
    pushes, `UnknownOutcomeError` (run it again), and the errors of the store and of the log.
    """
    with _held(store, artifact, version) as present, _alone(store, remote):
        pushed = _Push(store, remote, artifact, present, on_sent).run()
    if pushed.created:
        remote.publish()
    return pushed


@contextmanager
def _held(store: Store, artifact: ArtifactRecord, version: VersionRecord) -> Iterator[VersionRecord]:
    """Keep a version for a block, which gets its present record."""
    lease = Lease(store, version.serial)
    try:
        with store.snapshot() as snapshot:
            present = snapshot.version(version.serial)
        if present is None:
            raise NotFoundError(f"{artifact.name}:v{version.number} has been deleted")
        yield present
    finally:
        lease.close()


@contextmanager
def _alone(store: Store, remote: Connection) -> Iterator[None]:
    """Hold the lock of pushes to a remote for a block."""
    fd = disk.open_lock_file(store.path, store.run_dir / f"push-{remote.uuid.hex()}", store.file_mode)
    try:
        if not disk.try_lock(fd):
            raise BusyError(f"another process pushes to {remote.store.url}", hint="wait for it, and run this again")
        yield
    finally:
        os.close(fd)


class _Push:
    """One version on its way to a remote."""

    def __init__(
        self,
        store: Store,
        remote: Connection,
        artifact: ArtifactRecord,
        version: VersionRecord,
        on_sent: Callable[[int], None] | None = None,
    ) -> None:
        self._store = store
        self._on_sent = on_sent
        self._remote = remote
        self._artifact = artifact
        self._version = version
        self._name = f"{artifact.name}:v{version.number}"

    def run(self) -> PushedVersion:
        remote = self._remote
        remote.log.read_on()
        remote.log.check_writable()
        artifact, uuid = self._identify()
        row = remote.state.version_of(uuid)
        if row is not None:
            return self._finish(row, None)
        for _ in range(_TURNS):
            try:
                written = self._write(artifact)
                row = self._append(artifact, uuid, written)
            except _CondemnedError as error:
                with self._store.write() as transaction:
                    rows.drop_places(transaction, remote.uuid, error.packs)
                continue
            return self._finish(row, written)
        raise BusyError(f"objects of {self._name} are given up as fast as they are sent", hint="run it again later")

    def _identify(self) -> tuple[bytes, bytes]:
        """Return the uuids of artifact and version in the remote, which are recorded before anything is sent."""
        remote, state = self._remote, self._remote.state
        with self._store.snapshot() as snapshot:
            known = rows.tracked_in(snapshot.transaction, remote.uuid).get(self._artifact.number)
            counterpart = rows.counterparts_of(snapshot.transaction, self._version.serial).get(remote.uuid)
        there = state.artifact(self._artifact.name)
        if there is not None and there.uuid != known:
            raise RefusedError(
                f"{remote.store.url} has another artifact called {self._artifact.name!r}",
                hint=f"push under another name: artfs artifact rename {self._artifact.name} NAME",
            )
        artifact = known or secrets.token_bytes(_UUID)
        number = self._version.number
        counterpart = counterpart or Counterpart(secrets.token_bytes(_UUID), number, PENDING)
        with self._store.write() as transaction:
            if known is None:
                track(self._store, transaction, self._artifact, remote.uuid, artifact)
            record_counterpart(self._store, transaction, self._version.serial, remote.uuid, counterpart)
        return artifact, counterpart.uuid

    # -- objects -------------------------------------------------------------------------------------------------------

    def _write(self, artifact: bytes) -> WrittenVersion:
        """Send what the remote lacks; raise `_CondemnedError` if something that it should have is gone."""
        with Sending(self._store, self._remote, self._on_sent) as sending:
            written = self._written(artifact, sending)
        gone = [pack for pack in written.unproved if not self._exists(pack)]
        if gone:
            raise _CondemnedError(gone)
        return written

    def _exists(self, pack: Pack) -> bool:
        try:
            self._remote.store.head(pack.object_name)
        except ObjectMissingError:
            return False
        return True

    def _written(self, artifact: bytes | None, sending: Sending | Counting) -> WrittenVersion:
        version = self._version
        description = encode_description(version.description, version.metadata, version.tags)
        base = None if artifact is None else self._base(artifact)
        output = PackOutput(sending)
        return write_version(
            self._store, version.root, self._name, output, find=sending.find, base=base, records=[description]
        )

    def plan(self) -> PushPlan:
        """Return what the push would send."""
        remote = self._remote
        remote.log.read_on()
        with self._store.snapshot() as snapshot:
            artifact = rows.tracked_in(snapshot.transaction, remote.uuid).get(self._artifact.number)
            there = self._counterpart(snapshot.transaction, self._version.serial)
        if there is not None and remote.state.version_of(there.uuid) is not None:
            return PushPlan(0, 0)
        counting = Counting(self._store, remote)
        self._written(artifact, counting)
        return PushPlan(counting.objects, counting.bytes)

    def _base(self, artifact: bytes) -> BaseVersion | None:
        """Return the newest living version of the artifact in the remote, or None."""
        state = self._remote.state
        there = [row for row in state.versions.values() if row.artifact == artifact and row.state == LIVE]
        if not there:
            return None
        self._base_row = max(there, key=lambda row: row.number)
        return BaseVersion(*self._remote.tree_and_packs(self._base_row))

    _base_row: VersionRow | None = None

    # -- the log -------------------------------------------------------------------------------------------------------

    def _append(self, artifact: bytes, uuid: bytes, written: WrittenVersion) -> VersionRow:
        """Write the entry, or find the one that an earlier run wrote; return the version as the log has it."""
        remote = self._remote
        notes = EntryNotes(self._store, remote.uuid)

        def prepare(state: State) -> list[Transaction]:
            return self._prepare(state, artifact, uuid, written)

        for _ in range(_TURNS):
            appended = append(
                remote.log, remote.machine, lambda state: self._prepare(state, artifact, uuid, written), notes
            )
            row = remote.state.version_of(uuid)
            if row is not None:
                return row
            void = next((verdict for verdict in appended.verdicts if verdict is not None), None)
            if void is not None and not void.is_stale:
                raise RefusedError(f"{self._name} cannot be pushed: {void.text}", hint="fetch what is there first")
        raise BusyError(
            f"others change {remote.store.url} as fast as {self._name} is pushed", hint="run it again later"
        )

    def _prepare(self, state: State, artifact: bytes, uuid: bytes, written: WrittenVersion) -> list[Transaction]:
        """Return the transaction at a state, once its objects are compared with what was condemned meanwhile."""
        if state.version_of(uuid) is not None:
            return []
        self._check_packs(state, written)
        version, there = self._version, state.artifacts.get(artifact)
        following = 0 if there is None else there.next
        number = max(version.number, following)
        commit = Commit(
            artifact=artifact,
            name=self._artifact.name if there is None else there.name,
            type=self._artifact.type or "",
            next=following,
            number=number,
            version=uuid,
            digest=written.root.digest,
            root=_root_span(written),
            entries=written.root.entries,
            files=written.root.files,
            bytes=written.root.bytes,
            created_ns=version.created_ns,
            mtime_ns=version.mtime_ns,
            mode=version.mode,
            record=span_of(written.records[0]),
            manifest=span_of(written.manifest),
            sources=tuple(self._sources(state)),
        )
        return [state.transaction(commit, *self._aliases(state, artifact, number))]

    def _check_packs(self, state: State, written: WrittenVersion) -> None:
        base = self._base_row
        condemned = self._remote.condemned() & written.used
        is_reaped = base is not None and state.versions[base.artifact, base.number].state == REAPED
        if condemned or is_reaped:
            raise _CondemnedError(condemned)

    def _aliases(self, state: State, artifact: bytes, number: int) -> Iterator[Alias]:
        with self._store.snapshot() as snapshot:
            aliases = list(snapshot.aliases_of(self._artifact.number))
        for alias in aliases:
            if alias.version == self._version.number:
                there = state.aliases.get((artifact, alias.name))
                yield Alias(artifact, alias.name, None if there is None else there.version, number)

    def _sources(self, state: State) -> Iterable[Source]:
        """Return what the version is based on, includes or links to, as versions of the remote."""
        with self._store.snapshot() as snapshot:
            transaction = snapshot.transaction
            for edge, record in lineage.edges_to(transaction, version_end(self._version.serial)):
                if edge.kind not in (BASE, INCLUDED, LINKED):
                    continue
                found = self._counterpart(transaction, edge.source.number)
                if found is not None and state.version_of(found.uuid) is not None:
                    yield Source(ord(edge.kind), found.uuid)
                elif edge.kind != BASE:
                    raise RefusedError(
                        f"{self._name} needs {record.source}, which the remote lacks", hint="push that first"
                    )

    def _counterpart(self, transaction: ReadTransaction, serial: int) -> Counterpart | None:
        return rows.counterparts_of(transaction, serial).get(self._remote.uuid)

    def _finish(self, row: VersionRow, written: WrittenVersion | None) -> PushedVersion:
        """Record what the version is in the remote, and settle what the push had noted."""
        remote = self._remote
        with self._store.write() as transaction:
            if catalogue.recorded_version(transaction, self._version.serial) is not None:
                counterpart = self._counterpart(transaction, self._version.serial)
                if counterpart is None or counterpart.way == PENDING:
                    done = Counterpart(row.uuid, row.number, PUSHED)
                    record_counterpart(self._store, transaction, self._version.serial, remote.uuid, done)
            for added in [] if written is None else written.objects:
                rows.settle(transaction, remote.uuid, added.pack.folder, added.pack.id)
        return PushedVersion(row, written is not None, 0 if written is None else written.sent)


def _root_span(written: WrittenVersion) -> Span:
    root = written.root
    return Span(root.place.pack.id, root.place.offset, root.place.stored, root.hash)
