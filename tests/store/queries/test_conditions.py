"""Conditions on metadata: how they are written, what satisfies them, and that the index never misses a version."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artstore.errors import InvalidInputError
from artstore.queries.conditions import Condition, conditions_of, joint_spans, parse_condition, values_at
from artstore.records.catalogue import VersionRecord
from artstore.records.terms import PARTIAL, terms_of
from messages import raises
from store.records.test_terms import RECORD

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from([0.5, -0.5, 1e300, 10**30]),
    st.sampled_from(["", "0.50", "1", "1e0", "true", " true", "null", "a", "b", "[1]", "x" * 96, "x" * 97, "x" * 98]),
    st.sampled_from(["1" * 101, "2024-01-02", "2024-01-03", "1e99999999999"]),
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=2)
)
METADATA = st.dictionaries(st.sampled_from(["a", "b", "a.b", "c"]), VALUES, max_size=3)
CONDITIONS = st.builds(
    Condition,
    st.sampled_from(["a", "b", "a.b", "a.b.c"]),
    st.sampled_from(["=", "!=", ">", ">=", "<", "<=", "^=", "exists"]),
    SCALARS | VALUES,
).filter(
    lambda condition: (
        (not condition.is_comparison or isinstance(condition.operand, str | int | float))
        and (condition.operator != "^=" or isinstance(condition.operand, str))
    )
)


def with_metadata(metadata: dict[str, Any]) -> VersionRecord:
    return replace(RECORD, metadata=metadata)


@pytest.mark.parametrize(
    ("written", "condition"),
    [
        ("acc>0.9", Condition("acc", ">", 0.9)),
        ("acc >= 0.90", Condition("acc", ">=", "0.90")),
        ("eval.f1<1", Condition("eval.f1", "<", 1)),
        ("n<=-1", Condition("n", "<=", -1)),
        ("stage!=final", Condition("stage", "!=", "final")),
        ("stage=final", Condition("stage", "=", "final")),
        ("stage=", Condition("stage", "=", "")),
        ("url=http://x?a=b>c", Condition("url", "=", "http://x?a=b>c")),
        ("ok:=true", Condition("ok", "=", True)),
        ("commit^=12", Condition("commit", "^=", "12")),
        ('tags:=["a"]', Condition("tags", "=", ["a"])),
        ("acc", Condition("acc", "exists")),
        (" a key ", Condition("a key", "exists")),
    ],
)
def test_how_conditions_are_written(written: str, condition: Condition) -> None:
    assert parse_condition(written) == condition


@pytest.mark.parametrize("written", ["", " ", "=1", ">2", "!=x", ":=1", "a:=[", "a:=NaN,", "acc>", "acc<= "])
def test_what_is_no_condition(written: str) -> None:
    with raises(InvalidInputError, names=[repr(written)]):
        parse_condition(written)


def test_arguments() -> None:
    """Values by key and comparisons stand for conditions; one text is one comparison."""
    assert conditions_of({"a.b": [1]}, "c>1") == [Condition("a.b", "=", [1]), Condition("c", ">", 1)]
    for bad in (["a"], 5):
        with pytest.raises(InvalidInputError):
            conditions_of(bad)  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError):
        conditions_of({}, [5])  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("written", "holding", "others"),
    [
        ("a>0.9", [0.91, "0.95", "1e3", [0.1, 2]], [0.9, "0.90", "x", True, None, {}, [], {"b": 5}]),
        ("a>=0.9", [0.9, "0.90", 1], [0.89, "0.9x", "9-"]),
        ("a<2024-02-01", ["2024-01-31", "", "!"], ["2024-02-01", 5, "3", True]),
        ("a=0.90", [0.9, "0.90"], ["0.9", "x", [], None]),
        ("a=0.9", [0.9, "0.9", "0.90", [0.9]], [0.91]),
        ("a=true", [True, "true", ["true"]], ["True", 1]),
        ("a!=x", ["y", 5, None, [], ["z"]], ["x", ["x", "y"]]),
        ("a", [None, "", [], 0, False, {}], []),
        ("a^=12", ["12", "12e5", "12ab", ["x", "12"]], [12, "1", "x12", None]),
        ("a:=[1]", [[1], "[1]", [1.0]], [[1, 2], [True], 1]),
    ],
)
def test_what_satisfies_them(written: str, holding: list[Any], others: list[Any]) -> None:
    """A list does if an element does; without a value at the path nothing holds."""
    condition = parse_condition(written)
    assert [value for value in holding if not condition.holds({"a": value})] == []
    assert [value for value in others if condition.holds({"a": value})] == []
    assert not condition.holds({"b": 1}) and not condition.holds({})


def test_left_out() -> None:
    """Values of another kind are counted, lists by their elements; only comparisons leave any out."""
    condition = parse_condition("a>1")
    counts = [(5, 0), ("x", 1), ([1, "x", None], 2), ({"b": 1}, 1), ([], 0), (True, 1), ("7", 0)]
    assert [condition.left_out(with_metadata({"a": value})) for value, _ in counts] == [number for _, number in counts]
    assert parse_condition("a>x").left_out(with_metadata({"a": 5})) == 1
    assert parse_condition("a=1").left_out(with_metadata({"a": "x"})) == 0


def test_paths() -> None:
    """A dot separates the keys of nested objects, or is part of a key."""
    metadata = {"a": {"b": 1, "b.c": 2}, "a.b": 3, "a.b.c": [4, [5]]}
    assert list(values_at(metadata, "a.b")) == [1, 3]
    assert list(values_at(metadata, "a.b.c")) == [2, [4, [5]], 4]
    assert list(values_at(metadata, "a.x")) == []


@given(METADATA, CONDITIONS)
def test_the_index_misses_nothing(metadata: dict[str, Any], condition: Condition) -> None:
    """A version that satisfies a condition has a term in one of its spans, or is marked for every search."""
    keys = terms_of(replace(RECORD, metadata=metadata))
    if any(key.startswith(PARTIAL) for key in keys) or not condition.holds(metadata):
        return
    assert any(low <= key < high for low, high in condition.spans() for key in keys)


@given(METADATA, st.lists(CONDITIONS, min_size=2, max_size=3))
def test_joined_comparisons_miss_nothing(metadata: dict[str, Any], conditions: list[Condition]) -> None:
    """A version that satisfies all has a term in each group of spans; two elements of a list may satisfy two."""
    keys = terms_of(replace(RECORD, metadata=metadata))
    if any(key.startswith(PARTIAL) for key in keys) or not all(each.holds(metadata) for each in conditions):
        return
    for spans in joint_spans(conditions):
        assert any(low <= key < high for low, high in spans for key in keys)


def test_joined_comparisons() -> None:
    """Bounds of one path become one span; what compares with text is another one."""
    joined = joint_spans([parse_condition(text) for text in ("a>1", "a<=5", "a>x", "b<1", "a=3", "a>2")])
    assert len(joined) == 4 and sorted(map(len, joined)) == [1, 1, 1, 2]
    (low, high), lists = next(spans for spans in joined if len(spans) == 2)
    keys = {number: terms_of(replace(RECORD, metadata={"a": number})).pop() for number in (1, 2, 3, 5, 6)}
    assert [number for number, key in keys.items() if low <= key < high] == [2, 3, 5]
    both = terms_of(replace(RECORD, metadata={"a": [0, 9]}))
    assert any(lists[0] <= key < lists[1] for key in both)


@given(METADATA, CONDITIONS.filter(lambda condition: condition.is_comparison))
def test_what_is_left_out_is_counted_in_the_index(metadata: dict[str, Any], condition: Condition) -> None:
    """Versions whose values are all of the operand's kind have no row in the other spans."""
    keys = terms_of(replace(RECORD, metadata=metadata))
    if any(key.startswith(PARTIAL) for key in keys):
        return
    others = [key for key in keys if any(low <= key < high for low, high in condition.other_spans())]
    assert bool(others) == bool(condition.left_out(with_metadata(metadata)))
