"""Checking LMDB's own pages in a separate process, before this one maps them.

LMDB trusts its file: a torn one kills whoever reads its map (SIGBUS), and one wrong bit in the list of free pages shows
only when pages are overwritten that were in use.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NoReturn

from artstore.checking.lmdb_audit import UNHEARD, main
from artstore.checking.report import OnProgress, Progress, Report
from artstore.errors import BusyError, LimitError
from artstore.helper_environment import helper_environment
from artstore.limits import killed
from artstore.privileges import close_all, gave_up

__all__ = ["check_pages"]

_NOT_STARTED: Final = 1
"""The exit code of an interpreter that could not load its modules; the audit itself catches what it raises."""
SILENCE_SECONDS: Final = 60.0
"""How long the auditing process may be silent; it reports several times a second."""


def check_pages(folder: Path, report: Report, progress: OnProgress | None = None) -> bool:
    """Audit the environment in a folder; return whether it may be read.

    A process that crashes or hangs over it is a finding.  Raises `BusyError` where another pid namespace uses it,
    `LimitError` if the process was killed or reached a limit, and OSError if it could not pass on what it found.
    """
    path = folder / "data.mdb"
    before = len(report.problems)
    pages = -1
    process = _Fork(folder) if gave_up() else _start(folder)
    try:
        for message in _messages(process):
            if "progress" in message and progress is not None:
                progress(Progress("pages", *message["progress"]))
            if "problem" in message:
                report.add("pages", f"{path}: {message['problem']}")
            if "note" in message:
                report.note(f"{path}: {message['note']}, as after a failed commit; the next commit repairs this")
            if "limit" in message:
                raise LimitError(f"the pages of {path} cannot be checked: {message['limit']}", hint=message["hint"])
            if "busy" in message:
                raise BusyError(
                    f"the manifest {folder} is in use from another pid namespace",
                    hint="run the containers that share a workspace with a shared pid namespace",
                )
            pages = message.get("done", pages)
        if pages < 0:
            _refuse_unheard(process, path)
            report.add("pages", f"{path}: reading it {_end(process)}")
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
    report.count(pages=max(0, pages))
    return len(report.problems) == before


def _start(folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "artstore.checking.lmdb_audit", os.fspath(folder)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=helper_environment(),
        start_new_session=True,  # Ctrl-C is for this process, which ends the other
    )


class _Fork:
    """The auditing process as a copy of this one, whose user may not be able to run the interpreter."""

    def __init__(self, folder: Path) -> None:
        reading, writing = os.pipe2(os.O_CLOEXEC)
        self._code: int | None = None
        self._pid = os.fork()
        if self._pid == 0:
            _audit_here(folder, writing)
        os.close(writing)
        self.stdout = open(reading, "rb", buffering=0)  # noqa: SIM115  # closed by `check_pages`

    def poll(self) -> int | None:
        """Return the exit code, None while the process lives."""
        return self._await(os.WNOHANG)

    def wait(self) -> int | None:
        """Return the exit code when the process has ended."""
        return self._await(0)

    def kill(self) -> None:
        """End the process."""
        if self.poll() is None:
            os.kill(self._pid, signal.SIGKILL)

    def _await(self, options: int) -> int | None:
        if self._code is None:
            pid, status = os.waitpid(self._pid, options)
            if pid:
                self._code = os.waitstatus_to_exitcode(status)
        return self._code


def _audit_here(folder: Path, output: int) -> NoReturn:
    """Be the child: audit, with nothing of the parent's open."""
    try:
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for target, source in ((0, null), (1, output), (2, null)):
            os.dup2(source, target)
        close_all()
        main(os.fspath(folder))
        os._exit(0)
    finally:
        os._exit(1)


def _messages(process: subprocess.Popen[bytes] | _Fork) -> Iterator[dict[str, Any]]:
    """Yield what the process says, until it ends or has said nothing for too long."""
    assert process.stdout is not None
    fd = process.stdout.fileno()
    received = b""
    deadline = time.monotonic() + SILENCE_SECONDS
    while select.select([fd], [], [], max(0.0, deadline - time.monotonic()))[0]:
        data = os.read(fd, 1 << 16)
        if not data:
            process.wait()
            return
        deadline = time.monotonic() + SILENCE_SECONDS
        *lines, received = (received + data).split(b"\n")
        for line in lines:
            yield json.loads(line)


def _refuse_unheard(process: subprocess.Popen[bytes] | _Fork, path: Path) -> None:
    """Raise the error for which the process could not say what it found: it is none of the pages."""
    code = process.poll()
    if code is None:
        return
    if code > UNHEARD:
        number = code - UNHEARD
        raise OSError(number, os.strerror(number), "the audit of LMDB's pages")
    what = f"the process that checks the pages of {path}"
    if (error := killed(code, what)) is not None:
        raise error
    if code == _NOT_STARTED:
        raise LimitError(f"{what} could not start", hint="check the limits of memory, files and processes: ulimit -a")


def _end(process: subprocess.Popen[bytes] | _Fork) -> str:
    """Say how the process ended that did not finish."""
    code = process.poll()
    if code is None:
        return f"stalled: no progress for {SILENCE_SECONDS:.0f} s"
    if code < 0:
        return f"crashed with {signal.Signals(-code).name}: the file is truncated or its pages are corrupt"
    return f"failed with exit code {code}"
