"""Work in child processes that may die, hang or use up memory, without harm to the parent.

A child gets cases one after another and answers each; if a case kills it, a new child continues after that case.
"""

from __future__ import annotations

import faulthandler
import json
import os
import resource
import select
import signal
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

Case = TypeVar("Case")

MEMORY: Final = 4 << 30
"""Addresses that a child may use beside what it inherits: LMDB's map takes a quarter of all, and there may be two."""
RESIDENT: Final = 400 << 20
"""Bytes of memory that a child may really have used."""


class Answer(NamedTuple):
    """The outcome of a case: the child's value, or how the child ended (``died``: a sentence)."""

    value: Any
    died: str = ""


def answers(
    judge: Callable[[Case], object], cases: Sequence[Case], *, each: int, seconds: int = 30
) -> Iterator[tuple[Case, Answer]]:
    """Yield each case with its answer: ``judge`` runs in children, ``each`` cases to one, ``seconds`` for one case.

    An answer is what JSON can hold.  No child outlives this call.
    """
    position = 0
    while position < len(cases):
        batch = cases[position : position + each]
        for case, answer in zip(batch, _one_child(judge, batch, seconds), strict=False):
            yield case, answer
            position += 1


class Forked:
    """Replace `subprocess.Popen` for a module's ``main(argument)`` by a fork, which saves starting an interpreter."""

    def __init__(self, main: Callable[[str], object], command: Sequence[str], **_: Any) -> None:
        reader, writer = os.pipe()
        self._pid = os.fork()
        if not self._pid:
            try:
                os.dup2(writer, 1)
                main(command[-1])
            finally:
                os._exit(0)
        os.close(writer)
        self.stdout = os.fdopen(reader, "rb", buffering=0)
        self.returncode: int | None = None

    def kill(self) -> None:
        """End the child if it is running."""
        if self.returncode is None:
            os.kill(self._pid, signal.SIGKILL)

    def wait(self) -> int:
        """Wait for its end."""
        if self.returncode is None:
            self.returncode = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
        return self.returncode

    def poll(self) -> int | None:
        """Return how it ended, None while it runs."""
        if self.returncode is None:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode


def _one_child(judge: Callable[[Case], object], batch: Sequence[Case], seconds: int) -> Iterator[Answer]:
    """Yield an answer for each case up to and including the one at which the child ended."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        _run(judge, batch, writer, seconds)
    os.close(writer)
    try:
        with os.fdopen(reader, "rb", buffering=0) as pipe:
            buffer = b""
            for _ in batch:
                deadline = time.monotonic() + 3 * seconds
                while b"\n" not in buffer:
                    left = deadline - time.monotonic()
                    more = b"" if left <= 0 or not select.select([pipe], [], [], left)[0] else pipe.read(1 << 16)
                    if not more:
                        yield Answer(None, _end(child, hung=time.monotonic() >= deadline))
                        return
                    buffer += more
                line, _, buffer = buffer.partition(b"\n")
                yield Answer(json.loads(line))
    finally:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(child, 0)


def _end(child: int, *, hung: bool) -> str:
    if hung:
        return "hangs"
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        name = signal.Signals(os.WTERMSIG(status)).name
        return "takes processor time without end" if name == "SIGXCPU" else f"is killed by {name}"
    return f"exits with {os.waitstatus_to_exitcode(status)}"


def _run(judge: Callable[[Case], object], batch: Sequence[Case], writer: int, seconds: int) -> None:
    """Answer cases in the child, and exit without the exit handlers of the parent."""
    try:
        faulthandler.disable()
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        inherited = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        room = 2 * inherited + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (room, room))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for case in batch:
            spent = int(time.process_time())
            resource.setrlimit(resource.RLIMIT_CPU, (spent + seconds, resource.RLIM_INFINITY))
            value = judge(case)
            grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
            if grown > RESIDENT:
                value = f"it took {grown} bytes of memory"
            os.write(writer, json.dumps(value).encode() + b"\n")
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(3)
