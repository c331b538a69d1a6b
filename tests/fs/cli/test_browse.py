"""``ls``, ``cat`` and ``get`` on a real workspace."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from messages import missing, refused

Run = Callable[..., Any]


def test_ls_lists_artifacts_with_type_latest_and_count(artfs: Run, data: Path) -> None:
    artfs("put", data, "team/digits", "--type", "dataset")
    artfs("put", data, "team/digits", "--new")
    artfs("put", data, "alone")
    records = artfs("ls", "--json").json["artifacts"]
    digits = next(record for record in records if record["name"] == "team/digits")
    assert digits | {"created_at": "", "description": ""} == {
        "name": "team/digits",
        "type": "dataset",
        "description": "",
        "latest": "v1",
        "versions": 2,
        "created_at": "",
    }
    rows = [line.split() for line in artfs("ls").text.splitlines()]
    assert ["team/digits", "dataset", "v1", "2"] in rows and ["alone", "-", "v0", "1"] in rows
    assert [line.split()[0] for line in artfs("ls", "team").text.splitlines()] == ["team/digits"]


def test_ls_of_a_name_lists_its_versions(artfs: Run, data: Path) -> None:
    artfs("put", data, "x", "-a", "clean")
    artfs("put", data, "x", "--new")
    document = artfs("ls", "x", "--json").json
    assert document["artifact"] == "x"
    assert [version["version"] for version in document["versions"]] == ["v0", "v1"]
    lines = artfs("ls", "x").text.splitlines()
    assert lines[0].startswith("v0 ") and lines[0].endswith("clean") and lines[1].endswith("latest")
    assert document["versions"][1]["digest"][:12] in artfs("ls", "-l", "x").text


def test_ls_of_a_version_lists_files(artfs: Run, data: Path) -> None:
    artfs("put", data, "x")
    assert artfs("ls", "x:latest").text.splitlines() == ["empty", "link", "run.sh", "train/"]
    assert artfs("ls", "x:v0/train").text.splitlines() == ["a.txt", "b.bin"]
    assert artfs("ls", "x:v0/train/a.txt").text == "a.txt\n"
    document = artfs("ls", "x:v0/train", "--json").json
    assert (document["artifact"], document["version"], document["path"]) == ("x", "v0", "train")
    assert [(file["name"], file["kind"], file["size"]) for file in document["files"]] == [
        ("a.txt", "file", 1000),
        ("b.bin", "file", 10240),
    ]
    (data / "run.sh").chmod(0o750)
    (data / "train").chmod(0o711)
    os.utime(data / "empty", (0, 86_400))
    artfs("put", data, "x", "--new")
    long_ = artfs("ls", "-l", "x:v1").text
    assert "link -> train/a.txt" in long_
    assert re.search(r"^-rwxr-x---.* run\.sh$", long_, re.M) and re.search(r"^drwx--x--x.* train/$", long_, re.M)
    assert re.search(r"^-rw-r--r-- .* 1970-01-02T00:00:00Z  empty$", long_, re.M)


def test_names_of_any_bytes_are_listed_and_read(artfs: Run, artfs_process: Run, data: Path) -> None:
    raw = b"caf\xe9\n\x1b[31m"
    (data / os.fsdecode(raw)).write_bytes(b"found")
    artfs("put", data, "x")
    assert '"caf\\xe9\\n\\x1b[31m"' in artfs("ls", "x:v0").text.splitlines()
    for locale in ("C", "C.UTF-8"):
        listed = artfs_process("ls", "x:v0", "--json", environment={"LC_ALL": locale})
        assert listed.out.isascii()
        names = [file["name"].encode("utf-8", "surrogateescape") for file in listed.json["files"]]
        assert raw in names
        assert artfs_process("cat", b"x:v0/" + raw, environment={"LC_ALL": locale}).out == b"found"


def test_cat_writes_bytes_unchanged_and_several_in_order(artfs: Run, data: Path) -> None:
    artfs("put", data, "x")
    binary = (data / "train" / "b.bin").read_bytes()
    assert artfs("cat", "x:v0/train/b.bin").out == binary
    assert artfs("cat", "x:v0/train/b.bin", "x:v0/empty", "x:latest/run.sh").out == binary + b"#!/bin/sh\n"


def test_cat_into_a_closed_pipe_is_quiet(artfs: Run, tmp_path: Path) -> None:
    (tmp_path / "big").mkdir()
    (tmp_path / "big" / "file").write_bytes(bytes(8 << 20))
    artfs("put", tmp_path / "big", "x")
    script = '"$0" -m artfs cat x:v0/file | head -c 1 >/dev/null; echo ${PIPESTATUS[0]}'
    done = subprocess.run(["bash", "-c", script, sys.executable], capture_output=True, timeout=60)
    assert (done.stdout, done.stderr) == (b"141\n", b"")


def test_get_copies_a_version_and_refuses_to_replace(artfs: Run, data: Path, tmp_path: Path) -> None:
    artfs("put", data, "x")
    dest = tmp_path / "dest"
    copied = artfs("get", "x:v0", dest, "--json")
    assert copied.code == 0 and copied.json["skipped"] == 0 and copied.json["dest"] == str(dest)
    assert subprocess.run(["diff", "-r", "--no-dereference", data, dest]).returncode == 0
    assert os.access(dest / "run.sh", os.X_OK)
    (dest / "train" / "a.txt").write_text("mine")
    (dest / "own").write_text("kept")
    refused(artfs("get", "x:v0", dest), code=4, names=["'train/a.txt'", str(dest), "--overwrite"])
    assert (dest / "train" / "a.txt").read_text() == "mine"
    assert artfs("get", "x:v0", dest, "--overwrite").code == 0
    assert (dest / "train" / "a.txt").read_text() == "a" * 1000 and (dest / "own").read_text() == "kept"


def test_get_takes_a_part(artfs: Run, data: Path, tmp_path: Path) -> None:
    artfs("put", data, "x")
    assert artfs("get", "x:v0", tmp_path / "dest", "--path", "train").code == 0
    found = sorted(path.name for path in (tmp_path / "dest").rglob("*") if path.is_file())
    assert found == ["a.txt", "b.bin"]


def test_warm_tells_what_it_read(artfs: Run, data: Path) -> None:
    artfs("put", data, "x")
    document = artfs("warm", "x:v0", "--json").json
    assert document["files"] > 1 and document["bytes"] > 0
    assert not missing(artfs("warm", "x").text, [f"{document['files']} files"])
    part = artfs("warm", "x", next(name for name in sorted(os.listdir(data))), "--json").json
    assert part["files"] < document["files"]
    refused(artfs("warm", "x", "absent"), code=3, names=["'absent'"])
