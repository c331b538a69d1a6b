"""Arguments of the Python API, as callers write them: sequences of texts, durations."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from artstore.errors import InvalidInputError

__all__ = ["paths_of", "shown_value", "text", "texts", "texts_of"]

_SHOWN_CHARACTERS = 60


def shown_value(value: object) -> str:
    """Return a value for a message: as Python writes it, with its type, on one line."""
    try:
        written = " ".join(repr(value).split())
    except Exception:  # a class whose repr is broken
        return f"a {type(value).__name__}"
    written = written if len(written) <= _SHOWN_CHARACTERS else f"{written[: _SHOWN_CHARACTERS - 3]}..."
    return f"{written} ({type(value).__name__})"


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
