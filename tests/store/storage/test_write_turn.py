"""Waiting for a process that writes ends: with its transaction, with the process, or with an error that names it."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from artstore.errors import BusyError
from artstore.storage import manifest
from artstore.workspace import Workspace, init_workspace
from messages import raises

WRITER = """
import sys
from pathlib import Path
from artstore.storage import manifest
with manifest.write(Path(sys.argv[1])):
    print("writing", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return init_workspace(tmp_path / "ws")


@pytest.fixture
def writer(workspace: Workspace) -> Iterator[subprocess.Popen[str]]:
    """A process in the middle of a write transaction."""
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", WRITER, workspace.path]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "writing\n"
        yield process
        process.kill()


def write(workspace: Workspace) -> None:
    with manifest.write(workspace.path):
        pass


def test_a_suspended_writer_is_named_and_not_waited_for(workspace: Workspace, writer: subprocess.Popen[str]) -> None:
    """Neither by a process that has the workspace open, nor by one that opens it, only to read."""
    os.kill(writer.pid, signal.SIGSTOP)
    begun = time.monotonic()
    with raises(BusyError, names=[f"process {writer.pid}", str(workspace.path)]):
        write(workspace)
    assert 3 < time.monotonic() - begun < 20
    command = [sys.executable, "-P", "-m", "artfs", "-w", workspace.path, "ls"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 1 and f"kill -CONT {writer.pid}" in done.stderr
    os.kill(writer.pid, signal.SIGCONT)
    writer.communicate("\n")
    write(workspace)


def test_a_writer_that_runs_is_waited_for(workspace: Workspace, writer: subprocess.Popen[str]) -> None:
    """Longer than a suspended one, and until it ends."""

    def end() -> None:
        time.sleep(5)
        assert writer.stdin is not None
        writer.stdin.write("\n")
        writer.stdin.flush()

    thread = threading.Thread(target=end)
    begun = time.monotonic()
    thread.start()
    write(workspace)
    assert time.monotonic() - begun > 4
    thread.join()


def test_the_turn_ends_with_the_process_and_its_children_have_none(workspace: Workspace) -> None:
    code = WRITER.replace('print("writing"', 'import os, time\n    os.fork() or time.sleep(60)\n    print("writing"')
    command = [sys.executable, "-c", code, workspace.path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "writing\n"
        process.kill()
        process.wait()
        write(workspace)


def test_threads_share_the_turn(workspace: Workspace, writer: subprocess.Popen[str]) -> None:
    """And an interrupted transaction, whose end was never reached, does not keep it."""
    writer.communicate("\n")
    threads = [threading.Thread(target=lambda: [write(workspace) for _ in range(20)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    environment, raw = manifest._begin_to_write(workspace.path)
    del raw
    gc.collect()
    environment.leave()
    code = "import sys; from pathlib import Path; from artstore.storage import manifest\n"
    code += "with manifest.write(Path(sys.argv[1])): print('done')"
    done = subprocess.run([sys.executable, "-c", code, workspace.path], capture_output=True, timeout=30, check=True)
    assert done.stdout == b"done\n"
