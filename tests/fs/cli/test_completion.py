"""The shell completes names, and versions and aliases after a colon."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

Run = Callable[..., Any]


def complete(run: Run, words: str) -> list[str]:
    position = str(len(words.split()) - (not words.endswith(" ")))
    environment = {"_ARTFS_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": position}
    result = run(environment=environment)
    assert (result.code, result.err) == (0, b"")
    return [line.split(",", 1)[1] for line in result.text.splitlines() if line]


def test_completion(artfs: Run, artfs_process: Run, data: Path) -> None:
    assert complete(artfs_process, "artfs sta") == ["status"]
    assert complete(artfs_process, "artfs show ") == [], "no workspace, no complaint"
    artfs("put", data, "team/x", "-a", "clean")
    artfs("put", data, "y")
    assert complete(artfs_process, "artfs show te") == ["team/x"]
    assert complete(artfs_process, "artfs show team/x:") == ["team/x:v0", "team/x:clean", "team/x:latest"]
    assert complete(artfs_process, "artfs alias ls ") == ["team/x", "y"]


def test_drafts_and_rules(artfs: Run, artfs_process: Run, data: Path) -> None:
    artfs("put", data, "x")
    artfs("draft", "new", "x", "--id", "fixes")
    artfs("draft", "new", "x")
    artfs("retention", "set", "young", "--keep-within", "7d")
    assert complete(artfs_process, "artfs draft add ") == ["fixes", "d2"]
    assert complete(artfs_process, "artfs draft commit f") == ["fixes"]
    assert complete(artfs_process, "artfs retention rm ") == ["young"]
