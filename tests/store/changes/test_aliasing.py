"""Changes of names through the API: all or none, journalled, and seen at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from artstore import daemon_requests
from artstore.changes import aliasing
from artstore.daemon_requests import Change
from artstore.errors import InvalidInputError, InvalidNameError, NotFoundError
from artstore.storage import journal
from artstore.workspace import Workspace
from messages import raises
from store.oracle import assert_sound


@pytest.fixture
def artifact(workspace: Workspace, tmp_path: Path) -> Workspace:
    for number in range(3):
        (tmp_path / "file").write_bytes(b"%d" % number)
        workspace.put(tmp_path, "a")
    return workspace


def events(workspace: Workspace) -> list[dict[str, object]]:
    return [event for event in journal.replay(journal.journal_path(workspace.path)) if event["event"] != "version"]


def test_aliases(artifact: Workspace) -> None:
    """They name versions, move, and go; `latest` is always the highest."""
    artifact.aliases.set("a:v0", "best", "clean")
    artifact.aliases.set("a:latest", "best")
    assert artifact.aliases.of("a") == {"best": 2, "clean": 0, "latest": 2}
    assert artifact.version("a:best").number == 2
    assert artifact.version("a:v2").aliases == ["best", "latest"]
    artifact.aliases.remove("a", "best")
    assert artifact.aliases.of("a") == {"clean": 0, "latest": 2}
    assert [(event["alias"], event["version"]) for event in events(artifact)] == [
        ("best", 0),
        ("clean", 0),
        ("best", 2),
        ("best", None),
    ]
    assert_sound(artifact)


def test_removing_is_all_or_none(artifact: Workspace) -> None:
    """One that is not there refuses the call."""
    artifact.aliases.set("a:v0", "best")
    with raises(NotFoundError, names=["'worst'"]):
        artifact.aliases.remove("a", "best", "worst")
    assert artifact.aliases.of("a") == {"best": 0, "latest": 2}
    with pytest.raises(NotFoundError):
        artifact.aliases.remove("b", "best")
    assert_sound(artifact)


@pytest.mark.parametrize("name", ["v3", "latest", "", "a/b", "-x", ".x", "a:b", "x" * 129])
def test_names_that_no_alias_may_have(artifact: Workspace, name: str) -> None:
    """They are refused before anything is written, in `put` too."""
    with pytest.raises(InvalidNameError):
        artifact.aliases.set("a:v0", name)
    with pytest.raises(InvalidNameError):
        artifact.put(artifact.path / "artfs.json", "a", aliases=[name])
    assert artifact.aliases.of("a") == {"latest": 2}


@pytest.mark.parametrize("name", ["x" * 128, "é" * 127, "\U0001f408" * 63])
def test_the_longest_aliases(artifact: Workspace, name: str) -> None:
    """What the grammar allows fits the tables."""
    artifact.aliases.set("a:v1", name)
    assert artifact.version(f"a:{name}").number == 1


def test_nothing_new_is_not_told(artifact: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """An alias that names the version already changes nothing; one that moves tells the artifact's folder."""
    notified: list[list[Change]] = []
    monkeypatch.setattr(daemon_requests, "notify", lambda _, changes: notified.append(changes) or [])
    artifact.aliases.set("a:v0", "best")
    artifact.aliases.set("a:v0", "best")
    assert notified == [[Change("a", ["best"])]]
    assert len(events(artifact)) == 1


def test_tags(artifact: Workspace) -> None:
    """Sorted, without repetition; a tag that is not there cannot be taken."""
    version = artifact.version("a:v1")
    assert artifact.tags.add("a:v1", "b", "a", "b") == ["a", "b"]
    assert artifact.tags.remove("a:v1", "b") == ["a"]
    assert artifact.tags.of("a:v1") == version.tags == ["a"]
    with raises(NotFoundError, names=["'b'"]):
        artifact.tags.remove("a:v1", "a", "b")
    for tag in ("", " a", "a\n", "x" * 129):
        with pytest.raises(InvalidInputError):
            artifact.tags.add("a:v1", tag)
    assert artifact.tags.of("a:v1") == ["a"]
    assert artifact.tags.of("a:v0") == []
    assert [event["tags"] for event in events(artifact)] == [["a", "b"], ["a"]]
    assert_sound(artifact)


def test_versions_that_went_meanwhile(artifact: Workspace) -> None:
    """An alias or tag for a version that was deleted since it was looked up is refused."""
    from dataclasses import replace

    from artstore.rows import catalogue

    record = artifact.version("a:v1").record
    with artifact.store.write() as transaction:
        catalogue.put_version(transaction, replace(record, state="deleted"))
    with raises(NotFoundError, names=["v1"], reason="deleted"):
        aliasing.set_aliases(artifact.store, record, ["best"])
    with pytest.raises(NotFoundError):
        aliasing.change_tags(artifact.store, record, add=["best"])


def test_types(artifact: Workspace) -> None:
    """An artifact's type can be changed, a missing one's cannot, and it is a word."""
    artifact.set_type("a", "model")
    assert artifact.version("a:v0").type == "model"
    with pytest.raises(NotFoundError):
        artifact.set_type("b", "model")
    for name in ("", " x", "a\tb"):
        with pytest.raises(InvalidInputError):
            artifact.set_type("a", name)
