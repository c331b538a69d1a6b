"""Measure how freeing a deleted version slows reads: latencies of reads on a mount, idle and during the freeing.

Reads are of 64 KiB at random places of a file, and all of them reach the daemon: the kernel's copy is dropped before
each. Nodes are freed once by ``artfs gc``, and once by the reaper of the daemon that serves the mount.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from artstore.daemon_requests import request
from artstore.daemons import live_daemons
from benchmarks.commands import Workspace, measured_on
from benchmarks.content import write_checkpoint

READ = 64 << 10
PROMISE = 3.0
"""The 99th percentile meanwhile, at most, in terms of the quiet one."""


class Reader:
    """Read at random places of one file."""

    def __init__(self, file: Path, seed: int) -> None:
        self._descriptor = os.open(file, os.O_RDONLY)
        os.posix_fadvise(self._descriptor, 0, 0, os.POSIX_FADV_RANDOM)
        self._blocks = os.fstat(self._descriptor).st_size // READ
        self._choice = random.Random(seed)

    def read_while(self, condition: Callable[[], bool]) -> list[float]:
        """Return the seconds that each read took."""
        seconds = []
        while condition():
            offset = self._choice.randrange(self._blocks) * READ
            os.posix_fadvise(self._descriptor, offset, READ, os.POSIX_FADV_DONTNEED)
            start = time.perf_counter()
            data = os.pread(self._descriptor, READ, offset)
            seconds.append(time.perf_counter() - start)
            if len(data) != READ:
                raise SystemExit("a read was cut short")
        return seconds

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


def percentile(seconds: list[float], share: int) -> float:
    """Return the latency that ``share`` percent of the reads do not exceed."""
    return statistics.quantiles(seconds, n=100, method="inclusive")[share - 1]


def for_seconds(seconds: float) -> Callable[[], bool]:
    """Return a condition that holds for some time from now."""
    end = time.monotonic() + seconds
    return lambda: time.monotonic() < end


@contextmanager
def in_background(work: Callable[[], None]) -> Iterator[threading.Thread]:
    """Run ``work``, which mostly waits for other processes, in a thread."""
    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield thread
    finally:
        thread.join()


class Bench:
    """A workspace with one file to read, a version to delete, and a mount."""

    def __init__(self, folder: Path, arguments: argparse.Namespace) -> None:
        self.workspace = Workspace(folder / "workspace")
        self.mount = folder / "mount"
        self.nodes: int = arguments.nodes
        self.quiet: float = arguments.quiet_seconds
        self._source = folder / "source"
        kept = folder / "kept"
        kept.mkdir()
        write_checkpoint(kept / "data", arguments.file_mb << 20, seed=1)
        self.workspace.run("put", kept, "kept")

    def put_doomed(self, seed: int) -> None:
        """Put a version with about ``nodes`` nodes of its own: small files in folders of 250."""
        choice = random.Random(seed)
        for index in range(self.nodes):
            if index % 250 == 0:
                (folder := self._source / f"{seed}" / f"{index // 250:04}").mkdir(parents=True)
            (folder / f"{index:06}").write_bytes(choice.randbytes(choice.randint(200, 2000)))
        self.workspace.run("put", self._source / f"{seed}", f"doomed{seed}")

    def measure(self, name: str, seed: int, free: Callable[[], int]) -> dict[str, Any]:
        """Delete a version; compare reads while ``free`` frees it, returning its nodes, with reads before and after."""
        self.put_doomed(seed)
        with self.workspace.mounted(self.mount):
            reader = Reader(self.mount / "kept" / "v0" / "data", seed)
            try:
                reader.read_while(for_seconds(1))
                quiet = reader.read_while(for_seconds(self.quiet / 2))
                freed: list[int] = []
                self.workspace.run("rm", f"doomed{seed}:v0")
                start = time.perf_counter()
                with in_background(lambda: freed.append(free())) as freeing:
                    meanwhile = reader.read_while(freeing.is_alive)
                seconds = time.perf_counter() - start
                quiet += reader.read_while(for_seconds(self.quiet / 2))
            finally:
                reader.close()
        before, during = percentile(quiet, 99), percentile(meanwhile, 99)
        return {
            "name": name,
            "nodes": freed[0],
            "seconds": seconds,
            "quiet_ms": {"median": percentile(quiet, 50) * 1e3, "p99": before * 1e3, "reads": len(quiet)},
            "meanwhile_ms": {
                "median": percentile(meanwhile, 50) * 1e3,
                "p99": during * 1e3,
                "max": max(meanwhile) * 1e3,
                "reads": len(meanwhile),
            },
            "p99_ratio": during / before,
        }

    def free_with_gc(self) -> int:
        """Free deleted content with ``artfs gc``."""
        report = self.workspace.report("gc", "--now")
        if report["deadlist_entries"]:
            raise SystemExit("gc left something on the deadlist")
        return int(report["freed_nodes"])

    def free_with_daemon(self) -> int:
        """Wait until the daemon, which began when the deletion returned, has freed everything."""
        (daemon,) = live_daemons(self.workspace.folder / "run")
        while True:
            time.sleep(0.2)  # polled in this process: starting another would slow the reads
            reaper = request(daemon, {"op": "status"}, timeout=10)["status"]["reaper"]
            if reaper["state"] == "idle" and reaper["freed_nodes"] and reaper["next_due"] is None:
                return int(reaper["freed_nodes"])


def print_result(result: dict[str, Any]) -> None:
    """Print one line."""
    quiet, meanwhile = result["quiet_ms"], result["meanwhile_ms"]
    verdict = "within" if result["p99_ratio"] <= PROMISE else "NOT within"
    print(
        f"{result['name']}: {result['nodes']:,} nodes in {result['seconds']:.1f} s; 64 KiB reads quiet "
        f"{quiet['median']:.3f} ms, p99 {quiet['p99']:.3f} ms; meanwhile {meanwhile['median']:.3f} ms, "
        f"p99 {meanwhile['p99']:.3f} ms, max {meanwhile['max']:.1f} ms: {result['p99_ratio']:.2f}x, "
        f"{verdict} {PROMISE:.0f}x"
    )


def main() -> None:
    """Measure both reapers and write the JSON file; exit with 1 if the promise is broken."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench reaping", description=__doc__.splitlines()[0] if __doc__ else None
    )
    parser.add_argument("--nodes", type=int, default=100_000, help="nodes to free [100000]")
    parser.add_argument("--file-mb", type=int, default=256, help="size of the file that is read [256]")
    parser.add_argument("--quiet-seconds", type=float, default=10, help="seconds of reads on an idle mount [10]")
    parser.add_argument("--directory", type=Path, help="working folder [$TMPDIR]")
    parser.add_argument("--output", type=Path, default=Path("bench-reaping.json"), help="[bench-reaping.json]")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="artfs-bench-", dir=arguments.directory) as folder:
        bench = Bench(Path(folder), arguments)
        try:
            results = [bench.measure("artfs gc", 2, bench.free_with_gc)]
            bench.workspace.run("config", "undelete-window", "0")
            results.append(bench.measure("the daemon's reaper", 3, bench.free_with_daemon))
        finally:
            if os.path.ismount(bench.mount):
                subprocess.run(["umount", "-l", bench.mount], check=False)
    machine = measured_on()
    print(", ".join(f"{key} {value}" for key, value in machine.items()))
    for result in results:
        print_result(result)
    arguments.output.write_text(json.dumps({"measured_on": machine, "results": results}, indent=2) + "\n")
    if any(result["p99_ratio"] > PROMISE for result in results):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
