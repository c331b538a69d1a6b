"""``draft``: a version put together by several commands, and what people get wrong about it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from messages import missing, refused, reported

Run = Callable[..., Any]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "folder"
    (folder / "train").mkdir(parents=True)
    (folder / "train" / "a").write_bytes(b"1")
    (folder / "b").write_bytes(b"22")
    return folder


def test_a_version_by_steps(artfs: Run, folder: Path) -> None:
    artfs("put", folder, "x")
    opened = artfs("draft", "new", "x", "--from", "latest", "--id", "fixes")
    assert (opened.code, opened.text) == (0, "fixes\n")
    (folder / "c").write_bytes(b"333")
    added = artfs("draft", "add", "fixes", folder / "c", "train/")
    reported(added, names=["1 file", "3 B"])
    reported(artfs("draft", "rm", "fixes", "b"), names=["b"])
    reported(artfs("draft", "mv", "fixes", "train/a", "val/"), names=["train/a", "val/a"])
    status = artfs("draft", "status", "fixes")
    reported(status, names=["x", "x:v0"])
    assert status.text == (
        "D  b  2 B\nA  train/c  3 B\nR  train/a -> val/a  1 B\n1 added (3 B), 1 removed (2 B), 1 renamed (1 B)\n"
    )
    assert [line for line in artfs("status").text.splitlines() if not missing(line, ["draft fixes", "x"])]
    done = artfs("draft", "commit", "fixes", "-a", "good", "--meta", "k=1", "--type", "dataset")
    assert done.code == 0 and done.text.startswith("x:v1  2 files, 4 B, ")
    shown = artfs("show", "x:good", "--json").json
    assert (shown["version"], shown["metadata"], shown["type"], shown["base"]) == ("v1", {"k": 1}, "dataset", "x:v0")
    assert [line.split() for line in artfs("show", "x:good").text.splitlines() if "x:v0" in line] == [
        ["based", "on", "x:v0"]
    ]
    assert artfs("draft", "ls").text == ""


def test_in_json(artfs: Run, folder: Path) -> None:
    artfs("put", folder, "x")
    opened = artfs("draft", "new", "team/y", "--json", "--expires", "12h").json
    assert (opened["id"], opened["artifact"], opened["base"], opened["new_bytes"]) == ("d1", "team/y", None, 0)
    assert opened["expires_at"] > opened["created_at"] == opened["active_at"]
    added = artfs("draft", "add", "d1", folder, "--exclude", "b", "--json").json
    assert (added["id"], added["files"], added["bytes"]) == ("d1", 1, 1)
    assert artfs("draft", "mv", "d1", "train/a", "z", "--json").json == {"id": "d1", "path": "z"}
    status = artfs("draft", "status", "d1", "--json").json
    assert [(change["kind"], change["path"]) for change in status["changes"]] == [("added", "z")]
    (listed,) = artfs("draft", "ls", "--json").json["drafts"]
    assert listed["id"] == "d1" and listed["new_bytes"] > 0
    (draft,) = artfs("status", "--json").json["drafts"]
    assert (draft["id"], draft["alive"], draft["expires_at"]) == ("d1", True, listed["expires_at"])
    assert artfs("draft", "rm", "d1", "z", "--json").json == {"id": "d1", "removed": ["z"]}
    done = artfs("draft", "commit", "d1", "--json").json
    assert (done["artifact"], done["version"], done["created"], done["files"]) == ("team/y", "v0", True, 0)
    artfs("draft", "new", "x", "--from", "v0", "--id", "same")
    assert artfs("draft", "commit", "same", "--json").json["created"] is False
    artfs("draft", "new", "x", "--id", "gone")
    assert artfs("draft", "abort", "gone", "--json").json == {"id": "gone", "aborted": True}
    assert artfs("draft", "ls", "--json").json == {"drafts": [], "interrupted": []}


@pytest.mark.parametrize(
    ("arguments", "code", "names"),
    [
        (("new", "x", "--from", "v7"), 3, ["x:v7"]),
        (("new", "x", "--id", "open"), 4, ["'open'", "artfs draft status open"]),
        (("new", "x", "--id", "a/b"), 2, ["'a/b'", '"/"']),
        (("new", "bad:name"), 2, ["'bad:name'", '":"']),
        (("new", "x", "--expires", "soon"), 2, ["'soon'"]),
        (("new", "x", "--expires", "0"), 2, ["draft"]),
        (("add", "none", "b"), 3, ["'none'", "artfs draft ls"]),
        (("add", "open", "absent"), 3, ["absent"]),
        (("add", "open", "b", "../c"), 2, ["'../c'"]),
        (("add", "open", "b", "train/a/c"), 4, ["'train/a'"]),
        (("rm", "open", "absent"), 3, ["'absent'"]),
        (("rm", "open", "*.jpg"), 3, ["'*.jpg'"]),
        (("rm", "open"), 2, ["PATH"]),
        (("mv", "open", "b", "train/a"), 4, ["'train/a'", "--overwrite"]),
        (("mv", "open", "train", "train/below"), 2, ["'train'"]),
        (("status", "none"), 3, ["'none'", "artfs draft ls"]),
        (("commit", "open", "-a", "v3"), 2, ["'v3'"]),
        (("commit", "none"), 3, ["'none'", "artfs draft ls"]),
        (("abort", "none"), 3, ["'none'", "artfs draft ls"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_mistakes(
    artfs: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], code: int, names: list[str]
) -> None:
    """One sentence, the right exit code, and the draft as it was."""
    monkeypatch.chdir(folder)
    artfs("put", folder, "x")
    artfs("draft", "new", "x", "--from", "v0", "--id", "open")
    done = artfs("draft", *arguments)
    refused(done, code=code, names=names)
    assert done.out == b""
    assert artfs("draft", "status", "open", "--json").json["changes"] == []


def test_what_another_step_has_added_is_named(artfs: Run, folder: Path) -> None:
    artfs("put", folder, "x")
    artfs("draft", "new", "x", "--id", "d")
    artfs("draft", "add", "d", folder)
    (folder / "b").write_bytes(b"other")
    refused(artfs("draft", "add", "d", folder), code=4, names=["'b'", "--overwrite"], reason="added before")
    assert artfs("draft", "add", "d", folder, "--overwrite").code == 0
