"""Paths inside a version: what a caller writes, and the entry that it leads to, through symlinks."""

from __future__ import annotations

import os
from typing import Final

from artstore.arguments import raw_path
from artstore.errors import InvalidInputError, NotFoundError
from artstore.names import unknown_path
from artstore.records.trees import Kind, TreeEntry
from artstore.rows.directories import DirectoryPlace
from artstore.rows.snapshot import Snapshot
from artstore.rows.trees import lookup

__all__ = ["clean", "find"]

_LINK_STEPS: Final = 40


def clean(path: str | bytes) -> bytes:
    """Return a path inside a version as bytes, without empty and ``.`` components."""
    raw = raw_path(path)
    if raw and b"//" not in raw and b"/." not in raw and raw[0] not in b"/." and raw[-1] != b"/"[0]:
        return raw
    components = [part for part in raw.split(b"/") if part not in (b"", b".")]
    if raw.startswith(b"/") or b".." in components:
        raise InvalidInputError(f"{os.fsdecode(raw)!r} is not a path inside a version")
    return b"/".join(components)


def find(
    snapshot: Snapshot, version: str, root: int, path: bytes, *, follow: bool = True
) -> tuple[bytes, TreeEntry | None]:
    """Return (path, entry) of a path, from `clean`, below a root, behind links; the entry is None for the root.

    Without ``follow``, a link at the end of the path is what is found.  Raises `NotFoundError`, which names the
    ``version``.
    """
    if not path:
        return b"", None
    above, _, name = path.rpartition(b"/")
    place = snapshot.directories.place(root, above)
    if place is None:
        place = _directory(snapshot, version, root, above, path)
        snapshot.directories.keep_place(root, above, place)
    result = lookup(snapshot.known_tree, place.node, name)
    if result is None:
        raise unknown_path(version, path)
    entry = result[0]
    if entry.kind is Kind.LINK and follow:
        passed = _walk(snapshot, version, root, path, path)
        return b"/".join([each.name for each in passed]), passed[-1] if passed else None
    return b"%b/%b" % (place.path, name) if place.path else name, entry


def _directory(snapshot: Snapshot, version: str, root: int, above: bytes, path: bytes) -> DirectoryPlace:
    passed = _walk(snapshot, version, root, above, path) if above else []
    if not passed:
        return DirectoryPlace(b"", root)
    if passed[-1].kind is not Kind.DIRECTORY:
        raise unknown_path(version, path)
    return DirectoryPlace(b"/".join([entry.name for entry in passed]), passed[-1].node)


def _walk(snapshot: Snapshot, version: str, root: int, path: bytes, whole: bytes) -> list[TreeEntry]:
    """Return the entries that a path passes on its way, behind links; errors name the ``whole`` path."""
    waiting = path.split(b"/")[::-1]
    passed: list[TreeEntry] = []
    links = 0
    while waiting:
        name = waiting.pop()
        if name in (b"", b"."):
            continue
        if name == b"..":  # of a link's target, not of the link: resolved after what precedes it
            passed = passed[:-1]
            continue
        is_directory = not passed or passed[-1].kind is Kind.DIRECTORY
        node = passed[-1].node if passed else root
        result = lookup(snapshot.known_tree, node, name) if is_directory else None
        if result is None:
            raise unknown_path(version, whole)
        entry = result[0]
        if entry.kind is not Kind.LINK:
            passed.append(entry)
            continue
        links += 1
        if links > _LINK_STEPS:
            raise NotFoundError(f"{version}: {os.fsdecode(whole)!r} is a symlink loop")
        waiting += snapshot.read(entry.node, 0, entry.size).split(b"/")[::-1]
    return passed
