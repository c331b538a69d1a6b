"""The fast lane and the workers behind it: whatever dies, stops or is replaced, readers get their bytes."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from artfs.mount import lane
from artstore.workspace import Workspace
from open_files import open_files

SOURCES = Path(__file__).resolve().parents[2] / "lane" / "src"
BIG = 20_000_000

Children = Callable[[int], list[int]]
Eventually = Callable[..., None]

pytestmark = [
    pytest.mark.one_transport,
    pytest.mark.skipif(
        not lane.program() and os.environ.get("CI") != "true", reason="the fast lane is not built: pip install ./lane"
    ),
]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    (folder / "sub").mkdir(parents=True)
    (folder / "big").write_bytes(os.urandom(1_000_000) * (BIG // 1_000_000))
    for number in range(50):
        (folder / "sub" / f"f{number}").write_text(f"content {number}\n")
    return folder


def read_fresh(file: Path) -> bytes:
    """Return a file's content from the daemon, not from the kernel's cache."""
    with file.open("rb") as opened:
        os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return opened.read()


def lane_of(mounts: Any, mount: Any) -> int:
    found = mounts.status(mount).lane
    assert found is not None
    return int(found.pid)


def test_the_lane_answers_what_is_in_versions(workspace: Workspace, mounts: Any, source: Path) -> None:
    """After the first requests the workers get no others."""
    mount = mounts()
    version = Path(mount.path(workspace.put(source, "a")))
    assert (version / "sub" / "f1").read_text() == "content 1\n"
    before = mounts.status(mount)
    names = sorted(os.listdir(version / "sub"))
    assert [(version / "sub" / name).read_text() for name in names] == [f"content {name[1:]}\n" for name in names]
    assert read_fresh(version / "big") == (source / "big").read_bytes()
    after = mounts.status(mount)
    assert after.lane.requests - before.lane.requests >= 2 * 49
    assert sum(worker.reads for worker in after.workers) <= 2


def test_it_is_turned_off_by_a_variable(
    workspace: Workspace, mounts: Any, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the lane the workers serve alone, and the status says so."""
    monkeypatch.setattr(lane, "program", lambda: "")
    mount = mounts()
    assert Path(mount.path(workspace.put(source, "a")), "sub", "f2").read_text() == "content 2\n"
    assert mounts.status(mount).lane is None


def test_only_the_lane_holds_the_device(workspace: Workspace, mounts: Any, source: Path) -> None:
    """A worker behind it can neither answer the kernel nor notify it."""
    mount = mounts()
    found = mounts.status(mount)

    assert [open_files(worker.pid).count("/dev/fuse") for worker in found.workers] == [0, 0]
    assert open_files(found.lane.pid).count("/dev/fuse") >= 2


def test_a_killed_lane_is_replaced_under_readers(
    workspace: Workspace, mounts: Any, source: Path, eventually: Eventually
) -> None:
    """A reader whose requests are in its hands gets every byte from the next one."""
    mount = mounts()
    file = Path(mount.path(workspace.put(source, "a")), "big")
    expected = (source / "big").read_bytes()
    outcomes: list[bool] = []
    reader = threading.Thread(target=lambda: outcomes.extend(read_fresh(file) == expected for _ in range(6)))
    reader.start()
    for _ in range(2):
        time.sleep(0.05)
        eventually(lambda: lane_of(mounts, mount) != 0)
        os.kill(lane_of(mounts, mount), signal.SIGKILL)
    reader.join(timeout=30)
    assert outcomes == [True] * 6
    eventually(lambda: lane_of(mounts, mount) != 0)
    assert mounts.status(mount).lane.restarts == 2
    assert read_fresh(file) == expected


def test_a_lane_that_keeps_dying_is_turned_off(
    workspace: Workspace, mounts: Any, source: Path, eventually: Eventually
) -> None:
    """After three deaths in a minute the workers serve alone, and the status says so."""
    mount = mounts()
    file = Path(mount.path(workspace.put(source, "a")), "sub", "f3")
    for death in range(3):
        eventually(lambda: lane_of(mounts, mount) != 0)
        os.kill(lane_of(mounts, mount), signal.SIGKILL)
        eventually(lambda death=death: mounts.status(mount).lane.restarts == death + 1)  # type: ignore[misc]
    eventually(lambda: lane_of(mounts, mount) == 0)
    assert read_fresh(file) == b"content 3\n"
    found = mounts.status(mount)
    assert found.lane.pid == 0 and found.requests > found.lane.requests
    shown = subprocess.run(
        [sys.executable, "-m", "artfs", "-w", str(workspace.path), "status"], capture_output=True, text=True, check=True
    )
    assert "fast lane: turned off, because it died 3 times" in shown.stdout


def test_stopped_workers_do_not_stop_the_lane(workspace: Workspace, mounts: Any, source: Path) -> None:
    """What the lane answers goes on; what it hands over is answered when a worker runs again."""
    mount = mounts()
    version = Path(mount.path(workspace.put(source, "a")))
    assert (version / "sub" / "f1").read_text() == "content 1\n"
    workers = [worker.pid for worker in mounts.status(mount).workers]
    for pid in workers:
        os.kill(pid, signal.SIGSTOP)
    got: list[bytes] = []
    waiting = threading.Thread(target=lambda: got.append(os.getxattr(version, "user.artfs.digest")))
    waiting.start()
    texts = [(version / "sub" / f"f{number}").read_text() for number in range(2, 50)]
    assert texts == [f"content {number}\n" for number in range(2, 50)] and got == []
    for pid in workers:
        os.kill(pid, signal.SIGCONT)
    waiting.join(timeout=10)
    assert len(got) == 1


def test_a_request_in_the_hands_of_a_killed_worker_is_answered(workspace: Workspace, mounts: Any, source: Path) -> None:
    """The lane has kept it, and sends it to the worker's replacement."""
    mount = mounts(workers=1)
    version = Path(mount.path(workspace.put(source, "a")))
    (worker,) = mounts.status(mount).workers
    os.kill(worker.pid, signal.SIGSTOP)
    got: list[bytes] = []
    waiting = threading.Thread(target=lambda: got.append(os.getxattr(version, "user.artfs.digest")))
    waiting.start()
    time.sleep(0.2)
    os.kill(worker.pid, signal.SIGKILL)
    waiting.join(timeout=10)
    assert len(got) == 1


def test_a_request_that_kills_two_workers_fails(
    tmp_path: Path, mounts: Any, elsewhere: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """Its caller gets EIO, and everything else is served."""
    script = """
import json, os, sys
from pathlib import Path
from artfs.mount.control import mount, unmount
from artfs.mount.tree import Tree
from artstore.workspace import init_workspace
folder, result = Path(sys.argv[1]), {}
workspace = init_workspace(folder / "ws2")
(folder / "source").mkdir()
(folder / "source" / "x").write_text("content")
(folder / "m").mkdir()
version = workspace.put(folder / "source", "a")
Tree.xattr = lambda self, inode, name: os._exit(9)
handle = mount(workspace.path, folder / "m", forked=True, workers=1)
try:
    os.getxattr(handle.path(version), "user.artfs.digest")
except OSError as error:
    result["number"] = error.errno
result["content"] = Path(handle.path(version), "x").read_text()
unmount(folder / "m")
print(json.dumps(result))
"""
    assert json.loads(elsewhere(script, tmp_path).stdout) == {"number": errno.EIO, "content": "content"}


def test_a_request_that_kills_the_lane_is_left_to_the_workers(
    workspace: Workspace, mounts: Any, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that dies of one name is replaced, Python answers, and the lane goes on with everything else."""
    program = tmp_path / "artfs-lane"
    subprocess.run(
        [
            *("gcc", "-O1", '-DARTFS_LANE_DEADLY="deadly"', "-o", program),
            *(*sorted(map(str, SOURCES.glob("*.c"))), "-llmdb", "-lzstd", "-lpthread"),
        ],
        check=True,
    )
    monkeypatch.setattr(lane, "program", lambda: str(program))
    (source / "deadly").write_text("survived")
    mount = mounts()
    version = Path(mount.path(workspace.put(source, "a")))
    assert (version / "sub" / "f1").read_text() == "content 1\n"
    assert (version / "deadly").read_text() == "survived"
    found = mounts.status(mount).lane
    assert found.restarts in (1, 2) and found.pid


def test_a_compacted_environment_is_followed(
    workspace: Workspace, mounts: Any, source: Path, eventually: Eventually
) -> None:
    """The lane ends and begins again on the copy; that is no death."""
    mount = mounts()
    version = Path(mount.path(workspace.put(source, "a")))
    assert (version / "sub" / "f1").read_text() == "content 1\n"
    before = lane_of(mounts, mount)
    (source / "many").mkdir()
    for number in range(3000):
        (source / "many" / f"{number}").write_text(str(number))
    workspace.put(source / "many", "b")
    workspace.delete("b:v0", now=True)
    current = (workspace.path / "current").read_text()
    workspace.gc(compact=True)
    assert (workspace.path / "current").read_text() != current
    assert [(version / "sub" / f"f{number}").read_text() for number in range(50)] == [
        f"content {number}\n" for number in range(50)
    ]
    assert read_fresh(version / "big") == (source / "big").read_bytes()
    eventually(lambda: lane_of(mounts, mount) not in (0, before))
    assert mounts.status(mount).lane.restarts == 0


def test_a_program_of_another_release_is_not_used(
    workspace: Workspace, mounts: Any, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    eventually: Eventually,
) -> None:  # fmt: skip
    """One that says that it cannot serve is turned off at once, and the workers serve."""
    program = tmp_path / "artfs-lane"
    program.write_text("#!/bin/sh\nexit 76\n")
    program.chmod(0o755)
    monkeypatch.setattr(lane, "program", lambda: str(program))
    mount = mounts()
    version = Path(mount.path(workspace.put(source, "a")))
    assert (version / "sub" / "f1").read_text() == "content 1\n"
    eventually(lambda: lane_of(mounts, mount) == 0)


def test_the_plan_has_the_layout_of_the_program() -> None:
    """The daemon's description of what it passes matches the program's."""
    text = (SOURCES / "lane.h").read_text()
    body = re.search(r"struct plan \{(.*?)\n\};", text, re.DOTALL)
    assert body is not None
    widths = {"u32": 4, "i64": 8, "u64": 8, "int32_t": 4, "char": 1}
    sizes = {"MOST_THREADS": lane.MOST_WORKERS, "MOST_WORKERS": lane.MOST_WORKERS, "256": 256, "5 * 512": 5 * 512}
    total = 0
    for kind, names in re.findall(
        r"(u32|i64|u64|int32_t|char) ([^;]+);", re.sub(r"/\*.*?\*/", "", body[1], flags=re.DOTALL)
    ):
        for name in names.split(","):
            count = re.search(r"\[(.+)\]", name)
            total += widths[kind] * (sizes[count[1]] if count else 1)
    assert total == lane._PLAN.size
