"""JSON takes exactly what it gives back."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artfs.registry.serializers import deserialize
from artfs.registry.serializers.errors import MalformedPayloadError
from artfs.registry.serializers.plain import JsonSerializer, is_plain

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | st.binary(max_size=3)
    | st.integers(10**5000, 10**5000 + 1),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=3) | st.integers() | st.none(), inner, max_size=4)
        | st.tuples(inner)
        | st.sets(st.integers(), max_size=2)
    ),
    max_leaves=8,
)


def same(a: Any, b: Any) -> bool:
    """Return whether two values are equal with their types and the order of keys: 1 is neither 1.0 nor True."""
    if type(a) is not type(b):
        return False
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    return bool(a == b)


@given(VALUES)
def test_what_is_accepted_comes_back(tmp_path_factory: pytest.TempPathFactory, value: Any) -> None:
    """Every value is refused, or is the same after the round trip."""
    if not JsonSerializer().accepts(value):
        return
    folder = tmp_path_factory.mktemp("json")
    JsonSerializer().dump(value, folder)
    assert same(JsonSerializer().load(folder, ()), value)


@pytest.mark.parametrize(
    "value",
    [(1,), {1: 2}, {True: 1}, float("nan"), float("inf"), b"", {1}, "\ud800", {"\ud800": 1}, object(), 10**5000],
    ids=range(11),
)
def test_what_json_changes_is_not_plain(value: Any) -> None:
    assert not is_plain(value)
    assert not is_plain([{"a": value}])


def test_a_subclass_is_not_plain() -> None:
    class Text(str):
        pass

    assert not is_plain(Text("a"))


def test_depth_is_limited() -> None:
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    assert not is_plain(value)


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b"NaN", b"[" * 100_000, b"9" * 10_000], ids=range(6))
def test_malformed(data: bytes) -> None:
    with pytest.raises(MalformedPayloadError):
        deserialize(io.BytesIO(data), "json")
