"""Reading content: ranges against bytes, and damage."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artstore.errors import DamageError
from artstore.queries.versions import Version
from artstore.rows import content
from artstore.storage.packs import pack_path
from artstore.store import Store, process_chunks
from artstore.workspace import Workspace
from forgery import claim_id
from messages import missing, raises

NewWorkspace = Callable[[], AbstractContextManager[Workspace]]
TEXT = b"".join(b"row %d of the table, and some more of it\n" % number for number in range(60_000))
NOISE = random.Random(2).randbytes(3_000_000)
FILES = {"text": TEXT, "noise": NOISE, "mixed": TEXT[:900_000] + NOISE[:900_000], "small": b"small", "empty": b""}


@pytest.fixture
def version(workspace: Workspace, tmp_path: Path) -> Version:
    for name, data in FILES.items():
        (tmp_path / name).write_bytes(data)
    return workspace.put(tmp_path, "files")


def test_random_ranges(workspace: Workspace, version: Version) -> None:
    """Any range of any file is what slicing its bytes gives, also over its end, cached or not."""

    @settings(max_examples=60)
    @given(name=st.sampled_from(sorted(FILES)), start=st.integers(0, 3_000_100), size=st.integers(0, 400_000))
    def check(name: str, start: int, size: int) -> None:
        with workspace.store.snapshot() as snapshot:
            entry = snapshot.resolve(version.record.root, name.encode())
            assert entry is not None
            assert snapshot.read(entry.node, start, size) == FILES[name][start : start + size]

    check()


def test_what_is_known_of_content(workspace: Workspace, version: Version) -> None:
    """Id, size and stored bytes; those of all files and directory records are the workspace's."""
    with workspace.store.snapshot() as snapshot:
        nodes = [entry.node for _, entry in snapshot.walk(version.record.root)]
        infos = [snapshot.content(node) for node in nodes]
        stored = sum(snapshot.stored_bytes(node) for node in nodes)
        root = snapshot.tree(version.record.root)
        total = snapshot.usage_totals().stored_bytes
    assert stored + root.extent.stored >= total  # shared chunks count in each file
    assert [info.size for info in infos] == [len(FILES[name]) for name in sorted(FILES)]
    assert [info.id.hex() for info in infos] == [version.stat(name).digest for name in sorted(FILES)]


@pytest.mark.parametrize("name", ["text", "noise", "small"])
def test_damage_is_never_other_bytes(workspace: Workspace, version: Version, name: str) -> None:
    """With any byte of a pack changed, each read gives the right bytes or `DamageError` that names chunk and pack."""
    path = pack_path(workspace.path, 1)
    sound = path.read_bytes()
    with workspace.store.snapshot() as snapshot:
        entry = snapshot.resolve(version.record.root, name.encode())
        assert entry is not None
        chunks = list(content.chunks_between(snapshot.transaction, entry.node, 0, entry.size))
    chance = random.Random(4)
    for chunk, _, _ in chunks[:12]:
        at = chunk.extent.offset + chance.randrange(chunk.extent.stored)
        path.write_bytes(sound[:at] + bytes([sound[at] ^ 0x80]) + sound[at + 1 :])
        for other, data in FILES.items():
            process_chunks.after_fork()
            try:
                assert version.read_bytes(other) == data
                assert other != name
            except DamageError as error:
                assert not missing(str(error), [chunk.id.hex(), "pack 1"])
    path.write_bytes(sound)
    assert version.read_bytes(name) == FILES[name]


def test_a_missing_pack_is_damage(workspace: Workspace, version: Version) -> None:
    """A pack that is gone fails the reads that need it, and nothing else."""
    process_chunks.after_fork()
    workspace.store.reader.close()
    pack_path(workspace.path, 1).unlink()
    with raises(DamageError, names=[str(pack_path(workspace.path, 1))], reason="missing"):
        version.read_bytes("text")
    assert version.read_bytes("empty") == b""
    assert len(version.listdir()) == len(FILES)


def test_workspaces_do_not_share_what_they_read(new_workspace: NewWorkspace, tmp_path: Path) -> None:
    """Two workspaces of one process have the same node numbers for other content: each reads its own."""
    found = []
    with new_workspace() as one, new_workspace() as two:
        for workspace, word in ((one, b"one "), (two, b"two ")):
            (tmp_path / "file").write_bytes(word * 50_000)
            found.append((workspace.put(tmp_path, "a"), word * 50_000))
        for version, data in found * 2:
            with version.open("file") as file:
                assert file.read(1000) == data[:1000]
            assert version.read_bytes("file") == data


def test_a_forged_id_changes_what_no_other_workspace_reads(new_workspace: NewWorkspace, tmp_path: Path) -> None:
    """A chunk of a foreign workspace claims the id of one's own: each is read as what its own workspace stores."""
    ours, evil = b"our own line\n" * 20_000, b"evil's line.\n" * 20_000
    (tmp_path / "file").write_bytes(ours)
    with new_workspace() as own, new_workspace() as foreign:
        version = own.put(tmp_path, "a")
        (tmp_path / "file").write_bytes(evil)
        theirs = foreign.put(tmp_path, "a")
        claim_id(foreign, "a:v0", b"file", bytes.fromhex(version.stat("file").digest))
        for _ in range(2):
            with theirs.open("file") as file:
                assert file.read(100) == evil[:100]
            with version.open("file") as file:
                assert file.read(100) == ours[:100]
        identity = foreign.path / "artfs.json"
        identity.write_text(identity.read_text().replace(foreign.uuid, own.uuid))
        with Workspace(Store.open(foreign.path)).version("a").open("file") as file:
            assert file.read(100) == evil[:100]
        assert Workspace(Store.open(foreign.path)) != own
