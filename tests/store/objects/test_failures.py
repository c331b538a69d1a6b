"""The failures of object stores are distinct, and each is what a caller would catch."""

from __future__ import annotations

import pickle

from artstore import errors
from artstore.errors import NotFoundError, OutOfSpaceError, OutsideError
from artstore.objects import failures

CLASSES = [getattr(failures, name) for name in failures.__all__]


def test_failures_survive_a_process_boundary() -> None:
    """Class, sentence, hint, exit code and errno are kept: a helper process sends them."""
    for cls in CLASSES:
        again = pickle.loads(pickle.dumps(cls("a sentence", hint="a way out")))
        assert (type(again), str(again), again.hint, again.errno) == (cls, "a sentence", "a way out", cls.code)
        assert again.exit_code in range(1, 7)


def test_kinds_are_all_different() -> None:
    """A kind in JSON names one class, also among the errors of the whole."""
    kinds = [cls.kind for cls in CLASSES] + [getattr(errors, name).kind for name in errors.__all__]
    assert len(set(kinds)) == len(kinds)


def test_a_missing_object_is_no_failure_of_the_store() -> None:
    """Only a store's own word says that an object is missing."""
    for cls in CLASSES:
        assert issubclass(cls, NotFoundError) == (cls in (failures.ObjectMissingError, failures.NoBucketError))
        assert not (issubclass(cls, OutsideError) and issubclass(cls, NotFoundError | OutOfSpaceError))
