"""Running ``artfs`` as a user does, and measuring its cost from outside: time, memory, bytes read."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Watched:
    """A command's cost: ``peak_bytes`` sums its processes' resident peaks, ``bytes_read`` counts its read calls."""

    document: dict[str, Any]
    seconds: float
    peak_bytes: int
    bytes_read: int


class Workspace:
    """A workspace in a folder of its own, used through the ``artfs`` command only.

    ``python`` runs the command, with ``settings`` added to its environment.
    """

    def __init__(
        self, folder: Path, python: str | Path = sys.executable, settings: Mapping[str, str] | None = None
    ) -> None:
        self.folder = folder
        self._python = python
        self._environment = {**os.environ, **(settings or {})}

    def command(self, *arguments: str | Path) -> list[str]:
        """Return the command line of ``artfs`` with these arguments."""
        return [str(self._python), "-m", "artfs", "--workspace", str(self.folder), *map(str, arguments)]

    def run(self, *arguments: str | Path) -> float:
        """Run ``artfs`` and return the elapsed seconds; its output is shown only if it fails."""
        start = time.perf_counter()
        finished = subprocess.run(
            self.command(*arguments),
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        seconds = time.perf_counter() - start
        if finished.returncode:
            raise SystemExit(f"artfs {arguments[0]} failed: {finished.stderr}")
        return seconds

    def report(self, *arguments: str | Path) -> dict[str, Any]:
        """Run ``artfs ... --json`` and return its document."""
        command = self.command(*arguments, "--json")
        finished = subprocess.run(
            command, env=self._environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
        )
        if finished.returncode:
            raise SystemExit(f"artfs {arguments[0]} failed")  # it has printed the reason
        document: dict[str, Any] = json.loads(finished.stdout)
        return document

    def watch(self, *arguments: str | Path) -> Watched:
        """Run ``artfs ... --json`` and sample it every 20 ms."""
        command = self.command(*arguments, "--json")
        peaks: dict[int, int] = {}
        start = time.perf_counter()
        with subprocess.Popen(
            command, env=self._environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
        ) as process:
            # Left unwaited when it ends, so that its counters can still be read.
            while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                for pid in process_tree(process.pid):
                    peaks[pid] = max(peaks.get(pid, 0), kilobytes(f"/proc/{pid}/status", "VmHWM"))
                time.sleep(0.02)
            seconds = time.perf_counter() - start
            bytes_read = int(Path(f"/proc/{process.pid}/io").read_text().split()[1])
            output, _ = process.communicate()
        if process.returncode:
            raise SystemExit(f"artfs {arguments[0]} failed")
        return Watched(json.loads(output), seconds, sum(peaks.values()), bytes_read)

    @contextlib.contextmanager
    def mounted(self, directory: Path, *options: str) -> Iterator[int]:
        """Mount the workspace at a folder, which is made if needed; yields the daemon's process id."""
        directory.mkdir(exist_ok=True)
        pid: int = self.report("mount", directory, *options)["pid"]
        try:
            yield pid
        finally:
            self.run("umount", directory)

    def manifest_bytes(self) -> int:
        """Return the size of the LMDB files."""
        return sum(file.stat().st_size for file in self.folder.rglob("data.mdb"))


def process_tree(pid: int) -> list[int]:
    """Return the ids of a process and all its living descendants."""
    found = [pid]
    for parent in found:
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{parent}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
    return found


def kilobytes(file: str, field: str) -> int:
    """Return a field of a /proc file that is given in kB, in bytes; 0 if the process has ended."""
    with contextlib.suppress(OSError):
        for line in Path(file).read_text().splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) << 10
    return 0


def anonymous_memory(pid: int) -> list[int]:
    """Return the anonymous memory, each page divided by its sharers, of a process and each of its descendants."""
    return [kilobytes(f"/proc/{each}/smaps_rollup", "Pss_Anon") for each in process_tree(pid)]


def drop_page_cache() -> None:
    """Drop the caches, so that the next reads come from the disk; needs root."""
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3\n")


def measured_on() -> dict[str, object]:
    """Return the facts that the figures depend on: the commit, the kernel, the Python, the number of cores."""
    describe = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    commit = subprocess.run(describe, capture_output=True, text=True).stdout.strip() if shutil.which("git") else ""
    return {
        "commit": commit or "unknown",
        "kernel": platform.release(),
        "python": platform.python_version(),
        "cores": len(os.sched_getaffinity(0)),
    }
