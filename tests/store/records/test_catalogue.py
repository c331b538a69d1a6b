"""Catalogue records: JSON there and back."""

from __future__ import annotations

import json
import math
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artstore.errors import DamageError, InvalidInputError
from artstore.records.catalogue import AliasRecord, ArtifactRecord, DraftRecord, VersionRecord, dump_json
from messages import raises

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(), below, max_size=3),
    max_leaves=8,
)
INTEGERS = st.integers(0, 2**63 - 1)
NUMBERS = st.integers(0, 2**32 - 1)
FILE_TIMES = st.integers(-(2**63), 2**63 - 1)
RECORDS = st.one_of(
    st.builds(ArtifactRecord, INTEGERS, st.text(), st.booleans(), INTEGERS, st.none() | st.text(), NUMBERS, st.text()),
    st.builds(AliasRecord, NUMBERS, INTEGERS, st.text(), NUMBERS, INTEGERS),
    st.builds(DraftRecord, INTEGERS, st.text(), INTEGERS, INTEGERS, st.text()),
    st.builds(
        VersionRecord,
        *(NUMBERS, INTEGERS, NUMBERS, INTEGERS),
        *([st.binary(min_size=32, max_size=32)] * 2),
        INTEGERS,
        FILE_TIMES,
        st.integers(0, 0o777),
        FILE_TIMES,
        *(INTEGERS, INTEGERS, NUMBERS, INTEGERS),
        description=st.text(),
        metadata=st.dictionaries(st.text(), JSON, max_size=3),
        tags=st.lists(st.text()),
        base=st.none() | st.text(),
    ),
)


@given(record=RECORDS)
def test_records_round_trip(record: VersionRecord) -> None:
    """Whatever text and JSON a record holds comes back equal."""
    assert type(record).decode(record.encode()) == record


@given(record=RECORDS, data=st.data())
def test_a_cut_record_is_damage(record: VersionRecord, data: st.DataObject) -> None:
    """Any truncation is refused by one error."""
    payload = record.encode()
    with pytest.raises(DamageError):
        type(record).decode(payload[: data.draw(st.integers(0, len(payload) - 1))])


@pytest.mark.parametrize(
    "payload", [b"", b"[]", b"null", b"7", b"{}", b'{"_":2}', b'{"_":1}', b'{"_":1,"serial":1}', b"\xff"]
)
def test_other_json_is_damage(payload: bytes) -> None:
    """JSON that is no record, has another version, or lacks fields."""
    with pytest.raises(DamageError):
        AliasRecord.decode(payload)


def test_fields_of_later_releases_are_passed_over() -> None:
    """A record with more fields than are known reads as one without."""
    record = AliasRecord(1, 2, "best", 3, 4)
    more = {**json.loads(record.encode()), "colour": "red"}
    assert AliasRecord.decode(json.dumps(more).encode()) == record


@pytest.mark.parametrize("value", [math.nan, math.inf, {"a": {1, 2}}, b"bytes", {(1, 2): 3}])
def test_what_json_cannot_hold_is_refused(value: object) -> None:
    """It is the caller's mistake, and said in one sentence."""
    with raises(InvalidInputError, names=["metadata"]):
        dump_json({"key": value})


@pytest.mark.parametrize(
    "fields", [{"description": 3}, {"name": b"x"}, {"number": -1}, {"is_artifact": "yes"}, {"alias_history": ["x"]}]
)
def test_a_record_that_could_not_be_read_is_not_written(fields: dict[str, Any]) -> None:
    """What a reader would call damaged is refused by the writer, by name."""
    record = ArtifactRecord(**{"number": 1, "name": "a", "is_artifact": True, "created_ns": 0, **fields})
    with raises(InvalidInputError, names=[next(iter(fields))]):
        record.encode()


def test_defaults_are_left_out_and_read() -> None:
    """A record is as short as its values; one with every field, as earlier versions wrote it, is the same record."""
    record = VersionRecord(1, 2, 0, 16, bytes(32), bytes(32), 1, 1, 0o755, 1, 0, 0, 1, metadata={"a": 1})
    short = record.encode()
    values = {each.name: getattr(record, each.name) for each in fields(record)}
    whole = dump_json({"_": 1, **values, "digest": record.digest.hex(), "form": record.form.hex()})
    assert json.loads(whole).keys() - json.loads(short).keys() == {
        *("new_bytes", "type", "description", "tags", "base", "state", "deleted_ns", "due_ns", "entry"),
        *("released_aliases", "draft", "former", "purged", "expires_ns", "reason", "origin"),
    }
    assert VersionRecord.decode(short) == VersionRecord.decode(whole) == record


def test_a_value_of_another_type_than_the_default_is_not_taken_for_it() -> None:
    """False is equal to 0, and refused all the same."""
    with pytest.raises(InvalidInputError):
        VersionRecord(*(1, 2, 0, 16, bytes(32), bytes(32), 1, 1, 0o755, 1, 0, 0, 1), expires_ns=False).encode()
