"""The program of the child that reads contents: it imports, gives up everything but its socket, then reads."""

from __future__ import annotations

import ctypes
import io
import json
import os
import resource
import socket
import sys
import threading
from contextlib import suppress
from importlib import import_module
from importlib.abc import MetaPathFinder
from typing import Any, Final

from artfs.contents.child import ANSWER, EQUAL, FAILED, HEAD, MOST_READ, NOBODY, READ, Limits
from artstore.errors import InvalidInputError

__all__ = ["Files", "ParentFile", "main"]

_DESCRIPTORS: Final = 64
_NEW_USER: Final = 0x10000000
_NEW_NETWORK: Final = 0x40000000
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_SIGKILL: Final = 9


class _WithoutPandas(MetaPathFinder):
    """Libraries import pandas if it is there, which takes long, and fails in several threads."""

    def find_spec(self, name: str, *_others: Any) -> None:
        if name == "pandas":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


class _Channel:
    """The socket to the parent; requests of several threads are answered one after another."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._lock = threading.Lock()

    def receive(self) -> bytearray:
        return self._exactly(int.from_bytes(self._exactly(8), "little"))

    def _exactly(self, size: int) -> bytearray:
        data = bytearray(size)
        view, done = memoryview(data), 0
        while done < size:
            count = self._socket.recv_into(view[done:])
            if not count:
                os._exit(1)
            done += count
        return data

    def ask(self, kind: int, index: int, start: int, other: int, size: int) -> bytearray:
        with self._lock:
            self._socket.sendall(HEAD.pack(kind, index, start, other, size))
            return self.receive()

    def answer(self, kind: int, value: Any) -> None:
        text = json.dumps(value).encode()
        with self._lock:
            self._socket.sendall(HEAD.pack(kind, 0, 0, 0, len(text)) + text)


class ParentFile(io.RawIOBase):
    """A file that the parent reads."""

    def __init__(self, channel: _Channel, index: int, name: str, size: int) -> None:
        super().__init__()
        self._channel, self._index, self._position = channel, index, 0
        self.name = name
        self.bytes = size

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to an offset from the start, the position or the end; return the new position."""
        self._position = max(0, offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.bytes}[whence])
        return self._position

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next bytes, all that are left without a size."""
        left = max(0, self.bytes - self._position)
        wanted = left if size is None or size < 0 else min(size, left)
        if wanted <= MOST_READ:
            return bytes(self._next(wanted)) if wanted else b""
        data = bytearray(wanted)
        done = 0
        while done < wanted and (piece := self._next(min(MOST_READ, wanted - done))):
            data[done : done + len(piece)] = piece
            done += len(piece)
        return bytes(data[:done])

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer from the position; return how many bytes were read."""
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def _next(self, size: int) -> bytearray:
        data = self._channel.ask(READ, self._index, self._position, 0, size)
        self._position += len(data)
        return data


class Files:
    """The files of a task, and whether ranges of the first two are equal, which the parent may know unread."""

    def __init__(self, channel: _Channel, files: list[tuple[str, int]], folder: str) -> None:
        self._channel = channel
        self._files = files
        self.folder = folder

    def open(self, index: int) -> ParentFile:
        """Return a file, at its beginning."""
        return ParentFile(self._channel, index, *self._files[index])

    def are_equal(self, start: int, other: int, size: int) -> bool:
        """Return whether a range of the first file has the same bytes as one of the second."""
        return bool(self._channel.ask(EQUAL, 0, start, other, size)[0])


def main() -> None:
    """Read the request, run its task with limits, and answer."""
    channel = _Channel(int(sys.argv[1]))
    request = json.loads(channel.receive())
    sys.meta_path.insert(0, _WithoutPandas())
    module, _, name = request["task"].partition(":")
    try:
        task = getattr(import_module(module), name)
    except ImportError as error:
        channel.answer(FAILED, {"kind": "missing", "message": str(error)})
        return
    _confine(Limits(*request["limits"]), request["folder"])
    limit = f"reading the content needs more than {request['limits'][0] >> 20} MiB of memory"
    try:
        answer = task(Files(channel, request["files"], request["folder"]), request["options"])
        channel.answer(ANSWER, answer)
    except MemoryError:
        channel.answer(FAILED, {"kind": "memory", "message": limit})
    except InvalidInputError as error:
        channel.answer(FAILED, {"kind": "invalid", "message": str(error)})
    except Exception as error:
        if type(error).__name__ in ("OutOfMemoryException", "ArrowMemoryError", "DecompressionBombError"):
            channel.answer(FAILED, {"kind": "memory", "message": limit})
            return
        if "ARTFS_DEBUG" in os.environ:
            sys.excepthook(type(error), error, error.__traceback__)
        first = (str(error).splitlines() or [""])[0][:150]
        said = f"the content cannot be read: {first or type(error).__name__}"
        channel.answer(FAILED, {"kind": "invalid", "message": said})
    os._exit(0)  # without the ends of threads that may still read


def _confine(limits: Limits, folder: str) -> None:
    """Give up the network, rights and means; everything that is needed has been imported."""
    libc = ctypes.CDLL(None, use_errno=True)
    os.chdir(folder)
    libc.prctl(_PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0)
    # Without rights to a namespace of its own, such as in some containers, the child keeps the network.
    libc.unshare(_NEW_NETWORK) if os.geteuid() == 0 else libc.unshare(_NEW_USER | _NEW_NETWORK)
    if os.geteuid() == 0:
        with suppress(PermissionError):  # in a container that does not let root change its user
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    for kind, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, _DESCRIPTORS),
        (resource.RLIMIT_FSIZE, limits.disk),
        # Of the address space, libraries reserve more than they use; this counts what can be written.
        (resource.RLIMIT_DATA, limits.memory),
        (resource.RLIMIT_CPU, limits.processor),
    ):
        resource.setrlimit(kind, (value, value))
    os.umask(0o077)


if __name__ == "__main__":
    main()
