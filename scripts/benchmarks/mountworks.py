"""The cost of a mount itself: the time until its first listing, and its memory after many look-ups."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

from benchmarks.reading import walk
from benchmarks.readworks import prepared
from benchmarks.results import Key, Line, Shown
from benchmarks.rounds import Bench, say
from benchmarks.sides import Side

WALKED = ("images", "tiny")


@dataclass(frozen=True)
class MountWork:
    """From the start of the command that mounts to the answered listing of a data set's folder."""

    name: str = "mount"
    title: str = "mount to first listing"

    def measure(self, bench: Bench) -> None:
        """Measure all sides in turns."""
        sides = {side.name: side for side in bench.sides if prepared(bench, self.name, side, "images")}
        bench.results.add(Key(self.name, ""), Line(self.title, Shown.SECONDS))
        del sides["plain"]
        bench.turns(self.name, list(sides), lambda name, turn: self.visit(bench, sides[name], turn))

    def visit(self, bench: Bench, side: Side, turn: int) -> None:
        """Mount and list."""
        start = time.perf_counter()
        with side.shown(["images"]) as folders:
            listed = os.listdir(folders["images"])
            seconds = time.perf_counter() - start
        bench.results.check(Key(self.name, "listing"), side.name, sorted(listed))
        bench.results.lines[Key(self.name, "")].values.setdefault(side.name, {})[turn] = seconds
        say(f"{self.name} {turn + 1}/{bench.pairs} {side.name}: {seconds:.3f} s")


@dataclass(frozen=True)
class MemoryWork:
    """The anonymous memory of all processes that serve a mount, after ``find`` has walked two data sets."""

    name: str = "memory"
    title: str = "memory of the daemon"

    def measure(self, bench: Bench) -> None:
        """Measure the sides that are served by processes, in turns."""
        sides = {side.name: side for side in bench.sides if prepared(bench, self.name, side, *WALKED)}
        for side in sides.values():
            side.opens = sum(bench.data.files(name) for name in WALKED)
        paths = sum(bench.data.files(name) for name in WALKED)
        bench.results.add(Key(self.name, ""), Line(f"{self.title} after {paths:,} paths", Shown.SIZE))
        del sides["plain"]
        bench.turns(self.name, list(sides), lambda name, turn: self.visit(bench, sides[name], turn))

    def visit(self, bench: Bench, side: Side, turn: int) -> None:
        """Mount, walk, and measure."""
        with side.shown(WALKED) as folders:
            if not side.processes():
                return
            for name in WALKED:
                bench.results.check(Key(self.name, name), side.name, walk(folders[name], stat=False).seen)
            memory = side.memory_bytes()
        bench.results.lines[Key(self.name, "")].values.setdefault(side.name, {})[turn] = memory
        say(f"{self.name} {turn + 1}/{bench.pairs} {side.name}: {memory / 1e6:.0f} MB")
