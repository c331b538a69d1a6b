"""Serve the core through pyfuse3, one request at a time (see `artfs.mount.transports.pump`).

pyfuse3 hands reads and listings nothing but the file handle, so a handle is the inode.  The core decides which entries
the kernel may cache; this module only converts fields and error numbers.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable, Coroutine
from contextlib import closing
from typing import Any, Concatenate, ParamSpec, TypeVar

from artfs.mount.attributes import FOREVER, Attributes
from artfs.mount.counters import WorkerCounts
from artfs.mount.duty import Take
from artfs.mount.errnos import ReadOnlyError
from artfs.mount.transports import pump
from artfs.mount.transports.answering import number_of
from artfs.mount.tree import Tree

pyfuse3 = pump.import_pyfuse3()

__all__ = ["Pyfuse3Transport"]


def _is_worth_logging(record: logging.LogRecord) -> bool:
    """Return False for a reply to a request that the kernel has dropped: an interrupted one, or the last of a mount.

    The kernel answers such a reply with ENOENT, and no process waits for it; the release of a listing at the moment of
    unmounting is one.  Logged as an error, it would keep the log of a daemon that ended well.
    """
    return not ("fuse_reply_* failed" in record.msg and record.args == (os.strerror(errno.ENOENT),))


pyfuse3.log.addFilter(_is_worth_logging)

P = ParamSpec("P")
R = TypeVar("R")


def _handler(
    answer: Callable[Concatenate[_Handlers, P], R],
) -> Callable[Concatenate[_Handlers, P], Coroutine[object, object, R]]:
    """Turn a function into the coroutine function that pyfuse3 expects, with counts and errors as numbers."""

    async def handle(self: _Handlers, /, *args: P.args, **kwargs: P.kwargs) -> R:
        self.counts.served()
        self.note()
        try:
            return answer(self, *args, **kwargs)
        except Exception as error:
            number = number_of(error, answer.__name__, self.counts)
        raise pyfuse3.FUSEError(number)

    return handle


def _read_only(self: _Handlers, *_: object) -> None:
    raise ReadOnlyError("a mount is read-only")


class _Handlers(pyfuse3.Operations):  # type: ignore[misc, name-defined]  # the module is imported under a stand-in
    supports_dot_lookup = False

    tree: Tree
    counts: WorkerCounts
    note: Callable[[], None]
    busy: Callable[[], None]

    def __init__(self, uid: int, gid: int) -> None:
        super().__init__()
        self._uid = uid
        self._gid = gid

    def _packed(self, attributes: Attributes) -> Any:
        inode, mode, size, mtime_ns, ctime_ns, entry_seconds, attribute_seconds = attributes
        entry = pyfuse3.EntryAttributes()
        entry.st_ino = inode
        entry.st_mode = mode
        entry.st_size = size
        entry.st_blocks = (size + 511) >> 9
        entry.st_uid = self._uid
        entry.st_gid = self._gid
        entry.st_atime_ns = mtime_ns
        entry.st_mtime_ns = mtime_ns
        entry.st_ctime_ns = ctime_ns
        entry.entry_timeout = entry_seconds
        entry.attr_timeout = attribute_seconds
        return entry

    @_handler
    def lookup(self, parent: int, name: bytes, context: object) -> Any:
        self.counts.looked_up()
        attributes = self.tree.lookup(parent, name)
        if attributes is not None:
            return self._packed(attributes)
        absent = pyfuse3.EntryAttributes()
        absent.entry_timeout = FOREVER
        return absent

    @_handler
    def getattr(self, inode: int, context: object) -> Any:
        return self._packed(self.tree.attributes(inode))

    @_handler
    def readlink(self, inode: int, context: object) -> bytes:
        return self.tree.link_target(inode)

    @_handler
    def open(self, inode: int, flags: int, context: object) -> Any:
        if flags & os.O_ACCMODE != os.O_RDONLY:
            raise ReadOnlyError("a mount is read-only")
        return pyfuse3.FileInfo(fh=inode, keep_cache=True)

    @_handler
    def read(self, handle: int, offset: int, size: int) -> bytes:
        pieces = self.tree.read(handle, offset, size)
        if not isinstance(pieces, list):  # the content lies outside: a call that waits for it
            self.busy()
            pieces = pieces()
        data = b"".join(pieces)
        self.counts.read(len(data))
        return data

    @_handler
    def opendir(self, inode: int, context: object) -> int:
        return inode

    @_handler
    def readdir(self, handle: int, cookie: int, token: object) -> None:
        with closing(self.tree.page(handle, cookie)) as entries:
            for name, following, attributes in entries:
                if not pyfuse3.readdir_reply(token, name, self._packed(attributes), following):
                    return

    @_handler
    def statfs(self, context: object) -> Any:
        statistics = self.tree.statistics()
        result = pyfuse3.StatvfsData()
        result.f_bsize = statistics.block
        result.f_frsize = statistics.block
        result.f_blocks = statistics.blocks
        result.f_bfree = statistics.free
        result.f_bavail = statistics.free
        result.f_files = statistics.files
        result.f_namemax = 255
        return result

    @_handler
    def getxattr(self, inode: int, name: bytes, context: object) -> bytes:
        return self.tree.xattr(inode, name)

    @_handler
    def listxattr(self, inode: int, context: object) -> list[bytes]:
        """Return no names: programs that copy would take the attributes along, and they become untrue by an edit."""
        return []

    async def forget(self, inodes: object) -> None:
        """Do nothing: there is no table of inodes."""

    async def release(self, handle: int) -> None:
        """Do nothing: a handle is an inode."""

    releasedir = release

    # pyfuse3 finds its handlers by name, so each changing operation is bound to the one that refuses.
    _refuse = _handler(_read_only)
    create = _refuse
    link = _refuse
    mkdir = _refuse
    mknod = _refuse
    removexattr = _refuse
    rename = _refuse
    rmdir = _refuse
    setattr = _refuse
    setxattr = _refuse
    symlink = _refuse
    unlink = _refuse
    write = _refuse


class Pyfuse3Transport:
    """The transport of one mount: INIT before the fork, everything else in each worker."""

    runs_threads = False

    def __init__(self, device: int, *, uid: int, gid: int) -> None:
        """Take an attached ``device``; ``uid`` and ``gid`` are shown as the owner of everything."""
        self._handlers = _Handlers(uid, gid)
        pyfuse3.init(self._handlers, f"/dev/fd/{device}", set())

    def answer_init(self) -> None:
        """Answer the kernel's first request, and no other."""
        pump.run(pyfuse3.main, requests=1)

    def serve(
        self, tree: Tree, counts: WorkerCounts, note: Callable[[], None], take: Take, busy: Callable[[], None]
    ) -> None:
        """Answer requests from ``tree`` until the kernel reports that the mount has ended; call ``note`` for each.

        ``take`` is not used: libfuse waits at the device itself.  ``busy`` is called before each wait for an outside
        service.
        """
        self._handlers.busy = busy
        self._handlers.tree = tree
        self._handlers.counts = counts
        self._handlers.note = note
        pump.run(pyfuse3.main)
