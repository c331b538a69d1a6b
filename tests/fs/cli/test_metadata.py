"""``--meta`` takes JSON objects and KEY=VALUE, later ones win, and what JSON cannot hold is refused."""

from __future__ import annotations

import pytest

from artfs.cli.metadata import parse_metadata
from artstore.errors import InvalidInputError
from messages import raises


@pytest.mark.parametrize(
    ("items", "metadata"),
    [
        ([], None),
        (["a=1"], {"a": 1}),
        (["a=one"], {"a": "one"}),
        (["a="], {"a": ""}),
        (["a=b=c"], {"a": "b=c"}),
        (['a="1"'], {"a": "1"}),
        (["a=[1, 2.5]", "b=null", "c=true"], {"a": [1, 2.5], "b": None, "c": True}),
        (["a={"], {"a": "{"}),
        (['{"a": 1, "b": {"c": 2}}', "a=2"], {"a": 2, "b": {"c": 2}}),
        (["größe=ü"], {"größe": "ü"}),
        (["{}"], {}),
    ],
)
def test_accepted(items: list[str], metadata: dict[str, object] | None) -> None:
    assert parse_metadata(items) == metadata


@pytest.mark.parametrize(
    "item",
    [
        "a",
        "=1",
        "{",
        '{"a": }',
        "{1}",
        "a=NaN",
        "a=-Infinity",
        "a=1e999",
        '{"a": [NaN]}',
        "a=\udcff",
        "\udcff=1",
        '{"a": "\\ud800"}',
        "a=" + "[" * 100_000,
        "a=" + "9" * 5000,
    ],
)
def test_refused(item: str) -> None:
    with raises(InvalidInputError, names=["--meta"]):
        parse_metadata([item])
