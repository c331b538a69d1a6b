"""Deleting two middle releases and freeing their space; artfs does it while mounted, the others unmounted."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

from benchmarks.keepers import ArtfsKeeper, Keeper
from benchmarks.processes import SideFailed, remove
from benchmarks.reading import hash_folder, walk
from benchmarks.results import Key, Line, Shown, WrongBytes
from benchmarks.rounds import Bench, say


@dataclass(frozen=True)
class DeleteWork:
    """Deleting versions from copies of stores that hold all releases."""

    name: str
    title: str
    keepers: Sequence[type[Keeper]]
    data: str = "releases"

    def measure(self, bench: Bench) -> None:
        """Store all releases once; then measure deletions from copies of the stores, in turns."""
        bench.results.add(Key(self.name, ""), Line(self.title, Shown.SECONDS))
        stored: dict[str, Keeper] = {}
        for keeper_class in self.keepers:
            keeper = keeper_class(Path(mkdtemp(prefix=f"kept-{keeper_class.name}-", dir=bench.folder)))
            try:
                keeper.create()
                for number, source in enumerate(bench.data.versions(self.data)):
                    keeper.put(keeper.source_for(source), self.data, number)
                stored[keeper.name] = keeper
            except SideFailed as failure:
                bench.leave_out(self.name, keeper.name, str(failure))
        bench.turns(self.name, list(stored), lambda name, turn: self.visit(bench, stored[name], turn), list(stored))
        for keeper in stored.values():
            remove(keeper.folder)

    def visit(self, bench: Bench, keeper: Keeper, turn: int) -> None:
        """Delete from a copy at the original's path, because some stores record their path."""
        kept = keeper.folder.with_name(f"{keeper.folder.name}.kept")
        keeper.folder.rename(kept)
        subprocess.run(["cp", "-a", "--sparse=always", kept, keeper.folder], check=True)
        os.sync()
        try:
            seconds = self.delete(bench, keeper)
        finally:
            remove(keeper.folder)
            kept.rename(keeper.folder)
        bench.results.lines[Key(self.name, "")].values.setdefault(keeper.name, {})[turn] = seconds
        say(f"{self.name} {turn + 1}/{bench.pairs} {keeper.name}: {seconds:.2f} s")

    def delete(self, bench: Bench, keeper: Keeper) -> float:
        """Return the seconds that the deletion took."""
        count = len(bench.data.versions(self.data))
        middle = [count // 2 - 1, count // 2]
        if not isinstance(keeper, ArtfsKeeper):
            return delete_timed(keeper, self.data, middle)
        point = keeper.folder.with_name("mount-delete")
        with keeper.workspace.mounted(point, "--transport", bench.transport):
            before = walk(point / self.data, stat=True)
            seconds = delete_timed(keeper, self.data, middle)
            if keeper.workspace.report("gc", "--dry-run")["freed_bytes"]:
                raise WrongBytes(f"{self.name}: gc left something")
            for left in (middle[0] - 1, middle[1] + 1):
                source = bench.data.versions(self.data)[left]
                bench.results.check(Key(self.name, str(left)), "plain", hash_folder(source))
                bench.results.check(Key(self.name, str(left)), "artfs", hash_folder(point / self.data / f"v{left}"))
            after = walk(point / self.data, stat=True)
        if before.seen == after.seen:
            raise WrongBytes(f"{self.name}: the deleted versions are still there")
        return seconds


def delete_timed(keeper: Keeper, name: str, numbers: Sequence[int]) -> float:
    """Return the seconds that deleting versions and the sync after it took."""
    start = time.perf_counter()
    keeper.delete(name, numbers)
    subprocess.run(["sync", "-f", keeper.folder], check=True)
    return time.perf_counter() - start
