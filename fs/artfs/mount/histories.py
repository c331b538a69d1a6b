"""The histories of paths, as a mount shows them: ``NAME/.history/PATH/vN`` is a link to ``NAME/vN/PATH``.

``.history`` is found by name in each artifact, and the folders below it by any path that a living version has; neither
is listed.  The folder of a path lists a link for each distinct content that the path has as a file or link: to the
first living version that has it.
"""

from __future__ import annotations

from artfs.mount import inodes
from artfs.mount.attributes import Attributes, DirectoryEntry, Modes, above, link_above
from artfs.mount.errnos import NameTooLongError, StaleError
from artfs.mount.inodes import Inode, Sort
from artstore.errors import NotFoundError
from artstore.names import parse_version_label, version_label
from artstore.records.catalogue import VersionRecord
from artstore.records.trees import Kind
from artstore.rows.histories import PathContent, first_with_path, history_of_path
from artstore.rows.snapshot import Snapshot
from artstore.rows.trees import entry_at

__all__ = ["NAME", "attributes", "find", "link_target", "listing", "parent_of", "top"]

NAME = b".history"
_LONGEST_TARGET = 4095
_FIRST_COOKIE = 3


def top(snapshot: Snapshot, modes: Modes, artifact: int) -> Attributes:
    """Return the attributes of an artifact's ``.history``; StaleError if the artifact no longer exists."""
    record = snapshot.artifact(artifact)
    if record is None:
        raise StaleError("the artifact no longer exists")
    return above(inodes.histories(artifact), modes, record.created_ns, snapshot.edition)


def find(snapshot: Snapshot, modes: Modes, place: Inode, name: bytes) -> Attributes:
    """Return the attributes of ``name`` in ``.history`` or in the history of a path; NotFoundError if there is none.

    A version's label is that of a link if the path has a content which is first in that version.
    """
    artifact, path = _whereabouts(snapshot, place)
    number = parse_version_label(name.decode(errors="replace")) if path else None
    if number is not None:
        for content in _contents(snapshot, artifact, path):
            if content.versions[0].number == number:
                return _link(content, path)
    below = path + b"/" + name if path else name
    found = first_with_path(snapshot, artifact, below)
    if found is None:
        raise NotFoundError(f"no living version has {below!r}")
    return _folder(snapshot, modes, *found)


def listing(snapshot: Snapshot, place: Inode) -> list[DirectoryEntry]:
    """Return the links in the history of a path, by version; nothing for ``.history`` itself."""
    artifact, path = _whereabouts(snapshot, place)
    entries = []
    for content in _contents(snapshot, artifact, path) if path else ():
        number = content.versions[0].number
        label = version_label(number).encode()
        entries.append(DirectoryEntry(label, number + _FIRST_COOKIE, _link(content, path)))
    return entries


def attributes(snapshot: Snapshot, modes: Modes, place: Inode) -> Attributes:
    """Return the attributes of what an inode of a history denotes; StaleError if it is gone."""
    if place.sort is Sort.HISTORIES:
        return top(snapshot, modes, place.value)
    version, path = _entry(snapshot, place)
    if place.sort is Sort.HISTORY:
        return _folder(snapshot, modes, version, place.ordinal)
    return _link_to(version, place.ordinal, path)


def link_target(snapshot: Snapshot, place: Inode) -> bytes:
    """Return the text of a link in a history, relative to its folder."""
    version, path = _entry(snapshot, place)
    return _target(version, path)


def parent_of(snapshot: Snapshot, place: Inode) -> int:
    """Return the inode of the directory that a directory of histories lies in."""
    if place.sort is Sort.HISTORIES:
        return inodes.artifact(place.value)
    version, path = _entry(snapshot, place)
    folder = path.rpartition(b"/")[0]
    found = first_with_path(snapshot, version.artifact, folder) if folder else None
    return inodes.histories(version.artifact) if found is None else inodes.history(found[0].mount, found[1])


def _whereabouts(snapshot: Snapshot, place: Inode) -> tuple[int, bytes]:
    """Return (artifact, path) of a directory of histories; the path of ``.history`` is empty."""
    if place.sort is Sort.HISTORIES:
        return place.value, b""
    version, path = _entry(snapshot, place)
    return version.artifact, path


def _entry(snapshot: Snapshot, place: Inode) -> tuple[VersionRecord, bytes]:
    """Return (version, path) of the entry by which an inode denotes a path.

    A folder that a process is in keeps its path until the version is reaped, and shows what other versions have there.
    """
    version = snapshot.version_of_mount(place.value)
    if version is None or (version.state != "live" and place.sort is Sort.HISTORY_LINK):
        raise StaleError("the version was deleted or purged")
    found = entry_at(snapshot.tree, version.root, place.ordinal)
    if found is None:
        raise StaleError("the version has no such entry")
    return version, b"/".join(found.path)


def _contents(snapshot: Snapshot, artifact: int, path: bytes) -> list[PathContent]:
    contents = history_of_path(snapshot, artifact, path)
    return [content for content in contents if content.entry.kind is not Kind.DIRECTORY]


def _folder(snapshot: Snapshot, modes: Modes, version: VersionRecord, index: int) -> Attributes:
    return above(inodes.history(version.mount, index), modes, version.created_ns, snapshot.edition)


def _link(content: PathContent, path: bytes) -> Attributes:
    return _link_to(content.versions[0], content.index, path)


def _link_to(version: VersionRecord, index: int, path: bytes) -> Attributes:
    inode = inodes.history_link(version.mount, index)
    return link_above(inode, _target(version, path), version.created_ns)


def _target(version: VersionRecord, path: bytes) -> bytes:
    up = b"../" * (path.count(b"/") + 2)
    target = up + version_label(version.number).encode() + b"/" + path
    if len(target) > _LONGEST_TARGET:
        raise NameTooLongError("a link would have more than 4095 bytes")
    return target
