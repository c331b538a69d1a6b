"""The history of one path: what the living versions of an artifact have there, each distinct content once."""

from __future__ import annotations

from dataclasses import dataclass, field

from artstore.records.catalogue import VersionRecord
from artstore.records.trees import Kind, TreeEntry
from artstore.rows.snapshot import Snapshot
from artstore.rows.trees import lookup

__all__ = ["PathContent", "first_with_path", "history_of_path"]


@dataclass(frozen=True, slots=True)
class PathContent:
    """One content of a path, and the living versions that have it there, by number.

    ``entry`` is that of the first of them, in which it has the preorder ``index``.  ``digest`` is the content's id, for
    a directory its digest.
    """

    entry: TreeEntry
    index: int
    digest: bytes
    versions: list[VersionRecord] = field(default_factory=list)


def history_of_path(snapshot: Snapshot, artifact: int, path: bytes) -> list[PathContent]:
    """Return the distinct contents of a path in an artifact's living versions, in the order of their first version.

    Two contents are the same if kind, executable bit and bytes are; links on the way are not followed.  What versions
    share is looked up once: the time depends on the number of versions and of different directories on the way.
    """
    finder = _Finder(snapshot, path)
    digests: dict[int, bytes] = {}
    contents: dict[tuple[Kind, bytes], PathContent] = {}
    for version in snapshot.versions_of(artifact):
        found = finder.find(version.root)
        if found is None:
            continue
        entry, index = found
        digest = digests.get(entry.node)
        if digest is None:
            digest = digests[entry.node] = snapshot.identity(entry.node)
        content = contents.setdefault((entry.kind, digest), PathContent(entry, index, digest))
        content.versions.append(version)
    return list(contents.values())


def first_with_path(snapshot: Snapshot, artifact: int, path: bytes) -> tuple[VersionRecord, int] | None:
    """Return the first living version of an artifact that has a path, and the path's preorder index in it, or None."""
    finder = _Finder(snapshot, path)
    for version in snapshot.versions_of(artifact):
        found = finder.find(version.root)
        if found is not None:
            return version, found[1]
    return None


class _Finder:
    """Find one path below several roots; a name in a directory that several have is looked up once."""

    def __init__(self, snapshot: Snapshot, path: bytes) -> None:
        self._snapshot = snapshot
        self._names = path.split(b"/")
        self._known: dict[tuple[int, int], tuple[TreeEntry, int] | None] = {}

    def find(self, root: int) -> tuple[TreeEntry, int] | None:
        """Return (entry, preorder index) of the path below a root, or None."""
        node, kind, index = root, Kind.DIRECTORY, 0
        entry = None
        for depth, name in enumerate(self._names):
            if kind is not Kind.DIRECTORY:
                return None
            key = (node, depth)
            if key not in self._known:
                self._known[key] = lookup(self._snapshot.tree, node, name)
            found = self._known[key]
            if found is None:
                return None
            entry, before = found
            node, kind, index = entry.node, entry.kind, index + 1 + before
        return None if entry is None else (entry, index)
