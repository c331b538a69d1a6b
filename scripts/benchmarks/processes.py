"""Running other programs, and their results: last line of output, processor time, disk space."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


class SideFailed(Exception):
    """Raised, with the reason, if a side cannot do its part. It is left out, and named."""


def run(command: Sequence[str | Path], settings: Mapping[str, str] | None = None, *, cwd: Path | None = None) -> bytes:
    """Run a peer's program, with settings in its environment, and return its output; raise SideFailed if it fails."""
    try:
        finished = subprocess.run(
            [str(each) for each in command],
            cwd=cwd,
            env={**os.environ, **(settings or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
        )
    except OSError as error:
        raise SideFailed(f"{command[0]} cannot be run: {error.strerror}") from None
    if finished.returncode:
        said = last_line(finished.stderr or finished.stdout)
        raise SideFailed(f"'{Path(command[0]).name} {command[1]}' failed: {said}")
    return finished.stdout


def run_module(module: str, *arguments: str | Path) -> bytes:
    """Run a module of this package as a program of its own, and return its output; raise SideFailed if it fails."""
    path = os.pathsep.join(filter(None, [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH")]))
    return run([sys.executable, "-m", f"benchmarks.{module}", *arguments], {"PYTHONPATH": path})


def last_line(output: bytes) -> str:
    """Return the last line of a program's output."""
    lines = output.decode(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")


def mount_points() -> list[Path]:
    """Return the mount points; found without touching them, because their server may hang or be dead."""
    lines = Path("/proc/self/mountinfo").read_bytes().splitlines()
    return [Path(unescaped(line.split(b" ")[4])) for line in lines]


def unescaped(field: bytes) -> str:
    """Return a path of the table of mounts: space, tab, newline and backslash are octal there, all else is raw."""
    return os.fsdecode(re.sub(rb"\\([0-7]{3})", lambda found: bytes([int(found[1], 8)]), field))


def end_mount(point: Path) -> None:
    """Unmount a folder; if it is in use, it is detached now and unmounted later."""
    if point in mount_points():
        tool, lazily = (["umount"], "-l") if os.geteuid() == 0 else (["fusermount3", "-u"], "-z")
        if subprocess.run([*tool, point], capture_output=True).returncode:
            subprocess.run([*tool, lazily, point], capture_output=True)


def end_mounts_below(folder: Path) -> None:
    """Unmount all mounts below a folder, the innermost first."""
    for point in sorted((point for point in mount_points() if folder in point.parents), reverse=True):
        end_mount(point)


def cpu_seconds(pid: int) -> float:
    """Return the processor time of one process and of its children that have ended; 0 if it has ended itself."""
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        # /proc counts in ticks of 10 ms; the clock of the process, whose id clock_getcpuclockid(3) forms so, in ns.
        return time.clock_gettime((~pid << 3) | 2) + sum(map(int, fields[13:15])) / TICKS
    return 0.0


def allocated_bytes(folder: Path) -> int:
    """Return the space that a folder takes on the disk."""
    total = 0
    for parent, _, files in os.walk(folder):
        total += os.lstat(parent).st_blocks << 9
        total += sum(os.lstat(os.path.join(parent, name)).st_blocks << 9 for name in files)
    return total


def remove(folder: Path) -> None:
    """Remove a folder with everything in it, including read-only entries."""
    if folder.exists():
        subprocess.run(["chmod", "-R", "u+w", folder], check=False, capture_output=True)
        shutil.rmtree(folder)
