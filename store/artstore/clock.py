"""Moments as users see them, and a check of the clock before versions expire by it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

__all__ = ["doubt", "utc"]

_MOST_AHEAD_NS: Final = 30 * 86400 * 10**9


def doubt(recorded_ns: int, now_ns: int) -> str | None:
    """Return why the clock may be wrong, or None; the time of the newest record is taken as right."""
    if now_ns < recorded_ns:
        return "the system clock is behind the newest record; nothing expires until it is corrected"
    if now_ns - recorded_ns > _MOST_AHEAD_NS:
        return "the system clock is over 30 days ahead of the newest record; nothing expires until it is confirmed"
    return None


def utc(nanoseconds: int) -> datetime:
    """Return a time in UTC, to the microsecond."""
    return datetime.fromtimestamp(nanoseconds // 1000 / 1e6, UTC)
