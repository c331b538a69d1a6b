"""Checks before a mount; each failure is reported in one sentence."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path
from typing import NoReturn

from artfs.mount import kernel, table
from artstore import beneath
from artstore.errors import (
    ExistsError,
    InvalidInputError,
    MountError,
    NotFolderError,
    NotFoundError,
    RefusedError,
)

__all__ = ["check", "check_target", "followed"]

_FUSE_CONFIGURATION = Path("/etc/fuse.conf")
_PLACE = os.O_PATH | os.O_CLOEXEC
_MOST_LINKS = 40


def check(workspace: Path, directory: Path, *, allow_other: bool) -> None:
    """Raise an error if ``workspace`` cannot be mounted on ``directory``; both are resolved.

    A mount there whose daemon has died is removed first.  Raises NotFoundError if the directory does not exist,
    NotFolderError if it is a file, ExistsError if something is in it, InvalidInputError if it and the workspace lie in
    each other, and MountError for what the machine lacks.
    """
    _remove_dead_mount(directory)
    _check_apart(workspace, directory)
    _check_folder(directory)
    _check_device()
    if os.geteuid() != 0:
        kernel.fusermount()
        if allow_other:
            _check_allowed_others()


def check_target(directory: str) -> None:
    """Raise what `check` raises for the folder alone; for a caller who has much to do before there is a workspace."""
    target = table.resolve(followed(directory) if os.geteuid() == 0 else directory)
    _remove_dead_mount(target)
    _check_folder(target)


def followed(directory: str | bytes | os.PathLike[str]) -> Path:
    """Return a path for root's process to mount on, with links followed.

    Raises RefusedError for a link of another user: who made it would decide which folder of the machine shows what is
    in the workspace.  Where something on the path cannot be opened, the rest is left as it is.  What is mounted at its
    end is not accessed, because it may not answer.
    """
    given = Path(os.path.abspath(os.fsdecode(directory)))
    left = list(reversed(given.parts[1:]))
    fd, path, links = os.open("/", _PLACE), Path("/"), 0
    try:
        while left:
            name = left.pop()
            if not left and table.at(path / name) is not None:
                return path / name
            try:
                inner = os.open(name, _PLACE | os.O_NOFOLLOW, dir_fd=fd)
            except OSError:
                return path.joinpath(name, *reversed(left))
            fd, outer = inner, fd
            os.close(outer)
            status = os.fstat(fd)
            if not stat.S_ISLNK(status.st_mode):
                path = path.parent if name == ".." else path / name
                continue
            links += 1
            if status.st_uid != 0 or links > _MOST_LINKS:
                _refuse_link(given, path / name)
            text = os.readlink("", dir_fd=fd)
            os.close(fd)
            path = Path("/") if text.startswith("/") else path
            fd = beneath.open_resolved(path)
            left += reversed([part for part in text.split("/") if part not in ("", ".")])
    finally:
        os.close(fd)
    return path


def _refuse_link(directory: Path, link: Path) -> NoReturn:
    raise RefusedError(
        f"the mount point {directory} leads through {link}, a link of another user, which root does not follow",
        hint=f"name the folder itself: {os.path.realpath(directory)}",
    )


def _remove_dead_mount(directory: Path) -> None:
    point = table.at(directory)
    if point is None:
        return
    if point.fstype == kernel.FILESYSTEM:
        mounted = next(mount for mount in reversed(table.artfs_mounts()) if mount.directory == directory)
        if table.is_dead(mounted):
            with contextlib.suppress(OSError):
                kernel.detach(os.fsencode(directory), lazy=True)
            _remove_dead_mount(directory)
            return
    raise MountError(
        f"{directory} is already mounted: {point.fstype} of {point.source}",
        hint=f"artfs umount {directory}" if point.fstype == kernel.FILESYSTEM else "",
    )


def _check_folder(directory: Path) -> None:
    try:
        with os.scandir(directory) as entries:
            is_empty = next(entries, None) is None
    except FileNotFoundError as error:
        raise NotFoundError(f"the mount point {directory} does not exist", hint=f"mkdir {directory}") from error
    except NotADirectoryError as error:
        raise NotFolderError(f"the mount point {directory} is not a folder", hint="name an empty folder") from error
    except OSError as error:
        raise MountError(f"the mount point {directory} cannot be read: {error.strerror}") from error
    if not is_empty:
        raise ExistsError(
            f"the mount point {directory} is not empty, and a mount would hide what is in it",
            hint="name an empty folder",
        )
    if not os.access(directory, os.W_OK):
        raise MountError(f"the mount point {directory} is not writable, which mounting on it requires")


def _check_apart(workspace: Path, directory: Path) -> None:
    if directory == workspace or workspace in directory.parents:
        raise InvalidInputError(f"the mount point {directory} lies inside the workspace {workspace}")
    if directory in workspace.parents:
        raise InvalidInputError(
            f"the workspace {workspace} lies inside the mount point {directory}, so the mount would hide it"
        )


def _check_device() -> None:
    if not os.path.exists(kernel.DEVICE):
        raise MountError(
            f"there is no {kernel.DEVICE} here",
            hint="load the kernel module with 'modprobe fuse', or start the container with --device /dev/fuse",
        )
    try:
        os.close(os.open(kernel.DEVICE, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        hint = f"as root: chmod 666 {kernel.DEVICE}" if error.errno in (errno.EACCES, errno.EPERM) else "modprobe fuse"
        raise MountError(f"{kernel.DEVICE} cannot be opened: {error.strerror}", hint=hint) from error


def _check_allowed_others() -> None:
    try:
        lines = _FUSE_CONFIGURATION.read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    if "user_allow_other" not in (line.strip() for line in lines):
        raise MountError(
            f"only root may allow other users to read a mount, unless {_FUSE_CONFIGURATION} contains user_allow_other",
            hint=f"as root: echo user_allow_other >> {_FUSE_CONFIGURATION}",
        )
