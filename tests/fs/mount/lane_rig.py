"""The fast lane without a kernel: requests come over a socket in the place of the device.

A request is answered by the lane, or handed over to the worker, which is this process.  What the lane answers is
compared with the dispatcher of the direct transport, byte for byte.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import select
import signal
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from artfs.mount.children import fork
from artfs.mount.configuration import Configuration
from artfs.mount.counters import Counters
from artfs.mount.lane import Lane, Verdict, program
from artfs.mount.ownership import Shown
from artfs.mount.transports.direct import Dispatcher
from artfs.mount.transports.handover import HandoverTransport
from artfs.mount.transports.protocol import Opcode
from artfs.mount.tree import Tree
from artstore.privileges import Owner
from artstore.workspace import Workspace
from fs.mount import wire
from fs.mount.served import SILENT
from fs.mount.wire import read_body, request

SECONDS = 20.0
ENTRY = 1 << 62
CORE = (Opcode.LOOKUP, Opcode.GETATTR, Opcode.READ, Opcode.READDIR, Opcode.READDIRPLUS)
VERSION = 2
"""The first byte of a question for a version."""
HANDED_OVER = b""
"""The outcome of a request that the lane did not answer."""


@dataclass
class Rig:
    """A lane over a workspace, and the dispatcher that it is compared with."""

    lane: Lane
    device: socket.socket
    worker: socket.socket
    transport: HandoverTransport
    tree: Tree
    dispatcher: Dispatcher
    counters: Counters
    answered: int = 0
    handed_over: int = 0
    differences: list[tuple[bytes, bytes, bytes]] = field(default_factory=list)

    def ask(self, message: bytes) -> bytes:
        """Return the lane's answer, or `HANDED_OVER`."""
        self.device.send(message)
        outcome = None
        while outcome is None:
            ready = select.select([self.device, self.worker], [], [], SECONDS)[0]
            assert ready, f"the lane did not answer {message.hex()}"
            if self.device in ready:
                outcome = self.device.recv(1 << 21)
                assert outcome, "the lane has ended"
                continue
            data = self.worker.recv(1 << 16)
            if data[0] == VERSION:
                self.transport._describe(self.tree, *struct.unpack_from("=Q", data, 8))
                continue
            assert data[8:] == message, (data[:80].hex(), message[:80].hex(), len(data), len(message))
            header = wire.InHeader.from_buffer_copy(message)
            failure = bytes(wire.OutHeader(16, -5, header.unique))
            self.worker.send(struct.pack("=IIQ", 1, 0xFFFFFFFF, len(failure)) + failure)
            passed_on = self.device.recv(1 << 21)
            assert passed_on == failure, (passed_on[:64], message)
            outcome = HANDED_OVER
        return outcome

    def compare(self, message: bytes) -> bytes:
        """Ask both, and note a difference; return the lane's answer or `HANDED_OVER`."""
        header = wire.InHeader.from_buffer_copy(message)
        if header.opcode in SILENT:
            self.device.send(message)
            return HANDED_OVER
        found = self.ask(message)
        if found == HANDED_OVER:
            self.handed_over += 1
            return found
        self.answered += 1
        expected = b"".join(self.dispatcher.answer(memoryview(bytearray(message))))
        if found != expected:
            self.differences.append((message, found, expected))
        return found

    def restart(self) -> None:
        """Start the program again, once it has died."""
        status = os.waitpid(self.lane.pid, 0)[1]
        assert self.lane.judge(status) is Verdict.START_AGAIN
        self.worker.close()
        channel = self.lane.channel(0)
        self.worker, self.transport = channel.socket, HandoverTransport(channel, Shown(7, 8))
        self.lane.start(fork, [self.device.fileno()])

    def epoch(self) -> None:
        """Have both forget what they know."""
        self.counters.epoch.advance()


@contextlib.contextmanager
def lane_over(workspace: Workspace, path: str = "") -> Iterator[Rig]:
    """Start a lane over a workspace, and end it after the block; ``path`` is that of another build of the program."""
    counters = Counters(1)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for each in (ours, theirs):
        each.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
    shown = Shown(7, 8)
    configuration = Configuration(
        id="rig", workspace=str(workspace.path), run_dir="", directory="", workers=1, allow_other=False,
        transport="direct", low_latency=False, lane=path or program(), umask=0, readable=False, uid=7, gid=8, ready=-1,
        lifeline=-1, owner=Owner.of(workspace.path),
    )  # fmt: skip
    lane = Lane(configuration, shown, counters, lambda: os.dup(theirs.fileno()))
    channel = lane.channel(0)
    lane.start(fork, [ours.fileno()])
    tree = Tree(workspace.store, counters.epoch)
    dispatcher = Dispatcher(tree, counters.slot(0), uid=7, gid=8, later=lambda *_: None)
    rig = Rig(lane, ours, channel.socket, HandoverTransport(channel, shown), tree, dispatcher, counters)

    try:
        yield rig
    finally:
        if lane.pid:
            os.kill(lane.pid, signal.SIGKILL)
            os.waitpid(lane.pid, 0)
        for end in (ours, theirs, rig.worker):
            end.close()
        os.close(counters.descriptor)
        lane.close()


def walk(rig: Rig, root: int) -> dict[int, int]:
    """Ask for all that lies below a directory, in every way; return the size of each file by its inode."""
    sizes: dict[int, int] = {}
    waiting = [root]
    while waiting:
        folder = waiting.pop()
        rig.compare(request(Opcode.GETATTR, bytes(16), nodeid=folder))
        rig.compare(request(Opcode.LOOKUP, b"no such name\0", nodeid=folder))
        for opcode in (Opcode.READDIR, Opcode.READDIRPLUS):
            cookie, entries = 0, True
            while entries:
                answer = rig.compare(request(opcode, read_body(cookie, 3000), nodeid=folder))
                if answer == HANDED_OVER:
                    return sizes
                layout = wire.Dirent if opcode == Opcode.READDIR else wire.DirentPlus
                entries = bool(listed := wire.listed(layout, answer[16:]))
                for name, found in listed:
                    dirent = found.dirent if isinstance(found, wire.DirentPlus) else found
                    cookie = dirent.off
                    if isinstance(found, wire.DirentPlus) and name not in (b".", b".."):
                        sizes |= _entry(rig, folder, name, found)
                        if dirent.type == 4:
                            waiting.append(dirent.ino)
    return sizes


def _entry(rig: Rig, folder: int, name: bytes, found: wire.DirentPlus) -> dict[int, int]:
    inode, size = found.entry.nodeid, found.entry.attr.size
    rig.compare(request(Opcode.LOOKUP, name + b"\0", nodeid=folder))
    rig.compare(request(Opcode.GETATTR, bytes(16), nodeid=inode))
    if found.dirent.type != 8:
        return {}
    for offset in range(0, size + 1, 1 << 17):
        rig.compare(request(Opcode.READ, read_body(offset, 1 << 17), nodeid=inode))
    return {inode: size}


def random_request(source: random.Random, inodes: list[int]) -> bytes:
    """Return a request for something that exists, or nearly, with arguments of every size; some are malformed."""
    opcode = source.choice((*CORE, *CORE, *Opcode))
    inode = source.choice(inodes) + source.choice((0, 0, 0, 0, 1, -1, 1 << 31, source.randrange(1 << 62)))
    offset = source.choice(
        (0, source.randrange(1 << 22), source.randrange(1 << 64), (1 << 64) - 1, source.randrange(70))
    )
    size = source.choice((0, 1, 4096, 1 << 17, 1 << 20, source.randrange(1 << 20), source.randrange(1 << 32)))
    body = read_body(offset, size)
    if opcode in (Opcode.LOOKUP, Opcode.GETXATTR):
        names = (b"f1", b"big", b"user.artfs.digest", b"security.x", source.randbytes(source.randrange(300)))
        body = source.choice(names) + b"\0" * source.choice((1, 1, 1, 0, 2))
        if opcode == Opcode.GETXATTR:
            body = struct.pack("=II", size, 0) + body
    message = bytearray(request(opcode, body, nodeid=inode & ((1 << 64) - 1), unique=2 * source.randrange(1, 1 << 40)))
    if source.random() < 0.2:
        head = ctypes.sizeof(wire.InHeader)
        for _ in range(source.randrange(1, 4)):
            message[source.choice((source.randrange(8), source.randrange(16, len(message))))] = source.randrange(256)
        message = message[: source.randrange(head, len(message) + 1)]
    return bytes(message)
