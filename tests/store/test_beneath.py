"""Paths in a workspace's folder lead to its own files, or are refused with one sentence."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from artstore import beneath
from artstore.errors import BusyError, RefusedError
from messages import raises


@pytest.fixture(params=["openat2", "each"])
def root(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one file and one folder, tried with and without the kernel's openat2."""
    monkeypatch.setattr(beneath, "_has_openat2", request.param == "openat2")
    folder = tmp_path / "root"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "file").write_bytes(b"content")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "canary").write_bytes(b"canary")
    return folder


@pytest.fixture
def canary(root: Path) -> Iterator[Path]:
    path = root.parent / "outside" / "canary"
    before = path.stat()
    yield path
    after = path.stat()
    assert path.read_bytes() == b"canary"
    assert (before.st_mode, before.st_uid, before.st_gid) == (after.st_mode, after.st_uid, after.st_gid)
    assert os.listdir(path.parent) == ["canary"]


def test_own_files_are_reached(root: Path) -> None:
    for path in ("sub/file", root / "sub" / "file"):
        assert beneath.read_bytes(root, path) == b"content"
        assert beneath.exists(root, path)
        assert beneath.status(root, path).st_size == 7
    assert beneath.names(root) == ["sub"]
    assert beneath.names(root, "sub") == ["file"]
    assert beneath.is_folder(root, "sub")
    assert not beneath.is_folder(root, "sub/file")
    assert not beneath.exists(root, "sub/file/none")
    assert not beneath.exists(root, "none/none")
    with pytest.raises(FileNotFoundError) as caught:
        beneath.open_file(root, "sub/none")
    assert caught.value.filename == str(root / "sub" / "none")


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: os.symlink("sub", path), lambda path: path.touch()])
def test_what_is_not_a_folder_is_refused_where_one_is_needed(root: Path, make: Callable[[Path], object]) -> None:
    make(root / "odd")
    for path in ("odd", "odd/more"):
        with raises(RefusedError, names=[str(root / "odd")]):
            beneath.make_folders(root, path)
    with raises(RefusedError, names=[str(root / "odd" / "file")]):
        beneath.open_file(root, "odd/file", os.O_WRONLY | os.O_CREAT)


def test_files_are_made_renamed_and_removed(root: Path) -> None:
    beneath.make_folders(root, "a/b/c")
    beneath.make_folders(root, root / "a/b/c")
    with beneath.closing(beneath.open_file(root, "a/b/c/new", os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o640)) as fd:
        os.write(fd, b"12345")
        assert not os.get_inheritable(fd)
    beneath.rename(root, "a/b/c/new", root / "sub" / "file")
    os.close(beneath.open_file(root, "sub/file", os.O_RDWR | os.O_TRUNC))
    assert beneath.read_bytes(root, "sub/file") == b""
    assert [path for path, _ in beneath.walk(root)][-1:] != ["sub/file"]
    assert {path for path, _ in beneath.walk(root)} == {"sub/file", "sub", "a/b/c", "a/b", "a"}
    beneath.remove_folder(root, "a/b/c")
    beneath.remove_tree(root, "a")
    beneath.remove_tree(root, "a")
    beneath.remove(root, "sub/file")
    beneath.remove(root, "sub/file", missing_ok=True)
    with pytest.raises(FileNotFoundError):
        beneath.remove(root, "sub/file")
    assert os.listdir(root) == ["sub"]


OPENINGS: list[Callable[[Path, str], object]] = [
    lambda root, path: beneath.open_file(root, path),
    lambda root, path: beneath.open_file(root, path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600),
    lambda root, path: beneath.open_file(root, path, os.O_WRONLY | os.O_APPEND),
    lambda root, path: beneath.open_path(root, path),
    lambda root, path: beneath.read_bytes(root, path),
]


@pytest.mark.parametrize("opening", OPENINGS)
def test_what_is_not_an_own_file_is_refused(root: Path, canary: Path, opening: Callable[[Path, str], object]) -> None:
    (root / "absolute").symlink_to(canary)
    (root / "relative").symlink_to("../outside/canary")
    (root / "dangling").symlink_to(canary.parent / "made")
    (root / "inside").symlink_to("sub/file")
    (root / "folder").symlink_to(canary.parent)
    os.link(canary, root / "hard")
    os.mkfifo(root / "fifo")
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(str(root / "socket"))
    names = [
        "absolute",
        "relative",
        "dangling",
        "inside",
        "folder/canary",
        "folder/made",
        "hard",
        "fifo",
        "socket",
        "sub",
    ]
    if os.geteuid() == 0:
        (root / "other").write_bytes(b"another user's")
        os.chown(root / "other", 12345, -1)
        names.append("other")
    for name in names:
        with pytest.raises(RefusedError) as caught:
            opening(root, name)
        assert str(root / name) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_changes_do_not_pass_links(root: Path, canary: Path) -> None:
    (root / "link").symlink_to(canary)
    (root / "folder").symlink_to(canary.parent)
    for change in (
        lambda: beneath.names(root, "folder"),
        lambda: beneath.open_folder(root, "folder"),
        lambda: beneath.status(root, "folder/canary"),
        lambda: beneath.status(root, "link"),
        lambda: beneath.exists(root, "link"),
        lambda: beneath.remove(root, "folder/canary"),
        lambda: beneath.rename(root, "folder/canary", "stolen"),
        lambda: beneath.rename(root, "sub/file", "folder/canary"),
        lambda: beneath.make_folder(root, "folder/made"),
        lambda: beneath.make_folders(root, "folder/made/more"),
    ):
        with raises(RefusedError, names=["link"]):
            change()
    assert list(beneath.walk(root, "folder")) == []
    assert "folder/canary" not in {path for path, _ in beneath.walk(root)}
    os.mkfifo(root / "sub" / "fifo")
    (root / "sub" / "link").symlink_to(canary.parent)
    for path in ("folder", "folder/canary", "sub/fifo", "sub"):
        beneath.remove_tree(root, path)
    assert not (root / "sub").exists()
    beneath.remove(root, "link")
    assert (root / "folder").is_symlink()
    assert not (root / "link").is_symlink()


def test_paths_outside_are_errors_of_the_caller(root: Path) -> None:
    for path in ("../outside/canary", root.parent / "outside" / "canary", "sub/../../outside/canary"):
        with pytest.raises(ValueError):
            beneath.open_file(root, path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_in_a_shared_folder_the_group_counts(root: Path) -> None:
    os.chown(root, 12345, 4321)
    root.chmod(0o2770)
    with raises(RefusedError, reason="other group"):
        beneath.open_file(root, "sub/file")
    os.chown(root / "sub" / "file", 12346, 4321)
    os.close(beneath.open_file(root, "sub/file"))


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.EPERM])
def test_a_kernel_or_filter_without_openat2(root: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    monkeypatch.setattr(beneath, "_has_openat2", True)
    monkeypatch.setattr(beneath, "_openat2", lambda *_: (-1, code))
    assert beneath.read_bytes(root, "sub/file") == b"content"
    assert not beneath._has_openat2


def test_the_kernel_may_ask_for_another_try(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beneath, "_has_openat2", True)
    real, calls = beneath._syscall, []

    def busy(*arguments: object) -> int:
        calls.append(arguments)
        return -1 if len(calls) < limit else real(*arguments)

    monkeypatch.setattr(beneath, "_syscall", busy)
    monkeypatch.setattr(beneath.ctypes, "get_errno", lambda: errno.EAGAIN)
    limit = 5
    assert beneath.read_bytes(root, "sub/file") == b"content"
    limit = 1 << 30
    with raises(BusyError, reason="lease"):
        beneath.read_bytes(root, "sub/file")


def test_no_descriptor_is_left(root: Path) -> None:
    os.mkfifo(root / "fifo")
    (root / "link").symlink_to("sub")
    before = os.listdir("/proc/self/fd")
    for path in ("sub/file/none", "none", "none/none", "fifo", "link", "link/file"):
        for opening in (*OPENINGS, beneath.open_folder, beneath.status, beneath.remove_folder):
            with suppress(OSError):
                opened = opening(root, path)  # type: ignore[operator]
                if isinstance(opened, int):
                    os.close(opened)
    assert os.listdir("/proc/self/fd") == before
