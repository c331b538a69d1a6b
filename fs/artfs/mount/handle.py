"""The handle that `mount` returns."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from artfs.mount.daemon import Daemon
from artstore.errors import BusyError, MountError, NotFoundError
from artstore.names import version_label

__all__ = ["MountHandle", "NumberedVersion"]

_END_SECONDS = 5.0


class NumberedVersion(Protocol):
    """A version of an artifact."""

    @property
    def artifact(self) -> str:
        """Return the full name of the artifact."""

    @property
    def number(self) -> int:
        """Return the version's number."""


class MountHandle:
    """A mount that this process has made; as a context manager, it ends with the block."""

    def __init__(self, directory: Path, daemon: Daemon, unmount: Callable[..., None]) -> None:
        self.directory = directory
        self._daemon = daemon
        self._unmount = unmount

    @property
    def pid(self) -> int:
        """Return the pid of the daemon's first process."""
        return self._daemon.pid

    def path(self, version: NumberedVersion) -> str:
        """Return the folder of ``version``: never that of an alias, so it stays the same version."""
        return os.fspath(self.directory / version.artifact / version_label(version.number))

    def close(self) -> None:
        """Unmount, unless already done; a mount in use is detached, and ends after its last use.

        Returns when the daemon has ended, or at once in the latter case.
        """
        if self._daemon.poll() is not None:
            return
        try:
            self._unmount(self.directory)
        except BusyError:
            self._unmount(self.directory, lazy=True)
            return
        except (MountError, NotFoundError):
            pass  # another process has already unmounted it
        self._daemon.wait(_END_SECONDS)

    def wait(self) -> None:
        """Return when the mount has ended; SIGINT and SIGTERM unmount it.  MountError if its daemon failed."""
        if self._daemon.serve_here() != 0:
            raise MountError(
                f"the daemon of {self.directory} has ended before it was unmounted",
                hint=f"artfs umount {self.directory}",
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(FileNotFoundError):
            self.close()
