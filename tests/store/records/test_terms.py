"""The keys of terms: frozen, in the order of their values, of bounded length and number."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artstore.metadata import decimal_of
from artstore.records.catalogue import VersionRecord
from artstore.records.terms import (
    ORIGIN,
    PARTIAL,
    TERMS,
    bounds,
    decoded,
    encode_value,
    path_prefix,
    terms_of,
    value_kind,
)

VECTORS: dict[str, list[Any]] = json.loads((Path(__file__).parents[2] / "corpora" / "terms.json").read_bytes())
RECORD = VersionRecord(
    serial=7,
    artifact=1,
    number=0,
    root=1,
    digest=bytes(32),
    form=bytes(32),
    created_ns=1,
    mtime_ns=1,
    mode=0o755,
    newest_ns=1,
    files=0,
    bytes=0,
    mount=7,
)
NUMBERS = st.one_of(
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.decimals(allow_nan=False, allow_infinity=False, places=3).map(str),
)
TEXTS = st.one_of(st.text(max_size=300), st.text(alphabet="a\0\xff", max_size=120)).filter(
    lambda text: decimal_of(text) is None
)


def terms(metadata: dict[str, Any]) -> set[bytes]:
    return terms_of(replace(RECORD, metadata=metadata))


@pytest.mark.parametrize(("value", "form"), VECTORS["values"], ids=lambda value: repr(value)[:30])
def test_the_forms_of_values_are_frozen(value: Any, form: str) -> None:
    """A change would need a rebuild of every index."""
    encoded = encode_value(value)
    assert encoded is not None and encoded.hex() == form


@pytest.mark.parametrize(("metadata", "keys"), VECTORS["records"], ids=lambda value: repr(value)[:30])
def test_the_terms_of_records_are_frozen(metadata: dict[str, Any], keys: list[str]) -> None:
    assert sorted(key.hex() for key in terms(metadata)) == keys


@given(NUMBERS, NUMBERS)
def test_numbers_sort_by_value(one: object, other: object) -> None:
    """In whatever way they are kept; equal ones have one form, so that 0.9 is found as ``0.90``."""
    forms, values = (encode_value(one), encode_value(other)), (decimal_of(one), decimal_of(other))
    assert all(value is not None for value in values)
    if None not in forms:
        assert (forms[0] < forms[1], forms[0] == forms[1]) == (values[0] < values[1], values[0] == values[1])  # type: ignore[operator]


@given(TEXTS, TEXTS)
def test_texts_sort_by_value(one: str, other: str) -> None:
    """Up to their first 96 bytes; equal forms mean equal texts."""
    raw = [text.encode("utf-8", "surrogatepass") for text in (one, other)]
    forms = [encode_value(text) or b"" for text in (one, other)]
    assert (forms[0] == forms[1]) == (one == other)
    if raw[0][:96] != raw[1][:96]:
        assert (forms[0] < forms[1]) == (raw[0][:96] < raw[1][:96])


@given(st.one_of(NUMBERS, TEXTS), st.one_of(NUMBERS, TEXTS))
def test_bounds(one: object, other: object) -> None:
    """Everything greater or equal is not before the lower bound, everything less or equal is before the upper one."""
    form = encode_value(other)
    if value_kind(one) != value_kind(other) or form is None:
        return
    low, high = bounds(one)
    numbers = decimal_of(one), decimal_of(other)
    left, right = (one, other) if numbers[0] is None else numbers
    if right >= left:  # type: ignore[operator]
        assert form[1:] >= low
    if right <= left:  # type: ignore[operator]
        assert form[1:] < high


@given(st.text(max_size=20), st.text(max_size=20))
def test_paths_are_apart(one: str, other: str) -> None:
    """No path's rows are among those of another one."""
    prefixes = path_prefix(b"m", one), path_prefix(b"m", other)
    assert prefixes[0].startswith(prefixes[1]) == (one == other)


def test_paths_and_lists() -> None:
    """Keys are joined by dots; the scalars in a list are terms of its own path."""
    nested = terms({"a": {"b": 1}})
    assert path_prefix(b"m", "a.b") + (encode_value(1) or b"") + b"\0\0\0\7" in nested and len(nested) == 2
    assert len(terms({"a": [1, "x", 1, [2], {"c": 1}, None]})) == 4  # the list, 1, "x", null
    assert terms({"a": 1}) == terms({"a": 1.0}) == terms({"a": "1.0"})
    assert terms({"a": 1}) != terms({"a": True})


def test_versions_that_are_not_living_have_none() -> None:
    assert terms_of(None) == set()
    assert terms_of(replace(RECORD, metadata={"a": 1}, state="deleted")) == set()


@pytest.mark.parametrize(
    ("metadata", "number"),
    [
        ({f"k{number}": number for number in range(300)}, TERMS),
        ({"k" * 401: 1, "b": 1}, 1),
        ({"k" * 250: "x" * 96 + "\0" * 96, "b": 1}, 2),
        ({"k" * 390: "x" * 90, "b": 1}, 1),
        ({"é" * 200: 1, "b": 1}, 1),
        ({"n": "1" * 101, "b": 1}, 1),
        ({"n": "1e99999999999", "b": 1}, 1),
        ({"n": "1e" + "9" * 30, "b": 1}, 2),
        ({"a.b": 1, "a": {"b": 2}}, 3),
        ({"deep": json.loads("[" * 300 + "]" * 300), "b": 1}, 0),
        ({"deep": json.loads('{"a":' * 300 + "1" + "}" * 300), "b": 1}, 0),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_what_fits_no_key(metadata: dict[str, Any], number: int) -> None:
    """The version is marked, so that searches read its record; keys stay below LMDB's limit of 511 bytes."""
    keys = terms(metadata)
    marked = PARTIAL + b"\0\0\0\7" in keys
    assert len(keys) - marked == number and marked == (number not in (2,))
    assert all(len(key) <= 511 for key in keys)


def test_reserved_keys_come_first() -> None:
    """Users' keys cannot crowd out what artfs itself searches by."""
    metadata: dict[str, Any] = {f"k{number}": number for number in range(300)} | {"artfs.id": "x"}
    assert any(key.startswith(path_prefix(b"m", "artfs.id")) for key in terms(metadata))


def test_the_greatest_numbers() -> None:
    """Exponents of 32 bits have forms that sort; a zero has one, whatever its sign and exponent."""
    values = ["-1e2147483646", "-1", "-1e-2147483647", "0", "1e-2147483647", "1", "1e2147483646"]
    forms = [encode_value(value) for value in values]
    assert None not in forms and forms == sorted(forms)  # type: ignore[type-var]
    assert {encode_value(zero) for zero in (0, -0.0, "0e5", "-0", "000.000")} == {encode_value("0")}
    assert decimal_of("1e2147483646") == Decimal("1e2147483646")


def test_origins_are_terms() -> None:
    """In a space of their own, whatever the metadata have; what is unknown is null."""
    origin = {"user": "alice", "host": "box", "command": "artfs put", "folder": "/x", "commit": None, "dirty": True}
    keys = terms_of(replace(RECORD, metadata={f"k{number}": number for number in range(300)}, origin=origin))
    for name, value in origin.items():
        assert path_prefix(ORIGIN, name) + (encode_value(value) or b"") + b"\0\0\0\7" in keys
    assert len(keys) == TERMS + 1 + len(origin)
    deep = json.loads("[" * 90 + "]" * 90)
    assert len(terms_of(replace(RECORD, metadata={"deep": deep}, origin=origin))) == 1 + len(origin)


@given(st.integers(-(10**40), 10**40) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=30))
def test_forms_are_decoded(value: int | float | str) -> None:
    """A number or a short text is read back from its key; a text that writes a number is that number."""
    form = encode_value(value)
    assert form is not None
    number = decimal_of(value)
    assert decoded(form) == (value if number is None else pytest.approx(float(number), rel=1e-15, abs=0))
    if isinstance(value, int):
        assert decoded(form) == value and isinstance(decoded(form), int)


@pytest.mark.parametrize("value", ["x" * 200, True, None, [1], {"a": 1}])
def test_other_forms_are_not(value: object) -> None:
    """Longer texts are hashed, and other kinds have no value in their keys."""
    form = encode_value(value)
    assert form is not None and decoded(form) is None
