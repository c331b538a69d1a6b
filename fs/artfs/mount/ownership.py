"""The user to whom the files of a mount belong, and what is done in the workspace as its owner while root mounts.

Root's process makes the mount; what is done in the workspace of another user is done by a child that becomes that user.
"""

from __future__ import annotations

import array
import errno
import gc
import json
import os
import signal
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, NoReturn, Self

from artstore import errors
from artstore.errors import ArtfsError
from artstore.privileges import Owner, close_all

__all__ = ["Shown", "run_as"]

_LONGEST_ANSWER: Final = 1 << 16
_MOST_DESCRIPTORS: Final = 8
_MOST_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Shown:
    """The user and the group that a mount shows as the owners of everything."""

    uid: int
    gid: int

    @classmethod
    def of(cls, workspace: str, owner: Owner, uid: int | None, gid: int | None) -> Self:
        """Return the owner and the group of the workspace's folder if this process runs as root, else the user's own.

        ``uid`` and ``gid`` take precedence.
        """
        group = os.stat(workspace).st_gid if os.geteuid() == 0 else os.getgid()
        return cls(owner.uid if uid is None else uid, group if gid is None else gid)


Task = Callable[[], tuple[Any, Sequence[int]]]
"""What a child does: returns a value that JSON can hold, and descriptors that are passed to the parent."""


def run_as(owner: Owner, task: Task) -> tuple[Any, list[int]]:
    """Run a task in a child that is the owner, and return its value and its descriptors; here if this is the owner.

    The child has no descriptors of this process but the standard ones.  Raises the error that the task raised, if it is
    an `ArtfsError` or `OSError`, and `OSError` if the child ended without an answer, or gave none for a minute.  The
    process must have no other thread.
    """
    if os.geteuid() == owner.uid:
        value, descriptors = task()
        return value, list(descriptors)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        with theirs:
            pid = os.fork()
            if pid == 0:
                _answer(owner, task, theirs.detach())
        try:
            ours.settimeout(_MOST_SECONDS)
            answer, descriptors = _receive(ours)
        finally:
            os.kill(pid, signal.SIGKILL)  # the user may have stopped it
            os.waitpid(pid, 0)
    if "value" not in answer:
        raise _error_of(answer)
    return answer["value"], descriptors


def _answer(owner: Owner, task: Task, descriptor: int) -> NoReturn:
    """Be the child: become the owner, run the task, send what came of it, and end."""
    try:
        gc.freeze()  # an object of the parent's that is collected here would close a descriptor of the task's
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        close_all(descriptor)
        connection = socket.socket(fileno=descriptor)
        descriptors: Sequence[int] = ()
        try:
            owner.become()
            value, descriptors = task()
            answer: dict[str, Any] = {"value": value}
        except ArtfsError as error:
            answer = {"kind": type(error).__name__, "message": error.message, "hint": error.hint}
        except OSError as error:
            answer = {"errno": error.errno, "message": error.strerror or str(error), "filename": _text(error.filename)}
        socket.send_fds(connection, [json.dumps(answer).encode()], list(descriptors))
    finally:
        os._exit(0)


def _receive(connection: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """Return what the child has sent; an answer without a value if it has ended before."""
    room = socket.CMSG_SPACE(_MOST_DESCRIPTORS * array.array("i").itemsize)
    data, ancillary, _, _ = connection.recvmsg(_LONGEST_ANSWER, room, socket.MSG_CMSG_CLOEXEC)
    descriptors = array.array("i")
    for level, kind, content in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            descriptors.frombytes(content[: len(content) - len(content) % descriptors.itemsize])
    with suppress(ValueError):
        answer = json.loads(data)
        if isinstance(answer, dict):
            return answer, list(descriptors)
    return {"errno": errno.ECHILD, "message": "the process that works as the owner of the workspace has ended"}, []


def _error_of(answer: dict[str, Any]) -> ArtfsError | OSError:
    kind = getattr(errors, str(answer.get("kind")), None)
    if isinstance(kind, type) and issubclass(kind, ArtfsError):
        return kind(str(answer["message"]), hint=str(answer["hint"]))
    return OSError(answer.get("errno") or errno.EIO, str(answer.get("message")), answer.get("filename"))


def _text(name: object) -> str | None:
    return os.fsdecode(name) if isinstance(name, (str, bytes, os.PathLike)) else None
