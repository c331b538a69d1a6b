"""Arrays come back as they were given, to the bit and the dtype, or are refused by one error."""

from __future__ import annotations

import decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as of_numpy

from artfs.registry import MalformedPayloadError, PredictionError
from artfs.registry.predictions.arrays import ARRAYS, INDICES, StoredArray, array_of, stored_array
from artfs.registry.predictions.columns import arrays_of, data_table
from artfs.registry.predictions.records import Model, Prediction
from artfs.registry.records import ArtifactRecord, ArtifactType


def through_columns(value: object, name: str = "y_true") -> np.ndarray[Any, Any]:
    """Return an array after it was in columns of Arrow."""
    record = ArtifactRecord("a$b:all", ArtifactType.MODEL)
    made = Prediction(
        "id", "d", "a", Model(record, "", 0), None, "test", None, {}, "{}", {name: stored_array(value, name)}
    )
    return array_of(arrays_of(data_table([made]))[name], name)


def same(left: np.ndarray[Any, Any], right: np.ndarray[Any, Any]) -> bool:
    """Return whether arrays are equal: dtype, shape, values, signs of zeros."""
    is_alike = (
        left.dtype == right.dtype and left.shape == right.shape and left.tolist().__repr__() == repr(right.tolist())
    )
    return is_alike and left.dtype.str == right.dtype.str


DTYPES = st.one_of(
    of_numpy.boolean_dtypes(),
    of_numpy.integer_dtypes(endianness="?"),
    of_numpy.unsigned_integer_dtypes(endianness="?"),
    of_numpy.floating_dtypes(endianness="?", sizes=(16, 32, 64)),
    of_numpy.unicode_string_dtypes(endianness="?", max_len=4),
)
SHAPES = of_numpy.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=5)


@settings(max_examples=150, deadline=None)
@given(of_numpy.arrays(DTYPES, SHAPES))
def test_an_array_comes_back_or_is_refused(array: np.ndarray[Any, Any]) -> None:
    """Any array of numbers, booleans or text is the same afterwards; a text that UTF-8 lacks is refused."""
    try:
        found = through_columns(array)
    except PredictionError:
        assert array.dtype.kind == "U" and any(0xD800 <= ord(c) < 0xE000 for each in array.reshape(-1) for c in each)
        return
    assert same(found, array)


KEPT = {
    "nan, infinities, zeros": np.array([np.nan, np.inf, -np.inf, -0.0, 0.0, 5e-324]),
    "half": np.array([1, 65504, np.inf], "f2"),
    "big-endian": np.arange(3, dtype=">f8"),
    "huge integers": np.array([2**63 - 1, -(2**63), 2**53 + 1]),
    "huge unsigned": np.array([2**64 - 1, 0], "u8"),
    "two dimensions": np.arange(6.0).reshape(3, 2),
    "a column": np.arange(3.0)[:, None],
    "not contiguous": np.arange(10.0)[::2],
    "Fortran's order": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "empty": np.empty((0, 3), "f4"),
    "an empty list": [],
    "a list": [1, 2, 3],
    "labels": np.array(["kernel", "ö", ""]),
    "labels as objects": np.array(["a", "bb"], object),
    "a series": pd.Series([1.5, None]),
    "a series with gaps": pd.Series([1, None], dtype="Int64"),
    "a series of labels": pd.Series(["a", "b"], dtype=object),
    "categories": pd.Series(["a", "b"], dtype="category"),
    "booleans": np.array([True, False]),
    "no mask": np.ma.array([1.0, 2.0]),
}


@pytest.mark.parametrize("value", KEPT.values(), ids=KEPT)
def test_what_is_kept(value: Any) -> None:
    """What people pass as targets comes back as NumPy's array of it."""
    assert same(through_columns(value), np.asarray(value))


@pytest.mark.parametrize("value", [np.array([2**63 + 1], "u8"), np.arange(4, dtype="i2"), ["a", "b"], []])
def test_indices_are_integers_or_text(value: Any) -> None:
    """Indices of samples come back too, in a column of integers where that can hold them."""
    assert same(through_columns(value, INDICES), np.asarray(value))


class Unreadable:
    """An object whose own conversion fails."""

    def __array__(self, *_: object, **__: object) -> None:
        raise RuntimeError("on another device")


REFUSED = {
    "scalar": 3.0,
    "text": "abc",
    "bytes": b"abc",
    "dictionary": {"a": 1},
    "set": {1, 2},
    "generator": (each for each in (1, 2)),
    "ragged": [[1, 2], [3]],
    "objects": np.array([1, "a", None], object),
    "missing labels": pd.Series(["a", None], dtype=object),
    "callables": np.array([print, len], object),
    "integers beyond 64 bits": [2**70],
    "integers that become doubles": [2**63 + 1, -1],
    "numbers among text": [1, "a"],
    "text that ends with NUL": ["a", "b\0"],
    "decimals": [decimal.Decimal("0.1")],
    "complex": np.array([1j]),
    "dates": np.array(["2026-01-01"], "M8[D]"),
    "durations": np.array([1], "m8[s]"),
    "structures": np.zeros(2, [("a", "f4")]),
    "bytes of labels": np.array([b"a"]),
    "raw": np.zeros(2, "V4"),
    "long double": np.zeros(2, np.longdouble),
    "masked": np.ma.array([1.0, 2.0], mask=[0, 1]),
    "surrogates": ["\ud800"],
    "unreadable": Unreadable(),
    "wide text": np.zeros(2, "U40000000"),
}


@pytest.mark.parametrize("value", REFUSED.values(), ids=REFUSED)
def test_what_is_refused(value: Any) -> None:
    """Everything else is one error that names the array; nothing is stored as an object."""
    with pytest.raises(PredictionError, match="y_true"):
        stored_array(value, "y_true")


@pytest.mark.parametrize(
    ("name", "value"), [(INDICES, [0.5]), (INDICES, [True]), ("weights", ["a"]), ("y_proba", ["a"])]
)
def test_each_array_has_its_kind(name: str, value: Any) -> None:
    """Indices are not fractions, weights and probabilities are not text."""
    with pytest.raises(PredictionError, match=name):
        stored_array(value, name)
    assert set(ARRAYS) == {"y_true", "y_pred", "y_proba", "sample_indices", "weights"}


CONTRADICTIONS = [
    StoredArray("<f8", (3,), np.zeros(2), None),
    StoredArray("<f8", (-1, -2), np.zeros(2), None),
    StoredArray("<f8", (), np.zeros(1), None),
    StoredArray("<f8", (2,), None, None),
    StoredArray("<f8", (2,), None, ["1", "2"]),
    StoredArray("<i8", (1,), None, ["x"]),
    StoredArray("<u1", (1,), None, ["256"]),
    StoredArray("<i8", (1,), np.array([0.5]), None),
    StoredArray("<u1", (1,), np.array([-1.0]), None),
    StoredArray("<i2", (1,), np.array([np.nan]), None),
    StoredArray("<f4", (1,), np.array([1e300]), None),
    StoredArray("|b1", (1,), np.array([2.0]), None),
    StoredArray("<U1", (1,), None, ["ab"]),
    StoredArray("<U999999999", (1,), None, ["ab"]),
    StoredArray("<U1", (1,), np.zeros(1), None),
    StoredArray("object", (1,), np.zeros(1), None),
    StoredArray("O", (1,), np.zeros(1), None),
    StoredArray("V8", (1,), np.zeros(1), None),
    StoredArray("f8,f8", (1,), np.zeros(1), None),
    StoredArray("<f8", (0, 1 << 62, 1 << 62), np.zeros(0), None),
]


@pytest.mark.parametrize("stored", CONTRADICTIONS, ids=repr)
def test_columns_that_contradict_each_other(stored: StoredArray) -> None:
    """What a file claims is compared with what it has, before memory is taken for it."""
    with pytest.raises(MalformedPayloadError, match="y_pred"):
        array_of(stored, "y_pred")
