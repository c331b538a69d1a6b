"""Reading small files through the Python API, beside opening, reading and closing plain files.

Each run is a process of its own that reads all files once, untimed, so that packs and the process's own caches are
warm, and then again in another order, timed. Run as a program it is that process.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import xxhash

import artfs
from benchmarks.processes import run_module
from benchmarks.reading import shuffled_files
from benchmarks.readworks import prepared
from benchmarks.results import Key, Line
from benchmarks.rounds import Bench, say
from benchmarks.sides import Artfs, Side

FILES = 5000
CALLS = ("read-bytes", "open", "read-many")
_LARGEST = 1 << 17


@dataclass(frozen=True)
class ApiWork:
    """One way of reading whole files in process: ``read_bytes``, ``open`` or ``read_many`` of a version."""

    call: str
    data: str = "images"

    @property
    def name(self) -> str:
        """Return the name."""
        return f"api-{self.call}"

    def measure(self, bench: Bench) -> None:
        """Measure the plain folder and artfs in turns."""
        if not hasattr(artfs.Version, self.call.replace("-", "_")):
            bench.results.left_out[f"{self.name}: artfs"] = f"versions have no {self.call.replace('-', '_')}"
            return
        sides = {side.name: side for side in bench.without_peers() if prepared(bench, self.name, side, self.data)}
        files = min(FILES, bench.data.files(self.data))
        title = f"version.{self.call.replace('-', '_')}, small files, warm"
        bench.results.add(Key(self.name, "warm"), Line(title, files=files))
        bench.turns(self.name, list(sides), lambda name, turn: self.visit(bench, sides[name], files, turn))

    def visit(self, bench: Bench, side: Side, files: int, turn: int) -> None:
        """Run the process once."""
        call, place = "plain", str(bench.data.folder(self.data))
        if isinstance(side, Artfs):
            call, place = self.call, str(side.workspace.folder)
        asked = [call, place, self.data, str(bench.data.folder(self.data)), str(files)]
        measured = json.loads(run_module("apiwork", *asked))
        bench.results.check(Key(self.name, "seen"), side.name, measured["seen"])
        bench.results.lines[Key(self.name, "warm")].values.setdefault(side.name, {})[turn] = measured["seconds"]
        say(f"{self.name} {turn + 1}/{bench.pairs} {side.name}: {measured['seconds'] / files * 1e6:.1f} us a file")


def reader_of(call: str, place: str, artifact: str) -> Callable[[Sequence[str]], Iterable[bytes]]:
    """Return a function that yields the contents of the files with these names."""
    if call == "plain":
        return lambda names: (read_plain(f"{place}/{name}") for name in names)
    version = artfs.open_workspace(place).version(f"{artifact}:v0")
    if call == "read-bytes":
        return lambda names: (version.read_bytes(name) for name in names)
    if call == "open":
        return lambda names: (read_opened(version, name) for name in names)
    return lambda names: (content for _, content in version.read_many(names))


def read_plain(path: str) -> bytes:
    """Return the content of a small file: open, read, close."""
    descriptor = os.open(path, os.O_RDONLY)
    content = os.read(descriptor, _LARGEST)
    os.close(descriptor)
    return content


def read_opened(version: artfs.Version, name: str) -> bytes:
    """Return the content of a file that is opened in a version."""
    with version.open(name) as file:
        return file.read()


def main() -> None:
    """Read all twice; print the seconds of the second time, and a value that depends on all contents."""
    call, place, artifact, names_from, count = sys.argv[1:]
    names = shuffled_files(Path(names_from), seed=7)[: int(count)]
    read = reader_of(call, place, artifact)
    seen = sum(hash_of(content) for content in read(names))
    random.Random(1).shuffle(names)
    total = 0
    start = time.perf_counter()
    for content in read(names):
        total += len(content)
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "seen": [total, seen]}))


def hash_of(content: bytes) -> int:
    """Return a hash of a content."""
    return xxhash.xxh3_64_intdigest(content)


if __name__ == "__main__":
    main()
