"""SIGINT waits for a safe place in a call of the API, and is raised anywhere else."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from artstore.interrupts import at_next_call, checkpoint, deferred, deferring, is_deferring, shielded


def interrupt() -> None:
    """Let SIGINT arrive now."""
    signal.raise_signal(signal.SIGINT)


def test_it_is_raised_at_the_end() -> None:
    """The block goes on to its end, and then KeyboardInterrupt comes."""
    reached = []
    with pytest.raises(KeyboardInterrupt), deferred():
        interrupt()
        reached.append(is_deferring())
    assert reached == [True] and not is_deferring()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_it_is_raised_at_a_checkpoint_that_is_not_shielded() -> None:
    """A checkpoint raises it once; one in a shielded block passes."""
    checkpoint()
    reached = []
    with pytest.raises(KeyboardInterrupt), deferred():
        interrupt()
        with shielded():
            checkpoint()
        reached.append(1)
        checkpoint()
        reached.append(2)
    assert reached == [1]
    with deferred():
        checkpoint()


def test_the_second_one_does_not_wait() -> None:
    """Whoever presses Ctrl-C again means it."""
    reached = []
    with pytest.raises(KeyboardInterrupt), deferred():
        interrupt()
        reached.append(1)
        interrupt()
        reached.append(2)
    assert reached == [1]


def test_nested_blocks_are_one() -> None:
    """Only the end of the outermost block raises."""
    reached = []
    with pytest.raises(KeyboardInterrupt), deferred():
        with deferred():
            interrupt()
        reached.append(1)
    assert reached == [1]


def test_other_handlers_keep_their_meaning(monkeypatch: pytest.MonkeyPatch) -> None:
    """A handler of the program is called, at the end; a signal that is ignored stays so; threads defer nothing."""
    called = []
    before = signal.signal(signal.SIGINT, lambda *_: called.append(is_deferring()))
    try:
        with deferred():
            interrupt()
            assert called == []
        assert called == [False]
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        with deferred():
            interrupt()
            assert not is_deferring()
    finally:
        signal.signal(signal.SIGINT, before)
    seen = []

    def inside() -> None:
        with deferred():
            seen.append(is_deferring())

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert seen == [False]


def test_a_class() -> None:
    """Public methods, given properties and each step of a generator are critical sections; private ones are not."""

    @deferring("size")
    class Thing:
        def call(self) -> bool:
            """Keep the name and the text."""
            return is_deferring()

        def steps(self) -> Iterator[bool]:
            yield is_deferring()
            yield is_deferring()

        @property
        def size(self) -> bool:
            return is_deferring()

        @property
        def other(self) -> bool:
            return is_deferring()

        def _inner(self) -> bool:
            return is_deferring()

    thing = Thing()
    assert thing.call() and thing.size and not thing.other and not thing._inner()
    assert Thing.call.__doc__ == "Keep the name and the text."
    for inside in thing.steps():
        assert inside and not is_deferring()


def test_what_is_left_over_is_done_at_the_next_call() -> None:
    """An action is done once, before the next critical section."""
    done = []
    action = lambda: done.append(is_deferring())  # noqa: E731
    at_next_call(action)
    at_next_call(action)
    assert done == []
    for _ in range(2):
        with deferred():
            pass
    assert done == [False]


def test_a_child_begins_outside() -> None:
    """A process that is forked in a critical section is interrupted anywhere."""
    with deferred():
        child = os.fork()
        if child == 0:
            try:
                interrupt()
            except KeyboardInterrupt:
                os._exit(0)
            finally:
                os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
