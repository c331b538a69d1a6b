"""Valid records with cyclic, wrong or dangling references: every reader ends soon, with an error or a result.

The corpus (``tests/corpora/malformed/graphs.json``) is permanent: each graph has nodes by number, with correct seals,
and the ``root`` of a version.  No artfs writes such records; foreign data or a bug may.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from artfs.mount.attributes import Attributes
from artfs.mount.counters import Epoch
from artfs.mount.tree import Tree
from artstore.changes.committing import Commit, commit
from artstore.errors import ArtfsError, DamageError
from artstore.ids import content_id
from artstore.ingest.batch import EntryDraft
from artstore.ingest.building import DirectoryBuilder
from artstore.ingest.staging import Stager
from artstore.queries.versions import Version
from artstore.records.nodes import Extent
from artstore.records.tables import Table
from artstore.records.trees import Kind
from artstore.rows import catalogue, trees
from artstore.rows.nodes import change_counts, tree_view
from artstore.rows.planner import plan_release
from artstore.storage.codec import RAW, ZSTD, Encoded, block_checksums, encode
from artstore.workspace import Workspace, init_workspace
from corpora import folders
from corpora.folders import content_of
from crash.states import content_of_version
from messages import raises
from store.records.test_malformed import CORPUS, bounded

GRAPHS = json.loads((CORPUS / "graphs.json").read_text())["graphs"]
MOST = 2000
"""Entries after which a reader counts as one that does not end."""


@pytest.fixture
def workspace(quick_dir: Path) -> Workspace:
    """A workspace with a sound version, ``sound:v0``."""
    made = init_workspace(quick_dir / "workspace")
    source = quick_dir / "sound"
    source.mkdir()
    folders.small(source, seed=1, files=10)
    made.put(source, "sound")
    return made


def plant(workspace: Workspace, graph: dict[str, Any]) -> Version:
    """Write a graph's nodes next to those of the sound version, and a version ``bad:v0`` whose root is in it."""
    sound = workspace.version("sound").record
    with workspace.store.write() as transaction:
        for node, payload in graph["nodes"].items():
            transaction.put_numbered(Table.NODES, int(node), bytes.fromhex(payload))
        change_counts(transaction, dict.fromkeys([*map(int, graph["nodes"]), graph["root"]], 1))
        transaction.state.next_node = 5000
        artifact = catalogue.ensure_artifact(transaction, "bad", 1)
        catalogue.put_artifact(transaction, replace(artifact, next_version=1))
        serial = transaction.state.next_serial
        transaction.state.next_serial += 1
        transaction.state.versions += 1
        record = replace(sound, serial=serial, mount=serial, artifact=artifact.number, number=0, files=1)
        catalogue.put_version(transaction, replace(record, root=graph["root"]))
    return workspace.version("bad:v0")


def taken(found: Iterator[Any]) -> list[Any]:
    """Return all items of an iterator, and fail if it does not end."""
    items = list(islice(found, MOST))
    assert len(items) < MOST, "it does not end"
    return items


def read_all(workspace: Workspace, version: Version) -> object:
    found = {}
    for above, _, files in taken(version.walk()):
        found[above] = (version.listdir(above), [version.read_bytes(os.path.join(above, name)) for name in files])
    return found


def walk(workspace: Workspace, version: Version) -> object:
    with workspace.store.snapshot() as snapshot:
        return taken(snapshot.walk(version.record.root))


def by_name_and_index(workspace: Workspace, version: Version) -> object:
    root = version.record.root
    with workspace.store.snapshot() as snapshot:
        found: list[object] = []
        for index in (1, 2, 5, 255, 2**31 - 1, 2**32):
            with suppress(DamageError):
                found.append(trees.entry_at(snapshot.tree, root, index))
        found += [trees.resolve(snapshot.tree, root, path) for path in (b"a", b"a/a/a", b"f", b"m", b"zz", b"000/000")]
        return [*found, taken(trees.entries_from(snapshot.tree, root, 3))]


def sizes(workspace: Workspace, version: Version) -> object:
    with workspace.store.snapshot() as snapshot:
        entries = [entry for entry, _ in taken(trees.entries_from(snapshot.tree, version.record.root))]
        return [(snapshot.content(entry.node), snapshot.stored_bytes(entry.node)) for entry in entries]


def release(workspace: Workspace, version: Version) -> object:
    with workspace.store.snapshot() as snapshot:
        return plan_release(snapshot.transaction, [version.record.root])


def serve(workspace: Workspace, version: Version) -> object:
    """Walk the version as the kernel would, four directories deep."""
    tree = Tree(workspace.store, Epoch())
    artifact = tree.lookup(1, b"bad")
    assert artifact is not None
    root = tree.lookup(artifact.inode, b"v0")
    assert root is not None
    seen: list[Attributes] = [root]
    for place in seen[:40]:
        kind = place.mode & 0o170000
        if kind == 0o040000 and len(seen) < 400:
            entries = taken(tree.page(place.inode, 2))
            seen += [entry.attributes for entry in entries]
            assert all(tree.lookup(place.inode, entry.name) is not None for entry in entries)
        elif kind == 0o120000:
            tree.link_target(place.inode)
        else:
            tree.xattr(place.inode, b"user.artfs.stored_bytes")
            tree.read(place.inode, 0, 1 << 20)
    return seen


READERS: dict[str, Callable[[Workspace, Version], object]] = {
    "read": read_all,
    "walk": walk,
    "by name": by_name_and_index,
    "sizes": sizes,
    "release": release,
    "serve": serve,
    "du": lambda workspace, version: workspace.du("bad:v0"),
    "usage": lambda workspace, version: (workspace.usage(), workspace.usage_by_version("bad")),
    "diff": lambda workspace, version: workspace.diff("sound:v0", "bad:v0"),
    "diff back": lambda workspace, version: workspace.diff("bad:v0", "sound:v0"),
    "delete": lambda workspace, version: workspace.delete("bad:v0", dry_run=True),
}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("graph", GRAPHS, ids=lambda graph: graph["why"])
def test_graphs(workspace: Workspace, graph: dict[str, Any], tmp_path: Path) -> None:
    """Every way to read such a version ends, in bounded memory, with an error or a result; other versions read."""
    version = plant(workspace, graph)
    with bounded("opening it"):
        workspace.artifacts()
    for name, reader in READERS.items():
        with bounded(f"{name}: {graph['why']}"):
            try:
                reader(workspace, version)
            except (ArtfsError, IsADirectoryError) as error:
                assert str(error) and "\n" not in str(error)
    dest = tmp_path / "a" / "b" / "dest"
    dest.parent.mkdir(parents=True)
    with bounded(f"get: {graph['why']}"):
        try:
            workspace.get("bad:v0", dest)
        except ArtfsError as error:
            assert error.message
    outside = {path for path in tmp_path.rglob("*") if dest not in path.parents}
    assert outside <= {dest, dest.parent, dest.parent.parent}, "a file was written beside the folder"
    assert content_of_version(workspace.version("sound:v0")) == content_of(workspace.path.parent / "sound")
    report = workspace.fsck(data=True)
    assert not report.clean, "fsck finds nothing wrong with it"


FRAME = bytes(encode(b"abc" * 1000).data)
BOMB = bytes.fromhex("28b52ffde0") + (1 << 33).to_bytes(8, "little") + FRAME[7:]
"""A frame that tells of 8 GiB."""


@pytest.mark.parametrize(
    ("codec", "stored", "size"),
    [(ZSTD, BOMB, 3000), (ZSTD, FRAME, 2900), (ZSTD, b"x" * 99, 3000), (RAW, b"x" * 99, 3000), (7, b"x" * 99, 99)],
)
def test_stored_forms_that_are_not_what_their_record_says(
    workspace: Workspace, codec: int, stored: bytes, size: int
) -> None:
    """They are written and checked like any other, and reading them raises `DamageError`, in bounded memory."""
    stager = Stager(workspace.store, "bad", "test")
    builder = DirectoryBuilder(stager)
    ident = content_id(b"abc" * 1000)
    form = Encoded(codec, stored, block_checksums(stored))
    builder.add(EntryDraft(b"f", Kind.FILE, size, ident, stager.chunk(ident, size, form), 0, 0o644))
    asked = Commit("bad", force=True)
    stager.commit(
        builder.finish(), lambda transaction, root, added: commit(workspace.store, transaction, root, asked, 0)
    )
    stager.close()
    version = workspace.version("bad:v0")
    with bounded("reading it"), raises(DamageError, names=[ident.hex()]):
        version.read_bytes("f")
    with bounded("reading a part of it"), pytest.raises(DamageError), version.open("f") as file:
        file.seek(size - 10)
        file.read(10)
    report = workspace.fsck(data=True)
    assert [problem.chunk for problem in report.problems if problem.kind == "chunk"] == [ident.hex()]


def test_a_count_that_cannot_grow(workspace: Workspace) -> None:
    """A count at its limit does not wrap around."""
    root = workspace.version("sound:v0").record.root
    with workspace.store.write() as transaction:
        change_counts(transaction, {root: 2**32 - 2})
    with pytest.raises(DamageError), workspace.store.write() as transaction:
        change_counts(transaction, {root: 1})


def test_extents_are_those_of_records(workspace: Workspace) -> None:
    """A sound record reads back unchanged, so the refusals here are due to the faults of the others."""
    with workspace.store.snapshot() as snapshot:
        view = tree_view(snapshot.transaction, workspace.version("sound:v0").record.root)
    assert view.extent == Extent(1, view.extent.offset, view.extent.stored, view.extent.codec)
