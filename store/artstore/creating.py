"""Making a workspace: built in a temporary folder, synced, and renamed, so that it exists completely or not at all."""

from __future__ import annotations

import errno
import grp
import os
import pwd
import secrets
import stat
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from artstore import beneath, locate
from artstore.errors import ExistsError, InvalidInputError, NotFoundError, RefusedError, UnsupportedError
from artstore.records.identity import IDENTITY, WorkspaceIdentity
from artstore.storage import disk, manifest
from artstore.storage.manifest_folders import CURRENT, FORMAT
from artstore.storage.modes import folder_mode
from artstore.storage.reserve import RESERVE
from artstore.store import Store
from artstore.temporaries import TemporaryFolder, remove_abandoned

__all__ = ["create_workspace", "group_number"]

_NEW: Final = "workspace"
_MOVING: Final = ".artfs-move-"
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_MANIFEST: Final = "manifest.1"
_FOLDERS: Final = ("packs", "journal", "cache", "run", "run/drafts", "run/daemons", _MANIFEST)


def create_workspace(path: Path, *, group: str | None = None) -> Store:
    """Make a workspace at ``path`` and open it.

    It is built in a temporary folder next to it, synced, and renamed, so that it exists completely or not at all.
    ``group`` shares it with a Unix group.  Raises `ExistsError` if something else exists there, `NotFolderError` if
    that or a part of the path is no folder, `UnsupportedError` on a file system where LMDB is unsafe or
    that has no permissions, `OutOfSpaceError` if there is no room for the reserve.
    """
    path = Path(os.path.abspath(path))
    locate.refuse_unencodable(path)
    if (path / CURRENT).exists():
        raise ExistsError(f"{path} is already a workspace", hint="name a new or an empty folder")
    locate.refuse_non_folder(path)
    for folder in (path, path.parent):
        _remove_abandoned(folder)
    if _finish_move(path) and group is None:
        return Store.open(path)
    if path.is_dir() and any(path.iterdir()):
        raise ExistsError(f"{path} is not empty", hint="name a new or an empty folder")
    locate.refuse_unsafe_filesystem(path, new=True)
    gid = None if group is None else group_number(group)
    with disk.out_of_space(path, "the new workspace"):
        path.parent.mkdir(parents=True, exist_ok=True)
        _make(path, group, gid)
    return Store.open(path)


def _make(path: Path, group: str | None, gid: int | None) -> None:
    in_place = path.is_dir() and not _can_replace(path)
    above = path if in_place else path.parent
    with (
        beneath.closing(os.open(above, _FOLDER)) as parent,
        _temporary_folder(parent, above) as temporary,
        beneath.closing(_locked_folder(temporary.fd)) as lock,
    ):
        _build(Path(f"/proc/self/fd/{lock}"), group, gid)  # the path may lead elsewhere by now
        if in_place:
            _move_in(temporary.fd, path)
        else:
            _rename(temporary.fd, path)
        disk.sync_folder(path.parent)


def _temporary_folder(parent: int, path: Path) -> TemporaryFolder:
    """Make a folder to build in, in the folder open as ``parent``."""
    try:
        return TemporaryFolder(parent)
    except OSError as error:  # it names the temporary folder, which the caller does not know
        if error.errno == errno.ENOENT:
            hint = "name a folder on a disk"
            raise UnsupportedError(f"{path} is on a file system that takes no folders", hint=hint) from error
        raise OSError(error.errno, f"no workspace can be created there: {error.strerror}", str(path)) from error


def _locked_folder(parent: int) -> int:
    """Make the folder of the new workspace; return its descriptor, whose flock marks it as being built."""
    os.mkdir(_NEW, 0o700, dir_fd=parent)
    lock = os.open(_NEW, _FOLDER | os.O_NOFOLLOW, dir_fd=parent)
    disk.try_lock(lock)
    return lock


def _remove_abandoned(folder: Path) -> None:
    with suppress(OSError), beneath.closing(os.open(folder, _FOLDER)) as fd:
        remove_abandoned(fd)


def _abandoned_moves(folder: Path) -> Iterator[Path]:
    """Yield what a killed `create_workspace` was moving into ``folder``, each locked until the next is requested."""
    for whole in folder.glob(f"{_MOVING}*"):
        try:
            lock = os.open(whole, _FOLDER | os.O_NOFOLLOW)
        except OSError:
            continue  # another user's
        try:
            is_own = os.fstat(lock).st_uid == os.geteuid()  # root can open those of others
            if is_own and (whole / CURRENT).is_file() and disk.try_lock(lock):
                yield whole
        finally:
            os.close(lock)


def _finish_move(path: Path) -> bool:
    """Finish the move of a workspace that a killed `create_workspace` had built; return whether there was one."""
    is_finished = False
    for whole in _abandoned_moves(path):
        _move_rest(whole, path)
        is_finished = True
    return is_finished


def group_number(group: str) -> int:
    """Return the number of a group; raise `NotFoundError` if there is none of that name."""
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError as error:
        raise NotFoundError(f"there is no group {group!r}", hint="list them: getent group") from error
    except ValueError as error:
        raise InvalidInputError(f"{group!r} is not the name of a group") from error


def _rename(temporary: int, path: Path) -> None:
    try:
        os.rename(_NEW, path, src_dir_fd=temporary)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise
        raise ExistsError(f"{path} was created by another process at the same time") from error


def _can_replace(path: Path) -> bool:
    """Return whether an empty folder can be renamed over: no mount point, and its parent is writable."""
    return not path.is_mount() and not path.is_symlink() and os.access(path.parent, os.W_OK)


def _build(folder: Path, group: str | None, gid: int | None) -> None:
    file_mode = 0o660 if group else 0o600
    for name in ("", *_FOLDERS):  # each gets the group of the one above it, which must have it by then
        if name:
            beneath.make_folder(folder, name)
        with beneath.closing(beneath.open_folder(folder, name)) as fd:
            if gid is not None and group is not None:
                _give_to_group(fd, group, gid)
            os.fchmod(fd, folder_mode(name, is_shared=group is not None))
    disk.write_file(folder, folder / _MANIFEST / "lease", b"", file_mode)
    disk.write_file(folder, folder / "journal" / "catalogue.journal", b"", file_mode)
    disk.preallocate(folder, folder / "reserve", RESERVE, file_mode)
    identity = WorkspaceIdentity(str(uuid.uuid4()), time.time_ns(), group)
    disk.write_file(folder, folder / IDENTITY, identity.encode(FORMAT), file_mode)
    disk.write_file(folder, folder / CURRENT, f"{FORMAT} {_MANIFEST}\n".encode(), file_mode)
    manifest.create(folder)
    for name in (*_FOLDERS, ""):
        disk.sync_folder(folder, name)


def _give_to_group(fd: int, group: str, gid: int) -> None:
    try:
        os.fchown(fd, -1, gid)
    except PermissionError as error:
        user = pwd.getpwuid(os.geteuid()).pw_name
        raise RefusedError(
            f"a workspace cannot be shared with the group {group!r}, of which its owner {user!r} is not a member",
            hint=f"as root: usermod -aG {group} {user}",
        ) from error


def _move_in(temporary: int, path: Path) -> None:
    """Move a built workspace into a folder that cannot be replaced.

    It is renamed first: an interrupted move is recognized by that name and by the file that identifies a workspace, and
    finished instead of removed.
    """
    whole = path / f"{_MOVING}{secrets.token_hex(8)}"
    os.rename(_NEW, whole, src_dir_fd=temporary)
    disk.sync_folder(path)
    _move_rest(whole, path)


def _move_rest(whole: Path, path: Path) -> None:
    """Move the remaining files of a workspace into its folder; the file that identifies a workspace is moved last."""
    status = beneath.status(path, whole)
    try:
        with beneath.closing(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)) as fd:
            if os.fstat(fd).st_gid != status.st_gid:
                os.fchown(fd, -1, status.st_gid)
            os.fchmod(fd, stat.S_IMODE(status.st_mode))
    except PermissionError as error:
        raise UnsupportedError(f"the mode of {path} cannot be set: {error}") from error
    for name in sorted(beneath.names(path, whole), key=lambda name: name == CURRENT):
        beneath.rename(path, whole / name, name)
    beneath.remove_folder(path, whole)
    disk.sync_folder(path)
