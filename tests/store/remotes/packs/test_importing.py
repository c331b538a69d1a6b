"""What was pushed comes back: the same digest, times and modes, and a sound workspace."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from artstore.errors import DamageError
from artstore.records.catalogue import VersionRecord
from artstore.records.references import ReferenceRecord
from artstore.records.trees import Kind
from artstore.store import Store
from artstore.workspace import Workspace
from corpora.folders import GENERATORS, content_of
from store.conftest import CommitTree
from store.ingest.test_pipeline import models
from store.oracle import Model, assert_sound, model_of, write_folder
from store.remotes.packs.memory_remote import MemoryRemote

NewWorkspace = Callable[[], AbstractContextManager[Workspace]]

TINY = {"data_target": 200_000, "trees_target": 6000, "span_target": 1500}
"""Targets at which small versions have several objects and spans."""


def attributes(record: VersionRecord) -> tuple[bytes, bytes, int, int, int, int]:
    """Return what must come back: the form id is of the times and modes at any depth."""
    return record.digest, record.form, record.mtime_ns, record.mode, record.files, record.bytes


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(model=models(), seed=st.integers(0, 99), tiny=st.booleans(), again=st.booleans())
def test_any_tree_comes_back(
    new_workspace: NewWorkspace,
    tmp_path_factory: pytest.TempPathFactory,
    model: Model,
    seed: int,
    tiny: bool,
    again: bool,
) -> None:
    """With any times and modes; also on top of a version that has half of it, and of itself."""
    folder, chance = write_folder(tmp_path_factory.mktemp("data"), model), random.Random(seed)
    for path in [*folder.rglob("*"), folder]:
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | chance.choice((0o600, 0o640, 0o666)))
        os.utime(path, ns=(0, chance.randrange(10**18)), follow_symlinks=False)
    remote = MemoryRemote()
    with new_workspace() as here, new_workspace() as there:
        record = here.put(folder, "a").record
        written = remote.push(here.store, record, **(TINY if tiny else {}))
        if again:
            (folder / "more").write_bytes(b"more")
            remote.pull(there.store, written, record)
            record = here.put(folder, "a").record
            written = remote.push(here.store, record, base=written)
            model = {**model, b"more": ("file", b"more")}
        found = remote.pull(there.store, written, record)
        assert attributes(found) == attributes(record)
        assert model_of(there.store, found.root) == model
        assert_sound(there)


@pytest.mark.parametrize("name", sorted(GENERATORS.keys() - {"crowd", "sizes", "sparse"}))
def test_awkward_folders_come_back(
    name: str, workspace: Workspace, new_workspace: NewWorkspace, tmp_path: Path
) -> None:
    """A folder that is exported from the other workspace is the one that is exported from this one."""
    (tmp_path / "source").mkdir()
    GENERATORS[name](tmp_path / "source")
    remote, version = MemoryRemote(), workspace.put(tmp_path / "source", "a", links="keep")
    written = remote.push(workspace.store, version.record, **TINY)
    with new_workspace() as there:
        found = remote.pull(there.store, written, version.record)
        assert attributes(found) == attributes(version.record)
        workspace.get(version.name, tmp_path / "here")
        there.get(f"a:v{found.number}", tmp_path / "there")
        assert content_of(tmp_path / "there") == content_of(tmp_path / "here")
        assert_sound(there)
        assert there.fsck().problems == []


def test_large_files_and_split_directories_come_back(
    store: Store, commit_tree: CommitTree, new_workspace: NewWorkspace
) -> None:
    """Lists of several levels, directories of two levels of records, content that files share, spans of few records."""
    noise = random.Random(1).randbytes(1_200_000)
    tree = {
        b"large": noise,
        b"larger": noise + b"x",
        b"crowd": {b"%05d" % number: b"%d" % (number % 700) for number in range(1500)},
        b"same": {b"%05d" % number: b"%d" % (number % 700) for number in range(1500)},
        b"few": noise[:7000],
        b"nothing": b"",
        b"link": (Kind.LINK, b"large"),
    }
    remote, record = MemoryRemote(), commit_tree(tree)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("artstore.remotes.packs.content_output.LIST_ROWS", 7)
        written = remote.push(store, record, **TINY)
    assert len(remote.objects) > 5
    with new_workspace() as there:
        found = remote.pull(there.store, written, record)
        assert attributes(found) == attributes(record)
        assert_sound(there)


def reference_of(length: int) -> bytes:
    """Return the record of a file outside, which has as many bytes as the record, as `commit_tree` expects."""
    for size in range(length):
        data = ReferenceRecord("s3://bucket/key", size, etag="abc").encode()
        if len(data) == size:
            return data
    raise AssertionError("no record has its own length")


def test_references_come_back(store: Store, commit_tree: CommitTree, new_workspace: NewWorkspace) -> None:
    """The record of a file outside, not the file; the size of the entry is that in the record."""
    data = reference_of(200)
    remote, record = MemoryRemote(), commit_tree({b"outside": (Kind.REFERENCE, data)})
    written = remote.push(store, record)
    with new_workspace() as there:
        found = remote.pull(there.store, written, record)
        assert attributes(found) == attributes(record)
        with there.store.snapshot() as snapshot:
            entry = snapshot.resolve(found.root, b"outside")
            assert entry is not None and snapshot.reference(entry.node).uri == "s3://bucket/key"


@pytest.mark.parametrize(
    "value", [(Kind.REFERENCE, b"{}"), (Kind.REFERENCE, reference_of(200) + b" "), (Kind.LINK, b"a\0b")]
)
def test_texts_that_no_put_makes_are_refused(
    store: Store, commit_tree: CommitTree, new_workspace: NewWorkspace, value: tuple[Kind, bytes]
) -> None:
    remote, record = MemoryRemote(), commit_tree({b"d": {b"x": value}})
    written = remote.push(store, record)
    with new_workspace() as there:
        for hints in (True, False):
            with pytest.raises(DamageError, match="a:v1/d/x"):
                remote.pull(there.store, written, record, hints=hints)
        assert there.artifacts() == []


def test_a_second_pull_fetches_what_changed(store: Store, commit_tree: CommitTree, new_workspace: NewWorkspace) -> None:
    """One file of 2,000 is new: a span or two, and its chunk."""
    tree = {
        b"%02d" % folder: {b"%03d" % file: b"%d %d" % (folder, file) * 50 for file in range(100)}
        for folder in range(20)
    }
    remote, first = MemoryRemote(), commit_tree(tree)
    base = remote.push(store, first)
    second = commit_tree({**tree, b"07": {**tree[b"07"], b"new": b"new" * 100}})
    written = remote.push(store, second, base=base)
    with new_workspace() as there:
        remote.pull(there.store, base, first)
        remote.requests.clear()
        assert attributes(remote.pull(there.store, written, second)) == attributes(second)
        assert len(remote.requests) <= 3
        assert sum(length for _, _, length in remote.requests) < 40_000
        assert_sound(there)
        remote.requests.clear()
        assert attributes(remote.pull(there.store, written, second)) == attributes(second)
        assert len(remote.requests) == 1, "the root alone"


def test_what_is_lost_here_is_fetched(store: Store, commit_tree: CommitTree, new_workspace: NewWorkspace) -> None:
    """Content that is present by its id is not fetched, unless hints are not trusted."""
    remote, record = MemoryRemote(), commit_tree({b"x": b"x" * 9000, b"y": b"y" * 5})
    written = remote.push(store, record)
    remote.requests.clear()
    again = remote.pull(store, written, record, "b")
    assert attributes(again) == attributes(record) and len(remote.requests) == 1
    assert attributes(remote.pull(store, written, record, "c", hints=False)) == attributes(record)
    assert len(remote.requests) > 2
    assert_sound(store)


def test_an_interrupted_pull_goes_on(store: Store, commit_tree: CommitTree, new_workspace: NewWorkspace) -> None:
    """A pull that ends with an error leaves no version, and the next one fetches only the rest."""
    noise = random.Random(3).randbytes(400_000)
    tree = {
        b"%02d" % folder: {b"%d" % file: noise[1000 * folder + file :][:9000] for file in range(9)}
        for folder in range(9)
    }
    remote, record = MemoryRemote(), commit_tree(tree)
    written = remote.push(store, record, **TINY)
    remote.requests.clear()
    with new_workspace() as there, pytest.MonkeyPatch.context() as patch:
        patch.setattr("artstore.remotes.packs.importing._WINDOW", 50_000)
        patch.setattr("artstore.ingest.staging.BATCH_NODES", 20)
        whole = sum(len(data) for name, data in remote.objects.items() if name[0] == "d")
        tree_of = remote.tree(written)
        fetch, left = tree_of._fetch, [40]

        def failing(*args: object, **more: object) -> bytes:
            left[0] -= 1
            if left[0] < 0:
                raise OSError("the network is gone")
            return fetch(*args, **more)  # type: ignore[arg-type]

        tree_of._fetch = failing
        with pytest.raises(OSError, match="network"):
            remote.pull(there.store, written, record, tree=tree_of)
        assert there.artifacts() == []
        remote.requests.clear()
        assert attributes(remote.pull(there.store, written, record)) == attributes(record)
        rest = sum(length for name, _, length in remote.requests if name[0] == "d")
        assert rest < 0.8 * whole
        assert_sound(there)
