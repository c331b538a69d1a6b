"""The Python API as a training script uses it: references, forks, spawned workers, pickles."""

from __future__ import annotations

import math
import multiprocessing
import os
import pickle
import random
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from artstore.creating import create_workspace
from artstore.errors import ArtfsError, InvalidInputError, InvalidNameError, NotFoundError
from artstore.queries.versions import Version
from artstore.rows import catalogue
from artstore.storage.environment import Environment
from artstore.store import Store
from artstore.workspace import Workspace, init_workspace, open_workspace
from messages import raises
from store.oracle import Model, assert_sound, write_folder

NOISE = random.Random(9).randbytes(2_500_000)
MODEL: Model = {b"%02d" % n: ("file", b"%d " % n * 9000 + NOISE[n * 1000 : n * 100_000]) for n in range(24)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "data", MODEL)


def test_references(workspace: Workspace, folder: Path) -> None:
    """By number, alias, `latest` and nothing; what is not there is named with a way out."""
    for _ in range(3):
        workspace.put(folder, "team/x", new=True)
    workspace.aliases.set("team/x:v1", "best")
    for ref, number in (("team/x", 2), ("team/x:latest", 2), ("team/x:v0", 0), ("team/x:best", 1), ("team/x:v1:v1", 1)):
        assert workspace.version(ref).number == number
    version, path = workspace.resolve("team/x:v1/a/b")
    assert (version.number, path) == (1, b"a/b")
    for ref, names in (
        ("team/y", ["'team/y'"]),
        ("team", ["'team'", "project"]),
        ("team/x:v9", ["team/x:v9"]),
        ("team/x:worst", ["'team/x'", "'worst'"]),
        ("/nowhere/v0", ["'/nowhere/v0'", str(workspace.path)]),
        ("./x/v0", ["'./x/v0'", str(workspace.path)]),
        ("team/x/v0", ["'team/x/v0'", str(workspace.path)]),
    ):
        with raises(NotFoundError, names=names):
            workspace.version(ref)
    with raises(InvalidInputError, names=["'team/x:v1/a'", "team/x:v1"]):
        workspace.version("team/x:v1/a")
    with pytest.raises(InvalidNameError):
        workspace.version("team/../x:v1")


def test_lists(workspace: Workspace, folder: Path) -> None:
    """Artifacts by name, versions oldest first, the log newest first with those that were deleted."""
    workspace.put(folder, "b", type="t")
    for _ in range(3):
        workspace.put(folder, "team/x", new=True)
    found = [(a.name, a.type, a.latest, a.versions) for a in workspace.artifacts()]
    assert found == [("b", "t", 0, 1), ("team/x", None, 2, 3)]
    assert [a.name for a in workspace.artifacts("team")] == ["team/x"]
    last = workspace.version("team/x").record
    with workspace.store.write() as transaction:
        catalogue.put_version(transaction, replace(last, state="deleted"))
    assert [v.number for v in workspace.versions("team/x")] == [0, 1]
    assert [(v.number, v.state) for v in workspace.log("team/x")] == [(2, "deleted"), (1, "live"), (0, "live")]
    assert workspace.aliases.of("team/x") == {"latest": 1}
    assert [a.latest for a in workspace.artifacts("team")] == [1]
    with pytest.raises(NotFoundError):
        workspace.version("team/x:v2")
    with pytest.raises(NotFoundError):
        workspace.versions("team")
    assert workspace.put(folder, "team/x", new=True).number == 3  # a number is never given twice
    with workspace.store.write() as transaction:
        catalogue.put_version(transaction, last)


@pytest.mark.parametrize("metadata", [{"a": math.nan}, {"a": {1}}, {1: 2}, {"a": b"b"}])
def test_metadata_that_json_cannot_hold(workspace: Workspace, folder: Path, metadata: Any) -> None:
    """It is refused before anything is read."""
    with pytest.raises(InvalidInputError):
        workspace.put(folder, "x", metadata=metadata)
    assert workspace.artifacts() == [] and workspace.drafts.states() == []


def test_metadata_is_kept(workspace: Workspace, folder: Path) -> None:
    """As JSON has it, whatever its depth, and a copy is the caller's to change."""
    given = {"a": [1, 2.5, None, True, {"é": "\U0001f408"}], "tuple": (1, 2)}
    version = workspace.put(folder, "x", metadata=given)
    expected = {"a": [1, 2.5, None, True, {"é": "\U0001f408"}], "tuple": [1, 2]}
    assert version.metadata == workspace.version("x").metadata == expected
    version.metadata["more"] = 1
    assert version.metadata == expected
    assert workspace.put(folder, "x", metadata=given).number == 0


@pytest.mark.parametrize("name", ["", "v3", "a/v3", "latest", "../a", "/a", "a/", "a:b", "a" * 129, "\ud800"])
def test_names_that_no_artifact_may_have(workspace: Workspace, folder: Path, name: str) -> None:
    """They are refused in one sentence, and leave nothing."""
    with pytest.raises(InvalidNameError):
        workspace.put(folder, name)
    assert workspace.artifacts() == []


def test_the_longest_name(workspace: Workspace, folder: Path) -> None:
    """What the grammar allows fits the tables."""
    name = "/".join(["\U0001f408" * 63, "é" * 100])
    version = workspace.put(folder, name)
    assert workspace.version(name) == version
    assert [a.name for a in workspace.artifacts()] == [name]


def test_workspaces_are_values(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal by identity on disk, hashable, pickled by path, found through the environment."""
    monkeypatch.setenv("ARTFS_WORKSPACE", str(workspace.path))
    for same in (open_workspace(), open_workspace(workspace.path), pickle.loads(pickle.dumps(workspace))):
        assert same == workspace and hash(same) == hash(workspace) and same.path == workspace.path
    assert workspace != "workspace" and repr(workspace) == f"<Workspace {workspace.path}>"
    other = init_workspace(tmp_path / "other")
    assert other != workspace
    Environment.of(other.path).drop()
    with pytest.raises(ArtfsError):
        open_workspace(tmp_path / "nothing")


# -- workers, as a data loader has them --------------------------------------------------------------------------------


def check_item(item: tuple[Version, int]) -> str:
    """Read one file through a version that came by pickle or by fork; return its id as the store tells it."""
    version, number = item
    name = f"{number:02d}"
    expected = MODEL[name.encode()][1]
    assert version.read_bytes(name) == expected
    with version.open(name) as file:
        file.seek(len(expected) // 2)
        assert file.read(1000) == expected[len(expected) // 2 :][:1000]
    return version.stat(name).digest


def loop(version: Version, numbers: list[int], results: Any) -> None:
    """Be one worker: read what is asked for."""
    for number in numbers:
        results.put((number, check_item((version, number))))


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_pool_of_workers_reads_while_the_parent_writes(workspace: Workspace, folder: Path, method: str) -> None:
    """Each start method: every worker reads the right bytes, through a version that it was handed, at any time."""
    version = workspace.put(folder, "x")
    digests = {number: version.stat(f"{number:02d}").digest for number in range(24)}
    check_item((version, 3))  # the parent has read before it forks: packs open, chunks cached
    stop = threading.Event()
    failures: list[BaseException] = []

    def write() -> None:
        try:
            for number in range(200):
                (folder / "more").write_bytes(b"%d" % number * 1000)
                workspace.put(folder, "x")
                if stop.is_set():
                    break
        except BaseException as error:
            failures.append(error)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        with multiprocessing.get_context(method).Pool(2) as pool:
            found = pool.map(check_item, [(version, number) for number in range(24)] * 2, chunksize=3)
            pool.close()
            pool.join()
    finally:
        stop.set()
        writer.join()
    assert found == list(digests.values()) * 2
    assert failures == []
    assert Environment.of(workspace.path).env.reader_check() >= 0
    check_item((version, 5))
    assert_sound(workspace)


def test_workers_over_many_epochs(workspace: Workspace, folder: Path) -> None:
    """Forked workers come and go, killed or not: the parent's reader slots stay its own, and no slots pile up."""
    version = workspace.put(folder, "x")
    context = multiprocessing.get_context("fork")
    for epoch in range(4):
        results = context.SimpleQueue()
        workers = [context.Process(target=loop, args=(version, [part, part + 2], results)) for part in range(2)]
        with workspace.store.snapshot() as snapshot:
            for worker in workers:
                worker.start()
            assert len([results.get() for _ in range(4)]) == 4
            if epoch % 2:
                workers[0].kill()
            for worker in workers:
                worker.join()
            rows = [row.split() for row in Environment.of(workspace.path).env.readers().splitlines()[1:]]
            held = [row for row in rows if row[-1] != "-" and int(row[0]) == os.getpid()]
            assert len(held) == 1
            assert snapshot.read(snapshot.resolve(version.record.root, b"03").node, 0, 5) == MODEL[b"03"][1][:5]  # type: ignore[union-attr]
    Environment.of(workspace.path).env.reader_check()
    rows = [row.split() for row in Environment.of(workspace.path).env.readers().splitlines()[1:]]
    assert {int(row[0]) for row in rows} <= {os.getpid()}


def test_a_child_may_write_too(workspace: Workspace, folder: Path) -> None:
    """A forked child puts, and the parent sees it at its next call."""
    workspace.put(folder, "x")
    child = multiprocessing.get_context("fork").Process(target=_put, args=(workspace, folder))
    child.start()
    child.join()
    assert child.exitcode == 0
    assert [v.number for v in workspace.versions("x")] == [0, 1]
    assert_sound(workspace)


def _put(workspace: Workspace, folder: Path) -> None:
    assert workspace.put(folder, "x", new=True).number == 1


def test_threads_share_a_workspace(workspace: Workspace, folder: Path) -> None:
    """Readers in many threads beside a writer."""
    version = workspace.put(folder, "x")
    failures: list[BaseException] = []

    def guarded(work: Callable[[], None]) -> Callable[[], None]:
        def run() -> None:
            try:
                work()
            except BaseException as error:
                failures.append(error)

        return run

    def read() -> None:
        for number in random.Random(threading.get_ident()).sample(range(24), 12):
            check_item((version, number))

    def put() -> None:
        for _ in range(3):
            workspace.put(folder, "y", new=True)

    threads = [threading.Thread(target=guarded(work)) for work in (read, read, read, put)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert_sound(workspace)


def test_versions_of_two_copies_are_equal_only_if_their_content_is(tmp_path: Path) -> None:
    """A copy has the same uuid and gives the same serials; a workspace is equal to itself by any path."""
    (tmp_path / "d").mkdir()
    workspace = Workspace(create_workspace(tmp_path / "ws"))
    workspace.put(tmp_path / "d", "x")
    workspace.close()
    shutil.copytree(tmp_path / "ws", tmp_path / "copy")
    copy = Workspace(Store.open(tmp_path / "copy"))
    (tmp_path / "link").symlink_to(tmp_path / "ws")
    assert workspace == Workspace(Store.open(tmp_path / "link")) == pickle.loads(pickle.dumps(workspace)) != copy
    assert workspace.version("x:v0") == copy.version("x:v0")
    for each, text in ((workspace, "one"), (copy, "two")):
        (tmp_path / "d" / "f").write_text(text)
        each.put(tmp_path / "d", "x")
    ours, theirs = workspace.version("x:v1"), copy.version("x:v1")
    assert (ours.record.serial, ours.name) == (theirs.record.serial, theirs.name)
    assert ours != theirs and len({ours, theirs, workspace.version("x:v1"), pickle.loads(pickle.dumps(ours))}) == 2
