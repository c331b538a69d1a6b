"""What remotes have and this workspace has not, as rows that readers see next to the catalogue.

Key, after a byte for the kind, and value of each row of VIEWS:

    o                                   the URL of the remote that the workspace only shows
    e                                   edition u64: another one after each change
    r  remote (16)                      entries of the remote's log that are shown u64
    n  full name, UTF-8                 number u64 of the artifact or project
    a  number u64                       ArtifactRecord
    t  number u64                       remote (16), uuid (16) of the artifact there; projects have none
    v  serial u32                       VersionRecord
    p  serial u32                       where its root lies (`artstore.records.views`)
    #  number u64, version u32          serial u32
    u  remote (16), uuid (16)           serial u32 of a version, kept as long as the log has it
    l  number u64, alias, UTF-8         AliasRecord
    s  alias serial u32                 the key of the alias without its first byte

`artstore.remotes.showing` writes them from the log.  Numbers and serials come from the counters of the catalogue, so
they are none that it uses, and inodes of both never meet.  An artifact that is in the workspace too has one number
there and another one here; the versions of both are listed under the workspace's.  What the workspace has comes first.

Only `Snapshot` reads these rows.  What counts, reaps, checks or writes reads the catalogue, and sees none of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

from artstore.errors import DamageError, RefusedError
from artstore.records.catalogue import AliasRecord, ArtifactRecord, VersionRecord
from artstore.records.lazy_nodes import LAZY
from artstore.records.remotes import UUID_LENGTH, tracked_key
from artstore.records.tables import Table, key32, key64, name_of_key, number32, number64
from artstore.records.views import ViewedPlace, decode_viewed
from artstore.rows import catalogue
from artstore.rows.catalogue import NameEntry
from artstore.storage.manifest import ReadTransaction, WriteTransaction

__all__ = [
    "ALIAS",
    "ALIAS_SERIAL",
    "ARTIFACT",
    "EDITION",
    "NAME",
    "NUMBER",
    "ONLY",
    "OWNER",
    "PLACE",
    "SHOWN",
    "UUID",
    "VERSION",
    "Views",
    "check_row",
    "drop_empty_projects",
    "edition",
    "forget_views",
    "is_lazy",
    "refuse_shown_only",
    "require_local",
    "rows_of",
    "shown_to",
    "views_of",
    "write_views",
]

ONLY: Final = b"o"
EDITION: Final = b"e"
SHOWN: Final = b"r"
NAME: Final = b"n"
ARTIFACT: Final = b"a"
OWNER: Final = b"t"
VERSION: Final = b"v"
PLACE: Final = b"p"
NUMBER: Final = b"#"
UUID: Final = b"u"
ALIAS: Final = b"l"
ALIAS_SERIAL: Final = b"s"
_SLASH: Final = b"/"
_AFTER_SLASH: Final = b"0"


def is_lazy(version: VersionRecord) -> bool:
    """Return whether a version is in a remote only."""
    return version.root >= LAZY


def require_local(version: VersionRecord, name: str) -> None:
    """Raise `RefusedError` if a version, called ``name``, is in a remote only: nothing of the workspace may name it."""
    if is_lazy(version):
        raise RefusedError(
            f"{name} is not in this workspace, only in a remote", hint=f"make it local first: artfs pull {name}"
        )


def edition(transaction: ReadTransaction) -> int:
    """Return a number that is another one after each change of the rows, 0 if there was none."""
    if transaction.handles[Table.VIEWS] is None:
        return 0  # a workspace of an older format, on a read-only disk
    value = transaction.get(Table.VIEWS, EDITION)
    return 0 if value is None else number64(value)


def refuse_shown_only(transaction: ReadTransaction) -> None:
    """Raise `RefusedError` if the workspace only shows a remote, and takes no versions."""
    if transaction.handles[Table.VIEWS] is None:
        return
    url = transaction.get(Table.VIEWS, ONLY)
    if url is not None:
        raise RefusedError(
            f"this workspace only shows the remote at {url.decode(errors='replace')}",
            hint="make a workspace of your own: artfs clone URL DIR",
        )


def shown_to(transaction: ReadTransaction, remote: bytes) -> int | None:
    """Return up to which entry of its log a remote is shown, None if it never was."""
    value = None if transaction.handles[Table.VIEWS] is None else transaction.get(Table.VIEWS, SHOWN + remote)
    return None if value is None else number64(value)


def views_of(transaction: ReadTransaction) -> Views | None:
    """Return what remotes have as of a transaction, None in a workspace that never knew a remote."""
    return Views(transaction) if edition(transaction) else None


class Views:
    """The rows as of one transaction.

    A ``number`` of an artifact is that of the workspace, if it has the artifact too, or the one here.
    """

    __slots__ = ("_transaction",)

    def __init__(self, transaction: ReadTransaction) -> None:
        self._transaction = transaction

    def _get(self, kind: bytes, key: bytes) -> bytes | None:
        return self._transaction.get(Table.VIEWS, kind + key)

    # -- names ---------------------------------------------------------------------------------------------------------

    def find_name(self, name: str) -> ArtifactRecord | None:
        """Return the artifact or project with a full name, as it is known here."""
        value = self._get(NAME, name.encode())
        return None if value is None else self.artifact(number64(value))

    def artifact(self, number: int) -> ArtifactRecord | None:
        """Return the artifact or project with a number of its own."""
        payload = self._get(ARTIFACT, key64(number))
        return None if payload is None else ArtifactRecord.decode(payload)

    def owner_of(self, number: int) -> tuple[bytes, bytes] | None:
        """Return (remote, uuid there) of the artifact with a number of its own, None for a project."""
        owner = self._get(OWNER, key64(number))
        return None if owner is None else (owner[:16], owner[16:])

    def names_in(self, project: str) -> Iterator[NameEntry]:
        """Yield the direct children of a project, in the order of their bytes."""
        transaction = self._transaction
        prefix = NAME + (project.encode() + _SLASH if project else b"")
        with transaction.raw.cursor(transaction.handles[Table.VIEWS]) as cursor:
            more = cursor.set_range(prefix)
            while more and (key := bytes(cursor.key())).startswith(prefix):
                component, below, _ = key[len(prefix) :].partition(_SLASH)
                if below:
                    more = cursor.set_range(prefix + component + _AFTER_SLASH)
                    continue
                record = self.find_name(name_of_key(key[1:]))
                if record is not None:
                    yield NameEntry(record.number, name_of_key(component), record.is_artifact, record.created_ns)
                more = cursor.next()

    def all_artifacts(self, project: str) -> Iterator[ArtifactRecord]:
        """Yield the artifacts below a project at any depth, by name."""
        prefix = NAME + (project.encode() + _SLASH if project else b"")
        for _, value in self._transaction.rows(Table.VIEWS, prefix):
            record = self.artifact(number64(value))
            if record is not None and record.is_artifact:
                yield record

    def own_number(self, number: int) -> int | None:
        """Return the number here of an artifact, None if no remote that it belongs to has it."""
        if self._get(ARTIFACT, key64(number)) is not None:
            return number
        local = catalogue.artifact(self._transaction, number)
        value = None if local is None else self._get(NAME, local.name.encode())
        owner = None if value is None else self._get(OWNER, value)
        if owner is None:
            return None
        tracked = self._transaction.get(Table.TRACKED, tracked_key(number, owner[:16]))
        assert value is not None
        return number64(value) if tracked == owner[16:] else None

    # -- versions ------------------------------------------------------------------------------------------------------

    def numbers_of(self, number: int) -> list[int]:
        """Return the numbers of an artifact's versions, in order."""
        own = self.own_number(number)
        keys = self._transaction.rows(Table.VIEWS, NUMBER + key64(own)) if own is not None else ()
        return [number32(key[9:]) for key, _ in keys]

    def versions_of(self, number: int) -> Iterator[VersionRecord]:
        """Yield an artifact's versions, by number."""
        own = self.own_number(number)
        for _, serial in self._transaction.rows(Table.VIEWS, NUMBER + key64(own)) if own is not None else ():
            record = self.version(number32(serial))
            if record is None:
                raise DamageError(f"the record of the version with serial {number32(serial)} of a remote is missing")
            yield replace(record, artifact=number)

    def serial_of(self, number: int, version: int) -> int | None:
        """Return the serial of the version of an artifact with a number."""
        own = self.own_number(number) if version < 1 << 32 else None
        value = None if own is None else self._get(NUMBER, key64(own) + key32(version))
        return None if value is None else number32(value)

    def version_by_number(self, number: int, version: int) -> VersionRecord | None:
        """Return the version of an artifact with a number."""
        serial = self.serial_of(number, version)
        record = None if serial is None else self.version(serial)
        return None if record is None else replace(record, artifact=number)

    def version(self, serial: int) -> VersionRecord | None:
        """Return the version with a serial."""
        payload = self._get(VERSION, key32(serial))
        return None if payload is None else VersionRecord.decode(payload)

    def place(self, serial: int) -> ViewedPlace | None:
        """Return where the version with a serial lies."""
        payload = self._get(PLACE, key32(serial))
        return None if payload is None else decode_viewed(payload)

    # -- aliases -------------------------------------------------------------------------------------------------------

    def aliases_of(self, number: int) -> Iterator[AliasRecord]:
        """Yield an artifact's aliases of versions that only the remote has, by name."""
        own = self.own_number(number)
        for _, payload in self._transaction.rows(Table.VIEWS, ALIAS + key64(own)) if own is not None else ():
            yield replace(AliasRecord.decode(payload), artifact=number)

    def alias(self, serial: int) -> AliasRecord | None:
        """Return the alias with a serial."""
        key = self._get(ALIAS_SERIAL, key32(serial))
        payload = None if key is None else self._get(ALIAS, key)
        return None if payload is None else AliasRecord.decode(payload)


def check_row(key: bytes, payload: bytes) -> None:
    """Raise `DamageError` for a row that is malformed."""
    decode = {ARTIFACT: ArtifactRecord.decode, VERSION: VersionRecord.decode, ALIAS: AliasRecord.decode}
    kind, place = key[:1], key[1:]
    if kind in decode:
        decode[kind](payload)
    elif kind == PLACE:
        decode_viewed(payload)
    elif kind in (EDITION, SHOWN, NAME):
        number64(payload)
        name_of_key(place if kind == NAME else b"")
    elif kind in (NUMBER, UUID):
        number32(payload)
    elif kind not in (OWNER, ALIAS_SERIAL, ONLY) or (kind == OWNER and len(payload) != 2 * UUID_LENGTH):
        raise DamageError(f"the row {key.hex()} of the table views is of no kind")


# -- writing -----------------------------------------------------------------------------------------------------------


def rows_of(transaction: ReadTransaction, remote: bytes) -> dict[bytes, bytes]:
    """Return the rows about the artifacts and versions of a remote, by key; those of projects are of no remote."""
    found: dict[bytes, bytes] = {}
    for key, owner in transaction.rows(Table.VIEWS, OWNER):
        if owner[:16] != remote:
            continue
        number = key[1:]
        record = transaction.get(Table.VIEWS, ARTIFACT + number)
        found[key] = owner
        if record is not None:
            found[ARTIFACT + number] = record
            found[NAME + ArtifactRecord.decode(record).name.encode()] = number
        for each, serial in transaction.rows(Table.VIEWS, NUMBER + number):
            found[each] = serial
            for kind in (VERSION, PLACE):
                found[kind + serial] = transaction.get(Table.VIEWS, kind + serial) or b""
        for each, alias in transaction.rows(Table.VIEWS, ALIAS + number):
            found[each] = alias
            found[ALIAS_SERIAL + key32(AliasRecord.decode(alias).serial)] = each[1:]
    found.update(transaction.rows(Table.VIEWS, UUID + remote))
    return found


def write_views(transaction: WriteTransaction, before: Mapping[bytes, bytes], after: Mapping[bytes, bytes]) -> bool:
    """Replace rows by others; return whether any differs."""
    gone = [key for key in before if key not in after]
    changed = [(key, value) for key, value in after.items() if before.get(key) != value]
    for key in gone:
        transaction.delete(Table.VIEWS, key)
    for key, value in changed:
        transaction.put(Table.VIEWS, key, value)
    if gone or changed:
        transaction.put(Table.VIEWS, EDITION, key64(edition(transaction) + 1))
    return bool(gone or changed)


def forget_views(transaction: WriteTransaction, remote: bytes) -> None:
    """Remove what is known of a remote that is forgotten."""
    write_views(transaction, rows_of(transaction, remote), {})
    transaction.delete(Table.VIEWS, SHOWN + remote)
    drop_empty_projects(transaction)


def drop_empty_projects(transaction: WriteTransaction) -> None:
    """Remove projects that no artifact here lies in."""
    artifacts, projects = set(), {}
    for key, value in transaction.rows(Table.VIEWS, NAME):
        if transaction.get(Table.VIEWS, OWNER + value) is None:
            projects[key] = value
        else:
            artifacts.add(key[1:])
    needed = {name[:at] for name in artifacts for at, letter in enumerate(name) if letter == _SLASH[0]}
    for key, value in projects.items():
        if key[1:] not in needed:
            transaction.delete(Table.VIEWS, key)
            transaction.delete(Table.VIEWS, ARTIFACT + value)
