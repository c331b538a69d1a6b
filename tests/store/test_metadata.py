"""Typed metadata keeps its text unless a number prints back as it was typed; comparisons read numbers either way."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artstore.metadata import decimal_of, equal_metadata, same_value, typed_value
from artstore.workspace import Workspace

_NUMBERS = ["0", "3", "-1", "0.9", "-0.5", "1.0", "1e-05", "2.1", "100000000000000000000", "-0.0", "9007199254740993"]
_TEXTS = [
    *["2.10", "4e10", "0.90", "1_000", "+1", "007", "1e400", "-1e400", "NaN", "nan", "inf", "Infinity", "-Infinity"],
    *[
        "true",
        "false",
        "null",
        "True",
        "None",
        "[1]",
        '{"a": 1}',
        '"1"',
        "",
        " 1",
        "1 ",
        "1\n",
        "0x10",
        "1e5",
        "1.",
        ".5",
    ],
    *["1e5", "1.", ".5", "-0", "1.10.2", "٣", "1,5", "9" * 5000, "4e1000000000000000000000"],
]


@pytest.mark.parametrize("typed", _NUMBERS)
def test_a_number_with_one_spelling_is_a_number(typed: str) -> None:
    value = typed_value(typed)
    assert not isinstance(value, str)
    assert json.dumps(value) == typed


@pytest.mark.parametrize("typed", _TEXTS)
def test_everything_else_is_text(typed: str) -> None:
    assert typed_value(typed) == typed


@given(st.one_of(st.text(), st.floats().map(repr), st.integers().map(str), st.from_regex(r"[-+]?[0-9._eE]{1,12}")))
def test_what_is_kept_prints_as_it_was_typed(typed: str) -> None:
    value = typed_value(typed)
    assert value == typed if isinstance(value, str) else json.dumps(value, allow_nan=False) == typed


@given(st.decimals(min_value=-1000, max_value=1000, places=3))
def test_a_number_is_the_same_however_it_is_written(number: Decimal) -> None:
    for spelling in (str(number), f"{number}00", f"{number:E}", f"+{number}" if number >= 0 else str(number)):
        assert decimal_of(spelling) == number
        assert same_value(spelling, float(number))
        assert same_value(float(number), spelling)


@pytest.mark.parametrize("number", [10**400, -(10**400), 10**100 + 1])
def test_a_number_beyond_all_floats_is_a_number(workspace: Workspace, tmp_path: Path, number: int) -> None:
    """It is kept, compared and typed like any other."""
    assert decimal_of(number) == decimal_of(str(number)) == Decimal(number)
    assert typed_value(str(number)) == number and same_value(str(number), number) and not same_value(number + 1, number)
    (tmp_path / "f").write_bytes(b"1")
    version = workspace.put(tmp_path / "f", "f", metadata={"k": number})
    assert version.metadata == {"k": number}
    assert [each.name for each in workspace.find(metadata={"k": number})] == [version.name]
    assert [each.name for each in workspace.find(where=["k>0"])] == [version.name] * (number > 0)
    workspace.close()


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("0.90", 0.9, True),
        ("2.10", 2.1, True),
        ("2.10", "2.1", False),
        ("1e-4", 0.0001, True),
        (1, True, False),
        (0, False, False),
        (1, 1.0, True),
        ("true", True, True),
        ("null", None, True),
        ("1", True, False),
        ("[1, 2]", [1, 2], True),
        ([True], [1], False),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
        ("[" * 100_000, [1], False),
        ("x", 1, False),
        (None, "", False),
    ],
)
def test_values_are_compared_as_json(one: object, other: object, same: bool) -> None:
    assert same_value(one, other) is same
    assert same_value(other, one) is same
    assert equal_metadata({"k": one}, {"k": other}) is (same and isinstance(one, str) == isinstance(other, str))


def test_find_and_rules_read_decimals_either_way(workspace: Workspace, tmp_path: Path) -> None:
    file = tmp_path / "f"
    for position, value in enumerate([0.9, "0.90", "0.9x", 0.91, True]):
        file.write_text(str(position))
        workspace.put(file, "m", metadata={"acc": value, "ok": value})
    for wanted in (0.9, "0.90", "0.900"):
        found = [version.number for version in workspace.find(metadata={"acc": wanted})]
        assert found == [number for number in (0, 1) if number == 0 or wanted in (0.9, "0.90")]
    assert [version.number for version in workspace.find(metadata={"ok": 1})] == []
    workspace.retention.set("best", best=1, field="acc", lowest=True)
    kept = {each.candidate.name for each in workspace.retention.plan().verdicts if not each.expires}
    assert kept == {"m:v1", "m:v4"}  # of two equal numbers the newest, and the latest version


def test_true_is_not_one(workspace: Workspace, tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_text("x")
    workspace.put(file, "m", metadata={"ok": 1})
    second = workspace.put(file, "m", metadata={"ok": True})
    assert second.name == "m:v1"
    workspace.revise("m:v1", metadata={"ok": 1})
    assert workspace.version("m:v1").metadata["ok"] is not True
