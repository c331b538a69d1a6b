"""What an exception of the system says about a limit or the disk, and what it does not say."""

from __future__ import annotations

import errno
import os
import signal

import lmdb
import pytest

from artstore.errors import ArtfsError, BusyError, DamageError, DiskError, LimitError
from artstore.limits import killed, machine_error, raise_machine_error


@pytest.mark.parametrize(
    ("error", "way_out"),
    [
        (OSError(errno.EMFILE, "x"), "ulimit -n"),
        (OSError(errno.ENFILE, "x"), "fs.file-max"),
        (OSError(errno.ENOMEM, "x"), "ulimit -v"),
        (MemoryError(), "ulimit -v"),
        (lmdb.MemoryError(f"mdb_env_open: {os.strerror(errno.ENOMEM)}"), "ulimit -v"),
        (OSError(errno.EFBIG, "x"), "ulimit -f"),
        (lmdb.Error(f"mdb_txn_commit: {os.strerror(errno.EFBIG)}"), "ulimit -f"),
        (BlockingIOError(errno.EAGAIN, "x"), "ulimit -u"),
        (RuntimeError("can't start new thread"), "ulimit -u"),
        (OSError(errno.ESTALE, "x"), "mount"),
    ],
)
def test_limits(error: Exception, way_out: str) -> None:
    """Each is a `LimitError` that begins with what failed and names the way out."""
    found = machine_error(error, "writing x failed")
    assert isinstance(found, LimitError) and found.exit_code == 1
    assert found.message.startswith("writing x failed: ") and way_out in found.hint


@pytest.mark.parametrize("error", [OSError(errno.EIO, "x"), lmdb.Error(f"mdb_txn_commit: {os.strerror(errno.EIO)}")])
def test_a_failed_disk(error: Exception) -> None:
    """EIO is a failed disk, unless the caller takes it for something else."""
    found = machine_error(error)
    assert isinstance(found, DiskError) and (found.exit_code, found.errno) == (1, errno.EIO)
    raise_machine_error(error, but=errno.EIO)
    with pytest.raises(DiskError):
        raise_machine_error(error)


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOENT, "x"), ValueError("x"), RuntimeError("x"), DamageError("x"), BusyError("x")]
)
def test_other_errors(error: Exception) -> None:
    """They say nothing about the machine."""
    assert machine_error(error) is None
    raise_machine_error(error)


def test_processes_that_were_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGKILL may come of want of memory; a crash does if memory is limited, and a plain exit does not."""
    assert isinstance(killed(-signal.SIGKILL, "the helper"), ArtfsError)
    assert killed(1, "the helper") is None and killed(-signal.SIGSEGV, "the helper") is None
    monkeypatch.setattr("resource.getrlimit", lambda _: (1 << 30, 1 << 30))
    assert isinstance(killed(-signal.SIGSEGV, "the helper"), LimitError)
