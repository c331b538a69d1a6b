"""Whatever dies or hangs: readers get their bytes or an error at once, and no other reader waits long."""

from __future__ import annotations

import contextlib
import errno
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

from artfs.mount.control import mount as make_mount
from artfs.mount.control import mount_for, status, unmount
from artfs.mount.table import at
from artfs.mount.wakefulness import LATENCY_DEVICE
from artstore import daemon_requests
from artstore.daemons import live_daemons
from artstore.errors import BusyError, MountError, NotFoundError
from artstore.workspace import Workspace
from messages import raises
from open_files import open_files

BIG = 40_000_000

Children = Callable[[int], list[int]]
Eventually = Callable[..., None]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "big").write_bytes(os.urandom(1_000_000) * (BIG // 1_000_000))
    (folder / "x").write_text("0")
    return folder


def forget(path: Path) -> None:
    """Drop what the kernel has cached of a file, so that reading it asks the daemon."""
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


@pytest.mark.no_lane
def test_readers_survive_workers(
    workspace: Workspace, mounts: Any, source: Path, children: Children, eventually: Eventually
) -> None:
    """While workers are killed, one after the other, a reader gets every byte, and they are replaced."""
    mount = mounts()
    file = Path(mount.path(workspace.put(source, "a")), "big")
    expected = (source / "big").read_bytes()
    outcomes: list[bool] = []

    def read() -> None:
        for _ in range(4):
            with file.open("rb") as opened:
                os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                outcomes.append(opened.read() == expected)

    reader = threading.Thread(target=read)
    reader.start()
    killed = 0
    while reader.is_alive() and killed < 6:
        worker = children(mount.pid)[1:]
        if worker:
            pid = worker[killed % len(worker)]
            os.kill(pid, signal.SIGKILL)
            killed += 1
            eventually(lambda pid=pid: pid not in children(mount.pid))  # type: ignore[misc]  # else it is killed twice
        time.sleep(0.05)
    reader.join(timeout=30)
    assert not reader.is_alive()
    assert outcomes == [True] * 4
    assert killed >= 2
    eventually(lambda: len(children(mount.pid)) == 3)
    workers = mounts.status(mount).workers
    assert sum(worker.restarts for worker in workers) == killed
    assert sorted(worker.pid for worker in workers) == sorted(children(mount.pid)[1:])


@pytest.mark.no_lane
def test_a_read_in_the_hands_of_a_killed_worker_is_served(
    workspace: Workspace, mounts: Any, source: Path, children: Children, eventually: Eventually
) -> None:
    """A worker that is stopped while it holds a request, and then killed, leaves its reader with the right bytes."""
    mount = mounts(workers=1)
    file = Path(mount.path(workspace.put(source, "a")), "big")
    expected = (source / "big").read_bytes()
    with file.open("rb") as opened:
        (worker,) = children(mount.pid)[1:]
        os.kill(worker, signal.SIGSTOP)
        got: list[bytes] = []
        reader = threading.Thread(target=lambda: got.append(opened.read()))
        reader.start()
        time.sleep(0.2)
        os.kill(worker, signal.SIGKILL)
        reader.join(timeout=20)
    assert got == [expected]


def resending() -> bool:
    """Return whether the kernel can send requests again: since 6.9."""
    major, minor = os.uname().release.split(".")[:2]
    return (int(major), int(minor.split("-")[0])) >= (6, 9)


@pytest.mark.skipif(not resending(), reason="this kernel fails them with ECONNABORTED")
@pytest.mark.no_lane
def test_any_call_in_the_hands_of_a_killed_worker_is_served(
    workspace: Workspace, mounts: Any, source: Path, children: Children
) -> None:
    """Look-ups, listings and opening too are answered by the worker's replacement."""
    mount = mounts(workers=1)
    version = Path(mount.path(workspace.put(source, "a")))
    calls: list[Callable[[], object]] = [
        lambda: os.stat(version),
        lambda: sorted(os.listdir(version)),
        lambda: (version / "x").read_text(),
        lambda: os.getxattr(version, "user.artfs.digest"),
    ]
    for call in calls:
        (worker,) = children(mount.pid)[1:]
        os.kill(worker, signal.SIGSTOP)
        got: list[object] = []
        caller = threading.Thread(target=lambda call=call, got=got: got.append(call()))  # type: ignore[misc]
        caller.start()
        time.sleep(0.1)
        os.kill(worker, signal.SIGKILL)
        caller.join(timeout=10)
        assert len(got) == 1


@pytest.mark.one_transport
def test_a_mount_point_that_moves_is_still_unmounted(
    workspace: Workspace, mounts: Any, tmp_path: Path, eventually: Eventually
) -> None:
    """Renaming a folder above the mount point moves the mount; a signal ends it where it is then."""
    (tmp_path / "before" / "m").mkdir(parents=True)
    mount = mounts(tmp_path / "before" / "m")
    (tmp_path / "before").rename(tmp_path / "after")
    assert at(tmp_path / "after" / "m") is not None
    os.kill(mount.pid, signal.SIGTERM)
    assert mount._daemon.wait(30) == 0
    assert at(tmp_path / "after" / "m") is None


@pytest.mark.parametrize("victim", ["zygote", "supervisor"])
def test_without_zygote_or_supervisor_reading_fails_at_once(
    workspace: Workspace,
    mounts: Any,
    source: Path,
    children: Children,
    eventually: Eventually,
    victim: str,
) -> None:
    """ENOTCONN and no hang, all processes gone, the mount point not an empty folder; a new mount takes its place."""
    mount = mounts()
    version = workspace.put(source, "a")
    file = Path(mount.path(version), "big")
    everybody = [mount.pid, *children(mount.pid)]
    os.stat(file)
    os.kill(everybody[0 if victim == "zygote" else 1], signal.SIGKILL)
    eventually(lambda: fails_with(errno.ENOTCONN, mount.directory / "other"), seconds=3)
    assert mount._daemon.wait(30) is not None
    eventually(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in everybody[1:]))
    with pytest.raises(OSError) as caught:
        os.listdir(mount.directory)
    assert caught.value.errno == errno.ENOTCONN
    assert [one.state for one in status(workspace.path)] == ["dead"]
    assert live_daemons(workspace.path / "run") == []
    started = time.monotonic()
    (source / "x").write_text("1")
    workspace.put(source, "a")
    assert time.monotonic() - started < 1.0, "a dead daemon is not waited for"
    again = mounts(mount.directory)
    assert (again.directory / "a" / "latest" / "x").read_text() == "1"
    assert [one.state for one in status(workspace.path)] == ["live"]


def fails_with(number: int, path: Path) -> bool:
    try:
        os.stat(path)
    except OSError as error:
        return error.errno == number
    return False


@pytest.mark.one_transport
def test_a_killed_daemon_can_be_unmounted(workspace: Workspace, mounts: Any, source: Path) -> None:
    mount = mounts()
    workspace.put(source, "a")
    os.kill(mount.pid, signal.SIGKILL)
    assert mount._daemon.wait(30) is not None
    unmount(mount.directory)
    assert os.listdir(mount.directory) == []
    assert list((workspace.path / "run" / "daemons").iterdir()) == []


def test_a_suspended_daemon_delays_a_change_by_two_seconds_at_most(
    workspace: Workspace, mounts: Any, source: Path, children: Children, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The put returns, names the silent mount, and nothing stale is seen once the daemon runs again."""
    patience: list[float] = []
    converse = daemon_requests._converse

    def noted(calls: Any, selector: Any, deadline: float) -> None:
        patience.append(deadline - time.monotonic())
        converse(calls, selector, deadline)

    monkeypatch.setattr(daemon_requests, "_converse", noted)
    workspace.put(source, "a")
    stopped, other = mounts(), mounts()
    os.listdir(stopped.directory / "a")
    assert os.readlink(stopped.directory / "a" / "latest") == "v0"
    everybody = [stopped.pid, *children(stopped.pid)]
    for pid in everybody:
        os.kill(pid, signal.SIGSTOP)
    (source / "x").write_text("1")
    started = time.monotonic()
    version = workspace.put(source, "a")
    # How long the rest of a put takes depends on the machine: what it waits for the daemon does not.
    assert time.monotonic() - started > 1.0
    assert patience and max(patience) < 2.0
    assert version.receipt is not None
    assert [str(one) for one in version.receipt.silent_daemons] == [str(stopped.directory)]
    assert os.readlink(other.directory / "a" / "latest") == "v1"
    states = {one.directory: one.state for one in status(workspace.path)}
    assert states == {str(stopped.directory): "silent", str(other.directory): "live"}
    for pid in everybody:
        os.kill(pid, signal.SIGCONT)
    assert os.readlink(stopped.directory / "a" / "latest") == "v1"


def test_unmounting_leaves_nothing(workspace: Workspace, mounts: Any, source: Path, children: Children) -> None:
    mount = mounts()
    workspace.put(source, "a")
    os.listdir(mount.directory / "a")
    everybody = [mount.pid, *children(mount.pid)]
    (daemon,) = live_daemons(workspace.path / "run")
    unmount(mount.directory)
    assert mount._daemon.wait(30) == 0
    assert not any(os.path.exists(f"/proc/{pid}") for pid in everybody)
    left = {file.name: file.read_text() for file in (workspace.path / "run" / "daemons").iterdir()}
    assert left == {}, "a log that stays says what went wrong"
    assert not os.path.exists(daemon.socket)
    assert at(mount.directory) is None
    with raises(NotFoundError, names=[str(mount.directory)], reason="nothing mounted"):
        unmount(mount.directory)


def test_a_mount_in_use_is_not_unmounted(workspace: Workspace, mounts: Any, source: Path) -> None:
    """The refusal names who uses it; a lazy unmount takes it out of sight, and the file stays readable to the end."""
    mount = mounts()
    file = Path(mount.path(workspace.put(source, "a")), "big")
    with subprocess.Popen(["sleep", "60"], cwd=file.parent) as user:
        with raises(BusyError, names=[str(mount.directory), f"sleep ({user.pid})"], reason="in use"):
            unmount(mount.directory)
        user.kill()
    with file.open("rb") as opened:
        unmount(mount.directory, lazy=True)
        assert os.listdir(mount.directory) == []
        assert mount._daemon.poll() is None
        assert opened.read() == (source / "big").read_bytes()
    assert mount._daemon.wait(30) == 0


def test_a_signal_unmounts(workspace: Workspace, mounts: Any, source: Path, eventually: Eventually) -> None:
    """SIGTERM ends an idle mount; a busy one it takes out of sight and serves to the end; a second one ends it."""
    workspace.put(source, "a")
    idle = mounts()
    os.kill(idle.pid, signal.SIGTERM)
    assert idle._daemon.wait(30) == 0
    assert at(idle.directory) is None
    busy = mounts()
    opened = os.open(busy.directory / "a/v0/big", os.O_RDONLY)
    os.kill(busy.pid, signal.SIGTERM)
    eventually(lambda: at(busy.directory) is None)
    assert os.read(opened, 1000) == (source / "big").read_bytes()[:1000]
    assert busy._daemon.poll() is None
    os.kill(busy.pid, signal.SIGINT)
    assert busy._daemon.wait(30) == 1
    with contextlib.suppress(OSError):
        os.close(opened)


def test_a_mount_ends_with_its_block(workspace: Workspace, source: Path, mount_point: Path) -> None:
    version = workspace.put(source, "a")
    with make_mount(workspace.path, mount_point) as mount:
        assert mount.path(version) == f"{mount_point}/a/v0"
        assert Path(mount.path(version), "x").read_text() == "0"
    assert at(mount_point) is None
    assert mount._daemon.poll() == 0


def test_a_forked_child_leaves_its_parents_mount_alone(workspace: Workspace, source: Path, mount_point: Path) -> None:
    """The workers of a data loader come and go; the mount ends with the process that made it, and not before."""
    version = workspace.put(source, "a")
    with make_mount(workspace.path, mount_point, tied=True) as mount:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                code = 0 if Path(mount.path(version), "x").read_text() == "0" else 1
            finally:
                os._exit(code)
        assert os.waitpid(child, 0)[1] == 0
        time.sleep(0.2)
        assert Path(mount.path(version), "x").read_text() == "0"
    assert at(mount_point) is None


TIED = """
import os, sys
from artfs.mount.control import mount
handle = mount(sys.argv[1], sys.argv[2], tied=True)
print(handle.pid, flush=True)
sys.stdin.read()
os.kill(os.getpid(), 9)
"""


def test_a_tied_mount_ends_with_its_process(
    workspace: Workspace, source: Path, mount_point: Path, eventually: Eventually
) -> None:
    """Even a process that is killed leaves no mount behind."""

    workspace.put(source, "a")
    with subprocess.Popen(
        [sys.executable, "-c", TIED, workspace.path, mount_point], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        daemon = int(process.stdout.readline())
        assert (mount_point / "a" / "v0" / "x").read_text() == "0"
        process.communicate()
    eventually(lambda: at(mount_point) is None)
    eventually(lambda: not os.path.exists(f"/proc/{daemon}") or _is_zombie(daemon))


def _is_zombie(pid: int) -> bool:
    return ") Z " in Path(f"/proc/{pid}/stat").read_text()


FOREGROUND = """
import sys
from artfs.mount.control import mount
mount(sys.argv[1], sys.argv[2], foreground=True)
print("ended")
"""


def test_a_start_that_is_interrupted_leaves_nothing(
    workspace: Workspace, mount_point: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C while the daemon starts ends it, and unmounts anything it has mounted by then."""

    def interrupted(*_: object) -> None:
        time.sleep(0.2)
        raise KeyboardInterrupt

    monkeypatch.setattr("artfs.mount.daemon._await_ready", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make_mount(workspace.path, mount_point)
    assert at(mount_point) is None
    assert live_daemons(workspace.path / "run") == []


def catches(pid: int, number: int) -> bool:
    """Return whether a process has a handler for a signal."""
    (line,) = (line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("SigCgt:"))
    return bool(int(line.split()[1], 16) >> (number - 1) & 1)


def test_in_the_foreground_ctrl_c_unmounts(
    workspace: Workspace, source: Path, mount_point: Path, eventually: Eventually
) -> None:

    workspace.put(source, "a")
    with subprocess.Popen(
        [sys.executable, "-c", FOREGROUND, workspace.path, mount_point], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            eventually(lambda: (mount_point / "a" / "v0" / "x").exists())
            eventually(lambda: catches(process.pid, signal.SIGTERM))  # the caller, too, knows that it is there
            process.send_signal(signal.SIGINT)
            out, _ = process.communicate(timeout=10)
        finally:
            process.kill()
    assert process.returncode == 0
    assert out == "ended\n"
    assert at(mount_point) is None


@pytest.mark.one_transport
def test_an_existing_mount_is_found(workspace: Workspace, mounts: Any, source: Path) -> None:
    workspace.put(source, "a")
    with raises(MountError, names=[str(workspace.path)], reason="not mounted"):
        mount_for(workspace.path, create=False)
    mount = mounts()
    assert mount_for(workspace.path) == (mount.directory, False)
    unmount(mount.directory)
    directory, mounted_now = mount_for(workspace.path)
    try:
        assert mounted_now
        assert (directory / "a" / "v0" / "x").read_text() == "0"
        assert mount_for(workspace.path) == (directory, False)
    finally:
        unmount(directory)


def test_the_status_counts_what_is_served(workspace: Workspace, mounts: Any, source: Path) -> None:
    mount = mounts(workers=3)
    Path(mount.path(workspace.put(source, "a")), "big").read_bytes()
    found = mounts.status(mount)
    assert (found.state, found.pid, found.transport) == ("live", mount.pid, mounts.transport)
    assert len(found.workers) == 3
    assert sum(worker.bytes for worker in found.serving) == found.bytes >= BIG
    assert found.requests >= sum(worker.reads for worker in found.serving) > 0
    assert all(worker.memory_bytes and worker.memory_bytes < 120 << 20 for worker in found.workers)
    assert sum(worker.errors for worker in found.serving) == 0


def test_the_workers_die_with_a_damaged_workspace_only_by_errors(
    workspace: Workspace, mounts: Any, source: Path
) -> None:
    """Bytes that fail their checksum are an I/O error and a count, never wrong bytes, and the worker lives on."""
    mount = mounts()
    file = Path(mount.path(workspace.put(source, "a")), "big")
    os.stat(file)
    for pack in (workspace.path / "packs").iterdir():
        with pack.open("r+b") as opened:
            size = os.fstat(opened.fileno()).st_size
            for offset in range(0, size - 100, 65536):
                opened.seek(offset + 50)
                opened.write(b"damage")
    with pytest.raises(OSError) as caught:
        file.read_bytes()
    assert caught.value.errno == errno.EIO
    workers = mounts.status(mount).workers
    assert sum(worker.errors for worker in workers) == sum(worker.verification_failures for worker in workers) > 0
    assert sum(worker.restarts for worker in workers) == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may keep processors awake")
def test_processors_are_kept_awake_while_much_is_read(
    workspace: Workspace, mounts: Any, source: Path, eventually: Eventually
) -> None:
    """The kernel's own latency limit says so, and that it ends."""
    mount = mounts(low_latency=True)
    assert mounts.status(mount).low_latency
    folder = Path(mount.path(workspace.put(source, "a")))
    # A descriptor opened for reading only expresses no wish, and reads the limit that all wishes come to.
    with open(LATENCY_DEVICE, "rb", buffering=0) as device:
        seen = set()
        for _ in range(2000):
            with pytest.raises(FileNotFoundError):
                os.stat(folder / os.urandom(8).hex())
            seen.add(os.pread(device.fileno(), 4, 0))
        assert bytes(4) in seen
        eventually(lambda: os.pread(device.fileno(), 4, 0) != bytes(4))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may keep processors awake")
@pytest.mark.parametrize("wanted", [False, True])
def test_processors_are_left_alone_where_that_is_wanted(mounts: Any, children: Children, wanted: bool) -> None:
    mount = mounts(low_latency=wanted)
    held = [file for pid in children(mount.pid) for file in open_files(pid)]
    assert (LATENCY_DEVICE in held) is wanted
    assert mounts.status(mount).low_latency is wanted


@pytest.mark.no_lane
def test_a_stuck_worker_holds_up_nobody_else_for_long(
    workspace: Workspace, mounts: Any, source: Path, children: Children
) -> None:
    """If any worker is stopped, whatever request it holds, later requests are answered."""
    mount = mounts()
    version = Path(mount.path(workspace.put(source, "a")))
    for worker in children(mount.pid)[1:]:
        os.listdir(version)
        os.kill(worker, signal.SIGSTOP)
        # What the stopped one takes is lost until it goes on: ask with several, one of which it may have.
        asking = [subprocess.Popen(["stat", version / f"absent-{worker}-{number}"]) for number in range(3)]
        deadline = time.monotonic() + 20
        while sum(each.poll() is not None for each in asking) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        answered = sum(each.poll() is not None for each in asking)
        os.kill(worker, signal.SIGCONT)
        assert [each.wait(20) for each in asking] == [1, 1, 1]
        assert answered >= 2
