"""``rm``, ``undelete`` and ``gc`` on a real workspace, and what the other commands say of what was deleted."""

from __future__ import annotations

import io
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from artfs.cli.deletion import version_ranges
from artstore.errors import BusyError, DamageError
from artstore.workspace import Workspace, open_workspace
from messages import missing, refused, reported

Run = Callable[..., Any]

ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
GC_KEYS = ["freed_bytes", "freed_nodes", "undelete_ended", "deadlist_entries", "deadlist_bytes", "waiting_entries"]
GC_KEYS += ["waiting_bytes", "next_due", "interrupted_puts", "interrupted_bytes", "interrupted_until"]
GC_KEYS += ["condemned_bytes", "in_use", "packs_removed", "packs_compacted"]
GC_KEYS += ["manifest_bytes_before", "manifest_bytes_after", "not_compacted", "dry_run"]


@pytest.fixture
def three_versions(artfs: Run, data: Path) -> None:
    """x:v0, v1, v2; each has a file of its own, and v1 the alias 'clean'."""
    for number in range(3):
        (data / "own").write_bytes(bytes([number]) + bytes(range(256)) * 100)
        artfs("put", data, "x", *(("-a", "clean") if number == 1 else ()))


def versions(artfs: Run, name: str = "x") -> list[str]:
    return [record["version"] for record in artfs("ls", name, "--json").json["versions"]]


def entries(artfs: Run) -> int:
    return int(artfs("usage", "--json").json["deadlist_entries"])


# -- rm ----------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("three_versions")
def test_a_deleted_version_is_out_of_sight_and_can_come_back(artfs: Run) -> None:
    unique = artfs("du", "x:v0", "--json").json["unique"]
    deleted = artfs("rm", "x:v0")
    assert deleted.code == 0
    lines = deleted.text.splitlines()
    assert lines[0] == "x:v0  deleted"
    assert lines[1].startswith("1 version, ") and re.search(r" 20\d\d-\d\d-\d\dT", lines[1])
    reported(deleted, names=["'artfs undelete x:v0'"])
    assert versions(artfs) == ["v1", "v2"]
    refused(artfs("show", "x:v0"), code=3, names=["artfs undelete x:v0"])
    usage = artfs("usage", "--json").json
    assert (usage["deadlist_entries"], usage["deadlist_bytes"], usage["due_entries"]) == (1, unique, 0)
    assert ISO.fullmatch(usage["deadlist_oldest_at"])
    back = artfs("undelete", "x:v0")
    assert (back.code, back.text, back.err) == (0, "x:v0  restored\n", b"")
    assert versions(artfs) == ["v0", "v1", "v2"]
    assert artfs("undelete", "x:v0").code == 4, "it is there"


@pytest.mark.usefixtures("three_versions")
def test_rm_in_json(artfs: Run) -> None:
    unique = artfs("du", "x:v1", "--json").json["unique"]
    planned = artfs("rm", "-n", "-f", "x:v1", "--json").json
    assert planned["dry_run"] and versions(artfs) == ["v0", "v1", "v2"] and entries(artfs) == 0
    deleted = artfs("rm", "--force", "x:clean", "--json").json
    assert ISO.fullmatch(deleted["due_at"])
    assert deleted == {
        "versions": ["x:v1"],
        "freed_bytes": unique,
        "aliases": ["x:clean"],
        "due_at": deleted["due_at"],
        "reaped_bytes": 0,
        "in_use": [],
        "dry_run": False,
        "remotes": [],
    }
    assert planned == deleted | {"dry_run": True, "due_at": planned["due_at"]}
    back = artfs("undelete", "x:v1", "--json").json
    assert back == {"versions": ["x:v1"], "aliases": ["x:clean"], "skipped_aliases": []}


@pytest.mark.usefixtures("three_versions")
def test_an_alias_that_names_another_version_by_now_stays_there(artfs: Run) -> None:
    reported(artfs("rm", "-f", "x:v1"), names=["x:clean", "'artfs undelete x:v1'"], lines=2)
    artfs("alias", "set", "x:v0", "clean")
    back = artfs("undelete", "x:v1")
    assert back.text == "x:v1  restored\n"
    reported(back, names=["x:clean"])
    assert artfs("show", "x:clean", "--json").json["version"] == "v0"


@pytest.mark.usefixtures("three_versions")
def test_now_is_final_and_gives_the_space_back_before_it_returns(artfs: Run) -> None:
    before = artfs("usage", "--json").json
    deleted = artfs("rm", "--now", "x:v0", "--json").json
    assert deleted["due_at"] is None and deleted["reaped_bytes"] == deleted["freed_bytes"] > 0
    after = artfs("usage", "--json").json
    assert after["stored_bytes"] == before["stored_bytes"] - deleted["freed_bytes"]
    assert (after["deadlist_entries"], after["condemned_bytes"]) == (0, 0)
    refused(artfs("undelete", "x:v0"), code=3, names=["x:v0"], reason="content freed")
    assert artfs("rm", "-f", "--now", "x:v1..v2").text.splitlines()[1].endswith(" freed")


@pytest.mark.usefixtures("three_versions")
@pytest.mark.parametrize(
    ("arguments", "left"),
    [
        (["x:v0..v1", "-f"], ["v2"]),
        (["x:v0..v99", "-f"], []),
        (["x:*", "-f"], []),
        (["x:latest"], ["v0", "v1"]),
        (["x:v[02]"], ["v1"]),
        (["x:v0", "x:v2", "x:v0"], ["v1"]),
        (["-r", "x", "-f"], []),
    ],
)
def test_several_versions_in_one_call_and_back_again(artfs: Run, arguments: list[str], left: list[str]) -> None:
    deleted = artfs("rm", *arguments, "--json")
    assert deleted.code == 0
    if left:
        assert versions(artfs) == left
    else:
        assert artfs("ls", "--json").json["artifacts"] == []
    assert artfs("undelete", "x:*", "--json").json["versions"] == deleted.json["versions"]
    assert versions(artfs) == ["v0", "v1", "v2"]


@pytest.mark.usefixtures("three_versions")
@pytest.mark.parametrize(
    ("arguments", "code", "names"),
    [
        (["x"], 2, ["x:latest", "v2", "'x:*'", "3", "rm -r x"]),
        (["x:v1"], 4, ["x:v1", "'clean'", "--force"]),
        (["x:*"], 4, ["x:v1", "'clean'", "--force"]),
        (["x:v0", "x:v9"], 3, ["x:v9"]),
        (["x:v0", "x:v1"], 4, ["x:v1", "'clean'", "--force"]),
        (["x:v0..v1"], 4, ["x:v1", "'clean'"]),
        (["x:v0/train"], 2, ["x:v0/train", "artfs purge --help"]),
        (["x:v2..v0"], 2, ["'v2..v0'", "v0..v9"]),
        (["-r", "x:v0"], 2, ["-r", "'x'"]),
        (["nothing:v0"], 3, ["'nothing'"]),
        (["x:w*"], 3, ["x:w*"]),
        ([], 2, ["REF"]),
    ],
)
def test_a_refusal_refuses_all_of_it(artfs: Run, arguments: list[str], code: int, names: list[str]) -> None:
    result = artfs("rm", *arguments)
    refused(result, code=code, names=names)
    assert result.out == b""
    assert set(artfs("rm", *arguments, "--json").json["error"]) == {"kind", "message", "hint"}
    assert versions(artfs) == ["v0", "v1", "v2"] and entries(artfs) == 0


@pytest.mark.usefixtures("three_versions")
def test_undelete_names_what_cannot_come_back(artfs: Run) -> None:
    for reference, code in [("x:v9", 3), ("nothing:v0", 3), ("x:*", 3), ("x:v0..v1", 3), ("x:v1..v0", 2), ("x", 2)]:
        result = artfs("undelete", reference)
        refused(result, code=code)
        assert result.out == b"", reference
    artfs("rm", "x:v0", "x:v2")
    partly = artfs("undelete", "x:v0", "x:v1")
    assert partly.code == 4
    restored, failure = partly.message.splitlines()
    assert not missing(restored, ["x:v0"]) and not missing(failure, ["x:v1"])
    assert versions(artfs) == ["v0", "v1"]


def test_versions_are_shown_as_ranges() -> None:
    names = ["x:v2", "x:v1", "team/a:v10", "x:v0", "x:v4", "team/a:v9"]
    assert list(version_ranges(names)) == ["team/a:v9..v10", "x:v0..v2", "x:v4"]
    assert list(version_ranges([])) == []


def test_undelete_completes_what_can_come_back(artfs: Run, artfs_process: Run, data: Path) -> None:
    for _ in range(2):
        artfs("put", data, "x", "--new")
    artfs("rm", "x:v0")
    environment = {"_ARTFS_COMPLETE": "bash"}
    assert artfs_process("artfs undelete x:", environment=environment).text == "plain\tv0\n"


# -- gc ----------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("three_versions")
def test_gc_keeps_what_is_in_its_window_and_takes_it_with_now(artfs: Run) -> None:
    freed = artfs("rm", "x:v0", "--json").json["freed_bytes"]
    first = artfs("gc", "--json").json
    assert list(first) == GC_KEYS
    assert (first["freed_bytes"], first["waiting_entries"], first["waiting_bytes"]) == (0, 1, freed)
    assert (first["deadlist_entries"], first["deadlist_bytes"]) == (1, freed) and ISO.fullmatch(first["next_due"])
    assert not missing(artfs("gc").text, ["1 entry", first["next_due"][:19] + "Z"])
    planned = artfs("gc", "--now", "--dry-run", "--json").json
    assert planned["dry_run"] and planned["freed_bytes"] == freed and entries(artfs) == 1
    done = artfs("gc", "--now", "--json").json
    assert done["freed_bytes"] == freed and done["freed_nodes"] == planned["freed_nodes"] > 0
    assert (done["deadlist_entries"], done["waiting_entries"], done["next_due"]) == (0, 0, None)
    assert entries(artfs) == 0
    assert artfs("gc").text == "0 B freed, 0 nodes\n"


@pytest.mark.usefixtures("three_versions")
def test_what_is_open_is_kept_and_named_until_it_is_closed(artfs: Run) -> None:
    with open_workspace().version("x:v0").open("own") as file:
        deleted = artfs("rm", "--now", "x:v0")
        reported(deleted, names=["x:v0"])
        held = artfs("gc", "--now", "--json").json
        assert held["waiting_entries"] == 1 and held["in_use"] == [
            sentence for sentence in held["in_use"] if "x:v0" in sentence
        ]
        reported(artfs("gc", "--now"), names=["x:v0"])
        assert file.read() == b"\0" + bytes(range(256)) * 100
    assert artfs("gc", "--now", "--json").json["deadlist_entries"] == 0


@pytest.mark.parametrize("command", [("gc",), ("rm", "x:v0", "--now"), ("undelete", "x:v0")])
def test_ctrl_c_says_what_is_kept(
    artfs: Run, data: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    artfs("put", data, "x")

    def interrupt(*_arguments: object, **_options: object) -> None:
        raise KeyboardInterrupt

    for name in ("gc", "delete", "undelete"):
        monkeypatch.setattr(Workspace, name, interrupt)
    refused(artfs(*command), code=130)
    failure = artfs(*command, "--json").json["error"]
    assert failure["kind"] == "interrupted" and failure["hint"]


@pytest.mark.usefixtures("three_versions")
def test_gc_on_a_terminal_shows_how_far_it_is(artfs: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    artfs("rm", "x:v0")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", screen := Terminal())
    nodes = artfs("gc", "--now", "--json").json["freed_nodes"]
    assert "reaping" in screen.getvalue() and f"{nodes} nodes" in screen.getvalue()


# -- a little at the end of each command that writes -------------------------------------------------------------------


@pytest.fixture
def due(three_versions: None, artfs: Run) -> None:
    """x:v0 was deleted and is due, and so is x:v1 over an hour ago."""
    workspace = open_workspace()
    workspace.configure(undelete_seconds=0)
    workspace.delete("x:v0")
    hours_ago = time.time_ns() - 2 * 3600 * 10**9
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time_ns", lambda: hours_ago)
        workspace.delete("x:v1", force=True)
    workspace.configure(undelete_seconds=3600)


WRITING = ["alias set x:v2 best", "alias rm x other", "tag add x:v2 a", "tag rm x:v2 b", "artifact set-type x model"]
WRITING += ["rm x:v2 --force", "undelete y:v0"]


@pytest.mark.usefixtures("due")
@pytest.mark.parametrize("command", [*WRITING, "put"])
def test_every_command_that_writes_gives_back_what_is_due(artfs: Run, data: Path, command: str) -> None:
    workspace = open_workspace()
    workspace.aliases.set("x:v2", "other")
    workspace.tags.add("x:v2", "b")
    workspace.put(data, "y")
    workspace.delete("y:v0")
    assert entries(artfs) == 3
    assert artfs(*(["put", data, "z"] if command == "put" else command.split())).code == 0
    assert entries(artfs) == {"rm": 2, "undelete": 0}.get(command.split()[0], 1), "what is in its window waits"


@pytest.mark.usefixtures("due")
@pytest.mark.parametrize(
    "command", ["ls", "log x", "show x", "status", "usage", "du x", "config", "gc -n", "rm -n x:v2"]
)
def test_a_command_that_reads_gives_nothing_back(artfs: Run, command: str) -> None:
    assert artfs(*command.split()).code == 0
    assert entries(artfs) == 2


@pytest.mark.usefixtures("due")
@pytest.mark.parametrize("error", [DamageError("entry 7 of the deadlist is malformed"), BusyError("another is at it")])
def test_what_was_asked_for_is_done_though_nothing_can_be_given_back(
    artfs: Run, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(Workspace, "reap_due", fail)
    done = artfs("alias", "set", "x:v2", "best", "--json")
    assert (done.code, done.json["aliases"]) == (0, ["best"])
    assert ("malformed" in done.message) == isinstance(error, DamageError), "damage is said, and a rival is not"


@pytest.mark.usefixtures("due")
def test_what_is_overdue_is_warned_of(artfs: Run) -> None:
    for command in ("usage", "status"):
        result = artfs(command)
        reported(result, names=["2 entries", "'artfs gc'"])
        document = artfs(command, "--json")
        reported(document, names=["2 entries", "'artfs gc'"])
        numbers = document.json["backlog"] if command == "status" else document.json
        assert (numbers["deadlist_entries"], numbers["due_entries"]) == (2, 2)
    for command in ("status", "usage"):
        assert re.search(r"\b2 .*\b2 hours\b", artfs(command).text)
    artfs("gc")
    for command in ("usage", "status"):
        assert artfs(command).err == b""


@pytest.mark.usefixtures("three_versions")
def test_what_waits_in_its_window_is_no_reason_to_warn(artfs: Run) -> None:
    artfs("rm", "x:v0")
    status = artfs("status")
    backlog = artfs("status", "--json").json["backlog"]
    assert status.err == b"" and not missing(status.text, ["1 entry", backlog["next_due"][:19] + "Z"])
    assert (backlog["deadlist_entries"], backlog["due_entries"], backlog["overdue"]) == (1, 0, False)
    assert ISO.fullmatch(backlog["oldest_at"]) and ISO.fullmatch(backlog["next_due"])


# -- what log and put say ----------------------------------------------------------------------------------------------


def test_log_marks_what_is_deleted_and_shows_what_is_gone_as_gaps(artfs: Run, data: Path) -> None:
    for _ in range(8):
        artfs("put", data, "x", "--new")
    artfs("rm", "--now", "x:v0..v1", "x:v3", "x:v6..v7")
    artfs("rm", "x:v4")
    lines = [re.sub(r"\d{4}-\S+Z", "T", line) for line in artfs("log", "x").text.splitlines()]
    assert [line.split("  ")[0] for line in lines] == ["v6..v7", "v5", "v4", "v3", "v2", "v0..v1"]
    assert lines[0] == "v6..v7  deleted" and lines[3] == "v3  deleted" and "  latest" in lines[1]
    assert "  deleted, undelete until T" in lines[2]
    records = artfs("log", "x", "--json").json["versions"]
    assert [record["number"] for record in records] == [7, 6, 5, 4, 3, 2, 1, 0]
    assert [record["state"] for record in records] == ["deleted"] * 2 + ["live"] + ["deleted"] * 2 + ["live"] + [
        "deleted"
    ] * 2
    until = {record["number"]: record["undelete_until"] for record in records}
    assert [number for number, moment in until.items() if moment] == [4] and ISO.fullmatch(until[4])
    assert records[3]["files"] == records[2]["files"], "all is known of what can come back"
    assert records[0] == {
        "name": "x:v7",
        "artifact": "x",
        "version": "v7",
        "number": 7,
        "state": "deleted",
        "undelete_until": None,
    }
    artfs("rm", "-r", "--now", "x")
    assert artfs("log", "x").text.splitlines()[0] == "v5..v7  deleted"


@pytest.mark.usefixtures("three_versions")
def test_put_says_what_it_gave_back_early(artfs: Run, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put = Workspace.put

    def on_a_full_disk(self: Workspace, *arguments: Any, **options: Any) -> Any:
        version = put(self, *arguments, **options)
        assert version.receipt is not None
        version.receipt = version.receipt._replace(reaped_bytes=5_000_000)
        return version

    monkeypatch.setattr(Workspace, "put", on_a_full_disk)
    done = artfs("put", data, "x", "--new", "--json")
    assert done.json["reaped_bytes"] == 5_000_000
    reported(done, names=["5.0 MB"])


# -- under a mount -----------------------------------------------------------------------------------------------------


@pytest.mark.fuse
@pytest.mark.usefixtures("three_versions")
def test_a_version_is_deleted_by_its_path_and_kept_while_it_is_open(
    artfs: Run, artfs_process: Run, tmp_path: Path
) -> None:
    directory = tmp_path / "mnt"
    directory.mkdir()
    assert artfs_process("mount", directory, "--workers", "1").code == 0
    try:
        with open(directory / "x" / "v0" / "own", "rb") as file:
            deleted = artfs_process("rm", "--now", "./v0", "--json", cwd=directory / "x")
            assert deleted.json["versions"] == ["x:v0"] and str(directory) in deleted.json["in_use"][0]
            assert not (directory / "x" / "v0").exists()
            assert "1 deleted version still open" in until(
                lambda: str(artfs("status").text), lambda text: "still open" in text
            )
            assert file.read() == b"\0" + bytes(range(256)) * 100
        (mount,) = until(
            lambda: artfs("status", "--json").json["mounts"], lambda mounts: mounts[0]["reaper"]["freed_bytes"] > 0
        )
        assert mount["reaper"]["last_error"] is None and mount["reaper"]["freed_nodes"] > 0
        assert "freed" in artfs("status", directory).text and entries(artfs) == 0
    finally:
        artfs_process("umount", "--lazy", directory)


def until(look: Callable[[], Any], enough: Callable[[Any], bool]) -> Any:
    """Return what ``look`` sees once it is enough, or after ten seconds."""
    deadline = time.monotonic() + 10
    while not enough(seen := look()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return seen
