"""Output: text that is safe on any terminal, tables, sizes, times and JSON.

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
from datetime import timedelta
from typing import TYPE_CHECKING

from artfs.documents.encoding import exact_name, to_json

if TYPE_CHECKING:
    from artfs.documents.encoding import Document

__all__ = [
    "age",
    "columns",
    "counted",
    "flush",
    "legible",
    "quoted",
    "say",
    "size",
    "warn",
    "warn_of_silent",
    "write",
    "write_bytes",
    "write_document",
    "write_line",
    "write_table",
]

_UNITS = ("kB", "MB", "GB", "TB", "PB", "EB")
_SPANS = ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))
_SHORT_ESCAPES = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}


def legible(text: str) -> str:
    """Return the text with every unprintable character escaped, so that it stays on its line and moves no cursor."""
    return text if text.isprintable() else "".join(map(_escaped, text))


def quoted(name: str | bytes) -> str:
    """Return a name for display: unchanged if it is unambiguous, else in double quotes with C escapes."""
    text = name if isinstance(name, str) else exact_name(name)
    if text.isprintable() and not text.startswith('"'):
        return text
    return '"' + "".join("\\" + mark if mark in '"\\' else _escaped(mark) for mark in text) + '"'


def _escaped(mark: str) -> str:
    if mark.isprintable():
        return mark
    if "\udc80" <= mark <= "\udcff":
        return f"\\x{ord(mark) - 0xDC00:02x}"
    return _SHORT_ESCAPES.get(mark) or mark.encode("unicode_escape").decode("ascii")


def size(number: int) -> str:
    """Return a number of bytes in decimal units with one digit after the point: ``999 B``, ``34.1 MB``."""
    if abs(number) < 1000:
        return f"{number} B"
    value = float(number)
    for unit in _UNITS:
        value /= 1000
        if abs(value) < 999.95:
            return f"{value:.1f} {unit}"
    return f"{value:,.1f} {_UNITS[-1]}"


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return the number with its noun: ``1 file``, ``1,204 files``."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def age(span: timedelta) -> str:
    """Return a duration in its largest whole unit: ``3 hours``, ``1 day``; negative durations are zero."""
    seconds = max(0, int(span.total_seconds()))
    length, noun = next((item for item in _SPANS if seconds >= item[0]), _SPANS[-1])
    return counted(seconds // length, noun)


def columns(rows: Sequence[Sequence[str]], *, right: Iterable[int] = ()) -> list[str]:
    """Return one line per row with the cells padded to columns; those in ``right`` are aligned to the right."""
    if not rows:
        return []
    widths = [max(_width(row[index]) for row in rows) for index in range(len(rows[0]))]
    to_the_right = frozenset(right)
    lines = []
    for row in rows:
        cells = []
        for index, cell in enumerate(row):
            padding = " " * (widths[index] - _width(cell))
            cells.append(padding + cell if index in to_the_right else cell + padding)
        lines.append("  ".join(cells).rstrip())
    return lines


def _width(text: str) -> int:
    if text.isascii():
        return len(text)
    return sum(
        2 if unicodedata.east_asian_width(mark) in "WF" else 1 for mark in text if not unicodedata.combining(mark)
    )


def write_table(
    headings: Sequence[str], rows: Sequence[Sequence[str]], *, right: Iterable[int] = (), headed: bool = False
) -> None:
    """Write rows in columns to stdout, with headings only on a terminal, so that scripts can count rows.

    ``headed`` always prints the headings.
    """
    if not rows:
        return
    if headed or (sys.stdout is not None and sys.stdout.isatty()):
        rows = [headings, *rows]
    write("".join(line + "\n" for line in columns(rows, right=right)))


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
