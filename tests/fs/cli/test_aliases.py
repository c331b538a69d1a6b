"""``alias`` and ``tag`` on a real workspace."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from messages import refused, reported

Run = Callable[..., Any]


@pytest.fixture
def two_versions(artfs: Run, data: Path) -> None:
    artfs("put", data, "x")
    artfs("put", data, "x", "--new")


@pytest.mark.usefixtures("two_versions")
def test_aliases_are_set_moved_listed_and_removed(artfs: Run) -> None:
    done = artfs("alias", "set", "x:v0", "production", "clean", "--json")
    assert done.json == {"artifact": "x", "version": "v0", "aliases": ["production", "clean"]}
    moved = artfs("alias", "set", "x", "production")
    reported(moved, names=["x:production", "v1"])
    assert moved.out == b""
    assert artfs("alias", "ls", "x").text == "clean       v0\nlatest      v1\nproduction  v1\n"
    assert artfs("alias", "ls", "x", "--json").json == {
        "artifact": "x",
        "aliases": [
            {"alias": "clean", "version": "v0"},
            {"alias": "latest", "version": "v1"},
            {"alias": "production", "version": "v1"},
        ],
    }
    assert artfs("alias", "rm", "x", "clean", "--json").json == {"artifact": "x", "removed": ["clean"]}
    assert artfs("show", "x:clean").code == 3


@pytest.mark.usefixtures("two_versions")
def test_tags_are_added_listed_and_removed(artfs: Run) -> None:
    assert artfs("tag", "add", "x:v0", "reviewed", "small", "--json").json == {
        "artifact": "x",
        "version": "v0",
        "tags": ["reviewed", "small"],
    }
    reported(artfs("tag", "add", "x:v1", "reviewed"), names=["x:v1", "reviewed"])
    assert artfs("tag", "ls", "x:v0").text == "reviewed\nsmall\n"
    assert artfs("tag", "rm", "x:v0", "small").code == 0
    assert artfs("tag", "ls", "x:v0", "--json").json["tags"] == ["reviewed"]
    assert "[reviewed]" in artfs("log", "x").text


@pytest.mark.usefixtures("two_versions")
def test_protected_aliases_take_force(artfs: Run) -> None:
    artfs("alias", "set", "x:v0", "production")
    assert artfs("config", "protected-aliases").text == "none\n"
    reported(artfs("config", "protected-aliases", "production, release-*"), names=["production,release-*"])
    assert artfs("config", "--json").json["protected_aliases"] == ["production", "release-*"]
    remedies = ["'artfs alias set --force'", "'artfs alias rm --force'"]
    refused(artfs("alias", "set", "x:v1", "production"), code=4, names=["'production'", "'x'", *remedies])
    assert artfs("alias", "rm", "x", "production").code == artfs("rm", "--force", "x:v0").code == 4
    assert artfs("alias", "set", "x:v1", "production", "--force").code == 0
    assert artfs("alias", "rm", "x", "production", "-f").code == 0
    reported(artfs("config", "protected-aliases", "none"), names=["protected-aliases", "none"])


def test_when_aliases_moved(artfs: Run, data: Path) -> None:
    artfs("put", data, "x", "-a", "good")
    (data / "more").write_bytes(b"more")
    artfs("put", data, "x", "--type", "dataset")
    artfs("alias", "set", "x:v1", "good", "best")
    artfs("alias", "set", "x:v1", "good")  # no change
    artfs("alias", "rm", "x", "best")
    artfs("artifact", "rename", "x", "y")
    changes = artfs("alias", "log", "y", "--json").json["changes"]
    said = [(one["alias"], one["version"]) for one in changes]
    assert said == [("best", None), ("best", "v1"), ("good", "v1"), ("good", "v0")]
    assert all(one["at"].endswith("Z") for one in changes)
    lines = artfs("alias", "log", "y", "best").text.splitlines()
    assert [line.split()[1:] for line in lines] == [["best", "-"], ["best", "v1"]]
    artfs("rm", "y:v1", "--force")
    assert artfs("alias", "log", "y", "--json").json["changes"][0]["alias"] == "good"
    artfs("undelete", "y:v1")
    assert artfs("alias", "log", "y", "good", "--json").json["changes"][0]["version"] == "v1"
    assert artfs("alias", "log", "nothing").code == 3
