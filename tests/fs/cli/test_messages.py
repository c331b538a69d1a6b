"""The wording of error messages and hints, in one table; other tests assert kinds, exit codes and names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from messages import refused

Run = Callable[..., Any]

EXAMPLES = [
    ("show nothing", 3, "there is no artifact 'nothing'; list what exists: artfs ls"),
    ("show x:v9", 3, "there is no x:v9; list what exists: artfs ls x"),
    ("show x:nosuch", 3, "'x' has no alias 'nosuch'; list them: artfs alias ls x"),
    ("cat x:v0/nothing", 3, "x:v0 has no 'nothing'"),
    ("cat x:v0", 2, "x:v0 is a whole version; name a file in it: x:v0/PATH ('artfs ls' lists them)"),
    ("alias set x v3", 2, "the alias 'v3' looks like a version number; artfs assigns those"),
    ("alias set x latest", 2, "the alias 'latest' is reserved: it always means the highest living version"),
    ("alias rm x nothing", 3, "'x' has no alias 'nothing'"),
    ("put no/such x", 3, "no/such does not exist"),
    (
        "put . bad:name",
        2,
        "the name 'bad:name' contains \":\"; the characters / : \\ * ? [ ] # % @ are not allowed in it",
    ),
    ("usage x --by type", 2, "--by groups the whole workspace and cannot be used with NAME; see 'artfs usage --help'"),
    ("undelete x:v0", 4, "x:v0 is not deleted"),
    ("undelete x:v9", 3, "x:v9 never existed"),
    (
        "rm x:v0",
        4,
        "nothing was deleted: x:v0 has the alias 'prod'; --force deletes them all the same; "
        "aliases can be moved with: artfs alias set",
    ),
    ("draft status d1", 3, "no draft 'd1' is open; list them: artfs draft ls"),
    ("put . y --remove a", 2, "--remove needs --base"),
    ("retention rm best", 3, "there is no retention rule 'best'; list them: artfs retention show"),
    (
        "config undelete-window soon",
        2,
        "'soon' is not a duration; write a number with a unit, such as 24h, 7d, 90m or 30s, or 0",
    ),
    (
        "fsck --repair --rebuild",
        2,
        "--rebuild rebuilds everything: omit --repair, and run it afterwards if needed; see 'artfs fsck --help'",
    ),
]
"""Command, exit code, and the sentence with its hint."""


@pytest.mark.parametrize(("command", "code", "sentence"), EXAMPLES, ids=[command for command, _, _ in EXAMPLES])
def test_messages(
    artfs: Run, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, code: int, sentence: str
) -> None:
    """A mistake is answered with exactly this sentence."""
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    artfs("put", data, "x", "-a", "prod")
    result = artfs(*command.split())
    refused(result, code=code)
    assert result.message == f"artfs: {sentence}\n"
