"""The bar is there on a terminal, with rate and time left, and nowhere else."""

from __future__ import annotations

import io
import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from artfs.cli.progress import progress_bar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@dataclass
class Step:
    phase: str
    files_done: int
    bytes_done: int
    files_total: int | None = None
    bytes_total: int | None = None
    current: str = ""


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Terminal]]:
    """Put a terminal in the place of stderr; called by the test itself, for pytest sets stderr for its own body."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "160")

    def put_in_place() -> Terminal:
        stream = Terminal()
        monkeypatch.setattr(sys, "stderr", stream)
        return stream

    yield put_in_place


def test_a_pipe_gets_nothing_and_the_call_need_not_count(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar() as update:
        assert update is None
    assert capsys.readouterr().err == ""


def test_a_dumb_terminal_gets_nothing(terminal: Callable[[], Terminal], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    with progress_bar() as update:
        assert update is None


def test_a_terminal_shows_phase_rate_files_and_current(terminal: Callable[[], Terminal]) -> None:
    screen = terminal()
    with progress_bar() as update:
        assert update is not None
        update(Step("scanning", 1, 0, None, None, "a"))  # type: ignore[arg-type]
        for megabyte in (0, 1, 2):
            update(Step("storing", 1, megabyte * 10**6, 4, 4 * 10**6, "train/[red]\x1b[2J.bin"))  # type: ignore[arg-type]
            time.sleep(0.15)
    shown = screen.getvalue()
    for part in ("scanning", "storing", "1/4 files", "2.0/4.0 MB", "B/s", "train/[red]\\x1b"):
        assert part in shown, part
    assert re.search(r"\d:\d\d:\d\d", shown)
    assert "\x1b[2J" not in shown
    assert shown.rstrip("\n").endswith(("\x1b[2K", "\x1b[?25h"))


def test_redraws_are_bounded_however_often_the_call_reports(terminal: Callable[[], Terminal]) -> None:
    screen = terminal()
    with progress_bar() as update:
        assert update is not None
        for number in range(2000):
            update(Step("storing", number, number, 2000, 2000))  # type: ignore[arg-type]
    assert screen.getvalue().count("storing") < 200


def test_the_cursor_comes_back_when_the_call_is_interrupted(terminal: Callable[[], Terminal]) -> None:
    screen = terminal()
    with pytest.raises(KeyboardInterrupt), progress_bar() as update:
        assert update is not None
        update(Step("storing", 1, 1, 2, 2))  # type: ignore[arg-type]
        raise KeyboardInterrupt
    assert screen.getvalue().rfind("\x1b[?25h") > screen.getvalue().rfind("\x1b[?25l")


def test_a_phase_that_knows_no_bytes_is_measured_by_number(terminal: Callable[[], Terminal]) -> None:
    screen = terminal()
    with progress_bar("page") as update:
        assert update is not None
        for number in (0, 500, 1000):
            update(Step("checking", number, 0, 1000, None))  # type: ignore[arg-type]
            time.sleep(0.15)
        update(Step("verifying", 0, 10**6, None, 10**6))  # type: ignore[arg-type]
    counting, _, verifying = screen.getvalue().partition("verifying")
    assert "500/1,000 pages" in counting and "bytes" not in counting and "MB" not in counting
    assert "1.0/1.0 MB" in verifying and "pages" not in verifying
