"""The goals, and whether they are reached: only if the worse end of the interval passes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from benchmarks.datasets import FULL
from benchmarks.intervals import Interval
from benchmarks.results import FIRST_PUT, Key, Results
from benchmarks.sides import ARTFS, USER


@dataclass(frozen=True)
class Goal:
    """The goal of a side, artfs unless it is another variant, on one line.

    With ``over``, it must take at least ``limit`` times less than each of these sides; a side that was not measured is
    skipped, and named. Without ``over``, its own cost must be at most ``limit``. Goals for ``full`` data are not judged
    with other data.
    """

    key: Key
    limit: float
    over: tuple[str, ...] = ("plain",)
    side: str = ARTFS
    full: bool = False


class Verdict(NamedTuple):
    """A goal and its measurement: the sides compared with, and the hardest of them."""

    goal: Goal
    against: str
    figure: Interval
    reached: bool
    missing: tuple[str, ...]

    @property
    def wanted(self) -> str:
        """Return the goal in words."""
        limit, over = self.goal.limit, " and ".join(self.goal.over)
        if not over:
            return f"<= {limit / 1e6:.0f} MB" if limit > 1e3 else f"<= {limit:g} s"
        return f">= {limit:.3g}" if over == "plain" else f">= {limit:.3g}x {over}"

    @property
    def text(self) -> str:
        """Return the verdict in words."""
        if not self.figure.sure:
            return "too few rounds"
        if self.missing:
            return f"{' and '.join(self.missing)} not measured"
        return "reached" if self.reached else "not reached"


COLD = ("cold", "memory")
"""The states of the two regimes."""
FILES = {
    # readers: all files cold and warm, the first ones cold, as ratios to the plain folder
    "1": (0.85, 0.95, 0.5),
    "4": (0.8, 0.95, 0.4),
    "4-threads": (0.8, 0.95, 0.4),
    "16": (0.7, 0.9, None),
    "16-threads": (0.7, 0.9, None),
}


def reads(work: str, cold: float | None, warm: float | None, *, side: str = ARTFS) -> list[Goal]:
    """Return the goals of a reading work beside the plain folder: from the disk, and warm."""
    states = (("cold", cold), ("warm", warm))
    return [Goal(Key(work, state), limit, side=side) for state, limit in states if limit is not None]


def beside(work: str, squashfuse: float, passthrough: float | None) -> Iterator[Goal]:
    """Yield the goals of a reading work beside the peers with FUSE, in both regimes."""
    for state in COLD:
        yield Goal(Key(work, state), squashfuse, ("squashfuse",))
        if passthrough is not None:
            yield Goal(Key(work, state), passthrough, ("passthrough",))


def small_files() -> Iterator[Goal]:
    """Yield the goals of small files."""
    for readers, (cold, warm, first) in FILES.items():
        yield from reads(f"first-{readers}", first, None)
        yield from beside(f"first-{readers}", 1.2, 1.0)
        yield from reads(f"files-{readers}", cold, warm)
        yield from beside(f"files-{readers}", 1.2, 1.0)


GOALS: tuple[Goal, ...] = (
    *reads("read-checkpoint", 0.9, 0.6),
    *reads("read-checkpoint", 0.6, None, side=USER),
    *beside("read-checkpoint", 1.2, 0.85),
    *reads("read-table", 0.8, 0.6),
    *reads("read-table", 0.5, None, side=USER),
    *beside("read-table", 1.2, 0.85),
    *(Goal(Key("read-checkpoint", f"{state} processor"), 1.6, ()) for state in COLD),
    *reads("random-4k", 0.45, None),
    *beside("random-4k", 1.2, 0.85),
    *reads("random-64k", 0.7, None),
    *beside("random-64k", 1.2, 0.85),
    *beside("memmap", 1.2, 0.85),
    *small_files(),
    *(Goal(Key("files-1", f"{state} processor"), 0.12, ()) for state in COLD),
    *reads("find", 0.75, 1.2),
    *beside("find", 1.0, None),
    *reads("stat", None, 0.95),
    *beside("stat", 2.0, None),
    *reads("second", 0.6, None),
    Goal(Key("api-read-bytes", "warm"), 1 / 2.5),
    Goal(Key("torch-4", "cold"), 1.3),
    *reads("loader-2", 0.85, 0.9),
    *reads("loader-4", 0.85, 0.9),
    Goal(Key("put-releases", ""), 2.0, ("borg", "restic")),
    Goal(Key("put-releases", ""), 4.0, ("dvc",)),
    Goal(Key("put-checkpoints", ""), 2.0, ("borg", "restic")),
    Goal(Key("put-images", ""), 1.5, ("borg", "restic")),
    Goal(Key("put-releases", "stored"), 1 / 0.85, ("borg", "restic")),
    Goal(Key("put-releases", "stored"), 135.5e6, (), full=True),
    Goal(Key("put-checkpoints", "stored"), 1 / 0.8, ("borg", "restic")),
    Goal(Key("put-checkpoints", "stored"), 1230.5e6, (), full=True),
    Goal(Key("put-images", "stored"), 1.0, ("borg", "restic")),
    Goal(Key("put-images", "stored"), 1561.5e6, (), full=True),
    Goal(Key("put-images", "again"), 10.0, (FIRST_PUT,)),
    Goal(Key("delete", ""), 2.0, ("borg",)),
    Goal(Key("delete", ""), 10.0, ("restic",)),
    Goal(Key("mount", ""), 0.15, ()),
    Goal(Key("memory", ""), 80e6, (), full=True),
)


def verdicts(results: Results) -> list[Verdict]:
    """Return the verdicts on all goals with measurements."""
    found = []
    for goal in GOALS:
        line = results.lines.get(goal.key)
        if line is None or goal.side not in line.values or (goal.full and results.facts.get("data") != FULL.name):
            continue
        if not goal.over:
            value = line.value(goal.side)
            if value is not None:
                found.append(Verdict(goal, "", value, value.sure and value.high <= goal.limit, ()))
            continue
        ratios = {other: line.ratio(goal.side, other) for other in goal.over}
        measured = {other: ratio for other, ratio in ratios.items() if ratio is not None}
        missing = tuple(other for other in goal.over if other not in measured)
        if measured:
            against, figure = min(measured.items(), key=lambda each: each[1].low)
            reached = figure.sure and figure.low >= goal.limit
            found.append(Verdict(goal, against, figure, reached, missing))
    return found
