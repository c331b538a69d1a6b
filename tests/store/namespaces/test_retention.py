"""Retention through the facade: rules are checked before they are set, and plans change nothing."""

from __future__ import annotations

from typing import Any

import pytest

from artstore.errors import InvalidInputError, NotFoundError, RefusedError
from artstore.workspace import Workspace
from store.namespaces.conftest import Journal


def test_rules_are_listed_by_name(filled: Workspace) -> None:
    """A rule that is set again replaces the one of its name, whole; a rule that is removed is gone."""
    assert filled.retention.rules() == []
    second = filled.retention.set("b", last=2, type="model")
    first = filled.retention.set("a", aliases=["prod*"])
    assert filled.retention.rules() == [first, second]
    assert first.aliases == ("prod*",)
    again = filled.retention.set("b", within=60)
    assert (again.last, again.type) == (0, None)
    assert filled.retention.rules() == [first, again]
    filled.retention.remove("a")
    assert filled.retention.rules() == [again]
    with pytest.raises(NotFoundError):
        filled.retention.remove("a")


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"last": 0},
        {"last": -1},
        {"last": True},
        {"last": "3"},
        {"within": float("nan")},
        {"within": float("inf")},
        {"best": 2},
        {"field": "accuracy"},
        {"last": 1, "type": ""},
        {"last": 1, "unknown": 1},
        {"last": 1, "metadata": 5},
        {"last": 1, "metadata": {"x": object()}},
        {"aliases": "prod*"},
        {"tags": "good"},
        {"aliases": 5},
        {"aliases": [""]},
    ],
    ids=str,
)
def test_an_invalid_rule_changes_nothing(filled: Workspace, journalled: Journal, fields: dict[str, Any]) -> None:
    """Neither the rules nor the journal; in particular, text where globs are expected is not taken letter by letter."""
    rule = filled.retention.set("kept", last=1)
    before = journalled()
    with pytest.raises(InvalidInputError):
        filled.retention.set("kept", **fields)
    assert filled.retention.rules() == [rule]
    assert journalled() == before


def test_a_plan_changes_nothing_and_is_what_applying_does(filled: Workspace, journalled: Journal) -> None:
    """It has a verdict for each living version; those that it does not keep are deleted, and can be undeleted."""
    filled.retention.set("newest", last=1)
    before = journalled()
    plan = filled.retention.plan()
    assert journalled() == before
    assert [version.number for version in filled.versions("p/data")] == [0, 1, 2]
    assert {verdict.candidate.number: verdict.expires for verdict in plan.verdicts} == {
        0: True,
        1: True,
        2: False,
    }
    assert sorted(filled.retention.apply().versions) == ["p/data:v0", "p/data:v1"]
    assert [version.number for version in filled.versions("p/data")] == [2]
    filled.undelete("p/data:v0")
    assert [version.number for version in filled.versions("p/data")] == [0, 2]


def test_a_wrong_clock_applies_nothing_unless_it_is_trusted(filled: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock far ahead of every record would expire everything at once."""
    from artstore.retention import applying

    filled.retention.set("young", within=86400.0)
    now_ns = applying.time.time_ns()
    monkeypatch.setattr(applying.time, "time_ns", lambda: now_ns + 400 * 86400 * 10**9)
    with pytest.raises(RefusedError):
        filled.retention.apply()
    assert len(filled.versions("p/data")) == 3
    assert filled.retention.apply(trust_clock=True).versions


def test_an_expiry_time_is_set_and_removed(filled: Workspace) -> None:
    """The time at which a version expires is returned, and None for never."""
    expires_at = filled.retention.set_ttl("p/data:v0", 3600.0)
    assert expires_at is not None
    assert filled.version("p/data:v0").record.expires_ns // 1000 == round(expires_at.timestamp() * 1e6)
    assert filled.retention.set_ttl("p/data:v0", None) is None
    assert filled.version("p/data:v0").record.expires_ns == 0
    with pytest.raises(NotFoundError):
        filled.retention.set_ttl("p/data:v9", 3600.0)
