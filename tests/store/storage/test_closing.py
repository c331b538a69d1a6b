"""Environments that a process does not use are closed: by themselves, and on demand."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import lmdb
import pytest

from artstore.errors import ArtfsError, BusyError, DamageError
from artstore.storage import environment
from artstore.storage.environment import Environment
from artstore.workspace import Workspace, init_workspace, open_workspace


def made(folder: Path, number: int) -> Workspace:
    workspace = init_workspace(folder / str(number))
    (workspace.path / "reserve").unlink()  # 32 MiB, which tests in memory do not have
    return workspace


def opened() -> int:
    return len(set(environment._open_environments.values()))


def test_a_process_opens_any_number_of_workspaces(tmp_path: Path) -> None:
    """Those that were not used for longest are closed, and open again when they are used."""
    (tmp_path / "file").write_text("x")
    workspaces = []
    for number in range(150):
        workspaces.append(made(tmp_path, number))
        assert opened() <= environment._MOST_OPEN
    before = len(os.listdir("/proc/self/fd"))
    for workspace in workspaces[:40]:
        workspace.put(tmp_path / "file", "a")
    for workspace in workspaces[:40]:
        assert workspace.version("a").read_bytes("file") == b"x"
    assert opened() <= environment._MOST_OPEN
    assert len(os.listdir("/proc/self/fd")) < before + environment._MOST_OPEN + 20
    for workspace in workspaces:
        workspace.close()


def test_one_in_use_is_not_closed(tmp_path: Path) -> None:
    first = made(tmp_path, 0)
    with first.store.snapshot() as snapshot:
        for number in range(1, environment._MOST_OPEN + 4):
            made(tmp_path, number)
        assert Environment.of(first.path).handles
        assert snapshot.transaction.counters().versions == 0
    for number in range(1, environment._MOST_OPEN + 4):
        Environment.close_of(tmp_path / str(number))


def test_closing(workspace: Workspace, tmp_path: Path) -> None:
    """What is closed is open again at its next use, for every object of the workspace."""
    (tmp_path / "file").write_text("x")
    version = workspace.put(tmp_path / "file", "a")
    assert version.read_bytes("file") == b"x"

    def held() -> list[str]:
        links = [f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd")]
        targets = [os.readlink(link) for link in links if os.path.islink(link)]
        return [target for target in targets if str(workspace.path) in target]

    assert held()
    workspace.close()
    assert held() == []
    workspace.close()
    with open_workspace(workspace.path) as again:
        assert again == workspace
        assert version.read_bytes("file") == b"x"
    assert held() == []
    assert [each.name for each in workspace.versions("a")] == ["a:v0"]


def test_closing_waits_for_another_thread(workspace: Workspace) -> None:
    reading, closed = threading.Event(), threading.Event()
    results = []

    def read() -> None:
        with workspace.store.snapshot() as snapshot:
            reading.set()
            closed.wait(10)
            results.append(snapshot.transaction.counters().versions)

    thread = threading.Thread(target=read)
    thread.start()
    assert reading.wait(10)
    workspace.close()
    closed.set()
    thread.join()
    assert results == [0]
    assert workspace.artifacts() == []


def test_no_addresses_are_no_damage(workspace: Workspace) -> None:
    """A process without room for another mapping closes what it does not use, and then says what is wrong."""
    workspace.close()
    attempts = []

    def refuse(*_: object, **__: object) -> None:
        attempts.append(1)
        raise lmdb.Error(f"{workspace.path}: {os.strerror(12)}")

    with pytest.MonkeyPatch.context() as patch, pytest.raises(BusyError) as caught:
        patch.setattr(lmdb, "open", refuse)
        workspace.artifacts()
    assert not isinstance(caught.value, DamageError)
    assert str(workspace.path) in str(caught.value) and "close" in caught.value.hint
    assert attempts


def test_a_limit_of_addresses(tmp_path: Path) -> None:
    """Under ``ulimit -v`` a process can use any number of workspaces, or fails with an error that names the limit."""
    names = [str(made(tmp_path, number).path) for number in range(8)]
    for name in names:
        Environment.close_of(Path(name))
    program = (
        "import resource, sys, artstore.workspace as w\n"
        "resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))\n"
        "print(sum(len(w.open_workspace(name).artifacts()) for name in sys.argv[1:]))"
    )
    done = subprocess.run([sys.executable, "-c", program, *names], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "0\n"), done.stderr


def test_a_failed_write_for_want_of_memory(workspace: Workspace) -> None:
    error = environment._failure(workspace.path, lmdb.Error(f"mdb_put: {os.strerror(12)}"))
    assert isinstance(error, ArtfsError) and not isinstance(error, DamageError)
