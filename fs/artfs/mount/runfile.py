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

from artfs.mount.ownership import Owner
from artstore.daemons import DaemonInfo, daemons_folder, is_held, recorded_daemons, run_dirs

__all__ = ["RunFile", "log_file", "remove_dead"]

_LOG_SECONDS = 7 * 86400
"""How long the non-empty log of a dead daemon is kept."""


class RunFile:
    """The run file of a daemon."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.descriptor = descriptor

    @classmethod
    def create(cls, run_dir: Path, info: DaemonInfo, owner: Owner) -> RunFile:
        """Write the run file of ``info`` and lock it.  Guarantees: it is never visible without its lock."""
        folder = daemons_folder(run_dir)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{info.id}.json"
        temporary = folder / f".{info.id}.new"
        descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        try:
            if os.geteuid() != owner.uid:
                os.fchown(descriptor, owner.uid, owner.gid)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            os.write(descriptor, json.dumps(asdict(info)).encode() + b"\n")
            temporary.rename(path)
        except BaseException:
            os.close(descriptor)
            temporary.unlink(missing_ok=True)
            raise
        return cls(path, descriptor)

    def remove(self) -> None:
        """Delete the file, while it is still locked."""
        self.path.unlink(missing_ok=True)


def log_file(run_dir: Path, daemon: str) -> Path:
    """Return the path of a background daemon's log."""
    return daemons_folder(run_dir) / f"{daemon}.log"


def remove_dead(run_dir: Path) -> None:
    """Delete the leftovers of killed daemons: run files, sockets, and logs that are empty or a week old."""
    for path, info in recorded_daemons(run_dir):
        if not is_held(path):
            log = path.with_suffix(".log")
            for leftover in (Path(info.socket), path, *([log] if _is_empty(log) else [])):
                with contextlib.suppress(OSError):
                    leftover.unlink()
    for log in [log for folder in run_dirs(run_dir) for log in daemons_folder(folder).glob("*.log")]:
        with contextlib.suppress(OSError):
            status = log.stat()
            if not log.with_suffix(".json").exists() and _is_old(status):
                log.unlink()


def _is_empty(log: Path) -> bool:
    try:
        return log.stat().st_size == 0
    except OSError:
        return False


def _is_old(status: os.stat_result) -> bool:
    """Return whether a log is obsolete; an empty one that was just made belongs to a daemon that is starting."""
    age = time.time() - status.st_mtime
    return age > _LOG_SECONDS or (status.st_size == 0 and age > 60)
