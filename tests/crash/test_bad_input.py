"""Invalid input of any kind gives one clear sentence and the right exit code; no version is made, and nothing lost."""

from __future__ import annotations

import errno
import gc
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from artstore.errors import (
    InvalidInputError,
    InvalidNameError,
    NotFoundError,
    RefusedError,
    SourceChangedError,
    SourceError,
    SourceKindError,
)
from artstore.ingest import reading
from artstore.workspace import init_workspace
from corpora import folders
from corpora.folders import MIB, content_of
from crash.scenes import environment
from crash.sound import Sound, check_sentence
from crash.states import content_of_version, faults
from messages import missing, raises

NOBODY = 65534

T = TypeVar("T")


# -- missing paths and special files -------------------------------------------------------------------------------


def test_missing_path(sound: Sound, tmp_path: Path) -> None:
    sound.refuses(NotFoundError, tmp_path / "missing", names=["missing"], reason="no such source")
    sound.refuses(NotFoundError, tmp_path / "missing" / "below", names=["missing/below"], reason="no such source")
    sound.refuses(InvalidInputError, "", reason="empty path")


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        folder = os.open(path.parent, os.O_PATH)
        listener.bind(f"/proc/self/fd/{folder}/{path.name}")  # a socket's path holds only 107 bytes
        os.close(folder)


def make_device(path: Path) -> None:
    if os.geteuid():
        pytest.skip("making a device needs root")
    os.mknod(path, 0o666 | 0o020000, os.makedev(1, 3))


SPECIAL: dict[str, Callable[[Path], None]] = {
    "socket": make_socket,
    "named pipe": os.mkfifo,
    "device": make_device,
    "symlink loop": lambda path: path.symlink_to(path.name),
    "dangling link": lambda path: path.symlink_to("/nowhere/at/all"),
}


@pytest.mark.parametrize("kind", SPECIAL)
def test_special_files(sound: Sound, source: Path, kind: str) -> None:
    """Inside a folder they are refused by name; and nothing hangs on them."""
    SPECIAL[kind](source / "class-1" / "special")
    sound.refuses(SourceError, source, names=["class-1/special"], reason=kind)


@pytest.mark.parametrize("kind", ["socket", "named pipe", "device"])
def test_special_file_as_the_path(sound: Sound, tmp_path: Path, kind: str) -> None:
    SPECIAL[kind](tmp_path / "special")
    sound.refuses(SourceKindError, tmp_path / "special", names=["special"], reason=kind)


def test_symlink_loops(sound: Sound, source: Path) -> None:
    """A circle of links, a link to oneself as the path, and a link out that leads back in."""
    (source / "one").symlink_to("two")
    (source / "two").symlink_to("one")
    sound.refuses(SourceError, source, reason="symlink loop")
    (source.parent / "self").symlink_to("self")
    sound.refuses(SourceError, source.parent / "self", names=["self"])
    outside = source.parent / "outside"
    outside.mkdir()
    (outside / "back").symlink_to(source)
    (source / "one").unlink()
    (source / "two").unlink()
    (source / "out").symlink_to(outside)
    sound.refuses(SourceError, source, names=["out/back"], reason="symlink loop")


def test_all_bad_files_are_named(sound: Sound, source: Path) -> None:
    """All are named, not only the first: the user needs the whole list to fix them."""
    for number in range(7):
        os.mkfifo(source / f"pipe-{number}")
    with pytest.raises(SourceError) as caught:
        sound.workspace.put(source, "data")
    assert caught.value.paths == [b"pipe-%d" % number for number in range(7)]


# -- unreadable files ----------------------------------------------------------------------------------------------


@pytest.mark.skipif(os.geteuid() != 0, reason="dropping rights needs root")
def test_unreadable(source: Path, tmp_path: Path) -> None:
    """A file and a folder without permission are named; run as an unprivileged user."""
    (source / "class-1" / "secret").write_bytes(b"secret")
    (source / "class-1" / "secret").chmod(0o000)
    (source / "locked").mkdir()
    (source / "locked").chmod(0o000)

    def put_as_nobody() -> bool:
        workspace = init_workspace(Path(home) / "workspace")
        with pytest.raises(SourceError) as caught:
            workspace.put("source", "data")
        assert sorted(caught.value.paths) == [b"class-1/secret", b"locked"]
        assert not missing(str(caught.value), [os.strerror(errno.EACCES)])
        assert workspace.artifacts() == [] and faults(workspace.path, {}) == []
        with raises(SourceError, names=["secret", os.strerror(errno.EACCES)]):
            workspace.put("source/class-1/secret", "data")
        return True

    home = subprocess.run(["mktemp", "-d", "/tmp/artfs-test-XXXXXX"], capture_output=True, text=True).stdout.strip()
    try:
        shutil.copytree(source, f"{home}/source", symlinks=True)
        subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", home], check=True)
        os.chmod(home, 0o755)
        assert succeeds_as(NOBODY, home, put_as_nobody)
    finally:
        shutil.rmtree(home)


def succeeds_as(user: int, folder: str, action: Callable[[], bool]) -> bool:
    """Run an action in a forked child that has dropped root's rights."""
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setresgid(user, user, user)
            os.setresuid(user, user, user)
            os.chdir(folder)
            os._exit(0 if action() else 1)
        except BaseException as error:
            os.write(2, f"{type(error).__name__}: {error}\n".encode())
        finally:
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


# -- changes during the put ----------------------------------------------------------------------------------------


def meddled(monkeypatch: pytest.MonkeyPatch, name: bytes, action: Callable[[], None]) -> None:
    """Run an action each time before the file ``name`` is opened."""
    original = reading.FileEntry.open

    def opening(entry: reading.FileEntry) -> int:
        if entry.name == name:
            action()
        return original(entry)

    monkeypatch.setattr(reading.FileEntry, "open", opening)


@pytest.mark.parametrize("size", [100, 3 * MIB])
def test_file_that_vanishes(sound: Sound, source: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    victim = source / "victim"
    victim.write_bytes(folders.random_bytes(size, 3))
    meddled(monkeypatch, b"victim", lambda: victim.unlink(missing_ok=True))
    with raises(SourceChangedError, names=["victim"], reason="vanished") as caught:
        sound.workspace.put(source, "data")
    assert caught.value.paths == [b"victim"] and caught.value.exit_code == 1


@pytest.mark.parametrize("size", [100, 3 * MIB])
def test_file_that_becomes_something_else(
    sound: Sound, source: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """A put must not wait for a pipe that replaced a file."""
    victim = source / "victim"
    victim.write_bytes(bytes(size))

    def replace() -> None:
        victim.unlink(missing_ok=True)
        os.mkfifo(victim)

    meddled(monkeypatch, b"victim", replace)
    with raises(SourceChangedError, names=["victim"]):
        sound.workspace.put(source, "data")


@pytest.mark.parametrize("size", [100, 3 * MIB])
def test_file_that_keeps_changing(sound: Sound, source: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """A file that is written to during every read is retried several times, then named."""
    victim = source / "victim"
    victim.write_bytes(bytes(size))
    reads = []

    def changing(read: Callable[..., T]) -> Callable[..., T]:
        def reading_and_changing(fd: int, *arguments: object) -> T:
            data = read(fd, *arguments)
            if os.readlink(f"/proc/self/fd/{fd}") == os.fspath(victim):
                reads.append(fd)
                victim.write_bytes(os.urandom(size + len(reads)))
            return data

        return reading_and_changing

    monkeypatch.setattr(os, "read", changing(os.read))
    monkeypatch.setattr(os, "readv", changing(os.readv))
    with raises(SourceChangedError, names=["victim"], reason="kept changing") as caught:
        sound.workspace.put(source, "data")
    assert caught.value.paths == [b"victim"]
    assert len(reads) >= 3


@pytest.mark.parametrize(
    ("before", "after"), [(100, 5000), (100, 3 * MIB), (3 * MIB, 100), (3 * MIB, 0), (9 * MIB, 20 * MIB), (100, 0)]
)
def test_file_that_changes_once(
    sound: Sound, source: Path, monkeypatch: pytest.MonkeyPatch, before: int, after: int
) -> None:
    """A file whose size changed between the walk and the read is stored in its new state, or named."""
    victim = source / "victim"
    victim.write_bytes(folders.random_bytes(before, 1))
    meddled(monkeypatch, b"victim", lambda: victim.write_bytes(folders.random_bytes(after, 2)) and None)
    try:
        version = sound.workspace.put(source, "data")
    except SourceChangedError as error:
        assert error.paths == [b"victim"]
    else:
        sound.versions["data:v0"] = content_of(source)
        assert content_of_version(version) == content_of(source)


def test_folder_that_vanishes(sound: Sound, source: Path) -> None:
    """If files and folders are removed meanwhile, the put names one of them, or stores all that is left."""
    folders.crowd(source, 3000)
    for below in range(20):
        (source / f"class-{below}").mkdir(exist_ok=True)
        (source / f"class-{below}" / "file").write_bytes(b"x")
    done = threading.Event()

    def remove() -> None:
        for path in sorted(source.iterdir(), reverse=True):
            time.sleep(0.0005)
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        done.set()

    remover = threading.Thread(target=remove)
    remover.start()
    attempts = 0
    while not done.is_set():
        attempts += 1
        try:
            version = sound.workspace.put(source, "data")
        except SourceError as error:
            assert error.paths
        else:
            sound.versions[version.name] = content_of_version(version)
    remover.join()
    assert attempts


def test_failures_leave_no_descriptors(sound: Sound, source: Path) -> None:
    """A process that puts bad folders repeatedly keeps no descriptor open."""
    folders.crowd(source / "class-1", 500)
    os.mkfifo(source / "class-1" / "pipe")
    counts = []
    for _ in range(5):
        with pytest.raises(SourceError):
            sound.workspace.put(source, "data")
        gc.collect()
        counts.append(len(os.listdir("/proc/self/fd")))
    assert counts[-1] <= counts[0]


# -- names ---------------------------------------------------------------------------------------------------------

BAD_NAMES = (
    *(
        "",
        ".",
        "..",
        "../up",
        "a/..",
        "a//b",
        "/a",
        "a/",
        ".hidden",
        "-dash",
        "v3",
        "latest",
        "team/v3",
        "team/latest/x",
    ),
    *("x" * 129, "a:b", "a*", "a?", "a[b", "a]b", "a#b", "a%b", "a@b", "a\\b", " a", "a ", "a\nb", "a\x00b", "\udcff"),
)


@pytest.mark.parametrize("name", BAD_NAMES)
def test_bad_names(sound: Sound, source: Path, name: str) -> None:
    """Every name that the grammar excludes is refused as wrong usage, in the API and the command."""
    with pytest.raises(InvalidNameError):
        sound.workspace.put(source, name)
    if "\x00" not in name:
        words = [sys.executable, "-m", "artfs", "-w", sound.workspace.path, "put", "--", source, name]
        done = subprocess.run(words, env=environment(), capture_output=True, timeout=60)
        check_sentence(done, 2)


@pytest.mark.parametrize(
    "name", ["x" * 128, "a b", "\u65e5\u672c", "a-b_c.d", "v", "v3a", "va3", "V3", "latest2", "a/b/c/d/e"]
)
def test_good_names(quick_dir: Path, source: Path, name: str) -> None:
    workspace = init_workspace(quick_dir / "workspace")
    assert workspace.put(source, name).name == f"{name}:v0"
    assert [item.name for item in workspace.artifacts()] == [name]


@pytest.mark.parametrize("alias", ["v3", "latest", "a/b", "", ".x", "-x", "..", "a:b", "x" * 129])
def test_bad_aliases(sound: Sound, source: Path, alias: str) -> None:
    """An alias that looks like a version is refused before any file is read."""
    with pytest.raises(InvalidNameError):
        sound.workspace.put(source, "data", aliases=["good", alias])
    with pytest.raises(InvalidNameError):
        sound.workspace.aliases.set("sound:v0", alias)
    words = [sys.executable, "-m", "artfs", "-w", sound.workspace.path, "put", source, "data", f"--alias={alias}"]
    check_sentence(subprocess.run(words, env=environment(), capture_output=True, timeout=60), 2)


def test_other_bad_arguments(sound: Sound, source: Path) -> None:
    """Types that differ, projects as artifacts, missing bases, metadata that is not JSON."""
    sound.workspace.set_type("sound", "dataset")
    sound.refuses(InvalidInputError, source, "sound/below", names=["'sound'", "'sound/below'"])
    for kind, options in (
        (RefusedError, {"type": "model"}),
        (NotFoundError, {"base": "v7"}),
        (NotFoundError, {"base": "other:v0"}),
        (InvalidInputError, {"remove": ["*"]}),
        (InvalidInputError, {"metadata": {"x": float("nan")}}),
        (InvalidInputError, {"metadata": {"x": object()}}),
        (InvalidInputError, {"type": ""}),
        (InvalidInputError, {"exclude": ["!"]}),
    ):
        with pytest.raises(kind):
            sound.workspace.put(source, "sound", **options)  # type: ignore[arg-type]
