"""What depends on memory, hashes and times is gone; what means something is kept."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import skops.io
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression

from artfs.registry.serializers.errors import MalformedPayloadError, UnserializableError
from artfs.registry.serializers.estimators.canonical import write_canonical

LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3) | st.binary(max_size=3)
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=2) | st.integers(), inner, max_size=3)
        | st.sets(st.integers() | st.text(max_size=2), max_size=4)
        | st.frozensets(st.text(max_size=2), max_size=4)
    ),
    max_leaves=10,
)


def canonical(obj: Any) -> bytes:
    target = io.BytesIO()
    write_canonical(io.BytesIO(skops.io.dumps(obj)), target)
    return target.getvalue()


def reloaded(data: bytes) -> Any:
    return skops.io.loads(data, trusted=skops.io.get_untrusted_types(data=data))


def exact(value: Any) -> Any:
    """Return a value that is equal for equal values of equal types only."""
    if isinstance(value, dict):
        return dict, [(exact(key), exact(each)) for key, each in value.items()]
    if isinstance(value, list | tuple):
        return type(value), [exact(each) for each in value]
    return type(value), value


@given(VALUES)
def test_values_come_back_or_are_refused(value: Any) -> None:
    """What is written is read by skops as it was, and is written as the same bytes again."""
    try:
        data = canonical(value)
    except UnserializableError:
        return
    except ValueError:  # a key that occurs twice as text
        assert isinstance(value, dict | list | tuple)
        return
    loaded = reloaded(data)
    assert exact(loaded) == exact(value)
    assert canonical(loaded) == data


def test_what_was_one_object_is_one() -> None:
    """Lists, arrays and objects that occur twice are one afterwards; equal ones that were two stay two."""
    array, rows, model = np.arange(3), [1], LinearRegression()
    loaded = reloaded(canonical([array, array, np.arange(3), rows, rows, [1], model, model]))
    assert loaded[0] is loaded[1] and loaded[0] is not loaded[2]
    assert loaded[3] is loaded[4] and loaded[3] is not loaded[5]
    assert loaded[6] is loaded[7]


def test_accidental_identity_is_not_seen() -> None:
    """Texts, numbers and tuples that are one object, and equal ones that are two, are the same bytes."""
    text, number, pair = "a long text", np.float64(1.5), (1, 2)
    other = ["".join(["a long", " text"]), np.float64(1.5), tuple(map(int, "12"))]
    assert canonical([text, text, number, number, pair, pair]) == canonical(
        [text, other[0], number, other[1], pair, other[2]]
    )


def test_what_lies_between_fields_is_not_seen() -> None:
    """The gaps of structured elements, also in arrays of structures, are zeros."""
    inner = np.dtype([("a", "u1"), ("b", "f8")], align=True)
    kind = np.dtype([("x", "u1"), ("y", inner, (2,)), ("z", "u2")], align=True)
    blobs = []
    for filler in (0, 255):
        array = np.frombuffer(bytes([filler]) * kind.itemsize * 3, dtype=kind).copy()
        array["x"], array["z"] = 1, 2
        array["y"]["a"], array["y"]["b"] = 3, 4.0
        blobs.append(canonical(array))
    assert blobs[0] == blobs[1]
    assert reloaded(blobs[0])["y"]["b"].tolist() == [[4.0, 4.0]] * 3


def test_the_layout_of_arrays_is_kept() -> None:
    loaded = reloaded(canonical([np.asfortranarray(np.ones((2, 3))), np.ones((2, 3))]))
    assert loaded[0].flags.f_contiguous and loaded[1].flags.c_contiguous


@pytest.mark.parametrize(
    "obj",
    [{True: 1}, {None: 1}, {False: 1, 5: 2}, {np.bool_(False): 1}, np.array(None, dtype=object)],
    ids=repr,
)
def test_what_skops_changes_is_refused(obj: Any) -> None:
    with pytest.raises((UnserializableError, MalformedPayloadError)):
        canonical([obj])


def test_objects_of_main_are_refused() -> None:
    with pytest.raises(UnserializableError):
        canonical([lambda: 1])
