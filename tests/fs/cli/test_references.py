"""``ref``: versions that refer to what lies outside, and what people get wrong about it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from servers.s3 import S3
from servers.web import Web

Run = Callable[..., Any]


@pytest.fixture
def bucket(s3: S3, home: Path) -> S3:
    s3.put("d/a", b"one")
    s3.put("d/sub/b", b"three")
    return s3


def test_a_bucket_from_the_first_command_on(artfs: Run, bucket: S3, tmp_path: Path) -> None:
    added = artfs("ref", "add", bucket.uri("d/"), "set", "in", "--type", "dataset", "-a", "raw", "--meta", "k=1")
    assert added.code == 0 and added.text.startswith("set:v0  2 files, 8 B, ")
    assert "created the workspace" in added.message
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
    read = artfs("cat", "set:v0/a")
    assert read.code == 5 and read.message.startswith(f"artfs: {bucket.uri('d/a')} has changed since it was logged")
    assert f"changed: a: {bucket.uri('d/a')} has changed" in artfs("show", "set").text
    (failed,) = artfs("show", "set", "--json").json["failed_references"]
    assert failed["path"] == "a" and failed["found_at"].endswith("Z")
    checked = artfs("ref", "check", "set")
    assert checked.code == 5 and checked.text.endswith("0 references unchanged, 2 not\n")
    assert f"changed: sub/b: {bucket.uri('d/sub/b')} is gone since it was logged" in checked.text
    states = artfs("ref", "check", "set", "--json")
    assert states.code == 5 and [each["state"] for each in states.json["references"]] == ["changed", "changed"]
    assert artfs("ref", "pin", "set").code == 5
    assert artfs("log", "set").text.count("v") == 1


def test_fetching_for_good(artfs: Run, bucket: S3) -> None:
    artfs("ref", "add", bucket.uri("d/"), "set")
    assert artfs("ref", "pin", "set:v0/sub").text.startswith("set:v1  2 files, 8 B, ")
    assert len(artfs("ref", "ls", "set", "--json").json["references"]) == 1
    assert artfs("ref", "pin", "set", "--json").json["version"] == "v2"
    bucket.delete("d/a")
    assert artfs("cat", "set:v2/a").text == "one"
    nothing = artfs("ref", "pin", "set")
    assert nothing.code == 3 and nothing.message == "artfs: set:v2 refers to nothing outside\n"


def test_in_drafts(artfs: Run, bucket: S3, tmp_path: Path) -> None:
    (tmp_path / "own").write_bytes(b"own")
    artfs("put", tmp_path / "own", "set")
    artfs("draft", "new", "set", "--from", "latest", "--id", "d")
    assert artfs("draft", "add", "d", bucket.uri("d/"), "in").message == "artfs: 2 references to 8 B\n"
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
    refused = artfs("rm", "team/x:v0")
    assert refused.code == 4 and "y:v0 includes team/x:v0" in refused.message
    assert artfs("ref", "add", "artfs://team/x:v0/nothing", "y").code == 3
    assert artfs("ref", "add", "artfs://none:v0", "y").code == 3


def test_settings(artfs: Run, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"own")
    artfs("put", tmp_path / "f", "x")
    assert artfs("config", "reference-cache").text == "10.0 GB\n"
    assert artfs("config", "reference-cache", "50GB").code == 0
    assert artfs("config", "reference-cache", "--json").json == {"reference_cache_bytes": 50_000_000_000}
    wrong = artfs("config", "reference-cache", "much")
    assert wrong.code == 2 and wrong.message.startswith("artfs: 'much' is not a size")


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("add", "bucket/key", "x"), 2, "is not a supported URI or an absolute path"),
        (("add", "s3://", "x"), 2, "names no bucket"),
        (("add", "/no/such/file", "x"), 3, "cannot be found"),
        (("add", "https://me:pw@host/f", "x"), 2, "holds a password"),
        (("ls", "x"), 3, "x"),
        (("check", "x"), 3, "x"),
        (("pin", "x"), 3, "x"),
    ],
)
def test_wrong_words(artfs: Run, tmp_path: Path, arguments: tuple[str, ...], code: int, says: str) -> None:
    (tmp_path / "f").write_bytes(b"own")
    artfs("put", tmp_path / "f", "there")
    wrong = artfs("ref", *arguments)
    assert (wrong.code, says in wrong.message) == (code, True), wrong.message
    assert wrong.message.count("\n") <= 2 and wrong.text == ""


def test_what_is_not_there_or_not_allowed(artfs: Run, bucket: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = artfs("ref", "add", bucket.uri("nothing/"), "x")
    assert gone.code == 3 and f"artfs: there is nothing at {bucket.uri('nothing/')}" in gone.message
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    refused = artfs("ref", "add", bucket.uri("d/"), "x")
    assert refused.code == 1 and "AWS_ACCESS_KEY_ID" in refused.message and "--anonymous" in refused.message
    put = artfs("put", bucket.uri("d/"), "x")
    assert put.code == 3 and "artfs ref add" in put.message


def test_a_server_that_is_down(artfs: Run, web: Web, home: Path) -> None:
    web.files["/f"] = b"f"
    artfs("ref", "add", f"{web.url}/f", "x")
    web.fail = 403
    checked = artfs("ref", "check", "x")
    assert checked.code == 1 and checked.text.startswith("unknown: f: ")
    assert artfs("cat", "x:v0/f").code == 1
