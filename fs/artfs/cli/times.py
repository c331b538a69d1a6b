"""Times on the command line: a duration such as ``30d``, or a date such as ``2026-01-31``; one parser for both."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

__all__ = ["parse_age", "parse_duration", "parse_time_left"]

_DATE: Final = r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?)?(Z|[+-]\d\d:?\d\d)?"
_HINT: Final = "write a number with a unit, such as 24h, 7d, 90m or 30s, or a date, such as 2026-01-31"


def parse_duration(text: str) -> float:
    """Parse a duration such as ``24h``, ``1d12h`` or ``0`` into seconds; raise InvalidInputError for anything else."""
    from artstore.arguments import seconds_of

    return seconds_of(text, "the duration")


def parse_age(text: str) -> float:
    """Parse an age, or the date since which it is, into seconds before now; raise InvalidInputError for others."""
    moment = _moment(text)
    return _duration(text) if moment is None else (datetime.now(UTC) - moment).total_seconds()


def parse_time_left(text: str) -> float:
    """Parse a time from now, or the date at which it ends, into seconds; raise InvalidInputError for others."""
    moment = _moment(text)
    return _duration(text) if moment is None else (moment - datetime.now(UTC)).total_seconds()


def _moment(text: str) -> datetime | None:
    """Return the moment that a date stands for, in the local time zone unless it names another; None for no date."""
    from artstore.errors import InvalidInputError

    if re.fullmatch(_DATE, text) is None:
        return None
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidInputError(f"{text!r} is not a date: {error}", hint=_HINT) from None


def _duration(text: str) -> float:
    from artstore.errors import InvalidInputError

    try:
        return parse_duration(text)
    except InvalidInputError as error:
        raise InvalidInputError(f"{text!r} is neither a duration nor a date", hint=_HINT) from error
