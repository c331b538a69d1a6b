"""The measured values by work, state, side and round, and figures derived from them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple, Self

from benchmarks.intervals import Interval, interval

FIRST_PUT = "the first put"
_RUN = 1_000_000
"""Rounds that the numbers of one run leave room for."""


class WrongBytes(Exception):
    """Raised if a side did not read the plain folder's content: nothing is compared."""


class Key(NamedTuple):
    """One line of the results: a kind of work, and its state (``cold``, ``warm``, or empty if there is only one)."""

    work: str
    state: str

    def __str__(self) -> str:
        return f"{self.work}, {self.state}" if self.state else self.work


class Shown(Enum):
    """How a line is shown; its values are seconds in the first three, and bytes in the last."""

    RATIO = "times as fast as the plain folder"
    RATE = "MB/s"
    SECONDS = "s"
    SIZE = "MB"


@dataclass
class Line:
    """The values of one kind of work by side and round: seconds or bytes, less is better.

    ``bytes`` and ``files`` are the size of the work's data, ``cpu`` is the processor time of the serving processes.
    ``before`` is a side's own first value, if it is compared with that.
    """

    title: str
    shown: Shown = Shown.RATIO
    bytes: int = 0
    files: int = 0
    values: dict[str, dict[int, float]] = field(default_factory=dict)
    cpu: dict[str, dict[int, float]] = field(default_factory=dict)
    before: dict[int, float] = field(default_factory=dict)

    def ratio(self, side: str, over: str) -> Interval | None:
        """Return how many times less ``side`` took than ``over``, from the rounds in which both ran."""
        own, other = self.values.get(side, {}), self.before if over == FIRST_PUT else self.values.get(over, {})
        pairs = [other[turn] / own[turn] for turn in own if turn in other]
        return interval(pairs) if pairs else None

    def value(self, side: str) -> Interval | None:
        """Return the median of ``side``."""
        values = list(self.values.get(side, {}).values())
        return interval(values) if values else None

    def cpu_seconds(self, side: str) -> float | None:
        """Return the median processor time of a side's serving processes in one run, if it has any."""
        values = list(self.cpu.get(side, {}).values())
        return interval(values).median if values else None


class Results:
    """All lines, the values that must be equal on every side, and the sides that were left out with the reason."""

    def __init__(self) -> None:
        self.lines: dict[Key, Line] = {}
        self.left_out: dict[str, str] = {}
        self.facts: dict[str, object] = {}
        self.took: dict[str, int] = {}
        self._seen: dict[Key, object] = {}

    def __iter__(self) -> Iterator[tuple[Key, Line]]:
        return iter(self.lines.items())

    def add(self, key: Key, line: Line) -> None:
        """Add a line, to be filled."""
        self.lines[key] = line

    def drop(self, work: str, side: str) -> None:
        """Drop one side's values in a work."""
        for key, line in self.lines.items():
            if key.work == work:
                line.values.pop(side, None)
                line.cpu.pop(side, None)

    def check(self, key: Key, side: str, seen: object) -> None:
        """Raise WrongBytes unless this equals the value of all other sides and all earlier rounds."""
        if self._seen.setdefault(key, seen) != seen:
            raise WrongBytes(f"{key}: what was read from {side} is not what the other sides hold")

    def document(self) -> dict[str, object]:
        """Return everything for a JSON file."""
        facts = {"facts": self.facts, "left_out": self.left_out, "seconds_taken": self.took}
        return facts | {"lines": self._records()}

    @classmethod
    def read(cls, documents: Sequence[dict[str, Any]]) -> Self:
        """Return the results of several runs as those of one: all of their rounds, each with the sides that ran in it.

        Raises ValueError if the runs were not made on the same machine with the same data.
        """
        found = cls()
        for number, document in enumerate(documents):
            facts = document["facts"]
            for name in ("kernel", "cores", "file system"):
                if found.facts.setdefault(name, facts[name]) != facts[name]:
                    raise ValueError(f"the runs differ in {name}: {found.facts[name]} and {facts[name]}")
            for name, value in facts.items():
                known = found.facts.setdefault(name, value)
                if known != value and str(value) not in str(known).split(", "):
                    found.facts[name] = f"{known}, {value}"
            found.left_out.update(document["left_out"])
            for work, seconds in document["seconds_taken"].items():
                found.took[work] = found.took.get(work, 0) + seconds
            for record in document["lines"]:
                found._add_record(record, number * _RUN)
        return found

    def _add_record(self, record: dict[str, Any], first_round: int) -> None:
        key = Key(record["work"], record["state"])
        made = Line(record["title"], Shown(record["shown"]), record["bytes"], record["files"])
        line = self.lines.setdefault(key, made)
        if (line.bytes, line.files) != (made.bytes, made.files):
            raise ValueError(f"the runs had other data for {key}")
        for side, rounds in record["rounds"].items():
            turns = [first_round + turn for turn in rounds]
            line.values.setdefault(side, {}).update(zip(turns, record["values"][side], strict=True))
            if side in record["cpu_seconds"]:
                line.cpu.setdefault(side, {}).update(zip(turns, record["cpu_seconds"][side], strict=True))
        line.before.update({first_round + turn: value for turn, value in enumerate(record["before"])})

    def _records(self) -> list[dict[str, object]]:
        return [
            {
                "work": key.work,
                "state": key.state,
                "title": line.title,
                "shown": line.shown.value,
                "bytes": line.bytes,
                "files": line.files,
                "values": {side: list(values.values()) for side, values in line.values.items()},
                "rounds": {side: list(values) for side, values in line.values.items()},
                "before": list(line.before.values()),
                "cpu_seconds": {side: list(values.values()) for side, values in line.cpu.items()},
            }
            for key, line in self
        ]
