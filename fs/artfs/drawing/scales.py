"""Scales: where a number stands on an axis, and which numbers the axis shows."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable
from typing import Final, NamedTuple

__all__ = ["Scale", "finite", "number", "scale"]

_TICKS: Final = 6
_GREATEST: Final = sys.float_info.max


def finite(value: float | None) -> float | None:
    """Return a number as a float, or None for NaN, infinite numbers and integers beyond those of floats."""
    try:
        made = math.nan if value is None else float(value)
    except OverflowError:
        return None
    return made if math.isfinite(made) else None


def number(value: float) -> str:
    """Return a number as an axis shows it."""
    return f"{value:.10g}".replace("e+0", "e").replace("e+", "e").replace("e-0", "e-")


class Scale(NamedTuple):
    """An axis from ``low`` to ``high``; if it is logarithmic, these are exponents of ten."""

    low: float
    high: float
    logarithmic: bool = False

    def at(self, value: float) -> float | None:
        """Return where a finite number stands, 0 at the low end and 1 at the high one; None where it has no place."""
        if self.logarithmic:
            if value <= 0:
                return None
            value = math.log10(value)
        # Halves, because the distance between two floats may be infinite.
        return (value / 2 - self.low / 2) / (self.high / 2 - self.low / 2)

    def ticks(self) -> list[float]:
        """Return the round numbers on the axis, rising; at least one."""
        proposed = self._powers() if self.logarithmic else self._multiples()
        inside = sorted({tick for tick in proposed if self._holds(tick)})
        middle = self.low / 2 + self.high / 2
        return inside or [10.0**middle if self.logarithmic else middle]

    def _holds(self, tick: float) -> bool:
        place = self.at(tick) if math.isfinite(tick) else None
        return place is not None and -1e-9 <= place <= 1 + 1e-9

    def _powers(self) -> list[float]:
        first, last = math.ceil(self.low - 1e-9), math.floor(self.high + 1e-9)
        powers = [10.0**power for power in range(first, last + 1, max(1, -(-(last - first) // _TICKS)))]
        return powers if len(powers) > 1 else [10.0**self.low, 10.0 ** min(self.high, 308.0)]

    def _multiples(self) -> list[float]:
        step = _round_step(self.high / _TICKS - self.low / _TICKS)
        first = math.ceil(self.low / step - 1e-9)
        return [(first + index) * step for index in range(2 * _TICKS)]


def _round_step(least: float) -> float:
    """Return the smallest of 1, 2 and 5 times a power of ten that is not below ``least``."""
    power = 10.0 ** math.floor(math.log10(least))
    return next((power * factor for factor in (1.0, 2.0, 5.0) if power * factor >= least * 0.999), power * 10.0)


def scale(values: Iterable[float], *, logarithmic: bool = False) -> Scale | None:
    """Return an axis that holds all of the finite numbers, None if there is none; a single number is in its middle."""
    usable = [math.log10(value) if logarithmic else value for value in values if value > 0 or not logarithmic]
    if not usable:
        return None
    low, high = min(usable), max(usable)
    # An axis needs more than the distance of two neighbouring floats: ticks are computed on it.
    if high / 2 - low / 2 <= max(abs(low), abs(high)) * 1e-9 or high - low < 1e-290:
        middle = low / 2 + high / 2
        around = 0.5 if logarithmic else max(abs(middle) * 0.1, 1e-280) if middle else 1.0
        low, high = max(middle - around, -_GREATEST), min(middle + around, _GREATEST)
    return Scale(low, high, logarithmic)
