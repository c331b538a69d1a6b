"""Sending requests to object stores through a helper process, if this process cannot send them.

obstore's threads do not survive a fork: in the child of a process that has used it, as a DataLoader's workers are,
every call would hang.  Such a child starts a helper, a new program and not a fork, and sends requests through it.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from artstore.errors import ArtfsError, OutsideError
from artstore.helper_environment import helper_environment
from artstore.limits import killed

__all__ = ["ask", "must_delegate", "note_use"]

_ENDING_SECONDS: Final = 2.0
_used_by = 0
"""The process that has used obstore first, if any."""
_lock = threading.Lock()


def must_delegate() -> bool:
    """Return whether this process is a fork of one that has used obstore."""
    return _used_by not in (0, os.getpid())


def note_use() -> None:
    """Remember that this process uses obstore; to be called before it does, unless `must_delegate`."""
    global _used_by
    _used_by = os.getpid()


def ask(opener: Callable[..., Any], place: tuple[Any, ...], method: str, *arguments: Any, **options: Any) -> Any:
    """Return what a method of ``opener(*place)`` returns in the helper of this process, or raise its error.

    The opener is a function of a module of this package; its arguments and those of the method are pickled.  An
    iterator comes as a list.
    """
    return _helper().ask(opener, place, method, arguments, options)


class _Helper:
    """The helper of this process; it serves one request at a time."""

    def __init__(self) -> None:
        import subprocess  # rarely needed, and every first read would wait for the imports
        from multiprocessing.connection import Connection

        ours, theirs = socket.socketpair()
        command = [sys.executable, "-P", "-m", "artstore.objects.helper", str(theirs.fileno())]
        self._process = subprocess.Popen(
            command,
            pass_fds=[theirs.fileno()],
            env=helper_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        theirs.close()
        self._connection = Connection(ours.detach())
        self._lock = threading.Lock()

    def ask(self, *question: Any) -> Any:
        """Return the helper's result for a question, or raise its error."""
        with self._lock:
            try:
                self._connection.send(question)
                answer = self._connection.recv()
            except (OSError, EOFError) as error:
                _forget(self)
                what = "the process that accesses remote services for this one"
                raise killed(self._ended(), what) or OutsideError(f"{what} has ended") from error
        if isinstance(answer, ArtfsError):
            raise answer
        return answer

    def _ended(self) -> int:
        """Return the exit code of the helper, which has closed its connection; 0 if it lives on."""
        deadline = time.monotonic() + _ENDING_SECONDS
        while (code := self._process.poll()) is None and time.monotonic() < deadline:
            time.sleep(0.01)
        return code or 0


_helpers: dict[int, _Helper] = {}
"""By process: a child begins without its parent's."""


def _helper() -> _Helper:
    with _lock:
        helper = _helpers.get(os.getpid())
        if helper is None:
            helper = _helpers[os.getpid()] = _Helper()
        return helper


def _forget(helper: _Helper) -> None:
    with _lock:
        if _helpers.get(os.getpid()) is helper:
            del _helpers[os.getpid()]


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)
