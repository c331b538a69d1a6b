"""Small files of a second version that shares its content with one that was just read.

A mount has each file of each version as a file of its own, so the kernel has no pages of the second version. The plain
folder has one copy of each file for both: its own reading is timed cold and warm, and artfs is compared with both.
"""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.commands import drop_page_cache
from benchmarks.reading import Readers, readers, shuffled_files
from benchmarks.readworks import prepared
from benchmarks.regimes import Regime
from benchmarks.results import Key, Line
from benchmarks.rounds import Bench, say
from benchmarks.sides import Side

FIRST, SECOND = "images", "second"


@dataclass(frozen=True)
class SecondWork:
    """One reader reads all files of a version, and is timed while it reads the same files of the next version."""

    name: str = "second"
    title: str = "second version after the first, plain folder"

    def measure(self, bench: Bench) -> None:
        """Measure the plain folder and artfs in turns; peers have no second version."""
        sides = {side.name: side for side in bench.without_peers() if prepared(bench, self.name, side, FIRST, SECOND)}
        size, files = bench.data.bytes(FIRST), bench.data.files(FIRST)
        for state in self.states(bench):
            bench.results.add(Key(self.name, state), Line(f"{self.title} {state}", bytes=size, files=files))
        with readers(shuffled_files(bench.data.folder(FIRST), seed=7), 1, processes=True) as pool:
            bench.turns(self.name, list(sides), lambda name, turn: self.visit(bench, pool, sides[name], turn))

    def states(self, bench: Bench) -> list[str]:
        """Return the states of the plain folder that are compared with: cold only where that regime is measured."""
        return ["cold", "warm"] if Regime.DISK in bench.regimes else ["warm"]

    def visit(self, bench: Bench, pool: Readers, side: Side, turn: int) -> None:
        """Read the first version, then the second; of the plain folder the same files twice."""
        with side.shown([FIRST, SECOND]) as folders:
            if Regime.DISK in bench.regimes:
                drop_page_cache()
            first = pool.read(folders[FIRST])
            second = pool.read(folders[SECOND if side.serves else FIRST])
            bench.results.check(Key(self.name, "content"), side.name, pool.hash(folders[SECOND]))
        bench.results.check(Key(self.name, "seen"), side.name, (first.seen, second.seen))
        for state in self.states(bench):
            outcome = first if state == "cold" and not side.serves else second
            bench.results.lines[Key(self.name, state)].values.setdefault(side.name, {})[turn] = outcome.seconds
        say(f"{self.name} {turn + 1}/{bench.pairs} {side.name}: {first.seconds:.3f} s, then {second.seconds:.3f} s")
