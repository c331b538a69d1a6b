"""Names, amounts and spans of time as people read them, on a terminal and on a page.

Names of files are bytes and may hold anything.  A name with an unprintable character is shown in double quotes with C
escapes, as Git does; other text has its unprintable characters escaped.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from artfs.documents.encoding import exact_name

if TYPE_CHECKING:
    from artstore.retention.rules import Rule

__all__ = ["age", "counted", "legible", "quoted", "rule_in_words", "size", "written_duration"]

_UNITS: Final = ("kB", "MB", "GB", "TB", "PB", "EB")
_SPANS: Final = ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))
_LETTERS: Final = {"m": 60, "h": 3600, "d": 86400}
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


def written_duration(seconds: float) -> str:
    """Format seconds as commands read them: ``24h``, ``7d``, ``90m``."""
    if not seconds:
        return "0"
    for unit in "dhm":
        number = seconds / _LETTERS[unit]
        if number >= 2 and number.is_integer():
            return f"{number:.0f}{unit}"
    return f"{seconds:.15g}s"


def rule_in_words(rule: Rule) -> str:
    """Return what a rule of retention selects and keeps, in words."""
    selects = [
        f"{word} {value}"
        for word, value in (
            ("project", rule.project),
            ("type", rule.type),
            ("artifact", rule.artifact),
            ("tag", rule.tag),
        )
        if value is not None
    ]
    selects += [f"{name}={value!r}" for name, value in rule.metadata.items()]
    keeps = ["everything"] if rule.everything else []
    if rule.last:
        keeps.append(f"the last {rule.last}")
    if rule.within:
        keeps.append(f"versions younger than {written_duration(rule.within)}")
    if rule.best:
        keeps.append(f"the best {rule.best} by {'least ' if rule.lowest else ''}{rule.field}")
    for period in ("hourly", "daily", "weekly", "monthly", "yearly"):
        if getattr(rule, period):
            keeps.append(f"{getattr(rule, period)} {period}")
    keeps += [f"alias {glob}" for glob in rule.aliases] + [f"tag {glob}" for glob in rule.tags]
    aliased = "; aliases do not protect versions" if rule.aliased else ""
    return f"for {', '.join(selects) or 'all artifacts'}, keep {', '.join(keeps)}{aliased}"
