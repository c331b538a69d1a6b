"""A disk that fills up ends a put cleanly: nothing is committed, and work continues once there is space."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from artfs.mount.control import mount
from artstore.errors import OutOfSpaceError
from artstore.storage.disk import free_bytes
from artstore.store import RESERVE
from artstore.workspace import Workspace, init_workspace
from corpora import folders
from corpora.folders import Content, content_of
from crash.places import MIB, filled, small_ext4, small_tmpfs, take_all
from crash.scenes import environment
from crash.states import content_of_version, converge, faults, forget, opened
from messages import missing
from reasons import has_reason

pytestmark = pytest.mark.usefixtures("may_mount")

DISK = 160 * MIB


@pytest.fixture(params=["tmpfs", "ext4"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own."""
    if request.param == "tmpfs":
        with small_tmpfs(tmp_path / "disk", DISK) as place:
            yield place
    elif shutil.which("mkfs.ext4", path="/usr/sbin:/sbin:" + os.environ["PATH"]) is None:
        pytest.skip("mkfs.ext4 is missing")
    else:
        with small_ext4(tmp_path / "disk", DISK, tmp_path / "image") as place:
            yield place


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Random data for several batches, and many small files: 24 MiB in all."""
    folder = tmp_path / "source"
    folder.mkdir()
    folders.crowd(folder, 2000)
    for number in range(11):
        (folder / f"large-{number}").write_bytes(folders.random_bytes(2 * MIB + number, number))
    return folder


def first_version(workspace: Workspace, folder: Path) -> dict[str, Content]:
    folder.mkdir()
    folders.small(folder, seed=3)
    workspace.put(folder, "before")
    return {"before:v0": content_of(folder)}


def files_below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_disk_fills_up(disk: Path, source: Path, tmp_path: Path) -> None:
    """Space may run out at any point of a put: the same object in the same process works again once there is space."""
    workspace = init_workspace(disk / "workspace")
    versions = first_version(workspace, tmp_path / "small")
    content = content_of(source)
    descriptors = open_descriptors()
    for leave in (RESERVE - 4096, RESERVE + MIB, RESERVE + 13 * MIB, RESERVE + 19 * MIB):
        before = files_below(workspace.path / "cache") | files_below(workspace.path / "run") | {"reaper"}
        with filled(disk, leave):
            with pytest.raises(OutOfSpaceError) as caught:
                workspace.put(source, "data")
            assert caught.value.errno == errno.ENOSPC and caught.value.exit_code == 6
            assert content_of_version(workspace.version("before")) == versions["before:v0"]
            assert [item.name for item in workspace.artifacts()] == ["before"]
            assert not any(draft.alive for draft in workspace.drafts.states())
            forget(workspace.path)  # from here on, the view of a new process
            assert faults(workspace.path, versions) == []
        dead = {f"drafts/{draft.number}" for draft in workspace.drafts.states()}
        assert files_below(workspace.path / "cache") | files_below(workspace.path / "run") <= before | dead
        assert open_descriptors() <= descriptors
    version = workspace.put(source, "data")
    assert content_of_version(version) == content
    assert version.receipt is not None and version.receipt.new_bytes < 24 * MIB, "what was stored is not stored again"
    assert faults(workspace.path, {**versions, "data:v0": content}) == []


def test_disk_full_to_the_last_byte(disk: Path, source: Path, tmp_path: Path) -> None:
    """Another program takes all space in the middle of a put, so that the writes themselves fail with ENOSPC."""
    workspace = init_workspace(disk / "workspace")
    versions = first_version(workspace, tmp_path / "small")
    ballast = disk / "ballast"

    with pytest.raises(OutOfSpaceError):
        workspace.put(source, "data", progress=lambda _: take_all(ballast))
    assert content_of_version(workspace.version("before")) == versions["before:v0"]
    for change in (lambda: workspace.aliases.set("before", "good"), lambda: workspace.tags.add("before", "checked")):
        with pytest.raises(OutOfSpaceError):
            change()
    with pytest.raises(OutOfSpaceError):
        init_workspace(disk / "another")
    assert not (disk / "another").exists() and not list(disk.glob(".artfs-*"))
    ballast.unlink()
    assert workspace.version("before").aliases == ["latest"] and workspace.tags.of("before") == []
    workspace.aliases.set("before", "good")
    assert content_of_version(workspace.put(source, "data")) == content_of(source)
    assert faults(workspace.path, {**versions, "data:v0": content_of(source)}) == []


def test_writes_that_meet_the_full_disk(
    disk: Path, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the check of free space, so that packs, drafts and LMDB meet ENOSPC at many points of a put."""
    workspace = init_workspace(disk / "workspace")
    versions = first_version(workspace, tmp_path / "small")
    for leave in (0, 4096, 40_000, 300_000, 2 * MIB):
        with filled(disk, leave), monkeypatch.context() as patch:
            patch.setattr("artstore.storage.disk.free_bytes", lambda folder: 1 << 40)
            with pytest.raises(OutOfSpaceError):
                workspace.put(source, "data")
        assert faults(workspace.path, versions) == []
    assert content_of_version(workspace.put(source, "data")) == content_of(source)
    assert faults(workspace.path, {**versions, "data:v0": content_of(source)}) == []


def test_command_on_a_full_disk(disk: Path, source: Path) -> None:
    """The command exits with 6 and one sentence, and with 0 when it is run again after space was freed."""
    workspace = disk / "workspace"
    init_workspace(workspace)
    words = [sys.executable, "-m", "artfs", "-w", str(workspace), "put", str(source), "data"]
    with filled(disk, RESERVE + 5 * MIB):
        full = subprocess.run(words, env=environment(), capture_output=True, text=True, timeout=60)
    assert full.returncode == 6, full.stderr
    assert len(full.stderr.splitlines()) == 1 and not missing(full.stderr, [str(workspace)])
    assert has_reason(full.stderr, "reserve reached")
    again = subprocess.run(words, env=environment(), capture_output=True, text=True, timeout=60)
    assert again.returncode == 0, again.stderr
    forget(workspace)
    assert faults(workspace, {"data:v0": content_of(source)}) == []


def test_no_inodes_left(source: Path, tmp_path: Path) -> None:
    """A file system without inodes for new files is full as well."""
    with small_tmpfs(tmp_path / "disk", DISK, inodes=64) as disk:
        workspace = init_workspace(disk / "workspace")
        taken = []
        while len(taken) < 100:
            try:
                (disk / f"taken-{len(taken)}").touch()
            except OSError:
                break
            taken.append(disk / f"taken-{len(taken)}")
        with pytest.raises(OutOfSpaceError):
            workspace.put(source, "data")
        assert faults(workspace.path, {}) == []
        for path in taken:
            path.unlink()
        assert content_of_version(workspace.put(source, "data")) == content_of(source)
        assert faults(workspace.path, {"data:v0": content_of(source)}) == []


def taken_by_packs(workspace: Path) -> int:
    return sum(pack.stat().st_blocks * 512 for pack in (workspace / "packs").iterdir())


def two_versions(workspace: Workspace, folder: Path) -> tuple[Content, Content]:
    """Put 8 MiB, and then 8 MiB of which half are the same; return both contents."""
    folder.mkdir()
    contents = []
    for version in (0, 1):
        for number in range(4):
            (folder / f"large-{number}").write_bytes(
                folders.random_bytes(2 * MIB, number * (number < 2 or version + 1))
            )
        workspace.put(folder, "large")
        contents.append(content_of(folder))
    return contents[0], contents[1]


def test_deletion_on_a_full_disk(disk: Path, tmp_path: Path) -> None:
    """With 0 bytes left, rm --now succeeds and frees space, because the workspace keeps a reserve."""
    workspace = init_workspace(disk / "workspace").path
    with opened(workspace) as made:
        _, second = two_versions(made, tmp_path / "large")
    before = taken_by_packs(workspace)
    ballast = disk / "ballast"
    take_all(ballast)
    assert free_bytes(disk) < 4096
    words = [sys.executable, "-m", "artfs", "-w", str(workspace)]
    done = subprocess.run(
        [*words, "rm", "--json", "--now", "large:v0"], env=environment(), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    freed = json.loads(done.stdout)["reaped_bytes"]
    assert freed > 3.9 * MIB
    assert before - taken_by_packs(workspace) > freed - 64 * 4096
    assert faults(workspace, {"large:v1": second}) == []
    assert converge(workspace) == []
    ballast.unlink()
    with opened(workspace) as again:
        assert content_of_version(again.put(tmp_path / "large", "again")) == second
        again.delete("again:v0")
    assert (workspace / "reserve").stat().st_blocks * 512 >= RESERVE, "the reserve is kept back again"
    assert faults(workspace, {"large:v1": second}) == []


@pytest.mark.parametrize("command", [["gc"], ["gc", "--now"], ["gc", "--compact"], ["undelete", "large:v0"]])
def test_other_commands_on_a_full_disk(disk: Path, tmp_path: Path, command: list[str]) -> None:
    """With 0 bytes left, operations that free or restore succeed; compaction may report that it lacks space."""
    workspace = init_workspace(disk / "workspace").path
    with opened(workspace) as made:
        first, second = two_versions(made, tmp_path / "large")
        made.delete("large:v0")
    with filled(disk, 0):
        words = [sys.executable, "-m", "artfs", "-w", str(workspace), *command]
        done = subprocess.run(words, env=environment(), capture_output=True, text=True, timeout=60)
        assert done.returncode in ({0, 6} if "--compact" in command else {0}), done.stderr
        assert "internal error" not in done.stderr
        gone = {} if "--now" in command else {"large:v0": first}
        assert faults(workspace, {"large:v1": second}, gone) == []
    assert faults(workspace, {"large:v1": second}, gone) == []
    assert converge(workspace) == []


@pytest.mark.fuse
def test_a_daemon_goes_on(disk: Path, tmp_path: Path, transport: str) -> None:
    """A mount serves and reaps while the disk is full, and once it has space again, without a restart."""
    workspace = init_workspace(disk / "workspace")
    _, second = two_versions(workspace, tmp_path / "large")
    workspace.configure(undelete_seconds=0)
    ballast = disk / "ballast"
    (tmp_path / "mnt").mkdir()
    with mount(workspace.path, tmp_path / "mnt", workers=2, transport=transport) as mounted:
        take_all(ballast)
        assert content_of(mounted.directory / "large" / "v1") == second
        workspace.delete("large:v0")
        wait_until(lambda: workspace.usage().deadlist_entries == 0 and workspace.usage().condemned_bytes == 0)
        assert os.listdir(mounted.directory / "large") == ["v1", "latest"]
        take_all(ballast)  # also the space that was freed
        with pytest.raises(OutOfSpaceError):
            workspace.put(tmp_path / "large" / "large-0", "more")
        assert content_of(mounted.directory / "large" / "v1") == second
        ballast.unlink()
        more = workspace.put(tmp_path / "large" / "large-0", "more")
        assert content_of(mounted.directory / "more" / "v0") == content_of_version(more)
        workspace.delete("large:v1")
        wait_until(lambda: workspace.usage().deadlist_entries == 0 and workspace.usage().condemned_bytes == 0)
    assert faults(workspace.path, {"more:v0": content_of_version(more)}) == []


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
