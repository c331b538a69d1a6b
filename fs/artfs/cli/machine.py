"""Checks of what the machine supports; they change nothing.

The checks need no workspace, only the folder where it is or would be.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from artfs.cli.output import quoted, size
from artfs.mount.configuration import PYFUSE3_INSTALL
from artstore.errors import ArtfsError

__all__ = ["Check", "examine"]

Status = Literal["ok", "warn", "fail"]

_FUSE_DEVICE = Path("/dev/fuse")
_FUSE_CONF = Path("/etc/fuse.conf")
_RESERVE_BYTES = 32 << 20
_LITTLE_SPACE_BYTES = 1 << 30
_CAP_SYS_ADMIN = 21
_FALLOC_KEEP_SIZE_AND_PUNCH_HOLE = 0x01 | 0x02


@dataclass(frozen=True)
class Check:
    """The result of a check: ``detail`` is the state, ``fix`` what to do about it (empty if the status is ``ok``)."""

    name: str
    status: Status
    detail: str
    fix: str = ""


@dataclass(frozen=True)
class _Finding:
    status: Status
    detail: str
    fix: str = ""


def examine(workspace: Path) -> Iterator[Check]:
    """Yield every check; those of the disk use the folder ``workspace`` or its nearest existing parent."""
    folder = workspace
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    looks: dict[str, Callable[[], _Finding]] = {
        "python": _python,
        "lmdb": _lmdb,
        "chunker": _chunker,
        "fast_lane": _lane,
        "pyfuse3": _binding,
        "fuse_device": _device,
        "mount_permission": _permission,
        "allow_other": _allow_other,
        "kernel": _kernel,
        "workspace": lambda: _workspace(workspace),
        "file_system": lambda: _file_system(workspace),
        "hole_punching": lambda: _hole_punching(folder),
        "space": lambda: _space(folder),
    }
    for name, look in looks.items():
        finding = _tried(look)
        yield Check(name, finding.status, finding.detail, finding.fix)


def _tried(look: Callable[[], _Finding]) -> _Finding:
    try:
        return look()
    except OSError as error:
        return _Finding("warn", f"cannot be checked: {error}")


def _python() -> _Finding:
    release = ".".join(map(str, sys.version_info[:3]))
    return _Finding("ok", f"Python {release}")


def _lmdb() -> _Finding:
    try:
        import lmdb
    except ImportError as error:
        return _Finding("fail", f"cannot be imported: {error}", "pip install lmdb")
    return _Finding("ok", f"LMDB {'.'.join(map(str, lmdb.version()))}, py-lmdb {lmdb.__version__}")


def _chunker() -> _Finding:
    try:
        import artstore.ingest.chunker  # noqa: F401 - it refuses to load without its compiled form
    except ArtfsError as error:
        return _Finding("fail", error.message, error.hint)
    except ImportError as error:
        return _Finding("fail", f"cannot be imported: {error}", "pip install pyfastcdc")
    return _Finding("ok", "the compiled module of pyfastcdc is loaded")


def _lane() -> _Finding:
    from artfs.mount.lane import INSTALL, is_installed, program

    if not is_installed():
        return _Finding("warn", "the fast lane of mounts is not installed: they work, only slower", INSTALL)
    path = program()
    if not path:
        return _Finding("warn", "the fast lane of mounts is turned off (ARTFS_LANE=0) or was not built", INSTALL)
    return _Finding("ok", f"the fast lane of mounts is {path}")


def _binding() -> _Finding:
    try:
        import pyfuse3
    except ImportError as error:
        # Mounts use the direct transport, unless the kernel lacks what it needs.
        return _Finding("warn", f"the second transport is not installed: {error}", PYFUSE3_INSTALL)
    return _Finding("ok", f"pyfuse3 {pyfuse3.__version__}")


def _device() -> _Finding:
    in_container = "in a container: start it with --device /dev/fuse --cap-add SYS_ADMIN"
    try:
        status = _FUSE_DEVICE.stat()
    except FileNotFoundError:
        return _Finding("fail", f"there is no {_FUSE_DEVICE}", f"modprobe fuse as root; {in_container}")
    if not stat.S_ISCHR(status.st_mode):
        return _Finding("fail", f"{_FUSE_DEVICE} is not a device", "mknod -m 666 /dev/fuse c 10 229 as root")
    try:
        os.close(os.open(_FUSE_DEVICE, os.O_RDWR | os.O_CLOEXEC))
    except PermissionError as error:
        fix = f"chmod 666 {_FUSE_DEVICE} as root; {in_container}"
        return _Finding("fail", f"{_FUSE_DEVICE} cannot be opened: {error.strerror}", fix)
    except OSError as error:
        return _Finding("fail", f"{_FUSE_DEVICE} cannot be opened: {error.strerror}", "modprobe fuse as root")
    return _Finding("ok", f"{_FUSE_DEVICE} can be opened for reading and writing")


def _permission() -> _Finding:
    """Check whether this user can mount: with the capability as root, with fusermount3 as any other user."""
    if os.geteuid() == 0:
        if _status_field("CapEff", base=16) >> _CAP_SYS_ADMIN & 1:
            return _Finding("ok", "root with CAP_SYS_ADMIN mounts directly")
        fix = "in a container: start it with --cap-add SYS_ADMIN"
        return _Finding("fail", "root without CAP_SYS_ADMIN cannot mount", fix)
    helper = shutil.which("fusermount3")
    if helper is None:
        return _Finding("fail", "there is no fusermount3", "apt install fuse3")
    status = os.stat(helper)
    if not status.st_mode & stat.S_ISUID or status.st_uid != 0:
        fix = f"chown root {helper} && chmod u+s {helper} as root"
        return _Finding("fail", f"{helper} is not setuid root", fix)
    if _status_field("NoNewPrivs"):
        fix = "start the container or service without no-new-privileges"
        return _Finding("fail", f"{helper} may not become root here (no_new_privs)", fix)
    return _Finding("ok", f"{helper} is setuid root")


def _status_field(field: str, *, base: int = 10) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value, base)
    return 0


def _allow_other() -> _Finding:
    if os.geteuid() == 0:
        return _Finding("ok", "root may always mount with --allow-other")
    try:
        lines = _FUSE_CONF.read_text().splitlines()
    except OSError:
        lines = []
    if any(line.split("#")[0].strip() == "user_allow_other" for line in lines):
        return _Finding("ok", f"{_FUSE_CONF} has user_allow_other")
    fix = f"echo user_allow_other >> {_FUSE_CONF} as root (only 'artfs mount --allow-other' needs it)"
    return _Finding("warn", f"{_FUSE_CONF} lacks user_allow_other", fix)


def _kernel() -> _Finding:
    """Check the kernel release for the FUSE features needed; the releases are those of linux/fuse.h."""
    release = os.uname().release
    numbers = re.match(r"(\d+)\.(\d+)", release)
    version = (int(numbers[1]), int(numbers[2])) if numbers else (0, 0)
    if "fuse" not in Path("/proc/filesystems").read_text().split():
        return _Finding("warn", f"Linux {release}, FUSE is not loaded", "modprobe fuse as root, or mount once")
    if version < (4, 2):
        return _Finding(
            "fail", f"Linux {release} cannot give each worker its own FUSE device", "use Linux 5.4 or newer"
        )
    if version < (5, 2):
        detail = f"Linux {release} drops cached file data more often than necessary"
        return _Finding("warn", detail, "use Linux 5.4 or newer")
    offers = [
        words
        for since, words in (
            ((6, 9), "requests of a dead worker can be sent again"),
            ((6, 16), "the whole cache can be dropped at once"),
        )
        if version >= since
    ]
    return _Finding("ok", "; ".join([f"Linux {release} with FUSE", *offers]))


def _workspace(workspace: Path) -> _Finding:
    from artstore.errors import WorkspaceNotFoundError
    from artstore.workspace import open_workspace

    try:
        open_workspace(workspace)
    except WorkspaceNotFoundError:
        return _Finding("ok", f"none at {quoted(str(workspace))} yet; the first 'artfs put' creates it")
    except ArtfsError as error:
        return _Finding("fail", error.message, error.hint)
    return _Finding("ok", f"{quoted(str(workspace))} can be opened")


def _file_system(workspace: Path) -> _Finding:
    from artstore.locate import filesystem_type, refuse_unsafe_filesystem

    try:
        refuse_unsafe_filesystem(workspace, new=not (workspace / "current").exists())
    except ArtfsError as error:
        return _Finding("fail", error.message, error.hint)
    return _Finding("ok", f"{filesystem_type(workspace)} under {quoted(str(workspace))}")


def _hole_punching(folder: Path) -> _Finding:
    fix = "use ext4, xfs, btrfs or tmpfs to free deleted bytes without copying"
    if not os.access(folder, os.W_OK | os.X_OK):
        return _Finding("warn", f"{quoted(str(folder))} is not writable, so this was not tested", "")
    with tempfile.TemporaryFile(dir=folder, prefix=".artfs-doctor-") as file:
        file.write(b"\1" * (1 << 20))
        file.flush()
        os.fsync(file.fileno())
        before = os.fstat(file.fileno()).st_blocks
        if not _punch(file.fileno(), 1 << 20):
            return _Finding("warn", "the file system cannot punch holes in files", fix)
        if os.fstat(file.fileno()).st_blocks >= before:
            return _Finding("warn", "punching a hole in a file frees no space", fix)
    return _Finding("ok", "punching a hole in a file frees its space")


def _punch(descriptor: int, length: int) -> bool:
    libc = ctypes.CDLL(None, use_errno=True)
    offset, whole = ctypes.c_longlong(0), ctypes.c_longlong(length)
    if libc.fallocate64(descriptor, _FALLOC_KEEP_SIZE_AND_PUNCH_HOLE, offset, whole) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.EOPNOTSUPP, errno.ENOSYS):
        return False
    raise OSError(number, os.strerror(number))


def _space(folder: Path) -> _Finding:
    status = os.statvfs(folder)
    available = status.f_bavail * status.f_frsize
    detail = f"{size(available)} available at {quoted(str(folder))}"
    fix = "free space there, or choose another disk with 'artfs init DIR --default'"
    if available < _RESERVE_BYTES:
        return _Finding("fail", detail, fix)
    if available < _LITTLE_SPACE_BYTES:
        return _Finding("warn", detail, fix)
    return _Finding("ok", detail)
