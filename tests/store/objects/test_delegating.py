"""What a process may not do itself after a fork, its helper does: results and errors come back as they are."""

from __future__ import annotations

import os
from collections.abc import Iterator
from io import BytesIO

import pytest

from artstore.errors import InvalidInputError, LimitError, OutsideError
from artstore.objects import delegating
from artstore.objects.delegating import ask, must_delegate, note_use
from artstore.objects.protocol import checked_name


@pytest.fixture(autouse=True)
def helper(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(delegating, "_helpers", {})
    monkeypatch.setattr(delegating, "_used_by", 0)
    yield
    for started in delegating._helpers.values():
        started._connection.close()
        started._process.wait(10)


def test_results_and_errors() -> None:
    """The place is opened once; an iterator comes as a list; an error keeps its class."""
    assert ask(BytesIO, (b"one\ntwo\n",), "read", 3) == b"one"
    assert ask(BytesIO, (b"one\ntwo\n",), "__iter__") == [b"\n", b"two\n"]
    assert ask(BytesIO, (b"one\ntwo\n",), "getbuffer") == b"one\ntwo\n"
    with pytest.raises(InvalidInputError, match="is not a name"):
        ask(checked_name, ("..",), "upper")
    with pytest.raises(OutsideError, match="a service could not be reached: negative seek"):
        ask(BytesIO, (b"",), "seek", -1)


def test_a_helper_that_is_killed() -> None:
    """The error says so, and the next request starts another one."""
    assert ask(BytesIO, (b"x",), "read") == b"x"
    process = delegating._helpers[os.getpid()]._process
    process.kill()
    process.wait(10)
    with pytest.raises(LimitError, match="accesses remote services for this one was killed"):
        ask(BytesIO, (b"x",), "read")
    assert ask(BytesIO, (b"x",), "read") == b"x"


def test_only_forks_of_a_user_delegate() -> None:
    """A process that has used the client goes on with it; its children do not."""
    assert not must_delegate()
    note_use()
    assert not must_delegate()
    child = os.fork()
    if child == 0:
        os._exit(7 if must_delegate() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
