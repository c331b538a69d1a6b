"""A duration or a date is taken wherever a time is."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from artfs.cli.times import parse_age, parse_time_left
from artstore.errors import InvalidInputError
from messages import raises, refused

Run = Callable[..., Any]


@pytest.mark.parametrize(("text", "seconds"), [("30d", 30 * 86400), ("1d12h", 36 * 3600), ("90m", 5400), ("0", 0)])
def test_durations(text: str, seconds: float) -> None:
    assert parse_age(text) == parse_time_left(text) == seconds


@pytest.mark.parametrize("written", ["%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M:%SZ", "%Y-%m-%dT%H:%M:%S+00:00"])
def test_dates_of_a_time_zone(written: str) -> None:
    """A date in the past is an age, one in the future the time that is left."""
    past = datetime.now(UTC) - timedelta(days=3)
    assert parse_age(f"{past:{written}}") == pytest.approx(3 * 86400, abs=60)
    assert parse_time_left(f"{past:{written}}") == pytest.approx(-3 * 86400, abs=60)


def test_a_date_alone_is_the_local_midnight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        since = datetime.now(UTC) - timedelta(seconds=parse_age("2026-01-31"))
        assert abs(since - datetime(2026, 1, 31, 5, tzinfo=UTC)) < timedelta(seconds=60)
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    "text", ["2026-02-30", "2026-01-31T25:00", "yesterday", "30", "-1d", "2026", "99999-01-01", ""]
)
def test_what_is_neither(text: str) -> None:
    with raises(InvalidInputError, names=[repr(text)]):
        parse_age(text)


def test_commands_take_dates(artfs: Run, data: Path) -> None:
    ends = f"{datetime.now() + timedelta(days=400):%Y-%m-%d}"
    assert artfs("put", data, "x", "--ttl", ends).code == 0
    assert re.search(rf"^expires at +{ends[:4]}-", artfs("show", "x").text, re.MULTILINE)
    assert artfs("find", "--since", "2020-01-01").text.startswith("x:v0")
    assert artfs("find", "--until", "2020-01-01").text == ""
    assert artfs("find", "--older-than", "1d").text == ""
    refused(artfs("put", data, "x", "--ttl", "2020-01-01"), code=2)
    assert ends[:4] in artfs("retention", "ttl", "x", ends).message
