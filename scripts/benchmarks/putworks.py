"""Putting versions one after another, and an unchanged folder again.

Every store begins empty, takes the same folders in the same order, and is synced within the measured time. The folders
are in the page cache for all of them.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

from benchmarks.keepers import ArtfsKeeper, Keeper
from benchmarks.processes import remove
from benchmarks.results import Key, Line, Shown, WrongBytes
from benchmarks.rounds import Bench, say


@dataclass(frozen=True)
class PutWork:
    """Putting all versions of a data set, and their disk space afterwards.

    The keepers named in ``always`` run in each round. ``again`` also puts the last version once more.
    """

    name: str
    title: str
    data: str
    keepers: Sequence[type[Keeper]]
    always: Sequence[str]
    again: bool = False

    def measure(self, bench: Bench) -> None:
        """Measure all keepers in turns."""
        size, files = bench.data.bytes(self.data), bench.data.files(self.data)
        bench.results.add(Key(self.name, ""), Line(self.title, Shown.RATE, size, files))
        bench.results.add(Key(self.name, "stored"), Line(f"{self.title}: bytes stored", Shown.SIZE))
        if self.again:
            bench.results.add(Key(self.name, "again"), Line(f"{self.title}, unchanged, again", Shown.SECONDS))
        names = [keeper.name for keeper in self.keepers]
        bench.turns(self.name, names, lambda name, turn: self.visit(bench, name, turn), self.always)

    def visit(self, bench: Bench, name: str, turn: int) -> None:
        """Put everything into a new store of one keeper."""
        folder = Path(mkdtemp(prefix=f"put-{name}-", dir=bench.folder))
        keeper = next(each for each in self.keepers if each.name == name)(folder)
        try:
            keeper.create()
            seconds = sum(
                put_timed(keeper, source, self.data, number)
                for number, source in enumerate(bench.data.versions(self.data))
            )
            stored = keeper.stored_bytes()
            self.record(bench, "", name, turn, seconds)
            self.record(bench, "stored", name, turn, stored)
            say(f"{self.name} {turn + 1}/{bench.pairs} {name}: {seconds:.2f} s, {stored / 1e6:,.0f} MB")
            if isinstance(keeper, ArtfsKeeper):
                self.check(bench, keeper, turn)
                if self.again:
                    again = put_timed(keeper, bench.data.versions(self.data)[-1], self.data, 1)
                    self.record(bench, "again", name, turn, again)
                    bench.results.lines[Key(self.name, "again")].before[turn] = seconds
        finally:
            remove(folder)

    def record(self, bench: Bench, state: str, side: str, turn: int, value: float) -> None:
        """Note one value."""
        bench.results.lines[Key(self.name, state)].values.setdefault(side, {})[turn] = value

    def check(self, bench: Bench, keeper: ArtfsKeeper, turn: int) -> None:
        """Verify the versions that artfs holds: sizes each time, all content once."""
        for number, source in enumerate(bench.data.versions(self.data)):
            files = [os.path.join(parent, name) for parent, _, names in os.walk(source) for name in names]
            size = sum(os.lstat(file).st_size for file in files)
            if keeper.workspace.report("show", f"{self.data}:v{number}")["bytes"] != size:
                raise WrongBytes(f"{self.name}: v{number} does not hold what was put")
        if turn == 0:
            keeper.workspace.run("fsck", "--data")


def put_timed(keeper: Keeper, source: Path, name: str, number: int) -> float:
    """Return the seconds that a put and the sync after it took."""
    laid_out = keeper.source_for(source)
    for parent, _, files in os.walk(laid_out):
        for file in files:
            Path(parent, file).read_bytes()
    os.sync()
    start = time.perf_counter()
    keeper.put(laid_out, name, number)
    subprocess.run(["sync", "-f", keeper.folder], check=True)
    return time.perf_counter() - start
