"""What the tests of compacting an environment read and do, in this process and in others."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import pytest

from artstore.reclaim.compaction import environment
from artstore.records.tables import Table, key64
from artstore.storage import manifest
from artstore.workspace import Workspace
from crash.kill import environment as child_environment

Rows = dict[Table, list[tuple[bytes, bytes]]]


def rows(workspace: Workspace) -> Rows:
    """Return all rows as they are stored, but the counters, which every transaction writes again."""
    found: Rows = {}
    with manifest.read(workspace.path) as transaction:
        for table in Table:
            with transaction.raw.cursor(transaction.handles[table]) as cursor:
                found[table] = [(bytes(key), bytes(value)) for key, value in cursor]
    return found


def folders_of(workspace: Workspace) -> list[str]:
    return sorted(name for name in os.listdir(workspace.path) if name.startswith("manifest"))


def number_of(workspace: Workspace) -> int:
    with manifest.read(workspace.path) as transaction:
        return transaction.number


def hurry(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(environment, "READER_SECONDS", 0.3)


@contextmanager
def child(workspace: Workspace, code: str) -> Iterator[subprocess.Popen[str]]:
    """Run Python code in a process that has the workspace as ``ws``; its first line says that it is ready."""
    head = f"import sys\nfrom artstore.workspace import open_workspace\nws = open_workspace({str(workspace.path)!r})\n"
    process = subprocess.Popen(
        [sys.executable, "-c", head + code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=child_environment(),
    )
    try:
        assert line(process) == "ready"
        yield process
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            stream and stream.close()


def line(process: subprocess.Popen[str]) -> str:
    return stream_of(process.stdout).readline().strip()


def tell(process: subprocess.Popen[str]) -> None:
    stream = stream_of(process.stdin)
    stream.write("go\n")
    stream.flush()


def stream_of(stream: IO[str] | None) -> IO[str]:
    assert stream is not None
    return stream


def loosen(workspace: Workspace, step: int) -> None:
    """Make free pages, so that a compaction is worth it."""
    with workspace.store.write() as transaction:
        for number in range(1500):
            transaction.put_numbered(Table.COUNTS, 1 << 40 | number, b"\1\1\0\0\0" * 20)
    with workspace.store.write() as transaction:
        for number in range(1500):
            transaction.delete(Table.COUNTS, key64(1 << 40 | number))
