"""What must hold of a workspace whatever happened to it, asked from outside through a process of good faith."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from blake3 import blake3

from artstore import trees
from artstore.errors import WorkspaceNotFoundError
from artstore.manifest import Manifest
from artstore.records.trees import Kind
from artstore.store import Store
from artstore.versions import Version
from artstore.workspace import Workspace
from corpora.folders import Content, Entry
from store.oracle import problems

_PIECE = 4 << 20


@contextmanager
def opened(path: Path) -> Iterator[Workspace]:
    """Open a workspace for the block, as a new process would, and forget it afterwards."""
    workspace = Workspace(Store.open(path))
    try:
        yield workspace
    finally:
        forget(workspace.path)


def forget(path: Path) -> None:
    """Close this process's environment of a workspace, so that thousands of them can be looked at."""
    with suppress(WorkspaceNotFoundError):
        workspace = Path(os.path.realpath(path))
        Store.open(workspace).reader.close()
        Manifest.of(workspace).drop()


def content_of_version(version: Version) -> Content:
    """Read all of a version, as `corpora.folders.content_of` reads a folder; depth does not matter."""
    found: Content = {}
    with version._store.snapshot() as snapshot:
        for path, entry in trees.walk(snapshot.tree, version.record.root):
            if entry.kind == Kind.DIRECTORY:
                found[path] = Entry("directory")
            elif entry.kind == Kind.LINK:
                found[path] = Entry("link", size=entry.size, text=snapshot.read(entry.node, 0, entry.size))
            else:
                digest, size = blake3(), 0
                while piece := snapshot.read(entry.node, size, _PIECE):
                    digest.update(piece)
                    size += len(piece)
                found[path] = Entry("file", entry.kind == Kind.EXECUTABLE, size, digest.hexdigest())
                if size != entry.size or snapshot.identity(entry.node).hex() != digest.hexdigest():
                    found[path] = Entry("file that is not what its record says")
    return found


def faults(path: Path, acknowledged: Mapping[str, Content], possible: Mapping[str, Content] | None = None) -> list[str]:
    """Return one sentence for each promise that the workspace breaks.

    ``acknowledged`` are the versions that must be there with their content, ``possible`` those that may be there
    whole.  A draft that is alive is a fault too: whoever had one must have ended.
    """
    wrong = []
    try:
        with opened(path) as workspace:
            wrong += problems(workspace.store)
            wrong += _versions(workspace, acknowledged, possible or {})
            wrong += [f"draft {draft.number} counts as alive" for draft in workspace.drafts() if draft.alive]
    except Exception as error:
        wrong.append(f"{type(error).__name__}: {error}")
    return wrong


def _versions(workspace: Workspace, acknowledged: Mapping[str, Content], possible: Mapping[str, Content]) -> list[str]:
    found = {version.name: version for item in workspace.artifacts() for version in workspace.versions(item.name)}
    wrong = [f"{name} was acknowledged and is not there" for name in sorted(acknowledged.keys() - found.keys())]
    for name, version in found.items():
        expected = acknowledged.get(name, possible.get(name))
        if expected is None:
            wrong.append(f"{name} is there, and nobody asked for it")
        elif content_of_version(version) != expected:
            wrong.append(f"{name} does not hold what was put")
    return wrong
