"""Serve the core by speaking the kernel's protocol on the device, without a FUSE library.

Advantages over a library: requests carry the inode, so that opening and closing need no request at all (the kernel asks
once, gets the answer that there is no such operation, and never asks again), and the kernel caches listings.  It then
serves warm reads and listings itself.

Guarantees: every request that needs an answer gets one, whatever its content, at once or when the outside data arrives;
there is no answer without a request, and none longer than requested.  Lengths and offsets in requests are checked
against the bytes read.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
import threading
from collections.abc import Callable, Sequence
from contextlib import closing

from artfs.mount.counters import WorkerCounts
from artfs.mount.duty import Take
from artfs.mount.transports import protocol
from artfs.mount.transports.answering import number_of
from artfs.mount.transports.protocol import REQUEST, Opcode, Owner
from artfs.mount.transports.waiting import Again, Waiting
from artfs.mount.tree import DOTS, Fetch, Tree
from artstore.errors import InvalidInputError, UnsupportedError
from artstore.ids import Buffer
from artstore.rows.lazy_source import AbsentError

__all__ = ["DirectTransport", "Dispatcher"]

Answer = Sequence[Buffer]
"""Buffers to write in one call; none if a request has no answer."""

_HEAD = struct.Struct("=IIQQ")
_READ = struct.Struct("=QQI")
_SIZE = struct.Struct("=II")
_BODY = REQUEST.size
_SHORTEST_NAME = 2
_LARGEST_ANSWER = 1 << 20
_NO_ANSWER: Answer = ()
_ATTEMPTS = 100
"""How often one request may wait for something in a remote: each time it needs more, as the path leads on."""
_UNKNOWN = 0
"""No inode."""

_SILENT = frozenset({Opcode.FORGET, Opcode.BATCH_FORGET, Opcode.INTERRUPT, Opcode.NOTIFY_REPLY})
"""FORGET needs no work, because there is no table of inodes.  A request is answered before the next is read, so that
there is none to interrupt, except reads of outside content: those come from the page cache, whose waiters can be killed
without it."""

_CHANGING = (
    Opcode.SETATTR, Opcode.SYMLINK, Opcode.MKNOD, Opcode.MKDIR, Opcode.UNLINK, Opcode.RMDIR, Opcode.RENAME,
    Opcode.LINK, Opcode.WRITE, Opcode.SETXATTR, Opcode.REMOVEXATTR, Opcode.CREATE, Opcode.FALLOCATE, Opcode.RENAME2,
    Opcode.COPY_FILE_RANGE, Opcode.TMPFILE,
)  # fmt: skip
"""Requests that can still reach a mount that root has made writable by force."""

_DONE = (Opcode.RELEASE, Opcode.RELEASEDIR, Opcode.DESTROY)


class MalformedError(InvalidInputError):
    """Raised when a request does not match its header."""


class Dispatcher:
    """Answer requests, each as the kernel wrote it, from the core."""

    def __init__(
        self,
        tree: Tree,
        counts: WorkerCounts,
        *,
        uid: int,
        gid: int,
        later: Callable[[int, Fetch], None],
        again: Again | None = None,
    ) -> None:
        """Show everything as owned by ``uid`` and ``gid``; pass reads that wait for an outside service to ``later``.

        A request that needs what is still in a remote goes to ``again`` with a call that waits for that, and one that
        answers the request then; without ``again`` it fails.
        """
        self._later = later
        self._again = again
        self._lock = threading.Lock()  # a request that has waited is answered in a thread
        self._tree = tree
        self._counts = counts
        self._owner = Owner(uid, gid)
        self._expected = _UNKNOWN
        self._following = _UNKNOWN
        self._walked = 0
        self._ahead: tuple[tuple[int, int, int, int], bytes] | None = None
        self._handlers: dict[int, Callable[[int, int, memoryview], Answer]] = {
            Opcode.LOOKUP: self._lookup,
            Opcode.GETATTR: self._getattr,
            Opcode.READLINK: self._readlink,
            Opcode.READ: self._read,
            Opcode.STATFS: self._statfs,
            Opcode.GETXATTR: self._getxattr,
            Opcode.LISTXATTR: self._listxattr,
            Opcode.READDIR: self._readdir,
            Opcode.READDIRPLUS: self._readdirplus,
            **dict.fromkeys(_SILENT, _say_nothing),
            **dict.fromkeys(_CHANGING, _refuse_change),
            **dict.fromkeys(_DONE, _say_done),
        }

    def answer(self, request: memoryview) -> Answer:
        """Return the answer to one request; an unknown operation fails with ENOSYS."""
        return self._answer(request, 0)

    def _answer(self, request: memoryview, attempts: int) -> Answer:
        if len(request) < REQUEST.size:
            return _NO_ANSWER
        length, opcode, unique, inode = _HEAD.unpack_from(request)
        if not attempts:
            self._counts.served()
        handler = self._handlers.get(opcode)
        if handler is None:
            return (protocol.failure(unique, errno.ENOSYS),)
        try:
            if length != len(request):
                raise MalformedError("a request's length does not match its header")
            with self._lock:
                return handler(unique, inode, request)
        except AbsentError as absent:
            if self._again is None or attempts == _ATTEMPTS:
                return (protocol.failure(unique, number_of(absent, Opcode(opcode).name, self._counts)),)
            kept = memoryview(bytes(request))
            self._again(unique, Opcode(opcode).name, absent.fetch, lambda: self._answer(kept, attempts + 1))
            return _NO_ANSWER
        except Exception as error:
            if opcode in _SILENT:
                return _NO_ANSWER
            return (protocol.failure(unique, number_of(error, Opcode(opcode).name, self._counts)),)

    def _lookup(self, unique: int, parent: int, request: memoryview) -> Answer:
        self._counts.looked_up()
        attributes = self._tree.lookup(parent, _name(request, _BODY))
        return (protocol.absent(unique) if attributes is None else self._owner.looked_up(unique, attributes),)

    def _getattr(self, unique: int, inode: int, request: memoryview) -> Answer:
        return (self._owner.attributes(unique, self._tree.attributes(inode)),)

    def _readlink(self, unique: int, inode: int, request: memoryview) -> Answer:
        return (protocol.answer(unique, self._tree.link_target(inode)),)

    def _read(self, unique: int, inode: int, request: memoryview) -> Answer:
        _, offset, size = _unpacked(_READ, request)
        pieces = self._tree.read(inode, offset, min(size, _LARGEST_ANSWER))
        if not isinstance(pieces, list):
            self._later(unique, pieces)
            return _NO_ANSWER
        length = sum(map(len, pieces))
        self._counts.read(length)
        return protocol.answer_head(unique, length), *pieces

    def _readdir(self, unique: int, inode: int, request: memoryview) -> Answer:
        return self._listing(unique, inode, request, protocol.plainly_listed)

    def _readdirplus(self, unique: int, inode: int, request: memoryview) -> Answer:
        _, cookie, size = _unpacked(_READ, request)
        ahead, self._ahead = self._ahead, None
        if not cookie:
            self._walked = size if inode == self._expected else 0
            self._expected = _UNKNOWN
        if ahead is not None and ahead[0] == (self._tree.epoch, inode, cookie, size):
            self._expected = self._following
            return (protocol.answer(unique, ahead[1]),)
        contents = self._tree.contents(inode, cookie)
        if contents is None:
            return self._listing(unique, inode, request, self._owner.listed)
        self._expected = contents.following
        return (protocol.answer(unique, self._owner.listed_contents(contents, min(size, _LARGEST_ANSWER))),)

    def look_ahead(self) -> None:
        """Prepare the next folder's listing during a sequential walk, while the caller processes the last one.

        A walk goes on with the first folder in a folder, or with the entry after all that the folder holds.
        """
        size, self._walked = self._walked, 0
        if not size or self._expected == _UNKNOWN:
            return
        key = self._tree.epoch, self._expected, 0, size
        try:
            with self._lock:
                contents = self._tree.contents(self._expected, 0)
            if contents is not None:
                self._ahead = key, self._owner.listed_contents(contents, min(size, _LARGEST_ANSWER))
                self._following = contents.following
        except Exception:
            return  # the request for it reports the error

    def _listing(self, unique: int, inode: int, request: memoryview, pack: Callable[..., bytes]) -> Answer:
        _, cookie, size = _unpacked(_READ, request)
        left = min(size, _LARGEST_ANSWER)
        parts = []
        with closing(self._tree.page(inode, cookie)) as entries:
            for entry in entries:
                packed = pack(*entry)
                left -= len(packed)
                if left < 0:
                    break
                parts.append(packed)
                if self._expected == _UNKNOWN and entry.cookie > DOTS and stat.S_ISDIR(entry.attributes.mode):
                    self._expected = entry.attributes.inode
        return (protocol.answer(unique, b"".join(parts)),)

    def _statfs(self, unique: int, inode: int, request: memoryview) -> Answer:
        return (protocol.statistics(unique, self._tree.statistics()),)

    def _getxattr(self, unique: int, inode: int, request: memoryview) -> Answer:
        size, _ = _unpacked(_SIZE, request)
        return _value(unique, self._tree.xattr(inode, _name(request, _BODY + _SIZE.size)), size)

    def _listxattr(self, unique: int, inode: int, request: memoryview) -> Answer:
        """Return no names: programs that copy would take the attributes along, and they become untrue by an edit."""
        size, _ = _unpacked(_SIZE, request)
        return _value(unique, b"", size)


def _say_nothing(unique: int, inode: int, request: memoryview) -> Answer:
    return _NO_ANSWER


def _say_done(unique: int, inode: int, request: memoryview) -> Answer:
    return (protocol.answer(unique, b""),)


def _refuse_change(unique: int, inode: int, request: memoryview) -> Answer:
    return (protocol.failure(unique, errno.EROFS),)


def _unpacked(layout: struct.Struct, request: memoryview) -> tuple[int, ...]:
    try:
        return layout.unpack_from(request, _BODY)
    except struct.error as error:
        raise MalformedError("a request is cut short") from error


def _name(request: memoryview, start: int) -> bytes:
    """Return the name from ``start`` on, which has to end with its first NUL, the request's last byte."""
    text = bytes(request[start:])
    if text.find(0) != len(text) - 1 or len(text) < _SHORTEST_NAME:
        raise MalformedError("a request has a malformed name")
    return text[:-1]


def _value(unique: int, value: bytes, room: int) -> Answer:
    """Answer with an attribute's value if there is room for it, or with its size if that was requested."""
    if not room:
        return (protocol.answer(unique, _SIZE.pack(len(value), 0)),)
    if len(value) > room:
        return (protocol.failure(unique, errno.ERANGE),)
    return (protocol.answer(unique, value),)


class DirectTransport:
    """The transport of one mount: INIT before the fork, everything else in each worker."""

    runs_threads = True

    def __init__(self, device: int, *, uid: int, gid: int) -> None:
        """Take an attached ``device``; ``uid`` and ``gid`` are shown as the owner of everything."""
        self._device = device
        self._uid = uid
        self._gid = gid

    def answer_init(self) -> None:
        """Answer the kernel's first request, and no other; UnsupportedError if the kernel lacks a needed feature."""
        settled = False
        while not settled:
            outcome = protocol.negotiate(os.read(self._device, protocol.LARGEST_REQUEST))
            if outcome.lacking:
                raise UnsupportedError(
                    f"this kernel's FUSE lacks features that the direct transport needs: {outcome.lacking}"
                )
            os.write(self._device, outcome.answer)
            settled = outcome.settled

    def serve(
        self, tree: Tree, counts: WorkerCounts, note: Callable[[], None], take: Take, busy: Callable[[], None]
    ) -> None:
        """Answer requests from ``tree`` until the kernel reports that the mount has ended; call ``note`` for each.

        ``take`` waits for a request and reads it.  ``busy`` is not called: reads that wait do so in threads.
        """
        waiting = Waiting(self._answer_later, counts)
        dispatcher = Dispatcher(tree, counts, uid=self._uid, gid=self._gid, later=waiting.read, again=waiting.again)
        answer, look_ahead = dispatcher.answer, dispatcher.look_ahead
        device = self._device
        buffer = memoryview(bytearray(protocol.LARGEST_REQUEST))
        while True:
            try:
                length = take((buffer,))
            except OSError as error:
                if error.errno in _ENDED:
                    return
                if error.errno in _AGAIN:
                    continue
                raise
            note()
            parts = answer(buffer[:length])
            if parts:
                try:
                    os.writev(device, parts)
                except OSError as error:
                    if error.errno in _ENDED:
                        return
                    if error.errno != errno.ENOENT:  # the requesting process was killed meanwhile
                        raise
            look_ahead()

    def _answer_later(self, parts: Sequence[Buffer]) -> None:
        """Write an answer to the clone of the device that its request was read from."""
        try:
            os.writev(self._device, parts)
        except OSError as error:
            if error.errno not in _ENDED and error.errno != errno.ENOENT:
                raise


_ENDED = frozenset({errno.ENODEV, errno.ECONNABORTED})
_AGAIN = frozenset({errno.EINTR, errno.EAGAIN, errno.ENOENT})
"""A request that was withdrawn between its announcement and its read fails with ENOENT."""
