"""The system calls that attach a file system to a folder and detach it.

root mounts with mount(2); an ordinary user through the setuid program fusermount3, which passes the open device back
over a socket.  Doing so here rather than in a FUSE library keeps paths bytes, gives the kernel's own error numbers,
and serves every transport alike: libfuse takes an attached device as the mount point ``/dev/fd/N``.
"""

from __future__ import annotations

import array
import contextlib
import ctypes
import errno
import fcntl
import os
import signal
import socket
from pathlib import Path

from artstore import beneath
from artstore.errors import MountError

__all__ = [
    "DEVICE",
    "FILESYSTEM",
    "attach",
    "clone_device",
    "detach",
    "die_with_parent",
    "fusermount",
    "widen_readahead",
]

DEVICE = "/dev/fuse"
FILESYSTEM = "fuse.artfs"

_MS_RDONLY = 1
_MS_NOSUID = 2
_MS_NODEV = 4
_MNT_DETACH = 2
_UMOUNT_NOFOLLOW = 8
_PR_SET_PDEATHSIG = 1
_FUSE_DEV_IOC_CLONE = 0x8004E500
_OPTIONS = "default_permissions"

_READAHEAD_KB = 512
"""Measured: a table reads 1.5 times as fast as with the kernel's 128, and random faults of a map are as fast."""

_libc = ctypes.CDLL(None, use_errno=True)


def attach(source: bytes, directory: bytes, *, allow_other: bool) -> int:
    """Mount on ``directory``, read-only, and return the device for the kernel's requests; mount(8) shows ``source``.

    The caller has to answer the kernel's INIT.  Guarantees: the descriptor is closed on exec.  Raises MountError.
    """
    if os.geteuid() == 0:
        return _attach_as_root(source, directory, allow_other)
    return _attach_as_user(source, directory, allow_other)


def _attach_as_root(source: bytes, directory: bytes, allow_other: bool) -> int:
    try:
        device = os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise MountError(f"{DEVICE} cannot be opened: {error.strerror}", hint="load the kernel module fuse") from error
    options = f"fd={device},rootmode=40000,user_id={os.getuid()},group_id={os.getgid()},{_OPTIONS}"
    if allow_other:
        options += ",allow_other"
    flags = _MS_RDONLY | _MS_NOSUID | _MS_NODEV
    try:
        # By its descriptor: another user may have put a link at the path since it was resolved.
        with beneath.closing(beneath.open_resolved(Path(os.fsdecode(directory)))) as folder:
            target = b"/proc/self/fd/%d" % folder
            failed = _libc.mount(source, target, FILESYSTEM.encode(), ctypes.c_ulong(flags), options.encode()) != 0
            number = ctypes.get_errno()
    except OSError as error:
        os.close(device)
        raise MountError(f"mounting on {os.fsdecode(directory)} failed: {error.strerror}") from error
    if failed:
        os.close(device)
        hint = "a container needs the capability SYS_ADMIN to mount" if number == errno.EPERM else ""
        raise MountError(f"mounting on {os.fsdecode(directory)} failed: {os.strerror(number)}", hint=hint)
    return device


def _attach_as_user(source: bytes, directory: bytes, allow_other: bool) -> int:
    escaped = source.replace(b"\\", b"\\\\").replace(b",", b"\\,")
    options = b"ro,nosuid,nodev,subtype=artfs,fsname=" + escaped + b"," + _OPTIONS.encode()
    if allow_other:
        options += b",allow_other"
    import subprocess

    mine, theirs = socket.socketpair()
    with mine, theirs:
        process = subprocess.run(
            [fusermount(), b"-o", options, b"--", directory],
            env={**os.environ, "_FUSE_COMMFD": str(theirs.fileno())},
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            check=False,
        )
        theirs.close()
        if process.returncode != 0:
            message = process.stderr.decode(errors="replace").strip().rpartition("fusermount3: ")[2]
            raise MountError(f"mounting on {os.fsdecode(directory)} failed: {message or 'fusermount3 gave no reason'}")
        return _receive_descriptor(mine)


def _receive_descriptor(connection: socket.socket) -> int:
    size = array.array("i").itemsize
    _, ancillary, _, _ = connection.recvmsg(1, socket.CMSG_SPACE(size), socket.MSG_CMSG_CLOEXEC)
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            return int(array.array("i", data[:size])[0])
    raise MountError("fusermount3 did not pass back the FUSE device")


def fusermount() -> str:
    """Return the path of fusermount3; MountError if it is not installed."""
    import shutil

    program = shutil.which("fusermount3")
    if program is None:
        raise MountError("fusermount3, which mounts for ordinary users, is not installed", hint="apt install fuse3")
    return program


def detach(directory: bytes, *, lazy: bool) -> None:
    """Unmount ``directory``; ``lazy`` detaches it now and ends it when its last file is closed.

    Raises OSError with the kernel's number: EBUSY while it is in use, EINVAL if it is no mount point, EPERM.
    """
    if os.geteuid() == 0:
        folder, _, name = directory.rpartition(b"/")
        with beneath.closing(beneath.open_resolved(Path(os.fsdecode(folder or b"/")))) as above:
            place = b"/proc/self/fd/%d/%s" % (above, name)
            if _libc.umount2(place, (_MNT_DETACH if lazy else 0) | _UMOUNT_NOFOLLOW) != 0:
                number = ctypes.get_errno()
                raise OSError(number, os.strerror(number), os.fsdecode(directory))
        return
    import subprocess

    arguments: list[str | bytes] = [fusermount(), "-u", *(["-z"] if lazy else []), "--", directory]
    process = subprocess.run(arguments, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
    if process.returncode != 0:
        message = process.stderr.decode(errors="replace").strip()
        number = next((code for text, code in _SAID.items() if text in message), errno.EPERM)
        raise OSError(number, message, os.fsdecode(directory))


_SAID = {
    os.strerror(errno.EBUSY): errno.EBUSY,
    os.strerror(errno.EINVAL): errno.EINVAL,
    "not found in": errno.EINVAL,
    os.strerror(errno.ENOENT): errno.ENOENT,
}
"""Messages of fusermount3 on stderr, as numbers; any other message means a lack of permission."""


def clone_device(device: int) -> int:
    """Return another descriptor for the mount of ``device``, with a queue of its own for requests in progress.

    When the process that holds it dies, the kernel aborts only the requests that it had read.
    """
    clone = os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.ioctl(clone, _FUSE_DEV_IOC_CLONE, array.array("I", [device]), True)
    except BaseException:
        os.close(clone)
        raise
    return clone


def widen_readahead(device_number: str) -> None:
    """Raise the kernel's readahead to 512 KiB for sequential reads, if this process may: as root.

    ``device_number`` is that of the mount, as in the table of mounts.
    """
    with contextlib.suppress(OSError), open(f"/sys/class/bdi/{device_number}/read_ahead_kb", "w") as setting:
        setting.write(str(_READAHEAD_KB))


def die_with_parent(parent: int) -> None:
    """Make the kernel kill this process when ``parent`` ends; does so at once if it has ended already.

    Call it after a change of user, which resets the setting.
    """
    if _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl failed")
    if os.getppid() != parent:
        os._exit(1)
