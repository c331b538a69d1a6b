"""Tags through the facade: a sorted set for each version, which many versions may share."""

from __future__ import annotations

import pytest

from artstore.errors import InvalidInputError, NotFoundError
from artstore.workspace import Workspace
from messages import raises
from store.namespaces.conftest import Journal
from store.oracle import assert_sound


def test_tags_are_a_sorted_set(filled: Workspace, journalled: Journal) -> None:
    """Order and repetition make no difference, and what changes nothing is not journalled."""
    assert filled.tags.of("p/data:v1") == []
    assert filled.tags.add("p/data:v1", "b", "a", "b") == ["a", "b"]
    before = journalled()
    assert filled.tags.add("p/data:v1", "a") == ["a", "b"]
    assert filled.tags.add("p/data:v1") == filled.tags.remove("p/data:v1") == ["a", "b"]
    assert journalled() == before
    assert filled.tags.remove("p/data:v1", "a", "a") == ["b"]
    assert filled.tags.of("p/data:v1") == filled.version("p/data:v1").tags == ["b"]
    assert_sound(filled)


def test_one_tag_can_be_on_many_versions(filled: Workspace) -> None:
    """Removing it from one leaves it on the others; a new version has none."""
    for number in (0, 2):
        filled.tags.add(f"p/data:v{number}", "good")
    filled.tags.remove("p/data:latest", "good")
    assert [filled.tags.of(f"p/data:v{number}") for number in range(3)] == [["good"], [], []]


def test_what_a_version_lacks_cannot_be_removed(filled: Workspace, journalled: Journal) -> None:
    """None of the tags that are given with it is removed, and the sentence names it."""
    filled.tags.add("p/data:v1", "good")
    before = journalled()
    with raises(NotFoundError, names=["p/data:v1", "'bad'"]):
        filled.tags.remove("p/data:v1", "good", "bad")
    with pytest.raises(NotFoundError):
        filled.tags.add("p/data:v9", "good")
    assert filled.tags.of("p/data:v1") == ["good"]
    assert journalled() == before


@pytest.mark.parametrize("bad", ["", " a", "a ", "a\nb", "x" * 129])
def test_a_tag_is_printable_text(filled: Workspace, bad: str) -> None:
    """Another one is refused with those that are given with it; inner spaces and any script are text."""
    with pytest.raises(InvalidInputError):
        filled.tags.add("p/data:v1", "good", bad)
    assert filled.tags.of("p/data:v1") == []
    assert filled.tags.add("p/data:v1", "x" * 128, "in Ordnung", "很好") == ["in Ordnung", "x" * 128, "很好"]
