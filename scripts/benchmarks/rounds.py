"""Running every side in turns, so that other load on the machine affects all of them."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.datasets import DataSets
from benchmarks.processes import SideFailed
from benchmarks.regimes import Regime
from benchmarks.results import Results, WrongBytes
from benchmarks.sides import USER, Artfs, Side

NEEDED = ("plain", "artfs")
JUDGED = (*NEEDED, "squashfuse", "passthrough")
"""The sides that the goals of reads compare: they run in every round, however long that takes."""
_LIMIT = 10


def say(text: str) -> None:
    """Print the current step."""
    print(f"bench: {text}", file=sys.stderr, flush=True)


@dataclass
class Bench:
    """The context of all works: the data, the sides, the results, and the number of rounds.

    Sides with a goal run in each of ``pairs`` rounds, other peers in ``peer_rounds`` of them, or once if they take
    longer than ``patience`` seconds; three times that leaves a peer out of the works of that kind that follow, and ten
    times that ends its run.
    ``folder`` holds the stores, ``transport`` is the one that artfs mounts with, ``regimes`` are those that cold reads
    are measured in.
    """

    data: DataSets
    folder: Path
    transport: str
    sides: list[Side]
    results: Results
    pairs: int
    peer_rounds: int
    patience: float
    regimes: Sequence[Regime] = tuple(Regime)
    too_slow: dict[tuple[str, str], str] = field(default_factory=dict)
    _seen: set[tuple[str, str]] = field(default_factory=set)

    def first_time(self, side: str, data: str) -> bool:
        """Return whether this is the first call for a side and a data set."""
        new = (side, data) not in self._seen
        self._seen.add((side, data))
        return new

    def without_peers(self) -> list[Side]:
        """Return the plain folder and artfs, without the variant that differs in sequential reads only."""
        return [side for side in self.sides if side.name == "plain" or (isinstance(side, Artfs) and side.name != USER)]

    def leave_out(self, work: str, name: str, why: str) -> None:
        """Drop a peer from a work, and print that; artfs and the plain folder cannot be left out."""
        if name in NEEDED:
            raise SideFailed(f"{work}: {name}: {why}")
        self.results.drop(work, name)
        self.results.left_out[f"{work}: {name}"] = why
        say(f"left out of {work}: {name}: {why}")

    def turns(
        self, work: str, names: Sequence[str], visit: Callable[[str, int], None], always: Sequence[str] = JUDGED
    ) -> None:
        """Visit all in each round, a different one first each time; those not in ``always`` in some rounds only.

        Variants of artfs run in each round as well.
        """
        always = [name for name in names if name in always or name.startswith("artfs")]
        taking_part = dict.fromkeys(names, float("-inf"))  # the seconds of each one's last run
        step = max(1, self.pairs // max(1, self.peer_rounds))
        for turn in range(self.pairs):
            with_peers = turn % step == 0 and turn // step < self.peer_rounds
            slow = {name for name, seconds in taking_part.items() if seconds > self.patience}
            now = [name for name in taking_part if name in always or (with_peers and name not in slow)]
            for name in now[turn % len(now) :] + now[: turn % len(now)]:
                start = time.monotonic()
                try:
                    with _ended_after(None if name in always else _LIMIT * self.patience):
                        visit(name, turn)
                except (SideFailed, WrongBytes, OSError, subprocess.SubprocessError) as failure:
                    if isinstance(failure, WrongBytes) and name.startswith("artfs"):
                        raise
                    self.leave_out(work, name, str(failure))
                    self.note_slow(work, {name: time.monotonic() - start})
                    del taking_part[name]
                else:
                    taking_part[name] = time.monotonic() - start
        self.note_slow(work, taking_part)

    def note_slow(self, work: str, seconds: Mapping[str, float]) -> None:
        """Record a very slow side, to be left out of the following works of the same kind."""
        for name, taken in seconds.items():
            if name not in JUDGED and taken > 3 * self.patience:
                self.too_slow[work.partition("-")[0], name] = f"one run of {work} took {taken:.0f} s"


@contextmanager
def _ended_after(seconds: float | None) -> Iterator[None]:
    """End the block with `SideFailed` after this time; in the main thread."""
    if seconds is None:
        yield
        return

    def end(*_: object) -> None:
        raise SideFailed(f"it took more than {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
