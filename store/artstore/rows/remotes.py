"""The tables of remotes: which there are, what tracks them, and what pushes have under way."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from artstore.errors import DamageError
from artstore.records.events import CounterpartEvent, Event, RemoteEvent, TrackEvent
from artstore.records.remotes import (
    PENDING,
    WAYS,
    ContentPlace,
    Counterpart,
    Noted,
    RemoteRecord,
    counterpart_key,
    decode_counterpart,
    decode_noted,
    decode_place,
    encode_counterpart,
    encode_noted,
    encode_place,
    parse_counterpart_key,
    parse_noted_key,
    parse_tracked_key,
    tracked_key,
)
from artstore.records.tables import Table, key32, key64
from artstore.rows.views import forget_views
from artstore.storage.manifest import ReadTransaction, WriteTransaction

__all__ = [
    "TRACKING_TABLES",
    "Tracking",
    "all_remotes",
    "counterpart_event",
    "counterparts_of",
    "drop_places",
    "find_place",
    "find_remote",
    "forget_counterpart",
    "forget_remote",
    "home_of",
    "note",
    "noted",
    "put_counterpart",
    "put_place",
    "put_remote",
    "put_tracked",
    "read_tracking",
    "remote_event",
    "settle",
    "tracked_in",
]

TRACKING_TABLES: Final = (Table.REMOTES, Table.TRACKED, Table.COUNTERPARTS)
"""The tables that the journal has too, but for what in them is a cache."""


def all_remotes(transaction: ReadTransaction) -> dict[bytes, RemoteRecord]:
    """Return the remotes by uuid, in the order of their names."""
    found = [(key, RemoteRecord.decode(payload)) for key, payload in transaction.rows(Table.REMOTES)]
    return dict(sorted(found, key=lambda item: item[1].name))


def find_remote(transaction: ReadTransaction, name: str) -> tuple[bytes, RemoteRecord] | None:
    """Return (uuid, record) of the remote with a name."""
    return next((item for item in all_remotes(transaction).items() if item[1].name == name), None)


def put_remote(transaction: WriteTransaction, uuid: bytes, record: RemoteRecord) -> None:
    """Write a remote's record."""
    transaction.put(Table.REMOTES, uuid, record.encode())


def forget_remote(transaction: WriteTransaction, uuid: bytes) -> None:
    """Remove a remote and all rows about it; versions stay."""
    transaction.delete(Table.REMOTES, uuid)
    forget_views(transaction, uuid)
    for table, parse in ((Table.TRACKED, parse_tracked_key), (Table.COUNTERPARTS, parse_counterpart_key)):
        for key in [key for key, _ in transaction.rows(table) if parse(key)[1] == uuid]:
            transaction.delete(table, key)
    for table in (Table.PLACES, Table.PUSHES):
        for key in [key for key, _ in transaction.rows(table, uuid)]:
            transaction.delete(table, key)


def tracked_in(transaction: ReadTransaction, uuid: bytes) -> dict[int, bytes]:
    """Return the uuid in a remote of each artifact that tracks it, by the artifact's number."""
    rows = ((parse_tracked_key(key), payload) for key, payload in transaction.rows(Table.TRACKED))
    return {artifact: payload for (artifact, remote), payload in rows if remote == uuid}


def home_of(transaction: ReadTransaction, artifact: int) -> bytes | None:
    """Return the remote whose log numbers an artifact's versions: of those that it tracks the first writable one.

    If it tracks only others, the first of these; None if it tracks none.
    """
    known = all_remotes(transaction)
    tracked = [parse_tracked_key(key)[1] for key, _ in transaction.rows(Table.TRACKED, key64(artifact))]
    order = sorted((known[uuid].read_only, known[uuid].added_ns, uuid) for uuid in tracked if uuid in known)
    return order[0][2] if order else None


def put_tracked(transaction: WriteTransaction, artifact: int, remote: bytes, uuid: bytes) -> None:
    """Record that an artifact tracks one of a remote."""
    transaction.put(Table.TRACKED, tracked_key(artifact, remote), uuid)


def counterparts_of(transaction: ReadTransaction, serial: int) -> dict[bytes, Counterpart]:
    """Return what a version is in each remote, by the remote's uuid."""
    rows = transaction.rows(Table.COUNTERPARTS, key32(serial))
    return {parse_counterpart_key(key)[1]: decode_counterpart(payload) for key, payload in rows}


def put_counterpart(transaction: WriteTransaction, serial: int, remote: bytes, counterpart: Counterpart) -> None:
    """Record which version of a remote a version is."""
    transaction.put(Table.COUNTERPARTS, counterpart_key(serial, remote), encode_counterpart(counterpart))


def forget_counterpart(transaction: WriteTransaction, serial: int, remote: bytes) -> None:
    """Forget which version of a remote a version is."""
    transaction.delete(Table.COUNTERPARTS, counterpart_key(serial, remote))


# -- pushes ------------------------------------------------------------------------------------------------------------


def note(transaction: WriteTransaction, remote: bytes, kind: int, ident: bytes, number: int = 0) -> None:
    """Note an object before it is made: a pack (``d`` or ``t``), or an entry of the log (``e``) and its number."""
    transaction.put(Table.PUSHES, remote + bytes([kind]) + ident, encode_noted(Noted(time.time_ns(), number)))


def noted(transaction: ReadTransaction, remote: bytes, kind: int) -> dict[bytes, Noted]:
    """Return the objects of a kind that pushes to a remote have noted and not settled, by id."""
    rows = transaction.rows(Table.PUSHES, remote + bytes([kind]))
    return {parse_noted_key(key)[2]: decode_noted(payload) for key, payload in rows}


def settle(transaction: WriteTransaction, remote: bytes, kind: int, ident: bytes) -> None:
    """Forget an object: it is known what became of it."""
    transaction.delete(Table.PUSHES, remote + bytes([kind]) + ident)


# -- places ------------------------------------------------------------------------------------------------------------


def find_place(transaction: ReadTransaction, remote: bytes, klass: int, ident: bytes) -> ContentPlace | None:
    """Return where a remote has content, as far as this machine knows."""
    payload = transaction.get(Table.PLACES, remote + bytes([klass]) + ident)
    return None if payload is None else decode_place(payload)


def put_place(transaction: WriteTransaction, remote: bytes, klass: int, ident: bytes, place: ContentPlace) -> None:
    """Remember where a remote has content."""
    transaction.put(Table.PLACES, remote + bytes([klass]) + ident, encode_place(place))


def drop_places(transaction: WriteTransaction, remote: bytes, packs: Collection[bytes] | None = None) -> None:
    """Forget where a remote has content, or (``packs``) what lies in some packs; pushes then send it again."""
    rows = transaction.rows(Table.PLACES, remote)
    for key in [key for key, payload in rows if packs is None or decode_place(payload).pack in packs]:
        transaction.delete(Table.PLACES, key)


# -- what the journal has too ------------------------------------------------------------------------------------------


@dataclass
class Tracking:
    """Remotes by uuid, the artifacts that track them, and the counterparts of versions.

    ``artifacts`` maps (artifact number, remote) to a uuid, ``versions`` (serial, remote) to a counterpart.
    """

    remotes: dict[bytes, RemoteRecord] = field(default_factory=dict)
    artifacts: dict[tuple[int, bytes], bytes] = field(default_factory=dict)
    versions: dict[tuple[int, bytes], Counterpart] = field(default_factory=dict)

    def add_row(self, table: Table, key: bytes, payload: bytes) -> None:
        """Add a row; raise `DamageError` for a malformed one."""
        if table == Table.REMOTES:
            self.remotes[_uuid(key)] = RemoteRecord.decode(payload)
        elif table == Table.TRACKED:
            self.artifacts[parse_tracked_key(key)] = _uuid(payload)
        else:
            self.versions[parse_counterpart_key(key)] = decode_counterpart(payload)

    def rows(self) -> dict[Table, dict[bytes, bytes]]:
        """Return the rows of `TRACKING_TABLES` by table and key."""
        return {
            Table.REMOTES: {uuid: record.encode() for uuid, record in self.remotes.items()},
            Table.TRACKED: {tracked_key(*place): uuid for place, uuid in self.artifacts.items()},
            Table.COUNTERPARTS: {
                counterpart_key(*place): encode_counterpart(counterpart) for place, counterpart in self.versions.items()
            },
        }

    def events(self, names: Mapping[int, str], versions: Mapping[int, tuple[str, int]]) -> Iterator[Event]:
        """Yield the events that lead to this state.

        ``names`` are those of the artifacts by number, and ``versions`` (name, number) by serial.
        """
        for uuid, record in self.remotes.items():
            yield remote_event(uuid, record)
        for (artifact, remote), uuid in sorted(self.artifacts.items()):
            if artifact in names:
                yield TrackEvent(name=names[artifact], remote=remote.hex(), artifact=uuid.hex())
        for (serial, remote), counterpart in sorted(self.versions.items()):
            if counterpart.way != PENDING and serial in versions:
                yield counterpart_event(*versions[serial], remote, counterpart)

    def told(self) -> Tracking:
        """Return the part that the journal has too."""
        return Tracking(
            {
                uuid: RemoteRecord(record.name, record.url, record.read_only, record.added_ns, record.anonymous)
                for uuid, record in self.remotes.items()
            },
            dict(self.artifacts),
            {place: counterpart for place, counterpart in self.versions.items() if counterpart.way != PENDING},
        )

    def with_cache(self, other: Tracking) -> Tracking:
        """Return this, with what ``other`` knows that the journal does not have: probes, and versions under way."""
        remotes = dict(self.remotes)
        told = other.told()
        for uuid, record in self.remotes.items():
            if told.remotes.get(uuid) == record:
                remotes[uuid] = other.remotes[uuid]
        pending = {place: counterpart for place, counterpart in other.versions.items() if counterpart.way == PENDING}
        return Tracking(remotes, dict(self.artifacts), {**pending, **self.versions})

    def without_loose(self, artifacts: Collection[int], owners: Mapping[int, int]) -> Tracking:
        """Return this without rows about other artifacts, versions (``owners``: their artifacts) or remotes.

        Of several remotes with one name or URL, and of several artifacts or versions with one uuid, the first stays.
        """
        remotes: dict[bytes, RemoteRecord] = {}
        seen: set[object] = set()
        for uuid, record in sorted(self.remotes.items(), key=lambda item: (item[1].added_ns, item[0])):
            if seen.isdisjoint({("name", record.name), ("url", record.url)}):
                remotes[uuid] = record
                seen |= {("name", record.name), ("url", record.url)}
        tracked: dict[tuple[int, bytes], bytes] = {}
        for (artifact, remote), uuid in sorted(self.artifacts.items()):
            if artifact in artifacts and remote in remotes and (remote, uuid) not in seen:
                tracked[artifact, remote] = uuid
                seen.add((remote, uuid))
        versions: dict[tuple[int, bytes], Counterpart] = {}
        for (serial, remote), counterpart in sorted(self.versions.items()):
            artifact = owners.get(serial, 0)
            if (artifact, remote) in tracked and (remote, counterpart.uuid) not in seen:
                versions[serial, remote] = counterpart
                seen.add((remote, counterpart.uuid))
        return Tracking(remotes, tracked, versions)

    def differences(self, other: Tracking) -> Iterator[str]:
        """Yield each difference as a phrase."""
        for uuid in sorted(self.remotes.keys() | other.remotes.keys()):
            if self.remotes.get(uuid) != other.remotes.get(uuid):
                yield f"the remote {(self.remotes.get(uuid) or other.remotes[uuid]).name!r}"
        if self.artifacts != other.artifacts:
            yield "the artifacts that track remotes"
        for serial, remote in sorted(self.versions.keys() | other.versions.keys()):
            if self.versions.get((serial, remote)) != other.versions.get((serial, remote)):
                yield f"what the version with serial {serial} is in the remote {remote.hex()}"


def remote_event(uuid: bytes, record: RemoteRecord) -> RemoteEvent:
    """Return the event that makes a remote known."""
    access = "anonymous" if record.anonymous else "read" if record.read_only else "write"
    return RemoteEvent(uuid=uuid.hex(), name=record.name, url=record.url, access=access, added_ns=record.added_ns)


def counterpart_event(name: str, version: int, remote: bytes, counterpart: Counterpart) -> CounterpartEvent:
    """Return the event of a version that was pushed or pulled."""
    return CounterpartEvent(
        name=name,
        version=version,
        remote=remote.hex(),
        uuid=counterpart.uuid.hex(),
        number=counterpart.number,
        way=WAYS[counterpart.way],
    )


def read_tracking(transaction: ReadTransaction) -> Tracking:
    """Return the rows of `TRACKING_TABLES`; raise `DamageError` for a malformed one."""
    tracking = Tracking()
    for table in TRACKING_TABLES:
        for key, payload in transaction.rows(table):
            tracking.add_row(table, key, payload)
    return tracking


def _uuid(value: bytes) -> bytes:
    if len(value) != 16:
        raise DamageError(f"a uuid of a remote has {len(value)} bytes, not 16")
    return value
