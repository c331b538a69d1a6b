"""Readers of content that may be hostile run in a child process with limits; its death is a sentence.

The child is a new interpreter: a copy of this process would have what this one has in memory, and cannot be made while
threads run.  On its one socket it asks for ranges of the files and answers with one JSON document, so it needs no
rights: it has no network where the kernel lets it leave it, no user that owns anything if it is root's, and a folder of
its own for what does not fit into memory.  What it reads is verified here, and comes from remotes as it is needed.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final, NamedTuple

from artfs.contents.sources import Source, equal_ranges
from artstore.errors import ArtfsError, UnsupportedError
from artstore.helper_environment import import_paths

__all__ = ["ANSWER", "EQUAL", "FAILED", "HEAD", "MOST_READ", "NOBODY", "READ", "Limits", "UnreadableError", "ask"]

HEAD: Final = struct.Struct("<BIQQQ")
"""A message of the child: what it is, the file, an offset, another one, and a size."""
READ, EQUAL, ANSWER, FAILED = range(4)
MOST_READ: Final = 8 << 20
NOBODY: Final = 65534
_MOST_ANSWER: Final = 32 << 20
_KEPT: Final = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "PYTHONHOME", "ARTFS_DEBUG")


class UnreadableError(ArtfsError):
    """Raised for content that cannot be read: not of its kind, damaged, or too large for the limits."""

    kind: ClassVar[str] = "unreadable"


class Limits(NamedTuple):
    """What a child may use: bytes of memory, seconds of processor time and of time, and bytes of its folder."""

    memory: int = 500 << 20
    processor: int = 120
    seconds: int = 180
    disk: int = 8 << 30


def ask(
    task: str, sources: Sequence[Source], options: Mapping[str, Any] | None = None, *, limits: Limits | None = None
) -> Any:
    """Run a function ``module:name`` on files in a child, and return its answer, which JSON can hold.

    Raises `UnreadableError` with the child's sentence, or one about its death; what reading a file raises;
    `UnsupportedError` if a package of the extra is missing.
    """
    limits = limits or Limits()
    here, there = socket.socketpair()
    with here, tempfile.TemporaryDirectory(prefix="artfs-", ignore_cleanup_errors=True) as folder:
        if os.geteuid() == 0:
            os.chown(folder, NOBODY, NOBODY)
        with there:
            child = _start(there.fileno(), folder)
        try:
            request = {
                "task": task,
                "folder": folder,
                "limits": limits,
                "options": dict(options or {}),
                "files": [(source.name, source.size) for source in sources],
            }
            text = json.dumps(request).encode()
            deadline = time.monotonic() + limits.seconds
            here.settimeout(limits.seconds)
            here.sendall(len(text).to_bytes(8, "little") + text)
            return _serve(here, sources, deadline)
        except TimeoutError as error:
            raise UnreadableError(f"the content was not read within {limits.seconds} seconds") from error
        except (EOFError, ConnectionError) as error:
            raise UnreadableError(_death(child, limits)) from error
        finally:
            child.kill()
            child.wait()


def _start(channel: int, folder: str) -> subprocess.Popen[bytes]:
    environment = {name: os.environ[name] for name in _KEPT if name in os.environ} | {
        "PYTHONPATH": import_paths(),
        "HOME": folder,
        "TMPDIR": folder,
        "ARROW_DEFAULT_MEMORY_POOL": "system",  # others reserve memory that counts as used
        "MALLOC_ARENA_MAX": "1",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    output = None if "ARTFS_DEBUG" in os.environ else subprocess.DEVNULL
    try:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "artfs.contents.child_program", str(channel)],
            pass_fds=[channel],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment,
            start_new_session=True,
        )
    except PermissionError as error:
        raise UnsupportedError("the reader of contents cannot be started: the interpreter is not readable") from error


def _serve(here: socket.socket, sources: Sequence[Source], deadline: float) -> Any:
    """Answer the child's requests until it has a result."""
    while True:
        here.settimeout(_left(deadline))
        kind, index, start, other, size = HEAD.unpack(_receive(here, HEAD.size))
        if kind in (ANSWER, FAILED) and size <= _MOST_ANSWER:
            return _result(kind, _receive(here, size))
        if kind == READ and index < len(sources) and size <= MOST_READ:
            data = sources[index].read(start, size)
        elif kind == EQUAL and len(sources) == 2 and max(start, other) + size < 1 << 62:
            ends = (start + size <= sources[0].size, other + size <= sources[1].size)
            is_equal = all(ends) and equal_ranges(sources[0], start, sources[1], other, size)
            data = b"\1" if is_equal else b"\0"
        else:
            raise UnreadableError("the reader of the content gave a wrong answer")
        here.settimeout(_left(deadline))
        here.sendall(len(data).to_bytes(8, "little") + data)


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _receive(channel: socket.socket, size: int) -> bytearray:
    data = bytearray(size)
    view, done = memoryview(data), 0
    while done < size:
        count = channel.recv_into(view[done:])
        if not count:
            raise EOFError
        done += count
    return data


def _result(kind: int, text: bytearray) -> Any:
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UnreadableError("the reader of the content gave a wrong answer") from error
    if kind == ANSWER:
        return answer
    if answer["kind"] == "missing":
        raise UnsupportedError(
            "tables need packages that are not installed", hint="install them: pip install 'artfs[tables]'"
        )
    raise UnreadableError(answer["message"])


def _death(child: subprocess.Popen[bytes], limits: Limits) -> str:
    try:
        status = child.wait(5)
    except subprocess.TimeoutExpired:
        return "the reader of the content closed its connection"
    if status in (-signal.SIGXCPU, -signal.SIGKILL):
        return f"reading the content took more than {limits.processor} seconds of processor time, or was ended"
    if status == -signal.SIGABRT:
        return f"reading the content needs more than {limits.memory >> 20} MiB of memory"
    reason = f"signal {-status}" if status < 0 else f"exit code {status}"
    return f"the reader of the content died ({reason}): the file may be damaged"
