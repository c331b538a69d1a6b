"""Epochs of PyTorch's DataLoader over the mount and over the plain folder."""

from __future__ import annotations

import json
import os
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
from benchmarks.results import Key, Line
from benchmarks.rounds import Bench, say
from benchmarks.sides import Side


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
    """Whole epochs, cold and warm, with this many workers; all bytes are summed within the time on both sides."""

    workers: int
    data: str = "images"

    @property
    def name(self) -> str:
        """Return the name."""
        return f"loader-{self.workers}"

    def measure(self, bench: Bench) -> None:
        """Measure plain folder and artfs in turns; peers do not take part."""
        wanted = [side for side in bench.sides if side.name == "plain" or side.name.startswith("artfs")]
        sides = {side.name: side for side in wanted if prepared(bench, self.name, side, self.data)}
        size, files = bench.data.bytes(self.data), bench.data.files(self.data)
        for state in self.states():
            title = f"PyTorch DataLoader, {self.workers} workers, {state}"
            bench.results.add(Key(self.name, state), Line(title, bytes=size, files=files))
        with loader() as process:
            bench.turns(self.name, list(sides), lambda name, turn: self.visit(bench, process, sides[name], turn))

    def states(self) -> list[str]:
        """Return the states that can be measured: only root can empty the page cache."""
        return ["cold", "warm"] if os.geteuid() == 0 else ["warm"]

    def visit(self, bench: Bench, process: Loader, side: Side, turn: int) -> None:
        """Run an epoch with an empty page cache, and one after it; then read all once more and check every byte."""
        took = []
        plain = bench.data.folder(self.data)
        with side.shown([self.data]) as folders:
            folder = folders[self.data]
            if "cold" not in self.states():
                hash_folder(folder)
            for state in self.states():
                process.ask({"folder": str(folder), "names_from": str(plain), "workers": self.workers})
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
