"""Compare artfs with the plain file system: put, sequential and shuffled reads, find and a stat walk.

Every pair reads the same bytes from a plain folder and from the mount, on one disk, in turns; what was read is
compared, and a run that read other bytes ends the program. Cold runs start with an empty page cache and a fresh mount.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import xxhash

from benchmarks.commands import Workspace, drop_page_cache, measured_on
from benchmarks.content import write_checkpoint, write_small_files, write_table
from benchmarks.pairs import Comparison, Run, WrongResult, compare, print_table

READ = 1 << 20


def read_file(path: str) -> tuple[float, object]:
    """Read one file from start to end; the hash of what was read is part of the time, on both sides."""
    buffer, digest = bytearray(READ), xxhash.xxh3_64()
    view = memoryview(buffer)
    start = time.perf_counter()
    with open(path, "rb", buffering=0) as file:
        while count := file.readinto(buffer):
            digest.update(view[:count])
    return time.perf_counter() - start, digest.hexdigest()


def read_many(folder: str, names: list[str]) -> int:
    """Read files in the given order; returns one number that does not depend on who reads which."""
    total = 0
    for name in names:
        descriptor = os.open(f"{folder}/{name}", os.O_RDONLY)
        total += xxhash.xxh3_64_intdigest(name.encode() + os.read(descriptor, READ))
        os.close(descriptor)
    return total


def read_in_processes(folder: str, names: list[str], pool: ProcessPoolExecutor, readers: int) -> tuple[float, object]:
    """Read all files with several processes, which exist already when the time starts."""
    start = time.perf_counter()
    parts = [pool.submit(read_many, folder, names[reader::readers]) for reader in range(readers)]
    total = sum(part.result() for part in parts)
    return time.perf_counter() - start, total


def find(folder: str, *, stat: bool) -> tuple[float, object]:
    """Walk with ``find``: names only, or with the size of each file, which needs its attributes."""
    command = ["find", ".", "-type", "f", *(["-printf", "%p %s\n"] if stat else [])]
    start = time.perf_counter()
    output = subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE).stdout
    return time.perf_counter() - start, sorted(output.splitlines())


class Bench:
    """The data, the workspace and its mount in one temporary folder."""

    def __init__(self, folder: Path, arguments: argparse.Namespace) -> None:
        self.folder, self.plain, self.mount = folder, folder / "plain", folder / "mount"
        self.workspace = Workspace(folder / "workspace")
        self.pairs: int = arguments.pairs
        self.readers: list[int] = arguments.readers
        self.sizes: dict[str, int] = {}
        self.mount.mkdir()
        for name in ("checkpoint", "table", "images"):
            (self.plain / name).mkdir(parents=True)
        write_checkpoint(self.plain / "checkpoint" / "data", arguments.checkpoint_mb << 20, seed=1)
        write_table(self.plain / "table" / "data", arguments.table_mb << 20, seed=2)
        for name in ("checkpoint", "table"):
            self.sizes[name] = (self.plain / name / "data").stat().st_size
        self.sizes["images"] = write_small_files(self.plain / "images", arguments.files, seed=3)
        self.names = [str(file.relative_to(self.plain / "images")) for file in (self.plain / "images").glob("*/*")]
        random.Random(4).shuffle(self.names)

    def remount(self) -> None:
        """Mount afresh, so that neither the kernel nor the daemon knows anything of the mount."""
        if os.path.ismount(self.mount):
            self.workspace.run("umount", self.mount)
        self.workspace.run("mount", self.mount)

    def places(self, name: str) -> tuple[str, str]:
        """Return the plain folder of a data set and its folder under the mount."""
        return str(self.plain / name), str(self.mount / name / "v0")

    def measure_put(self, name: str) -> Comparison:
        """Compare a put into a new workspace with a recursive copy that is synced."""

        def copy() -> tuple[float, object]:
            shutil.rmtree(self.folder / "copy", ignore_errors=True)
            start = time.perf_counter()
            subprocess.run(["cp", "-r", self.plain / name, self.folder / "copy"], check=True)
            subprocess.run(["sync", "-f", self.folder / "copy"], check=True)
            return time.perf_counter() - start, self.sizes[name]

        def put() -> tuple[float, object]:
            shutil.rmtree(self.folder / "fresh", ignore_errors=True)
            fresh = Workspace(self.folder / "fresh")
            seconds = fresh.run("put", self.plain / name, name)
            return seconds, fresh.report("show", name)["bytes"]

        comparison = compare(f"put {name} (plain: cp -r, sync)", copy, put, pairs=self.pairs, size=self.sizes[name])
        for left in ("copy", "fresh"):
            shutil.rmtree(self.folder / left)
        return comparison

    def measure_put_again(self) -> Comparison:
        """Compare a put of an unchanged folder with a stat walk of it, the least that can be done."""
        source = str(self.plain / "images")

        def put() -> tuple[float, object]:
            start = time.perf_counter()
            if self.workspace.report("put", source, "images")["created"]:
                raise WrongResult("the unchanged folder made a version")
            return time.perf_counter() - start, None

        return compare(
            "put images again, unchanged (plain: find -printf)",
            lambda: (find(source, stat=True)[0], None),
            put,
            pairs=self.pairs,
        )

    def measure(
        self, name: str, work: Callable[[str], tuple[float, object]], folders: tuple[str, str]
    ) -> list[Comparison]:
        """Compare one kind of work on two folders cold, if the page cache can be dropped, and warm."""
        size = next((size for data, size in self.sizes.items() if data in name), 0)

        def cold(folder: str) -> Run:
            def run() -> tuple[float, object]:
                self.remount()
                drop_page_cache()
                return work(folder)

            return run

        def warm(folder: str) -> Run:
            return lambda: work(folder)

        comparisons = []
        if os.geteuid() == 0:
            comparisons.append(compare(f"{name}, cold", *map(cold, folders), pairs=self.pairs, size=size))
        self.remount()
        for folder in folders:
            work(folder)
        comparisons.append(compare(f"{name}, warm", *map(warm, folders), pairs=self.pairs, size=size))
        return comparisons

    def run(self) -> list[Comparison]:
        """Measure everything."""
        comparisons = [self.measure_put(name) for name in self.sizes]
        for name in self.sizes:
            self.workspace.run("put", self.plain / name, name)
        comparisons.append(self.measure_put_again())
        for name in ("checkpoint", "table"):
            comparisons += self.measure(f"read {name}", lambda folder: read_file(f"{folder}/data"), self.places(name))
        images = self.places("images")
        for readers in self.readers:
            with ProcessPoolExecutor(readers) as pool:

                def read(folder: str, pool: ProcessPoolExecutor = pool, readers: int = readers) -> tuple[float, object]:
                    return read_in_processes(folder, self.names, pool, readers)

                list(pool.map(abs, range(readers)))  # starts the processes
                comparisons += self.measure(f"read shuffled images, readers: {readers}", read, images)
        comparisons += self.measure("find", lambda folder: find(folder, stat=False), images)
        comparisons += self.measure("stat walk", lambda folder: find(folder, stat=True), images)
        return comparisons


def main() -> None:
    """Make the data, measure, print the table and write the JSON file."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--checkpoint-mb", type=int, default=256, help="size of the incompressible file [256]")
    parser.add_argument("--table-mb", type=int, default=256, help="size of the compressible file [256]")
    parser.add_argument("--files", type=int, default=20_000, help="number of small files [20000]")
    parser.add_argument("--pairs", type=int, default=5, help="how often each pair is run [5]")
    parser.add_argument("--readers", type=int, nargs="+", default=[1, 4], help="reading processes [1 4]")
    parser.add_argument("--directory", type=Path, help="where to work: a disk with room for 4 times the data [$TMPDIR]")
    parser.add_argument("--output", type=Path, default=Path("bench-basic.json"), help="JSON file [bench-basic.json]")
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        print("not root: the page cache cannot be dropped, so cold reads are left out", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="artfs-bench-", dir=arguments.directory) as folder:
        bench = Bench(Path(folder), arguments)
        try:
            comparisons = bench.run()
        finally:
            if os.path.ismount(bench.mount):
                bench.workspace.run("umount", bench.mount)
    machine = measured_on()
    print(", ".join(f"{key} {value}" for key, value in machine.items()))
    print_table(comparisons)
    results = [comparison.record() for comparison in comparisons]
    arguments.output.write_text(json.dumps({"measured_on": machine, "results": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
