"""Events of the journal: their bytes are frozen, each reads as what was written, and what is none is refused."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any, get_args

import pytest

import artstore
from artstore.errors import DamageError
from artstore.records import events
from artstore.records.catalogue import dump_json
from artstore.records.events import AliasEvent, DeleteEvent, Event, MetricsEvent, decode
from messages import raises

LINES: list[str] = json.loads((Path(__file__).parents[2] / "corpora" / "events.json").read_bytes())
KINDS = [kind.event_kind for kind in get_args(Event)]


def of_kind(kind: str) -> dict[str, Any]:
    """Return the first frozen event of a kind."""
    return next(values for values in map(json.loads, LINES) if values["event"] == kind)


@pytest.mark.parametrize("line", LINES, ids=lambda line: str(json.loads(line)["event"]))
def test_the_bytes_of_events_are_frozen(line: str) -> None:
    """Each form that the journal has had reads, and is written again with the same bytes."""
    event = decode(json.loads(line))
    assert event.event_kind == json.loads(line)["event"]
    assert dump_json(event.encode()).decode() == line
    assert decode(event.encode()) == event


def test_every_kind_has_vectors() -> None:
    """The frozen lines and the classes have the same kinds, and each class is in `Event`."""
    assert {json.loads(line)["event"] for line in LINES} == set(KINDS)
    assert len(set(KINDS)) == len(KINDS) == 20
    classes = {name for name in events.__all__ if name.endswith("Event") and name != "Event"}
    assert classes == {kind.__name__ for kind in get_args(Event)}


def test_optional_keys() -> None:
    """A key is left out if its field has the default, and only then."""
    plain = DeleteEvent(name="a", version=1, aliases=[])
    assert plain.encode() == {"event": "delete", "name": "a", "version": 1, "aliases": []}
    assert DeleteEvent(name="a", version=1, aliases=[], reason="").encode()["reason"] == ""
    assert AliasEvent(name="a", alias="x", version=None).encode()["version"] is None
    drafts = [values for values in map(json.loads, LINES) if values["event"] == "version"]
    assert sorted("draft" in values for values in drafts) == [False, False, True, True]
    assert sorted("origin" in values for values in drafts) == [False, False, False, True]
    assert sorted("former" in values for values in drafts) == [False, False, False, True]


def test_blocks_are_base64() -> None:
    """The bytes of a block of metrics survive."""
    event = MetricsEvent(run=1, block=0, data=bytes(range(256)))
    assert decode(json.loads(dump_json(event.encode()))) == event


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_that_is_missing_is_refused(kind: str) -> None:
    """Every key but the optional ones must be there."""
    values = of_kind(kind)
    optional = {
        "version": {"draft", "origin"},
        "delete": {"serial", "due_ns", "reason"},
        "purge": {"serial", "old_digest"},
        "revision": {"at_ns", "by"},
        "remote": {"url", "access", "added_ns"},
    }
    for key in values.keys() - optional.get(kind, set()):
        with raises(DamageError, names=[repr(key)]):
            decode({name: value for name, value in values.items() if name != key})


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_that_is_unknown_is_refused(kind: str) -> None:
    """What an unknown key means would be lost when the journal is compacted."""
    with raises(DamageError, names=["'more'"], reason="unknown keys"):
        decode({**of_kind(kind), "more": 1})


@pytest.mark.parametrize("kind", KINDS)
def test_a_value_of_another_type_is_refused(kind: str) -> None:
    """No field takes a truth value, a fraction, or a list of numbers."""
    values = of_kind(kind)
    for key in values:
        for wrong in (True, 1.5, [1]):
            with raises(DamageError, names=[repr({**values, key: wrong})]):
                decode({**values, key: wrong})


@pytest.mark.parametrize(
    ("kind", "key", "wrong"),
    [
        ("alias", "version", -1),
        ("alias", "version", 1 << 32),
        ("version", "serial", 1 << 32),
        ("version", "digest", "zz"),
        ("version", "digest", "abc"),
        ("version", "created_ns", 1 << 63),
        ("version", "created_ns", -1),
        ("version", "form", "abc"),
        ("version", "mtime_ns", 1 << 63),
        ("version", "mtime_ns", -(1 << 63) - 1),
        ("version", "newest_ns", 1 << 63),
        ("version", "mode", -1),
        ("purge", "form", None),
        ("purge", "mount", -1),
        ("purge", "mount", 1 << 32),
        ("ttl", "expires_ns", None),
        ("metrics", "data", "not base64"),
        ("edge", "from", "x1"),
        ("edge", "from", "v01"),
        ("edge", "to", "v"),
        ("edge", "record", {"_": 2}),
        ("run", "record", {}),
        ("purge", "purged", ["path"]),
        ("retention", "rules", {}),
        ("remote", "uuid", "00"),
        ("remote", "uuid", "A" * 32),
        ("remote", "access", "all"),
        ("remote", "name", "\udc80"),
        ("track", "artifact", None),
        ("counterpart", "way", "kept"),
        ("counterpart", "number", 1 << 32),
        ("number", "version", -1),
        ("number", "number", None),
    ],
)
def test_values_out_of_range_are_refused(kind: str, key: str, wrong: object) -> None:
    """Numbers, digests, base64 and ends of edges have one form."""
    with raises(DamageError, names=[repr({**of_kind(kind), key: wrong})]):
        decode({**of_kind(kind), key: wrong})


@pytest.mark.parametrize("values", [{}, {"event": "odd"}, {"event": []}, {"event": None}, {"name": "x"}])
def test_what_is_no_event_is_refused(values: dict[str, Any]) -> None:
    """An object without a known kind is none."""
    with raises(DamageError, names=[repr(values)]):
        decode(values)


def test_events_are_made_in_one_module_only() -> None:
    """No other module of the store names the key "event", to write it or to read it."""
    root = Path(artstore.__file__).parent
    guilty = [
        f"{path.relative_to(root)}:{node.lineno}"
        for path in root.rglob("*.py")
        if path != root / "records" / "events.py"
        for node in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(node, ast.Constant) and node.value == "event"
    ]
    assert guilty == []
