"""``retention`` on a real workspace: rules, plans, ends, and what people get wrong."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from messages import missing, refused, reported
from reasons import has_reason

Run = Callable[..., Any]


@pytest.fixture
def models(artfs: Run, tmp_path: Path) -> None:
    """Four versions of a model and one of a data set."""
    for number, accuracy in enumerate([0.5, 0.9, 0.7, 0.6]):
        (tmp_path / "weights").write_bytes(b"%d" % number * 1000)
        artfs("put", tmp_path / "weights", "team/net", "--type", "model", "--meta", f"acc={accuracy}")
    artfs("put", tmp_path / "weights", "data")


@pytest.mark.usefixtures("models")
def test_from_a_rule_to_a_deletion(artfs: Run) -> None:
    done = artfs("retention", "set", "best", "--type", "model", "--keep-best", "1:acc")
    reported(done, names=["best", "model", "1", "acc", "'artfs retention plan'"])
    assert artfs("retention", "show").text == "best  for type model, keep the best 1 by acc\n"
    plan = artfs("retention", "plan").text.splitlines()
    assert [line.split()[:2] for line in plan[:4]] == [
        ["keep", "data:v0"],
        ["keep", "team/net:v3"],
        ["expire", "team/net:v2"],
        ["keep", "team/net:v1"],
    ]
    assert has_reason(plan[0], "no rule") and has_reason(plan[1], "latest version")
    assert not missing(plan[2], ["best"]) and has_reason(plan[2], "kept no longer")
    assert not missing(plan[3], ["best", "1 of 1", "acc", "0.9"])
    assert not missing(plan[5], ["2 versions", "5"])
    assert len(artfs("retention", "plan", "--going").text.splitlines()) == 3
    dry = artfs("retention", "apply", "--dry-run")
    assert dry.text == "team/net:v2\nteam/net:v0\n"
    reported(dry, names=["2 versions"])
    done = artfs("retention", "apply")
    assert done.text == "team/net:v2\nteam/net:v0\n"
    reported(done, names=["2 versions"])
    assert re.search(r"undelete.* 20\d\d-\d\d-\d\dT", done.message) and not re.search("20..-..-..T", dry.message)
    assert [line for line in artfs("log", "team/net").text.splitlines() if has_reason(line, "kept no longer")]
    assert artfs("undelete", "team/net:v2").code == 0
    reported(artfs("retention", "rm", "best"), names=["best"])
    assert artfs("retention", "show").text == ""


@pytest.mark.usefixtures("models")
def test_in_json(artfs: Run) -> None:
    said = artfs(
        *("retention", "set", "r", "--project", "team", "--artifact", "team/*", "--tag", "t", "--meta", "k=1"),
        *("--keep-last", "2", "--keep-within", "90d", "--keep-best", "5:loss:min", "--keep-hourly", "1"),
        *("--keep-daily", "2", "--keep-weekly", "3", "--keep-monthly", "4", "--keep-yearly", "5"),
        *("--keep-alias", "prod*", "--keep-tag", "good", "--keep-all", "--aliased", "--json"),
    ).json
    assert said == {
        "name": "r", "project": "team", "artifact": "team/*", "tag": "t", "metadata": {"k": 1}, "last": 2,
        "within": 7776000.0, "best": 5, "field": "loss", "lowest": True, "hourly": 1, "daily": 2, "weekly": 3,
        "monthly": 4, "yearly": 5, "aliases": ["prod*"], "tags": ["good"], "everything": True, "aliased": True,
    }  # fmt: skip
    assert artfs("retention", "show", "--json").json == {"rules": [said]}
    artfs("retention", "set", "r", "--type", "model", "--keep-last", "3")
    plan = artfs("retention", "plan", "--json").json
    assert plan["expiring"] == 1 and plan["freed_bytes"] > 0 and len(plan["versions"]) == 5
    assert plan["versions"][-1] == {
        "name": "team/net:v0", "artifact": "team/net", "version": "v0", "expires": True,
        "reasons": ["r: not among the last 3"], "rules": ["r"],
    }  # fmt: skip
    done = artfs("retention", "apply", "--json").json
    assert done["versions"] == ["team/net:v0"] and done["freed_bytes"] == plan["freed_bytes"]
    assert done["due_at"] and not done["dry_run"] and done["kept"] == []
    shown = artfs("show", "team/net:v0", "--json")
    assert shown.code == 3
    (gone,) = [one for one in artfs("log", "team/net", "--json").json["versions"] if one["version"] == "v0"]
    assert gone["deleted_reason"].startswith("r: ") and has_reason(gone["deleted_reason"], "kept no longer")
    assert artfs("retention", "rm", "r", "--json").json == {"removed": "r"}


@pytest.mark.usefixtures("models")
def test_ends(artfs: Run, tmp_path: Path) -> None:
    reported(artfs("retention", "ttl", "data:v0", "30d"), names=["data:v0"])
    assert "expires at" in artfs("show", "data").text
    artfs("alias", "set", "data:v0", "kept")
    reported(artfs("retention", "ttl", "data", "1h"), names=["data:v0", "'kept'"])
    expires = artfs("retention", "ttl", "data:v0", "2h", "--json").json
    assert expires["name"] == "data:v0" and expires["expires_at"] == artfs("show", "data", "--json").json["expires_at"]
    reported(artfs("retention", "ttl", "data:v0", "none"), names=["data:v0"])
    assert artfs("show", "data", "--json").json["expires_at"] is None
    assert artfs("put", tmp_path / "weights", "tmp", "--ttl", "12h").code == 0
    assert artfs("show", "tmp", "--json").json["expires_at"]


@pytest.mark.parametrize(
    ("arguments", "code", "names"),
    [
        (("set", "r"), 2, ["'r'", "--keep-last"]),
        (("set", "r", "--keep-last", "0"), 2, ["--keep-last"]),
        (("set", "r", "--keep-within", "soon"), 2, ["'soon'"]),
        (("set", "r", "--keep-best", "acc"), 2, ["'acc'", "N:FIELD"]),
        (("set", "r", "--keep-best", "0:acc"), 2, ["'0:acc'", "N:FIELD"]),
        (("set", "r", "--keep-best", "3:"), 2, ["'3:'", "N:FIELD"]),
        (("set", "a/b", "--keep-last", "1"), 2, ["'a/b'", '"/"']),
        (("rm", "none"), 3, ["'none'", "artfs retention show"]),
        (("ttl", "data:v9", "1d"), 3, ["data:v9"]),
        (("ttl", "data:v0", "0"), 2, []),
        (("ttl", "data:v0", "yesterday"), 2, ["'yesterday'"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_mistakes(artfs: Run, data: Path, arguments: tuple[str, ...], code: int, names: list[str]) -> None:
    artfs("put", data, "data")
    done = artfs("retention", *arguments)
    refused(done, code=code, names=names)
    assert done.out == b""
