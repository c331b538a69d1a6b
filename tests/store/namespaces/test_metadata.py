"""Metadata through the facade: keys of a version, changed one by one, with their history."""

from __future__ import annotations

import pytest

from artstore.errors import InvalidInputError, InvalidNameError, NotFoundError
from artstore.workspace import Workspace
from messages import raises
from store.namespaces.conftest import Journal
from store.oracle import assert_sound


def test_keys_of_a_version(filled: Workspace, journalled: Journal) -> None:
    """They are set and removed one by one; other versions are not concerned."""
    assert filled.metadata.of("p/data") == {}
    assert filled.metadata.set("p/data:v1", {"acc": 0.5, "deep": {"a": [1]}}) == {"acc": 0.5, "deep": {"a": [1]}}
    assert filled.metadata.set("p/data:v1", {"acc": 0.9}) == {"acc": 0.9, "deep": {"a": [1]}}
    assert filled.metadata.remove("p/data:v1", "deep") == {"acc": 0.9}
    assert [filled.metadata.of(f"p/data:v{number}") for number in range(3)] == [{}, {"acc": 0.9}, {}]
    assert [event["event"] for event in journalled()] == ["revision"] * 3
    assert [state.metadata.get("acc") for state in filled.metadata.log("p/data:v1")] == [0.9, 0.9, 0.5, None]
    assert_sound(filled)


def test_purging(filled: Workspace) -> None:
    """The history has the value no more."""
    filled.metadata.set("p/data:v1", {"acc": 0.5, "key": "secret"})
    assert filled.metadata.remove("p/data:v1", "key", purge=True) == {"acc": 0.5}
    assert all("key" not in state.metadata for state in filled.metadata.log("p/data:v1"))
    assert_sound(filled)


def test_descriptions(filled: Workspace) -> None:
    """One call describes an artifact by its name, and a version by its reference."""
    filled.describe("p/data", "all")
    filled.describe("p/data:v1", "the second")
    filled.aliases.set("p/data:v2", "best")
    filled.describe("p/data:best", "the third")
    assert filled.artifacts()[0].description == "all"
    assert [version.description for version in filled.versions("p/data")] == ["", "the second", "the third"]
    filled.describe("p/data:v1", "again", purge=True)
    assert [state.description for state in filled.metadata.log("p/data:v1")] == ["again"]


def test_what_is_refused(filled: Workspace, journalled: Journal) -> None:
    """Values that JSON lacks, versions that are not there, and arguments of other types."""
    with pytest.raises(InvalidInputError):
        filled.metadata.set("p/data", {"x": object()})
    with raises(InvalidInputError, names=["['x'] (list)"]):
        filled.metadata.set("p/data", ["x"])  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError):
        filled.metadata.remove("p/data", 5)  # type: ignore[arg-type]
    with pytest.raises(NotFoundError):
        filled.metadata.of("p/data:v9")
    with pytest.raises(NotFoundError):
        filled.describe("p/data:v9", "x")
    with pytest.raises(InvalidNameError):
        filled.describe(5, "x")  # type: ignore[arg-type]
    assert journalled() == []
