"""What is wrong with a mount point, or with who asks, is one sentence, and nothing is mounted then."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from artfs.mount import checks, wakefulness
from artfs.mount.control import mount, status, unmount
from artfs.mount.kernel import attach
from artfs.mount.table import at
from artstore.daemons import live_daemons
from artstore.errors import (
    ArtfsError,
    ExistsError,
    InvalidInputError,
    MountError,
    NotFoundError,
    WorkspaceNotFoundError,
)
from artstore.workspace import Workspace
from messages import raises

pytestmark = pytest.mark.one_transport


def refused(
    kind: type[ArtfsError], names: Iterable[str], reason: str, workspace: Workspace, directory: Path, **options: Any
) -> None:
    with raises(kind, names=names, reason=reason) as caught:
        mount(workspace.path, directory, **options)
    assert "\n" not in str(caught.value)
    assert live_daemons(workspace.path / "run") == []


def test_mount_points_that_will_not_do(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    refused(NotFoundError, [f"{tmp_path}/absent"], "no mount point", workspace, tmp_path / "absent")
    refused(InvalidInputError, [f"{tmp_path}/file"], "not a folder", workspace, tmp_path / "file")
    refused(ExistsError, [f"{tmp_path}/full"], "folder not empty", workspace, tmp_path / "full")
    (workspace.path / "cache" / "m").mkdir()
    for inside in (workspace.path / "run" / "drafts", workspace.path / "cache" / "m"):
        names = [str(inside), str(workspace.path)]
        refused(InvalidInputError, names, "mount point in the workspace", workspace, inside)
    refused(InvalidInputError, [], "no workers", workspace, tmp_path / "full", workers=0)
    refused(InvalidInputError, ["'pigeon'"], "no such transport", workspace, tmp_path / "full", transport="pigeon")


def test_only_root_can_keep_processors_awake(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An explicit request is refused to other users; by default they get a mount without it."""
    monkeypatch.setattr(wakefulness, "LATENCY_DEVICE", str(tmp_path / "absent"))
    (tmp_path / "m").mkdir()
    with raises(InvalidInputError, names=[f"{tmp_path}/absent"]):
        mount(workspace.path, tmp_path / "m", low_latency=True)
    assert live_daemons(workspace.path / "run") == []
    with mount(workspace.path, tmp_path / "m", tied=True) as handle:
        (found,) = status(directory=handle.directory)
        assert not found.low_latency


def test_a_workspace_below_its_mount_point(tmp_path: Path) -> None:
    from artstore.workspace import init_workspace

    workspace = init_workspace(tmp_path / "m" / "ws")
    with raises(InvalidInputError, names=[str(workspace.path)], reason="workspace in the mount point"):
        mount(workspace.path, tmp_path / "m")
    with raises(InvalidInputError, names=[str(workspace.path)], reason="workspace in the mount point"):
        checks._check_apart(workspace.path, tmp_path / "m")


def test_no_workspace(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    with pytest.raises(WorkspaceNotFoundError):
        mount(tmp_path / "nothing", tmp_path / "m")


def test_what_is_mounted_already(workspace: Workspace, mounts: Any, tmp_path: Path) -> None:
    first = mounts()
    with raises(MountError, names=[str(first.directory), "fuse.artfs", str(workspace.path)], reason="already mounted"):
        mount(workspace.path, first.directory)
    other = tmp_path / "other"
    other.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", other], check=True)
    try:
        with raises(MountError, names=[str(other), "tmpfs", "none"], reason="already mounted"):
            mount(workspace.path, other)
        with raises(NotFoundError, names=[str(other), "tmpfs"], reason="another file system"):
            unmount(other)
        with raises(NotFoundError, names=[str(other)], reason="another file system"):
            status(directory=other)
    finally:
        subprocess.run(["umount", other], check=True)


def test_a_path_to_the_mount_point_may_go_through_links(workspace: Workspace, mounts: Any, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    made = mounts(tmp_path / "link")
    assert made.directory == tmp_path / "real"
    assert [one.directory for one in status(directory=tmp_path / "link")] == [str(tmp_path / "real")]
    unmount(f"{tmp_path}/link/")
    assert at(tmp_path / "real") is None


def test_without_the_device(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "m").mkdir()
    monkeypatch.setattr("artfs.mount.kernel.DEVICE", str(tmp_path / "fuse"))
    device = [f"{tmp_path}/fuse"]
    refused(MountError, device, "no device", workspace, tmp_path / "m")
    (tmp_path / "fuse").mkdir()
    refused(MountError, device, "device cannot be opened", workspace, tmp_path / "m")


def test_a_daemon_that_cannot_start_says_why(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What goes wrong in the daemon reaches the caller as a sentence, and the mount point is as it was."""
    (tmp_path / "m").mkdir()
    run = tmp_path / "run"
    run.mkdir(mode=0o755)
    (run / "artfs").mkdir(mode=0o755)
    run.chmod(0o700)
    (run / "artfs").chmod(0o755)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(run))
    refused(MountError, [f"{run}/artfs"], "another owner", workspace, tmp_path / "m")
    assert at(tmp_path / "m") is None
    assert [entry for entry in (workspace.path / "run/daemons").iterdir() if entry.suffix != ".log"] == []


@pytest.mark.parametrize(
    ("chosen", "module", "text", "names", "reason"),
    [
        (
            "pyfuse3",
            "pyfuse3",
            "raise ImportError('broken installation')",
            ["pyfuse3", "broken installation"],
            "binding does not load",
        ),
        ("direct", "sitecustomize", "import sys; sys.modules['trio'] = None", ["trio"], "not installed"),
    ],
)
def test_a_library_that_does_not_load_is_named(
    workspace: Workspace,
    mount_point: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    chosen: str,
    module: str,
    text: str,
    names: list[str],
    reason: str,
) -> None:
    """Before the mount or after it, the caller learns of it at once, and nothing stays mounted."""
    (tmp_path / f"{module}.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    refused(MountError, names, reason, workspace, mount_point, transport=chosen)
    assert at(mount_point) is None


def test_an_event_loop_that_is_there_and_broken_ends_the_mount(
    workspace: Workspace, mounts: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is loaded when the mount serves already: the log has the reason, and reading fails instead of waiting."""
    (tmp_path / "trio.py").write_text("raise ImportError('broken installation')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    mount = mounts()
    assert mount._daemon.wait(5) == 1
    (log,) = (workspace.path / "run/daemons").glob("*.log")
    assert "broken installation" in log.read_text()
    with pytest.raises(OSError) as caught:
        os.listdir(mount.directory)
    assert caught.value.errno == errno.ENOTCONN


def test_direct_needs_no_binding(
    workspace: Workspace, mounts: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where pyfuse3 is broken or missing a kernel that has all that is needed is served all the same."""
    (tmp_path / "pyfuse3.py").write_text("raise ImportError('broken installation')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    mount = mounts(transport="auto")
    assert mounts.status(mount).transport == "direct"
    assert os.listdir(mount.directory) == []


def test_importing_it_is_cheap(elsewhere: Callable[..., Any]) -> None:
    """Neither the binding nor the event loop is loaded by what a training script imports, or by mounting."""
    code = (
        "import sys, artfs.mount, artfs.mount.control\n"
        "artfs.mount.mount, artfs.mount.MountHandle, artfs.mount.status\n"
        "print(sorted({'pyfuse3', 'trio'} & set(sys.modules)))"
    )
    assert elsewhere(code).stdout == "[]\n"


def test_attaching_to_nowhere_is_one_sentence(tmp_path: Path) -> None:
    with raises(MountError, names=[f"{tmp_path}/absent", os.strerror(errno.ENOENT)]):
        attach(b"ws", os.fsencode(tmp_path / "absent"), allow_other=False)


def test_commands_that_name_a_suspended_mount_end(
    workspace: Workspace, mounts: Any, children: Callable[[int], list[int]]
) -> None:
    """They never look at the folder itself: its daemon would not answer."""
    mount = mounts()
    pids = [mount.pid, *children(mount.pid)]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    command = [sys.executable, "-P", "-m", "artfs", "-w", workspace.path]
    shown = subprocess.run([*command, "status", mount.directory], timeout=50, capture_output=True, check=True).stdout
    assert b"kill -CONT %d" % mount.pid in shown
    subprocess.run([*command, "gc", "--evict", mount.directory], timeout=50, capture_output=True, check=True)
    subprocess.run([*command, "umount", mount.directory], timeout=50, capture_output=True, check=True)
    assert at(mount.directory) is None
