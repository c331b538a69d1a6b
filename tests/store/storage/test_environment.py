"""The environment of a process: one for a workspace, opened carefully, given up without pulling it from under readers.

Transactions, forks and damaged files are in `test_manifest`; replaced environments in `reclaim/compaction`.
"""

from __future__ import annotations

import errno
import os
import resource
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lmdb
import pytest

from artstore import beneath, locate
from artstore.checking import check
from artstore.creating import create_workspace
from artstore.errors import (
    BusyError,
    DamageError,
    DiskError,
    LimitError,
    OutOfSpaceError,
    RefusedError,
    WorkspaceNotFoundError,
)
from artstore.records.tables import OLDEST_TABLES, Table
from artstore.rows.remotes import Tracking, read_tracking
from artstore.storage import disk, environment, manifest
from artstore.storage.environment import MAP_SIZE, Environment, map_size
from artstore.storage.manifest_folders import CURRENT


@pytest.fixture
def path(quick_dir: Path) -> Iterator[Path]:
    """Return a workspace that no process has open; close it after the test."""
    folder = quick_dir / "ws"
    create_workspace(folder)
    Environment.of(folder).drop()
    yield folder
    if folder in environment._open_environments:
        Environment.of(folder).drop()


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_it_is_opened_once(path: Path) -> None:
    """The same one is returned to every thread, also if all of them ask at once."""
    seen: list[Environment] = []
    barrier = threading.Barrier(8)

    def look() -> None:
        barrier.wait()
        seen.append(Environment.of(path))

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 8 and len(set(map(id, seen))) == 1
    assert Environment.of(path) is seen[0] and seen[0].is_current()


@pytest.mark.parametrize("loss", ["lease", "data.mdb", "empty data.mdb"])
def test_a_lost_file_is_not_made_again(path: Path, loss: str) -> None:
    """LMDB would make an empty manifest, and the next put would overwrite the first pack.

    Nothing stays open, and the workspace opens as soon as the file is back.
    """
    folder = path / "manifest.1"
    file = folder / loss.removeprefix("empty ")
    file.rename(folder / "kept")
    if loss.startswith("empty"):
        file.touch()
    before = open_descriptors()
    for _ in range(2):
        with pytest.raises(DamageError):
            Environment.of(path)
    assert open_descriptors() == before
    assert file.exists() == loss.startswith("empty") and not (file.exists() and file.stat().st_size)
    (folder / "kept").rename(file)
    assert Environment.of(path).is_current()


def test_a_read_only_file_system_is_explained(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even readers take locks; any other failure to open is passed on as it is."""
    real = beneath.open_file

    def refuse(code: int) -> None:
        def opening(root: Path, name: Path, *rest: Any) -> int:
            if str(name).endswith("lease"):
                raise OSError(code, os.strerror(code), name)
            return real(root, name, *rest)

        monkeypatch.setattr(beneath, "open_file", opening)

    refuse(errno.EROFS)
    with pytest.raises(RefusedError) as caught:
        Environment.of(path)
    assert str(path) in str(caught.value) and caught.value.hint
    refuse(errno.EMFILE)
    with pytest.raises(OSError) as other:
        Environment.of(path)
    assert other.value.errno == errno.EMFILE


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        ("mdb_env_open: Resource temporarily unavailable", BusyError),
        (f"mdb_env_open: {os.strerror(errno.EDQUOT)}", OutOfSpaceError),
        ("mdb_env_open: Input/output error", DiskError),
        (f"mdb_env_open: {os.strerror(errno.EMFILE)}", LimitError),
        ("mdb_env_open: MDB_CORRUPTED", DamageError),
    ],
)
def test_what_fails_to_open_is_classed(
    path: Path, monkeypatch: pytest.MonkeyPatch, failure: str, expected: type[Exception]
) -> None:
    """A lock of another pid namespace, a full quota, and anything else; the lease is given back."""

    def fail(*_: Any, **__: Any) -> None:
        raise lmdb.Error(failure)

    before = open_descriptors()
    with monkeypatch.context() as patch:
        patch.setattr(lmdb, "open", fail)
        with pytest.raises(expected):
            Environment.of(path)
    assert open_descriptors() == before
    assert Environment.of(path).is_current()


def test_the_lease_is_shared_while_it_is_open(path: Path) -> None:
    """Another process can have the manifest open too, and none can have it alone."""
    lease = os.open(path / "manifest.1" / "lease", os.O_RDWR | os.O_CLOEXEC)
    try:
        opened = Environment.of(path)
        assert not disk.try_lock(lease, shared=False)
        assert disk.try_lock(lease, shared=True)
        opened.drop()
        assert disk.try_lock(lease, shared=False)
        with pytest.raises(BusyError):
            Environment.of(path)
    finally:
        os.close(lease)


def test_the_files_that_lmdb_makes_have_the_mode_of_the_lease(path: Path) -> None:
    """In a shared workspace the group may write them, whoever opened it first."""
    folder = path / "manifest.1"
    (folder / "lease").chmod(0o660)
    (folder / "lock.mdb").unlink()
    mask = os.umask(0)
    try:
        Environment.of(path)
    finally:
        os.umask(mask)
    assert stat.S_IMODE((folder / "lock.mdb").stat().st_mode) == 0o660


def test_one_that_is_given_up_serves_its_readers_to_the_end(path: Path) -> None:
    """Its pages stay mapped and its lease held until the last transaction ends; it takes no new one."""
    with manifest.write(path) as transaction:
        transaction.put(Table.FREE, b"key", b"value")
    old = Environment.of(path)
    lease = os.open(path / "manifest.1" / "lease", os.O_RDWR | os.O_CLOEXEC)
    try:
        with manifest.read(path) as outer:
            with manifest.read(path) as inner:
                old.drop()
                assert not old.enter()
                assert inner.get(Table.FREE, b"key") == b"value"
            assert outer.get(Table.FREE, b"key") == b"value"
            assert not disk.try_lock(lease, shared=False)
        assert disk.try_lock(lease, shared=False)
    finally:
        os.close(lease)
    assert Environment.of(path) is not old
    with manifest.read(path) as after:
        assert after.get(Table.FREE, b"key") == b"value"


def test_it_is_not_opened_twice_while_one_that_was_given_up_is_in_use(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LMDB forbids that: opening waits for the last transaction, and gives up after a while."""
    monkeypatch.setattr(environment, "_CLOSING_SECONDS", 0.05)
    old = Environment.of(path)
    with manifest.read(path):
        old.drop()
        with pytest.raises(BusyError):
            Environment.of(path)
    monkeypatch.setattr(environment, "_CLOSING_SECONDS", 60.0)
    seen: list[Environment] = []
    old = Environment.of(path)
    with manifest.read(path) as snapshot:
        old.drop()
        thread = threading.Thread(target=lambda: seen.append(Environment.of(path)))
        thread.start()
        thread.join(0.05)
        assert thread.is_alive() and snapshot.number >= 0
    thread.join(60)
    assert seen == [Environment.of(path)] and seen[0] is not old


def test_giving_up_twice_closes_once(path: Path) -> None:
    """The descriptor of its lease may be that of another file by then."""
    opened = Environment.of(path)
    lease = opened._lease
    opened.drop()
    others = [os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC) for _ in range(8)]
    try:
        assert lease in others
        opened.drop()
        os.fstat(lease)
    finally:
        for descriptor in others:
            os.close(descriptor)


@pytest.mark.parametrize(
    ("error", "free", "expected"),
    [
        (lmdb.MapFullError("mdb_put"), 1 << 40, OutOfSpaceError),
        (lmdb.DiskError("mdb_txn_commit"), 1 << 40, OutOfSpaceError),
        (lmdb.Error(f"mdb_put: {os.strerror(errno.EDQUOT)}"), 1 << 40, OutOfSpaceError),
        (lmdb.Error("mdb_put: Input/output error"), 1000, OutOfSpaceError),
        (lmdb.Error("mdb_put: Input/output error"), 1 << 40, DiskError),
        (lmdb.Error(f"mdb_put: {os.strerror(errno.EFBIG)}"), 1 << 40, LimitError),
        (lmdb.CorruptedError("mdb_put: MDB_CORRUPTED"), 1 << 40, DamageError),
    ],
    ids=["map", "disk", "quota", "EIO on a full disk", "EIO", "size", "pages"],
)
def test_a_failed_write_gives_the_environment_up(
    path: Path, monkeypatch: pytest.MonkeyPatch, error: lmdb.Error, free: int, expected: type[Exception]
) -> None:
    """Its error names the cause: LMDB reports EIO on a full disk.  The next transaction has another environment."""
    opened = Environment.of(path)
    monkeypatch.setattr(disk, "free_bytes", lambda _: free)
    failure = opened.failed(error)
    assert type(failure) is expected and str(path) in str(failure)
    assert not opened.enter()
    assert Environment.of(path) is not opened


def test_it_is_current_until_another_takes_its_place(path: Path) -> None:
    """`current` decides: rewritten in place of the old file, or missing."""
    opened = Environment.of(path)
    assert opened.is_current()
    text = (path / CURRENT).read_bytes()
    (path / "new").write_bytes(text)
    (path / "new").rename(path / CURRENT)
    assert not opened.is_current()
    (path / CURRENT).unlink()
    assert not opened.is_current()
    opened.drop()
    with pytest.raises(WorkspaceNotFoundError):
        Environment.of(path)
    (path / CURRENT).write_bytes(text)
    assert Environment.of(path).is_current()


def test_the_oldest_reader_holds_what_was_current_when_it_began(path: Path) -> None:
    """Later commits do not change it; with its end only the last commit counts."""
    opened = Environment.of(path)

    def write() -> int:
        with manifest.write(path) as transaction:
            transaction.put(Table.FREE, b"key", os.urandom(4))
            return transaction.number

    last = write()
    assert opened.oldest_reader() == last
    with manifest.read(path) as first:
        write()
        with manifest.read(path) as second:
            assert first.number == last < second.number
            last = write()
            assert opened.oldest_reader() == first.number
    assert opened.oldest_reader() == last


@pytest.mark.parametrize("limit", [1 << 30, (1 << 30) + 12345, 1 << 60])
def test_the_map_leaves_addresses_for_others(monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    """Whole pages, at most a quarter of what the process may have, and never more than the usual size."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, limit))
    size = map_size()
    assert size % 4096 == 0 and 0 < size <= min(MAP_SIZE, limit // 4)
    assert size > limit // 4 - 4096 or size == MAP_SIZE


def test_without_a_limit_the_map_has_its_usual_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """RLIM_INFINITY is not a number of bytes."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert map_size() == MAP_SIZE


def _make_format_2(path: Path) -> None:
    """Make a workspace what the format before this one was: without its last tables."""
    environment = Environment.of(path)
    with environment.env.begin(write=True) as raw:
        for table in Table:
            if table > OLDEST_TABLES:
                raw.drop(environment.handles[table], delete=True)
    environment.drop()
    (path / CURRENT).write_text("2 manifest.1\n")


def test_an_older_format_rises(path: Path) -> None:
    """The first process that can write adds the tables and raises the number, and the workspace is sound."""
    _make_format_2(path)
    inode = (path / CURRENT).stat().st_ino
    with manifest.read(path) as transaction:
        assert list(transaction.rows(Table.REMOTES)) == []
    assert (path / CURRENT).read_text() == "3 manifest.1\n"
    assert (path / CURRENT).stat().st_ino != inode
    assert Environment.of(path).is_current()
    assert check(path).clean


def test_an_older_format_that_is_read_only_is_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is written, and the tables that it lacks are empty."""
    _make_format_2(path)
    monkeypatch.setattr(locate, "is_on_read_only_disk", lambda _: True)
    with manifest.read(path) as transaction:
        assert list(transaction.rows(Table.REMOTES)) == []
        assert read_tracking(transaction) == Tracking()
    assert (path / CURRENT).read_text() == "2 manifest.1\n"
    assert check(path).clean
    Environment.of(path).drop()
