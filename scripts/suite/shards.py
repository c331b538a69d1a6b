"""Run all tests in several pytest processes at once, each with its own list of files.

Tests wait for daemons and disks, so a few more processes than processors keep the processors busy.  The lists are
balanced by measured durations.  Tests in a browser are one more list, so that the browser is started once.  Each
process has its own folder for temporary files, below one that the caller gives and removes: a test that was killed may
have left a mount there.
"""

from __future__ import annotations

import argparse
import contextlib
import heapq
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from suite.durations import measured, read_durations, with_estimates, write_durations

__all__ = ["Shard", "balanced", "dealt", "list_test_files", "run_shards", "selected"]

ROOT = Path(__file__).parents[2]
DURATIONS = ROOT / "tests" / "durations.json"
APART = "tests/browser"
"""The folder whose files are one process."""
_OF_DURATIONS = "tests/scripts/test_shards.py::test_most_durations_are_known"


@dataclass
class Shard:
    """One pytest process: its files, its folder, and what it printed."""

    number: int
    files: Sequence[str]
    above: Path

    def __post_init__(self) -> None:
        # A short name, because the path of a socket holds 107 bytes.
        self.folder = self.above / str(self.number)
        self.output = self.above / f"{self.number}.output"
        self.report = self.above / f"{self.number}.xml"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, root: Path, options: Sequence[str]) -> None:
        """Start the process in the folder that the files are relative to."""
        self.folder.mkdir()
        self.folder.chmod(0o1777)  # some tests drop root's rights
        words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        words += ["-o", "junit_family=xunit1", f"--junitxml={self.report}", *options, *self.files]
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                words, cwd=root, env={**os.environ, "TMPDIR": str(self.folder)}, stdout=output, stderr=subprocess.STDOUT
            )

    @property
    def closing_line(self) -> str:
        """The last line that was printed, or how the process ended if that was not by itself."""
        assert self.process is not None
        if (self.process.returncode or 0) < 0:
            return f"ended by {signal.Signals(-self.process.returncode).name}"
        lines = self.output.read_text(errors="replace").rstrip().splitlines()
        return lines[-1] if lines else f"exit code {self.process.returncode}, without output"


def list_test_files(root: Path) -> list[str]:
    """Return the paths of all test files, relative to the root."""
    return sorted(str(path.relative_to(root)) for path in (root / "tests").rglob("test_*.py"))


def selected(durations: Mapping[str, float], below: Sequence[str], at_most: float) -> dict[str, float]:
    """Return the files that are in one of these folders, or are one of them, and took no longer than ``at_most``."""
    return {
        file: seconds
        for file, seconds in durations.items()
        if seconds <= at_most and any(Path(file).is_relative_to(path) for path in below)
    }


def balanced(durations: Mapping[str, float], count: int) -> list[list[str]]:
    """Deal files to ``count`` lists of about the same duration; each list is sorted and none is empty."""
    lists: list[tuple[float, int, list[str]]] = [(0.0, number, []) for number in range(min(count, len(durations)))]
    for file in sorted(durations, key=lambda file: (-durations[file], file)):
        seconds, number, files = heapq.heappop(lists)
        heapq.heappush(lists, (seconds + durations[file], number, [*files, file]))
    return [sorted(files) for _, _, files in sorted(lists, key=lambda each: each[1])]


def dealt(durations: Mapping[str, float], count: int) -> list[list[str]]:
    """Deal files to ``count`` balanced lists, and those below `APART` to one more."""
    apart = selected(durations, [APART], math.inf)
    others = {file: seconds for file, seconds in durations.items() if file not in apart}
    return [*balanced(others, count), *([sorted(apart)] if apart else [])]


def run_shards(shards: Sequence[Shard], root: Path, options: Sequence[str] = ()) -> int:
    """Run the shards, print the output of each when it ends, then every closing line; return 0 if all passed."""
    begun = time.monotonic()
    with _terminated_at_the_end(shards):
        for shard in shards:
            shard.start(root, options)
        for shard in _as_they_end(shards):
            print(f"== shard {shard.number}: {len(shard.files)} files", flush=True)
            sys.stdout.buffer.write(shard.output.read_bytes())
            print(f"== shard {shard.number} took {time.monotonic() - begun:.0f} s", flush=True)
    codes = [shard.process.returncode for shard in shards if shard.process is not None]
    for shard, code in zip(shards, codes, strict=True):
        print(f"shard {shard.number}: {'passed' if code == 0 else 'FAILED'}: {shard.closing_line}", flush=True)
    return int(any(codes))


def _as_they_end(shards: Sequence[Shard]) -> Iterator[Shard]:
    running = list(shards)
    while running:
        for shard in list(running):
            if shard.process is None or shard.process.poll() is not None:
                running.remove(shard)
                yield shard
        time.sleep(0.1)


@contextlib.contextmanager
def _terminated_at_the_end(shards: Sequence[Shard]) -> Iterator[None]:
    """End what still runs when the block is left, also by SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield
    finally:
        processes = [shard.process for shard in shards if shard.process is not None]
        for process in processes:
            process.send_signal(signal.SIGINT)  # which does nothing where the process has ended
        for process in processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
            process.kill()


def main() -> int:
    """Run the tests; return the exit code."""
    processors = len(os.sched_getaffinity(0))
    parser = argparse.ArgumentParser(prog="suite.shards", description=__doc__)
    parser.add_argument("folder", type=Path, help="an empty folder for all that the tests make")
    parser.add_argument("--processes", type=int, default=processors + 2, help="[processors + 2]")
    parser.add_argument("--record", action="store_true", help=f"write {DURATIONS.relative_to(ROOT)} from this run")
    parser.add_argument("--below", nargs="+", default=["tests"], metavar="PATH", help="only these files and folders")
    parser.add_argument("--at-most", type=float, default=math.inf, metavar="SECONDS", help="only quicker test files")
    given = parser.parse_args()
    durations = with_estimates(list_test_files(ROOT), read_durations(DURATIONS))
    if given.record and len(selected(durations, given.below, given.at_most)) < len(durations):
        parser.error("--record needs all files")
    durations = selected(durations, given.below, given.at_most)
    if not durations:
        parser.error("no test file is selected")
    lists = dealt(durations, max(1, given.processes))
    shards = [Shard(number, files, given.folder) for number, files in enumerate(lists, 1)]
    # A recording is what mends the test that too many durations are unknown.
    options = ["--deselect", _OF_DURATIONS] if given.record else []
    status = run_shards(shards, ROOT, options)
    if given.record and status == 0:
        write_durations(DURATIONS, measured(shard.report for shard in shards))
    return status


if __name__ == "__main__":
    sys.exit(main())
