"""Start the daemon of a mount, wait until it reports that it serves, and later for its end."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import select
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Self

import artfs
from artfs.mount.configuration import LIFELINE, READY, Configuration
from artfs.mount.ownership import run_as
from artfs.mount.runfile import log_file
from artstore import beneath
from artstore.errors import MountError
from artstore.helper_environment import import_paths

__all__ = ["Daemon"]

_FIRST_FREE = 10
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD)
_START_SECONDS = 60.0
_END_SECONDS = 5.0
_LONGEST_REASON = 1000


class Daemon:
    """A daemon that this process has started."""

    def __init__(self, pid: int, lifeline: int) -> None:
        self.pid = pid
        self._lifeline = lifeline
        self._exit_code: int | None = None
        _started.append(self)

    @classmethod
    def start(cls, configuration: Configuration, *, foreground: bool, forked: bool) -> Self:
        """Start the daemon and return when its mount answers; MountError with its reason if it cannot.

        In the foreground it writes to this process's stderr, else to its log file.  With ``forked`` it starts as a copy
        of this process, which then must be small and have one thread; else as a new one.
        """
        for earlier in list(_started):
            earlier.poll()
        log = None if foreground else _Log(configuration)
        with contextlib.ExitStack() as ours:
            output = _moved(ours, log.make() if log else os.dup(2))
            ready, ready_end = os.pipe2(os.O_CLOEXEC)
            ours.callback(os.close, ready)
            lifeline_end, lifeline = os.pipe2(os.O_CLOEXEC)
            with contextlib.ExitStack() as theirs:
                given = [(output, 1), (output, 2), (_moved(theirs, ready_end), READY)]
                given.append((_moved(theirs, lifeline_end), LIFELINE))
                try:
                    pid = _fork(configuration, given) if forked else _spawn(configuration, given)
                except BaseException:
                    os.close(lifeline)
                    raise
            daemon = cls(pid, lifeline)
            try:
                _await_ready(ready, log)
            except BaseException:
                daemon.give_up()
                raise
        return daemon

    def poll(self) -> int | None:
        """Return the daemon's exit code, or None while it lives."""
        if self._exit_code is None:
            with contextlib.suppress(ChildProcessError):
                pid, status = os.waitpid(self.pid, os.WNOHANG)
                if pid == 0:
                    return None
                self._ended(os.waitstatus_to_exitcode(status))
                return self._exit_code
            self._ended(0)
        return self._exit_code

    def wait(self, seconds: float) -> int | None:
        """Return the exit code when the daemon ends, or None after ``seconds``."""
        deadline = time.monotonic() + seconds
        while self.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        return self._exit_code

    def serve_here(self) -> int:
        """Return the exit code when the daemon ends; SIGINT and SIGTERM reach it meanwhile as SIGTERM."""

        def pass_on(*_: object) -> None:
            self.terminate()

        before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            _, status = os.waitpid(self.pid, 0)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        self._ended(os.waitstatus_to_exitcode(status))
        return self._exit_code or 0

    def terminate(self) -> None:
        """Ask the daemon to unmount; a second time, to end at once."""
        if self._exit_code is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)

    def give_up(self) -> None:
        """End a daemon that did not start: let it unmount if it has mounted, and wait for that."""
        self.terminate()
        if self.wait(_END_SECONDS) is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            self.wait(_END_SECONDS)

    def release(self) -> None:
        """Close this process's end of the lifeline: a tied daemon ends when no process holds it open."""
        if self._lifeline >= 0:
            os.close(self._lifeline)
            self._lifeline = -1

    def _ended(self, code: int) -> None:
        self._exit_code = code
        self.release()
        if self in _started:
            _started.remove(self)


_started: list[Daemon] = []
"""Daemons that were children of this process at the last check, so that none is left as a zombie."""


def _forget_after_fork() -> None:
    """Close the lifelines in a forked child: a mount is tied to the process that made it, not to its children."""
    for daemon in _started:
        daemon.release()
    _started.clear()


os.register_at_fork(after_in_child=_forget_after_fork)


class _Log:
    """The log file of a daemon, which is opened and read as the owner of the workspace."""

    def __init__(self, configuration: Configuration) -> None:
        self._path = log_file(Path(configuration.run_dir), configuration.id)
        self._root = self._path.parents[2]
        self._owner = configuration.owner

    def make(self) -> int:
        """Make it and return its descriptor."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        _, (descriptor,) = run_as(self._owner, lambda: (None, [beneath.open_file(self._root, self._path, flags)]))
        return descriptor

    def last_line(self) -> str:
        """Return what the daemon has written last, or why that cannot be read."""
        text, _ = run_as(self._owner, lambda: (self._read(), ()))
        return str(text)

    def _read(self) -> str:
        try:
            lines = beneath.read_bytes(self._root, self._path).decode(errors="replace").strip().splitlines()
        except OSError as error:
            return os.strerror(error.errno or errno.EIO)
        return lines[-1][:_LONGEST_REASON] if lines else "it left no message"


def _moved(stack: contextlib.ExitStack, descriptor: int) -> int:
    """Move a descriptor above those that the daemon inherits, and close it at the end of ``stack``."""
    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _FIRST_FREE)
    os.close(descriptor)
    stack.callback(os.close, moved)
    return moved


def _spawn(configuration: Configuration, given: list[tuple[int, int]]) -> int:
    arguments = [sys.executable, "-P", "-m", "artfs.mount.zygote", configuration.encode()]
    actions = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)]
    actions += [(os.POSIX_SPAWN_DUP2, ours, theirs) for ours, theirs in given]  # type: ignore[misc]
    return os.posix_spawn(
        sys.executable,
        arguments,
        _environment(),
        file_actions=actions,
        setsid=True,
        setsigmask=[],
        setsigdef=[*_SIGNALS, signal.SIGPIPE],
    )


def _fork(configuration: Configuration, given: list[tuple[int, int]]) -> int:
    """Run the daemon in a forked child, which need not load again the modules of this process."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    try:
        os.setsid()
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        os.dup2(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC), 0)
        for ours, theirs in given:
            os.dup2(ours, theirs, inheritable=theirs <= 2)
        from artfs.mount.zygote import serve

        serve(configuration)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)


def _environment() -> dict[str, str]:
    """Return the environment in which the daemon finds the packages that this process runs, wherever it starts."""
    return {**os.environ, "PYTHONPATH": import_paths(Path(artfs.__path__[0]).parent)}


def _await_ready(ready: int, log: _Log | None) -> None:
    """Read the daemon's one-line report; MountError if it reports an error, or nothing."""
    line = b""
    deadline = time.monotonic() + _START_SECONDS
    while not line.endswith(b"\n"):
        if not select.select([ready], [], [], max(0.0, deadline - time.monotonic()))[0]:
            raise MountError(f"the daemon did not start within {_START_SECONDS:.0f} s")
        data = os.read(ready, 65536)
        if not data:
            raise MountError("the daemon exited before it was ready" + (f": {log.last_line()}" if log else ""))
        line += data
    message = json.loads(line)
    if "error" in message:
        raise MountError(message["error"], hint=message["hint"])
