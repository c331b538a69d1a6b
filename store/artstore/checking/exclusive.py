"""Exclusive use of a workspace: refused while other processes use it, with their ids."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from artstore import beneath, daemons
from artstore.errors import BusyError
from artstore.records.identity import IDENTITY
from artstore.storage import disk

__all__ = ["alone", "users_of"]


@contextmanager
def alone(workspace: Path, folder: Path | None) -> Iterator[None]:
    """Run the block while no other process can use the workspace, whose environment is in ``folder`` if known.

    Raises `BusyError` naming the processes that use it.
    """
    users = [f"process {pid}" for pid in users_of(workspace)]
    with ExitStack() as held:
        lock = beneath.open_file(workspace, IDENTITY)
        held.callback(os.close, lock)
        busy = [] if disk.try_lock(lock) else ["another rebuild"]
        if folder is not None and beneath.exists(workspace, folder / "lease"):
            lease = beneath.open_file(workspace, folder / "lease")
            held.callback(os.close, lease)
            if not disk.try_lock(lease) and not users:
                busy.append("another process")
        busy += users
        mounts = daemons.live_daemons(workspace / "run")
        busy += [f"the mount {daemon.mountpoint} (process {daemon.pid})" for daemon in mounts]
        if busy:
            raise BusyError(
                f"the workspace {workspace} is in use by {', '.join(busy)}",
                hint="end them first: a rebuild needs exclusive access to the workspace",
            )
        yield


def users_of(workspace: Path) -> list[int]:
    """Return the processes that have an environment of the workspace open, even a removed one."""
    prefix = os.path.join(workspace, "manifest.")
    users = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and any(target.startswith(prefix) for target in _open_files(process)):
            users.append(int(process.name))
    return sorted(users)


def _open_files(process: Path) -> Iterator[str]:
    """Yield the paths of a process's open files; none if it has ended or belongs to another user."""
    with suppress(OSError):
        for entry in (process / "fd").iterdir():
            with suppress(OSError):
                yield os.readlink(entry)
