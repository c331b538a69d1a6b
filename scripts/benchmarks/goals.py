"""The goals, and whether they are reached: only if the worse end of the interval passes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from benchmarks.intervals import Interval
from benchmarks.results import FIRST_PUT, Key, Results


@dataclass(frozen=True)
class Goal:
    """The goal of artfs on one line.

    With ``over``, artfs must take at least ``limit`` times less than each of these sides; a side that was not
    measured is skipped, and named. Without ``over``, its own cost must be at most ``limit``.
    """

    key: Key
    limit: float
    over: tuple[str, ...] = ("plain",)


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


def reads(work: str, cold: float | None, warm: float | None) -> list[Goal]:
    """Return the goals of a reading work."""
    states = (("cold", cold), ("warm", warm))
    return [Goal(Key(work, state), limit) for state, limit in states if limit is not None]


GOALS: tuple[Goal, ...] = (
    *reads("read-checkpoint", 1.0, 0.3),
    *reads("read-table", 1.1, 0.3),
    *reads("random-4k", 0.4, None),
    *reads("random-64k", 0.6, None),
    *reads("memmap", 0.7, None),
    *reads("files-1", 0.65, 0.95),
    *reads("files-4", 0.65, 0.95),
    *reads("files-4-threads", 0.65, 0.95),
    *reads("files-16", 0.5, 0.8),
    *reads("files-16-threads", 0.5, 0.8),
    *reads("find", 0.6, 1.2),
    *reads("stat", 2.0, 0.95),
    Goal(Key("put-releases", ""), 2.0, ("borg", "restic")),
    Goal(Key("put-releases", ""), 4.0, ("dvc",)),
    Goal(Key("put-checkpoints", ""), 2.0, ("borg", "restic")),
    Goal(Key("put-images", ""), 2.0, ("borg", "restic")),
    Goal(Key("put-releases", "stored"), 1 / 0.85, ("borg", "restic")),
    Goal(Key("put-checkpoints", "stored"), 1 / 0.8, ("borg", "restic")),
    Goal(Key("put-images", "stored"), 1.0, ("borg", "restic")),
    Goal(Key("put-images", "again"), 10.0, (FIRST_PUT,)),
    Goal(Key("delete", ""), 2.0, ("borg",)),
    Goal(Key("delete", ""), 10.0, ("restic",)),
    Goal(Key("mount", ""), 0.2, ()),
    Goal(Key("memory", ""), 100e6, ()),
)


def verdicts(results: Results, side: str) -> list[Verdict]:
    """Return the verdicts on all goals with measurements."""
    found = []
    for goal in GOALS:
        line = results.lines.get(goal.key)
        if line is None or side not in line.values:
            continue
        if not goal.over:
            value = line.value(side)
            if value is not None:
                found.append(Verdict(goal, "", value, value.sure and value.high <= goal.limit, ()))
            continue
        ratios = {other: line.ratio(side, other) for other in goal.over}
        measured = {other: ratio for other, ratio in ratios.items() if ratio is not None}
        missing = tuple(other for other in goal.over if other not in measured)
        if measured:
            against, figure = min(measured.items(), key=lambda each: each[1].low)
            reached = figure.sure and figure.low >= goal.limit
            found.append(Verdict(goal, against, figure, reached, missing))
    return found
