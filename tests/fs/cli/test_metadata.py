"""``--meta`` takes JSON objects, KEY=VALUE and KEY:=JSON, later ones win; what JSON cannot hold is refused."""

from __future__ import annotations

import pytest

from artfs.cli.metadata import parse_metadata
from artstore.errors import InvalidInputError
from messages import raises


@pytest.mark.parametrize(
    ("items", "metadata"),
    [
        (["a=1"], {"a": 1}),
        (["a=one"], {"a": "one"}),
        (["a="], {"a": ""}),
        (["a=b=c"], {"a": "b=c"}),
        (['a="1"', "b=[1]", "c=true", "d=null", "e=2.10", "f=0.90", "g=4e10", "h=NaN", "i=1e999"], None),
        (['a:="1"', "b:=3"], {"a": "1", "b": 3}),
        (["a:=[1, 2.5]", "b:=null", "c:=true", "d:=2.10"], {"a": [1, 2.5], "b": None, "c": True, "d": 2.1}),
        (["a:b=1", "c=:=2"], {"a:b": 1, "c": ":=2"}),
        (["a={"], {"a": "{"}),
        (['{"a": 1, "b": {"c": 2}}', "a=2"], {"a": 2, "b": {"c": 2}}),
        (["größe=ü"], {"größe": "ü"}),
        (["{}"], {}),
    ],
)
def test_accepted(items: list[str], metadata: dict[str, object] | None) -> None:
    assert parse_metadata(items) == (dict(item.split("=", 1) for item in items) if metadata is None else metadata)


@pytest.mark.parametrize(
    "item",
    [
        "a",
        "=1",
        "{",
        '{"a": }',
        "{1}",
        ":=1",
        "a:=",
        "a:=one",
        "a:={",
        "a:=NaN",
        "a:=-Infinity",
        "a:=1e999",
        '{"a": [NaN]}',
        "a=\udcff",
        "\udcff=1",
        '{"a": "\\ud800"}',
        "a:=" + "[" * 100_000,
        "a:=" + "9" * 5000,
    ],
)
def test_refused(item: str) -> None:
    with raises(InvalidInputError, names=["--meta"]):
        parse_metadata([item])


def test_no_items_are_no_metadata() -> None:
    assert parse_metadata([]) is None
