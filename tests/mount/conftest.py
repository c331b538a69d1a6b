"""Real mounts in temporary folders, taken away whatever a test does to their daemons."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from artfs.mount.control import mount as make_mount
from artfs.mount.control import status
from artfs.mount.handle import MountHandle
from artfs.mount.reports import MountStatus
from artfs.mount.table import at
from artstore.workspace import Workspace, init_workspace
from users.fixtures import Users


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return init_workspace(tmp_path / "ws")


class Mounts:
    """Make mounts of one workspace, and take them away at the end."""

    def __init__(self, workspace: Path, folder: Path, transport: str) -> None:
        self.transport = transport
        self._workspace = workspace
        self._folder = folder
        self._handles: list[MountHandle] = []

    def __call__(self, directory: Path | None = None, **options: Any) -> MountHandle:
        if directory is None:
            directory = self._folder / f"mnt{len(self._handles)}"
            directory.mkdir()
        options.setdefault("workers", 2)
        options.setdefault("transport", self.transport)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("ARTFS_LANE", getattr(self.transport, "lane", "0"))
            handle = make_mount(self._workspace, directory, **options)
        self._handles.append(handle)
        return handle

    def status(self, handle: MountHandle) -> MountStatus:
        (found,) = status(directory=handle.directory)
        return found

    def end(self) -> None:
        for handle in self._handles:
            for pid in (handle.pid, *children(handle.pid)):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
            with contextlib.suppress(Exception):
                handle.close()
            if at(handle.directory) is not None:
                subprocess.run(["umount", "-l", handle.directory], check=False, capture_output=True)
            with contextlib.suppress(ProcessLookupError):
                os.kill(handle.pid, signal.SIGKILL)
            eventually(lambda handle=handle: handle._daemon.poll() is not None)  # type: ignore[misc]


@pytest.fixture
def mounts(workspace: Workspace, tmp_path: Path, transport: str) -> Iterator[Mounts]:
    made = Mounts(workspace.path, tmp_path, transport)
    yield made
    made.end()


@pytest.fixture
def mount_point(tmp_path: Path) -> Iterator[Path]:
    """Return an empty folder on which nothing is left mounted."""
    folder = tmp_path / "m"
    folder.mkdir()
    yield folder
    if at(folder) is not None:
        subprocess.run(["umount", "-l", folder], check=True)


def children(pid: int) -> list[int]:
    """Return the pids of a process's children, in the order in which they were made."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def eventually(condition: Callable[[], Any], *, seconds: float = 10.0) -> None:
    """Wait until something holds, and fail if it does not."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to be"
        time.sleep(0.01)


def undisturbed(test: Callable[..., None]) -> Callable[..., None]:
    """Rerun a test of the kernel's caches if it fails while another process drops all caches of the machine."""

    @functools.wraps(test)
    def run(**fixtures: Any) -> None:
        for _ in range(4):
            before = caches_dropped()
            try:
                return test(**fixtures)
            except AssertionError:
                if caches_dropped() == before:
                    raise
        return test(**fixtures)

    return run


def caches_dropped() -> list[str]:
    """Return how often the caches of names and of bytes were emptied since the machine was started."""
    return [line for line in Path("/proc/vmstat").read_text().splitlines() if line.startswith("drop_")]


def elsewhere(code: str, *arguments: object, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run Python code in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        check=check,
        text=True,
        stdout=subprocess.PIPE,
        timeout=60,
        env=environment(),
    )


def environment() -> dict[str, str]:
    import artfs
    from artstore import errors

    roots = [str(Path(artfs.__path__[0]).parent), str(Path(str(errors.__file__)).parent.parent)]
    roots += [root for root in os.environ.get("PYTHONPATH", "").split(os.pathsep) if root]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(roots)}


@pytest.fixture(name="children")
def children_fixture() -> Callable[[int], list[int]]:
    return children


@pytest.fixture(name="eventually")
def eventually_fixture() -> Callable[..., None]:
    return eventually


@pytest.fixture(name="elsewhere")
def elsewhere_fixture() -> Callable[..., subprocess.CompletedProcess[str]]:
    return elsewhere


@pytest.fixture
def as_ordinary_user(make_users: Callable[..., Users]) -> Callable[..., dict[str, Any]]:
    """Give a function that runs Python code as a user without rights, on a machine where such a user can mount.

    The code finds an empty folder of the user's in ``folder`` and leaves what it found out in ``result``.
    """
    prelude = "import json, os, sys\nfrom pathlib import Path\nfolder = Path.cwd()\nresult = {}\n"

    def run(code: str, *, fuse_conf: str = "") -> dict[str, Any]:
        users = make_users(fuse_conf=fuse_conf)
        done = users.python("alice", prelude + code + "\nprint(json.dumps(result))", timeout=120)
        return dict(json.loads(done.stdout.splitlines()[-1]))

    return run
