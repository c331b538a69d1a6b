"""Naming what cannot be put: one error, one line, whatever the number."""

from __future__ import annotations

import errno
import os
import stat

import pytest

from artstore.errors import SourceChangedError, SourceError
from artstore.ingest.source.problems import PROBLEMS_MAX, Problems, special_kind
from messages import missing, raises


def test_without_problems_nothing_is_raised() -> None:
    """A clean walk ends quietly."""
    Problems().raise_any()


@pytest.mark.parametrize(
    ("count", "names"),
    [
        (1, ["bad"]),
        (3, ["3 entries", "bad"]),
        (5, ["5 entries", "2 more", "bad"]),
    ],
)
def test_the_first_are_named_and_all_are_listed(count: int, names: list[str]) -> None:
    """The sentence names a few, the error's paths hold all."""
    problems = Problems()
    for index in range(count):
        problems.add(b"%d" % index, "bad")
    with raises(SourceError, names=names) as caught:
        problems.raise_any()
    indices = [str(index) for index in range(count)]
    assert missing(str(caught.value), indices) == indices[3:]
    assert caught.value.paths == [b"%d" % index for index in range(count)]


def test_too_many_raise_by_themselves() -> None:
    """The last problem of the limit raises, and says that there may be more."""
    problems = Problems()
    for index in range(PROBLEMS_MAX - 1):
        problems.add(b"%d" % index, "bad")
    with raises(SourceError, names=["100 entries"]):
        problems.add(b"last", "bad")


def test_only_change_alone_is_called_change() -> None:
    """Vanished entries make SourceChangedError, until something is met that time will not mend."""
    problems = Problems()
    problems.add_error(b"a", FileNotFoundError(errno.ENOENT, "gone"))
    with raises(SourceChangedError, names=["a"]):
        problems.raise_any()
    problems.add_error(b"b", PermissionError(errno.EACCES, "no"))
    with raises(SourceError, names=["b", os.strerror(errno.EACCES)]) as caught:
        problems.raise_any()
    assert not isinstance(caught.value, SourceChangedError)


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        (stat.S_IFSOCK, "a socket"),
        (stat.S_IFIFO, "a named pipe"),
        (stat.S_IFBLK, "a device"),
        (stat.S_IFCHR, "a device"),
        (0, "neither a file nor a folder"),
    ],
)
def test_special_entries_have_names(mode: int, kind: str) -> None:
    """Each kind of entry that has no content is called what it is."""
    assert special_kind(mode) == kind
