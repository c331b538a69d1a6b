"""Names, amounts and spans of time as people read them, on a terminal and on a page.

Names of files are bytes and may hold anything.  A name with an unprintable character is shown in double quotes with C
escapes, as Git does; other text has its unprintable characters escaped.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from artfs.documents.encoding import exact_name

__all__ = ["age", "counted", "legible", "quoted", "size"]

_UNITS: Final = ("kB", "MB", "GB", "TB", "PB", "EB")
_SPANS: Final = ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))
_SHORT_ESCAPES: Final = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}


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
