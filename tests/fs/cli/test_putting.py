"""``init`` and ``put`` on a real workspace."""

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

from messages import reported

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
    reported(result, names=[str(home / "workspace")])
    keys = ["artifact", "version", "digest", "created", "files", "bytes", "new_bytes", "reaped_bytes"]
    keys += ["differing_paths", "private_files", "special_modes"]
    assert list(result.json) == [
        *keys,
        "followed_links",
        "followed_paths",
        "ignored_entries",
        "ignored_paths",
        "temporary_folders",
        "temporary_paths",
        "pushed_to",
        "unpushed",
        "lost",
    ]
    assert result.json["artifact"] == "imagenet" and result.json["version"] == "v0" and result.json["created"] is True
    assert len(result.json["digest"]) == 64 and result.json["new_bytes"] > 0
    again = artfs("put", data, "imagenet", "--json")
    assert again.json == result.json | {"created": False, "new_bytes": 0}
    assert again.err == b""


def test_a_put_that_is_plainly_wrong_makes_no_workspace(artfs: Run, data: Path, home: Path) -> None:
    assert artfs("put", data / "missing", "imagenet").code in (1, 3)
    assert artfs("put", data, "v3").code == 2
    assert artfs("put", data, "x", "--meta", "a:=NaN").code == 2
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


def test_a_put_shows_its_progress_on_a_terminal_only(artfs_process: Run, home: Path, tmp_path: Path) -> None:
    source = tmp_path / "big"
    source.mkdir()
    for number in range(64):
        (source / f"file{number}").write_bytes(os.urandom(1 << 20))
    shown = _on_a_terminal(sys.executable, "-m", "artfs", "put", str(source), "big")
    assert re.search(rb"\d+\.\d [kMG]B/s", shown) and b"big:v0" in shown
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
        (source / f"file{number}").write_bytes(os.urandom(16 << 20))
    command = [sys.executable, "-m", "artfs", "put", str(source), "big"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while not list((home / "workspace" / "run" / "drafts").iterdir()):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, b"")
    assert err.startswith(b"artfs: interrupted; ") and err.count(b"\n") == 1
    assert artfs_process("put", source, "big").code == 0
    shutil.rmtree(source)


def test_links_out_of_the_folder_and_ignored_entries_are_reported(artfs: Run, tmp_path: Path) -> None:
    """Each has one line, with the first names; JSON has numbers and names."""
    (tmp_path / "outer").write_bytes(b"outer")
    folder = tmp_path / "folder"
    folder.mkdir()
    for number in range(5):
        (folder / f"link{number}").symlink_to("../outer")
        (folder / f"{number}.tmp").write_bytes(b"")
    (folder / ".artfsignore").write_text("*.tmp\n")
    first = artfs("put", folder, "x")
    (followed,) = (line for line in first.text.splitlines() if line.startswith("followed"))
    (ignored,) = (line for line in first.text.splitlines() if line.startswith("left out"))
    assert "5 links" in followed and "link0, link1, link2 and 2 more" in followed
    assert "5 entries" in ignored and "0.tmp, 1.tmp, 2.tmp and 2 more" in ignored
    document = artfs("put", folder, "x", "--json").json
    assert document["followed_links"] == document["ignored_entries"] == 5
    assert document["followed_paths"] == [f"link{number}" for number in range(5)]
    assert document["ignored_paths"][0] == "0.tmp"
    assert artfs("cat", "x:v0/link0").text == "outer"
    refusal = artfs("put", folder, "x", "--links", "refuse")
    assert refusal.code == 1 and all(f"link{number}" in refusal.message for number in range(5))
    kept = artfs("put", folder, "x", "--links", "keep")
    assert kept.code == 0 and "followed" not in kept.text
    assert artfs("get", "x", tmp_path / "copy").code == 0
    assert os.readlink(tmp_path / "copy" / "link0") == "../outer"
    assert artfs("cat", "x:v1/link0").code != 0
    assert artfs("fsck", "--data").code == 0
    assert artfs("put", folder, "x", "--links", "other").code == 2
