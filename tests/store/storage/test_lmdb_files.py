"""LMDB gets the two files that were checked, and never a path that others can change."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import lmdb
import pytest

from artstore.errors import RefusedError
from artstore.storage import lmdb_files
from artstore.storage.lmdb_files import DATA, LOCK, open_environment
from messages import raises


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "ws" / "manifest.1").mkdir(parents=True)
    return tmp_path / "ws" / "manifest.1"


def _open(folder: Path, **options: object) -> lmdb.Environment:
    return open_environment(folder.parent, folder, 0o640, map_size=1 << 20, **options)


def test_an_environment_is_made_and_read(folder: Path) -> None:
    private = set(os.listdir("/dev/shm"))
    before = os.umask(0o077)
    try:
        with _open(folder, new=True) as env, env.begin(write=True) as transaction:
            transaction.put(b"key", b"value")
            assert {name for name in os.listdir("/dev/shm") if name.startswith(f"artfs-open-{os.getpid()}-")} <= private
    finally:
        os.umask(before)
    assert sorted(os.listdir(folder)) == [DATA, LOCK]
    assert {(folder / name).stat().st_mode & 0o777 for name in (DATA, LOCK)} == {0o640}
    with _open(folder, readonly=True) as env, env.begin() as transaction:
        assert transaction.get(b"key") == b"value"
        with pytest.raises(lmdb.Error, match="already open"):
            _open(folder)


def test_missing_files(folder: Path) -> None:
    with pytest.raises(FileNotFoundError):
        _open(folder)
    assert os.listdir(folder) == []
    _open(folder, new=True, lock=False).close()
    assert os.listdir(folder) == [DATA]
    _open(folder, lock=False, readonly=True).close()
    assert os.listdir(folder) == [DATA]
    _open(folder).close()
    assert sorted(os.listdir(folder)) == [DATA, LOCK]


@pytest.mark.parametrize("name", [DATA, LOCK])
def test_links_are_refused(folder: Path, tmp_path: Path, name: str) -> None:
    _open(folder, new=True).close()
    (folder / name).unlink()
    (folder / name).symlink_to(tmp_path / "canary")
    for new in (False, True):
        with raises(RefusedError, names=[name], reason="through a link"):
            _open(folder, new=new)
    assert not (tmp_path / "canary").exists()


def test_a_link_that_comes_later_is_not_followed(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process exchanges the files between the check and LMDB's opening."""
    _open(folder, new=True).close()
    real = lmdb.open

    def exchange(path: str, **options: object) -> lmdb.Environment:
        for name in (DATA, LOCK):
            (folder / name).rename(folder / f"old-{name}")
            (folder / name).symlink_to(tmp_path / f"canary-{name}")
        return real(path, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(lmdb_files.lmdb, "open", exchange)
    with _open(folder) as env, env.begin(write=True) as transaction:
        transaction.put(b"key", b"value")
    assert os.listdir(tmp_path) == ["ws"]


def test_errors_name_the_folder(folder: Path) -> None:
    _open(folder, new=True).close()
    (folder / DATA).write_bytes(b"x" * 8192)
    with pytest.raises(lmdb.Error) as caught:
        _open(folder)
    assert "artfs-open-" not in str(caught.value)
    assert str(folder) in str(caught.value)


def test_what_a_killed_process_left_is_removed(folder: Path, tmp_path: Path) -> None:
    """A private folder that is older than any opening takes goes with the next opening; a young one stays."""
    program = (
        "import os, sys; from pathlib import Path; from artstore.storage import lmdb_files\n"
        "lmdb_files.lmdb.open = lambda *_, **__: os.kill(os.getpid(), 9)\n"
        "lmdb_files.open_environment(Path(sys.argv[1]).parent, Path(sys.argv[1]), 0o600, new=True)"
    )
    killed = subprocess.Popen([sys.executable, "-c", program, folder])
    assert killed.wait(30) == -9
    (left,) = Path("/dev/shm").glob(f"artfs-open-{killed.pid}-*")
    _open(folder, new=True).close()
    assert left.is_dir()
    os.utime(left, (1, 1))
    _open(folder).close()
    assert not left.exists()


def test_the_folder_of_a_suspended_process_stays(folder: Path) -> None:
    """It is as old as one that was left, but its process still opens the environment, when it goes on."""
    _open(folder, new=True).close()
    program = (
        "import os, sys; from pathlib import Path; from artstore.storage import lmdb_files\n"
        "make = lmdb_files.lmdb.open\n"
        "def stop(*args, **options): os.kill(os.getpid(), 19); return make(*args, **options)\n"
        "lmdb_files.lmdb.open = stop\n"
        "lmdb_files.open_environment(Path(sys.argv[1]).parent, Path(sys.argv[1]), 0o600).close()"
    )
    slow = subprocess.Popen([sys.executable, "-c", program, folder])
    try:
        assert os.WIFSTOPPED(os.waitpid(slow.pid, os.WUNTRACED)[1])
        (private,) = Path("/dev/shm").glob(f"artfs-open-{slow.pid}-*")
        os.utime(private, (1, 1))
        _open(folder).close()
        os.kill(slow.pid, signal.SIGCONT)
        assert slow.wait(30) == 0
    finally:
        slow.kill()
    assert not private.exists()


def test_without_a_private_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder itself will do if only this user may write to it."""
    monkeypatch.setattr(lmdb_files, "_is_safe", lambda _: False)
    for path in (folder, folder.parent):
        path.chmod(0o700)
    _open(folder, new=True).close()
    folder.chmod(0o770)
    with raises(RefusedError, reason="no temporary folder"):
        _open(folder)
