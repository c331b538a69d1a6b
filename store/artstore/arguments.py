"""Arguments of the Python API, as callers write them: sequences of texts, durations."""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from numbers import Real
from typing import Final

from artstore.errors import InvalidInputError

__all__ = [
    "Duration",
    "check_codec",
    "listed_paths",
    "paths_of",
    "raw_path",
    "seconds_of",
    "shown_text",
    "shown_value",
    "text",
    "texts",
    "texts_of",
    "whole_number",
]

Duration = float | str | timedelta
"""A time span: seconds, text such as ``30d``, or a timedelta."""

_SHOWN_CHARACTERS: Final = 60
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_DURATION: Final = re.compile(r"(?:\d+(?:\.\d+)?[smhdw])+", re.ASCII)


def shown_value(value: object) -> str:
    """Return a value for a message: as Python writes it, with its type, on one line."""
    try:
        written = " ".join(repr(value).split())
    except Exception:  # a class whose repr is broken
        return f"a {type(value).__name__}"
    written = written if len(written) <= _SHOWN_CHARACTERS else f"{written[: _SHOWN_CHARACTERS - 3]}..."
    return f"{written} ({type(value).__name__})"


def shown_text(value: str) -> str:
    """Return a text for a message, in quotes and not too long."""
    return repr(value if len(value) <= _SHOWN_CHARACTERS else f"{value[: _SHOWN_CHARACTERS - 3]}...")


def text(value: object, what: str) -> str:
    """Return a value that must be a text; raise `InvalidInputError` naming ``what`` for anything else."""
    if not isinstance(value, str):
        raise InvalidInputError(f"{what} must be text, not {shown_value(value)}")
    return value


def texts(values: Iterable[str] | str | None, what: str) -> list[str]:
    """Return a sequence of texts as a list; a single text is one of them, not a sequence of letters, and None is none.

    Every parameter that takes several names, tags, globs or paths is read here.  Raises `InvalidInputError` naming
    ``what`` for anything else.
    """
    if values is None:
        return []
    if isinstance(values, str):
        return [values]
    if isinstance(values, bytes | bytearray | memoryview | Mapping) or not isinstance(values, Iterable):
        raise InvalidInputError(f"{what} must be a list of texts, not {shown_value(values)}")
    return [text(each, f"each of {what}") for each in values]


def texts_of(values: Iterable[Iterable[str] | str], what: str) -> list[str]:
    """Return the texts of a variable number of arguments, each of which is a text or a sequence of texts."""
    return [each for value in values for each in texts(value, what)]


def whole_number(value: object, what: str, *, least: int = 0) -> int:
    """Return a whole number from ``least`` to 2**63 - 1; raise `InvalidInputError` for anything else."""
    if type(value) is not int or not least <= value < 1 << 63:
        raise InvalidInputError(f"{what} is a whole number of at least {least}, not {shown_value(value)}")
    return value


def paths_of(values: Iterable[object], what: str) -> list[str]:
    """Return the paths of a variable number of arguments, each of which is a path or a sequence of paths."""
    paths: list[str] = []
    for value in values:
        is_path = isinstance(value, str | bytes | os.PathLike)
        several = [value] if is_path or isinstance(value, Mapping) or not isinstance(value, Iterable) else value
        for each in several:
            if not isinstance(each, str | bytes | os.PathLike):
                raise InvalidInputError(f"{what} must be paths, not {shown_value(each)}")
            paths.append(os.fsdecode(each))
    return paths


def listed_paths(values: Iterable[str | bytes] | str | bytes, what: str) -> Iterator[str | bytes]:
    """Yield the paths of an iterable as they are, one by one; a single path is one of them.

    Raises `InvalidInputError` naming ``what`` for anything else.
    """
    if isinstance(values, str | bytes):
        values = [values]
    if isinstance(values, bytearray | memoryview | Mapping) or not isinstance(values, Iterable):
        raise InvalidInputError(f"{what} must be a list of paths, not {shown_value(values)}")
    for each in values:
        if not isinstance(each, str | bytes | os.PathLike):
            raise InvalidInputError(f"each of {what} must be a path, not {shown_value(each)}")
        yield each


def seconds_of(value: Duration, what: str) -> float:
    """Return a duration in seconds: of a number of seconds, a text such as ``30d`` or ``1d12h``, or a timedelta.

    Raises `InvalidInputError` naming ``what`` for anything else.
    """
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Real) and not isinstance(value, bool):
        try:
            return float(value)
        except (OverflowError, ValueError):
            raise InvalidInputError(f"{what} is out of range") from None
    if value == "0":
        return 0.0
    if not isinstance(value, str):
        raise InvalidInputError(f"{what} must be seconds, a text such as 30d, or a timedelta, not {shown_value(value)}")
    if _DURATION.fullmatch(value) is None:
        hint = "write a number with a unit, such as 24h, 7d, 90m or 30s, or 0"
        raise InvalidInputError(f"{shown_text(value)} is not a duration", hint=hint)
    return float(sum(float(part[:-1]) * _UNITS[part[-1]] for part in re.findall(r"[\d.]+[smhdw]", value)))


def raw_path(path: str | bytes | os.PathLike[str]) -> bytes:
    """Return a path as bytes; raise `InvalidInputError` for a text that no file can have as its name."""
    try:
        raw = os.fsencode(path)
    except UnicodeEncodeError:
        raise InvalidInputError(f"the path {shown_value(path)} cannot be written as bytes") from None
    if b"\0" in raw:
        raise InvalidInputError(f"the path {shown_value(path)} contains a zero byte")
    return raw


def check_codec(encoding: str, errors: str = "strict") -> None:
    """Raise `InvalidInputError` unless Python knows the encoding of text and the way to treat its errors."""
    try:
        codecs.lookup(encoding)
        codecs.lookup_error(errors)
    except (LookupError, ValueError):
        raise InvalidInputError(
            f"there is no encoding {shown_value(encoding)} of text with errors={errors!r:.60}"
        ) from None
