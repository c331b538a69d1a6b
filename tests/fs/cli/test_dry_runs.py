"""Every dry run says what its run then does, to the byte, and changes nothing; an interrupted put is explained."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import click
import pytest

from artfs.cli.main import cli
from artfs.registry import ArtifactRegistry
from artstore.objects import probing
from artstore.remotes import adding
from artstore.workspace import open_workspace

Run = Callable[..., Any]

_DRY = "--dry-run"
_OF_THE_RUN_ALONE = {
    "dry_run",
    "written",
    "imported",
    "due_at",
    "next_due",
    "purged_at",
    "manifest_bytes_before",
    "manifest_bytes_after",
}
"""Keys that cannot agree: times from now on, and what only the run can measure."""
_READERS = "lock.mdb"
"""LMDB's table of readers: whoever reads has a slot there."""

CASES: dict[str, list[tuple[str, ...]]] = {
    "gc": [
        ("gc",),
        ("gc", "--now"),
        ("gc", "--interrupted"),
        ("gc", "--now", "--compact"),
    ],
    "rm": [
        ("rm", "x:v0"),
        ("rm", "x:v0..v2", "--force"),
        ("rm", "x:v0..v1", "--now", "--force"),
        ("rm", "-r", "y"),
        ("rm", "x:v1"),
        ("rm", "x:v9"),
    ],
    "purge": [
        ("purge", "x:v0/shared", "--everywhere", "--reason", "r"),
        ("purge", "x:v2/own", "--reason", "r"),
        ("purge", "x:v2/copy", "--everywhere", "--reason", "r"),
        ("purge", "x:v0/shared", "--reason", "r"),
        ("purge", "y:v0/part", "--everywhere", "--reason", "r"),
    ],
    "put": [
        ("put", "bundle", "new"),
        ("put", "bundle", "x"),
        ("put", "bundle", "x", "-a", "best"),
        ("put", "{versions}", "x", "--exclude", "own"),
        ("put", "none", "x"),
        ("put", "bundle", "x/below"),
    ],
    "push": [("push", "x"), ("push", "--all"), ("push", "none"), ("push", "x", "none")],
    "retention apply": [("retention", "apply"), ("retention", "apply", "--trust-clock")],
    "registry export": [
        ("registry", "export", "exported"),
        ("registry", "export", "bundle"),
        ("registry", "export", "bundle", "--overwrite"),
        ("registry", "export", "none/exported"),
        ("registry", "export", "exported", "0009$abc:0"),
    ],
    "registry import": [("registry", "import", "bundle"), ("registry", "import", "none")],
}
"""By command, what is run twice: dry, and then in earnest; some are refused."""


def _dry_commands(group: click.Group, names: tuple[str, ...] = ()) -> Iterator[str]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from _dry_commands(command, (*names, name))
        elif any(_DRY in option.opts for option in command.params):
            yield " ".join((*names, name))


def test_no_dry_run_is_left_out() -> None:
    assert set(_dry_commands(cli)) == CASES.keys()


def _hashes(folder: Path) -> dict[str, str]:
    """Return a hash of all that can be changed: names, modes, times and bytes of everything in a folder."""
    found = {}
    for path in sorted([folder, *folder.rglob("*")]):
        status = path.lstat()
        is_file = path.is_file() and not path.is_symlink()
        content = hashlib.sha256(path.read_bytes() if is_file else b"").hexdigest()
        if path.name != _READERS:
            found[str(path)] = f"{status.st_mode} {status.st_ino} {status.st_mtime_ns} {status.st_ctime_ns} {content}"
    return found


@contextmanager
def _interrupted(folder: Path, workspace: Path) -> Iterator[None]:
    """Kill a put of a folder when it has stored something."""
    command = [sys.executable, "-m", "artfs", "-w", str(workspace), "put", str(folder), "big"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as put:
        deadline = time.monotonic() + 60
        with open_workspace(workspace) as watched:
            while put.poll() is None and time.monotonic() < deadline:
                if any(draft.staged_nodes for draft in watched.drafts.states() if not draft.id):
                    break
                time.sleep(0.002)
        put.send_signal(signal.SIGKILL)
        put.wait(60)
    yield


def _big(folder: Path) -> Path:
    folder.mkdir()
    for number in range(40):
        (folder / f"{number:02}").write_bytes(os.urandom(4_000_000))
    return folder


@pytest.fixture
def lived(artfs: Run, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with versions that share, deleted ones due and not due, rules, an open draft and a dead one."""
    folder = tmp_path / "versions"
    folder.mkdir()
    (folder / "shared").write_bytes(os.urandom(300_000))
    for number in range(4):
        (folder / "own").write_bytes(os.urandom(200_000))
        (folder / "copy").write_bytes((folder / "shared").read_bytes()[:100_000])
        assert artfs("put", folder, "x", *(("-a", "best") if number == 1 else ())).code == 0
    (folder / "part").write_bytes(os.urandom(1_500_000))
    (folder / "whole").write_bytes((folder / "part").read_bytes() + os.urandom(1_000_000))
    artfs("put", folder, "y")
    artfs("config", "undelete-window", "0")
    artfs("rm", "x:v3")
    artfs("config", "undelete-window", "1h")
    (folder / "own").write_bytes(os.urandom(250_000))
    artfs("put", folder, "z")
    artfs("rm", "-r", "z")
    artfs("draft", "new", "y", "--id", "d", "--from", "latest")
    artfs("retention", "set", "few", "--artifact", "x", "--keep-last", "1")
    monkeypatch.chdir(home)
    registry = ArtifactRegistry(home / "workspace", "wheat", "0001_pls")
    registry.register_with_chain([0], "s1.MinMaxScaler", "transformer", 1)
    registry.export_bundle("bundle")
    return home / "workspace"


@pytest.mark.parametrize("arguments", [each for some in CASES.values() for each in some], ids=" ".join)
def test_a_dry_run_says_what_the_run_does_and_changes_nothing(
    artfs: Run, lived: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    if arguments[0] == "gc":
        with _interrupted(_big(tmp_path / "big"), lived):
            pass
    if arguments[0] == "push":
        (tmp_path / "remote").mkdir()
        monkeypatch.setattr(adding, "probe", partial(probing.probe, threads=2, rounds=1))
        assert artfs("remote", "add", "origin", tmp_path / "remote").code == 0
    arguments = tuple(each.format(versions=tmp_path / "versions") for each in arguments)
    before = _hashes(lived)
    dry = artfs(*arguments, _DRY, "--json")
    assert _hashes(lived) == before, "a dry run stops before the first write"
    run = artfs(*arguments, "--json")
    assert run.code == dry.code
    if run.code:
        assert run.document["error"] == dry.document["error"]
        return
    planned, done = dry.document, run.document
    apart = _OF_THE_RUN_ALONE | ({"sent_bytes", "objects"} if arguments[0] == "push" else set())  # at most
    apart |= {"schema", "latest", "changes"} if arguments[0] == "put" else set()
    apart |= {"packs_removed", "packs_compacted"} if arguments[0] == "gc" else set()
    assert {key: planned[key] for key in planned if key not in apart} == {
        key: done[key] for key in done if key not in apart
    }
    for key in ("due_at", "next_due"):
        assert bool(planned.get(key)) == bool(done.get(key))
    assert artfs("fsck", "--data").code == 0


def test_gc_names_the_versions_whose_undelete_ends(artfs: Run, lived: Path) -> None:
    for more, names in (((), []), (("--now",), ["z:v0"])):
        planned = artfs("gc", *more, _DRY, "--json").json
        assert planned["undelete_ended"] == names
    assert "z:v0  could no longer be undeleted" in artfs("gc", "--now", _DRY).text
    assert "z:v0  can no longer be undeleted" in artfs("gc", "--now").text
    assert artfs("undelete", "z:v0").code == 3


def test_an_interrupted_put_is_explained_and_freed_alone(artfs: Run, lived: Path, tmp_path: Path) -> None:
    """`usage`, `status`, `draft ls` and `gc` say what it holds and until when; `gc --interrupted` ends no window."""
    big = _big(tmp_path / "big")
    calm = artfs("usage", "--json").json
    assert (calm["interrupted_puts"], calm["interrupted_bytes"], calm["interrupted_until"]) == (0, 0, None)
    assert "interrupted put" not in artfs("usage").text + artfs("gc").text + artfs("status").text
    with _interrupted(big, lived):
        usage = artfs("usage", "--json").json
    held, until = usage["interrupted_bytes"], usage["interrupted_until"]
    assert usage["interrupted_puts"] == 1 and held > 1_000_000
    terms = ("stored", "manifest", "deadlist", "condemned", "free", "other")
    assert usage["disk_bytes"] == sum(usage[f"{term}_bytes"] for term in terms)
    assert usage["stored_bytes"] - held <= calm["stored_bytes"]

    (left,) = artfs("draft", "ls", "--json").json["interrupted"]
    assert (left["artifact"], left["source"], left["bytes"], left["expires_at"]) == ("big", str(big), held, until)
    (draft,) = [draft for draft in artfs("status", "--json").json["drafts"] if draft["id"] is None]
    assert (draft["interrupted_bytes"], draft["expires_at"], draft["alive"]) == (held, until, False)
    shown = f"{until[:19]}Z"
    for command in (("usage",), ("status",), ("gc",)):
        (line,) = [
            line for line in artfs(*command).text.splitlines() if "interrupted put" in line or "interrupted: " in line
        ]
        assert shown in line and "'artfs gc --interrupted'" in line, line
    assert str(big) in artfs("draft", "ls").text

    kept = artfs("gc", "--json").json
    assert (kept["interrupted_bytes"], kept["interrupted_until"], kept["freed_bytes"]) == (held, until, 0)
    freed = artfs("gc", "--interrupted", "--json").json
    assert (freed["freed_bytes"], freed["interrupted_bytes"], freed["undelete_ended"]) == (held, 0, [])
    assert artfs("draft", "ls", "--json").json["interrupted"] == []
    assert artfs("undelete", "z:v0").code == 0, "no undelete window has ended"
    assert artfs("usage", "--json").json["interrupted_puts"] == 0
