"""The reading works: the data read, and its measurement cold and warm."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from benchmarks.commands import drop_page_cache
from benchmarks.processes import SideFailed
from benchmarks.reading import (
    PAGE,
    Outcome,
    hash_file,
    read_at_random,
    read_mapped,
    read_through,
    readers,
    shuffled_files,
    walk,
)
from benchmarks.results import Key, Line
from benchmarks.rounds import Bench, say
from benchmarks.sides import Side

RANDOM_READS = {4 << 10: 4000, 64 << 10: 1500}
MAPPED_READS = 4000


class Reading(NamedTuple):
    """``timed`` does the work on a side's folder; ``checked`` reads all of it again and returns a hash, if needed."""

    timed: Callable[[Path], Outcome]
    checked: Callable[[Path], object] | None = None


@dataclass(frozen=True)
class ReadWork:
    """One kind of reading of one data set; ``ready`` prepares it for the plain folder of the data."""

    name: str
    title: str
    data: str
    states: tuple[str, ...]
    ready: Callable[[Path], AbstractContextManager[Reading]]
    bytes: int | None = None
    files: int | None = None

    def measure(self, bench: Bench) -> None:
        """Measure all sides in turns."""
        sides = {side.name: side for side in bench.sides if prepared(bench, self.name, side, self.data)}
        size = bench.data.bytes(self.data) if self.bytes is None else self.bytes
        files = bench.data.files(self.data) if self.files is None else self.files
        for state in self.states_here():
            bench.results.add(Key(self.name, state), Line(f"{self.title}, {state}", bytes=size, files=files))
        with self.ready(bench.data.folder(self.data)) as reading:
            bench.turns(self.name, list(sides), lambda name, turn: self.visit(bench, reading, sides[name], turn))

    def states_here(self) -> list[str]:
        """Return the states that can be measured: only root can empty the page cache."""
        return [state for state in self.states if state != "cold" or os.geteuid() == 0]

    def visit(self, bench: Bench, reading: Reading, side: Side, turn: int) -> None:
        """Mount a side, read it cold, check every byte, read it warm."""
        took = []
        with side.shown([self.data]) as folders:
            folder = folders[self.data]
            for state in self.states_here():
                if state == "cold":
                    drop_page_cache()
                elif "cold" not in self.states_here():
                    reading.timed(folder)
                key = Key(self.name, state)
                before = side.cpu_seconds()
                seconds, seen = reading.timed(folder)
                line = bench.results.lines[key]
                if side.processes():
                    line.cpu.setdefault(side.name, {})[turn] = side.cpu_seconds() - before
                bench.results.check(key, side.name, seen)
                if reading.checked is not None:
                    bench.results.check(Key(self.name, "content"), side.name, reading.checked(folder))
                line.values.setdefault(side.name, {})[turn] = seconds
                took.append(f"{state} {seconds:.3f} s")
        say(f"{self.name} {turn + 1}/{bench.pairs} {side.name}: {', '.join(took)}")


def prepared(bench: Bench, work: str, side: Side, *names: str) -> bool:
    """Store data sets on a side; return whether that succeeded, else the side is left out of the work."""
    slow = bench.too_slow.get((work.partition("-")[0], side.name))
    try:
        if slow:
            raise SideFailed(slow)
        side.prepare(names)
    except SideFailed as failure:
        bench.leave_out(work, side.name, str(failure))
        return False
    return True


@contextmanager
def one_file(
    plain: Path, *, timed: Callable[[Path], Outcome], checked: Callable[[Path], object] | None = None
) -> Iterator[Reading]:
    """Read the data set's only file."""
    check = (lambda folder: checked(folder / "data")) if checked else None
    yield Reading(lambda folder: timed(folder / "data"), check)


@contextmanager
def small_files(plain: Path, count: int, *, processes: bool) -> Iterator[Reading]:
    """Read all files whole, shuffled, with several readers."""
    with readers(shuffled_files(plain, seed=7), count, processes=processes) as pool:
        yield Reading(pool.read, pool.hash)


@contextmanager
def walking(plain: Path, *, stat: bool) -> Iterator[Reading]:
    """Walk all folders."""
    yield Reading(partial(walk, stat=stat))


def read_works(readers_wanted: list[int]) -> list[ReadWork]:
    """Return all reading works for these numbers of readers."""
    both, cold = ("cold", "warm"), ("cold",)
    through = partial(one_file, timed=read_through, checked=hash_file)
    works = [
        ReadWork("read-checkpoint", "sequential read, incompressible checkpoint", "checkpoint", both, through),
        ReadWork("read-table", "sequential read, compressible table", "table", both, through),
    ]
    for size, count in RANDOM_READS.items():
        at_random = partial(one_file, timed=partial(read_at_random, size=size, count=count, seed=8))
        name, title = f"random-{size >> 10}k", f"random {size >> 10} KiB (pread)"
        works.append(ReadWork(name, title, "checkpoint", cold, at_random, size * count, 0))
    mapped = partial(one_file, timed=partial(read_mapped, count=MAPPED_READS, seed=9))
    size = MAPPED_READS * PAGE
    works.append(ReadWork("memmap", "random 4 KiB (numpy.memmap)", "checkpoint", cold, mapped, size, 0))
    for count in readers_wanted:
        for processes in (True, False) if count > 1 else (True,):
            kind = "processes" if processes else "threads"
            name = f"files-{count}" if processes else f"files-{count}-threads"
            title = f"shuffled small files, {count} {kind if count > 1 else 'reader'}"
            works.append(ReadWork(name, title, "images", both, partial(small_files, count=count, processes=processes)))
    works.append(ReadWork("find", "find", "images", both, partial(walking, stat=False), 0))
    works.append(ReadWork("stat", "stat of all", "images", both, partial(walking, stat=True), 0))
    return works
