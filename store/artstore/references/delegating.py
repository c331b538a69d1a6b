"""Sending requests to services through a helper process, if this process cannot send them.

obstore's threads do not survive a fork: in the child of a process that has used it, as a DataLoader's workers are,
every call would hang.  Such a child starts a helper, a new program and not a fork, and sends requests through it.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

from artstore.errors import ArtfsError, OutsideError
from artstore.helper_environment import helper_environment
from artstore.ids import Buffer
from artstore.limits import killed
from artstore.records.references import ReferenceRecord
from artstore.references.access import Access
from artstore.references.addresses import Reach
from artstore.references.locations import Location
from artstore.references.services import Found, NoRangesError, Service, open_here

__all__ = ["Delegated", "must_delegate", "open_service"]

_PIECE: Final = 8 * 1024 * 1024
_ENDING_SECONDS: Final = 2.0
_used_by = 0
"""The process that has used obstore first, if any."""
_lock = threading.Lock()


def must_delegate() -> bool:
    """Return whether this process is a fork of one that has used obstore."""
    return _used_by not in (0, os.getpid())


def open_service(location: Location, access: Access, reach: Reach | None = None) -> Service:
    """Return a client of the service that holds a location: of this process, or through a helper.

    ``reach`` is that of `open_here`.  Raises `OutsideError` if credentials are missing.  No request is made.
    """
    global _used_by
    if location.scheme.startswith("http"):
        return open_here(location, access, reach)
    if must_delegate():
        return Delegated(location, access)
    service = open_here(location, access)
    _used_by = os.getpid()
    return service


class _Helper:
    """The helper of this process; it serves one request at a time."""

    def __init__(self) -> None:
        import subprocess  # rarely needed, and every first read would wait for the imports
        from multiprocessing.connection import Connection

        ours, theirs = socket.socketpair()
        command = [sys.executable, "-P", "-m", "artstore.references.helper", str(theirs.fileno())]
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
        """Return the helper's result for (location, access, method, arguments), or raise its error."""
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


class Delegated:
    """A service reached through a helper; see `artstore.references.services.Service`."""

    def __init__(self, location: Location, access: Access) -> None:
        self._place = location, access

    def head(self, key: str, version: str | None = None) -> Found:
        """Describe one object."""
        description: Found = _helper().ask(*self._place, "head", key, version)
        return description

    def listed(self, prefix: str) -> Iterator[Found]:
        """Yield all objects below a prefix."""
        yield from _helper().ask(*self._place, "listed", prefix)

    def check(self, key: str, record: ReferenceRecord) -> None:
        """Raise `ChangedError` if the pinned object has changed."""
        _helper().ask(*self._place, "check", key, record)

    def pieces(self, key: str, record: ReferenceRecord, part: tuple[int, int] | None = None) -> Iterator[Buffer]:
        """Yield the bytes that a record pins; a file without an ETag is held in memory as a whole."""
        if part is None and (record.etag is not None or record.version is not None):
            with suppress(NoRangesError):
                for start in range(0, record.size, _PIECE):
                    yield from self.pieces(key, record, (start, min(start + _PIECE, record.size)))
                return
        yield from _helper().ask(*self._place, "pieces", key, record, part)
