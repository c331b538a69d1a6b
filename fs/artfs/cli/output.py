"""Output: text that is safe on any terminal, tables that fit it, sizes, times and JSON.

Names of files are bytes and may hold anything.  In text, a name with an unprintable character is shown in double
quotes with C escapes, as Git does; other text has its unprintable characters escaped.  In JSON, bytes that are not
UTF-8 appear as the lone surrogates ``\\udc80`` to ``\\udcff`` (Python's ``surrogateescape``), written as escapes.
"""

from __future__ import annotations

import errno
import os
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from artfs.cli import terminal
from artfs.cli.terminal import styled
from artfs.documents.encoding import timestamp, to_json
from artfs.legible import age, counted, legible, quoted, size

if TYPE_CHECKING:
    from artfs.documents.encoding import Document

__all__ = [
    "age",
    "columns",
    "counted",
    "flush",
    "legible",
    "moment",
    "quoted",
    "say",
    "size",
    "warn",
    "warn_of_silent",
    "write",
    "write_bytes",
    "write_document",
    "write_fields",
    "write_line",
    "write_table",
]

_NARROWEST = (16, 8, 4)
"""The widths to which columns of a table are narrowed, one after the other."""
_WHOLE = frozenset({"VERSION", "LATEST", "CREATED", "EXPIRES", "SINCE", "USED", "BEGAN", "MODIFIED", "MODE"})
"""The headings of columns of which a part is of no use."""


def moment(time: datetime, *, relative: bool = False) -> str:
    """Return a time for people: on a terminal in the local time zone, to the minute; elsewhere in UTC, to the second.

    With ``relative``, a terminal also shows how long ago, or from now, it is.
    """
    if not terminal.is_terminal():
        return timestamp(time, seconds=True)
    text = f"{time.astimezone():%Y-%m-%d %H:%M}"
    if not relative:
        return text
    since = datetime.now(UTC) - time
    return f"{text} ({age(since)} ago)" if since >= timedelta() else f"{text} (in {age(-since)})"


def columns(
    rows: Sequence[Sequence[str]],
    *,
    right: Iterable[int] = (),
    whole: Iterable[int] = (),
    limit: int | None = None,
) -> list[str]:
    """Return one line per row with the cells padded to columns; those in ``right`` are aligned to the right.

    If the lines would be longer than ``limit``, the widest of the columns that are in neither ``right`` nor ``whole``
    are cut.
    """
    if not rows:
        return []
    to_the_right = frozenset(right)
    widths = [max(_width(row[index]) for row in rows) for index in range(len(rows[0]))]
    if limit is not None:
        widths = _fitted(widths, to_the_right | frozenset(whole), limit)
    lines = []
    for row in rows:
        cells = []
        for index, cell in enumerate(_cut(text, room) for text, room in zip(row, widths, strict=True)):
            padding = " " * (widths[index] - _width(cell))
            cells.append(padding + cell if index in to_the_right else cell + padding)
        lines.append("  ".join(cells).rstrip())
    return lines


def _fitted(widths: Sequence[int], fixed: frozenset[int], limit: int) -> list[int]:
    """Return the widths with the widest columns that are not fixed narrowed as far as the limit asks for.

    The columns that are narrowed first are those that are much wider than the others.
    """
    fitted = list(widths)
    for narrowest in _NARROWEST:
        while sum(fitted) + 2 * (len(fitted) - 1) > limit:
            able = [index for index in range(len(fitted)) if index not in fixed]
            widest = max(able, key=lambda index: fitted[index], default=-1)
            if widest < 0 or fitted[widest] <= narrowest:
                break
            fitted[widest] -= 1
    return fitted


def _cut(text: str, room: int) -> str:
    """Return the text, or as much of its begin as fits, with a mark."""
    if _width(text) <= room:
        return text
    mark = "\u2026" if (getattr(sys.stdout, "encoding", None) or "").lower().startswith("utf") else "~"
    kept, used = [], 1
    for letter in text:
        used += _width(letter)
        if used > room:
            break
        kept.append(letter)
    return "".join(kept) + mark


def _width(text: str) -> int:
    if text.isascii():
        return len(text)
    return sum(
        2 if unicodedata.east_asian_width(mark) in "WF" else 1 for mark in text if not unicodedata.combining(mark)
    )


def write_fields(rows: Sequence[Sequence[str]]) -> None:
    """Write a line for each name and value to stdout; on a terminal, a value that is too long goes on below itself."""
    if not rows:
        return
    limit = terminal.width()
    indent = 2 + max(_width(name) for name, _ in rows)
    for line, (name, value) in zip(columns(rows), rows, strict=True):
        if limit is None or _width(line) <= limit or limit - indent < _NARROWEST[0]:
            write_line(line)
            continue
        first, *rest = _wrapped(value, limit - indent)
        write_line(f"{name}{' ' * (indent - _width(name))}{first}")
        for part in rest:
            write_line(" " * indent + part)


def _wrapped(text: str, room: int) -> list[str]:
    """Return the text in lines of at most so many columns; a word that is longer stays whole, so it can be copied."""
    lines = [""]
    for word in text.split(" "):
        joined = f"{lines[-1]} {word}" if lines[-1] else word
        if _width(joined) <= room or not lines[-1]:
            lines[-1] = joined
        else:
            lines.append(word)
    return lines


def write_table(
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    right: Iterable[int] = (),
    headed: bool = False,
    empty: str = "",
) -> None:
    """Write rows in columns to stdout, with headings only on a terminal, so that scripts can count rows.

    On a terminal, the lines fit its width.  ``headed`` always prints the headings.  Without rows, only the sentence
    ``empty`` is written, to stderr.
    """
    if not rows:
        if empty:
            warn(empty)
        return
    longest = [max(_width(row[index]) for row in rows) for index in range(len(headings))]
    whole = [index for index, heading in enumerate(headings) if heading in _WHOLE and longest[index] <= _NARROWEST[0]]
    first, *rest = columns([headings, *rows], right=right, whole=whole, limit=terminal.width())
    if not headed and not terminal.is_terminal():
        rest = columns(rows, right=right)
    else:
        write_line(styled(first, "heading"))
    write("".join(line + "\n" for line in rest))


def write(text: str) -> None:
    """Write text to stdout; the OSError of a failure names stdout."""
    if sys.stdout is None:
        raise _about_stdout(OSError(errno.EBADF, os.strerror(errno.EBADF)))
    try:
        sys.stdout.write(text)
    except OSError as error:
        raise _about_stdout(error) from None


def flush() -> None:
    """Flush stdout; raises as ``write`` does."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
    except OSError as error:
        raise _about_stdout(error) from None


def _about_stdout(error: OSError) -> OSError:
    # The class follows the errno, so a closed pipe stays a BrokenPipeError.
    return OSError(error.errno, f"cannot write to standard output: {error.strerror}")


def write_line(text: str) -> None:
    """Write one line to stdout."""
    write(text + "\n")


def write_bytes(data: bytes | memoryview) -> None:
    """Write bytes to stdout, unchanged and after all text written before."""
    write("")
    flush()
    try:
        sys.stdout.buffer.write(data)
    except OSError as error:
        raise _about_stdout(error) from None


def write_document(document: Document) -> None:
    """Write one JSON document to stdout."""
    write(to_json(document) + "\n")


def warn(message: str) -> None:
    """Write one sentence to stderr."""
    say(f"artfs: {legible(message)}")


def warn_of_silent(mounts: Iterable[str]) -> None:
    """Name the mounts that did not answer the notification of a change."""
    for mount in mounts:
        warn(f"the mount at {quoted(mount)} did not answer; it shows the change within a second once it runs again")


def say(line: str) -> None:
    """Write one line to stderr; if stderr is closed or broken, the line is dropped."""
    if sys.stderr is None:
        return
    try:
        sys.stderr.write(line + "\n")
        sys.stderr.flush()
    except OSError:
        pass
