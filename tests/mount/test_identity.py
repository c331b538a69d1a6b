"""A path is its own file: programs that identify files by device and inode, or validate them by size and time, see the
right one, and copies with times and modes are those of the source."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import random
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from artfs.mount.handle import MountHandle
from artstore.workspace import Workspace
from mount.conftest import Mounts

NANO = 1_000_000_000


def run(*command: object) -> str:
    return subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True).stdout


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Return a folder with much equal content, and times and modes of every kind."""
    top = tmp_path / "source"
    for name in ("train", "train/deep", "test", "empty"):
        (top / name).mkdir(parents=True)
    numbers = random.Random(3)
    for position, folder in enumerate((top, top / "train", top / "train/deep", top / "test")):
        for number in range(20):
            (folder / f"f{number}").write_bytes(b"%d" % (number % 3) * 1000)
        (folder / "equal").write_bytes(b"equal")
        (folder / "nothing").touch()
        (folder / "link").symlink_to("equal")
        (folder / "f0").chmod(0o700 + position * 0o011)
        (folder / "f1").chmod(0o440)
    for number, path in enumerate(sorted(top.rglob("*"))):
        moment = numbers.randrange(-40 * 365 * 86400, 90 * 365 * 86400) * NANO + numbers.randrange(NANO)
        os.utime(path, ns=(0, moment + number), follow_symlinks=False)
    (top / "train/deep").chmod(0o750)
    (top / "test").chmod(0o700)
    top.chmod(0o775)
    os.utime(top, ns=(0, -NANO - 1))
    return top


def tree(folder: Path) -> dict[str, tuple[object, ...]]:
    """Return what a copy keeps of everything in a folder: kind and mode, size, time and content."""
    found: dict[str, tuple[object, ...]] = {}
    for path in [folder, *folder.rglob("*")]:
        status = path.lstat()
        is_directory = stat.S_ISDIR(status.st_mode)
        content = os.readlink(path) if path.is_symlink() else None if is_directory else path.read_bytes()
        size = None if is_directory else status.st_size
        found[str(path.relative_to(folder))] = status.st_mode, size, status.st_mtime_ns, content
    return found


def identities(folder: Path) -> list[tuple[int, int]]:
    return [(status.st_dev, status.st_ino) for path in [folder, *folder.rglob("*")] for status in [path.lstat()]]


# -- what identifies a file --------------------------------------------------------------------------------------------


def test_no_two_paths_are_one_file(workspace: Workspace, mounts: Mounts, source: Path) -> None:
    """Within a version, among versions, and for equal content; device and inode stay, however a mount is made."""
    workspace.put(source, "a")
    (source / "f0").write_text("changed")
    workspace.put(source, "a")
    workspace.put(source, "b")
    mount = mounts()
    shown = {path: path.lstat() for path in mount.directory.rglob("*")}
    assert len({status.st_ino for status in shown.values()}) == len(shown) > 270
    assert {status.st_nlink for status in shown.values()} == {1}
    assert run("find", mount.directory, "-samefile", mount.directory / "a/v0/equal").splitlines() == [
        str(mount.directory / "a/v0/equal")
    ]
    again = mounts(transport="pyfuse3" if mounts.transport == "direct" else "direct", workers=1)
    for path, status in shown.items():
        other = again.directory / path.relative_to(mount.directory)
        assert (other.lstat().st_ino, other.lstat().st_mtime_ns) == (status.st_ino, status.st_mtime_ns)


def test_sizes_are_summed_for_each_path(workspace: Workspace, mounts: Mounts, source: Path) -> None:
    folder = Path(mounts().path(workspace.put(source, "a"))).parent
    (source / "f0").write_bytes(b"9" * 1000)
    workspace.put(source, "a")
    sums = [int(line.split()[0]) for line in run("du", "-s", "-B1", folder / "v0", folder / "v1").splitlines()]
    assert sums[0] == sums[1] > 80 * 1000
    assert run("diff", "-rq", "--no-dereference", folder / "v0", folder / "v0") == ""


def test_locks_of_equal_files_are_apart(workspace: Workspace, mounts: Mounts, source: Path) -> None:
    folder = Path(mounts().path(workspace.put(source, "a")))
    with (folder / "nothing").open() as one, (folder / "train/nothing").open() as other:
        fcntl.flock(one, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_equal_libraries_are_loaded_apart(workspace: Workspace, mounts: Mounts, source: Path) -> None:
    """The dynamic linker takes two paths of one device and inode for one library, whose variables are then shared."""
    code = source / "counter.c"
    code.write_text("static int count; int next(void) { return ++count; }\n")
    run("cc", "-shared", "-fPIC", "-o", source / "one.so", code)
    run("cp", "-p", source / "one.so", source / "two.so")
    folder = Path(mounts().path(workspace.put(source, "a")))
    one, two = ctypes.CDLL(str(folder / "one.so")), ctypes.CDLL(str(folder / "two.so"))
    assert (one.next(), one.next(), two.next()) == (1, 2, 1)


def test_equal_headers_are_included_each(workspace: Workspace, mounts: Mounts, source: Path) -> None:
    """Compilers take files of equal size, time and content for one, so that the time has to be the source's."""
    for number, name in enumerate(("one", "two")):
        (source / name).mkdir()
        (source / name / "x.h").write_text('#pragma once\n#include "y.h"\n')
        os.utime(source / name / "x.h", (number, number))
        (source / name / "y.h").write_text(f"#define {name.upper()} 1\n")
    (source / "main.c").write_text(
        '#include "one/x.h"\n#include "two/x.h"\n#if ONE + TWO != 2\n#error a header is missing\n#endif\n'
    )
    run("cc", "-fsyntax-only", Path(mounts().path(workspace.put(source, "a"))) / "main.c")


# -- what copies keep --------------------------------------------------------------------------------------------------


def test_a_version_has_the_times_and_modes_of_its_source(workspace: Workspace, mounts: Mounts, source: Path) -> None:
    """Before 1970 and far ahead, to the nanosecond; its last change is the version's creation."""
    before = time.time_ns()
    version = workspace.put(source, "a")
    folder = Path(mounts().path(version))
    assert tree(folder) == tree(source)
    changes = {path.lstat().st_ctime_ns for path in [folder, *folder.rglob("*")]}
    assert len(changes) == 1 and before <= changes.pop() <= time.time_ns()


COPIERS = {
    "cp": 'cp -a "$0/." "$1"',
    "rsync": 'rsync -aX "$0/" "$1"',
    "tar": 'tar --xattrs -C "$0" -cf - . | tar --xattrs -C "$1" -xpf -',
}


@pytest.mark.parametrize("how", COPIERS)
def test_copies_are_the_source(workspace: Workspace, mounts: Mounts, source: Path, tmp_path: Path, how: str) -> None:
    folder = mounts().path(workspace.put(source, "a"))
    copy = tmp_path / "copy"
    copy.mkdir()
    run("sh", "-c", COPIERS[how], folder, copy)
    assert tree(copy) == tree(source)
    assert run("rsync", "-aci", "--delete", f"{folder}/", f"{source}/") == ""
    for path in copy.rglob("*"):
        assert os.listxattr(path, follow_symlinks=False) == []


def test_files_that_change_places_are_copied_again(
    workspace: Workspace, mounts: Mounts, source: Path, tmp_path: Path
) -> None:
    """rsync compares size and time in whole seconds: equal sizes and older times do not hide what has moved."""
    mount = mounts()
    first = mount.path(workspace.put(source, "a"))
    (source / "f0").rename(source / "held")
    (source / "f1").rename(source / "f0")
    (source / "held").rename(source / "f1")
    second = mount.path(workspace.put(source, "a"))
    for folder in (first, second, first):
        run("rsync", "-a", f"{folder}/", tmp_path / "work")
        assert run("diff", "-r", "--no-dereference", folder, tmp_path / "work") == ""


def test_an_ordinary_user_can_remove_a_copy(as_ordinary_user: Callable[..., Any], transport: str) -> None:
    found = as_ordinary_user(
        f"""
import subprocess
from artfs.mount.control import mount, unmount
from artstore.workspace import init_workspace
(folder / "source" / "inner").mkdir(parents=True)
(folder / "source" / "inner" / "x").write_text("x")
(folder / "m").mkdir()
workspace = init_workspace(folder / "ws")
handle = mount(workspace.path, folder / "m", transport={transport!r})
version = handle.path(workspace.put(folder / "source", "a"))
status = os.stat(version + "/inner/x")
result["owner"] = [status.st_uid, status.st_gid] == [os.getuid(), os.getgid()]
subprocess.run(["cp", "-r", version, folder / "copy"], check=True)
subprocess.run(["rm", "-rf", folder / "copy"], check=True)
result["left"] = (folder / "copy").exists()
unmount(folder / "m")
"""
    )
    assert found == {"owner": True, "left": False}


# -- who may read ------------------------------------------------------------------------------------------------------

STRANGER = 64322


@pytest.fixture
def secret(workspace: Workspace, tmp_path: Path) -> str:
    """Return the path below a mount of a file that only its owner may read, in a folder that is the owner's alone."""
    if os.getuid():
        pytest.skip("only root can act for other users")
    source = tmp_path / "secret"
    (source / "inner").mkdir(parents=True)
    (source / "inner" / "x").write_text("x")
    (source / "inner" / "x").chmod(0o600)
    (source / "inner").chmod(0o700)
    workspace.put(source, "a")
    for parent in tmp_path.parents:
        if parent.stat().st_uid == 0 and not parent.stat().st_mode & stat.S_IXOTH:
            parent.chmod(parent.stat().st_mode | stat.S_IXOTH)
    tmp_path.chmod(0o755)
    return "a/v0/inner/x"


def read_as(path: Path, uid: int) -> str:
    """Return what a user reads from a file, or the name of the error."""
    code = "import os, sys; os.setresgid(*[int(sys.argv[2])] * 3); os.setresuid(*[int(sys.argv[2])] * 3)\n"
    code += "try: print(open(sys.argv[1]).read())\nexcept OSError as error: print(error.errno)\n"
    return run("python3", "-c", code, path, uid).strip()


def test_modes_are_enforced(mounts: Mounts, secret: str) -> None:
    """Access by other users is decided by the mode and the owner that are shown."""
    denied = str(errno.EACCES)
    shown = mounts(allow_other=True).directory / secret
    assert (read_as(shown, 0), read_as(shown, STRANGER)) == ("x", denied)
    assert stat.S_IMODE(shown.stat().st_mode) == 0o600
    readable = mounts(allow_other=True, readable=True).directory / secret
    assert (read_as(readable, 0), read_as(readable, STRANGER)) == ("x", "x")
    assert stat.S_IMODE(readable.stat().st_mode) == 0o644
    assert stat.S_IMODE(readable.parent.stat().st_mode) == 0o755
    theirs = mounts(allow_other=True, uid=STRANGER, gid=7).directory / secret
    assert (read_as(theirs, STRANGER), read_as(theirs, STRANGER + 1)) == ("x", denied)
    assert (theirs.stat().st_uid, theirs.stat().st_gid) == (STRANGER, 7)
    assert (theirs.parents[3].stat().st_uid, theirs.parents[3].stat().st_gid) == (STRANGER, 7)
    closed = mounts(allow_other=True, umask=0o077, readable=True).directory / secret
    assert read_as(closed, STRANGER) == denied
    assert stat.S_IMODE(closed.stat().st_mode) == 0o600
    assert stat.S_IMODE(closed.parents[3].stat().st_mode) == 0o500


# -- purging -----------------------------------------------------------------------------------------------------------


class Watched:
    """Files of a version that stay open, by path, and the bytes that each has had."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self.content = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        self.open = {path: stack.enter_context(path.open("rb", buffering=0)) for path in self.content}
        self.seen = {path: path.stat() for path in self.content}

    def check(self) -> None:
        """Read every open file: its own bytes, or an error, cached or not."""
        for forget in (False, True):
            for path, file in self.open.items():
                if forget:
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                try:
                    found = os.pread(file.fileno(), 10_000, 0)
                except OSError as error:
                    assert error.errno in (errno.ESTALE, errno.EIO), path
                    continue
                assert found == self.content[path], path


@pytest.fixture
def labelled(tmp_path: Path) -> Iterator[Path]:
    """Return a folder whose files contain their own paths."""
    top = tmp_path / "labelled"
    for folder in ("a", "b/c", "d"):
        (top / folder).mkdir(parents=True)
        for number in range(30):
            (top / folder / f"{number:02}").write_text(f"{folder}/{number:02}\n" * 50)
    yield top


def purge_and_compare(workspace: Workspace, mount: MountHandle, labelled: Path, turn: int, stack: ExitStack) -> None:
    folder = mount.directory / "x" / "v0"
    watched = Watched(folder, stack)
    victims = random.Random(turn).sample(sorted(watched.content), 2)
    standing = os.open(victims[0].parent, os.O_RDONLY | os.O_DIRECTORY)
    stack.callback(os.close, standing)
    for victim in victims:
        workspace.purge(f"x:v0/{victim.relative_to(folder)}", reason="private")
    watched.check()
    for victim in victims:
        with pytest.raises(OSError):
            os.pread(watched.open[victim].fileno(), 100, 0)
        assert not victim.exists() and victim.name not in os.listdir(victim.parent)
    for name in (victims[0].name, "29"):
        with pytest.raises(OSError):
            os.stat(name, dir_fd=standing)
    for path, content in watched.content.items():
        if path not in victims:
            assert path.read_bytes() == content, path
            assert path.stat().st_ino != watched.seen[path].st_ino
            assert path.stat().st_mtime_ns == watched.seen[path].st_mtime_ns


def test_a_purge_beside_open_files_shows_no_other_files_bytes(
    workspace: Workspace, mounts: Mounts, labelled: Path
) -> None:
    """What is open has its own bytes or none, whatever is cached; paths lead to what they name, as new files."""
    workspace.put(labelled, "x")
    mount = mounts()
    for turn in range(3):
        with ExitStack() as stack:
            purge_and_compare(workspace, mount, labelled, turn, stack)
    assert mounts.status(mount).workers[0].errors == 0
    before = identities(mount.directory / "x" / "v0")
    workspace.delete("x:v0")
    workspace.undelete("x:v0")
    assert identities(mount.directory / "x" / "v0") == before
