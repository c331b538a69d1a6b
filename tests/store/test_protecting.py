"""Protected aliases: moved, taken away and deleted with their versions by no one who does not say so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from artstore.errors import InvalidInputError, RefusedError
from artstore.workspace import Workspace
from messages import missing, raises


@pytest.fixture
def filled(workspace: Workspace, tmp_path: Path) -> Workspace:
    """Three versions; the first has two aliases that are protected, and one that is not."""
    for number in range(3):
        (tmp_path / "file").write_text(str(number))
        workspace.put(tmp_path / "file", "a", aliases=["production", "release-1", "mine"] if number == 0 else [])
    workspace.configure(protected_aliases=["production", "release-*"])
    return workspace


@pytest.mark.parametrize(
    "change",
    [
        lambda ws, _: ws.aliases.set("a:v1", "production"),
        lambda ws, _: ws.aliases.set("a:v1", "mine", "release-1"),
        lambda ws, _: ws.aliases.remove("a", "production"),
        lambda ws, _: ws.aliases.remove("a", "mine", "release-1"),
        lambda ws, path: ws.put(path, "a", aliases=["production"], new=True),
        lambda ws, path: ws.put(path, "a", aliases=["production"]),
        lambda ws, _: ws.drafts.new("a", base="v1").commit(aliases=["release-1"]),
        lambda ws, _: ws.delete("a:v0"),
        lambda ws, _: ws.delete("a:v0", force=True),
        lambda ws, _: ws.delete("a:*", force=True, now=True),
    ],
)
def test_they_stay_where_they_are(filled: Workspace, tmp_path: Path, change: Callable[[Workspace, Path], None]) -> None:
    before = filled.aliases.of("a"), [version.name for version in filled.versions("a")]
    with raises(RefusedError, reason="protected alias"):
        change(filled, tmp_path / "file")
    assert (filled.aliases.of("a"), [version.name for version in filled.versions("a")]) == before


def test_what_moves_none_of_them_goes_on(filled: Workspace, tmp_path: Path) -> None:
    filled.aliases.set("a:v0", "production")
    filled.aliases.set("a:v1", "mine", "release-2", "release-3")
    filled.aliases.remove("a", "mine")
    filled.delete("a:v2")
    filled.put(tmp_path / "file", "b", aliases=["production"])
    assert filled.aliases.of("a") == {
        "latest": 1, "production": 0, "release-1": 0, "release-2": 1, "release-3": 1
    }  # fmt: skip


def test_by_force(filled: Workspace) -> None:
    filled.aliases.set("a:v1", "production", force=True)
    filled.aliases.remove("a", "release-1", force=True)
    filled.delete("a:v0", force=True)
    filled.configure(protected_aliases=())
    filled.delete("a:v1", force=True)
    assert filled.aliases.of("a") == {"latest": 2}


def test_no_rule_takes_them(filled: Workspace) -> None:
    filled.retention.set("r", last=1, aliased=True)
    (verdict,) = [each for each in filled.retention.plan().verdicts if each.candidate.number == 0]
    assert not verdict.expires and not missing(" ".join(verdict.reasons), ["protected", "'production'"])
    assert filled.retention.apply().versions == ["a:v1"]


@pytest.mark.parametrize("globs", ["production", [""], [1], ["a\n"], 5])
def test_what_cannot_be_protected(workspace: Workspace, globs: object) -> None:
    with pytest.raises(InvalidInputError):
        workspace.configure(protected_aliases=globs)
    assert workspace.settings.protected_aliases == ()
