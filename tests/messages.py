"""Assertions about errors that do not depend on the wording: the kind, the exit code and the names in the sentence.

The wording itself is tested in one place, the tables in tests/fs/cli/test_messages.py.  Where only words tell
two reasons of one class apart, a test names the reason, and tests/reasons.py has the words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

import pytest

from reasons import REASONS, has_reason

E = TypeVar("E", bound=BaseException)


class Finished(Protocol):
    """What a run of the command leaves: its exit code and what it wrote to stderr."""

    code: int

    @property
    def message(self) -> str: ...


def missing(sentence: str, names: Iterable[str]) -> list[str]:
    """Return the names that do not occur in the sentence as whole words."""
    return [name for name in names if not re.search(_as_word(name), sentence)]


def _as_word(name: str) -> str:
    before = r"(?<!\w)" if re.match(r"\w", name) else ""
    after = r"(?!\w)" if re.search(r"\w$", name) else ""
    return before + re.escape(name) + after


def refused(result: Finished, *, code: int, names: Iterable[str] = (), reason: str | None = None) -> None:
    """Assert that a command failed with this exit code, in one sentence with every name and the reason."""
    assert result.code == code, result.message
    assert result.message.startswith("artfs: ") and result.message.count("\n") == 1, result.message
    _check(result.message, names, reason)


def reported(result: Finished, *, names: Iterable[str], lines: int = 1) -> None:
    """Assert that a command succeeded, and wrote so many lines to stderr that contain every name."""
    assert result.code == 0, result.message
    assert result.message.startswith("artfs: ") and result.message.count("\n") == lines, result.message
    assert not missing(result.message, names), result.message


@contextmanager
def raises(
    error: type[E] | tuple[type[E], ...], *, names: Iterable[str] = (), reason: str | None = None
) -> Iterator[pytest.ExceptionInfo[E]]:
    """Assert that the block raises this error, and that its sentence contains every name and gives the reason."""
    with pytest.raises(error) as caught:
        yield caught
    _check(str(caught.value), names, reason)


def _check(sentence: str, names: Iterable[str], reason: str | None) -> None:
    assert not missing(sentence, names), sentence
    assert reason is None or has_reason(sentence, reason), f"{REASONS[reason]!r} is not in: {sentence}"
