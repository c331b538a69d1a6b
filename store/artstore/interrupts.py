"""Ctrl-C in a process that lives on: an operation gives up at a safe place, and leaves nothing open or locked.

Python raises KeyboardInterrupt between any two instructions of the main thread, so also between opening a file and
noting its descriptor.  So a call of the API defers SIGINT: it is noted, and raised as KeyboardInterrupt at the next
`checkpoint` (the beginning of a transaction, a step of a loop that waits) or at the end of the call.  Unwinding from
there is that of any other exception.  A second SIGINT does not wait.

Critical sections are the calls of all classes that `deferring` decorates, and the blocks of `deferred`.  Other threads
never get KeyboardInterrupt.  The command line does not defer: its process ends.
"""

from __future__ import annotations

import os
import threading
from _signal import SIGINT, getsignal, signal  # type: ignore[import-not-found]  # `signal` makes enums, in 4 us each
from collections.abc import Callable, Collection, Iterator
from functools import wraps
from types import FrameType, FunctionType, TracebackType
from typing import Any, Final, TypeVar

__all__ = ["at_next_call", "checkpoint", "deferred", "deferring", "deliver_at_once", "is_deferring", "shielded"]

C = TypeVar("C", bound=type)
F = TypeVar("F", bound=Callable[..., Any])

_Handler = Callable[[int, FrameType | None], Any]
_handler: _Handler | None = None
"""The handler that the process has for SIGINT, while it is deferred; only the main thread changes it."""
_is_pending = False
_shields = 0
_left_over: list[Callable[[], None]] = []
_at_once = False
_CONTEXT: Final = ("__enter__", "__exit__")
_GENERATOR: Final = 0x20
"""The flag of the code of a generator function."""


def deliver_at_once() -> None:
    """Let SIGINT interrupt this process anywhere: it ends then, and the kernel closes its files."""
    global _at_once
    _at_once = True


def is_deferring() -> bool:
    """Return whether the calling thread is in a critical section."""
    return _handler is not None and _is_main()


def _is_main() -> bool:
    return threading.get_ident() == threading.main_thread().ident


def _note(number: int, frame: FrameType | None) -> None:
    global _is_pending
    if _is_pending and _handler is not None:
        _handler(number, frame)
    _is_pending = True


def _deliver(handler: _Handler) -> None:
    global _is_pending
    if _is_pending:
        _is_pending = False
        handler(SIGINT, None)


class deferred:  # a context, used as `contextlib` names them
    """Defer SIGINT during the block; nested blocks belong to the outermost one."""

    __slots__ = ("_handler",)

    def __init__(self) -> None:
        self._handler: _Handler | None = None

    def __enter__(self) -> None:
        global _handler, _is_pending
        if _handler is not None or _at_once or not _is_main():
            return
        while _left_over:
            _left_over.pop()()
        handler = getsignal(SIGINT)
        if not callable(handler):
            return  # ignored, or the default of C programs: ends the process
        self._handler = handler
        _is_pending = False
        signal(SIGINT, _note)  # until here SIGINT is raised, and nothing is changed that matters
        _handler = handler

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        global _handler
        handler = self._handler
        if handler is not None:
            _handler = None
            signal(SIGINT, handler)  # from here on SIGINT is raised
            _deliver(handler)


def at_next_call(action: Callable[[], None]) -> None:
    """Run an action before the next critical section: what a finaliser cannot do, which may run at any moment."""
    if action not in _left_over:
        _left_over.append(action)


class shielded:
    """Pass no checkpoint in the block: it gives back what an operation has taken."""

    __slots__ = ()

    def __enter__(self) -> None:
        global _shields
        if _is_main():
            _shields += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        global _shields
        if _is_main():
            _shields -= 1


def checkpoint() -> None:
    """Raise KeyboardInterrupt if SIGINT has come since the critical section began."""
    if _is_pending and _handler is not None and not _shields and _is_main():
        _deliver(_handler)


def deferring(*properties: str, without: Collection[str] = ()) -> Callable[[C], C]:
    """Make the public methods of a class critical sections, and some of its properties; a generator at each step.

    The methods ``without`` are not: they take nothing that they would have to give back.
    """

    def decorate(item: C) -> C:
        for name, member in list(vars(item).items()):
            if name in without:
                continue
            if name in properties:
                setattr(item, name, property(_wrapped(member.fget), doc=member.__doc__))
            elif isinstance(member, FunctionType) and (name in _CONTEXT or not name.startswith("_")):
                setattr(item, name, _wrapped(member))
        return item

    return decorate


def _wrapped(function: F) -> F:
    @wraps(function)
    def call(*given: Any, **named: Any) -> Any:
        with deferred():
            return function(*given, **named)

    @wraps(function)
    def generate(*given: Any, **named: Any) -> Iterator[Any]:
        with deferred():
            steps = function(*given, **named)
        while True:
            with deferred():
                try:
                    item = next(steps)
                except StopIteration:
                    return
            yield item

    return generate if function.__code__.co_flags & _GENERATOR else call  # type: ignore[return-value]


def _after_fork() -> None:
    global _handler, _is_pending, _shields
    if _handler is not None:
        signal(SIGINT, _handler)
    _handler, _is_pending, _shields = None, False, 0


os.register_at_fork(after_in_child=_after_fork)
