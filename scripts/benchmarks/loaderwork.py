"""Epochs of PyTorch's DataLoader over the mount and over the plain folder."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from benchmarks.commands import drop_page_cache
from benchmarks.processes import SideFailed
from benchmarks.reading import hash_folder
from benchmarks.readworks import prepared
from benchmarks.regimes import IN_WORDS, Regime, bring_into_memory
from benchmarks.results import Key, Line
from benchmarks.rounds import Bench, say
from benchmarks.sides import Artfs, Side


class Loader:
    """The client of ``benchmarks.loading``."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self, request: dict[str, Any] | None = None) -> str:
        """Send a line, and return the answer line."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(f"{json.dumps(request)}\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise SideFailed("the loader's process ended")
        return answer.strip()


@contextmanager
def loader() -> Iterator[Loader]:
    """Start the process that holds PyTorch."""
    command = [sys.executable, "-m", "benchmarks.loading"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Loader(process)
        finally:
            process.terminate()


@dataclass(frozen=True)
class LoaderWork:
    """Whole epochs, cold and warm, with this many workers; all bytes are summed within the time on both sides.

    artfs shows the files through a mount; with ``in_process`` its workers read them with ``artfs.torch``, and only the
    first epoch is timed.
    """

    workers: int
    in_process: bool = False
    data: str = "images"

    @property
    def name(self) -> str:
        """Return the name."""
        return f"{'torch' if self.in_process else 'loader'}-{self.workers}"

    def lacks(self) -> str:
        """Return why this cannot run here, or an empty text."""
        if importlib.util.find_spec("torch") is None:
            return "PyTorch is not installed"
        if self.in_process and importlib.util.find_spec("artfs.torch") is None:
            return "this artfs has no artfs.torch"
        return ""

    def measure(self, bench: Bench) -> None:
        """Measure plain folder and artfs in turns; peers do not take part."""
        sides = {side.name: side for side in bench.without_peers() if prepared(bench, self.name, side, self.data)}
        size, files = bench.data.bytes(self.data), bench.data.files(self.data)
        for state in self.states(bench):
            what = "artfs.torch, DataLoader" if self.in_process else "DataLoader on the mount"
            title = f"{what}, {self.workers} workers, {IN_WORDS[state]}"
            bench.results.add(Key(self.name, state), Line(title, bytes=size, files=files))
        with loader() as process:
            bench.turns(self.name, list(sides), lambda name, turn: self.visit(bench, process, sides[name], turn))

    def states(self, bench: Bench) -> list[str]:
        """Return the states that are measured: cold in the first regime, then warm."""
        return [bench.regimes[0].state] if self.in_process else [bench.regimes[0].state, "warm"]

    def visit(self, bench: Bench, process: Loader, side: Side, turn: int) -> None:
        """Run an epoch with empty caches, and one after it; then read all once more and check every byte."""
        took = []
        plain = bench.data.folder(self.data)
        if bench.regimes[0] is Regime.MEMORY:
            bring_into_memory(side.sources(self.data))
        with side.shown([self.data]) as folders:
            folder = folders[self.data]
            request = {"folder": str(folder), "names_from": str(plain), "workers": self.workers}
            if self.in_process and isinstance(side, Artfs):
                request |= {"workspace": str(side.workspace.folder), "version": f"{self.data}:v0"}
            for state in self.states(bench):
                process.ask(request)
                if state == "cold":
                    drop_page_cache()
                line = bench.results.lines[Key(self.name, state)]
                before = side.cpu_seconds()
                outcome = json.loads(process.ask())
                if side.processes():
                    line.cpu.setdefault(side.name, {})[turn] = side.cpu_seconds() - before
                bench.results.check(Key(self.name, "seen"), side.name, outcome["seen"])
                line.values.setdefault(side.name, {})[turn] = outcome["seconds"]
                took.append(f"{state} {outcome['seconds']:.3f} s")
            bench.results.check(Key(self.name, "content"), side.name, hash_folder(folder))
        say(f"{self.name} {turn + 1}/{bench.pairs} {side.name}: {', '.join(took)}")
