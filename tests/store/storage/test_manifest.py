"""The environment: transactions, seals, counters, and workspaces that are not what they should be."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import lmdb
import pytest

from artstore.creating import create_workspace
from artstore.errors import BusyError, DamageError, DiskError, OutOfSpaceError, UnsupportedError, WorkspaceNotFoundError
from artstore.records.tables import Table, key32, key64
from artstore.storage import disk, manifest
from artstore.storage.environment import Environment
from artstore.storage.manifest_folders import CURRENT
from artstore.store import Store
from artstore.workspace import Workspace
from messages import raises


@pytest.fixture
def path(workspace: Workspace) -> Path:
    return workspace.path


@pytest.fixture
def empty(quick_dir: Path) -> Iterator[Path]:
    """A workspace that nothing has open."""
    folder = quick_dir / "empty"
    create_workspace(folder)
    Environment.of(folder).drop()
    yield folder


def test_a_write_is_all_or_nothing(path: Path) -> None:
    """An exception leaves rows and counters as they were; without one both are there."""
    with pytest.raises(KeyError), manifest.write(path) as transaction:
        transaction.put(Table.FREE, b"key", b"value")
        transaction.state.next_pack = 99
        raise KeyError
    with manifest.read(path) as transaction:
        assert transaction.get(Table.FREE, b"key") is None
        assert transaction.counters().next_pack == 1
    with manifest.write(path) as transaction:
        transaction.put(Table.FREE, b"key", b"value")
        transaction.put_numbered(Table.NODES, 7, b"record")
        transaction.state.next_pack = 99
    with manifest.read(path) as transaction:
        assert transaction.get(Table.FREE, b"key") == b"value"
        assert transaction.get_numbered(Table.NODES, 7) == b"record"
        assert transaction.counters().next_pack == 99


def test_a_reader_sees_one_moment(path: Path) -> None:
    """What is committed after a snapshot began is not in it."""
    with manifest.read(path) as before:
        with manifest.write(path) as transaction:
            transaction.put(Table.FREE, b"key", b"value")
        assert before.get(Table.FREE, b"key") is None
    with manifest.read(path) as after:
        assert after.get(Table.FREE, b"key") == b"value"


def test_rows_come_in_the_order_of_their_keys(path: Path) -> None:
    """Numbers as keys sort by value; a prefix limits the rows."""
    numbers = [256, 1, 2**31, 255, 65536]
    with manifest.write(path) as transaction:
        for number in numbers:
            transaction.put(Table.PACKS, key32(number), b"%d" % number)
            transaction.put_numbered(Table.NODES, number, b"%d" % number)
            transaction.put(Table.NUMBERS, key64(number % 2) + key32(number), b"")
    with manifest.read(path) as transaction:
        assert [int(value) for _, value in transaction.rows(Table.PACKS)] == sorted(numbers)
        assert [number for number, _ in transaction.numbered_rows(Table.NODES)] == sorted(numbers)
        odd = [int.from_bytes(key[8:], "big") for key, _ in transaction.rows(Table.NUMBERS, key64(1))]
        assert odd == [1, 255]


@pytest.mark.parametrize("at", [0, 3, -1])
def test_a_flipped_byte_in_a_row_is_damage(path: Path, at: int) -> None:
    """However the row is read."""
    with manifest.write(path) as transaction:
        transaction.put(Table.FREE, b"key", b"value")
        transaction.put_numbered(Table.NODES, 7, b"record")
        for table, key in ((Table.FREE, b"key"), (Table.NODES, key64(7))):
            value = bytearray(transaction.raw.get(key, db=transaction.handles[table]))
            value[at] ^= 1
            transaction.raw.put(key, bytes(value), db=transaction.handles[table])
    with manifest.read(path) as transaction:
        for read in (
            lambda: transaction.get(Table.FREE, b"key"),
            lambda: list(transaction.rows(Table.FREE)),
            lambda: transaction.get_numbered(Table.NODES, 7),
            lambda: list(transaction.numbered_rows(Table.NODES)),
        ):
            with pytest.raises(DamageError):
                read()


def test_lost_counters_are_damage(path: Path) -> None:
    """A manifest without its counters is not taken for a new one."""
    environment = Environment.of(path)
    raw = environment.begin(write=True)
    raw.put(b"counters", b"short", db=environment.handles[Table.META])
    raw.commit()
    with pytest.raises(DamageError), manifest.write(path):
        raise AssertionError("the block must not run")


def test_one_environment_for_all_paths_to_a_workspace(path: Path, tmp_path: Path) -> None:
    """LMDB's locks forbid opening one twice in a process, by whatever path."""
    (tmp_path / "link").symlink_to(path)
    assert Environment.of(tmp_path / "link") is Environment.of(path)
    with manifest.write(tmp_path / "link") as transaction:
        transaction.put(Table.FREE, b"key", b"value")
    with manifest.read(path) as transaction:
        assert transaction.get(Table.FREE, b"key") == b"value"


def test_a_workspace_made_anew_at_the_same_path(path: Path, quick_dir: Path) -> None:
    """The old environment is left as soon as `current` is another file; threads that see it at once all do."""
    with manifest.write(path) as transaction:
        transaction.put(Table.FREE, b"key", b"old")
    path.rename(quick_dir / "old")
    create_workspace(path)
    seen: list[bytes | None] = []

    def look() -> None:
        with manifest.read(path) as transaction:
            seen.append(transaction.get(Table.FREE, b"key"))

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [None] * 4
    Environment.of(path).drop()
    Environment.of(path).drop()


def test_what_is_no_workspace(tmp_path: Path) -> None:
    """A folder, a file and nothing at all are told from a workspace in one sentence."""
    (tmp_path / "file").touch()
    for place in (tmp_path, tmp_path / "file", tmp_path / "nothing"):
        with raises(WorkspaceNotFoundError, names=[str(place)]):
            Store.open(place)


@pytest.mark.parametrize(
    "text", ["", "1", "manifest.1", "2 manifest.1 more", "x manifest.1", "\0\0\0", "2 nowhere", "2 artfs.json"]
)
def test_a_garbled_current_is_damage(empty: Path, text: str) -> None:
    """Truncated, rewritten, or naming what is not there."""
    (empty / CURRENT).write_text(text)
    with pytest.raises(DamageError):
        Store.open(empty)


def test_a_newer_format_is_refused(empty: Path) -> None:
    """It is checked before anything is read, and at every begin after that."""
    (empty / CURRENT).write_text("4 manifest.1\n")
    with raises(UnsupportedError, names=["format 4"]):
        Store.open(empty)


def test_a_format_that_rises_while_open_is_refused(path: Path) -> None:
    """A process that has the workspace open notices a migration at its next transaction."""
    (path / "new").write_text("4 manifest.1\n")
    sound = (path / CURRENT).read_bytes()
    (path / "new").rename(path / CURRENT)
    try:
        with raises(UnsupportedError, names=["format 4"]), manifest.read(path):
            raise AssertionError("the block must not run")
    finally:
        (path / CURRENT).write_bytes(sound)


@pytest.mark.parametrize("content", [b"not LMDB" * 1000, b"\0" * 8192])
def test_a_file_that_is_not_lmdb_is_damage(empty: Path, content: bytes) -> None:
    """One sentence, and nothing stays open."""
    (empty / "manifest.1" / "data.mdb").write_bytes(content)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(DamageError):
        Store.open(empty)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_manifest_that_is_being_replaced_is_busy(empty: Path) -> None:
    """Whoever compacts holds the lease alone."""
    import fcntl

    with (empty / "manifest.1" / "lease").open("r+b") as lease:
        fcntl.flock(lease, fcntl.LOCK_EX)
        with pytest.raises(BusyError):
            Store.open(empty)
    Store.open(empty)
    Environment.of(empty).drop()


def test_a_failed_commit_is_classed_by_the_disk(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """LMDB calls a full disk an input/output error; the next transaction starts from a new environment."""
    for free, expected in ((1000, OutOfSpaceError), (1 << 40, DiskError)):
        monkeypatch.setattr(disk, "free_bytes", lambda _, free=free: free)
        with pytest.raises(expected), manifest.write(path):
            raise lmdb.Error("mdb_put: Input/output error")
    with manifest.write(path) as transaction:
        transaction.put(Table.FREE, b"key", b"value")
    with manifest.read(path) as transaction:
        assert transaction.get(Table.FREE, b"key") == b"value"


def test_too_many_readers_is_busy(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said in one sentence."""
    environment = Environment.of(path)

    class Full:
        def begin(self, write: bool) -> None:
            raise lmdb.ReadersFullError("full")

    with monkeypatch.context() as patch:
        patch.setattr(environment, "env", Full())
        with raises(BusyError, names=["1024"]):
            environment.begin(write=False)


def _read_in_child(path: Path) -> None:
    with manifest.read(path) as transaction:
        assert transaction.get(Table.FREE, b"key") == b"value"


def test_a_dying_child_does_not_give_back_its_parents_readers(path: Path) -> None:
    """A fork inside a snapshot, and one beside it: the parent's slot stays, and its snapshot stays what it was."""
    with manifest.write(path) as transaction:
        transaction.put(Table.FREE, b"key", b"value")
    environment = Environment.of(path)
    with manifest.read(path) as snapshot:
        before = [line for line in environment.env.readers().splitlines() if str(os.getpid()) in line]
        assert len(before) == 1
        for _ in range(3):
            child = multiprocessing.get_context("fork").Process(target=_read_in_child, args=(path,))
            child.start()
            child.join()
            assert child.exitcode == 0
        environment.env.reader_check()
        after = [line for line in environment.env.readers().splitlines() if str(os.getpid()) in line]
        assert after == before
        with manifest.write(path) as transaction:
            transaction.put(Table.FREE, b"key", b"another")
        assert snapshot.get(Table.FREE, b"key") == b"value"
    assert Environment.of(path) is environment


def test_a_child_of_a_process_whose_other_threads_read(path: Path) -> None:
    """A snapshot of another thread, which does not exist in the child, outlives the child unharmed."""
    with manifest.write(path) as transaction:
        transaction.put(Table.FREE, b"key", b"value")
    reading, done = threading.Event(), threading.Event()
    found: list[bytes | None] = []

    def hold() -> None:
        with manifest.read(path) as snapshot:
            reading.set()
            done.wait()
            found.append(snapshot.get(Table.FREE, b"key"))

    thread = threading.Thread(target=hold)
    thread.start()
    reading.wait()
    before = Environment.of(path).env.readers()
    child = multiprocessing.get_context("fork").Process(target=_read_in_child, args=(path,))
    child.start()
    child.join()
    assert child.exitcode == 0
    Environment.of(path).env.reader_check()
    assert Environment.of(path).env.readers() == before
    with manifest.write(path) as transaction:
        transaction.put(Table.FREE, b"key", b"another")
    done.set()
    thread.join()
    assert found == [b"value"]
