"""Locations of workspaces and mounts, and their file systems.

A workspace is searched for in this order: the given path (``-w``), ``$ARTFS_WORKSPACE``, the default that ``artfs init
DIR --default`` stored, and ``~/.local/share/artfs``.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import stat
from pathlib import Path
from typing import NamedTuple

from artstore.errors import ArtfsError, InvalidInputError, NotFolderError, NotFoundError, UnsupportedError

__all__ = [
    "WORKSPACE_VARIABLE",
    "MountPoint",
    "covering_mount",
    "default_workspace_file",
    "filesystem_type",
    "find_workspace",
    "has_current_folder",
    "is_on_read_only_disk",
    "mount_points",
    "refuse_non_folder",
    "refuse_unencodable",
    "refuse_unsafe_filesystem",
    "set_default_workspace",
    "shared_filesystem",
    "without_current_folder",
]

WORKSPACE_VARIABLE = "ARTFS_WORKSPACE"

_libc = ctypes.CDLL(None)
_MOUNTINFO = Path("/proc/self/mountinfo")
_OCTAL = re.compile(rb"\\([0-7]{3})")

_NETWORK = frozenset(
    {
        *("9p", "acfs", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "gfs", "gfs2", "glusterfs", "gpfs", "lustre"),
        *("ncpfs", "nfs", "nfs4", "ocfs2", "orangefs", "panfs", "prl_fs", "pvfs2", "shfs", "smb2", "smb3", "smbfs"),
        *("vboxsf", "virtiofs", "vmhgfs", "wekafs"),
    }
)
_FOREIGN = frozenset({"affs", "exfat", "hfs", "hfsplus", "hpfs", "msdos", "ntfs", "ntfs3", "umsdos", "vfat"})
"""Local file systems of other systems, which lack owners and permissions of Unix, holes, or both."""
_TYPES = {
    0x2011BAB0: "exfat",
    0x4006: "vfat",
    0x4244: "hfs",
    0x482B: "hfsplus",
    0x4D44: "vfat",
    0x5346544E: "ntfs",
    0x7366746E: "ntfs3",
    0xADFF: "affs",
    0xF995E849: "hpfs",
    0x01021997: "9p",
    0x6969: "nfs",
    0x517B: "smbfs",
    0xFF534D42: "cifs",
    0xFE534D42: "smb2",
    0x00C36400: "ceph",
    0x5346414F: "afs",
    0x0BD00BD0: "lustre",
    0x47504653: "gpfs",
    0x65735546: "fuse",
}
"""Names of file systems by the number that statfs(2) reports (linux/magic.h, and the modules' own headers)."""


class MountPoint(NamedTuple):
    """Describe one mount of this process's mount namespace, as the kernel lists it."""

    path: Path
    root: str
    """The folder of the file system that is mounted: ``/`` unless it is a bind mount or a subvolume."""
    fstype: str
    source: str
    device: str
    """``major:minor`` of st_dev."""
    options: frozenset[str]
    """Of the mount and of the file system."""
    filesystem_options: frozenset[str] = frozenset()
    """Of the file system alone: ``ro`` if no mount of it can write."""


def find_workspace(path: str | os.PathLike[str] | None = None) -> Path:
    """Return the absolute path of the selected workspace, which need not exist.

    *path* comes first, then the environment, the persisted default, and the user's data folder.
    """
    if path is not None:
        if not os.fspath(path):
            raise InvalidInputError("the workspace's path is empty")
        return _absolute(Path(path))
    from_environment = os.environ.get(WORKSPACE_VARIABLE)
    if from_environment:
        return _absolute(Path(from_environment))
    try:
        persisted = os.fsdecode(default_workspace_file().read_bytes()).removesuffix("\n")
    except (FileNotFoundError, NotADirectoryError):
        persisted = ""
    except OSError as error:
        raise ArtfsError(
            f"the default workspace cannot be read from {default_workspace_file()}: {error.strerror}",
            hint="name a workspace with -w DIR",
        ) from error
    if persisted:
        return Path(persisted)
    import platformdirs

    return Path(platformdirs.user_data_dir("artfs", appauthor=False))


def default_workspace_file() -> Path:
    """Return the file in the user's configuration that names the default workspace."""
    import platformdirs

    return Path(platformdirs.user_config_dir("artfs", appauthor=False)) / "default-workspace"


def set_default_workspace(path: str | os.PathLike[str]) -> None:
    """Make *path* the default workspace in every later session of this user."""
    file = default_workspace_file()
    file.parent.mkdir(parents=True, exist_ok=True)
    # Renamed into place, so that a full disk leaves the old default and not an empty one.
    import tempfile

    fd, temporary = tempfile.mkstemp(dir=file.parent, prefix=file.name)
    try:
        with os.fdopen(fd, "wb") as output:
            output.write(os.fsencode(_absolute(Path(path))) + b"\n")
        os.replace(temporary, file)
    except OSError:
        os.unlink(temporary)
        raise


def mount_points() -> list[MountPoint]:
    """Return the mounts of this process's namespace in the kernel's order: a later one may cover an earlier one."""
    return [_parse_mount(line) for line in _MOUNTINFO.read_bytes().split(b"\n") if line]


def covering_mount(path: str | os.PathLike[str]) -> MountPoint:
    """Return the mount on which *path*, or its nearest existing parent, lies; symlinks are resolved.

    Raises NotFoundError if the kernel lists no mount that could hold it (a changed root without /proc of its own).
    """
    real = _nearest_existing(path)
    status = os.lstat(real)
    device = f"{os.major(status.st_dev)}:{os.minor(status.st_dev)}"
    mounts = [mount for mount in mount_points() if real.is_relative_to(mount.path)]
    if not mounts:
        raise NotFoundError(f"the kernel lists no mount for {real}")
    # The deepest, and of those the last, which covers the others.  A mount of the path's own file system is preferred,
    # because a mount may be hidden below another.  (Subvolumes of btrfs have devices that no mount has.)
    return max(enumerate(mounts), key=lambda item: (item[1].device == device, len(item[1].path.parts), item[0]))[1]


def filesystem_type(path: str | os.PathLike[str]) -> str:
    """Return the type of the file system on which *path*, or its nearest existing parent, lies: ``ext4``, ``nfs4``."""
    return covering_mount(path).fstype


def _reported_type(path: str | os.PathLike[str]) -> str:
    """Return the name of the type that statfs(2) reports, if it is one that is refused; else an empty text.

    The list of mounts can name another one: that of a changed root, or none that holds the path.
    """
    answer = (ctypes.c_long * 32)()  # struct statfs is shorter, and begins with the type
    if _libc.statfs(os.fsencode(_nearest_existing(path)), ctypes.byref(answer)):
        return ""
    return _TYPES.get(answer[0] & 0xFFFFFFFF, "")


def _types(path: str | os.PathLike[str]) -> tuple[str, str]:
    return filesystem_type(path), _reported_type(path)


def shared_filesystem(path: str | os.PathLike[str]) -> str | None:
    """Return the type of the file system at *path* if it is a network's or FUSE: others may write behind its back."""
    for kind in _types(path):
        if kind in _NETWORK or kind.partition(".")[0] in ("fuse", "fuseblk"):
            return kind
    return None


def is_on_read_only_disk(path: str | os.PathLike[str]) -> bool:
    """Return whether the file system at *path* is read-only as a whole, so that no process can write to it.

    A read-only bind mount of a writable file system is not: processes may write to it through another mount.
    """
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY) and "ro" in covering_mount(path).filesystem_options


def refuse_unsafe_filesystem(path: str | os.PathLike[str], *, new: bool = False) -> None:
    """Raise `UnsupportedError` if a workspace at *path* would lie on a network or FUSE file system.

    The locks of the database do not reach other hosts, and it maps its file, which such a system cannot keep coherent.
    A *new* workspace is also refused on FAT, exFAT, NTFS and the like, which do not keep owners and permissions: all
    users could read and write it.
    """
    kind = shared_filesystem(path)
    if kind is not None:
        raise UnsupportedError(
            f"{Path(path)} is on a {kind} file system, which would corrupt a workspace: "
            "locks and memory maps are unreliable there",
            hint="create one on a local disk: artfs init DIR --default",
        )
    for kind in _types(path):
        if new and kind in _FOREIGN:
            raise UnsupportedError(
                f"{Path(path)} is on a file system without the permissions that a workspace needs: {kind}",
                hint="create one on ext4, xfs or btrfs: artfs init DIR --default",
            )


def refuse_unencodable(workspace: str | os.PathLike[str]) -> None:
    """Raise `UnsupportedError` for a path that is not UTF-8, which py-lmdb does not take."""
    try:
        os.fspath(workspace).encode()
    except UnicodeEncodeError as error:
        path = os.fsencode(workspace)
        raise UnsupportedError(f"the workspace's path {path!r} is not UTF-8", hint="choose another folder") from error


def has_current_folder() -> bool:
    """Return whether the current folder still exists; a shell can stay in one that was removed."""
    try:
        os.getcwd()
    except OSError:
        return False
    return True


def without_current_folder(path: str) -> NotFoundError:
    """Return the error of a relative path if the current folder no longer exists."""
    what = f"{path!r} leads nowhere: the current folder no longer exists: it was removed, or its version was deleted"
    return NotFoundError(what, hint="change to another folder: cd")


def refuse_non_folder(path: Path) -> None:
    """Raise `NotFolderError` if an absolute path, or a part of it, exists and is not a folder."""
    for place in (path, *path.parents):
        try:
            mode = os.stat(place).st_mode  # one call: another process may be making the folder
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                continue
            raise
        if not stat.S_ISDIR(mode):
            raise NotFolderError(f"{place} exists and is not a folder", hint="name a new or an existing folder")
        return


def _absolute(path: Path) -> Path:
    # abspath, not resolve: a symlink to the workspace may be moved by its owner.
    return Path(os.path.abspath(os.path.expanduser(path)))


def _nearest_existing(path: str | os.PathLike[str]) -> Path:
    real = Path(os.path.realpath(path))
    while not os.path.lexists(real) and real != real.parent:
        real = real.parent
    return real


def _parse_mount(line: bytes) -> MountPoint:
    """Read one line of mountinfo; the format is described in proc_pid_mountinfo(5)."""
    before, _, after = line.partition(b" - ")
    fields = before.split(b" ")
    fstype, source, super_options = [*after.split(b" "), b"", b""][:3]
    filesystem_options = _options(super_options)
    return MountPoint(
        path=Path(_unescape(fields[4])),
        root=_unescape(fields[3]),
        fstype=os.fsdecode(fstype),
        source=_unescape(source),
        device=os.fsdecode(fields[2]),
        options=_options(fields[5]) | filesystem_options,
        filesystem_options=filesystem_options,
    )


def _options(field: bytes) -> frozenset[str]:
    return frozenset(os.fsdecode(field).split(",")) - {""}


def _unescape(field: bytes) -> str:
    return os.fsdecode(_OCTAL.sub(lambda match: bytes([int(match[1], 8)]), field))
