"""``describe`` and ``meta``: a version's description and metadata, changed and shown."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from messages import reported

Run = Callable[..., Any]


@pytest.fixture
def put(artfs: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    assert artfs("put", str(tmp_path / "file"), "x", "--meta", "acc=0.5", "--description", "one").code == 0


@pytest.mark.usefixtures("put")
def test_changing_and_showing(artfs: Run) -> None:
    """Each command says what it did, and the log has what changed from what to what."""
    reported(artfs("describe", "x:v0", "two"), names=["x:v0", "two"])
    reported(artfs("meta", "set", "x", "acc=0.9", 'tags:=["a"]', '{"n": 1}'), names=["acc, tags, n", "x:v0"])
    reported(artfs("meta", "rm", "x", "n"), names=["n", "x:v0", "artfs meta log x:v0"])
    log = artfs("meta", "log", "x").out.decode().splitlines()
    assert all("@" in line.split("  ")[1] for line in log)
    assert [line.split("  ", 2)[2] for line in log] == [
        "n: 1 -> removed",
        'acc: 0.5 -> 0.9, n: 1, tags: ["a"]',
        'description: "one" -> "two"',
        'created, description: "one", acc: 0.5',
    ]
    assert artfs("show", "x", "--json").json["metadata"] == {"acc": 0.9, "tags": ["a"]}


@pytest.mark.usefixtures("put")
def test_documents(artfs: Run) -> None:
    """The changes print the version's state, the log all states."""
    after = {"name": "x:v0", "description": "one", "metadata": {"acc": 0.9}}
    assert artfs("meta", "set", "x", "acc=0.9", "--json").json == after
    log = artfs("meta", "log", "x", "--json").json
    assert log["name"] == "x:v0" and [state["metadata"]["acc"] for state in log["revisions"]] == [0.9, 0.5]
    assert artfs("meta", "rm", "x", "acc", "--purge", "--json").json["metadata"] == {}
    assert artfs("describe", "x", "", "--purge", "--json").json["description"] == ""
    assert [state["description"] for state in artfs("meta", "log", "x", "--json").json["revisions"]] == [""]
    reported(artfs("describe", "x", ""), names=["x:v0", "no description"])


@pytest.mark.usefixtures("put")
def test_mistakes(artfs: Run) -> None:
    """Each names what is wrong, in one sentence, and changes nothing."""
    for words, code, names in (
        (("meta", "set", "x", "acc"), 2, ["'acc'", "KEY=VALUE"]),
        (("meta", "set", "x", "a:=["), 2, ["'a:=['"]),
        (("meta", "set", "x", "artfs.a=1"), 2, ["'artfs.a'"]),
        (("meta", "set", "x:v9", "a=1"), 3, ["x:v9"]),
        (("meta", "rm", "x", "none"), 3, ["x:v0", "'none'"]),
        (("meta", "rm", "x", "none", "--purge"), 3, ["x:v0", "'none'"]),
        (("meta", "log", "none"), 3, ["'none'"]),
        (("describe", "x:v0/file", "text"), 2, []),
        (("describe", "none", "text"), 3, ["'none'"]),
        (("meta", "set", "x"), 2, []),
    ):
        failed = artfs(*words)
        assert failed.code == code, words
        assert all(name in failed.message for name in names) and "--meta" not in failed.message, failed.message
    assert artfs("show", "x", "--json").json["metadata"] == {"acc": 0.5}
