"""Configurations read back equal, as plain values; what would not is refused by name."""

from __future__ import annotations

import enum
import json
import math
import re
import subprocess
import sys
from collections import OrderedDict, deque, namedtuple
from collections.abc import Callable
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.preprocessing import MinMaxScaler

from artfs.registry.errors import RecordError
from artfs.registry.library.configurations import (
    canonical_text,
    configuration_text,
    encoded,
    read_configuration,
)
from artstore.errors import InvalidInputError

plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(codec=None))
keys = plain | st.tuples(plain)
tags = st.sampled_from(["$tuple", "$dict", "$float", "$set", "$array", "$range", "$other"])
values = st.recursive(
    plain | st.sets(st.integers()) | st.frozensets(st.text()) | st.builds(range, st.integers(), st.integers()),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(keys, inner, max_size=4)
        | st.dictionaries(tags, inner, max_size=2)
    ),
    max_leaves=20,
)


def read_back(value: Any) -> Any:
    return read_configuration(configuration_text(encoded(value)), "it")


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal, of the same types and in the same order."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        pairs = zip(one.items(), other.items(), strict=True)
        return len(one) == len(other) and all(same(a, b) for pair in pairs for a, b in zip(*pair, strict=True))
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other) and (not isinstance(one, float) or math.copysign(1, one) == math.copysign(1, other))


@given(values)
def test_what_is_read_is_what_was_written(value: Any) -> None:
    """Equal, with the same types, keys and order, and as JSON that every reader takes."""
    assert same(read_back(value), value)
    json.loads(configuration_text(encoded(value)).encode(), parse_constant=pytest.fail)


@given(st.dictionaries(keys, plain, min_size=2, max_size=5))
def test_the_order_of_a_dictionary_makes_no_other_text(value: dict[Any, Any]) -> None:
    """The canonical text is one for equal dictionaries."""
    turned = dict(reversed(list(value.items())))
    assert canonical_text(encoded(value)) == canonical_text(encoded(turned))
    assert list(read_back(turned)) == list(turned)


class Level(enum.IntEnum):
    """A number."""

    HIGH = 3


class Color(str, enum.Enum):  # noqa: UP042  # unlike StrEnum
    """A text whose str() is another."""

    RED = "red"


Point = namedtuple("Point", "x y")


@pytest.mark.parametrize(
    "value",
    [
        np.float64(0.1),
        np.float32(0.1),
        np.float16(0.1),
        np.int8(-3),
        np.uint64(2**64 - 1),
        np.bool_(True),
        np.str_("x"),
        Level.HIGH,
        Color.RED,
        OrderedDict(b=1, a=2),
        MappingProxyType({"a": 1}),
        Point(1, 2),
        {"feature_range": (0, 1), "hidden_layer_sizes": (100, 50)},
        {np.int64(1): "a", Color.RED: 2, (1, (2,)): 3},
        {"alphas": [np.float64(1e-3), float("inf")]},
        10**3000,
        "\ud800 half, \x00, \u2028, é, 🜂",
    ],
    ids=repr,
)
def test_values_that_equal_plain_ones(value: Any) -> None:
    """NumPy's scalars, enumerations and subclasses become what they equal."""
    found = read_back({"v": [value]})["v"][0]
    assert found == value and type(found).__module__ == "builtins"


@pytest.mark.parametrize(
    "array",
    [
        np.logspace(-3, 3, 7),
        np.arange(6, dtype="<i2").reshape(2, 3),
        np.zeros((0, 3), dtype=bool),
        np.array(2.5, dtype="f4"),
        np.array([np.nan, np.inf, -0.0]),
        np.arange(4, dtype=">u4")[::-2],
    ],
    ids=repr,
)
def test_arrays(array: np.ndarray[Any, Any]) -> None:
    """An array has its type, its shape and its values, to the bit."""
    found = read_back({"alphas": array})["alphas"]
    assert (found.dtype, found.shape, found.tobytes()) == (array.dtype, array.shape, array.tobytes())


def test_nan() -> None:
    """The usual ``missing_values``."""
    assert math.isnan(read_back({"missing_values": np.nan})["missing_values"])


def nested(depth: int) -> list[Any]:
    inner: list[Any] = []
    for _ in range(depth):
        inner = [inner]
    return inner


def looped() -> list[Any]:
    inner: list[Any] = []
    inner.append(inner)
    return inner


def many_times() -> list[Any]:
    inner: list[Any] = [0] * 10
    for _ in range(12):
        inner = [inner] * 10
    return inner


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: MinMaxScaler, "'steps[1].class' of the configuration is a class, sklearn"),
        (MinMaxScaler, "is an object, sklearn"),
        (lambda: np.log1p, "log1p"),
        (lambda: len, "is a function, builtins.len"),
        (lambda: test_nan, "is a function"),
        (lambda: date(2020, 1, 1), "datetime.date"),
        (lambda: Path("a"), "Path"),
        (lambda: b"a", "builtins.bytes"),
        (lambda: 1j, "builtins.complex"),
        (lambda: deque([1]), "deque"),
        (lambda: np.longdouble(1), "longdouble"),
        (lambda: np.array(["a"]), "ndarray"),
        (lambda: np.array([object()]), "ndarray"),
        (lambda: np.ma.array([1]), "MaskedArray"),
        (lambda: np.datetime64("2020-01-01"), "datetime64"),
        (lambda: 1 << 20_000, "too many digits"),
        (lambda: {("a", len): 1}, "builtins.len"),
        (lambda: nested(200), "100 levels"),
        (looped, "100 levels"),
        (many_times, "500,000 values"),
        (lambda: "x" * (17 << 20), "16 MiB"),
    ],
)
def test_what_cannot_be_kept(make: Callable[[], Any], said: str) -> None:
    """One sentence that says where it is and what it is, within bounded time."""
    value = {"steps": [0, {"class": make()}]}
    with pytest.raises(InvalidInputError, match=re.escape(said)) as caught:
        configuration_text(encoded(value))
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "",
        b"\xff",
        "[" * 100_000,
        "9" * 10_000,
        '{"$tuple": 1}',
        '{"$tuple": "ab"}',
        '{"$dict": [[1]]}',
        '{"$dict": ["abc"]}',
        '{"$dict": [[[1], 2]]}',
        '{"$set": [{}]}',
        '{"$float": "1e999"}',
        '{"$float": 1}',
        '{"$range": [1]}',
        '{"$range": [0, 1, 0]}',
        '{"$range": ["a", "b", "c"]}',
        '{"$array": []}',
        '{"$array": {"dtype": "O", "shape": [1], "values": [1]}}',
        '{"$array": {"dtype": "<f8", "shape": [1000000000000], "values": []}}',
        '{"$array": {"dtype": "<f8", "shape": [1], "values": ["x"]}}',
        '{"$array": {"dtype": "<i4", "shape": [1], "values": [99999999999]}}',
        '{"$array": {"dtype": "<f8", "shape": [2], "values": [[1], [1, 2]]}}',
        '{"$array": {"dtype": "<b8", "shape": [1], "values": [1]}}',
    ],
    ids=lambda text: repr(text)[:40],
)
def test_what_is_no_configuration(text: str | bytes) -> None:
    """Malformed text is one error, not values that were never saved."""
    with pytest.raises(RecordError, match="it is no configuration"):
        read_configuration(text, "it")


def test_nothing_is_imported() -> None:
    """Neither writing nor reading loads a library for a configuration that has no array."""
    program = (
        "import sys\n"
        "from artfs.registry.library.configurations import *\n"
        'text = configuration_text(encoded({"class": "this.That", "range": (0, 1)}))\n'
        'assert read_configuration(text, "it")["range"] == (0, 1)\n'
        'assert not {"numpy", "sklearn", "yaml", "pickle", "this"} & set(sys.modules)\n'
    )
    subprocess.run([sys.executable, "-c", program], check=True)
