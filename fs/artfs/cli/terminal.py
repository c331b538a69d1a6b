"""The terminal that stdout is: its width, colours, and a pager for what is longer than it.

A pipe or a file gets none of these: its text does not depend on where the command runs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

__all__ = ["choose_colours", "colours", "is_terminal", "paging", "styled", "width"]

_CODES: Final = {
    "added": "32",
    "removed": "31",
    "changed": "33",
    "renamed": "36",
    "mode": "33",
    "ok": "32",
    "warn": "33",
    "fail": "31",
    "heading": "1",
    "faint": "2",
}
"""The escape codes of the styles, by what they mark."""
_SMALLEST: Final = 20
"""A terminal that claims to be narrower is not believed."""


class _State:
    """What holds for the rest of the process: the user's choice of colours, and the terminal behind a pager."""

    def __init__(self) -> None:
        self.colours = "auto"
        self.terminal: int | None = None


_state = _State()


def is_terminal() -> bool:
    """Return whether stdout is a terminal, or a pager on one."""
    if _state.terminal is not None:
        return True
    try:
        return sys.stdout is not None and sys.stdout.isatty()
    except ValueError:  # it is closed
        return False


def width() -> int | None:
    """Return the number of columns of the terminal that stdout is; None for anything else."""
    if not is_terminal():
        return None
    given = os.environ.get("COLUMNS", "")
    if given.isdecimal() and int(given):
        return max(int(given), _SMALLEST)
    with suppress(OSError, ValueError, AttributeError):
        descriptor = sys.stdout.fileno() if _state.terminal is None else _state.terminal
        columns = os.get_terminal_size(descriptor).columns
        return max(columns, _SMALLEST) if columns else None
    return None


def choose_colours(when: str) -> None:
    """Set when colours are used: "auto", "always" or "never"."""
    _state.colours = when


def colours() -> bool:
    """Return whether text is coloured: on a terminal that can, unless NO_COLOR is set, or as the user chose."""
    if _state.colours != "auto":
        return _state.colours == "always"
    return is_terminal() and not os.environ.get("NO_COLOR") and not _is_dumb()


def _is_dumb() -> bool:
    return os.environ.get("TERM", "") in ("", "dumb")


def styled(text: str, style: str) -> str:
    """Return a text with the escape codes of a style, if colours are used."""
    return f"\x1b[{_CODES[style]}m{text}\x1b[0m" if text and colours() else text


@contextmanager
def paging() -> Iterator[None]:
    """Pass what is written to stdout to a pager, if it is a terminal; the pager has ended when the block has.

    The pager is $ARTFS_PAGER, else $PAGER, else less, which shows nothing of its own if the text fits.  ``cat`` or an
    empty variable is none.  If the user leaves the pager early, the rest of the block is skipped.
    """
    command = os.environ.get("ARTFS_PAGER", os.environ.get("PAGER", "less"))
    if not is_terminal() or _is_dumb() or command.strip() in ("", "cat"):
        yield
        return
    import shutil
    import subprocess

    if shutil.which(command.split()[0]) is None:
        yield
        return
    sys.stdout.flush()
    environment = {"LESS": "FRX", "LV": "-c", **os.environ}
    pager = subprocess.Popen(command, shell=True, stdin=subprocess.PIPE, env=environment)
    assert pager.stdin is not None
    _state.terminal = os.dup(1)
    os.dup2(pager.stdin.fileno(), 1)
    pager.stdin.close()
    try:
        with suppress(BrokenPipeError):
            yield
            sys.stdout.flush()
    finally:
        _end_paging(pager.wait)


def _end_paging(wait: object) -> None:
    """Make stdout the terminal again, without what the pager did not take, and wait for the user to leave the pager."""
    assert callable(wait) and _state.terminal is not None
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, 1)  # closes the pager's stdin
    os.close(sink)
    with suppress(OSError):
        sys.stdout.flush()
    while True:
        with suppress(KeyboardInterrupt):  # it is meant for the pager
            wait()
            break
    os.dup2(_state.terminal, 1)
    os.close(_state.terminal)
    _state.terminal = None
