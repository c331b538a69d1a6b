"""How records become JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import ClassVar

import pytest

from artfs.documents.encoding import (
    Document,
    Record,
    encode,
    exact_name,
    from_nanoseconds,
    omittable,
    timestamp,
    to_json,
)

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Inner(Record):
    at: datetime | None
    note: str | None = omittable()


@dataclass(frozen=True, slots=True)
class Outer(Document):
    schema: ClassVar[str] = "artfs.outer/1"
    from_: str
    inner: Sequence[Inner]


def test_schema_comes_first_and_records_are_objects() -> None:
    document = encode(Outer("a", (Inner(NOON), Inner(None, note="n"))))
    assert list(document) == ["schema", "from", "inner"]
    assert document["inner"] == [{"at": "2026-01-31T12:00:00.000000Z"}, {"at": None, "note": "n"}]


def test_text_is_ascii_and_names_survive() -> None:
    text = to_json(Outer(exact_name(b"\xff\xc3\xa9"), []))
    assert text.isascii()
    assert json.loads(text)["from"].encode("utf-8", "surrogateescape") == b"\xff\xc3\xa9"


def test_numbers_that_json_lacks_are_refused() -> None:
    with pytest.raises(ValueError):
        to_json(Outer(float("nan"), []))  # type: ignore[arg-type]


def test_times_are_in_utc() -> None:
    assert timestamp(NOON.astimezone(timezone(timedelta(hours=2)))) == "2026-01-31T12:00:00.000000Z"
    assert timestamp(NOON, seconds=True) == "2026-01-31T12:00:00Z"
    assert timestamp(from_nanoseconds(1_500_000_999)) == "1970-01-01T00:00:01.500000Z"


def test_json_names_are_ascii_and_come_back_as_the_same_bytes() -> None:
    name = b"caf\xe9 \xc3\xa9\n"
    document = json.dumps(exact_name(name), ensure_ascii=True)
    assert document.isascii()
    assert json.loads(document).encode("utf-8", "surrogateescape") == name


def test_times_are_utc_with_z_whatever_zone_they_came_in() -> None:
    moment = datetime(2025, 11, 21, 9, 48, 1, 5, tzinfo=timezone(timedelta(hours=2)))
    assert timestamp(moment) == "2025-11-21T07:48:01.000005Z"
    assert timestamp(moment, seconds=True) == "2025-11-21T07:48:01Z"
    assert from_nanoseconds(1_763_711_281_000_005_999) == datetime(2025, 11, 21, 7, 48, 1, 5, tzinfo=UTC)


def test_attributes_become_fields() -> None:
    assert Inner.from_attributes(NOON, at=NOON, note="n") == Inner(NOON, "n")
