"""The direct transport under a kernel that may write anything: every request has its one answer, or none where none is.

Answers are read as the kernel reads them (`fs.mount.wire`); what they say is compared with the serving core's.  The rig
also runs with faults put into the transport, and has to find them.
"""

from __future__ import annotations

import ctypes
import errno
import logging
import struct
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from artfs.mount.counters import Counters
from artfs.mount.transports import direct, protocol
from artfs.mount.transports.direct import Dispatcher
from artfs.mount.transports.protocol import Opcode
from artfs.mount.tree import Tree
from fs.mount import wire
from fs.mount.served import BIG, CHANGING, SILENT, Served
from fs.mount.wire import listed, one, parsed, read_body, request

HEADS = {
    Opcode.READ: 20, Opcode.READDIR: 20, Opcode.READDIRPLUS: 20, Opcode.GETXATTR: 8, Opcode.LISTXATTR: 8,
}  # fmt: skip
"""Bytes of a body that are read before anything else."""


# -- what no kernel should write ---------------------------------------------------------------------------------------


class Log(logging.Handler):
    """Keep the tracebacks that are logged: they are of errors that no one has foreseen."""

    def __init__(self) -> None:
        super().__init__()
        self.tracebacks: list[Any] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:
            self.tracebacks.append(record.exc_info)


logger = logging.getLogger("artfs.mount.transports")


@pytest.fixture(autouse=True)
def unheard() -> Iterator[None]:
    """Keep thousands of lines about malformed requests out of the report."""
    logger.propagate = False
    yield
    logger.propagate = True


def check(served: Served, message: bytes) -> None:
    """Check the answer to any message: there is one where one is due, of the right form, and no longer than asked."""
    log = Log()
    logger.addHandler(log)
    try:
        buffers = served.answer(message)
    finally:
        logger.removeHandler(log)
    assert log.tracebacks == [], "an error that nobody has foreseen"
    if len(message) < ctypes.sizeof(wire.InHeader):
        assert not buffers, "there is no request to answer"
        return
    header = wire.InHeader.from_buffer_copy(message)
    body = message[ctypes.sizeof(header) :]
    if header.opcode in SILENT:
        assert not buffers, "the kernel takes an answer to this for one to something else"
        return
    number, found = parsed(buffers, unique=header.unique)
    if header.opcode not in _CHECKS:
        assert number == (errno.EROFS if header.opcode in CHANGING and header.length == len(message) else number)
        assert number or (header.opcode in (Opcode.RELEASE, Opcode.RELEASEDIR, Opcode.DESTROY) and not found)
        assert number == errno.ENOSYS or header.opcode in set(Opcode)
        return
    if header.length != len(message) or len(body) < HEADS.get(Opcode(header.opcode), 0):
        assert number, "a request that is not whole is answered with an error"
    if not number:
        _CHECKS[Opcode(header.opcode)](served, header.nodeid, body, found)


def _check_lookup(served: Served, inode: int, body: bytes, found: bytes) -> None:
    entry = one(wire.EntryOut, found)
    name = body[:-1]
    assert body[-1:] == b"\0" and 0 < len(name) <= 255 and b"\0" not in name
    if b"/" in name:
        assert entry.nodeid == 0
    if entry.nodeid:
        expected = served.tree.lookup(inode, name)
        assert expected is not None and entry.nodeid == expected.inode == entry.attr.ino


def _check_read(served: Served, inode: int, body: bytes, found: bytes) -> None:
    offset, size = struct.unpack_from("<QI", body, 8)
    assert len(found) <= size
    assert found == b"".join(served.tree.read(inode, offset, min(size, 1 << 20)))


def _check_listing(layout: type[wire.Dirent] | type[wire.DirentPlus]) -> Callable[[Served, int, bytes, bytes], None]:
    def check_it(served: Served, inode: int, body: bytes, found: bytes) -> None:
        cookie, size = struct.unpack_from("<QI", body, 8)
        assert len(found) <= size
        names = [name for name, _ in listed(layout, found)]
        expected = served.tree.page(inode, cookie)
        assert names == [entry.name for entry, _ in zip(expected, names, strict=False)]
        expected.close()

    return check_it


def _check_xattr(served: Served, inode: int, body: bytes, found: bytes) -> None:
    (size,) = struct.unpack_from("<I", body)
    assert len(found) <= size if size else one(wire.XattrOut, found).size >= 0


def _check_link(served: Served, inode: int, body: bytes, found: bytes) -> None:
    assert found == served.tree.link_target(inode) and 0 < len(found) < 4096


_CHECKS: dict[int, Callable[[Served, int, bytes, bytes], object]] = {
    Opcode.LOOKUP: _check_lookup,
    Opcode.GETATTR: lambda _served, _inode, _body, found: one(wire.AttrOut, found),
    Opcode.STATFS: lambda _served, _inode, _body, found: one(wire.StatfsOut, found),
    Opcode.READLINK: _check_link,
    Opcode.READ: _check_read,
    Opcode.READDIR: _check_listing(wire.Dirent),
    Opcode.READDIRPLUS: _check_listing(wire.DirentPlus),
    Opcode.GETXATTR: _check_xattr,
    Opcode.LISTXATTR: _check_xattr,
}

powers = [2**bit + beside for bit in (31, 32, 58, 61, 62, 63) for beside in (-1, 0, 1)]
edges = st.sampled_from([0, 1, 2, 15, 16, 17, 31, 32, BIG - 1, BIG, BIG + 1, *powers, 2**64 - 4096, 2**64 - 1])
numbers = st.one_of(edges, st.integers(0, 2**64 - 1), st.integers(0, 4000))
sizes = st.one_of(
    st.sampled_from([0, 1, 7, 8, 23, 24, 151, 152, 160, 4095, 4096, 131072, 2**20, 2**20 + 1, 2**31, 2**32 - 1]),
    st.integers(0, 2**32 - 1),
    st.integers(0, 5000),
)
odd_names = [
    b"", b"\0", b"big", b"big\0", b"v0\0", b"..\0", b".\0", b"a/b\0", b"/\0", b"big\0\0", b"\0big\0", b"big\0x\0",
    b"v\xff\0", b"n" * 255 + b"\0", b"n" * 256 + b"\0", b"n" * 5000 + b"\0",
    b"user.artfs.digest\0", b"user.artfs.\0", b"user.artfs.digest",
]  # fmt: skip
names = st.one_of(
    st.sampled_from(odd_names), st.binary(max_size=300), st.binary(max_size=20).map(lambda name: name + b"\0")
)
reads = st.builds(read_body, st.one_of(st.sampled_from([0, 1, 2, 3, 4, 7, 100, 3000]), numbers), sizes)
attributes = st.builds(lambda size, name: struct.pack("<II", size, 0) + name, sizes, names)
anything = st.one_of(reads, attributes, names, st.binary(max_size=100), st.integers(0, 16384).map(bytes))
FITTING = {
    Opcode.LOOKUP: names, Opcode.READ: reads, Opcode.READDIR: reads, Opcode.READDIRPLUS: reads,
    Opcode.GETXATTR: attributes, Opcode.LISTXATTR: attributes,
}  # fmt: skip
opcodes = st.one_of(
    st.sampled_from(list(_CHECKS)),
    st.sampled_from(list(_CHECKS)),
    st.sampled_from(sorted(Opcode)),
    st.integers(0, 2**32 - 1),
)
kinds = st.sampled_from(
    ["root", "team", "data", "v0", "latest", "good", "folder", "deep", "big", "empty", "run", "link"]
)
nodeids = st.one_of(
    kinds,
    kinds,
    numbers,
    st.tuples(kinds, st.integers(-3, 3)),
    st.builds(lambda kind, rest: kind << 62 | rest, st.integers(0, 3), st.integers(0, 2**62 - 1)),
)
mostly_none = st.integers(0, 7).flatmap(lambda turn: st.one_of(st.integers(1, 80), edges) if turn == 0 else st.just(0))


@st.composite
def messages(draw: st.DrawFn) -> tuple[Any, ...]:
    """Draw (opcode, node, body, unique, the header's excess over the true length, bytes cut off)."""
    opcode = draw(opcodes)
    body = draw(anything if draw(st.integers(0, 3)) == 0 else FITTING.get(opcode, anything))
    return opcode, draw(nodeids), body, draw(st.integers(1, 2**64 - 1)), draw(mostly_none), draw(mostly_none)


def message_of(served: Served, drawn: tuple[Any, ...]) -> bytes:
    opcode, node, body, unique, beside, cut = drawn
    if isinstance(node, str):
        node = served.inodes[node]
    elif isinstance(node, tuple):
        node = served.inodes[node[0]] + node[1]
    whole = request(opcode, body, nodeid=node % 2**64, unique=unique, length=(40 + len(body) + beside) % 2**32)
    return whole[: max(0, len(whole) - cut)]


def examine(served: Served, examples: int) -> None:
    """Check the answers to reads and listings at every edge, to odd names, and to so many messages of any kind."""
    for opcode in (Opcode.READ, Opcode.READDIR, Opcode.READDIRPLUS):
        for node in ("data", "v0", "folder", "big"):
            for offset, size in product((0, 1, 2, 3, 3000, *powers, 2**64 - 1), (0, 100, 160, 500, 5000, 2**32 - 1)):
                check(served, request(opcode, read_body(offset, size), nodeid=served.inodes[node]))
    for node, name in product(("root", "data", "v0", "big"), odd_names):
        nodeid, unique = served.inodes[node], 2**64 - 2
        check(served, request(Opcode.LOOKUP, name, nodeid=nodeid, unique=unique))
        for size in (0, 1, 63, 64, 4096):
            check(served, request(Opcode.GETXATTR, struct.pack("<II", size, 0) + name, nodeid=nodeid, unique=unique))

    @settings(
        max_examples=examples,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    @given(messages())
    def run(drawn: tuple[Any, ...]) -> None:
        check(served, message_of(served, drawn))

    run()


def test_no_message_is_answered_wrongly(served: Served) -> None:
    examine(served, 4000)


@pytest.mark.parametrize("opcode", [*_CHECKS, *sorted(CHANGING), *sorted(SILENT)])
def test_requests_cut_off_anywhere(served: Served, opcode: int) -> None:
    """With the true length in the header or that of the whole."""
    body = struct.pack("<II", 4096, 0) + b"user.artfs.digest\0" if opcode == Opcode.GETXATTR else read_body(0, 4096)
    body = b"big\0" if opcode == Opcode.LOOKUP else body
    for inode in ("v0", "big", "link"):
        whole = request(opcode, body, nodeid=served.inodes[inode])
        for length in range(len(whole)):
            check(served, whole[:length])
            if length >= 40:
                check(served, struct.pack("<I", length) + whole[4:length])


def test_unknown_opcodes(served: Served) -> None:
    known = {int(opcode) for opcode in Opcode}
    unknown = [
        *(opcode for opcode in range(4200) if opcode not in known),
        *(2**bit for bit in range(13, 32)),
        2**32 - 1,
    ]
    for opcode in unknown:
        assert parsed(served.answer(request(opcode, bytes(40)))).number == errno.ENOSYS


@pytest.mark.parametrize("count", [0, 1, 2, 3, 1000, 2**32 - 1])
def test_forgetting_is_never_answered(served: Served, count: int) -> None:
    """Whatever number of inodes it says it holds."""
    pair = struct.pack("<QQ", served.inodes["big"], 2**64 - 1)
    for body in (b"", pair[:8], struct.pack("<II", count, 0) + pair * 2, struct.pack("<II", count, 0)):
        for opcode in SILENT:
            assert not served.answer(request(opcode, body))


# -- the rig finds faults ----------------------------------------------------------------------------------------------


def trusts_the_length(patch: pytest.MonkeyPatch) -> None:
    answer = Dispatcher.answer

    def trusting(self: Dispatcher, message: memoryview) -> Sequence[bytes]:
        if len(message) >= 4:
            message[:4] = len(message).to_bytes(4, "little")
        return answer(self, message)

    patch.setattr(Dispatcher, "answer", trusting)


def reads_what_is_not_there(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(direct, "_unpacked", lambda layout, body: layout.unpack_from(body))


def fills_up_what_is_cut_short(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        direct, "_unpacked", lambda layout, body: layout.unpack(bytes(body[: layout.size]).ljust(layout.size))
    )


def lets_names_go_on_after_nul(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(direct, "_name", lambda body: bytes(body).rstrip(b"\0"))


def has_room_for_any_value(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(direct, "_value", lambda unique, value, room: (protocol.answer(unique, value),))


def lists_one_entry_too_many(patch: pytest.MonkeyPatch) -> None:
    class Loose:
        """A fake `struct.Struct` of a read, with room for one more entry."""

        size = 20

        def unpack_from(self, body: memoryview) -> tuple[int, ...]:
            handle, offset, size = struct.unpack_from("=QQI", body)
            return handle, offset, size + 100

    patch.setattr(direct, "_READ", Loose())


def answers_what_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(direct, "_say_nothing", lambda unique, inode, body: (protocol.answer(unique, b""),))


def loses_a_bit_of_the_number(patch: pytest.MonkeyPatch) -> None:
    failure = protocol.failure
    patch.setattr(protocol, "failure", lambda unique, number: failure(unique & ~(1 << 63), number))


def forgets_the_sign(patch: pytest.MonkeyPatch) -> None:
    failure = protocol.failure
    patch.setattr(protocol, "failure", lambda unique, number: failure(unique, -number))


def takes_cookies_for_signed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(direct, "_READ", struct.Struct("=QqI"))


def counts_padding_as_name(patch: pytest.MonkeyPatch) -> None:
    listed_rightly = protocol.Owner.listed
    patch.setattr(protocol.Owner, "listed", lambda self, name, *rest: listed_rightly(self, name, *rest).rstrip(b"\0"))


BUGS = [
    trusts_the_length, reads_what_is_not_there, fills_up_what_is_cut_short, lets_names_go_on_after_nul,
    has_room_for_any_value, lists_one_entry_too_many, answers_what_is_forgotten, loses_a_bit_of_the_number,
    forgets_the_sign, takes_cookies_for_signed, counts_padding_as_name,
]  # fmt: skip


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.__name__)
def test_the_rig_finds_a_fault(
    served: Served, monkeypatch: pytest.MonkeyPatch, bug: Callable[[pytest.MonkeyPatch], None]
) -> None:
    bug(monkeypatch)
    faulty = Served(
        Dispatcher(served.tree, served.counters.slot(0), uid=7, gid=8, later=lambda *_: None), *_others(served)
    )
    with pytest.raises((AssertionError, ValueError, struct.error, ExceptionGroup)):
        examine(faulty, 4000)


def _others(served: Served) -> tuple[Tree, Counters, dict[str, int]]:
    return served.tree, served.counters, served.inodes
