"""A workspace on a read-only file system is read without locks; one that others may write to is refused."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from artstore import locate
from artstore.errors import RefusedError
from artstore.locate import is_on_read_only_disk
from artstore.reclaim.leases import Lease, is_held
from artstore.storage import manifest
from artstore.storage.environment import Environment
from artstore.store import Store
from artstore.workspace import Workspace, init_workspace, open_workspace
from crash.places import MIB, cannot_mount, read_only, read_only_bind, small_ext4, small_tmpfs
from messages import raises


@pytest.fixture(params=["tmpfs", "ext4"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own, with a workspace ``ws`` that no process has open."""
    reason = cannot_mount()
    if reason and os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    if reason:
        pytest.skip(reason)
    at = tmp_path / "disk"
    made = small_tmpfs(at, 80 * MIB) if request.param == "tmpfs" else small_ext4(at, 80 * MIB, tmp_path / "image")
    with made as place:
        source = tmp_path / "source"
        source.mkdir()
        (source / "a").write_text("first")
        workspace = init_workspace(place / "ws")
        workspace.put(source, "team/data")
        with workspace.version("team/data:v0").open("a") as file:  # makes run/leases
            assert file.read() == b"first"
        (source / "b").write_text("second")
        workspace.put(source, "team/data", aliases=["clean"])
        close(workspace)
        yield place
        close(workspace)


PUT = """
import sys
from artstore.workspace import open_workspace
open_workspace(sys.argv[1]).put(sys.argv[2], "new")
"""


def close(workspace: Workspace) -> None:
    Environment.of(workspace.path).drop()


@contextmanager
def snapshot(disk: Path) -> Iterator[Workspace]:
    with read_only(disk):
        workspace = open_workspace(disk / "ws")
        try:
            yield workspace
        finally:
            close(workspace)


def test_readers_need_no_locks(disk: Path, tmp_path: Path) -> None:
    """The readers of the Python API return what was put, and no file of the workspace changes."""
    before = listing(disk)
    with snapshot(disk) as workspace:
        assert workspace.is_read_only and Environment.of(workspace.path).is_read_only
        version = workspace.version("team/data:clean")
        assert version.read_bytes("b") == b"second"
        with version.open("a") as file:
            assert file.read() == b"first"
        assert [change.path for change in workspace.diff("team/data:v0", "team/data:v1")] == ["b"]
        assert [version.number for version in workspace.log("team/data")] == [1, 0]
        assert workspace.get("team/data:v1", tmp_path / "copy").files == 2
        assert (tmp_path / "copy" / "b").read_text() == "second"
        assert workspace.usage().versions == 2 and workspace.drafts.states() == []
    assert listing(disk) == before


def listing(disk: Path) -> list[tuple[str, int, int]]:
    paths = sorted((disk / "ws").rglob("*"))
    return [(str(path), path.lstat().st_size, path.lstat().st_mtime_ns) for path in paths]


def test_forked_readers(disk: Path) -> None:
    """A child opens an environment of its own, as on any disk."""
    with snapshot(disk) as workspace:
        version = workspace.version("team/data:v1")
        child = os.fork()
        if not child:
            os._exit(0 if version.read_bytes("b") == b"second" else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert version.read_bytes("a") == b"first"


WRITES: list[Callable[[Workspace, Path], object]] = [
    lambda workspace, source: workspace.put(source, "team/data"),
    lambda workspace, source: workspace.put(source, "other"),
    lambda workspace, source: workspace.refer(f"file://{source}", "other"),
    lambda workspace, source: workspace.aliases.set("team/data:v0", "x"),
    lambda workspace, source: workspace.delete("team/data:v0"),
    lambda workspace, source: workspace.gc(),
    lambda workspace, source: workspace.drafts.new("other"),
    lambda workspace, source: workspace.tags.add("team/data:v0", "x"),
    lambda workspace, source: init_workspace(workspace.path.with_name("new")),
]


def test_writers_are_refused(disk: Path, tmp_path: Path) -> None:
    """What would change the workspace raises one error that says why and what helps."""
    with snapshot(disk) as workspace:
        for write in WRITES:
            with raises(RefusedError, reason="read-only") as caught:
                write(workspace, tmp_path / "source")
            assert "writable" in caught.value.hint and str(disk) in str(caught.value)


def test_a_file_system_that_becomes_writable(disk: Path, tmp_path: Path) -> None:
    """A process that reads without locks takes them as soon as another has written, and before it writes itself."""
    with read_only(disk):
        workspace = open_workspace(disk / "ws")
        assert workspace.next_version("team/data") == 2
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
        assert workspace.next_version("team/data") == 2 and Environment.of(workspace.path).is_read_only
        subprocess.run([sys.executable, "-c", PUT, disk / "ws", tmp_path / "source"], check=True)
        assert workspace.has_artifact("new") and not Environment.of(workspace.path).is_read_only
        close(workspace)
    with read_only(disk):
        assert workspace.version("new:v0").read_bytes("a") == b"first"
        assert Environment.of(workspace.path).is_read_only
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
        assert manifest.oldest_reader(workspace.path) and not Environment.of(workspace.path).is_read_only
        assert workspace.put(tmp_path / "source", "new", new=True).number == 1
        close(workspace)


def test_a_lease_on_a_read_only_disk(disk: Path) -> None:
    """A reader's lease is seen once the file system is writable."""
    with read_only(disk):
        store = Store.open(disk / "ws")
        lease = Lease(store, 7)
        assert is_held(store, 7) and not is_held(store, 8)
        lease.close()
        assert not is_held(store, 7)


def test_a_read_only_mount_of_a_writable_file_system(
    disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others may write to it, and this process cannot lock: it is refused, with what helps."""
    with read_only_bind(disk, tmp_path / "bind") as bound:
        assert not is_on_read_only_disk(bound) and not is_on_read_only_disk(disk)
        with raises(RefusedError, names=[str(bound / "ws")], reason="read-only bind") as caught:
            open_workspace(bound / "ws")
        assert "writable" in caught.value.hint and "whole file system read-only" in caught.value.hint
        failed = locate.covering_mount(bound)._replace(filesystem_options=frozenset({"rw", "emergency_ro"}))
        monkeypatch.setattr(locate, "covering_mount", lambda path: failed)
        with raises(RefusedError, names=[str(bound / "ws")], reason="failed disk"):
            open_workspace(bound / "ws")
        monkeypatch.undo()
    with read_only(disk), read_only_bind(disk, tmp_path / "bind") as bound:
        assert is_on_read_only_disk(bound)
        workspace = open_workspace(bound / "ws")
        assert workspace.version("team/data").read_bytes("b") == b"second"
        close(workspace)
