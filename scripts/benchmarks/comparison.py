"""The values of a comparison of two checkouts by row, side and round, and their table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from benchmarks.intervals import Interval, interval
from benchmarks.results import WrongBytes

__all__ = ["Comparison", "Row", "Unit"]


class Unit(Enum):
    """What a row measures; less is better in both."""

    SECONDS = "s"
    BYTES = "MB"


@dataclass
class Row:
    """The values of one measurement by side, one for each round."""

    unit: Unit
    values: dict[str, list[float]] = field(default_factory=dict)

    def median(self, side: str) -> float:
        """Return the median of a side's values."""
        return interval(self.values[side]).median

    def ratio(self, side: str, over: str) -> Interval:
        """Return how many times the value of ``over`` that of ``side`` is, from both values of each round."""
        pairs = zip(self.values[side], self.values[over], strict=True)
        return interval([own / other if other else 1.0 for own, other in pairs])


class Comparison:
    """The rows of two sides, in the order in which they were first measured.

    ``sides`` are the side that is judged, and the one that it is compared with.
    """

    def __init__(self, sides: tuple[str, str]) -> None:
        self.sides = sides
        self.rows: dict[str, Row] = {}
        self._seen: dict[str, object] = {}

    def add(self, side: str, name: str, value: float, unit: Unit = Unit.SECONDS) -> None:
        """Add the value of a side in its next round."""
        self.rows.setdefault(name, Row(unit)).values.setdefault(side, []).append(value)

    def check(self, side: str, name: str, seen: object) -> None:
        """Raise WrongBytes unless this equals the value of the other side and of all earlier rounds."""
        if self._seen.setdefault(name, seen) != seen:
            raise WrongBytes(f"{name}: {side} and the other checkout read different content")

    def table(self) -> list[str]:
        """Return the table as Markdown: medians, the ratio of the rounds with its interval, and a verdict."""
        judged, other = self.sides
        lines = [f"| row | {other} | {judged} | ratio | |", "|---|---:|---:|---:|---|"]
        for name, row in self.rows.items():
            ratio = row.ratio(judged, other)
            medians = [shown(row.median(side), row.unit) for side in (other, judged)]
            lines.append(f"| {name} | {' | '.join(medians)} | {shown_ratio(ratio)} | {verdict(ratio, row.unit)} |")
        return lines

    def document(self, facts: Mapping[str, object]) -> dict[str, object]:
        """Return everything for a JSON file."""
        rows = [{"row": name, "unit": row.unit.value, "values": row.values} for name, row in self.rows.items()]
        return {"facts": dict(facts), "sides": list(self.sides), "rows": rows}


def shown(value: float, unit: Unit) -> str:
    """Return a value with its unit."""
    return f"{value / 1e6:,.2f} MB" if unit is Unit.BYTES else f"{value:.3f} s"


def shown_ratio(ratio: Interval) -> str:
    """Return a ratio with its interval; ``~`` marks one of too few rounds."""
    return f"{'' if ratio.sure else '~ '}{ratio.median:.3f} [{ratio.low:.3f}, {ratio.high:.3f}]"


def verdict(ratio: Interval, unit: Unit) -> str:
    """Return the verdict on a ratio; empty if its interval contains 1 or has too few rounds."""
    less, more = ("smaller", "larger") if unit is Unit.BYTES else ("faster", "slower")
    if not ratio.sure or ratio.low <= 1 <= ratio.high:
        return ""
    return less if ratio.high < 1 else more


def alternated(sides: Sequence[str], rounds: int) -> Iterator[tuple[int, str]]:
    """Yield each round's number with each side; every round starts with the side that ended the last one."""
    for number in range(rounds):
        for side in sides if number % 2 == 0 else sides[::-1]:
            yield number, side
