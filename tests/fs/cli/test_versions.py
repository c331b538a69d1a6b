"""``init``, ``put``, ``show``, ``log``, ``diff`` and ``artifact set-type`` on a real workspace."""

from __future__ import annotations

import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]

ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


def test_init_makes_a_workspace_once(artfs: Run, tmp_path: Path) -> None:
    place = tmp_path / "here"
    first = artfs("init", place, "--json")
    assert first.code == 0
    assert first.json | {"uuid": ""} == {"workspace": str(place), "uuid": "", "created": True, "default": False}
    again = artfs("init", place, "--json")
    assert (again.code, again.json["created"], again.json["uuid"]) == (0, False, first.json["uuid"])


def test_init_default_is_found_without_being_named(
    artfs: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: Path
) -> None:
    monkeypatch.delenv("ARTFS_WORKSPACE")
    place = tmp_path / "chosen"
    assert artfs("init", place, "--default").code == 0
    assert artfs("put", data, "x").code == 0
    assert artfs("-w", place, "ls").text.startswith("x ")


def test_init_refuses_a_folder_with_something_else_in_it(artfs: Run, data: Path) -> None:
    result = artfs("init", data, "--json")
    assert result.code != 0 and result.json["error"]["message"]
    assert (data / "train" / "a.txt").exists()


def test_the_first_put_makes_the_workspace_and_says_so(artfs: Run, data: Path, home: Path) -> None:
    result = artfs("put", data, "imagenet", "--json")
    assert result.code == 0
    assert result.message == f"artfs: made the workspace {home / 'workspace'}\n"
    assert list(result.json) == ["artifact", "version", "digest", "created", "files", "bytes", "new_bytes"]
    assert result.json["artifact"] == "imagenet" and result.json["version"] == "v0" and result.json["created"] is True
    assert len(result.json["digest"]) == 64 and result.json["new_bytes"] > 0
    again = artfs("put", data, "imagenet", "--json")
    assert again.json == result.json | {"created": False, "new_bytes": 0}
    assert again.err == b""


def test_a_put_that_is_plainly_wrong_makes_no_workspace(artfs: Run, data: Path, home: Path) -> None:
    assert artfs("put", data / "missing", "imagenet").code in (1, 3)
    assert artfs("put", data, "v3").code == 2
    assert artfs("put", data, "x", "--meta", "a=NaN").code == 2
    assert not (home / "workspace").exists()


def test_put_says_in_one_line_what_it_made(artfs: Run, data: Path) -> None:
    assert re.fullmatch(r"digits:v0  \d+ files, 11\.\d kB, [\d.]+ k?B new\n", artfs("put", data, "digits").text)
    assert re.fullmatch(r"digits:v0  unchanged \(\d+ files, 11\.\d kB\)\n", artfs("put", data, "digits").text)
    assert artfs("put", data, "digits", "--new").text.startswith("digits:v1 ")


def test_put_takes_everything_that_can_be_said_of_a_version(artfs: Run, data: Path) -> None:
    result = artfs(
        *("put", data, "team/vision/digits", "--type", "dataset", "-a", "clean", "--alias", "best"),
        *("--description", "first try", "--meta", '{"a": 1, "b": [2]}', "--meta", "a=x", "--exclude", "*.sh"),
    )
    assert result.code == 0
    shown = artfs("show", "team/vision/digits:clean", "--json").json
    assert (shown["name"], shown["artifact"], shown["version"]) == ("team/vision/digits:v0", "team/vision/digits", "v0")
    assert shown["type"] == "dataset" and shown["description"] == "first try"
    assert shown["metadata"] == {"a": "x", "b": [2]}
    assert sorted(shown["aliases"]) == ["best", "clean", "latest"]
    assert shown["state"] == "live" and ISO.fullmatch(shown["created_at"])
    names = [file["name"] for file in artfs("ls", "team/vision/digits:v0", "--json").json["files"]]
    assert "run.sh" not in names and "empty" in names
    text = artfs("show", "team/vision/digits").text
    for part in ("team/vision/digits:v0", "dataset", "first try", '{"a": "x", "b": [2]}', "clean", shown["digest"]):
        assert part in text


def test_base_lays_a_folder_over_a_version(artfs: Run, data: Path, tmp_path: Path) -> None:
    artfs("put", data, "x")
    over = tmp_path / "over"
    over.mkdir()
    (over / "new.txt").write_text("new")
    assert artfs("put", over, "x", "--base", "v0", "--remove", "empty").code == 0
    names = [file["name"] for file in artfs("ls", "x:v1", "--json").json["files"]]
    assert "new.txt" in names and "run.sh" in names and "empty" not in names
    assert artfs("show", "x:v1", "--json").json["base"] == "x:v0"


def test_a_type_is_fixed_until_it_is_set_anew(artfs: Run, data: Path) -> None:
    artfs("put", data, "x", "--type", "dataset")
    refused = artfs("put", data, "x", "--type", "model", "--new")
    assert refused.code == 4 and "artifact set-type" in refused.message
    assert artfs("artifact", "set-type", "x", "model", "--json").json == {"artifact": "x", "type": "model"}
    assert artfs("put", data, "x", "--type", "model", "--new").code == 0


def test_log_lists_the_newest_first(artfs: Run, data: Path) -> None:
    artfs("put", data, "x", "-a", "old", "--description", "line one\nline two")
    artfs("put", data, "x", "--new")
    records = artfs("log", "x", "--json").json
    assert records["artifact"] == "x"
    assert [record["version"] for record in records["versions"]] == ["v1", "v0"]
    lines = artfs("log", "x").text.splitlines()
    assert lines[0].startswith("v1  ") and lines[0].endswith("latest")
    assert lines[1].startswith("v0  ") and lines[1].endswith("old")
    assert lines[2:] == ["    line one", "    line two"]


def test_diff_lists_each_change_with_its_sizes_and_sums_up(artfs: Run, data: Path) -> None:
    artfs("put", data, "x")
    (data / "train" / "a.txt").write_text("b" * 2000)
    (data / "train" / "b.bin").rename(data / "moved.bin")
    (data / "empty").unlink()
    (data / "new\nline").write_text("12345")
    (data / "run.sh").chmod(0o644)
    artfs("put", data, "x")
    lines = artfs("diff", "x:v0", "x:v1").text.splitlines()
    assert "M  train/a.txt  1.0 kB -> 2.0 kB" in lines
    assert "R  train/b.bin -> moved.bin  10.2 kB" in lines
    assert 'A  "new\\nline"  5 B' in lines
    assert "D  empty  0 B" in lines
    assert "M  run.sh  executable bit" in lines
    assert lines[-1].startswith("1 added (5 B), 1 removed (0 B), 1 changed (2.0 kB), 1 changed in mode only")
    document = artfs("diff", "x:v0", "x", "--json").json
    assert (document["from"], document["to"]) == ("x:v0", "x:v1")
    kinds = {change["kind"]: change for change in document["changes"]}
    assert set(kinds) == {"added", "removed", "changed", "renamed", "mode"}
    assert kinds["renamed"]["old_path"] == "train/b.bin" and kinds["renamed"]["path"] == "moved.bin"
    assert kinds["changed"]["old_size"] == 1000 and kinds["changed"]["new_size"] == 2000
    same = artfs("diff", "x:v0", "x:v0")
    assert (same.code, same.text) == (0, "no differences\n")


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
    assert (result.code, result.out) == (code, b"")
    assert result.message.startswith("artfs: ") and result.message.count("\n") == 1
    if arguments[0] != "cat":
        failure = artfs(*arguments, "--json")
        assert failure.code == code and set(failure.json["error"]) == {"kind", "message", "hint"}


@pytest.mark.parametrize("command", ["ls", "show x", "log x", "diff x y", "cat x:v0/a", "du x", "usage", "status"])
def test_reading_without_a_workspace_exits_3_and_names_the_command(artfs: Run, command: str) -> None:
    result = artfs(*command.split())
    assert result.code == 3
    assert "artfs put" in result.message or "artfs init" in result.message


def test_a_put_shows_its_progress_on_a_terminal_only(artfs_process: Run, home: Path, tmp_path: Path) -> None:
    source = tmp_path / "big"
    source.mkdir()
    (source / "file").write_bytes(os.urandom(32 << 20))
    shown = _on_a_terminal(sys.executable, "-m", "artfs", "put", str(source), "big")
    assert re.search(rb"\d+\.\d [kM]B/s", shown) and b"big:v0" in shown
    quiet = artfs_process("put", source, "big", "--new")
    assert quiet.code == 0 and quiet.err == b""


def _on_a_terminal(*command: str) -> bytes:
    controller, terminal = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    process = subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal, env=environment)
    os.close(terminal)
    shown = b""
    try:
        while block := os.read(controller, 65536):
            shown += block
    except OSError:  # the kernel's way to say that the other side has closed
        pass
    os.close(controller)
    assert process.wait(60) == 0
    return shown


def test_ctrl_c_ends_a_put_with_one_sentence_and_loses_nothing(artfs_process: Run, home: Path, tmp_path: Path) -> None:
    artfs_process("init")
    source = tmp_path / "big"
    source.mkdir()
    for number in range(12):
        (source / f"file{number}").write_bytes(os.urandom(24 << 20))
    command = [sys.executable, "-m", "artfs", "put", str(source), "big"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    time.sleep(0.6)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, b"")
    assert err.startswith(b"artfs: interrupted; ") and err.count(b"\n") == 1
    assert artfs_process("put", source, "big").code == 0
    shutil.rmtree(source)
