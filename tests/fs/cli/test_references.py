"""``ref``: versions that refer to what lies outside, and what people get wrong about it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from messages import missing, refused, reported
from reasons import has_reason
from servers.s3 import S3
from servers.web import Web

Run = Callable[..., Any]


@pytest.fixture
def bucket(s3: S3, home: Path) -> S3:
    s3.put("d/a", b"one")
    s3.put("d/sub/b", b"three")
    return s3


def test_a_bucket_from_the_first_command_on(artfs: Run, bucket: S3, home: Path, tmp_path: Path) -> None:
    added = artfs("ref", "add", bucket.uri("d/"), "set", "in", "--type", "dataset", "-a", "raw", "--meta", "k=1")
    assert added.text.startswith("set:v0  2 files, 8 B, ")
    reported(added, names=[str(home / "workspace")])
    assert artfs("cat", "set:raw/in/sub/b").text == "three"
    listed = artfs("ref", "ls", "set")
    assert bucket.uri("d/sub/b") in listed.text and "in/sub/b" in listed.text
    (first, second) = artfs("ref", "ls", "set:v0", "--json").json["references"]
    assert (first["path"], first["size"], first["uri"]) == ("in/a", 3, bucket.uri("d/a"))
    assert second["endpoint"] == bucket.endpoint and second["etag"] and not second["anonymous"]
    assert artfs("ref", "check", "set").text == "2 references unchanged, 0 not\n"
    assert artfs("get", "set", tmp_path / "copy").code == 0
    assert (tmp_path / "copy" / "in" / "a").read_bytes() == b"one"
    assert artfs("ref", "add", bucket.uri("d/"), "set", "in").text.startswith("set:v0  unchanged")


def test_what_has_changed(artfs: Run, bucket: S3) -> None:
    artfs("ref", "add", bucket.uri("d/"), "set")
    bucket.put("d/a", b"two")
    bucket.delete("d/sub/b")
    refused(artfs("cat", "set:v0/a"), code=5, names=[bucket.uri("d/a")], reason="changed outside")
    (changed,) = [line for line in artfs("show", "set").text.splitlines() if "changed: a: " in line]
    assert not missing(changed, [bucket.uri("d/a")]) and has_reason(changed, "changed outside")
    (failed,) = artfs("show", "set", "--json").json["failed_references"]
    assert failed["path"] == "a" and failed["found_at"].endswith("Z")
    checked = artfs("ref", "check", "set")
    assert checked.code == 5 and checked.text.endswith("0 references unchanged, 2 not\n")
    (gone,) = [line for line in checked.text.splitlines() if line.startswith("changed: sub/b: ")]
    assert not missing(gone, [bucket.uri("d/sub/b")]) and has_reason(gone, "gone outside")
    states = artfs("ref", "check", "set", "--json")
    assert states.code == 5 and [each["state"] for each in states.json["references"]] == ["changed", "changed"]
    assert artfs("ref", "pin", "set").code == 5
    assert len(artfs("log", "set").text.splitlines()) == 1


def test_fetching_for_good(artfs: Run, bucket: S3) -> None:
    artfs("ref", "add", bucket.uri("d/"), "set")
    assert artfs("ref", "pin", "set:v0/sub").text.startswith("set:v1  2 files, 8 B, ")
    assert len(artfs("ref", "ls", "set", "--json").json["references"]) == 1
    assert artfs("ref", "pin", "set", "--json").json["version"] == "v2"
    bucket.delete("d/a")
    assert artfs("cat", "set:v2/a").text == "one"
    refused(artfs("ref", "pin", "set"), code=3, names=["set:v2"], reason="no references")


def test_in_drafts(artfs: Run, bucket: S3, tmp_path: Path) -> None:
    (tmp_path / "own").write_bytes(b"own")
    artfs("put", tmp_path / "own", "set")
    artfs("draft", "new", "set", "--from", "latest", "--id", "d")
    reported(artfs("draft", "add", "d", bucket.uri("d/"), "in"), names=["2 references", "8 B"])
    assert artfs("draft", "add", "d", bucket.uri("d/a"), "--json").json == {"id": "d", "files": 1, "bytes": 3}
    assert artfs("draft", "commit", "d").text.startswith("set:v1  4 files, 14 B, ")
    assert artfs("cat", "set:v1/a").text == "one"


def test_files_of_this_machine(artfs: Run, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"own")
    assert artfs("ref", "add", tmp_path / "f", "x", "--no-checksum").code == 0
    assert artfs("ref", "add", tmp_path / "f", "x", "--json").json["version"] == "v1"
    assert artfs("cat", "x:v0/f").text == artfs("cat", "x:v1/f").text == "own"


def test_another_version(artfs: Run, tmp_path: Path) -> None:
    (tmp_path / "d" / "sub").mkdir(parents=True)
    (tmp_path / "d" / "sub" / "f").write_bytes(b"own")
    artfs("put", tmp_path / "d", "team/x")
    assert artfs("ref", "add", "artfs://team/x:v0", "y").text.startswith("y:v0  1 file, 3 B, ")
    assert artfs("cat", "y:v0/x/sub/f").text == "own"
    assert artfs("ref", "add", "artfs://team/x:latest/sub/f", "y", "in/g", "--base", "latest").code == 0
    assert artfs("cat", "y:v1/in/g").text == "own"
    refused(artfs("rm", "team/x:v0"), code=4, names=["y:v0", "team/x:v0", "--cascade"], reason="included")
    assert artfs("ref", "add", "artfs://team/x:v0/nothing", "y").code == 3
    assert artfs("ref", "add", "artfs://none:v0", "y").code == 3


def test_settings(artfs: Run, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"own")
    artfs("put", tmp_path / "f", "x")
    assert artfs("config", "reference-cache").text == "10.0 GB\n"
    assert artfs("config", "reference-cache", "50GB").code == 0
    assert artfs("config", "reference-cache", "--json").json == {"reference_cache_bytes": 50_000_000_000}
    refused(artfs("config", "reference-cache", "much"), code=2, names=["'much'"])


@pytest.mark.parametrize(
    ("arguments", "code", "names"),
    [
        (("add", "bucket/key", "x"), 2, ["'bucket/key'", "s3://"]),
        (("add", "s3://", "x"), 2, ["'s3://'", "s3://BUCKET/KEY"]),
        (("add", "/no/such/file", "x"), 3, ["'/no/such/file'"]),
        (("add", "https://me:pw@host/f", "x"), 2, ["host"]),
        (("ls", "x"), 3, ["'x'"]),
        (("check", "x"), 3, ["'x'"]),
        (("pin", "x"), 3, ["'x'"]),
    ],
)
def test_wrong_words(artfs: Run, tmp_path: Path, arguments: tuple[str, ...], code: int, names: list[str]) -> None:
    (tmp_path / "f").write_bytes(b"own")
    artfs("put", tmp_path / "f", "there")
    wrong = artfs("ref", *arguments)
    refused(wrong, code=code, names=names)
    assert wrong.text == "" and "pw" not in wrong.message


def test_what_is_not_there_or_not_allowed(artfs: Run, bucket: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    artfs("init")
    refused(
        artfs("ref", "add", bucket.uri("nothing/"), "x"), code=3, names=[bucket.uri("nothing/")], reason="nothing there"
    )
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    refused(artfs("ref", "add", bucket.uri("d/"), "x"), code=1, names=["AWS_ACCESS_KEY_ID", "--anonymous"])
    refused(artfs("put", bucket.uri("d/"), "x"), code=3, names=[bucket.uri("d/"), "artfs ref add"])


@pytest.mark.parametrize("name", ["password", "token", "access_token", "api_key", "private_token"])
def test_secrets_are_refused_and_those_allowed_are_not_shown(artfs: Run, web: Web, home: Path, name: str) -> None:
    web.files[f"/f?{name}=hunter2"] = b"content"
    uri = f"{web.url}/f?{name}=hunter2"
    refusal = artfs("ref", "add", uri, "x")
    refused(refusal, code=2, names=[name, "--allow-query"], reason="secret in an address")
    added = artfs("ref", "add", uri, "x", "--allow-query")
    listed = artfs("ref", "ls", "x")
    document = artfs("ref", "ls", "x", "--json").json
    assert f"{web.url}/f?{name}=***" in listed.text and document["references"][0]["uri"].endswith("=***")
    assert artfs("cat", "x:v0/f").text == "content"
    web.files.clear()
    web.fail = 500
    failures = [artfs("ref", "check", "x"), artfs("ref", "pin", "x"), artfs("put", uri, "y")]
    for result in (refusal, added, listed, *failures):
        assert "hunter2" not in result.text + result.message


def test_a_private_address_is_allowed_once_for_this_user(
    artfs: Run, web: Web, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ARTFS_REFERENCE_ROOTS")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "mine"))
    web.files["/f"] = b"content"
    uri = f"{web.url}/f"
    artfs("init")
    refused(artfs("ref", "add", uri, "x"), code=1, names=[uri, "127.0.0.1", "--allow-private"])
    assert web.asked == []
    assert artfs("ref", "add", "--allow-private", uri, "x").code == 0
    assert artfs("cat", "x:v0/f").text == "content"
    assert (tmp_path / "mine" / "artfs" / "reference-roots").read_text() == f"{web.url}\n"
    assert artfs("ref", "check", "x").code == 0


def test_a_server_that_is_down(artfs: Run, web: Web, home: Path) -> None:
    web.files["/f"] = b"f"
    artfs("ref", "add", f"{web.url}/f", "x")
    web.fail = 403
    checked = artfs("ref", "check", "x")
    assert checked.code == 1 and checked.text.startswith("unknown: f: ")
    assert artfs("cat", "x:v0/f").code == 1
