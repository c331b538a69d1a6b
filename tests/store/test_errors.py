"""The error tree: each error is the builtin that a caller would catch, and survives a process boundary."""

from __future__ import annotations

import copy
import pickle
import traceback

import pytest

from artstore import errors
from artstore.errors import ArtfsError, NotFoundError, OutOfSpaceError, SourceChangedError, SourceError

CLASSES = [getattr(errors, name) for name in errors.__all__]


@pytest.mark.parametrize("cls", CLASSES)
def test_errors_say_what_they_are(cls: type[ArtfsError]) -> None:
    """The sentence is the text; kind, exit code and errno are those of the class, also after pickling."""
    error = cls("a sentence", hint="a way out")
    error.add_note("seen in a worker")
    again = pickle.loads(pickle.dumps(error))
    for one in (error, again):
        assert (type(one), str(one), one.message, one.hint) == (cls, "a sentence", "a sentence", "a way out")
        assert one.kind.replace("_", "").isalpha() and one.exit_code in range(1, 7)
        if isinstance(one, OSError):
            assert (one.errno, one.strerror) == (cls.code, "a sentence")
    assert again.__notes__ == ["hint: a way out", "seen in a worker"]


def test_a_traceback_shows_the_hint_once() -> None:
    """Also of an error that was pickled, copied or raised again."""
    error = pickle.loads(pickle.dumps(copy.copy(NotFoundError("there is no 'x'", hint="list them: artfs ls"))))
    with pytest.raises(NotFoundError) as caught:
        try:
            raise error
        except NotFoundError as first:
            raise first from None
    shown = "".join(traceback.format_exception(caught.value))
    assert shown.count("list them: artfs ls") == 1
    assert not hasattr(NotFoundError("no hint"), "__notes__")


def test_kinds_are_all_different() -> None:
    """A kind in JSON names one class."""
    assert len({cls.kind for cls in CLASSES}) == len(CLASSES)


def test_builtins() -> None:
    """Callers who know nothing of artfs catch what they expect."""
    assert issubclass(NotFoundError, FileNotFoundError)
    assert issubclass(OutOfSpaceError, OSError)
    assert issubclass(errors.InvalidNameError, ValueError)
    assert issubclass(errors.RefusedError, PermissionError)
    assert issubclass(errors.ExistsError, FileExistsError)


def test_source_errors_carry_their_paths() -> None:
    """The list of files goes through pickling too."""
    error: SourceError = SourceChangedError("two files", paths=[b"a", b"\xff"])
    assert pickle.loads(pickle.dumps(error)).paths == [b"a", b"\xff"]
