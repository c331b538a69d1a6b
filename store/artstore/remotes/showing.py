"""What a remote has and the workspace has not, made visible to readers: the rows of `artstore.rows.views`.

They follow from the log alone; nothing else is fetched for them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from artstore.changes.results import announce
from artstore.daemon_requests import Change, parent_changes
from artstore.names import version_label
from artstore.records.catalogue import AliasRecord, ArtifactRecord, VersionRecord
from artstore.records.lazy_nodes import root_node
from artstore.records.remotes import PENDING
from artstore.records.tables import Table, key32, key64, number32, number64
from artstore.records.views import SpanPlace, ViewedPlace, encode_viewed
from artstore.remotes.connection import Connection
from artstore.remotes.log.fields import Span
from artstore.remotes.log.state import LIVE, AliasRow, ArtifactRow, State, VersionRow
from artstore.rows import catalogue, views
from artstore.rows import remotes as rows
from artstore.storage.manifest import WriteTransaction
from artstore.store import Store

__all__ = ["show"]


def show(store: Store, remote: Connection) -> list[Change]:
    """Show the versions of a remote, as far as its log was read, that are not local; return what changed.

    Daemons are notified.  Call it after the log was read on, and after a version became local or ceased to be.
    """
    with store.write() as transaction:
        before = views.rows_of(transaction, remote.uuid)
        viewing = _Viewing(transaction, remote.uuid, remote.state, before)
        viewing.add_all(_local_uuids(transaction, remote.uuid))
        views.write_views(transaction, before, viewing.after)
        views.drop_empty_projects(transaction)
        transaction.put(Table.VIEWS, views.SHOWN + remote.uuid, key64(remote.state.number))
        changes = viewing.changes()
    announce(store, changes)
    return changes


def _local_uuids(transaction: WriteTransaction, remote: bytes) -> set[bytes]:
    """Return the uuids of the versions of a remote that are living versions of the workspace."""
    return {
        there.uuid
        for (serial, known), there in rows.read_tracking(transaction).versions.items()
        if known == remote and there.way != PENDING and catalogue.version(transaction, serial) is not None
    }


@dataclass
class _Viewing:
    """The rows of a remote as they were, ``before``, and as they are to be, ``after``."""

    transaction: WriteTransaction
    remote: bytes
    state: State
    before: dict[bytes, bytes]
    after: dict[bytes, bytes] = field(default_factory=dict)
    names: dict[bytes, str] = field(default_factory=dict)

    def add_all(self, local: set[bytes]) -> None:
        """Add what is to be shown: all living versions but those that are ``local``."""
        shown: dict[bytes, list[VersionRow]] = defaultdict(list)
        for _, row in sorted(self.state.versions.items()):
            if row.state == LIVE and row.uuid not in local:
                shown[row.artifact].append(row)
        aliases: dict[bytes, list[AliasRow]] = defaultdict(list)
        for alias in self.state.aliases.values():
            aliases[alias.artifact].append(alias)
        numbers = {owner[16:]: key[1:] for key, owner in self.before.items() if key[:1] == views.OWNER}
        for uuid, versions in shown.items():
            artifact = self.state.artifacts[uuid]
            taken = self.transaction.get(Table.VIEWS, views.NAME + artifact.name.encode())
            if taken is not None and self._owner(taken) != self.remote:
                continue  # another remote has an artifact, or a project, of this name
            number = numbers.get(uuid) or key64(self._next_name())
            self._add_artifact(number, artifact, versions)
            self._add_aliases(number, {row.number for row in versions}, aliases[uuid])
        living = {views.UUID + self.remote + row.uuid for row in self.state.versions.values() if row.state == LIVE}
        self.after.update({key: value for key, value in self.before.items() if key in living})

    def _owner(self, number: bytes) -> bytes:
        return (self.transaction.get(Table.VIEWS, views.OWNER + number) or b"")[:16]

    def _next_name(self) -> int:
        state = self.transaction.state
        state.next_name += 1
        return state.next_name - 1

    def _add_artifact(self, number: bytes, artifact: ArtifactRow, versions: list[VersionRow]) -> None:
        made_ns = artifact.made.at_ns
        record = ArtifactRecord(
            number64(number), artifact.name, True, made_ns, artifact.type or None, next_version=artifact.next
        )
        self.after[views.ARTIFACT + number] = record.encode()
        self.after[views.OWNER + number] = self.remote + artifact.uuid
        self.after[views.NAME + artifact.name.encode()] = number
        self._add_projects(artifact.name, made_ns)
        for row in versions:
            key = views.UUID + self.remote + row.uuid
            serial = self.before.get(key) or key32(self._next_serial())
            self.after[key] = serial
            self.after[views.NUMBER + number + key32(row.number)] = serial
            self.after[views.VERSION + serial] = _record_of(row, number32(serial), number64(number)).encode()
            self.after[views.PLACE + serial] = encode_viewed(_place_of(self.remote, row))

    def _next_serial(self) -> int:
        state = self.transaction.state
        state.next_serial += 1
        return state.next_serial - 1

    def _add_projects(self, name: str, made_ns: int) -> None:
        """Make the projects above a name that are missing; they belong to no remote, and are not in ``after``."""
        while name := name.rpartition("/")[0]:
            if self.transaction.get(Table.VIEWS, views.NAME + name.encode()) is None:
                record = ArtifactRecord(self._next_name(), name, False, made_ns)
                self.transaction.put(Table.VIEWS, views.NAME + name.encode(), key64(record.number))
                self.transaction.put(Table.VIEWS, views.ARTIFACT + key64(record.number), record.encode())

    def _add_aliases(self, number: bytes, versions: set[int], aliases: Iterable[AliasRow]) -> None:
        for row in aliases:
            if row.version not in versions:
                continue
            key = number + row.alias.encode()
            known = self.before.get(views.ALIAS + key)
            serial = None if known is None else AliasRecord.decode(known)
            if serial is None or serial.version != row.version:
                serial = AliasRecord(self._next_alias(), number64(number), row.alias, row.version, row.changed.at_ns)
            self.after[views.ALIAS + key] = serial.encode()
            self.after[views.ALIAS_SERIAL + key32(serial.serial)] = key

    def _next_alias(self) -> int:
        state = self.transaction.state
        state.next_alias += 1
        return state.next_alias - 1

    def changes(self) -> list[Change]:
        """Return the names that appeared, went or mean something else."""
        names: dict[bytes, set[str]] = defaultdict(set)
        known: dict[bytes, str] = {}
        new: set[bytes] = set()
        for key in self.before.keys() | self.after.keys():
            kind, number = key[:1], key[1:9]
            if kind == views.ARTIFACT:
                known[number] = ArtifactRecord.decode(self.after.get(key) or self.before[key]).name
                if (key in self.before) != (key in self.after):
                    new.add(number)
            elif self.before.get(key) != self.after.get(key):
                if kind == views.NUMBER:
                    names[number] |= {version_label(number32(key[9:])), "latest"}
                elif kind == views.ALIAS:
                    names[number].add(key[9:].decode())
        changes = [change for number in sorted(new) for change in parent_changes(known[number])]
        return changes + [Change(known[number], sorted(names[number])) for number in sorted(names)]


def _record_of(row: VersionRow, serial: int, number: int) -> VersionRecord:
    """Return the record of a version; its form id is not known before its root was read."""
    return VersionRecord(
        serial=serial,
        artifact=number,
        number=row.number,
        root=root_node(serial),
        digest=row.digest,
        form=row.digest,
        created_ns=row.created_ns,
        mtime_ns=row.mtime_ns,
        mode=row.mode,
        newest_ns=row.mtime_ns,
        files=row.files,
        bytes=row.bytes,
        mount=serial,
        expires_ns=row.expires_ns,
    )


def _place_of(remote: bytes, row: VersionRow) -> ViewedPlace:
    record = None if row.record is None else _span_of(row.record)
    return ViewedPlace(remote, row.uuid, _span_of(row.root), row.entries, row.files, row.bytes, record)


def _span_of(span: Span) -> SpanPlace:
    return SpanPlace(span.pack, span.offset, span.length, span.hash)
