"""A mount of a workspace on a read-only file system: it serves, frees nothing, and is found by its user."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from artfs.mount.control import mount_for, status
from artstore.daemons import live_daemons, runtime_folder
from artstore.errors import RefusedError
from artstore.storage.environment import Environment
from artstore.workspace import Workspace, init_workspace, open_workspace
from crash.places import MIB, cannot_mount, read_only, read_only_bind, small_tmpfs
from messages import raises
from mount.conftest import Mounts, eventually


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own."""
    reason = cannot_mount()
    if reason and os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    if reason:
        pytest.skip(reason)
    with small_tmpfs(tmp_path / "disk", 80 * MIB) as place:
        yield place


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "a").write_text("first")
    return folder


@pytest.fixture
def workspace(disk: Path, source: Path) -> Iterator[Workspace]:
    """A workspace on the small disk, with one version, that this process does not have open."""
    made = init_workspace(disk / "ws")
    made.put(source, "team/data", aliases=["clean"])
    Environment.of(made.path).drop()
    yield made
    Environment.of(made.path).drop()


def test_it_serves(workspace: Workspace, disk: Path, mounts: Mounts) -> None:
    """Versions and aliases can be read, the workspace has no new file, and the status says what is off."""
    with read_only(disk):
        before = sorted(disk.rglob("*"))
        handle = mounts()
        assert (handle.directory / "team/data/v0/deep/a").read_text() == "first"
        assert os.readlink(handle.directory / "team/data/clean") == "v0"
        assert sorted(disk.rglob("*")) == before

        def is_off() -> bool:
            (mounted,) = status(workspace.path)
            assert mounted.state == "live" and mounted.reaper is not None
            return mounted.reaper.state == "off" and "read-only" in str(mounted.reaper.last_error)

        eventually(is_off)
        assert mount_for(workspace.path) == (handle.directory, False)
        (daemon,) = live_daemons(workspace.path / "run")
        handle.close()
        assert live_daemons(workspace.path / "run") == []
        left = [path for path in runtime_folder(os.getuid()).rglob(f"{daemon.id}*") if path.suffix != ".log"]
        assert left == [] and not Path(daemon.socket).exists()
        Environment.of(workspace.path).drop()


def test_a_killed_daemon_leaves_nothing_behind(workspace: Workspace, disk: Path, mounts: Mounts) -> None:
    """The next mount removes the run file and the socket of one that was killed."""
    with read_only(disk):
        handle = mounts()
        (daemon,) = live_daemons(workspace.path / "run")
        subprocess.run(["kill", "-KILL", str(handle.pid)], check=True)
        eventually(lambda: not live_daemons(workspace.path / "run"))
        subprocess.run(["umount", "-l", handle.directory], check=True)
        mounts()
        assert [each.id for each in live_daemons(workspace.path / "run")] != [daemon.id]
        assert not list(runtime_folder(os.getuid()).rglob(f"{daemon.id}.json")) and not Path(daemon.socket).exists()
        mounts.end()
        Environment.of(workspace.path).drop()


def test_the_file_system_becomes_writable(workspace: Workspace, disk: Path, source: Path, mounts: Mounts) -> None:
    """A mount made before shows what is put and deleted afterwards, as any other."""
    with read_only(disk):
        handle = mounts()
        folder = handle.directory / "team/data"
        assert sorted(os.listdir(folder)) == ["clean", "latest", "v0"]
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
        (source / "deep" / "a").write_text("second")
        open_workspace(workspace.path).put(source, "team/data")
        assert (folder / "latest/deep/a").read_text() == "second" and (folder / "v0/deep/a").read_text() == "first"
        workspace.delete("team/data:v0", force=True)
        assert sorted(os.listdir(folder)) == ["latest", "v1"]
        mounts.end()
        Environment.of(workspace.path).drop()


@pytest.mark.one_transport
def test_a_read_only_mount_of_a_writable_file_system(workspace: Workspace, tmp_path: Path) -> None:
    """Nothing is mounted, and the sentence names the remedy."""
    (tmp_path / "m").mkdir()
    with read_only_bind(workspace.path, tmp_path / "bind") as bound:
        with raises(RefusedError, names=[str(bound)], reason="read-only bind"):
            Mounts(bound, tmp_path, "auto")(tmp_path / "m")
        assert not os.path.ismount(tmp_path / "m")
