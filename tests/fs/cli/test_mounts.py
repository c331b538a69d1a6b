"""``mount``, ``umount``, ``status`` and ``path`` with a real mount."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from messages import refused, reported
from open_files import open_files

pytestmark = pytest.mark.fuse

Run = Callable[..., Any]

ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    """A mount point, unmounted at the end however the test went."""
    place = tmp_path / "mnt"
    place.mkdir()
    yield place
    if os.path.ismount(place):
        subprocess.run(["umount", "-l", place], check=False)


def test_options_change_the_owner_and_the_modes(artfs_process: Run, data: Path, directory: Path) -> None:
    (data / "train").chmod(0o700)
    artfs_process("put", data, "x")
    options = ("--umask", "027", "--readable", "--uid", "12", "--gid", "13")
    assert artfs_process("mount", directory, "--workers", "1", *options).code == 0
    for path, mode in ((directory / "x/v0/train", 0o750), (directory / "x/v0/train/a.txt", 0o640), (directory, 0o550)):
        status = path.stat()
        assert (status.st_mode & 0o7777, status.st_uid, status.st_gid) == (mode, 12, 13)
    artfs_process("umount", directory)


@pytest.mark.parametrize("option", ["--umask=8", "--umask=1000", "--umask=-1", "--uid=-1", "--gid=4294967295"])
def test_owners_and_modes_that_cannot_be(artfs: Run, data: Path, directory: Path, option: str) -> None:
    artfs("put", data, "x")
    result = artfs("mount", directory, option)
    assert result.code == 2 and not os.path.ismount(directory)


def test_a_mount_is_there_when_the_command_returns_and_gone_after_umount(
    artfs_process: Run, data: Path, directory: Path
) -> None:
    artfs_process("put", data, "team/x", "-a", "clean")
    mounted = artfs_process("mount", directory, "--workers", "1", "--json")
    assert mounted.code == 0 and mounted.json["directory"] == str(directory) and mounted.json["pid"] > 0
    assert (directory / "team" / "x" / "clean" / "train" / "a.txt").read_text() == "a" * 1000
    assert artfs_process("put", data, "team/x", "--new").code == 0
    assert sorted(os.listdir(directory / "team" / "x")) == ["clean", "latest", "v0", "v1"]

    for arguments in ((), (directory,)):
        (one,) = artfs_process("status", *arguments, "--json").json["mounts"]
        assert (one["directory"], one["state"], one["pid"]) == (str(directory), "live", mounted.json["pid"])
        assert one["requests"] > 0 and len(one["workers"]) == 1 and ISO.fullmatch(one["created_at"])
    assert "1 worker, " in artfs_process("status").text

    inside = artfs_process("path", "team/x:clean/train")
    assert (inside.text, inside.err) == (f"{directory}/team/x/v0/train\n", b"")
    by_path = artfs_process("du", "./clean", "--json", cwd=directory / "team" / "x")
    assert (by_path.json["artifact"], by_path.json["version"]) == ("team/x", "v0")

    ended = artfs_process("umount", directory)
    reported(ended, names=[str(directory)])
    assert ended.out == b""
    assert not os.path.ismount(directory)
    assert artfs_process("status", "--json").json["mounts"] == []


def test_the_daemon_keeps_nothing_of_the_command_that_became_it(
    artfs_process: Run, data: Path, directory: Path
) -> None:
    """It has a session of its own, no open file of the command's, and no manifest: the workspace can be compacted."""
    artfs_process("put", data, "x")
    reader, writer = os.pipe()
    mounted = artfs_process("mount", directory, "--json", pass_fds=[writer])
    os.close(writer)
    assert mounted.code == 0 and os.read(reader, 1) == b""
    os.close(reader)
    pid = mounted.json["pid"]
    assert os.getsid(pid) == pid
    assert not [path for path in open_files(pid) if "manifest." in path]
    assert artfs_process("gc", "--compact").code == 0
    assert (directory / "x" / "latest" / "train" / "a.txt").read_text() == "a" * 1000
    assert artfs_process("umount", directory).code == 0


def test_path_mounts_in_the_runtime_folder_and_says_so_once(artfs_process: Run, data: Path, home: Path) -> None:
    artfs_process("put", data, "x")
    first = artfs_process("path", "x:latest")
    folder = Path(first.text.rstrip("\n"))
    try:
        assert first.code == 0 and first.text.endswith("/x/v0\n") and first.text.count("\n") == 1
        reported(first, names=[str(home / "workspace"), f"'artfs umount {folder.parent.parent}'"])
        assert (folder / "run.sh").read_text() == "#!/bin/sh\n"
        second = artfs_process("path", "x", "--json")
        assert second.json == {"path": str(folder), "version": "v0", "mounted_now": False} and second.err == b""
        assert artfs_process("path", "x:v0/none").code == 3
    finally:
        assert artfs_process("umount", folder.parent.parent).code == 0


def test_foreground_serves_until_ctrl_c(artfs_process: Run, data: Path, directory: Path) -> None:
    artfs_process("put", data, "x")
    command = [sys.executable, "-m", "artfs", "mount", str(directory), "--foreground", "--workers", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            for _ in range(200):
                if (directory / "x").exists():
                    break
                time.sleep(0.05)
            assert (directory / "x" / "v0" / "run.sh").exists()
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=30)
        finally:
            process.kill()
    assert (process.returncode, out) in ((0, b""), (130, b"")), err
    assert b"Traceback" not in err and not os.path.ismount(directory)


def test_a_mount_point_that_will_not_do_is_refused(artfs_process: Run, data: Path, directory: Path) -> None:
    artfs_process("put", data, "x")
    for place, code in ((directory / "missing", 3), (data, 4), (data / "run.sh", 2)):
        result = artfs_process("mount", place, "--json")
        refused(result, code=code, names=[str(place)])
        assert str(place) in result.json["error"]["message"]
    assert artfs_process("mount", directory).code == 0
    refused(artfs_process("mount", directory), code=1, names=[str(directory)], reason="already mounted")
    assert artfs_process("umount", directory).code == 0
    refused(artfs_process("umount", directory), code=3, names=[str(directory)], reason="nothing mounted")


def test_in_a_folder_whose_version_was_deleted(artfs_process: Run, data: Path, directory: Path) -> None:
    """What needs the current folder says that it is gone; what does not need it works."""
    artfs_process("put", data, "x")
    artfs_process("put", data, "x", "--new")
    assert artfs_process("mount", directory).code == 0
    script = """
        cd "$1" && "$0" -P -m artfs rm --now x:v0 >/dev/null 2>&1
        for line in 'ls x' 'ls .' 'cat ./empty' 'put . y'; do "$0" -P -m artfs $line 2>&1; echo "exit $?"; done
    """
    command = ["sh", "-c", script, sys.executable, str(directory / "x" / "v0")]
    try:
        shown = subprocess.run(command, capture_output=True, text=True, timeout=120).stdout
    finally:
        artfs_process("umount", "--lazy", directory)
    assert re.findall(r"exit (\d)", shown) == ["0", "3", "3", "3"], shown
    assert len(re.findall("the current folder no longer exists", shown)) == 3, shown


def test_umount_cleans_up_after_a_daemon_that_died(artfs_process: Run, data: Path, directory: Path) -> None:
    artfs_process("put", data, "x")
    pid = artfs_process("mount", directory, "--json").json["pid"]
    os.kill(pid, signal.SIGKILL)
    for _ in range(100):
        (one,) = artfs_process("status", directory, "--json").json["mounts"]
        if one["state"] == "dead":
            break
        time.sleep(0.05)
    assert one["state"] == "dead" and "artfs umount" in artfs_process("status").text
    assert artfs_process("umount", directory).code == 0
    assert not os.path.ismount(directory)
