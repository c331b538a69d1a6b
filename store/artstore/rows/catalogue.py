"""The catalogue: names, artifacts and projects, versions and aliases, as rows of the manifest.

Reading works in any transaction; writing is plain edits of a write transaction, which the callers (`put`, `alias`, ...)
wrap with their checks and their journal events.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from artstore.errors import DamageError, ExistsError, InvalidInputError
from artstore.names import PENDING, version_label
from artstore.records.catalogue import AliasRecord, ArtifactRecord, VersionRecord
from artstore.records.seal import unseal
from artstore.records.tables import Table, key32, key64, name_of_key, number32, number64
from artstore.records.terms import terms_with
from artstore.rows import terms
from artstore.storage.manifest import ReadTransaction, WriteTransaction

__all__ = [
    "NameEntry",
    "add_version",
    "alias_by_name",
    "alias_by_serial",
    "aliases_of",
    "all_artifacts",
    "artifact",
    "components_in",
    "count_versions",
    "ensure_artifact",
    "find_name",
    "find_retired",
    "label",
    "latest",
    "names_in",
    "newest",
    "put_alias",
    "put_artifact",
    "put_version",
    "recorded_by_number",
    "recorded_descending",
    "recorded_numbers",
    "recorded_version",
    "recorded_versions",
    "remove_alias",
    "remove_version",
    "rename",
    "retire",
    "serial_of",
    "serials_of",
    "set_aliases",
    "version",
    "version_by_number",
    "versions_of",
]

_ALIAS_CHANGES: Final = 200
"""Changes of aliases that are kept with an artifact."""

_RETIRED: Final = b"\0"
_FIRST_NAME: Final = b"\1"
_SLASH: Final = b"/"
_AFTER_SLASH: Final = b"0"


class NameEntry(NamedTuple):
    """A direct child of a project: its number, last component, whether it is an artifact or a project, and its age."""

    number: int
    component: str
    is_artifact: bool
    created_ns: int


def find_name(transaction: ReadTransaction, name: str) -> ArtifactRecord | None:
    """Return the artifact or project with a full name."""
    value = transaction.get(Table.NAMES, name.encode())
    return None if value is None else _known_artifact(transaction, number64(value))


def artifact(transaction: ReadTransaction, number: int) -> ArtifactRecord | None:
    """Return the artifact or project with a number."""
    payload = transaction.get_numbered(Table.ARTIFACTS, number)
    return None if payload is None else ArtifactRecord.decode(payload)


def _known_artifact(transaction: ReadTransaction, number: int) -> ArtifactRecord:
    record = artifact(transaction, number)
    if record is None:
        raise DamageError(f"the record of artifact number {number} is missing")
    return record


def names_in(transaction: ReadTransaction, project: str) -> list[NameEntry]:
    """Return the direct children of a project ("" for the top level), by number."""
    named = ((name, _known_artifact(transaction, number)) for name, number in _children(transaction, project))
    return sorted(NameEntry(record.number, name, record.is_artifact, record.created_ns) for name, record in named)


def _children(transaction: ReadTransaction, project: str, beginning: str = "") -> Iterator[tuple[str, int]]:
    """Yield (component, number) of a project's direct children that begin with a text; no row below them is read."""
    above = project.encode(errors="surrogatepass") + _SLASH if project else b""
    prefix = above + beginning.encode(errors="surrogatepass")
    with transaction.raw.cursor(transaction.handles[Table.NAMES]) as cursor:
        more = cursor.set_range(prefix or _FIRST_NAME)
        while more and (key := cursor.key()).startswith(prefix):
            component, below, _ = key[len(above) :].partition(_SLASH)
            if below:  # a child's own row comes before those below it, unless other names sort between them
                more = cursor.set_range(above + component + _AFTER_SLASH)
            else:
                yield name_of_key(component), number64(unseal(Table.NAMES, key, cursor.value()))
                more = cursor.next()


def components_in(transaction: ReadTransaction, project: str, beginning: str = "") -> Iterator[str]:
    """Yield the components directly below a project that begin with a text, in the order of their bytes."""
    return (component for component, _ in _children(transaction, project, beginning))


def all_artifacts(transaction: ReadTransaction, project: str = "") -> list[ArtifactRecord]:
    """Return the artifacts below a project at any depth, by name."""
    prefix = project.encode() + _SLASH if project else b""
    records = (
        _known_artifact(transaction, number64(value))
        for key, value in transaction.rows(Table.NAMES, prefix)
        if not key.startswith(_RETIRED)
    )
    return [record for record in records if record.is_artifact]


def find_retired(transaction: ReadTransaction, name: str) -> ArtifactRecord | None:
    """Return the artifact of a full name that has no living version any more."""
    value = transaction.get(Table.NAMES, _RETIRED + name.encode())
    return None if value is None else _known_artifact(transaction, number64(value))


def ensure_artifact(transaction: WriteTransaction, name: str, now_ns: int) -> ArtifactRecord:
    """Return the artifact of a full name, making it and the projects above it if they are missing.

    A retired one is revived, so that its version numbers continue.  Raises the errors of `possible_artifact`.
    """
    record = find_name(transaction, name)
    if record is not None:
        return _required_artifact(record)
    for project in _missing_projects(transaction, name):
        _create(transaction, project, now_ns, is_artifact=False)
    retired = find_retired(transaction, name)
    if retired is None:
        return _create(transaction, name, now_ns, is_artifact=True)
    transaction.delete(Table.NAMES, _RETIRED + name.encode())
    transaction.put(Table.NAMES, name.encode(), key64(retired.number))
    return retired


def possible_artifact(transaction: ReadTransaction, name: str) -> ArtifactRecord | None:
    """Return the artifact of a full name, or None if one can be made.

    Raises `InvalidInputError` if the name is a project already, or where a component above it is an artifact.
    """
    record = find_name(transaction, name)
    if record is not None:
        return _required_artifact(record)
    _missing_projects(transaction, name)
    return None


def _required_artifact(record: ArtifactRecord) -> ArtifactRecord:
    """Return an artifact's record; raise `InvalidInputError` for a project's."""
    if not record.is_artifact:
        raise InvalidInputError(
            f"{record.name!r} is a project that holds other artifacts, so it cannot be an artifact itself",
            hint=f"use another name, such as {record.name}/data",
        )
    return record


def _missing_projects(transaction: ReadTransaction, name: str) -> list[str]:
    """Return the projects above a name that do not exist, from the top; raise `InvalidInputError` for an artifact."""
    missing: list[str] = []
    for depth in range(name.count("/"), 0, -1):
        project = "/".join(name.split("/")[:depth])
        above = find_name(transaction, project)
        if above is not None and above.is_artifact:
            what = f"{project!r} is an artifact, so {name!r} cannot be created below it"
            raise InvalidInputError(what, hint="use another name")
        if above is not None:
            break  # the projects above a project exist
        missing.insert(0, project)
    return missing


def rename(transaction: WriteTransaction, record: ArtifactRecord, name: str, now_ns: int) -> list[str]:
    """Rename an artifact to a full name that was never used; return the full names that no longer exist.

    Raises `ExistsError` if the name is or was in use, `InvalidInputError` if no artifact can have it.
    """
    if find_name(transaction, name) is not None:
        raise ExistsError(f"{name!r} already exists", hint="use another name")
    if find_retired(transaction, name) is not None:
        raise ExistsError(f"{name!r} was an artifact, and version numbers are not reused", hint="use another name")
    transaction.delete(Table.NAMES, record.name.encode())
    old_names = [record.name, *_drop_empty_projects(transaction, record.name)]
    for project in _missing_projects(transaction, name):
        _create(transaction, project, now_ns, is_artifact=False)
    transaction.put(Table.NAMES, name.encode(), key64(record.number))
    put_artifact(transaction, replace(record, name=name))
    return old_names


def retire(transaction: WriteTransaction, record: ArtifactRecord) -> list[str]:
    """Take an artifact without living versions out of all listings; return the full names that are gone.

    Its record stays, so that the numbers of its versions are never given again.  Projects that are empty then go.
    """
    transaction.delete(Table.NAMES, record.name.encode())
    transaction.put(Table.NAMES, _RETIRED + record.name.encode(), key64(record.number))
    return [record.name, *_drop_empty_projects(transaction, record.name)]


def _drop_empty_projects(transaction: WriteTransaction, name: str) -> list[str]:
    """Remove the empty projects above a name; return their full names."""
    dropped = []
    project = name.rpartition("/")[0]
    while project and next(_children(transaction, project), None) is None:
        above = find_name(transaction, project)
        transaction.delete(Table.NAMES, project.encode())
        if above is not None:
            transaction.delete(Table.ARTIFACTS, key64(above.number))
        dropped.append(project)
        project = project.rpartition("/")[0]
    return dropped


def _create(transaction: WriteTransaction, name: str, now_ns: int, *, is_artifact: bool) -> ArtifactRecord:
    number = transaction.state.next_name
    transaction.state.next_name += 1
    record = ArtifactRecord(number, name, is_artifact, now_ns)
    transaction.put(Table.NAMES, name.encode(), key64(number))
    put_artifact(transaction, record)
    return record


def put_artifact(transaction: WriteTransaction, record: ArtifactRecord) -> None:
    """Write an artifact's record."""
    transaction.put_numbered(Table.ARTIFACTS, record.number, record.encode())


def add_version(transaction: WriteTransaction, record: VersionRecord, stems: Iterable[bytes]) -> set[bytes]:
    """Write the rows of a new version, whose serial is the highest, and whose metadata have the ``stems``.

    Return its terms, which the caller adds by `terms.add` before the transaction ends, those of several together.
    """
    transaction.append(Table.VERSIONS, key32(record.serial), record.encode())
    _put_ways(transaction, record)
    return terms_with(stems, record)


def put_version(transaction: WriteTransaction, record: VersionRecord) -> None:
    """Write a version's record, the row that leads to it by number, and its terms."""
    terms.change(transaction, recorded_version(transaction, record.serial), record)
    transaction.put(Table.VERSIONS, key32(record.serial), record.encode())
    _put_ways(transaction, record)


def _put_ways(transaction: WriteTransaction, record: VersionRecord) -> None:
    """Write the rows that lead to a version by its number, and by its mount serial."""
    if record.mount != record.serial:
        transaction.put(Table.MOUNTS, key32(record.mount), key32(record.serial))
    transaction.put(Table.NUMBERS, key64(record.artifact) + key32(record.number), key32(record.serial))


def renumber_mount(transaction: WriteTransaction, record: VersionRecord) -> None:
    """Forget a version's mount serial, so that inode numbers with it are stale; the caller records another one."""
    if record.mount != record.serial:
        transaction.delete(Table.MOUNTS, key32(record.mount))


def remove_version(transaction: WriteTransaction, serial: int, artifact_number: int, number: int) -> None:
    """Remove all that is recorded of a version, whose reaping begins."""
    for key in [key for key, _ in transaction.rows(Table.COUNTERPARTS, key32(serial))]:  # see `artstore.rows.remotes`
        transaction.delete(Table.COUNTERPARTS, key)
    record = recorded_version(transaction, serial)
    if record is not None:
        renumber_mount(transaction, record)
        terms.change(transaction, record, None)
    transaction.delete(Table.VERSIONS, key32(serial))
    transaction.delete(Table.NUMBERS, key64(artifact_number) + key32(number))


def version_of_mount(transaction: ReadTransaction, mount: int) -> VersionRecord | None:
    """Return the version, living or deleted, whose inode numbers contain a mount serial; None if none does any more."""
    value = transaction.get(Table.MOUNTS, key32(mount))
    record = recorded_version(transaction, mount if value is None else number32(value))
    return record if record is not None and record.mount == mount else None


def recorded_version(transaction: ReadTransaction, serial: int) -> VersionRecord | None:
    """Return a version's record, living or deleted."""
    payload = transaction.get(Table.VERSIONS, key32(serial))
    return None if payload is None else VersionRecord.decode(payload)


def version(transaction: ReadTransaction, serial: int) -> VersionRecord | None:
    """Return the living version with a serial."""
    record = recorded_version(transaction, serial)
    return record if record is not None and record.state == "live" else None


def recorded_by_number(transaction: ReadTransaction, artifact_number: int, number: int) -> VersionRecord | None:
    """Return the version of an artifact with a number, living or deleted."""
    serial = serial_of(transaction, artifact_number, number)
    return None if serial is None else recorded_version(transaction, serial)


def serial_of(transaction: ReadTransaction, artifact_number: int, number: int) -> int | None:
    """Return the serial of the version of an artifact with a number, living or deleted."""
    if number >= 1 << 32:
        return None
    serial = transaction.get(Table.NUMBERS, key64(artifact_number) + key32(number))
    return None if serial is None else number32(serial)


def version_by_number(transaction: ReadTransaction, artifact_number: int, number: int) -> VersionRecord | None:
    """Return the living version of an artifact with a number."""
    record = recorded_by_number(transaction, artifact_number, number)
    return record if record is not None and record.state == "live" else None


def serials_of(transaction: ReadTransaction, artifact_number: int) -> Iterator[int]:
    """Yield the serials of an artifact's versions, deleted ones too, by number."""
    for _, serial in transaction.rows(Table.NUMBERS, key64(artifact_number)):
        yield number32(serial)


def recorded_versions(transaction: ReadTransaction, artifact_number: int) -> Iterator[VersionRecord]:
    """Yield an artifact's versions, deleted ones too, by number."""
    for serial in serials_of(transaction, artifact_number):
        record = recorded_version(transaction, serial)
        if record is None:
            raise DamageError(f"the record of version serial {serial} is missing")
        yield record


def recorded_numbers(transaction: ReadTransaction, artifact_number: int) -> list[int]:
    """Return the numbers of an artifact's versions, living or deleted, in order."""
    return [int.from_bytes(key[8:], "big") for key, _ in transaction.rows(Table.NUMBERS, key64(artifact_number))]


def versions_of(transaction: ReadTransaction, artifact_number: int) -> list[VersionRecord]:
    """Return an artifact's living versions, by number."""
    return [record for record in recorded_versions(transaction, artifact_number) if record.state == "live"]


def count_versions(transaction: ReadTransaction, artifact_number: int) -> int:
    """Return how many living versions an artifact has."""
    return sum(1 for serial in serials_of(transaction, artifact_number) if _is_live(transaction, serial))


def _is_live(transaction: ReadTransaction, serial: int) -> bool:
    payload = transaction.get(Table.VERSIONS, key32(serial))
    if payload is None:
        raise DamageError(f"the record of version serial {serial} is missing")
    # The record of a living version leaves its state out, and decoding ten thousand takes most of a second.
    return b'"state"' not in payload or VersionRecord.decode(payload).state == "live"


def latest(transaction: ReadTransaction, artifact_number: int) -> VersionRecord | None:
    """Return an artifact's highest living version that is not pending."""
    descending = recorded_descending(transaction, artifact_number, below=PENDING)
    return next((record for record in descending if record.state == "live"), None)


def newest(transaction: ReadTransaction, artifact_number: int) -> VersionRecord | None:
    """Return an artifact's newest pending version, else its latest one: the version that a put is compared with."""
    descending = recorded_descending(transaction, artifact_number)
    return next((record for record in descending if record.state == "live"), None)


def recorded_descending(
    transaction: ReadTransaction, artifact_number: int, *, below: int | None = None
) -> Iterator[VersionRecord]:
    """Yield an artifact's versions, deleted ones too, from the highest number ``below`` one down.

    Pending ones come first.
    """
    prefix = key64(artifact_number)
    with transaction.raw.cursor(transaction.handles[Table.NUMBERS]) as cursor:
        beyond = prefix + key32(2 * PENDING if below is None else min(max(below, 0), 2 * PENDING))
        more = cursor.prev() if cursor.set_range(beyond) else cursor.last()
        while more and (key := bytes(cursor.key())).startswith(prefix):
            serial = transaction.get(Table.NUMBERS, key)
            record = None if serial is None else recorded_version(transaction, number32(serial))
            if record is not None:
                yield record
            more = cursor.prev()


def aliases_of(transaction: ReadTransaction, artifact_number: int) -> list[AliasRecord]:
    """Return an artifact's aliases, by name; `latest` is not one of them."""
    return [AliasRecord.decode(payload) for _, payload in transaction.rows(Table.ALIASES, key64(artifact_number))]


def alias_by_name(transaction: ReadTransaction, artifact_number: int, name: str) -> AliasRecord | None:
    """Return one alias of an artifact."""
    payload = transaction.get(Table.ALIASES, key64(artifact_number) + name.encode())
    return None if payload is None else AliasRecord.decode(payload)


def alias_by_serial(transaction: ReadTransaction, serial: int) -> AliasRecord | None:
    """Return the alias that was set with a serial and has not moved since."""
    key = transaction.get(Table.ALIAS_SERIALS, key32(serial))
    payload = None if key is None else transaction.get(Table.ALIASES, key)
    return None if payload is None else AliasRecord.decode(payload)


def put_alias(transaction: WriteTransaction, artifact_number: int, name: str, number: int, now_ns: int) -> AliasRecord:
    """Point an alias at a version, moving it if it exists."""
    _take_alias(transaction, artifact_number, name)
    _note_alias(transaction, artifact_number, name, number, now_ns)
    serial = transaction.state.next_alias
    transaction.state.next_alias += 1
    record = AliasRecord(serial, artifact_number, name, number, now_ns)
    key = key64(artifact_number) + name.encode()
    transaction.put(Table.ALIASES, key, record.encode())
    transaction.put(Table.ALIAS_SERIALS, key32(serial), key)
    return record


def set_aliases(
    transaction: WriteTransaction, artifact_number: int, number: int, names: Sequence[str], now_ns: int
) -> list[str]:
    """Point aliases at a version; return those that changed."""
    moved = []
    for name in dict.fromkeys(names):
        present = alias_by_name(transaction, artifact_number, name)
        if present is None or present.version != number:
            put_alias(transaction, artifact_number, name, number, now_ns)
            moved.append(name)
    return moved


def named_otherwise(
    transaction: ReadTransaction, artifact_number: int, number: int | None, names: Sequence[str]
) -> list[str]:
    """Return those of some aliases that are there and name another version than ``number``, which None never is."""
    aliases = [(name, alias_by_name(transaction, artifact_number, name)) for name in dict.fromkeys(names)]
    return [name for name, alias in aliases if alias is not None and alias.version != number]


def remove_alias(transaction: WriteTransaction, artifact_number: int, name: str) -> AliasRecord | None:
    """Remove an alias; return its record, or None if it did not exist."""
    record = _take_alias(transaction, artifact_number, name)
    if record is not None:
        _note_alias(transaction, artifact_number, name, None, time.time_ns())
    return record


def _note_alias(
    transaction: WriteTransaction, artifact_number: int, name: str, number: int | None, now_ns: int
) -> None:
    """Keep when an alias came to name a version, or none, with the artifact."""
    record = artifact(transaction, artifact_number)
    if record is not None:
        change = {"alias": name, "version": number, "at_ns": now_ns}
        history = [*record.alias_history, change][-_ALIAS_CHANGES:]
        put_artifact(transaction, replace(record, alias_history=history))


def _take_alias(transaction: WriteTransaction, artifact_number: int, name: str) -> AliasRecord | None:
    record = alias_by_name(transaction, artifact_number, name)
    if record is not None:
        transaction.delete(Table.ALIASES, key64(artifact_number) + name.encode())
        transaction.delete(Table.ALIAS_SERIALS, key32(record.serial))
    return record


def label(transaction: ReadTransaction, version: VersionRecord) -> str:
    """Return ``NAME:v3`` of a recorded version."""
    record = artifact(transaction, version.artifact)
    return f"{record.name if record else '?'}:{version_label(version.number)}"
