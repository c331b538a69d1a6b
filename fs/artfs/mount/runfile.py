"""The file that shows that a daemon is alive: ``run/daemons/<id>.json``, held with an exclusive flock.

The lock belongs to the open file that the zygote and the supervisor share, so it lasts until both have ended, and the
kernel releases it however they end.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from dataclasses import asdict
from pathlib import Path

from artstore import beneath
from artstore.daemons import DaemonInfo, daemons_folder, is_held, recorded_daemons, remove_socket, run_dirs

__all__ = ["RunFile", "log_file", "remove_dead", "remove_empty_log"]

_LOG_SECONDS = 7 * 86400
"""How long the non-empty log of a dead daemon is kept."""


class RunFile:
    """The run file of a daemon."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.descriptor = descriptor

    @classmethod
    def create(cls, run_dir: Path, info: DaemonInfo) -> RunFile:
        """Write the run file of ``info`` and lock it.  Guarantees: it is never visible without its lock."""
        folder = daemons_folder(run_dir)
        root = run_dir.parent
        beneath.make_folders(root, folder)
        path = folder / f"{info.id}.json"
        temporary = folder / f".{info.id}.new"
        descriptor = beneath.open_file(root, temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        try:
            # What the group cannot read, a reaper of another member cannot examine.
            os.fchmod(descriptor, 0o640 if beneath.shared_group(root) is not None else 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            os.write(descriptor, json.dumps(asdict(info)).encode() + b"\n")
            beneath.rename(root, temporary, path)
        except BaseException:
            os.close(descriptor)
            beneath.remove(root, temporary, missing_ok=True)
            raise
        return cls(path, descriptor)

    def remove(self) -> None:
        """Delete the file, while it is still locked."""
        beneath.remove(self.path.parents[2], self.path, missing_ok=True)


def log_file(run_dir: Path, daemon: str) -> Path:
    """Return the path of a background daemon's log."""
    return daemons_folder(run_dir) / f"{daemon}.log"


def remove_dead(run_dir: Path) -> None:
    """Delete the leftovers of killed daemons: run files, sockets, and logs that are empty or a week old."""
    for path, info in recorded_daemons(run_dir):
        if not is_held(path):
            with contextlib.suppress(OSError):
                remove_socket(run_dir.parent, path, info)
                beneath.remove(path.parents[2], path)
            remove_empty_log(path.with_suffix(".log"))
    for folder in map(daemons_folder, run_dirs(run_dir)):
        with contextlib.suppress(OSError):
            names = beneath.names(folder.parents[1], folder)
            for name in [name for name in names if name.endswith(".log") and f"{name[:-4]}.json" not in names]:
                if _is_old(beneath.status(folder.parents[1], folder / name)):
                    beneath.remove(folder.parents[1], folder / name)


def remove_empty_log(log: Path) -> None:
    """Remove a log to which nothing was written."""
    with contextlib.suppress(OSError):
        if beneath.status(log.parents[2], log).st_size == 0:
            beneath.remove(log.parents[2], log)


def _is_old(status: os.stat_result) -> bool:
    """Return whether a log is obsolete; an empty one that was just made belongs to a daemon that is starting."""
    age = time.time() - status.st_mtime
    return age > _LOG_SECONDS or (status.st_size == 0 and age > 60)
