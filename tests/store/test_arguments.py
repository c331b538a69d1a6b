"""Arguments as callers write them: durations, texts and paths."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy
import pytest

from artstore.arguments import paths_of, seconds_of, shown_value, text, texts, texts_of
from artstore.errors import InvalidInputError, NotFoundError
from artstore.workspace import Workspace
from messages import raises

DAY = 86400.0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (30, 30.0),
        (0.5, 0.5),
        (numpy.int64(3), 3.0),
        (numpy.float32(0.5), 0.5),
        (timedelta(days=30), 30 * DAY),
        ("30d", 30 * DAY),
        ("1d12h", 1.5 * DAY),
        ("1.5h", 5400.0),
        ("0", 0.0),
    ],
)
def test_durations(value: Any, seconds: float) -> None:
    assert seconds_of(value, "ttl") == seconds


@pytest.mark.parametrize("value", ["", "30", "d", "-1d", "30 d", "٣d", "x" * 1000, True, None, [30], b"30d", 10**400])
def test_what_is_no_duration(value: Any) -> None:
    with pytest.raises(InvalidInputError) as caught:
        seconds_of(value, "ttl")
    assert len(str(caught.value)) < 200 and "\n" not in str(caught.value)


def test_a_value_in_a_message() -> None:
    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError

    assert shown_value(3) == "3 (int)"
    assert shown_value("a\nb" * 1000).endswith("... (str)") and len(shown_value("x" * 1000)) < 80
    assert shown_value(Broken()) == "a Broken"


def test_texts_and_paths() -> None:
    assert texts(None, "tags") == texts((), "tags") == []
    assert texts(iter(["a", "b"]), "tags") == texts(["a", "b"], "tags") == ["a", "b"]
    assert texts_of(["a", ["b", "c"], ("d",)], "tags") == ["a", "b", "c", "d"]
    assert paths_of(["a", Path("b"), [b"c\xff", Path("d")]], "paths") == ["a", "b", "c\udcff", "d"]
    for wrong in (3, None, {"a": 1}, [3]):
        with pytest.raises(InvalidInputError):
            paths_of([wrong], "paths")
    with raises(InvalidInputError, names=["type", "3"]):
        text(3, "the type")


@pytest.mark.parametrize("ttl", [30 * DAY, "30d", timedelta(days=30)], ids=str)
def test_every_duration_of_the_api(workspace: Workspace, tmp_path: Path, ttl: Any) -> None:
    """Seconds, text and a timedelta are the same wherever a duration is taken."""
    (tmp_path / "f").write_text("x")
    version = workspace.put(tmp_path / "f", "a", ttl=ttl)
    assert version.record.expires_ns - version.record.created_ns == pytest.approx(30 * DAY * 1e9, rel=1e-3)
    ends = workspace.retention.set_ttl("a", ttl)
    assert ends is not None and (ends - version.created_at).days in (29, 30)
    draft = workspace.drafts.new("a", expires=ttl)
    assert draft.record().expires_ns > version.record.created_ns + 29 * DAY * 1e9
    assert workspace.find(younger=ttl) == [version] and workspace.find(older=ttl) == []
    assert workspace.retention.set("r", within=ttl).within == 30 * DAY
    assert workspace.configure(undelete_seconds=ttl).undelete_seconds == 30 * DAY


def test_several_are_undeleted_at_once_or_not_at_all(workspace: Workspace, tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / "f").write_text(str(number))
        workspace.put(tmp_path / "f", "a", aliases=[f"n{number}"])
    workspace.delete(["a:v0", "a:v1"], force=True)
    with pytest.raises(NotFoundError):
        workspace.undelete(["a:v0", "a:v7"])
    assert [each.name for each in workspace.versions("a")] == ["a:v2"]
    restored = workspace.undelete(["a:v0", "a:v1"])
    assert [(each.version.name, each.aliases) for each in restored] == [("a:v0", ["n0"]), ("a:v1", ["n1"])]
    workspace.delete("a:v0", force=True)
    assert workspace.undelete("a:v0").version.name == "a:v0"
    assert workspace.undelete([]) == []
