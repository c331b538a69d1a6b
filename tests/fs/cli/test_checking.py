"""``fsck``, ``why`` and ``purge`` on a real workspace."""

from __future__ import annotations

import os
import pty
import random
import re
import select
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from messages import missing, refused
from reasons import has_reason

Run = Callable[..., Any]

ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
SECRET = bytes(range(256)) * 40
"""What ``train/b.bin`` of the folder ``data`` holds."""


@pytest.fixture
def two_versions(artfs: Run, data: Path) -> None:
    """x:v0 and x:v1, which share all but one file."""
    artfs("put", data, "x", "-a", "clean")
    (data / "more").write_text("more")
    artfs("put", data, "x")


def packs(home: Path) -> list[Path]:
    return sorted((home / "workspace" / "packs").glob("*.pack"))


def digest_of(artfs: Run, file: str) -> str:
    folder, _, name = file.rpartition("/")
    (found,) = [one for one in artfs("ls", folder, "--json").json["files"] if one["name"] == name]
    return str(found["digest"])


# -- why ---------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("two_versions")
def test_why_names_what_holds_a_file(artfs: Run) -> None:
    result = artfs("why", "x:v0/train/b.bin")
    assert result.code == 0 and result.err == b""
    for part in ("stored", "held by x:v0/train/b.bin", "held by x:v1/train/b.bin", "artfs usage"):
        assert part in result.text
    document = artfs("why", digest_of(artfs, "x:v0/train/b.bin"), "--json").json
    assert document["state"] == "live" and document["counted_in"] == "stored" and document["stored_bytes"] > 0
    assert document["versions"] == ["x:v0/train/b.bin", "x:v1/train/b.bin"]


@pytest.mark.usefixtures("two_versions")
def test_why_says_until_when_a_deleted_version_waits(artfs: Run) -> None:
    artfs("rm", "x:v1")
    document = artfs("why", "x:v1", "--json").json
    assert document["state"] == "waiting" and document["counted_in"] == "deadlist"
    assert "artfs undelete x:v1" in document["advice"] and document["reasons"]
    assert not missing(artfs("why", "x:v1").text, ["x:v1", "artfs undelete x:v1"])


@pytest.mark.usefixtures("two_versions")
def test_why_knows_each_file_of_the_workspace_and_where_it_is_counted(artfs: Run, home: Path) -> None:
    terms = {key.removesuffix("_bytes") for key in artfs("usage", "--json").json}
    files = [Path(folder) / name for folder, _, names in os.walk(home / "workspace") for name in names]
    assert len(files) > 8
    for path in files:
        document = artfs("why", path, "--json").json
        assert document["state"] == "file" and document["advice"], path
        assert document["counted_in"] in terms, path
        assert not has_reason(document["what"], "foreign file"), path
    (home / "workspace" / "stray").touch()
    assert has_reason(artfs("why", home / "workspace" / "stray", "--json").json["what"], "foreign file")


@pytest.mark.parametrize("target", ["nothing", "x:v9", "x:v0/nope", "ab" * 32])
@pytest.mark.usefixtures("two_versions")
def test_why_of_what_is_not_there(artfs: Run, target: str) -> None:
    result = artfs("why", target)
    refused(result, code=3)
    assert result.out == b""


# -- purge -------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("two_versions")
def test_a_purge_takes_content_out_of_all_versions_for_good(artfs: Run, home: Path, data: Path) -> None:
    command = ("purge", "x:v0/train/b.bin", "--reason", "consent withdrawn", "--everywhere")
    old = artfs("show", "x:v0", "--json").json["digest"]
    file = digest_of(artfs, "x:v0/train/b.bin")
    planned = artfs(*command, "--dry-run", "--json").json
    assert planned["dry_run"] and planned["purged_at"] is None
    assert artfs("cat", "x:v0/train/b.bin").out == SECRET
    done = artfs(*command, "--json").json
    assert done["versions"] == planned["versions"] == ["x:v0", "x:v1"]
    assert done["files"] == ["x:v0/train/b.bin", "x:v1/train/b.bin"] and done["digests"] == [file]
    assert done["reason"] == "consent withdrawn" and done["freed_bytes"] > 0 and ISO.fullmatch(done["purged_at"])
    assert artfs("cat", "x:v0/train/b.bin").code == 3 and artfs("cat", "x:v0/train/a.txt").out == b"a" * 1000
    shown = artfs("show", "x:clean", "--json").json
    assert shown["version"] == "v0" and shown["digest"] != old
    assert shown["purged"] == [
        {
            "path": "train/b.bin",
            "more": 0,
            "digest": file,
            "reason": "consent withdrawn",
            "purged_at": done["purged_at"],
            "old_digest": old,
        }
    ]
    (row,) = [line for line in artfs("show", "x:v0").text.splitlines() if line.startswith("purged")]
    assert not missing(row, ["train/b.bin", done["purged_at"][:19] + "Z", "consent withdrawn", old])
    assert artfs("log", "x").text.count("    purged: train/b.bin ") == 2
    assert artfs("log", "x", "--json").json["versions"][1]["purged"] == shown["purged"]
    assert artfs("put", data, "x", "--json").json["created"], "the folder still has what the version lost"


@pytest.mark.usefixtures("two_versions")
def test_a_purge_in_text_says_where_and_how_much(artfs: Run) -> None:
    command = ("purge", "x:v1/more", "--reason", "a mistake")
    planned = artfs(*command, "-n")
    assert planned.text == "x:v1/more  would be purged\n1 version would change: x:v1\n"
    done = artfs(*command)
    assert re.fullmatch(r"x:v1/more  purged\n1 version, \d.* overwritten and freed\n", done.text)
    assert done.err == b""


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("x:v0/train/b.bin", "--reason", "r"), 4),
        (("x:v0/train/b.bin", "--everywhere"), 2),
        (("x:v0/train/b.bin", "--everywhere", "--reason", " "), 2),
        (("x:v0/nope", "--reason", "r"), 3),
        (("ab" * 32, "--reason", "r"), 3),
    ],
)
@pytest.mark.usefixtures("two_versions")
def test_a_purge_that_cannot_be_meant_changes_nothing(artfs: Run, arguments: tuple[str, ...], code: int) -> None:
    before = artfs("log", "x", "--json").json
    result = artfs("purge", *arguments)
    refused(result, code=code)
    assert result.out == b""
    assert artfs("purge", *arguments, "--json").json["error"]["message"]
    assert artfs("log", "x", "--json").json == before


@pytest.mark.parametrize(
    ("answer", "code", "purged"), [(b"y\n", 0, True), (b"n\n", 4, False), (b"\n", 4, False), (b"\x03", 130, False)]
)
@pytest.mark.usefixtures("two_versions")
def test_a_terminal_is_asked_first(artfs: Run, answer: bytes, code: int, purged: bool) -> None:
    asked, shown = purge_on_a_terminal(answer)
    assert b"x:v1/more" in shown and b"[y/N]" in shown and b"Traceback" not in shown
    assert asked == code
    assert (artfs("cat", "x:v1/more").code == 3) == purged


@pytest.mark.usefixtures("two_versions")
def test_a_terminal_that_has_said_yes_is_not_asked(artfs: Run) -> None:
    code, shown = purge_on_a_terminal(b"", "--yes")
    assert code == 0 and b"[y/N]" not in shown
    assert artfs("cat", "x:v1/more").code == 3


def purge_on_a_terminal(answer: bytes, *options: str) -> tuple[int, bytes]:
    """Run a purge on a terminal of its own; return its exit code and what the terminal showed."""
    command = [sys.executable, "-m", "artfs", "purge", "x:v1/more", "--reason", "r", *options]
    pid, terminal = pty.fork()
    if not pid:
        os.execv(sys.executable, command)
    shown, waiting, answered = b"", True, 0.0
    try:
        while waiting:
            # A Ctrl-C may come just before the read that it is to interrupt; a person presses it again then.
            unheard = answer == b"\x03" and b"interrupted" not in shown and time.monotonic() > answered + 2
            if answer and b"[y/N]:" in shown and (not answered or unheard):
                os.write(terminal, answer)
                answered = time.monotonic()
            if select.select([terminal], [], [], 0.2)[0]:
                try:
                    data = os.read(terminal, 65536)
                except OSError:  # the other end is closed
                    data = b""
                shown, waiting = shown + data, bool(data)
    finally:
        os.close(terminal)
        _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), shown


# -- fsck --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def noise(data: Path) -> bytes:
    """What ``noise`` of the folder holds: bytes that lie in a pack as they are."""
    content = random.Random(1).randbytes(50_000)
    (data / "noise").write_bytes(content)
    return content


def damage(home: Path, content: bytes) -> None:
    """Flip a bit of content in the pack that has it."""
    pack = next(pack for pack in packs(home) if content in pack.read_bytes())
    with open(pack, "r+b") as file:
        file.seek(pack.read_bytes().index(content) + 1000)
        file.write(bytes([content[1000] ^ 1]))


@pytest.mark.usefixtures("two_versions")
@pytest.mark.parametrize("options", [(), ("--data",), ("--repair",), ("--data", "--repair")])
def test_a_workspace_that_is_whole_is_clean(artfs: Run, options: tuple[str, ...]) -> None:
    checked = artfs("fsck", *options)
    assert (checked.code, checked.err) == (0, b"")
    assert checked.text.count("\n") == 1 and not missing(checked.text, ["clean", "2 versions"])
    document = artfs("fsck", *options, "--json").json
    assert list(document) == ["clean", "problems", "omitted", "notes", "repaired", "counted"]
    assert (
        document["clean"]
        and document["problems"] == document["repaired"] == []
        and document["counted"]["versions"] == 2
    )
    assert ("data_bytes" in document["counted"]) == ("--data" in options)


def test_damage_is_named_set_aside_and_healed_by_a_put(artfs: Run, home: Path, data: Path, noise: bytes) -> None:
    for name in ("x", "y"):
        artfs("put", data, name)
    damage(home, noise)
    assert artfs("fsck").code == 0, "structure only"
    checked = artfs("fsck", "--data")
    refused(checked, code=5, names=["'artfs fsck --repair'"])
    assert {"  x:v0/noise", "  y:v0/noise", "  in x:v0, y:v0"} <= set(checked.text.splitlines())
    assert checked.text.splitlines()[-1].startswith("damaged: 1 problem (")
    failed = artfs("fsck", "--data", "--json")
    assert failed.code == 5 and not failed.json["clean"]
    (problem,) = failed.json["problems"]
    assert problem["files"] == ["x:v0/noise", "y:v0/noise"] and sorted(problem["versions"]) == ["x:v0", "y:v0"]
    assert problem["kind"] == "chunk" and re.fullmatch("[0-9a-f]{64}", problem["chunk"])

    repaired = artfs("fsck", "--data", "--repair")
    assert repaired.code == 5 and "repaired: " in repaired.text and "  x:v0/noise" in repaired.text
    refused(repaired, code=5, reason="put it again")
    refused(artfs("fsck"), code=5, reason="put it again")
    assert artfs("cat", "x:v0/noise").code == 5 and artfs("cat", "x:v0/run.sh").code == 0
    artfs("put", data, "elsewhere")
    assert artfs("fsck", "--data").code == 0
    assert artfs("cat", "x:v0/noise").out == noise


def test_a_lost_manifest_is_rebuilt_with_what_was_deleted_still_deleted(
    artfs_process: Run, home: Path, data: Path, noise: bytes
) -> None:
    artfs_process("put", data, "x", "-a", "clean")
    for _ in range(2):
        artfs_process("put", data, "x", "--new")
    artfs_process("rm", "x:v1")
    shown = [artfs_process("show", name, "--json").json for name in ("x:clean", "x:latest")]
    shutil.rmtree(home / "workspace" / "manifest.1")
    for command in ("ls", "fsck"):
        broken = artfs_process(command)
        assert broken.code == 5 and b"Traceback" not in broken.err
    assert not missing(broken.message, ["artfs fsck --rebuild"])
    rebuilt = artfs_process("fsck", "--rebuild", "--json")
    assert rebuilt.code == 0 and rebuilt.json["clean"] and rebuilt.json["repaired"]
    again = [artfs_process("show", name, "--json").json for name in ("x:clean", "x:latest")]
    assert [one["digest"] for one in again] == [one["digest"] for one in shown]
    assert [one["version"] for one in artfs_process("ls", "x", "--json").json["versions"]] == ["v0", "v2"]
    assert artfs_process("fsck", "--data").code == 0 and artfs_process("cat", "x:v0/noise").out == noise


def test_a_rebuild_verifies_the_data_if_it_is_asked_to(
    artfs_process: Run, home: Path, data: Path, noise: bytes
) -> None:
    artfs_process("put", data, "x")
    shutil.rmtree(home / "workspace" / "manifest.1")
    damage(home, noise)
    rebuilt = artfs_process("fsck", "--rebuild", "--data")
    assert rebuilt.code == 5
    assert "  x:v0/noise" in rebuilt.text and "\nrepaired: " in f"\n{rebuilt.text}"


@pytest.mark.usefixtures("two_versions")
def test_fsck_that_cannot_be_meant(artfs: Run, tmp_path: Path) -> None:
    assert artfs("fsck", "--rebuild", "--repair").code == 2
    for options in ((), ("--rebuild",)):
        result = artfs("-w", tmp_path / "absent", "fsck", *options)
        refused(result, code=3, names=[str(tmp_path / "absent")])
        assert result.out == b""


@pytest.mark.usefixtures("two_versions")
@pytest.mark.parametrize(
    ("function", "options"),
    [
        ("checking.check", ()),
        ("repairing.check_and_repair", ("--repair",)),
        ("repairing.rebuild.rebuild", ("--rebuild",)),
    ],
)
def test_ctrl_c_ends_a_check_with_a_word_of_what_is_kept(
    artfs: Run, monkeypatch: pytest.MonkeyPatch, function: str, options: tuple[str, ...]
) -> None:
    def interrupt(*_arguments: object, **_options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(f"artstore.{function}", interrupt)
    refused(artfs("fsck", *options), code=130, reason="resume")
    assert artfs("fsck", *options, "--json").json["error"]["kind"] == "interrupted"
