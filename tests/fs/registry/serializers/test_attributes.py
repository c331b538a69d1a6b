"""Attributes come back equal and of equal types, and JSON of any other form builds nothing."""

from __future__ import annotations

import math
from collections import OrderedDict, defaultdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artfs.registry.serializers.attributes import decoded, read_json, written_json
from artfs.registry.serializers.errors import UnserializableError

PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(codec="utf-8"))
VALUES = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(PLAIN, inner),
    max_leaves=12,
)


def again(value: Any) -> Any:
    return decoded(read_json(written_json(value)))


@settings(max_examples=60)
@given(VALUES)
def test_values_come_back(value: Any) -> None:
    found = again(value)
    assert found == value and repr(found) == repr(value)


@pytest.mark.parametrize(
    "array",
    [
        np.array(["no", "yes"]),
        np.array([1.5, np.nan, -np.inf], dtype=np.float32),
        np.array([[1, 2], [3, 4]], dtype=np.uint8),
        np.array([True, False]),
        np.array(["a", None, 3, 2.5], dtype=object),
        np.empty((0, 3)),
        np.array("one"),
        np.array([2**63], dtype=np.uint64),
    ],
    ids=str,
)
def test_arrays_come_back(array: Any) -> None:
    found = again(array)
    assert found.dtype == array.dtype and found.shape == array.shape
    assert all(one is other or repr(one) == repr(other) for one, other in zip(found.flat, array.flat, strict=True))


def test_numbers_and_mappings_of_other_kinds() -> None:
    """Numbers of NumPy keep their types, and a dictionary of any kind is one."""
    value = {np.str_("no"): np.int64(0), 1: np.float32(0.5), "b": np.bool_(True)}
    assert [(type(key), type(each)) for key, each in again(value).items()] == [
        (np.str_, np.int64),
        (int, np.float32),
        (str, np.bool_),
    ]
    assert again(defaultdict(OrderedDict, {"a": OrderedDict(b=1)})) == {"a": {"b": 1}}
    assert math.isnan(again(math.nan)) and again(-math.inf) == -math.inf


@pytest.mark.parametrize(
    "value", [len, object(), b"", 1j, np.array([1j]), np.array([len]), {1, 2}, np.zeros(1, "M8[s]"), "\ud800"], ids=repr
)
def test_what_has_no_form_is_named(value: Any) -> None:
    deep: Any = []
    for _ in range(60):
        deep = [deep]
    for each in (value, [value], {"a": value}, deep):
        with pytest.raises(UnserializableError):
            written_json(each)


@pytest.mark.parametrize(
    "text",
    [
        '{"os.system":"ls"}',
        '{"dict":[["a",1],["a",2]]}',
        '{"dict":[["a"]]}',
        '{"dict":[[[],1]]}',
        '{"array":["<U99999999",[1],["a"]]}',
        '{"array":["<f8",[1000000000000],[]]}',
        '{"array":["<f8",[-1],[]]}',
        '{"array":["<f8",[1],["a"]]}',
        '{"array":["V8",[1],[1]]}',
        '{"array":["O",[1],[[1]]]}',
        '{"array":["<f8",[1],[1],1]}',
        '{"number":["<i8",99999999999999999999]}',
        '{"float":"1.5"}',
        '{"a":1,"a":2}',
        "NaN",
        "[" * 100000,
        '{"tuple":[' * 200 + "]}" * 200,
    ],
    ids=lambda text: text[:30],
)
def test_other_json_is_refused(text: str) -> None:
    with pytest.raises((ValueError, TypeError, OverflowError)):
        decoded(read_json(text))
