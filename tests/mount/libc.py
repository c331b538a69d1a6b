"""System calls that Python does not offer, or offers with its own buffers."""

from __future__ import annotations

import ctypes
import os
import struct

AT_FDCWD = -100
IN_ACCESS, IN_OPEN, IN_CLOSE_NOWRITE = 0x1, 0x20, 0x10
DT_DIR, DT_REG = 4, 8
FS_IOC_GETFLAGS = 0x80086601
_GETDENTS64 = 217 if os.uname().machine == "x86_64" else 61

_libc = ctypes.CDLL(None, use_errno=True)
_libc.getxattr.restype = _libc.listxattr.restype = ctypes.c_ssize_t


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def getdents(descriptor: int, size: int) -> list[tuple[bytes, int, int]]:
    """Read entries of a directory into a buffer of ``size`` bytes: (name, inode, kind) of each, none at its end."""
    buffer = ctypes.create_string_buffer(size)
    filled = _checked(_libc.syscall(_GETDENTS64, descriptor, buffer, size))
    entries, at = [], 0
    while at < filled:
        inode, _, length, kind = struct.unpack_from("=QqHB", buffer, at)
        name = buffer.raw[at + 19 : at + length]
        entries.append((name[: name.index(0)], inode, kind))
        at += length
    return entries


def getxattr(path: bytes, name: bytes, size: int) -> bytes | int:
    """Return an attribute's value read into ``size`` bytes; its size if that is 0."""
    buffer = ctypes.create_string_buffer(size)
    found = _checked(_libc.getxattr(path, name, buffer if size else None, ctypes.c_size_t(size)))
    return buffer.raw[:found] if size else found


def listxattr(path: bytes, size: int) -> bytes | int:
    """Return the names of attributes read into ``size`` bytes; what they need if that is 0."""
    buffer = ctypes.create_string_buffer(size)
    found = _checked(_libc.listxattr(path, buffer if size else None, ctypes.c_size_t(size)))
    return buffer.raw[:found] if size else found


def inotify(path: bytes, mask: int) -> int:
    """Return an inotify descriptor for events on ``path``."""
    descriptor = _checked(_libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
    _checked(_libc.inotify_add_watch(descriptor, path, ctypes.c_uint32(mask)))
    return descriptor


def handle_of(path: bytes) -> tuple[bytes, int]:
    """Return a path's file handle, as a server of NFS keeps it, and the number of its mount."""
    handle = ctypes.create_string_buffer(struct.pack("=Ii", 120, 0) + bytes(120))
    mount = ctypes.c_int()
    _checked(_libc.name_to_handle_at(AT_FDCWD, path, handle, ctypes.byref(mount), 0))
    return handle.raw, mount.value


def open_handle(mount: int, handle: bytes) -> int:
    """Open a file by its handle; ``mount`` is an open file on the same file system."""
    return _checked(_libc.open_by_handle_at(mount, ctypes.create_string_buffer(handle), os.O_RDONLY | os.O_CLOEXEC))
