"""What a process keeps between its calls never shows another version, another record or another moment."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import random
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from artstore.errors import DamageError, NotFoundError
from artstore.queries.versions import Version
from artstore.records.tables import Table, key64
from artstore.records.trees import Kind
from artstore.rows import catalogue, directories
from artstore.storage.environment import Environment
from artstore.workspace import Workspace, open_workspace


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    for number in range(300):
        place = folder / f"d{number % 3}" / "below"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{number:03d}").write_bytes(b"%d " % number * (number + 1))
    return folder


@pytest.fixture
def version(workspace: Workspace, folder: Path) -> Version:
    version = workspace.put(folder, "d")
    read(version)
    return version


PATHS = [f"d{number % 3}/below/{number:03d}" for number in range(300)]


def read(version: Version) -> None:
    """Read all files twice, so that whatever can be kept is."""
    for _ in range(2):
        for number, path in enumerate(PATHS):
            assert version.read_bytes(path) == b"%d " % number * (number + 1)


def test_a_change_is_seen_by_the_next_call(workspace: Workspace, version: Version) -> None:
    """Deleted, restored, purged, reaped: the object shows the version as it is now."""
    same = pickle.loads(pickle.dumps(version))
    workspace.delete("d:v0")
    for gone in (version, same):
        for call in (gone.read_bytes, gone.open, gone.stat, gone.listdir):
            with pytest.raises(NotFoundError):
                call(PATHS[0])
    workspace.undelete("d:v0")
    assert version.read_bytes(PATHS[0]) == b"0 "
    workspace.purge(f"d:v0/{PATHS[1]}", reason="a test")
    with pytest.raises(NotFoundError):
        version.read_bytes(PATHS[1])
    assert version.read_bytes(PATHS[0]) == b"0 "
    workspace.delete("d:v0", now=True)
    workspace.gc(now=True)
    with pytest.raises(NotFoundError):
        version.read_bytes(PATHS[0])


def test_a_change_by_another_process(workspace: Workspace, version: Version) -> None:
    process = multiprocessing.get_context("fork").Process(target=workspace.delete, args=("d:v0",))
    process.start()
    process.join()
    with pytest.raises(NotFoundError):
        version.read_bytes(PATHS[0])


def test_a_name_that_means_something_else(workspace: Workspace, version: Version, folder: Path) -> None:
    """References are resolved as of now: ``latest``, aliases, and the names of renamed artifacts."""
    assert workspace.version("d") == workspace.version("d:v0") == version
    (folder / "more").write_bytes(b"more")
    second = workspace.put(folder, "d")
    assert workspace.version("d") == second and workspace.version("d:v0") == version
    workspace.aliases.set("d:v0", ["best"])
    assert workspace.version("d:best") == version
    workspace.aliases.set("d:v1", ["best"])
    assert workspace.version("d:best") == second
    workspace.rename("d", "e")
    with pytest.raises(NotFoundError):
        workspace.version("d:v0")
    workspace.put(folder / "more", "d")
    assert workspace.version("d:v0") != version
    assert version.read_bytes(PATHS[5]) == b"5 " * 6


def test_each_spelling_of_a_path_is_known_by_itself(workspace: Workspace, tmp_path: Path) -> None:
    """Links, unclean paths and bytes lead to the same content, the first time and again, and keep their own names."""
    folder = tmp_path / "linked"
    (folder / "a").mkdir(parents=True)
    (folder / "a" / "x").write_bytes(b"content")
    (folder / "b").symlink_to("a")
    (folder / "link").symlink_to("b/x")
    version = workspace.put(folder, "linked", links="keep")
    for _ in range(3):
        for path in ("a/x", "./a//x", "a/x/", b"a/x", "b/x", "link", b"link"):
            with version.open(path) as file:
                assert (file.read(), file.raw.name) == (b"content", "a/x"), path
            assert version.read_bytes(path) == b"content"
        for path in ("a", "b", b"a", ""):
            with pytest.raises(IsADirectoryError):
                version.open(path)


def leaf_of(workspace: Workspace, version: Version) -> int:
    with workspace.store.snapshot() as snapshot:
        entry = version._find(snapshot, "d0/below")[1]
        assert entry is not None and entry.kind is Kind.DIRECTORY
        return entry.node


def test_a_record_that_rots_is_noticed(workspace: Workspace, version: Version) -> None:
    """A row is compared with what was parsed, so damage is damage, and a repaired row is read again."""
    node = leaf_of(workspace, version)
    with workspace.store.write() as transaction:
        row = transaction.raw.get(key64(node), db=transaction.handles[Table.NODES])
        transaction.raw.put(key64(node), row[:-1] + bytes([row[-1] ^ 1]), db=transaction.handles[Table.NODES])
    for call in (version.read_bytes, version.open, version.stat):
        with pytest.raises(DamageError):
            call(PATHS[0])
    assert version.read_bytes(PATHS[1]) == b"1 1 "
    with workspace.store.write() as transaction:
        transaction.raw.put(key64(node), row, db=transaction.handles[Table.NODES])
    read(version)


def test_another_environment(workspace: Workspace, version: Version) -> None:
    """A compacted copy has other pages and the same content; so has an environment that was opened again."""
    workspace.gc(compact=True)
    read(version)
    Environment.of(workspace.path).drop()
    read(version)
    workspace.close()
    read(version)


def test_an_older_snapshot_shows_its_own_moment(workspace: Workspace, version: Version) -> None:
    """Two snapshots at a time, and each has its version."""
    with workspace.store.snapshot() as before:
        root = before.living_version(version.record.serial)
        with workspace.store.write() as transaction:
            catalogue.put_version(transaction, replace(version.record, state="deleted"))
        with workspace.store.snapshot() as after:
            assert after.living_version(version.record.serial) is None
            assert before.living_version(version.record.serial) == root
            assert after.living_version(version.record.serial) is None
    assert root is not None and root.root == version.record.root


def test_what_is_kept_is_bounded(workspace: Workspace, version: Version, monkeypatch: pytest.MonkeyPatch) -> None:
    """With room for next to nothing every file is still found, and next to nothing is kept."""
    monkeypatch.setattr(directories, "_RECORD_BYTES", 20_000)
    monkeypatch.setattr(directories, "_MOST_PLACES", 2)
    monkeypatch.setattr(directories, "_MOST_VERSIONS", 1)
    monkeypatch.setattr(directories, "_MOST_FILES", 3)
    workspace.close()
    read(version)
    workspace.version("d:v0"), workspace.version("d"), workspace.version("d:latest")
    with workspace.store.snapshot() as snapshot:
        known = snapshot.directories
    assert sum(view.footprint for _, _, view in known._records.entries.values()) <= 20_000
    assert len(known._places) <= 2 and len(known.references) <= 1
    assert sum(map(len, known._files.values())) <= 3


def test_threads_and_a_writer(workspace: Workspace, version: Version, folder: Path) -> None:
    """Readers in threads, while versions come and go and one is purged: right bytes, or it is gone."""
    wrong: list[object] = []
    stop = threading.Event()

    def reader(seed: int) -> None:
        chance = random.Random(seed)
        while not stop.is_set():
            number = chance.randrange(300)
            try:
                if version.read_bytes(PATHS[number]) != b"%d " % number * (number + 1):
                    wrong.append(number)
                with version.open(PATHS[number]) as file:
                    if file.read() != b"%d " % number * (number + 1):
                        wrong.append(number)
            except NotFoundError:
                if number not in purged:
                    wrong.append(PATHS[number])
            except Exception as error:
                wrong.append(error)

    purged: set[int] = set()
    threads = [threading.Thread(target=reader, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for number in range(12):
        (folder / "d0" / "below" / "new").write_bytes(b"%d" % number)
        workspace.put(folder, "d")
        workspace.delete(f"d:v{number + 1}", now=True)
        workspace.gc()
        if number % 6 == 5:
            purged.add(number)
            workspace.purge(f"d:v0/{PATHS[number]}", reason="a test")
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []


def _child(path: Path, started: Version) -> None:
    for version in (started, open_workspace(path).version("d:v0")):
        read(version)
    with started._store.snapshot() as snapshot:
        if not snapshot.directories._records.entries:
            os._exit(3)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_child_begins_with_its_own(workspace: Workspace, version: Version, method: str) -> None:
    """A forked child keeps nothing of its parent's, and a spawned one begins empty."""
    before = version._store.handles.directories
    process = multiprocessing.get_context(method).Process(target=_child, args=(workspace.path, version))
    process.start()
    process.join()
    assert process.exitcode == 0
    assert version._store.handles.directories is before
    child = os.fork()
    if child == 0:
        os._exit(version._store.handles.directories is before)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
