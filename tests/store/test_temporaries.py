"""What artfs can leave in users' folders is known as its own: no put stores it, and the next call removes it."""

from __future__ import annotations

import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from artstore import temporaries
from artstore.drafting import reference_ops
from artstore.temporaries import MARKER, PREFIX, TemporaryFolder, is_temporary, remove_abandoned
from artstore.workspace import Workspace


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "folder"
    folder.mkdir()
    return folder


def _left(folder: Path) -> Path:
    """Leave a temporary folder with a file as a killed process does."""
    child = os.fork()
    if not child:
        fd = os.open(folder, os.O_RDONLY)
        temporary = TemporaryFolder(fd)
        os.close(os.open(b"half", os.O_WRONLY | os.O_CREAT, 0o600, dir_fd=temporary.fd))
        os.mkdir(b"below", dir_fd=temporary.fd)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    (left,) = folder.glob(f"{os.fsdecode(PREFIX)}*")
    return left


def _is_ours(path: Path) -> bool:
    fd = os.open(path.parent, os.O_RDONLY)
    try:
        return is_temporary(os.fsencode(path.name), fd)
    finally:
        os.close(fd)


def _clean(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    remove_abandoned(fd)
    os.close(fd)


def test_one_that_is_in_use_stays_and_goes_when_it_is_closed(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    with TemporaryFolder(fd) as temporary:
        path = folder / os.fsdecode(temporary.name)
        assert _is_ours(path)
        _clean(folder)
        assert path.is_dir()
    os.close(fd)
    assert not list(folder.iterdir())


def test_one_that_was_left_is_removed(folder: Path) -> None:
    left = _left(folder)
    assert _is_ours(left)
    _clean(folder)
    assert not list(folder.iterdir())


def _plain(path: Path) -> None:
    path.mkdir()
    (path / "mine").write_text("mine")


def _with_other_text(path: Path) -> None:
    _plain(path)
    (path / os.fsdecode(MARKER)).write_text("mine too")


def _with_an_empty_marker(path: Path) -> None:
    _plain(path)
    (path / os.fsdecode(MARKER)).touch()


def _with_a_linked_marker(path: Path) -> None:
    _plain(path)
    (path.parent / "text").write_bytes(temporaries._TEXT)
    (path / os.fsdecode(MARKER)).symlink_to("../text")


def _with_a_marker_of_two_names(path: Path) -> None:
    _plain(path)
    (path / "other").write_bytes(temporaries._TEXT)
    os.link(path / "other", path / os.fsdecode(MARKER))


def _empty(path: Path) -> None:
    path.mkdir()


def _a_file(path: Path) -> None:
    path.write_bytes(temporaries._TEXT)


def _a_link_to_one_that_was_left(path: Path) -> None:
    elsewhere = path.parent.parent / "elsewhere"
    elsewhere.mkdir()
    left = _left(elsewhere)
    path.symlink_to(left)


NOT_OURS = [
    *[_plain, _with_other_text, _with_an_empty_marker, _with_a_linked_marker, _with_a_marker_of_two_names],
    *[_empty, _a_file, _a_link_to_one_that_was_left],
]


@pytest.mark.parametrize("make", NOT_OURS)
def test_what_only_has_such_a_name_stays_and_is_stored(
    workspace: Workspace, folder: Path, make: Callable[[Path], None]
) -> None:
    """A user's own file, link or folder is neither removed nor left out."""
    path = folder / f"{os.fsdecode(PREFIX)}mine"
    make(path)
    (folder / "f").write_text("f")
    before = sorted(str(each) for each in folder.rglob("*"))
    version = workspace.put(folder, "x", links="keep")
    assert version.receipt is not None and version.receipt.temporary_folders == 0
    workspace.get("x:v0", folder, overwrite=True)
    assert sorted(str(each) for each in folder.rglob("*")) == before
    assert path.name in [info.name for info in version.listdir()]
    if path.is_symlink():
        assert list(path.iterdir()), "what a link leads to is not removed"


def test_one_of_another_user_stays(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = _left(folder)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    _clean(folder)
    assert left.is_dir()


def test_a_put_leaves_it_out_and_says_so(workspace: Workspace, folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "f").write_text("f")
    top, below = _left(folder), _left(folder / "sub")
    version = workspace.put(folder, "x")
    assert version.receipt is not None
    assert (version.receipt.temporary_folders, version.receipt.temporary_paths) == (2, (top.name, f"sub/{below.name}"))
    assert [info.name for info in version.listdir()] == ["f", "sub"] and version.listdir("sub") == []
    added = workspace.drafts.new("y", id="d").add(folder)
    assert (added.temporary_folders, added.files) == (2, 1)
    assert top.is_dir() and below.is_dir(), "a put changes nothing in the folder"


def _dying(workspace: Workspace, folder: Path, seconds: float, body: str) -> None:
    """Run a program with the workspace ``w`` and the folder ``d``; kill it so long after it has begun to write."""
    program = f"import artfs; w = artfs.open_workspace({str(workspace.path)!r}); d = {str(folder)!r}\n"
    with subprocess.Popen([sys.executable, "-c", program + body]) as process:
        while process.poll() is None and not list(folder.rglob(f"{os.fsdecode(PREFIX)}*")):
            time.sleep(0.001)
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        process.wait(60)


WRITERS = {
    "get": "w.get('big', d, overwrite=True)",
    "get a part": "w.get('big', d, prefix='sub', overwrite=True)",
    "init": "artfs.init_workspace(d + '/ws')",
    "init in place": "import os; os.mkdir(d + '/at'); artfs.init_workspace(d + '/at')",
}


@pytest.mark.parametrize("writer", WRITERS)
def test_what_a_killed_call_leaves_is_not_stored_and_goes_with_the_next(
    workspace: Workspace, tmp_path: Path, writer: str
) -> None:
    """Killed at random moments: then a put stores only whole files, and the next call leaves nothing of ours."""
    chance = random.Random(7)
    source = tmp_path / "source"
    (source / "sub").mkdir(parents=True)
    for number in range(6):
        (source / "sub" / str(number)).write_bytes(chance.randbytes(3_000_000))
    workspace.put(source, "big")
    whole = {path.relative_to(source): path.read_bytes() for path in source.rglob("*") if path.is_file()}
    left = 0
    for attempt in range(8):
        folder = tmp_path / f"folder-{attempt}"
        folder.mkdir()
        _dying(workspace, folder, chance.random() * 0.02, WRITERS[writer])
        ours = [path for path in folder.rglob(f"{os.fsdecode(PREFIX)}*") if _is_ours(path)]
        left += len(ours)
        if "init" not in writer:
            version = workspace.put(folder, f"again-{attempt}")
            assert version.receipt is not None and version.receipt.temporary_folders == len(ours)
            for path, data in whole.items():
                if (folder / path).exists():
                    assert (folder / path).read_bytes() == data
            assert version.file_count == sum((folder / path).exists() for path in whole)
            workspace.get("big", folder, overwrite=True)
        else:
            shutil.rmtree(folder / "ws", ignore_errors=True)
            for place in (folder, folder / "at"):
                if place.is_dir():
                    _clean(place)
        assert not list(folder.rglob(f"{os.fsdecode(PREFIX)}*"))
        shutil.rmtree(folder)
    assert left, "none was killed while it wrote"


def test_what_a_killed_fetch_of_references_leaves_goes_with_the_next(workspace: Workspace) -> None:
    child = os.fork()
    if not child:
        with reference_ops._copies(workspace.store) as folder:
            (folder / "0").write_bytes(b"half")
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    left = list((workspace.path / "cache").glob(f"{os.fsdecode(PREFIX)}*"))
    assert len(left) == 1 and (left[0] / "0").exists()
    with reference_ops._copies(workspace.store):
        assert not left[0].exists()
    assert not list((workspace.path / "cache").glob(f"{os.fsdecode(PREFIX)}*"))


@pytest.mark.parametrize("code", [errno.EXDEV, errno.EACCES])
def test_where_no_rename_leads_from_the_top_a_file_is_written_beside_its_place(
    workspace: Workspace, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """Another file system may be mounted in the destination, or its top may not be writable."""
    (folder / "sub").mkdir()
    (folder / "sub" / "f").write_bytes(b"f" * 100_000)
    (folder / "sub" / "link").symlink_to("f")
    workspace.put(folder, "x")
    real, refused = os.rename, []

    def rename(source: bytes, target: bytes, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        above = os.stat("..", dir_fd=src_dir_fd)
        if not os.path.samestat(above, os.fstat(dst_dir_fd)):
            refused.append(target)
            raise OSError(code, os.strerror(code))
        real(source, target, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

    monkeypatch.setattr(os, "rename", rename)
    workspace.get("x:v0", tmp_path / "copy")
    monkeypatch.undo()
    assert sorted(refused) == [b"f", b"link"]
    found = sorted(str(path.relative_to(tmp_path / "copy")) for path in (tmp_path / "copy").rglob("*"))
    assert found == ["sub", "sub/f", "sub/link"]
    assert (tmp_path / "copy" / "sub" / "f").read_bytes() == b"f" * 100_000


def test_a_folder_is_ours_at_every_moment_of_its_life(folder: Path) -> None:
    """Killed after each system call of making and removing it, it is known as ours, or gone."""
    steps = ("mkdir", "open", "write", "unlink", "rmdir")
    seen = set()
    for count in range(12):
        child = os.fork()
        if not child:
            left = count

            def dying(real: Callable[..., object]) -> Callable[..., object]:
                def call(*args: object, **options: object) -> object:
                    nonlocal left
                    result = real(*args, **options)
                    left -= 1
                    if left < 0:
                        os.kill(os.getpid(), signal.SIGKILL)
                    return result

                return call

            fd = os.open(folder, os.O_RDONLY)
            for name in steps:
                setattr(os, name, dying(getattr(os, name)))
            TemporaryFolder(fd).close()
            os._exit(0)
        os.waitpid(child, 0)
        for path in folder.iterdir():
            assert _is_ours(path), f"after {count + 1} calls"
            seen.add(tuple(sorted(os.listdir(path))))
        _clean(folder)
        assert not list(folder.iterdir()), f"after {count + 1} calls"
    assert seen == {(), (os.fsdecode(MARKER),)}
