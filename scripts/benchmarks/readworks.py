"""The reading works: the data read, and its measurement from the disk, from memory, and warm."""

from __future__ import annotations

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
from benchmarks.regimes import IN_WORDS, Regime, bring_into_memory, check_in_memory, check_new_mount_is_empty
from benchmarks.results import Key, Line, Shown
from benchmarks.rounds import Bench, say
from benchmarks.sides import USER, Side

RANDOM_READS = {4 << 10: 4000, 64 << 10: 1500}
MAPPED_READS = 4000
OF_THE_FILE = 5
"""At most this part of a file is read at random: 1/5, so that small data has fewer reads and not warmer ones."""
FIRST = 1500
PER_GB, PER_1000_FILES = "CPU per GB", "CPU per 1,000 files"


class Reading(NamedTuple):
    """``timed`` does the work on a side's folder; ``checked`` reads all of it again and returns a hash, if needed."""

    timed: Callable[[Path], Outcome]
    checked: Callable[[Path], object] | None = None


@dataclass(frozen=True)
class ReadWork:
    """One kind of reading of one data set; ``ready`` prepares it for the plain folder of the data.

    ``bytes`` and ``files`` are what is read of the data set, all of it if None. With ``processor``, the processor time
    of reader and serving processes is a line of its own, in this unit. ``variants`` are the sides of artfs that
    take part beside the default ones.
    """

    name: str
    title: str
    data: str
    ready: Callable[[Path], AbstractContextManager[Reading]]
    warm: bool = True
    bytes: int | None = None
    files: int | None = None
    processor: str = ""
    variants: tuple[str, ...] = ()

    def measure(self, bench: Bench) -> None:
        """Measure all sides in turns, in one regime after the other."""
        wanted = [side for side in bench.sides if side.name != USER or USER in self.variants]
        sides = {side.name: side for side in wanted if prepared(bench, self.name, side, self.data)}
        size = bench.data.bytes(self.data) if self.bytes is None else self.bytes
        files = bench.data.files(self.data) if self.files is None else self.files
        for side in sides.values():
            side.opens = files
        for state in self.states(bench):
            title = f"{self.title}, {IN_WORDS[state]}"
            bench.results.add(Key(self.name, state), Line(title, bytes=size, files=files))
            if self.processor:
                line = Line(f"{title}: {self.processor}", Shown.SECONDS, size, files)
                bench.results.add(Key(self.name, f"{state} processor"), line)
        with self.ready(bench.data.folder(self.data)) as reading:
            for regime in bench.regimes:
                names = [name for name in sides if f"{self.name}: {name}" not in bench.results.left_out]
                visit = partial(self.visit, bench, reading, regime, sides)
                bench.turns(self.name, names, visit)

    def states(self, bench: Bench) -> list[str]:
        """Return the states that are measured: of each regime, then the warm one."""
        return [regime.state for regime in bench.regimes] + (["warm"] if self.warm else [])

    def visit(
        self, bench: Bench, reading: Reading, regime: Regime, sides: dict[str, Side], name: str, turn: int
    ) -> None:
        """Mount a side, read it cold, check every byte, and in the last regime read it warm."""
        side = sides[name]
        if regime is Regime.MEMORY:
            bring_into_memory(side.sources(self.data))
            if bench.first_time(side.name, self.data):
                self.check_regime(bench, side)
        with side.shown([self.data]) as folders:
            if regime is Regime.MEMORY:
                bring_into_memory(side.sources(self.data))  # once more: another program may have emptied the page cache
                check_in_memory(side.sources(self.data))
            else:
                drop_page_cache()
            took = [self.timed(bench, reading, regime.state, side, folders[self.data], turn)]
            if reading.checked is not None:
                bench.results.check(Key(self.name, "content"), side.name, reading.checked(folders[self.data]))
            if self.warm and regime is bench.regimes[-1]:
                took.append(self.timed(bench, reading, "warm", side, folders[self.data], turn))
        say(f"{self.name} {turn + 1}/{bench.pairs} {side.name}: {', '.join(took)}")

    def timed(self, bench: Bench, reading: Reading, state: str, side: Side, folder: Path, turn: int) -> str:
        """Read once, and note the values; return them in words."""
        line = bench.results.lines[Key(self.name, state)]
        before = side.cpu_seconds()
        outcome = reading.timed(folder)
        served = side.cpu_seconds() - before
        if side.processes():
            line.cpu.setdefault(side.name, {})[turn] = served
        bench.results.check(Key(self.name, "seen"), side.name, outcome.seen)
        line.values.setdefault(side.name, {})[turn] = outcome.seconds
        if self.processor:
            per = line.bytes / 1e9 if self.processor == PER_GB else line.files / 1e3
            costs = bench.results.lines[Key(self.name, f"{state} processor")]
            costs.values.setdefault(side.name, {})[turn] = (outcome.processor + served) / per
        return f"{state} {outcome.seconds:.3f} s"

    def check_regime(self, bench: Bench, side: Side) -> None:
        """Raise `SideFailed` if a new mount of this side is not as the regime ``memory`` says."""

        @contextmanager
        def shown() -> Iterator[Path]:
            with side.shown([self.data]) as folders:
                yield folders[self.data]

        if side.serves:
            plain = bench.data.folder(self.data)
            file = next(path for path in sorted(plain.rglob("*")) if path.is_file())
            check_new_mount_is_empty(shown, str(file.relative_to(plain)))


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
def small_files(plain: Path, count: int, *, processes: bool, first: int | None = None) -> Iterator[Reading]:
    """Read all files whole, or the first ones, shuffled, with several readers."""
    with readers(shuffled_files(plain, seed=7)[:first], count, processes=processes) as pool:
        yield Reading(pool.read, pool.hash)


@contextmanager
def walking(plain: Path, *, stat: bool) -> Iterator[Reading]:
    """Walk all folders."""
    yield Reading(partial(walk, stat=stat))


def random_reads(name: str, title: str, data: str, length: int) -> Iterator[ReadWork]:
    """Yield the works that read blocks of 4 and 64 KiB at random from the file of a data set."""
    for size, wanted in RANDOM_READS.items():
        count = min(wanted, length // size // OF_THE_FILE)
        at_random = partial(one_file, timed=partial(read_at_random, size=size, count=count, seed=8))
        about = f"random {size >> 10} KiB{title}"
        yield ReadWork(f"{name}-{size >> 10}k", about, data, at_random, False, size * count, 0)


def file_works(readers_wanted: list[int], images: int) -> Iterator[ReadWork]:
    """Yield the works that read small files: the first ones after a mount, then all."""
    few = min(FIRST, images)
    for first in (few, None):
        for count in readers_wanted:
            for processes in (True, False) if count > 1 else (True,):
                kind = f"{count} {'processes' if processes else 'threads'}" if count > 1 else "1 reader"
                name = f"{'files' if first is None else 'first'}-{count}{'' if processes else '-threads'}"
                title = f"small files, {'' if first is None else f'first {few:,}, '}{kind}"
                reading = partial(small_files, count=count, processes=processes, first=first)
                unit = PER_1000_FILES if count == 1 else ""
                if first is None:
                    yield ReadWork(name, title, "images", reading, processor=unit)
                else:
                    yield ReadWork(name, title, "images", reading, False, bytes=0, files=few, processor=unit)


def read_works(readers_wanted: list[int], checkpoint: int, images: int) -> list[ReadWork]:
    """Return all reading works for these numbers of readers; the sizes are those of the data sets."""
    through = partial(one_file, timed=read_through, checked=hash_file)
    title = "sequential, "
    mapped_reads = min(MAPPED_READS, checkpoint // PAGE // OF_THE_FILE)
    mapped = partial(one_file, timed=partial(read_mapped, count=mapped_reads, seed=9))
    return [
        ReadWork(
            "read-checkpoint",
            f"{title}checkpoint",
            "checkpoint",
            through,
            processor=PER_GB,
            variants=(USER,),
        ),
        ReadWork("read-table", f"{title}compressible table", "table", through, variants=(USER,)),
        *random_reads("random", "", "checkpoint", checkpoint),
        ReadWork(
            "memmap", "random 4 KiB, numpy.memmap", "checkpoint", mapped, False, bytes=mapped_reads * PAGE, files=0
        ),
        *file_works(readers_wanted, images),
        ReadWork("find", "find", "images", partial(walking, stat=False), bytes=0),
        ReadWork("stat", "stat of all", "images", partial(walking, stat=True), bytes=0),
    ]
