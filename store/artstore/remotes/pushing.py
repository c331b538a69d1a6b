"""Pushing one version with its aliases: objects first, then one entry of the log, then what this workspace knows.

Guarantees:

- The entry is written once all its objects are acknowledged; a version that is seen in the log is whole.
- A push that was killed, or whose answer was lost, is taken up by the next one: the version's uuid is recorded before
  anything is sent, and the log takes it once; chunks that were acknowledged are not sent again.
- One process of the workspace pushes to a remote at a time.
- A pending version has the number that the log gave it when a call returns; a push that was killed before is taken up.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from artstore.changes.landing import land, merge
from artstore.changes.results import announce
from artstore.changes.tracking import record_counterpart, track
from artstore.daemon_requests import Change
from artstore.errors import BusyError, NotFoundError, RefusedError
from artstore.metadata import equal_metadata, given
from artstore.names import is_pending, parse_version_label, version_label
from artstore.objects.failures import ObjectMissingError
from artstore.reclaim.leases import Lease
from artstore.records.catalogue import ArtifactRecord, VersionRecord
from artstore.records.remotes import PENDING, PUSHED, Counterpart
from artstore.remotes.connection import Connection, decode_description, encode_description, form_of, span_of
from artstore.remotes.descriptions import was_moved_there
from artstore.remotes.entry_notes import EntryNotes
from artstore.remotes.log.appending import append
from artstore.remotes.log.entries import Transaction
from artstore.remotes.log.fields import Span
from artstore.remotes.log.operations import Alias, Commit, Source
from artstore.remotes.log.state import LIVE, REAPED, State, VersionRow
from artstore.remotes.log.voids import who
from artstore.remotes.packs.output import PackOutput
from artstore.remotes.packs.places import Pack
from artstore.remotes.packs.writing import BaseVersion, WrittenVersion, write_version
from artstore.remotes.sending import Counting, Sending
from artstore.rows import catalogue, lineage
from artstore.rows import remotes as rows
from artstore.rows.lineage import BASE, INCLUDED, LINKED, version_end
from artstore.storage import disk
from artstore.storage.manifest import ReadTransaction, WriteTransaction
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
    if_latest: int | None = None,
    adopt: bool = False,
) -> PushedVersion:
    """Make a living version of this workspace one of a remote, with the aliases that it has now.

    It keeps its number if that is free there, else it gets the next one, here too.  A version that is there already
    stays, and a pending one that equals the newest one there becomes that.  ``on_sent`` is called with the bytes of
    each object that was acknowledged.  ``adopt`` appends to an artifact of the same name and another origin.

    Raises `NotFoundError` if the version has been deleted, `RefusedError` if its name means another artifact there, an
    alias was moved there, ``if_latest`` is not the number of the latest version there, or if it includes or links to a
    version that is not there, `BusyError` while another process pushes, `UnknownOutcomeError` (run it again), and the
    errors of the store and of the log.
    """
    with _held(store, artifact, version) as present, _alone(store, remote):
        pushed = _Push(store, remote, artifact, present, on_sent, if_latest=if_latest, adopt=adopt).run()
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
            raise NotFoundError(f"{artifact.name}:{version_label(version.number)} has been deleted")
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
        *,
        if_latest: int | None = None,
        adopt: bool = False,
    ) -> None:
        self._store = store
        self._if_latest = if_latest
        self._adopt = adopt
        self._twin: VersionRow | None = None
        self._twins: dict[bytes, bool] = {}
        self._on_sent = on_sent
        self._remote = remote
        self._artifact = artifact
        self._version = version
        self._name = f"{artifact.name}:{version_label(version.number)}"

    def run(self) -> PushedVersion:
        remote = self._remote
        remote.log.freshen()
        remote.log.check_writable()
        artifact, uuid = self._identify()
        row = remote.state.version_of(uuid)
        if row is not None:
            return self._finish(row, None)
        self._check_latest(remote.state, artifact)
        for _ in range(_TURNS):
            try:
                written = None if self._find_twin(remote.state, artifact) else self._write(artifact)
                row = self._append(artifact, uuid, written)
            except _CondemnedError as error:
                with self._store.write() as transaction:
                    rows.drop_places(transaction, remote.uuid, error.packs)
                continue
            return self._finish(row, None if row is self._twin else written)
        raise BusyError(f"objects of {self._name} are given up as fast as they are sent", hint="run it again later")

    def _identify(self) -> tuple[bytes, bytes]:
        """Return the uuids of artifact and version in the remote, which are recorded before anything is sent."""
        remote, state = self._remote, self._remote.state
        with self._store.snapshot() as snapshot:
            known = rows.tracked_in(snapshot.transaction, remote.uuid).get(self._artifact.number)
            self._check_home(snapshot.transaction)
            counterpart = rows.counterparts_of(snapshot.transaction, self._version.serial).get(remote.uuid)
        there = None if known in state.artifacts else state.artifact(self._artifact.name)
        if there is not None and there.uuid != known and (known is not None or not self._adopt):
            name = self._artifact.name
            way = "" if known is not None else f", or append to it: artfs push {name} --adopt"
            raise RefusedError(
                f"{remote.store.url} has another artifact called {name!r}, of another origin",
                hint=f"push it under another name: artfs artifact rename {name} NAME{way}",
            )
        adopted = None if there is None else there.uuid
        artifact = known or adopted or secrets.token_bytes(_UUID)
        number = self._version.number
        counterpart = counterpart or Counterpart(secrets.token_bytes(_UUID), number, PENDING)
        with self._store.write() as transaction:
            if known is None:
                track(self._store, transaction, self._artifact, remote.uuid, artifact)
            record_counterpart(self._store, transaction, self._version.serial, remote.uuid, counterpart)
        return artifact, counterpart.uuid

    def _check_home(self, transaction: ReadTransaction) -> None:
        """Raise `RefusedError` for a pending version that another remote's log has to number."""
        home = rows.home_of(transaction, self._artifact.number)
        record = None if home is None else rows.all_remotes(transaction).get(home)
        if record is None or record.read_only or home == self._remote.uuid or not is_pending(self._version.number):
            return
        raise RefusedError(
            f"{self._name} gets its number from the remote {record.name!r}",
            hint=f"push it there first: artfs push {self._name} {record.name}",
        )

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
        self._base_row = _newest(state, artifact)
        if self._base_row is None:
            return None
        return BaseVersion(*self._remote.tree_and_packs(self._base_row))

    _base_row: VersionRow | None = None

    # -- the log -------------------------------------------------------------------------------------------------------

    def _append(self, artifact: bytes, uuid: bytes, written: WrittenVersion | None) -> VersionRow:
        """Write the entry, or find the one that an earlier run wrote; return the version as the log has it."""
        remote = self._remote
        notes = EntryNotes(self._store, remote.uuid)

        for _ in range(_TURNS):
            self._twin = None
            appended = append(
                remote.log, remote.machine, lambda state: self._prepare(state, artifact, uuid, written), notes
            )
            row = remote.state.version_of(uuid)
            if row is not None:
                return row
            has_ended = not appended.verdicts or (appended.number is not None and not appended.by_earlier_run)
            if self._twin is not None and has_ended:
                return self._twin
            void = next((verdict for verdict in appended.verdicts if verdict is not None), None)
            if void is not None and not void.is_stale:
                raise RefusedError(f"{self._name} cannot be pushed: {void.text}", hint="fetch what is there first")
        raise BusyError(
            f"others change {remote.store.url} as fast as {self._name} is pushed", hint="run it again later"
        )

    def _prepare(self, state: State, artifact: bytes, uuid: bytes, written: WrittenVersion | None) -> list[Transaction]:
        """Return the transaction at a state, once its objects are compared with what was condemned meanwhile."""
        if state.version_of(uuid) is not None:
            return []
        self._check_latest(state, artifact)
        self._twin = self._find_twin(state, artifact)
        if self._twin is not None:
            aliases = list(self._aliases(state, artifact, self._twin.number))
            return [state.transaction(*aliases)] if aliases else []
        if written is None:  # another version came between, so this one is not equal to the newest any more
            raise _CondemnedError(())
        self._check_packs(state, written)
        version, there = self._version, state.artifacts.get(artifact)
        following = 0 if there is None else there.next
        number = version.number
        if is_pending(number) or number < following:
            number = max(following, self._next_here())
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

    def _next_here(self) -> int:
        with self._store.snapshot() as snapshot:
            artifact = snapshot.artifact(self._artifact.number)
        return 0 if artifact is None else artifact.next_version

    def _check_latest(self, state: State, artifact: bytes) -> None:
        """Raise `RefusedError` if the latest version there is not the one that the caller expects."""
        if self._if_latest is None:
            return
        newest = _newest(state, artifact)
        if newest is not None and newest.number == self._if_latest:
            return
        expected = version_label(self._if_latest)
        if newest is None:
            raise RefusedError(f"{self._remote.store.url} has no version of {self._artifact.name}, so not {expected}")
        raise RefusedError(
            f"{state.title(artifact, newest.number)} is the latest version there, not {expected}: it was pushed "
            f"{who(state, newest.made)}",
            hint=f"look at it: artfs pull {self._artifact.name}",
        )

    def _find_twin(self, state: State, artifact: bytes) -> VersionRow | None:
        """Return the newest version there if a pending one equals it, and was not made after it was known here."""
        row = _newest(state, artifact) if is_pending(self._version.number) else None
        if row is None or row.digest != self._version.digest:
            return None
        if row.uuid not in self._twins:
            self._twins[row.uuid] = self._equals(row) and not self._was_known(row)
        return row if self._twins[row.uuid] else None

    def _equals(self, row: VersionRow) -> bool:
        there: dict[str, Any] = {"description": "", "metadata": {}, "tags": []}
        if row.record is not None:
            there = decode_description(self._remote.tree(row).form(form_of(row.record)))
        here = self._version
        return (
            here.description == there["description"]
            and set(here.tags) <= set(there["tags"])
            and equal_metadata(given(here.metadata), given(there["metadata"]))
        )

    def _was_known(self, row: VersionRow) -> bool:
        """Return whether this workspace had a version when the pending one was made, or has deleted it since."""
        with self._store.snapshot() as snapshot:
            transaction = snapshot.transaction
            for one in catalogue.recorded_versions(transaction, self._artifact.number):
                there = self._counterpart(transaction, one.serial)
                if there is not None and there.uuid == row.uuid:
                    return one.serial < self._version.serial or one.state != "live"
        return False

    def _check_packs(self, state: State, written: WrittenVersion) -> None:
        base = self._base_row
        condemned = self._remote.condemned() & written.used
        is_reaped = base is not None and state.versions[base.artifact, base.number].state == REAPED
        if condemned or is_reaped:
            raise _CondemnedError(condemned)

    def _aliases(self, state: State, artifact: bytes, number: int) -> Iterator[Alias]:
        with self._store.snapshot() as snapshot:
            aliases = list(snapshot.aliases_of(self._artifact.number))
            record = rows.all_remotes(snapshot.transaction).get(self._remote.uuid)
        for alias in aliases:
            if alias.version == self._version.number and parse_version_label(alias.name) is None:
                there = state.aliases.get((artifact, alias.name))
                if there is not None and was_moved_there(self._remote, record, there.changed):
                    continue  # the log's state comes here: see `artstore.remotes.alignment`
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
        changes: list[Change] = []
        with self._store.write() as transaction:
            version = catalogue.recorded_version(transaction, self._version.serial)
            if version is not None:
                changes = self._record(transaction, version, row)
            for added in [] if written is None else written.objects:
                rows.settle(transaction, remote.uuid, added.pack.folder, added.pack.id)
        if changes:
            announce(self._store, changes)
        return PushedVersion(row, written is not None, 0 if written is None else written.sent)

    def _record(self, transaction: WriteTransaction, version: VersionRecord, row: VersionRow) -> list[Change]:
        """Record what the version is in the remote, and give it the number that it has there, or let it go to its twin.

        Returns what mounts have to drop.
        """
        remote = self._remote
        is_home = rows.home_of(transaction, version.artifact) == remote.uuid
        twin = self._local_twin(transaction, version, row)
        if twin is not None:
            return merge(self._store, transaction, version, twin)[1] if version.state == "live" else []
        changes: list[Change] = []
        is_free = catalogue.recorded_by_number(transaction, version.artifact, row.number) is None
        if is_home and is_free and version.state == "live":
            version, changes = land(self._store, transaction, version, row.number)
        counterpart = self._counterpart(transaction, version.serial)
        if counterpart is None or counterpart.way == PENDING:
            done = Counterpart(row.uuid, row.number, PUSHED)
            record_counterpart(self._store, transaction, version.serial, remote.uuid, done)
        return changes

    def _local_twin(
        self, transaction: ReadTransaction, version: VersionRecord, row: VersionRow
    ) -> VersionRecord | None:
        """Return the other version of this workspace that is the remote's, if there is one."""
        for other in catalogue.versions_of(transaction, version.artifact) if is_pending(version.number) else ():
            there = self._counterpart(transaction, other.serial)
            if other.serial != version.serial and there is not None and there.uuid == row.uuid:
                return other
        return None


def _newest(state: State, artifact: bytes) -> VersionRow | None:
    """Return the living version of an artifact with the highest number."""
    there = [row for row in state.versions.values() if row.artifact == artifact and row.state == LIVE]
    return max(there, key=lambda row: row.number, default=None)


def _root_span(written: WrittenVersion) -> Span:
    root = written.root
    return Span(root.place.pack.id, root.place.offset, root.place.stored, root.hash)
