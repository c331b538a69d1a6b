"""The kernel keeps what cannot change for ever, and forgets what has changed before the change returns."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from artstore.workspace import Workspace
from mount.conftest import undisturbed

PUT = """
import sys, time
from artstore.workspace import open_workspace
workspace = open_workspace(sys.argv[1])
version = workspace.put(sys.argv[2], "team/data")
workspace.aliases.set(f"team/data:v{version.number}", "production")
print(version.number)
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "x").write_text("0")
    return folder


@undisturbed
def test_absent_names_are_asked_for_once(workspace: Workspace, mounts: Any, source: Path) -> None:
    """Inside a version a name that is not there costs one request, however often and late it is asked for."""
    mount = mounts()
    folder = mount.path(workspace.put(source, "a"))
    os.stat(folder)
    before = sum(worker.lookups for worker in mounts.status(mount).serving)
    for _ in range(3):
        for name in ("absent", "also/absent", "absent.py"):
            assert not os.path.exists(f"{folder}/{name}")
    after = sum(worker.lookups for worker in mounts.status(mount).serving)
    assert after - before == 3


@undisturbed
def test_what_is_in_a_version_is_asked_for_once(workspace: Workspace, mounts: Any, source: Path) -> None:
    """Names, attributes and bytes inside a version stay in the kernel: reading again sends no look-up and no read."""
    mount = mounts()
    inside = os.open(mount.path(workspace.put(source, "a")), os.O_RDONLY)  # names above are asked for once a second
    counts = []
    for turn in range(3):
        assert Path(f"/proc/self/fd/{inside}/x").read_text() == "0"
        workers = mounts.status(mount).serving
        counts.append((sum(worker.reads for worker in workers), sum(worker.lookups for worker in workers)))
        time.sleep(1.1 if turn == 1 else 0)
    os.close(inside)
    assert counts[0] == counts[1] == counts[2]
    assert counts[0][0] > 0


def test_a_change_is_seen_by_the_next_look(
    workspace: Workspace, mounts: Any, source: Path, elsewhere: Callable[..., Any]
) -> None:
    """When a put or an alias has returned, in whatever process, every mount shows it: no waiting, no stale link."""
    workspace.put(source, "team/data", aliases=["production"])
    seen = [mounts().directory / "team" / "data" for _ in range(2)]
    for number in range(1, 8):
        for folder in seen:
            assert f"v{number}" not in os.listdir(folder)
            assert not (folder / f"v{number}").exists()
            assert os.readlink(folder / "latest") == os.readlink(folder / "production") == f"v{number - 1}"
        (source / "x").write_text(str(number))
        if number % 3:
            workspace.aliases.set(workspace.put(source, "team/data").name, "production")
        else:
            elsewhere(PUT, workspace.path, source)
        for folder in seen:
            assert f"v{number}" in os.listdir(folder)
            assert (folder / "latest" / "x").read_text() == str(number)
            assert os.readlink(folder / "latest") == os.readlink(folder / "production") == f"v{number}"


def test_a_new_artifact_is_seen_by_the_next_look(workspace: Workspace, mounts: Any, source: Path) -> None:
    mount = mounts()
    assert os.listdir(mount.directory) == []
    assert not (mount.directory / "team").exists()
    workspace.put(source, "team/vision/one")
    assert os.listdir(mount.directory) == ["team"]
    assert (mount.directory / "team/vision/one/v0/x").read_text() == "0"
    workspace.put(source, "team/vision/two")
    assert sorted(os.listdir(mount.directory / "team/vision")) == ["one", "two"]


def test_another_name_is_seen_by_the_next_look(workspace: Workspace, mounts: Any, source: Path) -> None:
    """Under the old name nothing is left, not even of its project; who has a file open goes on reading it."""
    top = mounts().directory
    workspace.put(source, "team/vision/one", aliases=["good"])
    assert (top / "team/vision/one/good/x").read_text() == "0"
    with (top / "team/vision/one/v0/x").open() as file:
        workspace.rename("team/vision/one", "other/two")
        assert os.listdir(top) == ["other"]
        assert not (top / "team/vision/one").exists()
        assert (top / "other/two/good/x").read_text() == "0"
        assert file.read() == "0"
    link = workspace.link("other/two:v0", "registry/best")
    assert sorted(os.listdir(top)) == ["other", "registry"]
    assert (top / "registry/best" / f"v{link.number}" / "x").read_text() == "0"
    workspace.rename("other/two", "team/vision/one")
    assert sorted(os.listdir(top / "team/vision/one")) == ["good", "latest", "v0"]


def test_equal_files_of_two_versions_are_two_files(workspace: Workspace, mounts: Any, source: Path) -> None:
    """An unchanged file is another inode in each version, with the same time; each is cached by itself."""
    (source / "same").write_bytes(os.urandom(200_000))
    mount = mounts()
    first = workspace.put(source, "a")
    (source / "x").write_text("1")
    second = workspace.put(source, "a")
    one, other = Path(mount.path(first), "same"), Path(mount.path(second), "same")
    assert not os.path.samefile(one, other)
    assert one.stat().st_mtime_ns == other.stat().st_mtime_ns == (source / "same").stat().st_mtime_ns
    assert one.read_bytes() == other.read_bytes()
    reads = sum(worker.reads for worker in mounts.status(mount).serving)
    assert one.read_bytes() == other.read_bytes()
    assert sum(worker.reads for worker in mounts.status(mount).serving) == reads


def test_an_old_version_stays_open_and_current_while_others_come(
    workspace: Workspace, mounts: Any, source: Path
) -> None:
    version = workspace.put(source, "a")
    with Path(mounts().path(version), "x").open() as opened:
        (source / "x").write_text("changed")
        workspace.put(source, "a")
        assert opened.read() == "0"
