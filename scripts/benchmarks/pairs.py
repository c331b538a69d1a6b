"""Timing two ways of doing the same work in turns, so that what else the machine does falls on both."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

Run = Callable[[], tuple[float, object]]
"""Does the work once; returns its seconds and what it read, for comparison."""


class WrongResult(Exception):
    """The two sides did not read the same: no times are compared."""


@dataclass(frozen=True)
class Comparison:
    """The times of one kind of work; a ratio is the plain file system's time divided by that of artfs."""

    name: str
    plain_seconds: list[float]
    artfs_seconds: list[float]
    bytes: int = 0

    @property
    def ratios(self) -> list[float]:
        """The ratio of each pair: 1 is as fast as the plain file system, 0.5 takes twice its time."""
        return [plain / artfs for plain, artfs in zip(self.plain_seconds, self.artfs_seconds, strict=True)]

    def record(self) -> dict[str, object]:
        """Return everything for a JSON file."""
        ratios = self.ratios
        return {
            "name": self.name,
            "plain_seconds": self.plain_seconds,
            "artfs_seconds": self.artfs_seconds,
            "ratio": {"median": statistics.median(ratios), "min": min(ratios), "max": max(ratios)},
            "bytes": self.bytes,
        }


def compare(name: str, plain: Run, artfs: Run, *, pairs: int, size: int = 0) -> Comparison:
    """Run both sides ``pairs`` times, the first place alternating; raise WrongResult if they ever read differently."""
    print(f"measuring: {name}", file=sys.stderr)
    seconds: dict[Run, list[float]] = {plain: [], artfs: []}
    for turn in range(pairs):
        results = []
        for side in (plain, artfs) if turn % 2 == 0 else (artfs, plain):
            elapsed, result = side()
            seconds[side].append(elapsed)
            results.append(result)
        if results[0] != results[1]:
            raise WrongResult(f"{name}: the mount and the plain folder did not read the same")
    return Comparison(name, seconds[plain], seconds[artfs], size)


def print_table(comparisons: list[Comparison]) -> None:
    """Print medians and the ratios' median and range."""
    table = Table(box=None, pad_edge=False)
    table.add_column("work")
    for heading in ("plain", "artfs", "artfs MB/s", "ratio", "min..max"):
        table.add_column(heading, justify="right")
    for each in comparisons:
        ratios, artfs = each.ratios, statistics.median(each.artfs_seconds)
        table.add_row(
            each.name,
            f"{statistics.median(each.plain_seconds):.3f} s",
            f"{artfs:.3f} s",
            f"{each.bytes / artfs / 1e6:,.0f}" if each.bytes else "",
            f"{statistics.median(ratios):.2f}",
            f"{min(ratios):.2f}..{max(ratios):.2f}",
        )
    Console(width=110).print(table)
