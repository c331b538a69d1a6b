"""Medians with confidence intervals: order statistics, which assume nothing about the distribution."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Interval:
    """A median, and the ends between which the true one lies with 95 % confidence.

    ``sure`` is false if there are too few values for that; the ends are then the minimum and the maximum.
    """

    median: float
    low: float
    high: float
    sure: bool
    values: int


def interval(values: Sequence[float]) -> Interval:
    """Return the median and its interval.

    The k-th smallest and k-th largest of n values enclose the true median with a probability of
    1 - 2 * P(B < k), where B counts heads in n throws; the largest k with at least 95 % is taken. At least six
    values are needed for an interval: 2 * (1/2)**6 is about 3 %.
    """
    ordered, count = sorted(values), len(values)
    outside, depth = 2 * 0.5**count, 0
    while depth < count // 2 and outside <= 1 - CONFIDENCE:
        depth += 1
        outside += 2 * math.comb(count, depth) * 0.5**count
    rank = max(depth, 1)
    return Interval(statistics.median(ordered), ordered[rank - 1], ordered[-rank], depth > 0, count)
