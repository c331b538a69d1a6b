"""Judging versions by rules: pure functions, which read no clock and no store."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any, Final

from artstore.metadata import decimal_of
from artstore.names import version_label
from artstore.retention.rules import PERIODS, Rule

__all__ = ["Candidate", "Verdict", "judge"]

_BUCKETS: Final[Mapping[str, Callable[[datetime], tuple[int, ...]]]] = {
    "hourly": lambda time: (time.year, time.month, time.day, time.hour),
    "daily": lambda time: (time.year, time.month, time.day),
    "weekly": lambda time: tuple(time.isocalendar()[:2]),
    "monthly": lambda time: (time.year, time.month),
    "yearly": lambda time: (time.year,),
}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A living version, and the facts that its verdict depends on.

    ``expires_ns`` is its expiry time, or 0.  ``users`` are phrases that name uses which protect it regardless of the
    rules.
    """

    artifact: str
    number: int
    serial: int
    created_ns: int
    type: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    tags: Sequence[str] = ()
    aliases: Sequence[str] = ()
    expires_ns: int = 0
    users: Sequence[str] = ()

    @property
    def name(self) -> str:
        """``NAME:v3``."""
        return f"{self.artifact}:{version_label(self.number)}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a version expires, and the reasons as phrases; ``rules`` are the names of those that select it."""

    candidate: Candidate
    expires: bool
    reasons: list[str]
    rules: list[str]


def judge(candidates: Sequence[Candidate], rules: Sequence[Rule], now_ns: int) -> list[Verdict]:
    """Return a verdict on each living version of one artifact, the newest first; none is pending."""
    ordered = sorted(candidates, key=lambda each: each.number, reverse=True)
    selected: dict[int, list[Rule]] = {each.serial: [] for each in ordered}
    kept: dict[int, list[str]] = {each.serial: [] for each in ordered}
    missed: dict[int, list[str]] = {each.serial: [] for each in ordered}
    for rule in rules:
        chosen = [each for each in ordered if rule.selects(each.artifact, each.type, each.tags, each.metadata)]
        for each in chosen:
            selected[each.serial].append(rule)
        for each, why in _keeps(rule, chosen, now_ns):
            kept[each.serial].append(f"{rule.name}: {why}")
        for each, why in _misses(rule, chosen):
            missed[each.serial].append(f"{rule.name}: {why}")
    latest = ordered[0].serial if ordered else 0
    return [
        _verdict(each, selected[each.serial], kept[each.serial], missed[each.serial], each.serial == latest, now_ns)
        for each in ordered
    ]


def _verdict(
    each: Candidate, selecting: Sequence[Rule], kept: list[str], missed: list[str], is_latest: bool, now_ns: int
) -> Verdict:
    names = [rule.name for rule in selecting]
    if each.expires_ns:
        protected = [f"has the alias {alias!r}" for alias in each.aliases] + list(each.users)
        until = f"{'expired' if each.expires_ns <= now_ns else 'expires'} at {_shown(each.expires_ns)}"
        expires = each.expires_ns <= now_ns and not protected
        return Verdict(each, expires, [until, *protected], names)
    if not selecting:
        return Verdict(each, False, ["no rule selects it"], names)
    protected = list(each.users)
    if not all(rule.aliased for rule in selecting):
        protected += [f"has the alias {alias!r}" for alias in each.aliases]
    if is_latest:
        protected.append("is the latest")
    reasons = [*protected, *kept]
    if reasons:
        return Verdict(each, False, reasons, names)
    if not any(rule.last for rule in selecting):  # else the rule's own reason implies it
        missed = [*missed, "not the latest version"]
    return Verdict(each, True, missed, names)


def _keeps(rule: Rule, chosen: Sequence[Candidate], now_ns: int) -> Iterator[tuple[Candidate, str]]:
    """Yield (version, reason) for each version that a rule keeps among those that it selects, given newest first."""
    for position, each in enumerate(chosen):
        if rule.everything:
            yield each, "keeps everything"
        if position < rule.last:
            yield each, f"last {position + 1} of {rule.last}"
        if rule.within and now_ns - each.created_ns < rule.within * 1e9:
            yield each, f"made within {_length(int(rule.within * 1e9))}"
        for glob in rule.aliases:
            for alias in each.aliases:
                if fnmatchcase(alias, glob):
                    yield each, f"alias {alias!r}"
        for glob in rule.tags:
            for tag in each.tags:
                if fnmatchcase(tag, glob):
                    yield each, f"tag {tag!r}"
    yield from _best(rule, chosen)
    for period in PERIODS:
        yield from _last_of(period, getattr(rule, period), chosen)


def _best(rule: Rule, chosen: Sequence[Candidate]) -> Iterator[tuple[Candidate, str]]:
    """Yield the versions with the best numbers."""
    for position, (number, each) in enumerate(_ranked(rule, chosen)[: rule.best]):
        yield each, f"best {position + 1} of {rule.best} by {rule.field} ({number:g})"


def _ranked(rule: Rule, chosen: Sequence[Candidate]) -> list[tuple[float, Candidate]]:
    """Return the versions with a number to rank by, best first, equal ones newest first."""
    numbers = [(number, each) for each in chosen if (number := _number(each.metadata.get(rule.field))) is not None]
    return sorted(numbers, key=lambda pair: pair[0] if rule.lowest else -pair[0])


def _misses(rule: Rule, chosen: Sequence[Candidate]) -> Iterator[tuple[Candidate, str]]:
    """Yield (version, reason) for each version, as if the rule did not keep it."""
    phrases = [f"not among the last {rule.last}"] if rule.last else []
    if rule.within:
        phrases.append(f"older than {_length(int(rule.within * 1e9))}")
    phrases += [f"not among the {count} {period} versions" for period in PERIODS if (count := getattr(rule, period))]
    phrases += [f"no alias matches {glob!r}" for glob in rule.aliases]
    phrases += [f"no tag matches {glob!r}" for glob in rule.tags]
    ranked = _ranked(rule, chosen) if rule.best else []
    ranks = {
        each.serial: f"{number:g} is {_ordinal(position)} of {len(ranked)}"
        for position, (number, each) in enumerate(ranked, 1)
    }
    for each in chosen:
        best = f"not among the best {rule.best} by {rule.field} ({ranks.get(each.serial, 'it has no such number')})"
        yield each, ", ".join([best, *phrases] if rule.best else phrases)


def _ordinal(position: int) -> str:
    suffix = "th" if position % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(position % 10, "th")
    return f"{position}{suffix}"


def _number(value: Any) -> float | None:
    """Return the number to rank by; one that was typed, such as ``0.90``, may be kept as text."""
    exact = decimal_of(value)
    number = math.inf if exact is None else float(exact)
    return number if math.isfinite(number) else None


def _last_of(period: str, count: int, chosen: Sequence[Candidate]) -> Iterator[tuple[Candidate, str]]:
    """Yield the newest version of each of the latest ``count`` periods that have any."""
    seen: set[tuple[int, ...]] = set()
    for each in chosen:
        bucket = _BUCKETS[period](datetime.fromtimestamp(each.created_ns / 1e9, UTC))
        if bucket not in seen and len(seen) < count:
            seen.add(bucket)
            yield each, f"{period} {len(seen)} of {count}"


def _shown(moment_ns: int) -> str:
    return datetime.fromtimestamp(moment_ns / 1e9, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _length(nanoseconds: int) -> str:
    """Return a length of time in its largest unit: 90 days, 5 hours."""
    seconds = max(nanoseconds, 0) / 1e9
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1)):
        if seconds >= size:
            count = int(seconds // size)
            return f"{count:,} {unit}s" if count > 1 else f"{count} {unit}"
    return "less than a second"
