"""``restore``: an earlier version becomes the next one, with everything that describes it, and nothing is copied."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from artstore.errors import InvalidInputError, InvalidNameError, NotFoundError, RefusedError
from artstore.workspace import Workspace
from messages import raises
from store.oracle import assert_sound


@pytest.fixture
def changed(workspace: Workspace, tmp_path: Path) -> Workspace:
    """Return a workspace where ``a`` has v0 (two files, described) and v1 (one of them changed)."""
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    (folder / "kept").write_bytes(b"kept" * 1000)
    (folder / "sub" / "edited").write_bytes(b"before")
    folder.chmod(0o750)
    workspace.put(folder, "a", type="dataset", description="first", metadata={"n": 1}, aliases=["good"])
    (folder / "sub" / "edited").write_bytes(b"after, longer")
    workspace.put(folder, "a", metadata={"n": 2})
    return workspace


def test_an_earlier_version_becomes_the_next(changed: Workspace) -> None:
    """Content, description, metadata and mode are those of v0; tags and aliases stay where they are."""
    stored = changed.usage().stored_bytes
    restored = changed.restore("a:v0")
    old = changed.version("a:v0")
    assert restored.receipt is not None and restored.receipt.created and restored.name == "a:v2"
    assert (restored.digest, restored.description, restored.metadata) == (old.digest, "first", {"n": 1})
    assert restored.record.mode == old.record.mode == 0o750 and restored.type == "dataset"
    assert (restored.record.base, old.aliases, restored.aliases) == ("a:v0", ["good"], ["latest"])
    assert list(changed.diff("a:v0", "a")) == []
    assert restored.read_bytes("sub/edited") == b"before"
    assert changed.usage().stored_bytes - stored < 1000  # records with other times at most
    assert_sound(changed)


def test_what_differs_from_the_latest_shows_another_time(changed: Workspace) -> None:
    """A program that compares size and time in seconds sees that the file changed back."""
    restored = changed.restore("a:v0")
    before = changed.version("a:v1")
    seconds = {int(version.stat("sub/edited").mtime.timestamp()) for version in (restored, before)}
    assert len(seconds) == 2
    assert restored.stat("kept") == before.stat("kept")


def test_options_replace_what_would_come_with_it(changed: Workspace) -> None:
    restored = changed.restore("a:v0", description="back", metadata={}, aliases=["good"], ttl="30d")
    assert (restored.description, restored.metadata) == ("back", {}) and "good" in restored.aliases
    assert restored.record.expires_ns and changed.version("a:v0").aliases == []
    assert_sound(changed)


def test_the_latest_version_is_not_made_again(changed: Workspace) -> None:
    again = changed.restore("a:v1")
    assert again.name == "a:v1" and again.receipt is not None and not again.receipt.created
    assert changed.restore("a:v1", new=True).name == "a:v2"
    assert changed.restore("a:v2", description="described").name == "a:v3"


def test_what_is_restored_can_be_deleted_with_its_base(changed: Workspace) -> None:
    """A restored version holds its own references: the version that it came from may go."""
    changed.restore("a:v0", aliases=["good"])
    changed.delete("a:v0", "a:v1", now=True)
    assert changed.version("a").read_bytes("sub/edited") == b"before"
    assert_sound(changed)


BAD: list[tuple[str, dict[str, Any], type[Exception], str]] = [
    ("a:v9", {}, NotFoundError, "no a:v9"),
    ("b:v0", {}, NotFoundError, "'b'"),
    ("a:v0/kept", {}, InvalidInputError, "path inside"),
    ("a:v0", {"type": "model"}, RefusedError, "'dataset'"),
    ("a:v0", {"aliases": ["v7"]}, InvalidNameError, "v7"),
    ("a:v0", {"metadata": {"artfs.x": 1}}, InvalidInputError, "artfs."),
    ("a:v0", {"ttl": "soon"}, InvalidInputError, "soon"),
]


@pytest.mark.parametrize(("ref", "options", "error", "words"), BAD)
def test_bad_input(changed: Workspace, ref: str, options: dict[str, Any], error: type[Exception], words: str) -> None:
    with raises(error, names=[words]):
        changed.restore(ref, **options)
    assert changed.version("a").name == "a:v1"


def test_a_deleted_version_is_undeleted_first(changed: Workspace) -> None:
    changed.delete("a:v0", force=True)
    with pytest.raises(NotFoundError) as raised:
        changed.restore("a:v0")
    assert raised.value.hint is not None and "artfs undelete a:v0" in raised.value.hint
    changed.undelete("a:v0")
    assert changed.restore("a:v0").name == "a:v2"
