"""Notifications that make the kernel drop cached entries, written to the mount's device.

The messages are those of the kernel's ``linux/fuse.h``: a ``fuse_out_header`` with ``unique`` 0 and the notification's
code in ``error``, then its arguments.  They depend on no FUSE library, so every transport uses them.

A write may block while a look-up in the same directory is under way, so call these from a thread that serves no
requests, outside of any transaction of the store.
"""

from __future__ import annotations

import errno
import os
import struct

__all__ = ["expire_entries", "invalidate_entry", "invalidate_inode", "resend_requests"]

_HEADER = struct.Struct("<IiQ")
_INVAL_INODE = struct.Struct("<Qqq")
_INVAL_ENTRY = struct.Struct("<QII")
_NOTIFY_INVAL_INODE = 2
_NOTIFY_INVAL_ENTRY = 3
_NOTIFY_RESEND = 7
_NOTIFY_INC_EPOCH = 8

_HARMLESS = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ENODEV, errno.ENOTCONN})
"""The kernel does not know the name or inode, or the mount is gone: there is nothing left to drop."""


def invalidate_entry(device: int, parent: int, name: bytes) -> bool:
    """Make the kernel drop the entry ``name`` of the directory inode ``parent``, and all entries below it.

    Returns whether the kernel knew the entry.  OSError for anything but an unknown entry or an ended mount.
    """
    body = _INVAL_ENTRY.pack(parent, len(name), 0) + name + b"\0"
    return _notify(device, _NOTIFY_INVAL_ENTRY, body)


def invalidate_inode(device: int, inode: int, *, attributes_only: bool = False) -> bool:
    """Make the kernel drop the attributes of ``inode`` and, unless ``attributes_only``, its cached data.

    The data of a directory is its cached listing.  Returns whether the kernel knew the inode.
    """
    return _notify(device, _NOTIFY_INVAL_INODE, _INVAL_INODE.pack(inode, -1 if attributes_only else 0, 0))


def resend_requests(device: int) -> bool:
    """Requeue all requests that were read and not answered, so that any worker can read them.

    Requests that living workers have in hand are served twice; the kernel refuses the first answer to each, which is
    harmless if serving a request has no side effect.  Returns False on kernels before 6.9, which do not support it.
    """
    return _notify_if_known(device, _NOTIFY_RESEND)


def expire_entries(device: int) -> bool:
    """Make the kernel look up every name of the mount again, once, at its next use.

    Returns False on kernels before 6.16, which do not support it.
    """
    return _notify_if_known(device, _NOTIFY_INC_EPOCH)


def _notify_if_known(device: int, code: int) -> bool:
    try:
        return _notify(device, code, b"")
    except OSError as error:
        if error.errno == errno.EINVAL:
            return False
        raise


def _notify(device: int, code: int, body: bytes) -> bool:
    try:
        os.write(device, _HEADER.pack(_HEADER.size + len(body), code, 0) + body)
    except OSError as error:
        if error.errno in _HARMLESS:
            return False
        raise
    return True
