"""A daemon lives as long as its run file is held; sockets lie where only their user may go."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import stat
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from artstore.daemons import (
    DaemonInfo,
    connect,
    daemons_folder,
    is_held,
    listen,
    live_daemons,
    recorded_daemons,
    remove_socket,
    runtime_folder,
    shared_socket,
    socket_path,
)
from artstore.errors import RefusedError
from messages import raises
from store.fake_daemons import FakeDaemon, fake_daemons, without_descriptors


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., FakeDaemon]]:
    with fake_daemons(tmp_path) as started:
        yield started


def test_a_daemon_lives_while_it_holds_its_run_file(start: Callable[..., FakeDaemon], tmp_path: Path) -> None:
    """One that was killed leaves its file: it is recorded, and not alive.  Asking changes nothing."""
    dead, alive = start("a", listening=False), start("b", listening=False)
    dead.die()
    assert [info for _, info in recorded_daemons(tmp_path)] == [dead.info, alive.info]
    for _ in range(2):
        assert live_daemons(tmp_path) == [alive.info]
    files = {info.id: run_file for run_file, info in recorded_daemons(tmp_path)}
    assert files == {name: daemons_folder(tmp_path) / f"{name}.json" for name in "ab"}
    assert (is_held(files["a"]), is_held(files["b"])) == (False, True)


def test_who_asks_does_not_pass_for_a_daemon(tmp_path: Path) -> None:
    """The shared lock of a process that asks at the same moment is not that of a daemon, and no descriptor is left."""
    run_file = tmp_path / "a.json"
    run_file.touch()
    with run_file.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_SH)
        before = len(os.listdir("/proc/self/fd"))
        assert not is_held(run_file)
        assert len(os.listdir("/proc/self/fd")) == before
        fcntl.flock(other, fcntl.LOCK_EX)
        assert is_held(run_file)
        assert len(os.listdir("/proc/self/fd")) == before


def test_a_link_to_a_held_file_is_not_held(tmp_path: Path) -> None:
    """A run file is a file: a link could name any file that another process locks."""
    with (tmp_path / "locked").open("w") as locked:
        fcntl.flock(locked, fcntl.LOCK_EX)
        (tmp_path / "link.json").symlink_to("locked")
        assert is_held(tmp_path / "locked")
        assert not is_held(tmp_path / "link.json")
    assert not is_held(tmp_path / "nothing.json")


def test_files_that_describe_no_daemon_are_passed_over(start: Callable[..., FakeDaemon], tmp_path: Path) -> None:
    """Torn files, other files, files that are being written, and folders hide no daemon that is listed with them."""
    assert list(recorded_daemons(tmp_path)) == []
    daemon = start("m", listening=False)
    folder = daemons_folder(tmp_path)
    whole = json.dumps(asdict(daemon.info))
    for name, text in {
        "torn.json": whole[:-20],
        "list.json": "[]",
        "empty.json": "",
        "lacking.json": '{"id": "lacking", "pid": 1}',
        ".m.new": whole,
        ".hidden.json": whole,
        "m.log": whole,
        "bytes.json": "\udcff",
    }.items():
        (folder / name).write_text(text, errors="surrogateescape")
    (folder / "folder.json").mkdir()
    assert [info for _, info in recorded_daemons(tmp_path)] == [daemon.info]
    assert live_daemons(tmp_path) == [daemon.info]


def test_run_files_of_other_versions_are_read(tmp_path: Path) -> None:
    """Fields of a later version are passed over, and those that an earlier one lacked have their defaults."""
    folder = daemons_folder(tmp_path)
    folder.mkdir()
    me = os.getuid()
    info = DaemonInfo("a", 7, "/mnt", "/s", "0:9", 1.5, "direct", me, 2, allow_other=True, low_latency=True)
    values = asdict(info)
    (folder / "a.json").write_text(json.dumps({**values, "of a later version": 1}))
    del values["allow_other"], values["low_latency"]
    (folder / "b.json").write_text(json.dumps({**values, "id": "b"}))
    later, earlier = [info for _, info in recorded_daemons(tmp_path)]
    assert later == info
    assert (earlier.mountpoint, earlier.allow_other, earlier.low_latency) == ("/mnt", False, False)


def test_a_run_file_is_a_claim(tmp_path: Path) -> None:
    """The user is the file's owner, and a file of another name or with values of other types describes no daemon."""
    folder = daemons_folder(tmp_path)
    folder.mkdir()
    values = asdict(DaemonInfo("a", 7, "/mnt", "/s", "0:9", 1.5, "direct", os.getuid() + 1, 2))
    (folder / "a.json").write_text(json.dumps(values))
    (folder / "b.json").write_text(json.dumps({**values, "id": "../a"}))
    for field, value in {"pid": "7", "socket": 7, "started_at": None, "allow_other": 1, "mountpoint": ["/mnt"]}.items():
        (folder / f"{field}.json").write_text(json.dumps({**values, "id": field, field: value}))
    (found,) = [info for _, info in recorded_daemons(tmp_path)]
    assert (found.id, found.uid, found.run_file) == ("a", os.getuid(), str(folder / "a.json"))


IMPOSSIBLE = {
    "pid": [0, -1, 1 << 62, 1 << 200],
    "started_at": [-1.0, 1e300, float("nan"), float("inf"), float("-inf")],
    "device": ["", "0", "x:y", "0:1:2", "-1:3", "99999:1", "0:99999999", " 0:1", "0:1\n", "٣:1"],
    "mountpoint": ["", "mnt", "../mnt", "/m\0"],
    "socket": ["/s\0"],
    "mounter": [-1, 1 << 32, 1 << 200],
}


def test_values_that_no_daemon_has_describe_none(tmp_path: Path) -> None:
    """Callers compute with them: devices, processes, times."""
    folder = daemons_folder(tmp_path)
    folder.mkdir()
    values = asdict(DaemonInfo("a", 7, "/mnt", "/s", "0:9", 1.5, "direct", os.getuid(), 2))
    for field, wrong in IMPOSSIBLE.items():
        for value in wrong:
            (folder / "a.json").write_text(json.dumps({**values, field: value}))
            assert list(recorded_daemons(tmp_path)) == [], (field, value)


def test_only_a_private_socket_of_the_daemons_user_is_connected_to(
    start: Callable[..., FakeDaemon],
) -> None:
    """Any other name in a run file, and a folder that others may enter, are refused, and nothing is asked there."""
    info = start("a", lambda _: {"ok": True}).info
    folder = Path(info.socket).parent
    # A socket's path holds 107 bytes.
    with tempfile.TemporaryDirectory(dir="/tmp") as open_folder, socket.socket(socket.AF_UNIX) as elsewhere:
        Path(open_folder).chmod(0o755)
        place = str(Path(open_folder, Path(info.socket).name))
        elsewhere.bind(place)
        elsewhere.listen()
        elsewhere.setblocking(False)
        for wrong in (place, f"{folder}/x.sock", "relative.sock", ""):
            with raises(RefusedError, names=[info.mountpoint]), socket.socket(socket.AF_UNIX) as client:
                connect(client, replace(info, socket=wrong))
        with pytest.raises(BlockingIOError):
            elsewhere.accept()
    with socket.socket(socket.AF_UNIX) as client:
        connect(client, info)


def test_in_a_shared_workspace_the_socket_is_the_groups(tmp_path: Path) -> None:
    """It lies next to the run file, however long the path of the workspace is, and whatever address is recorded."""
    workspace = tmp_path / ("n" * 200)
    folder = daemons_folder(workspace / "run")
    folder.mkdir(parents=True)
    workspace.chmod(0o2770)
    (folder / "a.json").write_text(json.dumps(asdict(DaemonInfo("a", 7, "/m", "/s", "0:9", 1.5, "direct", 1, 2))))
    ((run_file, info),) = recorded_daemons(workspace / "run")
    address = shared_socket(workspace / "run", "a")
    with listen(info), socket.socket(socket.AF_UNIX) as client:
        assert stat.S_IMODE(address.stat().st_mode) == 0o660
        connect(client, info)
    remove_socket(workspace, run_file, info)
    assert not address.exists()
    address.touch()
    remove_socket(workspace, run_file, info)
    assert address.exists(), "only a socket is removed"


def test_without_descriptors_no_daemon_is_taken_for_dead(start: Callable[..., FakeDaemon], tmp_path: Path) -> None:
    """The reaper frees what no daemon uses: a process that cannot look must not report that there is none."""
    daemon = start("a", listening=False)
    run_file = daemons_folder(tmp_path) / "a.json"
    with without_descriptors():
        assert is_held(run_file)
        with raises(OSError, names=[os.strerror(errno.EMFILE)]):
            live_daemons(tmp_path)
    with without_descriptors(2):  # the workspace's folder and one beneath it; none is left for two files at a time
        assert live_daemons(tmp_path) == [daemon.info]


def test_the_folder_of_sockets_is_the_users_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_time = tmp_path / "run"
    run_time.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(run_time))
    folder = runtime_folder(os.getuid())
    assert folder == run_time / "artfs"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert runtime_folder(os.getuid()) == folder
    folder.chmod(0o755)
    with raises(RefusedError, names=[str(folder), f"user {os.getuid()}"]):
        runtime_folder(os.getuid())
    folder.rmdir()
    folder.symlink_to(tmp_path)
    with raises(RefusedError, names=[str(folder), f"user {os.getuid()}"]):
        runtime_folder(os.getuid())


def test_an_open_run_time_folder_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o755)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert runtime_folder(os.getuid()) == Path(f"/tmp/artfs-{os.getuid()}")


def test_a_socket_has_a_short_path_for_any_workspace() -> None:
    long = Path("/" + "/".join("n" * 200 for _ in range(10)))
    folder = Path("/tmp/artfs-1000")
    paths = {socket_path(folder, workspace, name) for workspace in (long, Path("/w")) for name in "ab"}
    assert len(paths) == 4
    assert all(len(os.fsencode(path)) < 107 for path in paths)
