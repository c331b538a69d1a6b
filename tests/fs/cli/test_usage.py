"""``usage`` and ``du`` on a real workspace: the keys that scripts rely on, and numbers that agree."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]

KEYS = [
    *("logical_bytes", "stored_bytes", "manifest_bytes", "deadlist_bytes", "deadlist_entries"),
    *("condemned_bytes", "free_bytes", "other_bytes", "disk_bytes", "versions"),
    *("due_entries", "deadlist_oldest_at", "interrupted_puts", "interrupted_bytes", "interrupted_until"),
]


@pytest.fixture
def two_versions(artfs: Run, data: Path) -> None:
    artfs("put", data, "team/x", "--type", "dataset")
    (data / "more").write_bytes(bytes(range(256)) * 100)
    artfs("put", data, "team/x")


@pytest.mark.usefixtures("two_versions")
def test_usage_of_the_workspace(artfs: Run) -> None:
    document = artfs("usage", "--json").json
    assert list(document) == KEYS
    assert document["versions"] == 2 and document["logical_bytes"] > 0
    terms = ("stored", "manifest", "deadlist", "condemned", "free", "other")
    assert document["disk_bytes"] == sum(document[f"{term}_bytes"] for term in terms)
    text = artfs("usage").text
    for word in ("2 versions", "logical", "stored once", "times smaller", "disk"):
        assert word in text


@pytest.mark.usefixtures("two_versions")
def test_usage_of_an_artifact_is_by_version_and_agrees_with_du(artfs: Run) -> None:
    document = artfs("usage", "team/x", "--json").json
    rows = document["by_version"]
    assert [row["version"] for row in rows] == ["v0", "v1"]
    assert all(set(row) == {"version", "logical", "alone", "unique", "attributed"} for row in rows)
    assert sum(row["attributed"] for row in rows) == artfs("usage", "--json").json["stored_bytes"]
    for row in rows:
        use = artfs("du", f"team/x:{row['version']}", "--json").json
        assert {key: use[key] for key in row} == row
        shown = artfs("show", f"team/x:{row['version']}", "--json").json
        assert use["files"] > 0 and use["bytes"] == use["logical"] == shown["bytes"] > 0
    assert sum(row["logical"] for row in rows) == document["logical_bytes"], "one word has one meaning"
    assert rows[0]["unique"] < 1000, "all of v0 is in v1 too, but for its root's record"
    lines = artfs("usage", "team/x").text.splitlines()
    assert lines[0].split() == ["VERSION", "LOGICAL", "ALONE", "UNIQUE", "ATTRIBUTED"] and len(lines) == 5
    assert "freed if only it is deleted" in artfs("du", "team/x").text


@pytest.mark.usefixtures("two_versions")
@pytest.mark.parametrize(("by", "name"), [("type", "dataset"), ("project", "team")])
def test_usage_is_divided(artfs: Run, by: str, name: str) -> None:
    groups = artfs("usage", "--by", by, "--json").json[f"by_{by}"]
    assert [group[by] for group in groups] == [name, "[drafts]"], "the remainder is a row, empty or not"
    assert name in artfs("usage", "--by", by).text
