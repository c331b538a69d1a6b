"""The entries above versions: projects, artifacts and aliases, as a mount shows them.

The cookies of listings are functions of the entry, so that a listing continues correctly while entries are added and
removed: a name's number, a version's number, one fixed cookie for `latest`, and an alias's serial above all of these.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator

from artfs.mount import inodes
from artfs.mount.attributes import (
    Attributes,
    DirectoryEntry,
    Modes,
    above,
    link_above,
    of_entry,
    root_entry,
)
from artfs.mount.errnos import StaleError
from artfs.mount.inodes import Inode, Sort
from artstore.errors import NotFoundError
from artstore.names import is_pending, parse_version_label, version_label
from artstore.records.catalogue import AliasRecord, ArtifactRecord, VersionRecord
from artstore.rows.snapshot import Snapshot

__all__ = [
    "LATEST",
    "attributes",
    "find_in_artifact",
    "find_in_project",
    "link_target",
    "list_artifact",
    "list_project",
    "number_of",
    "of_version",
    "parent_of",
    "root",
    "version_ranges",
]

LATEST = b"latest"

_FIRST = 3
_LATEST_COOKIE = 1 << 39
_ALIAS_COOKIE = 1 << 40


def find_in_project(snapshot: Snapshot, modes: Modes, project: int, name: bytes) -> Attributes:
    """Return the attributes of a project or artifact called ``name`` in ``project``; NotFoundError if there is none."""
    try:
        component = name.decode()
    except UnicodeDecodeError as error:
        raise NotFoundError("no artifact has a name that is not UTF-8") from error
    above_it = _name(snapshot, project)
    number = snapshot.name_number(f"{above_it}/{component}" if above_it else component)
    if number is None or not component:
        raise NotFoundError(f"no project or artifact {component!r}")
    return _of_name(snapshot, modes, *number)


def find_in_artifact(snapshot: Snapshot, artifact: int, name: bytes) -> VersionRecord | Attributes:
    """Return the version that ``name`` labels, or the attributes of the alias of that name; else NotFoundError."""
    text = name.decode(errors="replace")
    number = parse_version_label(text)
    version = None if number is None else snapshot.version_by_number(artifact, number)
    if version is not None:
        return version
    if name == LATEST:
        latest = snapshot.latest(artifact)
        if latest is not None:
            return _of_latest(latest)
    elif number is None or is_pending(number):
        alias = snapshot.alias_by_name(artifact, text)
        if alias is not None and alias.name.encode() == name:
            return _of_alias(alias)
    raise NotFoundError(f"no version or alias {text!r}")


def root(snapshot: Snapshot, modes: Modes, created_ns: int) -> Attributes:
    """Return the attributes of the root of the mount."""
    return above(inodes.ROOT, modes, created_ns, snapshot.edition)


def attributes(snapshot: Snapshot, modes: Modes, place: Inode) -> Attributes:
    """Return the attributes of a project, an artifact or an alias; StaleError if it no longer exists."""
    if place.sort is Sort.ALIAS:
        return _of_alias(_alias(snapshot, place.value))
    if place.sort is Sort.LATEST:
        return _of_latest(_version(snapshot, place.value))
    return _of_name(snapshot, modes, place.value, place.sort is Sort.ARTIFACT)


def link_target(snapshot: Snapshot, place: Inode) -> bytes:
    """Return the text of an alias's link: the label of its version."""
    if place.sort is Sort.ALIAS:
        return _target(_alias(snapshot, place.value).version)
    return _target(_version(snapshot, place.value).number)


def list_project(snapshot: Snapshot, modes: Modes, project: int) -> list[DirectoryEntry]:
    """Return the entries of a project by cookie."""
    return [
        DirectoryEntry(
            child.component.encode(),
            child.number + _FIRST,
            _of_child(snapshot, modes, child.number, child.is_artifact, child.created_ns),
        )
        for child in snapshot.names_in(_name(snapshot, project))
    ]


def list_artifact(snapshot: Snapshot, modes: Modes, artifact: int) -> list[DirectoryEntry]:
    """Return the versions and aliases of an artifact by cookie."""
    _name(snapshot, artifact)
    versions = snapshot.versions_of(artifact)
    listing = [
        DirectoryEntry(_target(version.number), version.number + _FIRST, of_version(version, modes))
        for version in versions
    ]
    numbered = [version for version in versions if not is_pending(version.number)]
    if numbered:
        listing.append(DirectoryEntry(LATEST, _LATEST_COOKIE, _of_latest(numbered[-1])))
    for alias in sorted(snapshot.aliases_of(artifact), key=lambda alias: alias.serial):
        listing.append(DirectoryEntry(alias.name.encode(), _ALIAS_COOKIE + alias.serial, _of_alias(alias)))
    return listing


def number_of(entry: DirectoryEntry) -> int | None:
    """Return the number of the version that an entry in an artifact's listing is, None for an alias."""
    return entry.cookie - _FIRST if entry.cookie < _LATEST_COOKIE else None


def version_ranges(snapshot: Snapshot, artifact: int, listing: Iterable[DirectoryEntry]) -> Iterator[tuple[int, int]]:
    """Yield (first, last) of as few ranges of numbers as cover the versions in an artifact's listing.

    Numbers of deleted versions that have not been reaped are in none of them.
    """
    listed = [number for number in map(number_of, listing) if number is not None]
    if not listed:
        return
    first = last = listed[0]
    recorded = snapshot.numbers_of(artifact) if listed[-1] - first >= len(listed) else []
    for number in listed[1:]:
        is_other = is_pending(number) and not is_pending(last)
        if is_other or (number > last + 1 and bisect_left(recorded, number) > bisect_right(recorded, last)):
            yield first, last
            first = number
        last = number
    yield first, last


def of_version(version: VersionRecord, modes: Modes) -> Attributes:
    """Return the attributes of the root directory of a version."""
    entry = root_entry(version.root, version.mtime_ns, version.mode)
    return of_entry(inodes.entry(version.mount, 0), entry, modes, version.created_ns)


def parent_of(snapshot: Snapshot, place: Inode) -> int:
    """Return the inode of the project that a project or artifact lies in; the root is its own."""
    above_it = _name(snapshot, place.value).rpartition("/")[0]
    number = snapshot.name_number(above_it) if above_it else None
    return inodes.project(number[0]) if number else inodes.ROOT


def _target(number: int) -> bytes:
    return version_label(number).encode()


def _name(snapshot: Snapshot, number: int) -> str:
    return _record(snapshot, number).name if number else ""


def _record(snapshot: Snapshot, number: int) -> ArtifactRecord:
    record = snapshot.artifact(number)
    if record is None:
        raise StaleError("the artifact or project no longer exists")
    return record


def _of_name(snapshot: Snapshot, modes: Modes, number: int, is_artifact: bool) -> Attributes:
    """Return the attributes of a project or artifact; an artifact changed when its latest version was made."""
    return _of_child(snapshot, modes, number, is_artifact, _record(snapshot, number).created_ns)


def _of_child(snapshot: Snapshot, modes: Modes, number: int, is_artifact: bool, created_ns: int) -> Attributes:
    if not is_artifact:
        return above(inodes.project(number), modes, created_ns, snapshot.edition)
    latest = snapshot.latest(number)
    changed_ns = latest.created_ns if latest else created_ns
    return above(inodes.artifact(number), modes, changed_ns, snapshot.edition)


def _of_alias(alias: AliasRecord) -> Attributes:
    return link_above(inodes.alias(alias.serial), _target(alias.version), alias.set_ns)


def _of_latest(version: VersionRecord) -> Attributes:
    return link_above(inodes.latest(version.serial), _target(version.number), version.created_ns)


def _alias(snapshot: Snapshot, serial: int) -> AliasRecord:
    alias = snapshot.alias(serial)
    if alias is None:
        raise StaleError("the alias has moved or no longer exists")
    return alias


def _version(snapshot: Snapshot, serial: int) -> VersionRecord:
    version = snapshot.version(serial)
    if version is None:
        raise StaleError("the version no longer exists")
    return version
