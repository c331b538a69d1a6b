"""``config``: lengths of time and rates as people write them, and settings that stay."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artfs.cli.config import parse_rate
from artfs.cli.times import parse_duration
from artfs.legible import written_duration
from artstore.errors import InvalidInputError
from messages import refused, reported

Run = Callable[..., Any]


def test_settings_are_shown_and_changed(artfs: Run, data: Path) -> None:
    artfs("put", data, "x")
    assert artfs("config").text.splitlines() == [
        "undelete-window        24h",
        "reap-bytes-per-second  unlimited",
        "reap-nodes-per-second  unlimited",
        "protected-aliases      none",
        "reference-cache        10.0 GB",
        "record-origin          all",
    ]
    changed = artfs("config", "undelete-window", "7d")
    reported(changed, names=["undelete-window", "7d"])
    assert changed.out == b""
    assert artfs("config", "reap-bytes-per-second", "100MB", "--json").json == {"reap_bytes_per_second": 10**8}
    reported(artfs("config", "reap-nodes-per-second", "5000"), names=["reap-nodes-per-second", "5,000"])
    assert artfs("config", "undelete-window").text == "7d\n"
    assert artfs("config", "--json").json == {
        "undelete_seconds": 7 * 86400.0,
        "reap_bytes_per_second": 10**8,
        "reap_nodes_per_second": 5000,
        "protected_aliases": [],
        "reference_cache_bytes": 10_000_000_000,
        "record_origin": True,
    }
    reported(artfs("config", "record-origin", "none"), names=["record-origin", "none"])
    assert artfs("config", "record-origin").text == "none\n"
    refused(artfs("config", "record-origin", "off"), code=2, names=["'off'", "all", "none"])


def test_a_window_of_none_makes_deletions_final(artfs: Run, data: Path) -> None:
    artfs("put", data, "x")
    artfs("config", "undelete-window", "0")
    deleted = artfs("rm", "x:v0", "--json").json
    assert deleted["due_at"] is None
    assert artfs("undelete", "x:v0").code == 3
    assert artfs("usage", "--json").json["deadlist_entries"] == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("no-such-key",),
        ("undelete-window", "soon"),
        ("undelete-window", "24"),
        ("undelete-window", "-1h"),
        ("undelete-window", "9" * 400 + "d"),
        ("undelete-window", ""),
        ("reap-bytes-per-second", "fast"),
        ("reap-bytes-per-second", "-5"),
        ("reap-bytes-per-second", "0.5"),
        ("reap-nodes-per-second", "9" * 400),
        ("reap-nodes-per-second", "999999TB"),
    ],
)
def test_what_cannot_be_is_wrong_usage_and_changes_nothing(artfs: Run, data: Path, arguments: tuple[str, ...]) -> None:
    artfs("put", data, "x")
    before = artfs("config", "--json").json
    result = artfs("config", *(("--", *arguments)))
    refused(result, code=2)
    assert result.out == b""
    assert artfs("config", "--json").json == before


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("24h", 86400), ("7d", 604800), ("90m", 5400), ("1d12h", 129600), ("1.5h", 5400), ("2w", 1209600)],
)
def test_lengths_of_time_are_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@given(st.one_of(st.integers(0, 10**10), st.floats(0.001, 10**7)))
def test_a_length_of_time_that_is_written_is_read_again(seconds: float) -> None:
    assert parse_duration(written_duration(seconds)) == pytest.approx(seconds, rel=1e-12)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("unlimited", 0),
        ("0", 0),
        ("5000", 5000),
        ("100MB", 10**8),
        ("1.5k", 1500),
        ("64MiB", 64 << 20),
        ("1 GB", 10**9),
    ],
)
def test_rates_are_read(text: str, number: int) -> None:
    assert parse_rate(text) == number


def test_a_rate_of_less_than_one_is_refused() -> None:
    with pytest.raises(InvalidInputError):
        parse_rate("0.9")


def test_where_references_may_lead(artfs: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list of the user's, which needs no workspace; others' references to files are refused until it has them."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "mine"))
    monkeypatch.setenv("ARTFS_REFERENCE_ROOTS", "")
    file = str(tmp_path / "mine" / "artfs" / "reference-roots")
    assert artfs("config", "reference-roots").out == b""
    (tmp_path / "notes").write_text("secret")
    assert artfs("ref", "add", tmp_path / "notes", "x").code == 0
    assert artfs("config", "reference-roots", "ls").text == f"file://{tmp_path}/notes\n"
    reported(artfs("config", "reference-roots", "rm", tmp_path / "notes"), names=["0", file])
    refused(artfs("cat", "x:v0/notes"), code=4, names=[f"file://{tmp_path}/notes", "artfs config reference-roots add"])
    refused(artfs("ref", "pin", "x"), code=4, names=[f"file://{tmp_path}/notes"])
    reported(artfs("config", "reference-roots", "add", tmp_path, "http://lab:8080"), names=["2", file])
    assert artfs("cat", "x:v0/notes").text == "secret"
    assert artfs("config", "reference-roots", "--json").json == {
        "file": file,
        "roots": [f"file://{tmp_path}", "http://lab:8080"],
    }
    refused(artfs("config", "reference-roots", "rm", "/elsewhere"), code=3, names=["'/elsewhere'"])
    refused(artfs("config", "reference-roots", "add", "junk"), code=2, names=["'junk'"])
    for wrong in (("rm",), ("ls", "x"), ("frob", "x")):
        assert artfs("config", "reference-roots", *wrong).code == 2
    refused(artfs("config", "undelete-window", "1h", "2h"), code=2, names=["undelete-window", "2h"])


def test_the_cache_of_remotes(artfs: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its limit is the user's, whatever the workspace; a size is needed."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    folder = str(tmp_path / "xdg" / "artfs" / "remote")
    assert artfs("config", "cache").text == f"0 B of at most 10.0 GB in {folder}\n"
    reported(artfs("config", "cache", "500MB"), names=["500.0 MB"])
    assert artfs("config", "cache", "--json").json == {
        "path": folder,
        "bytes": 0,
        "limit_bytes": 500_000_000,
    }
    for wrong in (["much"], ["1GB", "2GB"]):
        assert artfs("config", "cache", *wrong).code == 2
