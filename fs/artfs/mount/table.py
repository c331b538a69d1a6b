"""Find artfs mounts in the system's table of mounts, by text: accessing a hung mount would hang as well."""

from __future__ import annotations

import errno
import os
import time
from dataclasses import dataclass
from pathlib import Path

from artfs.mount.kernel import FILESYSTEM
from artstore.daemons import DaemonInfo, daemons_folder, live_daemons
from artstore.locate import MountPoint, is_on_read_only_disk, mount_points

__all__ = ["Mounted", "artfs_mounts", "at", "is_dead", "resolve"]

_DYING_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Mounted:
    """An artfs mount in the table: ``daemon`` serves it, None if it has died."""

    directory: Path
    workspace: Path
    device: str
    daemon: DaemonInfo | None


def resolve(directory: str | bytes | os.PathLike[str]) -> Path:
    """Return the absolute path of a mount point, without accessing the folder itself if something is mounted there."""
    path = Path(os.path.abspath(os.fsdecode(directory)))
    shallow = Path(os.path.realpath(path.parent)) / path.name
    if any(point.path == shallow for point in mount_points()):
        return shallow
    return Path(os.path.realpath(path))


def at(directory: Path) -> MountPoint | None:
    """Return the mount on ``directory`` (of several, the visible one), or None."""
    return next((point for point in reversed(mount_points()) if point.path == directory), None)


def artfs_mounts(workspace: Path | None = None) -> list[Mounted]:
    """Return the artfs mounts that this process can see, of one workspace or of all."""
    mounts = []
    daemons: dict[Path, list[DaemonInfo]] = {}
    for point in mount_points():
        if point.fstype == FILESYSTEM:
            source = Path(point.source)
            if workspace is None or _same(source, workspace):
                if source not in daemons:
                    daemons[source] = live_daemons(source / "run")
                mounts.append(Mounted(point.path, source, point.device, _serving(point, daemons[source])))
    return mounts


def is_dead(mounted: Mounted) -> bool:
    """Return whether the daemon of a mount has died; the kernel is asked about one whose run file is not visible.

    The query is for the file system's statistics, which the kernel never caches: attributes may be served from memory.
    Workers outlive the rest of their daemon by a moment, so a single answer is no proof.  For a mount of another user
    the kernel asks no daemon and answers zeros: it is dead if no daemon in its workspace is this one's.
    """
    deadline = time.monotonic() + _DYING_SECONDS
    while mounted.daemon is None:
        try:
            if not os.statvfs(mounted.directory).f_bsize:
                return _shows_daemons(mounted.workspace)
        except PermissionError:  # this user may not enter a folder above it
            return _shows_daemons(mounted.workspace)
        except OSError as error:
            if error.errno != errno.ECONNABORTED:  # a dying worker had the request
                return error.errno == errno.ENOTCONN
        if time.monotonic() >= deadline:
            break
        time.sleep(0.01)
    return False


def _shows_daemons(workspace: Path) -> bool:
    """Return whether this user can see the run files of a workspace's daemons of all users."""
    return os.access(daemons_folder(workspace / "run"), os.R_OK) and not is_on_read_only_disk(workspace)


def _serving(point: MountPoint, daemons: list[DaemonInfo]) -> DaemonInfo | None:
    return next((daemon for daemon in daemons if daemon.device == point.device), None)


def _same(path: Path, other: Path) -> bool:
    return path == other or os.path.realpath(path) == os.path.realpath(other)
