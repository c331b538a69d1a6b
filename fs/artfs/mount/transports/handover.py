"""Serve the core to the fast lane: it passes on the requests that it does not answer, over a socket.

The process that serves so has no device.  Messages are those of ``lane/src/desk.c``:

    to a worker    REQUEST u32 · slot u32 · a request as the kernel wrote it
                   VERSION u32 · 0 u32 · mount serial u64
    from a worker  REQUEST u32 · slot u32 · length u64 · the answer, unless it is in the slot
                   VERSION u32 · whether it is living u32 · mount serial, epoch, root node, parent inode u64 ·
                   creation, mtime in ns i64 · permission bits u64

A slot is a part of memory that the lane and one worker share.  A request whose answer may be long has one; its answer
is in the slot if it is longer than `SHORT_ANSWER`.

Guarantees: every request is answered once, by any thread.
"""

from __future__ import annotations

import mmap
import socket
import struct
import threading
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from artfs.mount.counters import WorkerCounts
from artfs.mount.ownership import Shown
from artfs.mount.transports.direct import Dispatcher
from artfs.mount.transports.waiting import Waiting
from artfs.mount.tree import Tree
from artstore.ids import Buffer

__all__ = ["SLOTS", "SLOT_BYTES", "Channel", "HandoverTransport"]

SLOTS: Final = 8
SLOT_BYTES: Final = (1 << 20) + 4096
SHORT_ANSWER: Final = 64 * 1024
_REQUEST, _VERSION = 1, 2
_NO_SLOT: Final = 0xFFFFFFFF
_HEAD: Final = struct.Struct("=II")
_MOUNT: Final = struct.Struct("=Q")
_ANSWER: Final = struct.Struct("=IIQ")
_DESCRIBED: Final = struct.Struct("=IIQQQQqqQ")
_UNIQUE: Final = struct.Struct("=8xQ")
_LONGEST: Final = 32 * 1024


class Channel(NamedTuple):
    """A worker's end of the socket to the lane, and the descriptor of the memory that they share."""

    socket: socket.socket
    memory: int


class HandoverTransport:
    """Answer the requests of one channel."""

    def __init__(self, channel: Channel, shown: Shown) -> None:
        """Show everything as owned by ``shown``."""
        self._socket = channel.socket
        self._memory = mmap.mmap(channel.memory, SLOTS * SLOT_BYTES)
        self._shown = shown
        self._slots: dict[int, int] = {}
        self._lock = threading.Lock()

    def serve(self, tree: Tree, counts: WorkerCounts, note: Callable[[], None]) -> None:
        """Answer requests from ``tree`` until the other end is closed; call ``note`` for each."""
        waiting = Waiting(self._write, counts)
        uid, gid = self._shown.uid, self._shown.gid
        answer = Dispatcher(tree, counts, uid=uid, gid=gid, later=waiting.read, again=waiting.again).answer
        buffer = memoryview(bytearray(_LONGEST))
        while length := self._socket.recv_into(buffer):
            kind, slot = _HEAD.unpack_from(buffer)
            body = buffer[_HEAD.size : length]
            if kind == _VERSION:
                self._describe(tree, *_MOUNT.unpack_from(body))
                continue
            note()
            with self._lock:
                self._slots[_UNIQUE.unpack_from(body)[0]] = slot
            parts = answer(body)
            if parts:
                self._write(parts)

    def _write(self, parts: Sequence[Buffer]) -> None:
        answer = b"".join(parts)
        with self._lock:
            slot = self._slots.pop(_UNIQUE.unpack_from(answer)[0], _NO_SLOT)
        if len(answer) > SHORT_ANSWER:
            start = slot * SLOT_BYTES
            self._memory[start : start + len(answer)] = answer
            self._send(_ANSWER.pack(_REQUEST, slot, len(answer)))
        else:
            self._send(_ANSWER.pack(_REQUEST, _NO_SLOT, len(answer)) + answer)

    def _describe(self, tree: Tree, mount: int) -> None:
        try:
            epoch, place = tree.version(mount)
        except Exception:
            return  # the requests for its entries report the error
        if place is None:
            self._send(_DESCRIBED.pack(_VERSION, 0, mount, epoch, 0, 0, 0, 0, 0))
            return
        entry = place.entry
        self._send(
            _DESCRIBED.pack(
                _VERSION, 1, mount, epoch, entry.node, place.parent, place.created_ns, entry.mtime_ns, entry.mode
            )
        )

    def _send(self, message: bytes) -> None:
        try:
            self._socket.send(message)
        except (BrokenPipeError, ConnectionError):
            return  # the lane has ended, and the kernel sends its requests again
