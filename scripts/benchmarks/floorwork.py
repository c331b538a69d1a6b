"""Random reads of compressed content, beside their floor: the decompression of the chunks that they touch.

A read of 4 KiB of a compressed chunk decompresses the whole chunk. The floor does only that, with libzstd, from stored
bytes that are in memory, for the same places in the same order; a place in the chunk of the place before costs nothing.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import zstandard

from artstore.queries.resolving import resolve_version
from artstore.records.nodes import Extent
from artstore.rows.content import chunks_between
from artstore.storage.codec import ZSTD
from artstore.storage.packs import pack_path
from artstore.store import Store
from benchmarks.processes import run_module
from benchmarks.reading import random_places
from benchmarks.readworks import ReadWork, random_reads
from benchmarks.results import Key
from benchmarks.rounds import Bench, say
from benchmarks.sides import Artfs

FLOOR = "zstd alone"
_SEED = 8


@dataclass(frozen=True)
class CompressedWork:
    """Random reads of a compressible file, and the floor of artfs's chunks as one more side."""

    reads: ReadWork
    size: int

    @property
    def name(self) -> str:
        """Return the name of the reads."""
        return self.reads.name

    def measure(self, bench: Bench) -> None:
        """Measure the sides in turns, then the floor as many times."""
        self.reads.measure(bench)
        side = next(side for side in bench.sides if isinstance(side, Artfs))
        assert self.reads.bytes is not None
        asked = [self.reads.data, str(self.size), str(self.reads.bytes // self.size), str(bench.pairs)]
        measured = json.loads(run_module("floorwork", side.workspace.folder, *asked))
        say(f"{self.name}: {FLOOR} takes {min(measured):.3f} to {max(measured):.3f} s")
        for state in self.reads.states(bench):
            bench.results.lines[Key(self.name, state)].values[FLOOR] = dict(enumerate(measured))


def compressed_works(table: int) -> Iterator[CompressedWork]:
    """Yield the works for a table of this length."""
    for reads in random_reads("compressed", ", compressed", "table", table):
        yield CompressedWork(reads, int(reads.name.rpartition("-")[2][:-1]) << 10)


def stored_chunks(workspace: Path, artifact: str, size: int, count: int) -> list[bytes]:
    """Return the stored forms of the chunks that the reads touch, one for each change of the chunk."""
    store = Store.open(workspace)
    version, path = resolve_version(store, f"{artifact}:v0/data")
    forms: list[bytes] = []
    known: dict[Extent, bytes] = {}
    last: Extent | None = None
    with store.snapshot() as snapshot:
        [node] = snapshot.files_at(version.record.root, path, version.name)
        for place in random_places(snapshot.content(node).size, size, count, _SEED):
            for chunk, _, _ in chunks_between(snapshot.transaction, node, place, place + size):
                extent = chunk.extent
                if extent != last and extent.codec == ZSTD:
                    if extent not in known:
                        with open(pack_path(workspace, extent.pack), "rb") as pack:
                            pack.seek(extent.offset)
                            known[extent] = pack.read(extent.stored)
                    forms.append(known[extent])
                last = extent
    return forms


def main() -> None:
    """Print the seconds of each repetition as JSON."""
    workspace, artifact, size, count, rounds = sys.argv[1:]
    forms = stored_chunks(Path(workspace), artifact, int(size), int(count))
    decompressor, seconds = zstandard.ZstdDecompressor(), []
    for _ in range(int(rounds)):
        start = time.perf_counter()
        for form in forms:
            decompressor.decompress(form)
        seconds.append(time.perf_counter() - start)
    print(json.dumps(seconds))


if __name__ == "__main__":
    main()
