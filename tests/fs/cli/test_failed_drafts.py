"""An operation that fails leaves no draft; one that is interrupted leaves none unless it stored content of files."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]

_REFUSED_PORT = "http://127.0.0.1:1/f"

_FAILING: dict[str, tuple[str, ...]] = {
    "a missing file": ("ref", "add", "file:///nowhere/f", "r"),
    "another scheme": ("ref", "add", "ftp://127.0.0.1/f", "r"),
    "a refused port": ("ref", "add", _REFUSED_PORT, "r", "--allow-private"),
    "a base that is not there": ("ref", "add", "file://{data}/train/a.txt", "r", "--base", "v7"),
    "a type that does not match": ("ref", "add", "file://{data}/train/a.txt", "x", "--type", "other"),
    "a version that is not there": ("ref", "add", "artfs://x:v9", "r"),
    "a missing path": ("draft", "add", "d", "{data}/none"),
    "a missing reference": ("draft", "add", "d", "file:///nowhere/f"),
    "a reference at a refused port": ("draft", "add", "d", _REFUSED_PORT, "--allow-private"),
    "a conflict": ("draft", "add", "d", "{other}"),
    "a path outside the draft": ("draft", "add", "d", "{other}", "../up"),
    "a removal of nothing": ("draft", "rm", "d", "none"),
    "a move of nothing": ("draft", "mv", "d", "none", "some"),
    "a commit with another type": ("draft", "commit", "d", "--type", "other"),
    "a second draft of that name": ("draft", "new", "x", "--id", "d"),
    "a draft from no version": ("draft", "new", "x", "--from", "v7"),
    "a put of nothing": ("put", "{data}/none", "x"),
    "a put with another type": ("put", "{data}", "x", "--type", "other"),
    "a put over no version": ("put", "{data}", "x", "--base", "v9"),
    "a put that a link refuses": ("put", "{linked}", "y", "--links", "refuse"),
    "a link to itself": ("link", "x:v0", "x"),
    "a purge without a place": ("purge", "x:v0/none", "--reason", "r", "--yes"),
    "a pin of no references": ("ref", "pin", "x"),
}


@pytest.mark.parametrize("arguments", _FAILING.values(), ids=list(_FAILING))
def test_what_fails_leaves_no_draft(artfs: Run, data: Path, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    assert artfs("put", data, "x", "--type", "dataset").code == 0
    artfs("draft", "new", "x", "--id", "d")
    (tmp_path / "first").mkdir()
    (tmp_path / "first" / "f").write_bytes(b"one")
    assert artfs("draft", "add", "d", tmp_path / "first").code == 0
    other = tmp_path / "other"
    other.mkdir()
    (other / "f").write_bytes(os.urandom(100_000))
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / "out").symlink_to(data)
    given = [each.format(data=data, other=other, linked=linked) for each in arguments]
    assert artfs(*given).code not in (0, 70), "this must fail"
    drafts = artfs("status", "--json").json["drafts"]
    assert [draft["id"] for draft in drafts] == ["d"], drafts


_PROGRAM = """
import artfs, sys
def assembled():
    artifact = artfs.Artifact("never", "dataset")
    artifact.add_file("f")
    return artifact
{body}
"""

_ENDS = {
    "it is not logged": "kept = assembled()",
    "it is dropped": "assembled()",
    "the program fails": "kept = assembled(); raise SystemError('x')",
    "the program exits": "kept = assembled(); sys.exit(3)",
    "it only has a base": "kept = artfs.Api().artifact('x:v0').new_draft()",
    "the run is finished": "run = artfs.init(project='p'); kept = assembled(); run.finish()",
    "another process has a copy": "kept = assembled(); import os; pid = os.fork(); pid and os.waitpid(pid, 0)",
}


@pytest.mark.parametrize("body", _ENDS.values(), ids=list(_ENDS))
def test_a_program_that_logs_nothing_leaves_no_draft(
    artfs_process: Run, data: Path, home: Path, tmp_path: Path, body: str
) -> None:
    assert artfs_process("put", data, "x").code == 0
    before = artfs_process("usage", "--json").json
    (tmp_path / "f").write_bytes(os.urandom(100_000))
    program = [sys.executable, "-c", _PROGRAM.format(body=body)]
    subprocess.run(program, cwd=tmp_path, capture_output=True, timeout=60, check=False)
    assert artfs_process("status", "--json").json["drafts"] == []
    after = artfs_process("usage", "--json").json
    assert after["stored_bytes"] == before["stored_bytes"]
    artfs_process("gc")
    assert artfs_process("usage", "--json").json["deadlist_bytes"] == 0
