"""Values that JSON lacks: each has a form in config, metrics, summary and metadata, and none ends a training."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import json
import math
import uuid
from pathlib import Path
from typing import Any

import numpy
import pandas
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import artfs
from artfs.tracking.conversion import json_value, json_values, metric_values
from artstore.errors import InvalidInputError
from messages import raises
from store.oracle import assert_sound


class Color(enum.Enum):
    RED = 1


class Level(enum.IntEnum):
    HIGH = 3


@dataclasses.dataclass
class Point:
    x: Any
    y: Any


class Broken:
    def __repr__(self) -> str:
        raise RuntimeError("no")

    __str__ = __repr__

    def tolist(self) -> list[int]:
        raise RuntimeError("no")


class Silent:
    pass


CONVERTED: list[tuple[Any, Any]] = [
    (math.nan, None),
    (math.inf, "Infinity"),
    (-math.inf, "-Infinity"),
    (numpy.float32(0.5), 0.5),
    (numpy.float64("nan"), None),
    (numpy.int64(7), 7),
    (numpy.bool_(True), True),
    (numpy.str_("a"), "a"),
    (numpy.bytes_(b"a"), "a"),
    (numpy.array(3), 3),
    (numpy.array([1.5, math.nan, math.inf]), [1.5, None, "Infinity"]),
    (numpy.arange(4).reshape(2, 2), [[0, 1], [2, 3]]),
    (numpy.datetime64("2024-01-02T03:04:05.000000000"), "2024-01-02T03:04:05.000000000"),
    (numpy.datetime64("NaT"), None),
    (numpy.array(["2024-01-02"], "datetime64[D]"), ["2024-01-02"]),
    (numpy.complex128(1j), "1j"),
    (datetime.datetime(2024, 1, 2, 3, 4, 5), "2024-01-02T03:04:05"),
    (datetime.date(2024, 1, 2), "2024-01-02"),
    (datetime.time(3, 4), "03:04:00"),
    (datetime.timedelta(days=1), "1 day, 0:00:00"),
    (pandas.Timestamp("2024-01-02"), "2024-01-02T00:00:00"),
    (pandas.NaT, None),
    (pandas.NA, None),
    (pandas.Series([1, 2]), [1, 2]),
    ({3, 1, 2}, [1, 2, 3]),
    (frozenset({"b", "a"}), ["a", "b"]),
    ({1, "a"}, [1, "a"]),
    (Color.RED, "RED"),
    (Level.HIGH, "HIGH"),
    (Point(1, Point(numpy.float32(0.5), {2})), {"x": 1, "y": {"x": 0.5, "y": [2]}}),
    (b"abc", "abc"),
    (b"\xff", "\\xff"),
    (bytearray(b"abc"), "abc"),
    (Path("/a/b"), "/a/b"),
    ((1, (2, 3)), [1, [2, 3]]),
    (range(3), [0, 1, 2]),
    (range(10**12), "range(0, 1000000000000)"),
    (collections.deque([1]), [1]),
    ({"a": 1}.keys(), ["a"]),
    (decimal.Decimal("0.1"), "0.1"),
    (fractions.Fraction(1, 3), "1/3"),
    (uuid.UUID(int=0), "00000000-0000-0000-0000-000000000000"),
    (1j, "1j"),
    (10**5000, hex(10**5000)),
    (len, "builtins.len"),
    (Silent, f"{__name__}.Silent"),
    (Silent(), f"<{__name__}.Silent>"),
    (Broken(), f"<{__name__}.Broken>"),
    ({1: "a", 2.5: "b", None: "c", Color.RED: "d", numpy.int64(4): "e", (1, 2): "f", b"k": "g"}, {
        "1": "a", "2.5": "b", "None": "c", "RED": "d", "4": "e", "(1, 2)": "f", "k": "g"
    }),
]  # fmt: skip


@pytest.mark.parametrize(("value", "converted"), CONVERTED, ids=lambda value: f"{type(value).__name__}")
def test_every_kind_has_a_form(value: Any, converted: Any) -> None:
    assert json_value(value) == converted
    assert json_values({"k": [value]}) == {"k": [converted]}
    assert json.loads(json.dumps(json_value(value), allow_nan=False)) == converted


def test_metrics_keep_what_is_no_number() -> None:
    assert metric_values({"a": math.nan, "b": numpy.array([math.nan, -math.inf])}) == {
        "a": "NaN",
        "b": ["NaN", "-Infinity"],
    }


def test_what_contains_itself() -> None:
    loop: list[Any] = [1]
    loop.append(loop)
    assert json_value(loop) == [1, "..."]
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    json.dumps(json_value(deep))


values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(),
        st.binary(),
        st.complex_numbers(),
        st.datetimes(),
        st.timedeltas(),
        st.decimals(),
        st.sampled_from([each for each, _ in CONVERTED if not isinstance(each, int | Broken)]),  # their repr fails
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.tuples(inner, inner),
        st.dictionaries(st.one_of(st.text(), st.integers(), st.binary(), st.none()), inner, max_size=3),
        st.builds(Point, inner, inner),
        inner.map(lambda value: numpy.array([value, None], object)),
    ),
    max_leaves=8,
)


@settings(max_examples=300)
@given(st.dictionaries(st.text(), values, max_size=3))
def test_any_value_has_a_form(given_values: dict[str, Any]) -> None:
    """Whatever a program passes, JSON can hold what it becomes, and reads it back equal."""
    for converted in (json_values(given_values), metric_values(given_values)):
        assert json.loads(json.dumps(converted, allow_nan=False)) == converted


EVERYTHING = {f"v{number}": value for number, (value, _) in enumerate(CONVERTED)}
FORMS = {f"v{number}": converted for number, (_, converted) in enumerate(CONVERTED)}


def test_everything_in_a_training(workspace: artfs.Workspace) -> None:
    """Set at once or changed in place, at the top or below, in each of the four places."""
    run = artfs.init(project="p", config={**EVERYTHING, "below": {}})
    run.config["below"]["in place"] = numpy.float32(0.5)
    run.config.update(Point(1, Color.RED))
    run.log(EVERYTHING)
    run.log({"part": EVERYTHING}, commit=False)
    run.summary["below"] = {}
    run.summary["below"]["in place"] = {numpy.float32(0.5)}
    run.summary["bad"] = math.nan
    artifact = artfs.Artifact("a", "dataset", metadata=EVERYTHING)
    artifact.metadata["acc"] = numpy.float32(0.5)
    artifact.metadata["list"] = [numpy.int64(1), {Color.RED}]
    run.log_artifact(artifact)
    assert workspace.version("p/a").metadata == {**FORMS, "acc": 0.5, "list": [1, ["RED"]]}
    artifact.metadata["later"] = datetime.date(2024, 1, 2)
    artifact.save()
    assert workspace.version("p/a").metadata["later"] == "2024-01-02"
    artifact.metadata = {"only": math.inf}
    artifact.save()
    assert workspace.version("p/a").metadata == {"only": "Infinity"}
    run.finish()
    record = workspace.runs.get(f"p/{run.id}")
    assert record.config == {**FORMS, "below": {"in place": 0.5}, "x": 1, "y": "RED"}
    assert (record.summary["below"], record.summary["bad"]) == ({"in place": [0.5]}, "NaN")
    assert workspace.runs.rows(record.number)[0]["v3"] == 0.5
    assert_sound(workspace)


def test_values_of_a_version_that_several_runs_make(workspace: artfs.Workspace) -> None:
    with artfs.init(group="g") as run:
        part = artfs.Artifact("a", "dataset", metadata={"set": {1}})
        part.metadata["acc"] = numpy.float32(0.5)
        run.upsert_artifact(part)
        whole = artfs.Artifact("a", "dataset")
        whole.metadata["ttl_days"] = numpy.int64(3)
        run.finish_artifact(whole)
    assert workspace.version("a").metadata == {"set": [1], "acc": 0.5, "ttl_days": 3}
    assert workspace.version("a").record.expires_ns


def test_an_artifact_in_the_config_is_used(workspace: artfs.Workspace) -> None:
    data = artfs.Artifact("data", "dataset")
    with data.new_file("f") as file:
        file.write("x")
    with artfs.init(project="p") as run:
        run.log_artifact(data)
    with artfs.init(project="p", config={"data": data, "lr": 1}) as run:
        assert run.config["data"] == "p/data:v0"
        run.config.update({"below": {"again": data}})
    assert [each.name for each in run.used_artifacts()] == ["data:v0"]
    assert workspace.runs.get(f"p/{run.id}").config == {"data": "p/data:v0", "lr": 1, "below": {"again": "p/data:v0"}}
    fresh = artfs.Artifact("fresh", "dataset")
    with artfs.init(project="p", config={"data": fresh}) as run:
        assert run.config["data"] == "p/fresh:v0"


@pytest.mark.parametrize("wrong", [["no", "mapping"], 3, "text", None], ids=repr)
def test_what_is_no_dictionary(workspace: artfs.Workspace, wrong: Any) -> None:
    run = artfs.init(project="p")
    for action in (
        lambda: run.log(wrong),
        lambda: run.config.update(wrong or 3),
        lambda: artfs.Artifact("a", "t", metadata=wrong or 3),
    ):
        with raises(InvalidInputError, names=["dictionary"]):
            action()
