"""The promises that a workspace must keep after any interruption, checked from a process that was not interrupted."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from blake3 import blake3

from artstore import store
from artstore.queries.versions import Version
from artstore.records.trees import Kind
from artstore.rows import trees
from artstore.storage import environment
from artstore.store import Store
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
    workspace = Path(os.path.realpath(path))
    for (place, *_), reader in store._readers.items():
        if place == workspace:
            reader.close()
    if workspace in environment._open_environments:
        environment._open_environments[workspace].drop()


def content_of_version(version: Version) -> Content:
    """Read all of a version, as `corpora.folders.content_of` reads a folder; depth does not matter."""
    return content_of_tree(version._store, version.record.root)


def content_of_tree(store: Store, root: int) -> Content:
    """Read all of a tree."""
    found: Content = {}
    with store.snapshot() as snapshot:
        for path, entry in trees.walk(snapshot.tree, root):
            if entry.kind == Kind.DIRECTORY:
                found[path] = Entry("directory")
            elif entry.kind == Kind.LINK:
                found[path] = Entry("link", size=entry.size, text=snapshot.read(entry.node, 0, entry.size))
            else:
                digest, size = blake3(), 0
                while piece := snapshot.read(entry.node, size, _PIECE):
                    digest.update(piece)
                    size += len(piece)
                if entry.kind == Kind.REFERENCE and snapshot.reference(entry.node).size == entry.size:
                    found[path] = Entry("reference", size=entry.size, id=digest.hexdigest())
                    continue
                found[path] = Entry("file", entry.kind == Kind.EXECUTABLE, size, digest.hexdigest())
                if size != entry.size or snapshot.identity(entry.node).hex() != digest.hexdigest():
                    found[path] = Entry("file that is not what its record says")
    return found


def faults(
    path: Path,
    acknowledged: Mapping[str, Content],
    possible: Mapping[str, Content] | None = None,
    *,
    sound: bool = True,
    damaged: Collection[str] = (),
) -> list[str]:
    """Return one sentence for each broken promise of the workspace.

    ``acknowledged`` are the versions that must be there, ``possible`` those that may be there whole, or that an
    acknowledged one may have become.  A live draft is a fault too: its process must have ended.  In a workspace that
    is not ``sound`` the records may contradict each other, and ``damaged`` content may be unreadable.
    """
    wrong = []
    try:
        with opened(path) as workspace:
            wrong += problems(workspace.store) if sound and not damaged else []
            wrong += _versions(workspace, acknowledged, possible or {}, damaged)
            wrong += [
                f"{draft.title} counts as alive" for draft in workspace.drafts.states() if draft.alive and not draft.id
            ]
    except Exception as error:
        wrong.append(f"{type(error).__name__}: {error}")
    return wrong


def _versions(
    workspace: Workspace,
    acknowledged: Mapping[str, Content],
    possible: Mapping[str, Content],
    damaged: Collection[str],
) -> list[str]:
    found = {version.name: version for item in workspace.artifacts() for version in workspace.versions(item.name)}
    wrong = [f"{name} was acknowledged and is not there" for name in sorted(acknowledged.keys() - found.keys())]
    for name in sorted(found.keys() - set(damaged)):
        expected = [versions[name] for versions in (acknowledged, possible) if name in versions]
        if not expected:
            wrong.append(f"{name} is there, and nobody asked for it")
        elif content_of_version(found[name]) not in expected:
            wrong.append(f"{name} does not hold what was put")
    return wrong


def converge(path: Path) -> list[str]:
    """Reap what is due, then everything; return one sentence for each remnant and each problem that fsck then finds.

    Open drafts are abandoned first.
    """
    wrong = []
    try:
        with opened(path) as workspace:
            for draft in workspace.drafts.all():
                draft.abort()
            due = workspace.gc()
            if due.deadlist_entries != due.waiting_entries or due.condemned_bytes:
                wrong.append(f"after gc, what is due waits on: {due}")
            rest = workspace.gc(now=True)
            if rest.deadlist_entries or rest.waiting_entries or rest.condemned_bytes:
                wrong.append(f"after gc --now, something waits: {rest}")
            if drafts := workspace.drafts.states():
                wrong.append(f"after gc --now, there are the drafts {drafts}")
            report = workspace.fsck(data=True)
            wrong += [f"fsck finds {problem.kind}: {problem.message}" for problem in report.problems]
            if not (wrong or report.clean):
                wrong.append("fsck finds something and does not say what")
    except Exception as error:
        wrong.append(f"{type(error).__name__} in reaping or checking: {error}")
    return wrong
