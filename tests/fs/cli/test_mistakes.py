"""What a person gets wrong is answered by one sentence and the right exit code, in text and in JSON."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from messages import missing, refused

Run = Callable[..., Any]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("show", "nothing"), 3),
        (("show", "x:v9"), 3),
        (("show", "x:nosuch"), 3),
        (("log", "nothing"), 3),
        (("diff", "x:v0", "x:v7"), 3),
        (("ls", "nothing"), 3),
        (("ls", "x:v0/nothing"), 3),
        (("cat", "x:v0/nothing"), 3),
        (("cat", "x:v0"), 2),
        (("get", "nothing", "dest"), 3),
        (("du", "nothing"), 3),
        (("usage", "nothing"), 3),
        (("alias", "ls", "nothing"), 3),
        (("alias", "set", "nothing", "a"), 3),
        (("alias", "set", "x", "v3"), 2),
        (("alias", "set", "x", "latest"), 2),
        (("alias", "rm", "x", "nothing"), 3),
        (("tag", "ls", "nothing"), 3),
        (("artifact", "set-type", "nothing", "model"), 3),
        (("path", "nothing"), 3),
        (("put", "no/such/folder", "x"), 3),
        (("put", ".", "bad:name"), 2),
        (("put", ".", "x", "-a", "v12"), 2),
        (("usage", "x", "--by", "type"), 2),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else str(value),
)
def test_mistakes_have_their_exit_code_and_one_sentence(
    artfs: Run, data: Path, arguments: tuple[str, ...], code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    artfs("put", data, "x")
    result = artfs(*arguments)
    refused(result, code=code)
    assert result.out == b""
    if arguments[0] != "cat":
        failure = artfs(*arguments, "--json")
        assert failure.code == code and set(failure.json["error"]) == {"kind", "message", "hint"}


@pytest.mark.parametrize("command", ["ls", "show x", "log x", "diff x y", "cat x:v0/a", "du x", "usage", "status"])
def test_reading_without_a_workspace_exits_3_and_names_the_command(artfs: Run, command: str) -> None:
    result = artfs(*command.split())
    refused(result, code=3)
    assert len(missing(result.message, ["artfs put", "artfs init"])) < 2
