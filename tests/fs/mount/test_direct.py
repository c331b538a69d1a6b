"""The direct transport answers a kernel's requests, and its loop handles every outcome of a read and a write."""

from __future__ import annotations

import ctypes
import errno
import os
import random
import struct
from collections.abc import Sequence

import pytest

from artfs.mount.counters import Field
from artfs.mount.transports import direct
from artfs.mount.transports.direct import DirectTransport
from artfs.mount.transports.protocol import Opcode
from fs.mount import wire
from fs.mount.served import BIG, CHANGING, Served
from fs.mount.test_protocol import RECORDED_6_18
from fs.mount.wire import listed, one, parsed, read_body, request

# -- what is asked rightly ---------------------------------------------------------------------------------------------


def test_lookup(served: Served) -> None:
    entry = one(wire.EntryOut, served.ask(Opcode.LOOKUP, "v0", b"big\0").body)
    assert (entry.nodeid, entry.attr.size, entry.attr.uid, entry.attr.gid) == (served.inodes["big"], BIG, 7, 8)
    assert one(wire.EntryOut, served.ask(Opcode.LOOKUP, "v0", b"absent\0").body).nodeid == 0
    assert served.ask(Opcode.LOOKUP, "data", b"absent\0").number == errno.ENOENT
    assert served.ask(Opcode.LOOKUP, "big", b"x\0").number == errno.ENOTDIR
    assert served.ask(Opcode.LOOKUP, "v0", b"n" * 255 + b"\0").number == 0
    for inode in ("root", "team", "data", "v0"):
        assert served.ask(Opcode.LOOKUP, inode, b"n" * 256 + b"\0").number == errno.ENAMETOOLONG


def test_getattr(served: Served) -> None:
    for inode in served.inodes:
        found = one(wire.AttrOut, served.ask(Opcode.GETATTR, inode, bytes(16)).body)
        assert found.attr.ino == served.inodes[inode]


def test_readlink(served: Served) -> None:
    assert served.ask(Opcode.READLINK, "link").body == b"folder/deep"
    assert served.ask(Opcode.READLINK, "latest").body == served.ask(Opcode.READLINK, "good").body == b"v0"
    assert served.ask(Opcode.READLINK, "big").number == errno.EINVAL


@pytest.mark.parametrize(
    ("offset", "size"), [(0, 10), (BIG - 5, 100), (BIG, 1), (BIG + 1, 1), (1 << 62, 4096), (5, 1 << 20), (7, 0)]
)
def test_read(served: Served, offset: int, size: int) -> None:
    expected = random.Random(1).randbytes(BIG)[offset : offset + size]
    assert served.ask(Opcode.READ, "big", read_body(offset, size)).body == expected


def test_a_request_for_everything_gets_what_one_answer_may_hold(served: Served) -> None:
    found = served.ask(Opcode.READ, "big", read_body(0, 0xFFFFFFFF)).body
    assert found == random.Random(1).randbytes(BIG)[: 1 << 20]


@pytest.mark.parametrize("size", [500, 4096, 65536])
@pytest.mark.parametrize("opcode", [Opcode.READDIR, Opcode.READDIRPLUS])
def test_a_listing_in_pieces(served: Served, opcode: Opcode, size: int) -> None:
    """With pieces of any size, each entry comes once, and each piece holds all entries that fit."""
    layout = wire.DirentPlus if opcode == Opcode.READDIRPLUS else wire.Dirent
    names: list[bytes] = []
    cookie = 0
    while True:
        body = served.ask(opcode, "folder", read_body(cookie, size)).body
        assert len(body) <= size
        entries = listed(layout, body)
        if not entries:
            break
        assert len(body) > size - ctypes.sizeof(layout) - 256 or len(names) + len(entries) == 3003
        names += [name for name, _ in entries]
        last = entries[-1][1]
        cookie = last.dirent.off if isinstance(last, wire.DirentPlus) else last.off
    assert sorted(names) == sorted(
        [b".", b"..", b"deep", *(b"%0*d" % (1 + number % 200, number) for number in range(3000))]
    )


def test_statfs(served: Served) -> None:
    found = one(wire.StatfsOut, served.ask(Opcode.STATFS, "root").body)
    assert 0 < found.bfree < found.blocks and found.namelen == 255


def test_extended_attributes(served: Served) -> None:
    """The size if only that is requested, ERANGE if the buffer is too small, ENODATA if there is no attribute."""

    def get(name: bytes, size: int, inode: str = "v0") -> wire.Answer:
        return served.ask(Opcode.GETXATTR, inode, struct.pack("<II", size, 0) + name + b"\0")

    assert one(wire.XattrOut, get(b"user.artfs.metadata", 0).body).size == 10
    assert get(b"user.artfs.metadata", 10).body == get(b"user.artfs.metadata", 99).body == b'{"k": "v"}'
    assert get(b"user.artfs.metadata", 9).number == errno.ERANGE
    assert get(b"user.artfs.no", 0).number == get(b"security.capability", 0).number == errno.ENODATA
    assert one(wire.XattrOut, get(b"user.artfs.digest", 0, "big").body).size == 64
    for inode in ("big", "v0", "link"):
        assert served.ask(Opcode.LISTXATTR, inode, struct.pack("<II", 100, 0)) == (0, b""), "copies take none along"
        assert one(wire.XattrOut, served.ask(Opcode.LISTXATTR, inode, bytes(8)).body).size == 0


@pytest.mark.parametrize("opcode", [Opcode.OPEN, Opcode.OPENDIR, Opcode.FLUSH, Opcode.FSYNC, 34, 37, 39, 40, 46, 52])
def test_what_the_kernel_is_to_ask_no_more(served: Served, opcode: int) -> None:
    """ENOSYS to the first of its kind: opening, flushing, access, bmap, ioctl, poll, lseek, statx are the kernel's."""
    assert served.ask(opcode, "big", bytes(64)).number == errno.ENOSYS


@pytest.mark.parametrize("opcode", sorted(CHANGING))
def test_changes_are_refused(served: Served, opcode: int) -> None:
    assert served.ask(opcode, "v0", bytes(64)).number == errno.EROFS


def test_a_request_sent_again_is_answered_by_its_new_number(served: Served) -> None:
    """After NOTIFY_RESEND the highest bit of the number is set, and has to come back."""
    unique = 1 << 63 | 8
    message = request(Opcode.GETATTR, bytes(16), unique=unique)
    assert parsed(served.answer(message), unique=unique).number == 0


def test_requests_are_counted(served: Served) -> None:
    slot = served.counters.slot(0)
    before = {field: slot.get(field) for field in Field}
    served.ask(Opcode.LOOKUP, "v0", b"big\0")
    served.ask(Opcode.READ, "big", read_body(0, 100))
    after = {field.name: slot.get(field) - before[field] for field in Field}
    assert (after["REQUESTS"], after["LOOKUPS"], after["READS"], after["BYTES"]) == (2, 1, 1, 100)
    assert after["ERRORS"] == 0


# -- the loop ----------------------------------------------------------------------------------------------------------


class Device:
    """A fake `os` for the transport: reads return queued messages or fail with an errno, writes are recorded."""

    def __init__(self, *queued: bytes | int, writes: dict[int, int] | None = None) -> None:
        self.queued = list(queued)
        self.fail = writes or {}
        self.written: list[bytes] = []
        self.limits: list[int] = []

    def read(self, device: int, size: int) -> bytes:
        self.limits.append(size)
        following = self.queued.pop(0)
        if isinstance(following, int):
            raise OSError(following, os.strerror(following))
        return following

    def readv(self, device: int, buffers: Sequence[memoryview]) -> int:
        data = self.read(device, len(buffers[0]))
        buffers[0][: len(data)] = data
        return len(data)

    def write(self, device: int, data: bytes) -> int:
        return self.writev(device, [data])

    def writev(self, device: int, buffers: Sequence[bytes]) -> int:
        self.written.append(b"".join(buffers))
        number = self.fail.get(len(self.written) - 1)
        if number:
            raise OSError(number, os.strerror(number))
        return len(self.written[-1])


def run(served: Served, monkeypatch: pytest.MonkeyPatch, device: Device) -> list[int]:
    """Run a worker on a device to its end; return the requests that it has answered."""
    monkeypatch.setattr(direct, "os", device)
    DirectTransport(9, uid=7, gid=8).serve(
        served.tree,
        served.counters.slot(0),
        note=lambda: None,
        take=lambda buffers: device.readv(9, buffers),
        busy=lambda: None,
    )
    return [wire.OutHeader.from_buffer_copy(written).unique for written in device.written]


def ask(unique: int) -> bytes:
    return request(Opcode.GETATTR, bytes(16), unique=unique)


@pytest.mark.parametrize("number", [errno.EINTR, errno.EAGAIN, errno.ENOENT])
def test_a_read_that_brings_nothing_is_no_end(served: Served, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """A signal, another worker that was quicker, a request that was taken back."""
    assert run(served, monkeypatch, Device(number, ask(2), number, number, ask(4), errno.ENODEV)) == [2, 4]


@pytest.mark.parametrize("number", [errno.ENODEV, errno.ECONNABORTED])
def test_the_end_of_the_mount_ends_the_worker(served: Served, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    assert run(served, monkeypatch, Device(ask(2), number)) == [2]
    assert run(served, monkeypatch, Device(ask(2), ask(4), errno.EIO, writes={0: number})) == [2]


def test_an_answer_that_nobody_waits_for(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller was killed, or another worker has answered: ENOENT, and the next request is served."""
    assert run(served, monkeypatch, Device(ask(2), ask(4), errno.ENODEV, writes={0: errno.ENOENT})) == [2, 4]


@pytest.mark.parametrize("writes", [{0: errno.EINVAL}, {}])
def test_what_should_not_happen_ends_the_worker_with_an_error(
    served: Served, monkeypatch: pytest.MonkeyPatch, writes: dict[int, int]
) -> None:
    """Another worker replaces it; if it continued, a caller could wait for ever."""
    with pytest.raises(OSError):
        run(served, monkeypatch, Device(ask(2), errno.EIO, writes=writes))


def test_each_read_has_the_room_that_the_kernel_wants(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """With less it fails with EINVAL, or cuts off a request and fails it."""
    device = Device(ask(2), request(Opcode.FORGET, bytes(8), unique=4), ask(6), errno.ENODEV)
    assert run(served, monkeypatch, device) == [2, 6]
    assert min(device.limits) >= 8192


def test_init_is_answered_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device(RECORDED_6_18, ask(4))
    monkeypatch.setattr(direct, "os", device)
    DirectTransport(9, uid=7, gid=8).answer_init()
    assert [parsed([written]).number for written in device.written] == [0]
    assert device.queued == [ask(4)]
