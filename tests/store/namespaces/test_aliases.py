"""Aliases through the facade: checked, moved together or not at all, and logged."""

from __future__ import annotations

import pytest

from artstore.errors import InvalidNameError, NotFoundError, RefusedError
from artstore.workspace import Workspace
from messages import raises
from store.namespaces.conftest import Journal
from store.oracle import assert_sound


def test_an_alias_points_to_one_version(filled: Workspace) -> None:
    """Setting it again moves it; `latest` is listed with the others and is no alias that was set."""
    assert filled.aliases.of("p/data") == {"latest": 2}
    assert filled.aliases.set("p/data:v0", "best", "clean") == []
    filled.aliases.set("p/data:best", "old")
    filled.aliases.set("p/data:latest", "best")
    assert filled.aliases.of("p/data") == {"best": 2, "clean": 0, "latest": 2, "old": 0}
    assert filled.version("p/data:best").number == 2
    assert_sound(filled)


@pytest.mark.parametrize("bad", ["v3", "latest", "", "a/b", "a:b"])
def test_an_invalid_alias_refuses_those_given_with_it(filled: Workspace, journalled: Journal, bad: str) -> None:
    """Whether it comes first or last, neither is set and neither is removed."""
    filled.aliases.set("p/data:v0", "kept")
    before = journalled()
    for aliases in (["good", bad], [bad, "good"]):
        with pytest.raises(InvalidNameError):
            filled.aliases.set("p/data:v1", *aliases)
    for aliases in (["kept", bad], [bad, "kept"]):
        with pytest.raises(InvalidNameError):
            filled.aliases.remove("p/data", *aliases)
    assert filled.aliases.of("p/data") == {"kept": 0, "latest": 2}
    assert journalled() == before


def test_no_alias_changes_nothing(filled: Workspace, journalled: Journal) -> None:
    """A call without aliases, or one that points them to where they are, writes nothing to the journal."""
    filled.aliases.set("p/data:v0", "best")
    before = journalled()
    assert filled.aliases.set("p/data:v0") == []
    assert filled.aliases.set("p/data:v0", "best", "best") == []
    assert filled.aliases.remove("p/data") == []
    assert journalled() == before
    assert len(filled.aliases.log("p/data")) == 1


def test_an_alias_that_is_named_twice_is_removed_once(filled: Workspace, journalled: Journal) -> None:
    """It exists, so that it is not refused as missing."""
    filled.aliases.set("p/data:v0", "best")
    filled.aliases.remove("p/data", "best", "best")
    assert filled.aliases.of("p/data") == {"latest": 2}
    assert [(event["alias"], event["version"]) for event in journalled()] == [("best", 0), ("best", None)]
    assert_sound(filled)


def test_what_is_missing_is_named(filled: Workspace, journalled: Journal) -> None:
    """An artifact, a version, an alias; those that exist keep theirs."""
    filled.aliases.set("p/data:v0", "best")
    before = journalled()
    with raises(NotFoundError, names=["'worst'"]):
        filled.aliases.remove("p/data", "best", "worst")
    for call in (
        lambda: filled.aliases.of("p/other"),
        lambda: filled.aliases.log("p"),
        lambda: filled.aliases.remove("p", "best"),
        lambda: filled.aliases.set("p/data:v7", "best"),
    ):
        with pytest.raises(NotFoundError):
            call()
    with pytest.raises(InvalidNameError):
        filled.aliases.remove("p/data:v0", "best")
    assert filled.aliases.of("p/data") == {"best": 0, "latest": 2}
    assert journalled() == before


def test_a_protected_alias_moves_by_force_only(filled: Workspace) -> None:
    """Others that are given with it stay as well; where it points already it may be set."""
    filled.aliases.set("p/data:v0", "production", "best")
    filled.configure(protected_aliases=["prod*"])
    with raises(RefusedError, names=["production"]):
        filled.aliases.set("p/data:v1", "best", "production")
    with raises(RefusedError, names=["production"]):
        filled.aliases.remove("p/data", "best", "production")
    filled.aliases.set("p/data:v0", "production")
    assert filled.aliases.of("p/data") == {"best": 0, "latest": 2, "production": 0}
    filled.aliases.set("p/data:v1", "production", force=True)
    assert filled.aliases.of("p/data")["production"] == 1
    filled.aliases.remove("p/data", "production", force=True)
    assert filled.aliases.of("p/data") == {"best": 0, "latest": 2}


def test_the_log_has_the_newest_change_first(filled: Workspace) -> None:
    """With the version that it led to, None for a removal, and times that do not decrease."""
    filled.aliases.set("p/data:v0", "best")
    filled.aliases.set("p/data:v1", "best")
    filled.aliases.remove("p/data", "best")
    log = filled.aliases.log("p/data")
    assert [(change.alias, change.version) for change in log] == [("best", None), ("best", 1), ("best", 0)]
    times = [change.at for change in log]
    assert times == sorted(times, reverse=True)
