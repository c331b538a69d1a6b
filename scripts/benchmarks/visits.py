"""One round of one checkout in a comparison: puts into a new workspace, walks and reads of a mount, deletes.

Every part of a round leaves the versions ``small:v0``, ``small:v1`` (ten files differ) and ``large:v0`` for the next.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from benchmarks.commands import Workspace, anonymous_memory, drop_page_cache
from benchmarks.comparison import Comparison, Unit
from benchmarks.content import write_checkpoint, write_small_files, write_table
from benchmarks.processes import allocated_bytes
from benchmarks.reading import Outcome, hash_file, read_through, readers, shuffled_files, walk

__all__ = ["PARTS", "Sources", "Visit"]

PARTS: Final = ("start", "put", "find", "files", "second", "large", "memory", "rm")
"""The parts of a round; ``put`` runs always, because the others need its versions."""

_CHANGED: Final = 10
_SETTLED: Final = 2.1
"""Seconds after which a put trusts the times of a changed file."""


@dataclass(frozen=True)
class Sources:
    """The folders to put, made once: ``small`` has the small files, ``large`` an incompressible file and a table."""

    folder: Path
    files: int

    @property
    def small(self) -> Path:
        """The folder of small files."""
        return self.folder / "small"

    @property
    def large(self) -> Path:
        """The folder of the two large files."""
        return self.folder / "large"

    @classmethod
    def make(cls, folder: Path, files: int, large: int) -> Self:
        """Return the sources of this size below a folder, made unless they exist completely."""
        made = cls(folder / f"{files}-{large >> 20}", files)
        if not (made.folder / "complete").exists():
            shutil.rmtree(made.folder, ignore_errors=True)
            made.large.mkdir(parents=True)
            write_small_files(made.small, files, seed=1)
            write_checkpoint(made.large / "checkpoint", large, seed=2)
            write_table(made.large / "table", large, seed=3)
            (made.folder / "complete").touch()
        return made

    def change(self, seed: int) -> None:
        """Give ten of the small files other content of the same size, by ``seed``; wait until it has settled."""
        paths = sorted(self.small.glob("*/*"))
        for path in paths[:: len(paths) // _CHANGED][:_CHANGED]:
            path.write_bytes(random.Random(seed).randbytes(path.stat().st_size))
        time.sleep(_SETTLED)

    def load(self) -> None:
        """Read everything, so that it is in the page cache."""
        for path in self.folder.rglob("*"):
            if path.is_file():
                path.read_bytes()


@dataclass(frozen=True)
class Visit:
    """A round of one side; ``thorough`` also compares all content with the source."""

    comparison: Comparison
    side: str
    workspace: Workspace
    point: Path
    sources: Sources
    transport: str
    thorough: bool

    def run(self, parts: Sequence[str], readers_wanted: Sequence[int]) -> None:
        """Run the requested parts in their order."""
        steps: dict[str, Callable[[], None]] = {
            "start": self.start,
            "find": self.find,
            "files": lambda: self.files(readers_wanted),
            "second": self.second,
            "large": self.large,
            "memory": self.memory,
            "rm": self.remove,
        }
        self.put()
        for part in parts:
            if part in steps:
                steps[part]()

    def put(self) -> None:
        """Put the small files, the same again, with ten of them changed; take the sizes."""
        self.sources.change(seed=0)
        self.sources.load()
        self.timed("put", self.put_small)
        self.comparison.add(self.side, "LMDB", self.workspace.manifest_bytes(), Unit.BYTES)
        self.comparison.add(self.side, "disk space", allocated_bytes(self.workspace.folder), Unit.BYTES)
        self.timed("put, unchanged", self.put_small)
        self.sources.change(seed=1)
        self.timed("put, ten files changed", self.put_small)
        self.timed("put of two large files", lambda: self.put_synced(self.sources.large, "large"))

    def put_small(self) -> None:
        """Put the small files."""
        self.put_synced(self.sources.small, "small")

    def put_synced(self, source: Path, name: str) -> None:
        """Put a folder, and sync the file system of the workspace."""
        self.workspace.run("put", source, name)
        subprocess.run(["sync", "-f", self.workspace.folder], check=True)

    def start(self) -> None:
        """Run a command that does little."""
        for _ in range(3):
            self.workspace.run("ls")
        self.timed("artfs ls", lambda: self.workspace.run("ls"))

    def find(self) -> None:
        """Mount, and list all files, names only and with attributes."""
        for stat, name in ((False, "find"), (True, "stat of all")):
            drop_page_cache()
            start = time.perf_counter()
            with self.mounted("small/v0") as folder:
                if not stat:
                    os.listdir(folder)
                    self.comparison.add(self.side, "mount to first listing, cold", time.perf_counter() - start)
                drop_page_cache()
                for state in ("cold", "warm"):
                    self.outcome(f"{name}, {state}", walk(folder, stat=stat))

    def files(self, readers_wanted: Sequence[int]) -> None:
        """Read all small files with several readers; compare the content with the source."""
        names = shuffled_files(self.sources.small, seed=7)
        for count in readers_wanted:
            title = f"small files, {count} reader{'s' if count > 1 else ''}"
            with readers(names, count, processes=True) as pool, self.mounted("small/v1") as folder:
                drop_page_cache()
                for state in ("cold", "warm"):
                    self.outcome(f"{title}, {state}", pool.read(folder))
                if self.thorough:
                    self.comparison.check(self.side, "small files", pool.hash(folder))
                    self.comparison.check("the source", "small files", pool.hash(self.sources.small))

    def second(self) -> None:
        """Read all small files of a version, right after those of one that it shares all but ten with."""
        names = shuffled_files(self.sources.small, seed=7)
        with readers(names, 1, processes=True) as pool, self.mounted("small") as folder:
            drop_page_cache()
            pool.read(folder / "v0")
            self.outcome("small files, second version, 1 reader", pool.read(folder / "v1"))

    def large(self) -> None:
        """Read the large files from start to end."""
        for name in ("checkpoint", "table"):
            with self.mounted("large/v0") as folder:
                drop_page_cache()
                for state in ("cold", "warm"):
                    self.outcome(f"sequential read of the {name}, {state}", read_through(folder / name))
                if self.thorough:
                    self.comparison.check(self.side, name, hash_file(folder / name))
                    self.comparison.check("the source", name, hash_file(self.sources.large / name))

    def memory(self) -> None:
        """Mount, walk both versions, read all files of one, and take the memory of the daemon's processes."""
        names = shuffled_files(self.sources.small, seed=7)
        self.point.mkdir(exist_ok=True)
        with (
            readers(names, 4, processes=True) as pool,
            self.workspace.mounted(self.point, "--transport", self.transport) as pid,
        ):
            for version in ("v0", "v1"):
                walk(self.point / "small" / version, stat=True)
            pool.read(self.point / "small/v1")
            self.comparison.add(self.side, "memory of the daemon", sum(anonymous_memory(pid)), Unit.BYTES)

    def remove(self) -> None:
        """Delete the first version, whose content the second one shares, and then the last one."""
        self.timed("rm --now, ten files not shared", lambda: self.workspace.run("rm", "small:v0", "--now"))
        self.timed("rm --now, all files", lambda: self.workspace.run("rm", "small:v1", "--now"))

    @contextmanager
    def mounted(self, path: str) -> Iterator[Path]:
        """Mount, and yield a folder of the mount."""
        with self.workspace.mounted(self.point, "--transport", self.transport):
            yield self.point / path

    def timed(self, name: str, action: Callable[[], object]) -> None:
        """Add the seconds that an action takes."""
        start = time.perf_counter()
        action()
        self.comparison.add(self.side, name, time.perf_counter() - start)

    def outcome(self, name: str, outcome: Outcome) -> None:
        """Add the seconds of a read, whose content must be that of the other side."""
        self.comparison.check(self.side, name, outcome.seen)
        self.comparison.add(self.side, name, outcome.seconds)
