"""An open file survives its version's deletion, to the byte, until it is closed; then it is reaped automatically.

Its path is gone at once.  Open files are not tracked: the daemon asks the kernel of each mount.
"""

from __future__ import annotations

import errno
import hashlib
import itertools
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from artfs.mount.control import mount as make_mount
from artfs.mount.handle import MountHandle
from artstore.daemon_requests import request
from artstore.daemons import live_daemons
from artstore.workspace import Workspace, init_workspace
from messages import missing
from reasons import has_reason

HOLDER = """
import hashlib, json, mmap, os, sys
held = []
def open_file(path):
    held.append(open(path, "rb"))
def map_file(path):
    with open(path, "rb") as file:
        held.append(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ))
def content():
    held[-1].seek(0)
    return hashlib.sha256(held[-1].read()).hexdigest()
def close():
    held.pop().close()
for line in sys.stdin:
    try:
        answer = {"is": eval(line)}
    except OSError as error:
        answer = {"errno": error.errno}
    print(json.dumps(answer), flush=True)
"""

GONE = {"errno": errno.ENOENT}
LOST = ({"errno": errno.ENOENT}, {"errno": errno.ESTALE})


class Holder:
    """A process that evaluates expressions, one after the other."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def does(self, expression: str) -> Any:
        """Return what an expression is, or the number of the error that it ends with; it must not hang."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(expression + "\n")
        self.process.stdin.flush()
        assert select.select([self.process.stdout], [], [], 20)[0], f"{expression} hangs"
        answer = json.loads(self.process.stdout.readline())
        return answer.get("is", answer)

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def holder() -> Iterator[Callable[[], Holder]]:
    made: list[Holder] = []

    def make() -> Holder:
        made.append(Holder())
        return made[-1]

    yield make
    for each in made:
        each.end()


BIG = 3_000_000


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder with a large file some levels down, and other files on each level."""
    folder = tmp_path / "source"
    deep = folder / "a" / "b" / "c"
    deep.mkdir(parents=True)
    for level in (deep, *list(deep.parents)[:3]):
        for number in range(20):
            (level / f"f{number}").write_bytes(os.urandom(2000))
    (deep / "big").write_bytes(os.urandom(BIG))
    return folder


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def see_all(folder: Path) -> None:
    """Make the kernel cache every name of a folder."""
    for _ in os.walk(folder):
        pass
    subprocess.run(["find", folder, "-printf", "%s"], check=True, stdout=subprocess.DEVNULL)


def uncache(file: Path) -> None:
    """Drop a file's bytes from the kernel's cache: the next read asks a worker."""
    descriptor = os.open(file, os.O_RDONLY)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)


def emptied(workspace: Workspace) -> bool:
    """Whether the deadlist is empty and no byte of content is left."""
    usage = workspace.usage()
    return usage.deadlist_entries == 0 and usage.deadlist_bytes == 0 and usage.stored_bytes == 0


def kept(workspace: Workspace, name: str = "data:v0") -> None:
    """Check that gc leaves a deleted version whole, and says who uses it."""
    report = workspace.gc(now=True)
    assert report.freed_bytes == 0
    assert report.waiting_bytes >= BIG
    assert [line.split(": ")[0] for line in report.in_use] == [name]


@pytest.mark.parametrize("how", ["open_file", "map_file"])
def test_what_is_open_is_exact_until_it_is_closed(
    workspace: Workspace, mounts: Any, source: Path, holder: Callable[[], Holder], how: str
) -> None:
    """After rm and gc, also where nothing is cached; the next gc after the close frees all, without need of memory."""
    mount, process = mounts(), holder()
    folder = Path(mount.path(workspace.put(source, "data")))
    expected = digest(source / "a/b/c/big")
    see_all(folder)
    process.does(f"{how}({str(folder / 'a/b/c/big')!r})")
    other = os.open(folder / "a/b/c/big", os.O_RDONLY)
    deletion = workspace.delete("data:v0", now=True)
    assert deletion.reaped_bytes == 0
    assert deletion.in_use == [f"data:v0: {mount.directory}"]
    assert not folder.exists()
    for _ in range(3):
        kept(workspace)
        os.posix_fadvise(other, 0, 0, os.POSIX_FADV_DONTNEED)
        assert process.does("content()") == expected
    os.close(other)
    kept(workspace)
    process.does("close()")
    report = workspace.gc(now=True)
    assert report.in_use == []
    assert emptied(workspace), "in one run"
    assert workspace.usage().free_bytes + workspace.usage().other_bytes < workspace.usage().disk_bytes


def test_versions_that_share_go_in_any_order(
    workspace: Workspace, mounts: Any, source: Path, holder: Callable[[], Holder]
) -> None:
    """Opened through v1, deleted first, last or between: the bytes stay while it is open, and then nothing is left."""
    mount, expected = mounts(), digest(source / "a/b/c/big")
    for turn, order in enumerate(itertools.permutations(range(3))):
        name, process = f"data{turn}", holder()
        for number in range(3):
            (source / "f0").write_text(f"{turn} {number}")
            workspace.put(source, name)
        folders = [mount.directory / name / f"v{number}" for number in range(3)]
        for folder in folders:
            see_all(folder)
        process.does(f"open_file({str(folders[1] / 'a/b/c/big')!r})")
        for number in order:
            workspace.delete(f"{name}:v{number}")
            workspace.gc(now=True)
            living = [folder for folder in folders if folder.exists()]
            assert [folder.name for folder in living] == [
                f"v{rest}" for rest in range(3) if rest not in order[: order.index(number) + 1]
            ]
            for folder in living:
                uncache(folder / "a/b/c/big")
            assert process.does("content()") == expected
            assert all(digest(folder / "a/b/c/big") == expected for folder in living)
        kept(workspace, f"{name}:v1")
        process.does("close()")
        workspace.gc(now=True)
        assert emptied(workspace)


def test_two_mounts_hold_it_each_for_itself(
    workspace: Workspace, mounts: Any, source: Path, holder: Callable[[], Holder]
) -> None:
    version, expected = workspace.put(source, "data"), digest(source / "a/b/c/big")
    places = [mounts(), mounts()]
    first, second = holder(), holder()
    for mount, process in zip(places, (first, second), strict=True):
        process.does(f"open_file({mount.path(version) + '/a/b/c/big'!r})")
    workspace.delete("data:v0")
    kept(workspace)
    first.does("close()")
    assert workspace.gc(now=True).in_use == [f"data:v0: {places[1].directory}"]
    assert second.does("content()") == expected
    second.does("close()")
    workspace.gc(now=True)
    assert emptied(workspace)


def test_a_holder_that_is_killed_holds_nothing(
    workspace: Workspace, mounts: Any, source: Path, holder: Callable[[], Holder]
) -> None:
    folder, process = Path(mounts().path(workspace.put(source, "data"))), holder()
    process.does(f"map_file({str(folder / 'a/b/c/big')!r})")
    process.does(f"open_file({str(folder / 'f1')!r})")
    process.does(f"os.chdir({str(folder / 'a')!r})")
    workspace.delete("data:v0")
    kept(workspace)
    process.end()
    workspace.gc(now=True)
    assert emptied(workspace)


def test_a_path_is_gone_at_once_for_everybody(
    workspace: Workspace, mounts: Any, source: Path, holder: Callable[[], Holder]
) -> None:
    """When rm has returned no process finds any name of the version, cached or not, in use or not."""
    mount, process, opened = mounts(), holder(), holder()
    workspace.put(source, "team/data", aliases=["good"])
    (source / "f0").write_text("changed")
    workspace.put(source, "team/data")
    folder = mount.directory / "team" / "data"
    names = ["v0", "v0/f0", "v0/a", "v0/a/f1", "v0/a/b/c/big", "good", "good/f0"]
    for name in [*names, "v1/f0", "latest/f0"]:
        process.does(f"os.stat({str(folder / name)!r}).st_size")
    opened.does(f"open_file({str(folder / 'v0/a/f1')!r})")
    process.does(f"os.listdir({str(folder)!r})")
    workspace.delete("team/data:v0", force=True)
    for name in [*names, "v0/f7", "v0/a/b/f7"]:
        assert process.does(f"os.stat({str(folder / name)!r}).st_size") == GONE, name
        assert process.does(f"open_file({str(folder / name)!r})") == GONE, name
    assert sorted(process.does(f"os.listdir({str(folder)!r})")) == ["latest", "v1"]
    assert process.does(f"os.readlink({str(folder / 'latest')!r})") == "v1"
    workspace.delete("team/data:v1")
    assert process.does(f"os.listdir({str(mount.directory)!r})") == []
    assert process.does(f"os.stat({str(folder / 'v1/f0')!r}).st_size") == GONE
    assert process.does(f"os.stat({str(mount.directory / 'team')!r}).st_size") == GONE


def test_who_stands_in_a_deleted_version_gets_errors(
    workspace: Workspace, mounts: Any, source: Path, holder: Callable[[], Holder]
) -> None:
    """From the moment that rm returns no name is found from a directory in it, cached or not, and nothing hangs."""
    mount = mounts()
    folder = Path(mount.path(workspace.put(source, "data")))
    see_all(folder)
    stands, holds = holder(), holder()
    stands.does(f"os.chdir({str(folder / 'a/b')!r})")
    assert len(stands.does("os.listdir('.')")) == 21
    assert stands.does("os.stat('c/big').st_size") == BIG
    holds.does(f"held.append(os.open({str(folder)!r}, os.O_RDONLY))")
    workspace.delete("data:v0")
    for _ in range(2):
        for name in ("f1", "c", "c/big", "c/f1", "absent", "../f1", ".", ".."):
            assert stands.does(f"os.listdir({name!r})") in LOST, name
            if not name.startswith("."):
                assert stands.does(f"os.stat({name!r}).st_size") in LOST, name
                assert stands.does(f"open_file({name!r})") in LOST, name
        assert stands.does("os.getcwd()") == GONE
        assert holds.does("os.stat('a', dir_fd=held[0]).st_size") in LOST
        assert holds.does("os.listdir(held[0])") in LOST
        kept(workspace)
    stands.does("os.chdir('/')")
    kept(workspace)
    holds.does("os.close(held.pop())")
    workspace.gc(now=True)
    assert emptied(workspace)


def test_a_version_that_comes_back_is_whole(
    workspace: Workspace, mounts: Any, source: Path, holder: Callable[[], Holder]
) -> None:
    """Deleted while a file is open and a process stands in it, undeleted, and deleted again."""
    folder, process = Path(mounts().path(workspace.put(source, "data"))), holder()
    expected = digest(source / "a/b/c/big")
    process.does(f"open_file({str(folder / 'a/b/c/big')!r})")
    process.does(f"os.chdir({str(folder / 'a')!r})")
    for _ in range(2):
        workspace.delete("data:v0")
        assert process.does("os.stat('f1').st_size") in LOST
        workspace.undelete("data:v0")
        assert process.does("os.stat('f1').st_size") == 2000
        assert process.does("content()") == expected
        assert digest(folder / "a/b/c/big") == expected
        see_all(folder)
    workspace.delete("data:v0")
    kept(workspace)
    process.end()
    workspace.gc(now=True)
    assert emptied(workspace)


def everybody(mount: MountHandle, children: Callable[[int], list[int]], number: int) -> None:
    for pid in (mount.pid, *children(mount.pid)):
        os.kill(pid, number)


def test_a_suspended_daemon_keeps_and_blocks_nobody(
    workspace: Workspace, mounts: Any, source: Path, holder: Callable[[], Holder], children: Callable[[int], list[int]]
) -> None:
    """It cannot say what its kernel knows, so nothing is freed; rm and gc return in a bounded time and name it."""
    mount, process = mounts(), holder()
    process.does(f"open_file({mount.path(workspace.put(source, 'data')) + '/a/b/c/big'!r})")
    everybody(mount, children, signal.SIGSTOP)
    try:
        begun = time.monotonic()
        assert workspace.delete("data:v0").silent == [str(mount.directory)]
        assert time.monotonic() - begun < 10
        begun = time.monotonic()
        report = workspace.gc(now=True)
        assert time.monotonic() - begun < 10
        assert (report.freed_bytes, report.freed_nodes) == (0, 0)
        assert has_reason(report.in_use[0], "no answer") and not missing(report.in_use[0], [str(mount.directory)])
    finally:
        everybody(mount, children, signal.SIGCONT)
    kept(workspace)
    assert process.does("content()") == digest(source / "a/b/c/big")
    process.does("close()")
    workspace.gc(now=True)
    assert emptied(workspace)


def test_a_killed_daemon_holds_nothing(
    workspace: Workspace, mounts: Any, source: Path, holder: Callable[[], Holder], eventually: Callable[..., None]
) -> None:
    mount, process = mounts(), holder()
    process.does(f"open_file({mount.path(workspace.put(source, 'data')) + '/a/b/c/big'!r})")
    workspace.delete("data:v0")
    kept(workspace)
    os.kill(mount.pid, signal.SIGKILL)
    eventually(lambda: not live_daemons(workspace.path / "run"))
    workspace.gc(now=True)
    assert emptied(workspace)
    assert process.does("os.lseek(held[0].fileno(), 0, 0)") == 0
    os.utime(source)
    assert process.does("content()") != digest(source / "a/b/c/big"), "an error, never other bytes"


def test_the_daemon_reaps_by_itself(
    workspace: Workspace, mounts: Any, source: Path, holder: Callable[[], Holder], eventually: Callable[..., None]
) -> None:
    """Unused content at once; content in use within about a second after the last close."""
    workspace.configure(undelete_seconds=0)
    mount, process = mounts(), holder()
    workspace.put(source, "free")
    workspace.delete("free:v0")
    eventually(lambda: emptied(workspace))
    folder = mount.path(workspace.put(source, "data"))
    process.does(f"open_file({folder + '/a/b/c/big'!r})")
    workspace.delete("data:v0")
    eventually(lambda: mounts.status(mount).reaper.state == "in use")
    assert mounts.status(mount).reaper.in_use == 1
    assert process.does("content()") == digest(source / "a/b/c/big")
    process.does("close()")
    eventually(lambda: emptied(workspace))
    eventually(lambda: mounts.status(mount).reaper.state == "idle")
    reaper = mounts.status(mount).reaper
    assert reaper.freed_bytes >= 2 * BIG
    assert (reaper.in_use, reaper.last_error, reaper.next_due) == (0, None, None)


@pytest.mark.one_transport
def test_the_window_is_kept_by_the_daemon(
    workspace: Workspace, mounts: Any, source: Path, eventually: Callable[..., None]
) -> None:
    mount = mounts()
    workspace.configure(undelete_seconds=1.5)
    workspace.put(source, "data")
    deletion = workspace.delete("data:v0")
    eventually(lambda: mounts.status(mount).reaper.next_due is not None)
    assert abs(mounts.status(mount).reaper.next_due - deletion.due_at) < timedelta(milliseconds=1)
    assert workspace.usage().deadlist_entries == 1
    eventually(lambda: emptied(workspace))
    assert time.time() > deletion.due_at.timestamp()


def test_purged_content_leaves_the_cache(workspace: Workspace, mounts: Any, source: Path) -> None:
    """Neither its bytes nor its name are found, even by a process that has it open; its siblings stay."""
    (source / "a/b/secret").write_bytes(os.urandom(300_000))
    folder = Path(mounts().path(workspace.put(source, "data")))
    see_all(folder)
    with open(folder / "a/b/secret", "rb", buffering=0) as opened:
        assert len(opened.read()) == 300_000
        workspace.purge("data:v0/a/b/secret", reason="private")
        opened.seek(0)
        with pytest.raises(OSError):
            opened.read()
        for name in ("a/b/secret", "a/b/absent"):
            with pytest.raises(FileNotFoundError):
                os.stat(folder / name)
        assert "secret" not in os.listdir(folder / "a/b")
    assert digest(folder / "a/b/c/big") == digest(source / "a/b/c/big")
    assert digest(folder / "a/b/f0") == digest(source / "a/b/f0")


def test_the_reaper_goes_on_after_a_full_disk(
    tmp_path: Path, source: Path, mount_point: Path, eventually: Callable[..., None]
) -> None:
    """The disk is full to the last byte while something is due: the same daemon gives the space back."""
    if os.geteuid():
        pytest.skip("mounting a small disk needs root")
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96m,mode=0700", "none", disk], check=True)
    try:
        workspace = init_workspace(disk / "ws")
        workspace.configure(undelete_seconds=0)
        with make_mount(workspace.path, mount_point, workers=1) as mount:
            workspace.put(source, "data")
            ballast = disk / "ballast"
            with ballast.open("wb", buffering=0) as file, pytest.raises(OSError):
                while file.write(bytes(65536)):
                    pass
            workspace.delete("data:v0")
            eventually(lambda: emptied(workspace), seconds=20)
            ballast.unlink()
            workspace.put(source, "more")
            assert digest(mount.directory / "more/v0/f0") == digest(source / "f0")
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def test_the_answer_about_use_is_that_of_the_kernel(workspace: Workspace, mounts: Any, source: Path) -> None:
    """Asked over the socket: of versions that are open, not open, and not there."""
    mount = mounts()
    for number in range(3):
        (source / "f0").write_text(str(number))
        workspace.put(source, "data")
    with open(mount.directory / "data/v1/f0"):
        os.stat(mount.directory / "data/v0/a/f1")
        workspace.delete("data:v0..v2")
        (daemon,) = live_daemons(workspace.path / "run")
        artifact, versions = 1, [[1, number, number + 1] for number in range(3)]
        answer = request(daemon, {"op": "in_use", "versions": [*versions, [artifact, 9, 99]]}, timeout=5)
        assert answer == {"ok": True, "in_use": [2]}
