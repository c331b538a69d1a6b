"""On a terminal: headings, colours, local times, lines that fit, a pager.  In a pipe: none of these."""

from __future__ import annotations

import os
import pty
import re
import struct
import sys
import termios
from collections.abc import Callable
from fcntl import ioctl
from pathlib import Path
from typing import Any

import pytest

from artfs.cli import output, terminal
from artfs.cli.main import main

Run = Callable[..., Any]

ESCAPE = "\x1b["


def on_terminal(*words: str, columns: int = 80, rows: int = 24, keys: str = "", **variables: str) -> tuple[int, str]:
    """Run the command with a terminal as its streams; return the exit code and what the terminal shows."""
    pid, shown = pty.fork()
    if not pid:
        ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        given = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
        given |= {"TERM": "xterm", "ARTFS_PAGER": "", "LC_ALL": "C.UTF-8", **variables}
        os.execve(sys.executable, [sys.executable, "-W", "ignore", "-m", "artfs", *words], given)
    if keys:
        os.write(shown, keys.encode())
    text = b""
    try:
        while part := os.read(shown, 65536):
            text += part
    except OSError:
        pass  # the other end is closed
    os.close(shown)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), text.decode().replace("\r\n", "\n")


@pytest.fixture
def versions(artfs: Run, data: Path) -> Run:
    """A workspace with two versions of an artifact with long names."""
    artfs("put", data, "team/" + "long-name-" * 5, "--description", "word " * 40, "-a", "an-alias-of-it")
    artfs("put", data, "x")
    (data / "train" / "a.txt").unlink()
    (data / "new").write_text("new")
    artfs("put", data, "x")
    artfs("retention", "set", "few", "--artifact", "x", "--keep-last", "1")
    return artfs


def test_tables_have_headings_and_fit(versions: Run) -> None:
    """No line is longer than the terminal, if it is not very narrow; numbers are never cut."""
    for line in ("ls", "ls -l", "ls -l x", "log x", "usage x", "find"):
        for columns in (80, 132) if line == "ls -l x" else (60, 80, 132):
            code, shown = on_terminal(*line.split(), columns=columns, NO_COLOR="1")
            lines = shown.splitlines()
            assert code == 0 and lines[0].startswith(("ARTIFACT", "VERSION")), line
            table = [each for each in lines if not re.match("[a-z]+: ", each)]  # without the notes below
            assert max(map(len, table)) <= columns, (line, columns, shown)


def test_a_pipe_gets_whole_words(versions: Run) -> None:
    """Nothing in it depends on a terminal: no escapes, no headings, UTC, and no word is cut."""
    for line in ("ls", "ls -l", "log x", "diff x:v0 x:v1", "show x", "status", "doctor", "retention plan"):
        text = versions(*line.split()).text
        assert ESCAPE not in text and "\u2026" not in text, line
    assert "long-name-" * 5 in versions("ls").text
    assert re.search(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", versions("log", "x").text)


@pytest.mark.parametrize(
    ("line", "style"),
    [
        ("diff x:v0 x:v1", "added"),
        ("diff x:v0 x:v1", "removed"),
        ("doctor", "ok"),
        ("ls", "heading"),
        ("log x", "heading"),
        ("retention plan", "removed"),
    ],
)
def test_colours(versions: Run, line: str, style: str) -> None:
    """They are used on a terminal that has them, unless the user says otherwise."""
    mark = f"{ESCAPE}{terminal._CODES[style]}m"
    assert mark in on_terminal(*line.split())[1]
    assert ESCAPE not in on_terminal(*line.split(), NO_COLOR="1")[1]
    assert ESCAPE not in on_terminal(*line.split(), TERM="dumb")[1]
    assert ESCAPE not in on_terminal("--color", "never", *line.split())[1]
    assert mark in on_terminal("--color", "always", *line.split(), NO_COLOR="1")[1]


def test_colours_for_a_pipe_if_asked_for(versions: Run) -> None:
    try:
        assert ESCAPE in versions("--color", "always", "diff", "x:v0", "x:v1").text
    finally:
        terminal.choose_colours("auto")
    assert ESCAPE not in versions("diff", "x:v0", "x:v1").text


def test_times_are_local_on_a_terminal(versions: Run) -> None:
    """To the minute, and with how long ago it was where there is room."""
    _, shown = on_terminal("show", "x", TZ="Asia/Kolkata")
    assert re.search(r"^created +\d{4}-\d\d-\d\d \d\d:\d\d \(\d+ (seconds?|minutes?) ago\)$", shown, re.MULTILINE)
    clocks = [re.findall(r"\d\d:\d\d", on_terminal("log", "x", TZ=zone)[1])[0] for zone in ("UTC", "Asia/Kolkata")]
    first, second = (int(clock[:2]) * 60 + int(clock[3:]) for clock in clocks)
    assert (second - first) % 1440 == 330
    assert "Z" in versions("show", "x", "--json").json["created_at"]


def test_long_values_go_on_below_themselves(versions: Run) -> None:
    code, shown = on_terminal("show", "team/" + "long-name-" * 5, columns=60)
    lines = shown.splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("description"))
    assert code == 0 and lines[first + 1].startswith(" " * 13 + "word") and len(lines[first]) <= 60


def test_a_pager_gets_what_is_shown(versions: Run) -> None:
    """ARTFS_PAGER comes before PAGER; JSON, empty variables and `cat` have none."""
    assert on_terminal("ls", ARTFS_PAGER="sed s/^/P:/")[1].startswith("P:")
    assert on_terminal("log", "x", ARTFS_PAGER="sed s/^/P:/", PAGER="false")[1].startswith("P:")
    for variables in ({"ARTFS_PAGER": ""}, {"ARTFS_PAGER": "cat"}, {"ARTFS_PAGER": "no-such-pager"}):
        assert "P:" not in on_terminal("ls", PAGER="sed s/^/P:/", **variables)[1]
    assert "P:" not in on_terminal("ls", "--json", ARTFS_PAGER="sed s/^/P:/")[1]
    assert "P:" not in on_terminal("ls", TERM="dumb", ARTFS_PAGER="sed s/^/P:/")[1]


def test_a_pager_that_is_left_early_is_no_failure(versions: Run) -> None:
    """What it did not take is not shown afterwards."""
    code, shown = on_terminal("ls", ARTFS_PAGER="head -n 1")
    assert (code, len(shown.splitlines())) == (0, 1)
    assert on_terminal("ls", ARTFS_PAGER="true") == (0, "")


def test_a_failure_behind_a_pager(versions: Run) -> None:
    code, shown = on_terminal("log", "nothing", ARTFS_PAGER="sed s/^/P:/")
    assert code == 3 and shown.startswith("artfs: there is no artifact 'nothing'")


def test_less_shows_short_answers_without_waiting(versions: Run) -> None:
    """The default pager ends on its own if the text fits."""
    code, shown = on_terminal("ls", ARTFS_PAGER="less")
    assert code == 0 and "VERSIONS" in shown


@pytest.mark.parametrize(
    "line",
    [
        "alias log x",
        "tag ls x",
        "draft ls",
        "ref ls x",
        "run ls",
        "retention ls",
        "find --tag none",
        "cache info",
        "ls",
    ],
)
def test_an_empty_answer_is_one_line_on_stderr(artfs: Run, data: Path, tmp_path: Path, line: str) -> None:
    """With --json it is a document alone."""
    os.environ["ARTFS_CACHE_DIR"] = str(tmp_path / "cache")
    try:
        artfs("init") if line == "ls" else artfs("put", data, "x")
        result = artfs(*line.split())
        lines = result.message.splitlines()
        assert (result.code, len(lines)) == (0, 1) and lines[0].startswith("artfs: ")
        assert result.text == ("" if line != "cache info" else f"0 B in {tmp_path / 'cache'}\n")
        assert artfs(*line.split(), "--json").err == b""
    finally:
        del os.environ["ARTFS_CACHE_DIR"]


def test_log_of_the_newest(versions: Run) -> None:
    assert [line.split()[0] for line in versions("log", "x", "-n", "1").text.splitlines()] == ["v1"]
    assert len(versions("log", "x", "-n", "1", "--json").json["versions"]) == 1
    assert len(versions("log", "x", "-n", "9").text.splitlines()) == 2


def test_differences_by_folder_and_by_name(versions: Run) -> None:
    assert versions("diff", "x:v0", "x:v1", "--name-only").text.splitlines() == ["new", "train/a.txt"]
    lines = versions("diff", "x:v0", "x:v1", "--stat").text.splitlines()
    assert [line.split()[0] for line in lines] == ["(top)", "train/", "1"]
    assert lines[-1] == versions("diff", "x:v0", "x:v1").text.splitlines()[-1]


@pytest.mark.parametrize("limit", [10, 20, 40, 200])
def test_columns_are_cut_to_a_limit(limit: int) -> None:
    """The widest columns are narrowed, those to the right never; wide letters count twice."""
    rows = [["name" * 20, "1,000", "\u65e5\u672c" * 20], ["short", "1", "text"]]
    lines = output.columns(rows, right=[1], limit=limit)
    seen = [output._width(line) for line in lines]
    assert max(seen) <= max(limit, 5 + 4 + 4 + 4) and all("1" in line for line in lines)
    assert output.columns(rows, right=[1], limit=1000) == output.columns(rows, right=[1])


def test_without_stdout_nothing_is_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    assert not terminal.is_terminal() and terminal.width() is None and not terminal.colours()
    assert main(["--version"]) == 1
