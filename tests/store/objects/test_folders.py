"""A folder as an object store: whole objects or none, whatever kills the writer, and nothing reached through links."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import stat
import sys
import tempfile
import time
from pathlib import Path

import pytest

from artstore.errors import ArtfsError, UnsupportedError
from artstore.objects import folders
from artstore.objects.failures import (
    NoBucketError,
    NoRightError,
    ObjectMissingError,
    StoreFullError,
    UnknownOutcomeError,
    WrongAnswerError,
)
from artstore.objects.folders import Folder

KINDS = ["unnamed", "named"]
"""Objects get their name by link(2), or, on file systems without unnamed files, by renameat2(2)."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


def folder(root: Path, kind: str = "unnamed") -> Folder:
    made = Folder(root)
    made._has_unnamed = kind == "unnamed"
    return made


def files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir())


# -- writers that are killed -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("call", ["write", "fsync", "link", "renameat2", "unlink"])
def test_a_killed_writer_leaves_all_or_nothing(kind: str, call: str, root: Path) -> None:
    """Before and after each call that a create makes; the next writer removes what is left and creates it."""
    for when in ("before", "after"):
        name = f"log/{when}"
        child = os.fork()
        if child == 0:
            _die_at(call, when)
            folder(root, kind).create(name, b"x" * 1000)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) in (0, -signal.SIGKILL)
        left = root / name
        assert not left.exists() or left.read_bytes() == b"x" * 1000
        assert len(list(root.glob(".tmp/*"))) <= (kind == "named")
        assert folder(root, kind).create(name, b"x" * 1000) is True
        assert left.read_bytes() == b"x" * 1000 and left.stat().st_nlink == 1
        assert not list(root.glob(".tmp/*"))


def _die_at(call: str, when: str) -> None:
    """Have this process be killed before or after its first call of a function of the system."""
    where = folders._libc if call == "renameat2" else os
    real = getattr(where, call)

    def dying(*arguments: object, **options: object) -> object:
        if when == "after":
            real(*arguments, **options)
        os.kill(os.getpid(), signal.SIGKILL)
        return None

    setattr(where, call, dying)


def test_a_file_in_use_is_not_removed(root: Path) -> None:
    """What another writer holds locked stays; what nobody holds, and what is no file, is handled."""
    (root / ".tmp").mkdir()
    used, left = root / ".tmp" / ("a" * 32), root / ".tmp" / ("b" * 32)
    for path in (used, left):
        path.write_bytes(b"part")
    (root / ".tmp" / "link").symlink_to("/etc/passwd")
    with used.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert folder(root).create("x", b"y")
    assert used.exists() and not left.exists() and (root / ".tmp" / "link").is_symlink()


@pytest.mark.parametrize("kind", KINDS)
def test_everything_is_synced_in_order(kind: str, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bytes before the name, the folder after it, and the folders above that were made."""
    seen: list[str] = []
    real_sync, real_link, real_rename = os.fsync, os.link, folders._libc.renameat2

    def sync(fd: int) -> None:
        what = os.readlink(f"/proc/self/fd/{fd}")
        seen.append("bytes" if stat.S_ISREG(os.fstat(fd).st_mode) else what.removeprefix(str(root)) or "/")
        real_sync(fd)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "link", lambda *a, **k: (seen.append("name"), real_link(*a, **k)))
    monkeypatch.setattr(folders, "_libc", _Recording(seen, real_rename))
    store = folder(root, kind)
    assert store.create("d/0f/pack", b"body")
    made = ["/", "/d"] if kind == "unnamed" else ["/", "/d", "/"]
    assert seen == [*made, "bytes", "name", "/d/0f"]
    seen.clear()
    assert store.create("d/0f/pack", b"body") is True
    assert seen == ["bytes", "name", "/d/0f"]


class _Recording:
    def __init__(self, seen: list[str], real: object) -> None:
        self._seen, self._real = seen, real

    def renameat2(self, *arguments: object) -> object:
        self._seen.append("name")
        return self._real(*arguments)  # type: ignore[operator]


# -- what else lies there ----------------------------------------------------------------------------------------------


def test_nothing_is_reached_through_links(root: Path, tmp_path: Path) -> None:
    """Neither to read nor to write nor to remove: a link is refused by name."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "x").write_bytes(b"secret")
    (root / "d").symlink_to(outside)
    (root / "log").mkdir()
    (root / "log" / "1").symlink_to(outside / "x")
    os.link(outside / "x", root / "log" / "2")
    store = folder(root)
    for name in ("d/x", "log/1", "log/2"):
        for request in (store.read, store.head, lambda name: store.create(name, b"y")):
            with pytest.raises(WrongAnswerError, match="root/"):
                request(name)
    for prefix in ("", "d/", "log/"):
        with pytest.raises(WrongAnswerError):
            list(store.list(prefix))
    with pytest.raises(WrongAnswerError):
        store.delete(["d/x"])
    assert (outside / "x").read_bytes() == b"secret" and sorted(os.listdir(outside)) == ["x"]


def test_what_is_no_file_is_refused(root: Path) -> None:
    """A FIFO does not hang the reader; a folder in place of an object is none."""
    (root / "log").mkdir()
    os.mkfifo(root / "log" / "1")
    store = folder(root)
    with pytest.raises(WrongAnswerError, match="FIFO"):
        store.read("log/1")
    with pytest.raises(WrongAnswerError, match="is neither a file nor a folder"):
        list(store.list("log/"))
    with pytest.raises((ObjectMissingError, WrongAnswerError)):
        store.read("log")
    with pytest.raises(ArtfsError):
        store.create("log", b"x")
    with pytest.raises(ArtfsError):
        store.create("log/1/2", b"x")


def test_other_names_in_the_folder(root: Path) -> None:
    """Hidden names and a disk's own folder are passed over; other names are listed, in the order of their bytes."""
    (root / "lost+found").mkdir(mode=0)
    (root / ".Trash-1000").mkdir()
    for name in ("b", "a c", "ü", "ü".encode("latin-1").decode("utf-8", "surrogateescape")):
        (root / name).write_bytes(b"")
    assert [info.name for info in folder(root).list("")] == ["a c", "b", "ü", "\udcfc"]


def test_the_disk_is_not_mounted(root: Path, tmp_path: Path) -> None:
    """A missing folder is not made, and is no empty store."""
    store = folder(tmp_path / "nothing")
    requests = [lambda: store.read("x"), lambda: list(store.list("")), lambda: list(store.list("log/"))]
    requests += [lambda: store.create("x", b""), lambda: store.replace("x", b""), lambda: store.delete(["x"])]
    requests += [lambda: store.head("x")]
    for request in requests:
        with pytest.raises(NoBucketError, match=r"there is no folder .*/nothing"):
            request()
    assert not (tmp_path / "nothing").exists()
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ArtfsError):
        folder(tmp_path / "file").create("x", b"")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", [0o700, 0o755, 0o2775, 0o2770])
def test_objects_have_the_permissions_of_the_folder(kind: str, mode: int, root: Path) -> None:
    """Not those of the umask: what one member of a group makes, the others can read and add to."""
    root.chmod(mode)
    before = os.umask(0o077)
    try:
        store = folder(root, kind)
        assert store.create("d/0f/x", b"y")
        store.replace("state/hint", b"z")
    finally:
        os.umask(before)
    for path in (root / "d", root / "d" / "0f", root / "state"):
        assert stat.S_IMODE(path.stat().st_mode) == mode
    for path in (root / "d" / "0f" / "x", root / "state" / "hint"):
        assert stat.S_IMODE(path.stat().st_mode) == mode & 0o666


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs", "fuseblk", "9p"])
def test_shared_file_systems_are_for_reading(kind: str, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By their type, before anything is written."""
    assert folder(root).create("x", b"y")
    monkeypatch.setattr("artstore.locate.filesystem_type", lambda _: kind)
    store = folder(root)
    assert store.read("x") == b"y" and [info.name for info in store.list("")] == ["x"]
    for request in (lambda: store.create("z", b""), lambda: store.replace("x", b""), lambda: store.delete(["x"])):
        with pytest.raises(UnsupportedError, match=f"is on a {kind} file system"):
            request()
    assert files(root) == ["x"]


@pytest.mark.parametrize(
    ("number", "cls"),
    [
        (errno.ENOSPC, StoreFullError),
        (errno.EDQUOT, StoreFullError),
        (errno.EROFS, NoRightError),
        (errno.EACCES, NoRightError),
        (errno.EIO, ArtfsError),
        (errno.EMFILE, ArtfsError),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_a_disk_that_fails(
    kind: str, number: int, cls: type[ArtfsError], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One error that names the object; nothing of it is there, and nothing stays."""

    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", fail)
        store = folder(root, kind)
        for request in (store.create, store.replace):
            with pytest.raises(cls, match="d/1"):
                request("d/1", b"body")
    assert files(root) == []


def test_a_folder_that_cannot_be_synced(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name is there, but perhaps not on the disk: unknown, and the next call finds out."""
    store = folder(root)
    assert store.create("x", b"")
    real = os.fsync

    def fail(fd: int) -> None:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            raise OSError(errno.EIO, "Input/output error")
        real(fd)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(UnknownOutcomeError, match="is on the disk"):
            store.create("y", b"body")
    assert store.create("y", b"body") is True


def test_a_file_system_that_can_do_neither(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No unnamed files and no rename that replaces nothing: refused, never a name that is half written."""

    class Old:
        def renameat2(self, *_: object) -> int:
            return -1

    monkeypatch.setattr(folders, "_libc", Old())
    monkeypatch.setattr("ctypes.get_errno", lambda: errno.EINVAL)
    with pytest.raises(UnsupportedError, match="cannot make a file without replacing another"):
        folder(root, "named").create("x", b"y")
    assert files(root) == []


def test_without_proc_files_get_names(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unnamed file is linked through /proc, which a container may lack."""

    def missing(*_: object, **__: object) -> None:
        raise FileNotFoundError(errno.ENOENT, "No such file or directory")

    monkeypatch.setattr(os, "link", missing)
    store = folder(root)
    assert store.create("x", b"y") is True and store.create("x", b"z") is False
    assert files(root) == ["x"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_user_without_rights() -> None:
    """Told as such, with what the user may not do."""
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        assert folder(root).create("d/x", b"y")
        for path, mode in ((root / "d" / "x", 0), (root / "d", 0o500), (root, 0o755)):
            os.chown(path, 12345, 12345)
            path.chmod(mode)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                os.setresgid(12345, 12345, 12345)
                os.setresuid(12345, 12345, 12345)
                store = folder(root)
                requests = (lambda: store.read("d/x"), lambda: store.create("d/z", b""), lambda: store.delete(["d/x"]))
                for request in requests:
                    with pytest.raises(NoRightError, match="this user may not"):
                        request()
                code = 0
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_two_programs_race(root: Path) -> None:
    """Processes as threads: one wins each name."""
    children = []
    for racer in range(4):
        child = os.fork()
        if child == 0:
            store = folder(root, KINDS[racer % 2])
            won = sum(store.create(f"log/{n}", b"%d" % racer) for n in range(50))
            os._exit(won)
        children.append(child)
    assert sum(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children) == 50


def test_a_reader_sees_whole_objects(root: Path) -> None:
    """While a large one is replaced over and over, every read has one version of it."""
    store = folder(root)
    store.replace("state/hint", b"a" * 300_000)
    child = os.fork()
    if child == 0:
        for n in range(200):
            Folder(root).replace("state/hint", bytes([97 + n % 26]) * 300_000)
        os._exit(0)
    deadline = time.monotonic() + 30
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        assert len(set(store.read("state/hint"))) == 1 and time.monotonic() < deadline
    assert sys.getsizeof(store.read("state/hint")) > 300_000
