"""Which requests reach a daemon, and what those who wait for one may do meanwhile."""

from __future__ import annotations

import errno
import mmap
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from artfs.mount.control import unmount
from artfs.mount.handle import MountHandle
from artfs.mount.table import at
from artstore.errors import BusyError
from artstore.workspace import Workspace
from mount.conftest import undisturbed

BIG = 2_000_000
DATA = bytes(range(256)) * (BIG // 256)

Children = Callable[[int], list[int]]
Eventually = Callable[..., None]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    (folder / "sub").mkdir(parents=True)
    (folder / "big").write_bytes(DATA)
    (folder / "x").write_text("content")
    (folder / "link").symlink_to("sub")
    for number in range(200):
        (folder / "sub" / str(number)).write_text(str(number))
    return folder


class Suspended:
    """Stop all processes of a daemon for the block: a caller that needs one of them waits."""

    def __init__(self, mount: MountHandle, children: Children) -> None:
        self._processes = [mount.pid, *children(mount.pid)]

    def __enter__(self) -> None:
        for pid in self._processes:
            os.kill(pid, signal.SIGSTOP)

    def __exit__(self, *_: object) -> None:
        for pid in self._processes:
            os.kill(pid, signal.SIGCONT)


def content(path: Path) -> tuple[int, bytes]:
    """Return size and bytes of a file; without Python's own buffering, which asks each file whether it is a terminal.

    That is an ioctl, which the kernel passes on each time.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        size = os.fstat(descriptor).st_size
        data = b"".join(iter(lambda: os.read(descriptor, 1 << 20), b""))
        assert os.lseek(descriptor, -1, os.SEEK_END) == size - 1
    finally:
        os.close(descriptor)
    return size, data


def using(folder: Path) -> dict[str, object]:
    """Do what a training run does with a folder: list, look, open, read, seek, map, close."""
    found: dict[str, object] = {name: content(folder / "sub" / name) for name in sorted(os.listdir(folder / "sub"))}
    found["link"] = os.readlink(folder / "link"), sorted(os.listdir(folder / "link"))
    found["big"] = content(folder / "big") == (BIG // 256 * 256, DATA)
    found["absent"] = (folder / "absent").exists()
    descriptor = os.open(folder / "big", os.O_RDONLY)
    with mmap.mmap(descriptor, 0, prot=mmap.PROT_READ) as mapped:
        found["mapped"] = mapped[1000:2000]
    os.close(descriptor)
    return found


@undisturbed
def test_using_a_folder_again_needs_no_daemon(
    workspace: Workspace, mounts: Any, source: Path, children: Children, transport: str
) -> None:
    """With the direct transport not even opening and closing do: it all goes on while every process stands still.

    pyfuse3 is asked for each open, so that only names and bytes come from the kernel.
    """
    mount = mounts()
    folder = Path(mount.path(workspace.put(source, "a")))
    inside = os.open(folder, os.O_RDONLY)  # names above versions are asked for again after a second
    below = Path(f"/proc/self/fd/{inside}")
    first = using(below)
    assert using(below) == first and first["big"] is True
    got: list[dict[str, object]] = []
    user = threading.Thread(target=lambda: got.append(using(below)), daemon=True)
    with Suspended(mount, children):
        user.start()
        user.join(20 if transport == "direct" else 1)
        assert bool(got) == (transport == "direct")
    user.join(20)
    os.close(inside)
    assert got == [first]


@undisturbed
def test_opening_is_not_asked_for(workspace: Workspace, mounts: Any, source: Path, transport: str) -> None:
    """Requests are counted in the status: none for opens of what is known, except where the library wants them."""
    mount = mounts()
    folder = Path(mount.path(workspace.put(source, "a")))
    inside = os.open(folder, os.O_RDONLY)
    below = Path(f"/proc/self/fd/{inside}")
    using(below)
    using(below)
    before = mounts.status(mount).requests
    for _ in range(3):
        using(below)
    served = mounts.status(mount).requests - before
    os.close(inside)
    assert served == 0 if transport == "direct" else served >= 3 * 200


READER = """
import os, signal, sys
signal.signal(signal.SIGUSR1, lambda *_: os.write(1, b"heard "))
file = os.open(sys.argv[1], os.O_RDONLY)
os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
os.write(1, b"opened ")
os.read(0, 1)
os.write(1, b"begins ")
data = b""
while len(data) < os.fstat(file).st_size:
    data += os.read(file, 1 << 20)
os.write(1, b"%d" % (data == bytes(range(256)) * (len(data) // 256)))
"""


def reader(file: Path, worker: int) -> subprocess.Popen[bytes]:
    """Return a process that reads a file past the cache, and waits for the worker, which is stopped."""
    process = subprocess.Popen(
        [sys.executable, "-c", READER, file], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    )
    assert process.stdin is not None and process.stdout is not None
    assert process.stdout.read(7) == b"opened "
    os.kill(worker, signal.SIGSTOP)
    process.stdin.write(b"1")
    assert process.stdout.read(7) == b"begins "
    return process


def worker_of(mount: MountHandle, children: Children) -> int:
    (worker,) = children(mount.pid)[1:]
    return worker


@pytest.fixture
def one_worker(workspace: Workspace, mounts: Any, source: Path, children: Children) -> tuple[MountHandle, Path, int]:
    """Return (mount, large file in it, its only worker).

    One file has been closed: the kernel asks about the first (FLUSH), and who is killed waits for that answer.
    """
    mount = mounts(workers=1)
    folder = Path(mount.path(workspace.put(source, "a")))
    (folder / "x").read_bytes()
    return mount, folder / "big", worker_of(mount, children)


@pytest.mark.no_lane
def test_who_waits_for_a_read_can_be_killed(one_worker: tuple[MountHandle, Path, int], children: Children) -> None:
    """The later answer has no receiver; the worker continues."""
    mount, file, worker = one_worker
    process = reader(file, worker)
    try:
        time.sleep(0.1)  # until it waits
        process.kill()
        assert process.wait(10) == -signal.SIGKILL
        process.communicate()
    finally:
        os.kill(worker, signal.SIGCONT)
    assert file.read_bytes() == DATA
    assert worker_of(mount, children) == worker


@pytest.mark.no_lane
def test_a_signal_does_not_spoil_a_read(one_worker: tuple[MountHandle, Path, int]) -> None:
    """A handler runs when the read is done or begins again, and the bytes are right: none twice, none left out."""
    _, file, worker = one_worker
    process = reader(file, worker)
    try:
        for _ in range(5):
            time.sleep(0.02)
            process.send_signal(signal.SIGUSR1)
    finally:
        os.kill(worker, signal.SIGCONT)
    out, _ = process.communicate(timeout=20)
    assert out.split()[-1] == b"1" and b"heard" in out


@pytest.mark.no_lane
def test_interrupted_look_ups_and_listings(one_worker: tuple[MountHandle, Path, int], children: Children) -> None:
    """Callers are killed one by one while they wait; then other processes find everything."""
    mount, file, worker = one_worker
    top = file.parents[2]
    calls = ["os.stat(sys.argv[1] + '/a/v0/x')", "os.listdir(sys.argv[1] + '/a/v0/sub')", "os.statvfs(sys.argv[1])"]
    time.sleep(1.1)  # names above versions are not kept longer
    for call in [*calls, "os.getxattr(sys.argv[1] + '/a/v0', 'user.artfs.digest')"]:
        os.kill(worker, signal.SIGSTOP)
        try:
            process = subprocess.Popen([sys.executable, "-c", f"import os, sys; {call}", top])
            time.sleep(0.2)
            process.terminate()
            process.kill()
            assert process.wait(10) < 0
        finally:
            os.kill(worker, signal.SIGCONT)
    assert sorted(os.listdir(file.parent)) == ["big", "link", "sub", "x"]
    assert worker_of(mount, children) == worker


@pytest.mark.no_lane
def test_a_mount_is_not_ended_under_a_read(one_worker: tuple[MountHandle, Path, int]) -> None:
    """Busy while a read waits; taken out of sight, the read still ends with its bytes, and then the daemon ends."""
    mount, file, worker = one_worker
    process = reader(file, worker)
    try:
        with pytest.raises(BusyError):
            unmount(mount.directory)
        unmount(mount.directory, lazy=True)
        assert at(mount.directory) is None
    finally:
        os.kill(worker, signal.SIGCONT)
    out, _ = process.communicate(timeout=20)
    assert out == b"1"
    assert mount._daemon.wait(10) == 0


def test_links_after_aliases_have_moved(workspace: Workspace, mounts: Any, source: Path) -> None:
    """The kernel keeps the texts of links: an alias that moves is another link at once, those in versions stay."""
    mount = mounts()
    folder = mount.directory / "a"
    workspace.put(source, "a", aliases=["good"])
    texts = ["sub"]
    for number in range(1, 6):
        for _ in range(2):
            assert os.readlink(folder / "good") == os.readlink(folder / "latest") == f"v{number - 1}"
            assert [os.readlink(folder / f"v{old}" / "link") for old in range(number)] == texts
            assert os.readlink(folder / "good" / "link") == texts[-1]
        texts.append(f"sub/{number}")
        (source / "link").unlink()
        (source / "link").symlink_to(texts[-1])
        workspace.put(source, "a")
        held = os.open(folder / "good", os.O_PATH | os.O_NOFOLLOW)
        workspace.aliases.set(f"a:v{number}", "good")
        assert os.readlink(folder / "good") == f"v{number}"
        assert (folder / "good" / "link").read_text() == str(number)
        assert text_or_error(held) in (f"v{number - 1}", errno.ESTALE), "what was opened is never the new link"
        os.close(held)


def text_or_error(link: int) -> str | int | None:
    """Return the text of an open link, or the number of the error."""
    try:
        return os.fsdecode(os.readlink(b"", dir_fd=link))
    except OSError as error:
        return error.errno


def test_what_is_gone_is_gone_for_who_stands_in_it(workspace: Workspace, mounts: Any, source: Path) -> None:
    """ESTALE or ENOENT from a folder of a deleted version that was opened before, listed before or not."""
    mount = mounts()
    folder = Path(mount.path(workspace.put(source, "a")))
    folders = [os.open(folder, os.O_RDONLY), os.open(folder / "sub", os.O_RDONLY)]
    os.listdir(folders[0])
    workspace.delete("a:v0")
    for held in folders:
        for call in (lambda held=held: os.listdir(held), lambda held=held: os.stat("x", dir_fd=held)):
            with pytest.raises(OSError) as caught:
                call()
            assert caught.value.errno in (errno.ESTALE, errno.ENOENT)
        os.close(held)
