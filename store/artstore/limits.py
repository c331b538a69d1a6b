"""Limits and states of the machine: what ran out or failed, as an error that names it and the way out.

An error of the system says nothing about stored data: callers that turn one into a verdict ask `machine_error` first.
"""

from __future__ import annotations

import errno
import os
import resource
import signal
from typing import Final

from artstore.errors import ArtfsError, DiskError, LimitError

__all__ = ["killed", "machine_error", "raise_machine_error"]

_LIMITS: Final = {
    errno.EMFILE: ("this process has as many open files as it may have", "raise the limit: ulimit -n"),
    errno.ENFILE: ("the system has as many open files as it may have", "end other programs, or raise fs.file-max"),
    errno.ENOMEM: ("no memory is left for this process", "raise its limit (ulimit -v), or end other programs"),
    errno.EFBIG: ("a file would exceed the size that this process may write", "raise the limit: ulimit -f"),
    errno.EAGAIN: ("no more processes or threads can be started", "raise the limit (ulimit -u), or end other programs"),
    errno.ENOLCK: ("the system has no locks left", "end other programs"),
    errno.ESTALE: ("the file server no longer knows a file", "mount its file system again"),
}
"""What each errno says, and the way out."""
_NO_THREAD: Final = "can't start new thread"
_FATAL: Final = (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS)


def machine_error(error: BaseException, what: str = "") -> ArtfsError | None:
    """Return the error for a limit or a failed disk that an exception shows, None for any other exception.

    ``what`` is a sentence about what failed, and may be empty.  An error of another library is known by its text.
    """
    if isinstance(error, ArtfsError):
        return error if isinstance(error, LimitError | DiskError) else None
    number = _number_of(error)
    before = f"{what}: " if what else ""
    if number == errno.EIO:
        return DiskError(f"{before}the disk failed", hint="the system log may have details")
    if number not in _LIMITS:
        return None
    sentence, hint = _LIMITS[number]
    found = LimitError(f"{before}{sentence}", hint=hint)
    found.errno = number
    return found


def raise_machine_error(error: BaseException, what: str = "", *, but: int = 0) -> None:
    """Raise the error for a limit or a failed disk that an exception shows, unless its errno is ``but``."""
    found = machine_error(error, what)
    if found is not None and not (but and _number_of(error) == but):
        raise found from error


def _number_of(error: BaseException) -> int:
    if isinstance(error, OSError):
        return error.errno or 0
    if isinstance(error, MemoryError):
        return errno.ENOMEM
    text = str(error)
    if isinstance(error, RuntimeError):
        return errno.EAGAIN if _NO_THREAD in text else 0
    if type(error).__module__.partition(".")[0] != "lmdb":
        return 0
    return next((number for number in (*_LIMITS, errno.EIO) if os.strerror(number) in text), 0)


def killed(code: int, what: str) -> LimitError | None:
    """Return the error for a helper process whose exit code shows that it was killed, or ran out of memory.

    ``what`` names it.  A crash is its own affair, unless its memory was limited.
    """
    if code == -signal.SIGKILL:
        return LimitError(f"{what} was killed, perhaps for want of memory", hint="free memory, and run it again")
    if -code in _FATAL and resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY:
        return LimitError(f"{what} crashed under a limit of memory", hint="raise it: ulimit -v")
    return None
