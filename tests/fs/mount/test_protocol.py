"""The protocol's layouts are the kernel's, and INIT is settled with every kernel from Linux 5.4 on."""

from __future__ import annotations

import ctypes
import stat
from dataclasses import dataclass

import pytest

from artfs.mount.attributes import FOREVER, Attributes, Contents, Modes, Statistics
from artfs.mount.transports import protocol
from artfs.mount.transports.protocol import NEEDED, OFFERED, Feature, Opcode, Owner, negotiate
from fs.mount import wire
from fs.mount.wire import ExtendedInitIn, InitIn, InitOut, parsed, request
from messages import missing, raises

RECORDED_6_18 = bytes.fromhex(
    "680000001a000000020000000000000000000000000000000000000000000000"  # length, INIT, unique 2, nodeid, uid, gid
    "0000000000000000"  # pid, no extensions
    "070000002d000000"  # 7.45
    "00000200fbffff73fd050000" + "00" * 44  # readahead of 128 KiB, flags, flags2
)
"""What Linux 6.18 (x86-64) wrote to a device just mounted, byte for byte."""

UP_TO_7_31 = 0x03FFFFFB
"""All of bits 0 to 25 but FILE_OPS, which no kernel has offered."""


@dataclass(frozen=True)
class Kernel:
    """A kernel's INIT request; all of these but the last are constructed from its header and its fs/fuse/inode.c."""

    minor: int
    low: int
    high: int = 0

    def message(self, *, major: int = 7) -> bytes:
        if self.minor < 36:
            return request(Opcode.INIT, bytes(InitIn(major, self.minor, 131072, self.low)), nodeid=0)
        return request(Opcode.INIT, bytes(ExtendedInitIn(major, self.minor, 131072, self.low, self.high)), nodeid=0)


KERNELS = {
    "5.4": Kernel(31, UP_TO_7_31),
    "5.10": Kernel(32, UP_TO_7_31),
    "5.15": Kernel(34, UP_TO_7_31 | 0x3 << 28),
    "6.1": Kernel(37, UP_TO_7_31 | 0x7 << 28, 0x01),
    "6.6": Kernel(39, UP_TO_7_31 | 0x7 << 28, 0x1D),
    "6.8": Kernel(39, UP_TO_7_31 | 0x7 << 28, 0x1D),
    "6.9": Kernel(40, UP_TO_7_31 | 0x7 << 28, 0xFD),
    "6.12": Kernel(41, UP_TO_7_31 | 0x7 << 28, 0x1FD),
    "6.14": Kernel(42, UP_TO_7_31 | 0x7 << 28, 0x1FD),
    "6.16": Kernel(44, UP_TO_7_31 | 0x7 << 28, 0x5FD),
    "6.18": Kernel(45, UP_TO_7_31 | 0x7 << 28, 0x5FD),
}


def test_a_constructed_message_is_a_recorded_one() -> None:
    assert KERNELS["6.18"].message() == RECORDED_6_18


@pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)
def test_each_kernel_is_settled_with_at_once(kernel: Kernel) -> None:
    """All that is needed is there since 5.4; nothing is taken that was not offered, or that is not meant."""
    outcome = negotiate(kernel.message())
    assert (outcome.settled, outcome.lacking, outcome.minor) == (True, "", kernel.minor)
    answer = parsed([outcome.answer])
    assert answer.number == 0
    settled = wire.one(InitOut, answer.body)
    taken = settled.flags | settled.flags2 << 32
    assert taken == outcome.features == OFFERED & (kernel.low | kernel.high << 32)
    assert taken & NEEDED == NEEDED
    assert (settled.major, settled.max_readahead) == (7, 131072)
    assert (settled.flags2 == 0) or settled.flags & Feature.INIT_EXT


@pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)
def test_what_a_kernel_checks_in_the_answer(kernel: Kernel) -> None:
    """Values that a kernel would refuse, or round to something else."""
    settled = wire.one(InitOut, parsed([negotiate(kernel.message()).answer]).body)
    assert settled.minor >= 23, "older answers are read with another layout"
    assert 0 < settled.congestion_threshold <= settled.max_background
    assert settled.max_write >= 4096
    assert max(8192, 80 + settled.max_write) <= protocol.LARGEST_REQUEST, "the kernel fails reads of less with EINVAL"
    assert settled.time_gran == 1
    assert 1 <= settled.max_pages <= 256
    assert settled.map_alignment == settled.max_stack_depth == settled.request_timeout == 0
    assert not any(settled.unused)


NEVER_TAKEN = {
    "POSIX_LOCKS": 1, "ATOMIC_O_TRUNC": 3, "FLOCK_LOCKS": 10, "WRITEBACK_CACHE": 16, "HANDLE_KILLPRIV": 19,
    "POSIX_ACL": 20, "HANDLE_KILLPRIV_V2": 28, "SECURITY_CTX": 32, "PASSTHROUGH": 37, "OVER_IO_URING": 41,
    "REQUEST_TIMEOUT": 42,
}  # fmt: skip
"""By bit: each would have the kernel ask for what is not answered, or stop the kernel's own locks on files."""


@pytest.mark.parametrize(("name", "bit"), NEVER_TAKEN.items(), ids=NEVER_TAKEN)
def test_what_is_never_taken(name: str, bit: int) -> None:
    everything = Kernel(45, 0xFFFFFFFF, 0xFFFFFFFF)
    assert not negotiate(everything.message()).features >> bit & 1


@pytest.mark.parametrize("feature", list(NEEDED), ids=lambda feature: feature.name)
def test_a_kernel_that_lacks_what_is_needed_is_told_by_name(feature: Feature) -> None:
    outcome = negotiate(Kernel(45, UP_TO_7_31 & ~int(feature)).message())
    assert outcome.lacking == feature.name


@pytest.mark.parametrize("minor", [0, 8, 22, 30])
def test_an_older_protocol_is_refused(minor: int) -> None:
    assert not missing(negotiate(Kernel(minor, UP_TO_7_31).message()).lacking, [f"7.{minor}", "7.31"])


def test_an_older_major_is_refused() -> None:
    assert negotiate(Kernel(31, UP_TO_7_31).message(major=6)).lacking


def test_a_newer_major_is_asked_to_come_again() -> None:
    """The kernel then says INIT once more with ours; what it has said first is not looked at."""
    first = negotiate(Kernel(0, 0).message(major=8))
    assert (first.settled, first.lacking) == (False, "")
    assert wire.one(InitOut, parsed([first.answer]).body).major == 7
    assert negotiate(RECORDED_6_18).settled


def test_a_newer_minor_is_spoken_with_in_what_we_know() -> None:
    """Later kernels only add; a longer message than any today is read as far as it is known."""
    body = bytes(ExtendedInitIn(7, 99, 131072, 0xFFFFFFFF, 0xFFFFFFFF)) + bytes(64)
    outcome = negotiate(request(Opcode.INIT, body))
    assert (outcome.settled, outcome.lacking, outcome.features) == (True, "", OFFERED)


def test_flags_that_the_extension_alone_would_hold_are_not_read_without_it() -> None:
    """Without INIT_EXT what follows the first 16 bytes means nothing."""
    low = UP_TO_7_31  # without INIT_EXT
    message = request(Opcode.INIT, bytes(ExtendedInitIn(7, 45, 131072, low, 0xFFFFFFFF)))
    outcome = negotiate(message)
    assert outcome.features < 1 << 32
    assert wire.one(InitOut, parsed([outcome.answer]).body).flags2 == 0


@pytest.mark.parametrize("length", range(56))
def test_a_message_that_is_cut_short_is_refused(length: int) -> None:
    with raises(ValueError, names=["request"]):
        negotiate(RECORDED_6_18[:length])


def test_what_is_no_init_is_refused() -> None:
    with raises(ValueError, names=["INIT", str(int(Opcode.LOOKUP))]):
        negotiate(request(Opcode.LOOKUP, bytes(64)))
    with raises(ValueError, names=["request"]):
        negotiate(request(Opcode.INIT, bytes(16), length=55))


def test_the_answer_names_its_request() -> None:
    message = bytearray(RECORDED_6_18)
    message[8:16] = (77).to_bytes(8, "little")
    assert parsed([negotiate(bytes(message)).answer], unique=77).number == 0


# -- answers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("layout", "size"), wire.SIZES.items(), ids=lambda each: getattr(each, "__name__", None))
def test_the_layouts_compared_with_have_no_gaps(layout: type[ctypes.Structure], size: int) -> None:
    assert ctypes.sizeof(layout) == size == sum(ctypes.sizeof(kind) for _, kind, *_ in layout._fields_)


FILE = Attributes(
    198, stat.S_IFREG | 0o640, 1025, 1_700_000_000_123_456_789, 1_800_000_000_987_654_321, FOREVER, FOREVER - 1
)


def check_attributes(found: wire.Attr, *, uid: int = 7, gid: int = 8) -> None:
    assert (found.ino, found.size, found.blocks) == (198, 1025, 3)
    assert (found.mtime, found.mtimensec) == (1_700_000_000, 123_456_789)
    assert (found.atime, found.atimensec) == (found.mtime, found.mtimensec)
    assert (found.ctime, found.ctimensec) == (1_800_000_000, 987_654_321)
    assert (found.mode, found.nlink, found.uid, found.gid) == (stat.S_IFREG | 0o640, 1, uid, gid)
    assert (found.rdev, found.blksize, found.flags) == (0, 4096, 0)


def test_the_answer_to_lookup() -> None:
    entry = wire.one(wire.EntryOut, parsed([Owner(7, 8).looked_up(2, FILE)]).body)
    assert (entry.nodeid, entry.generation) == (198, 0)
    assert (entry.entry_valid, entry.entry_valid_nsec) == (FOREVER, 0)
    assert (entry.attr_valid, entry.attr_valid_nsec) == (FOREVER - 1, 0)
    check_attributes(entry.attr)


def test_the_answer_that_there_is_no_such_name() -> None:
    """Inode 0 with a time: the kernel keeps that the name is absent; ENOENT would be asked again."""
    entry = wire.one(wire.EntryOut, parsed([protocol.absent(2)]).body)
    assert (entry.nodeid, entry.entry_valid, entry.attr_valid) == (0, FOREVER, 0)
    assert bytes(entry.attr) == bytes(88)


def test_the_answer_to_getattr() -> None:
    found = wire.one(wire.AttrOut, parsed([Owner(7, 8).attributes(2, FILE)]).body)
    assert (found.attr_valid, found.attr_valid_nsec, found.dummy) == (FOREVER - 1, 0, 0)
    check_attributes(found.attr)


@pytest.mark.parametrize("length", [1, 7, 8, 9, 255])
def test_an_entry_of_a_listing(length: int) -> None:
    """Entries begin at multiples of eight; the kind is that of the mode."""
    name = b"n" * length
    ((found, plain),) = wire.listed(wire.Dirent, protocol.plainly_listed(name, 5, FILE))
    assert (found, plain.ino, plain.off, plain.type) == (name, 198, 5, stat.S_IFREG >> 12)
    ((found, plus),) = wire.listed(wire.DirentPlus, Owner(7, 8).listed(name, 1 << 63, FILE))
    assert (found, plus.dirent.ino, plus.dirent.off, plus.dirent.type) == (name, 198, 1 << 63, stat.S_IFREG >> 12)
    assert (plus.entry.nodeid, plus.entry.entry_valid, plus.entry.attr_valid) == (198, FOREVER, FOREVER - 1)
    check_attributes(plus.entry.attr)


def test_the_answer_to_statfs() -> None:
    found = wire.one(wire.StatfsOut, parsed([protocol.statistics(2, Statistics(4096, 100, 40, 0))]).body)
    assert (found.blocks, found.bfree, found.bavail, found.files, found.ffree) == (100, 40, 40, 0, 0)
    assert (found.bsize, found.frsize, found.namelen) == (4096, 4096, 255)


@pytest.mark.parametrize("moment", [0, 1, -1, -1_500_000_000, (1 << 63) - 1, -(1 << 63)])
def test_times_before_1970_and_far_ahead_fit(moment: int) -> None:
    """The kernel takes the seconds as signed; the nanoseconds count from there on and are never negative."""
    owner = Owner(0, 0)
    found = FILE._replace(mtime_ns=moment, ctime_ns=-moment if moment > -(1 << 63) else 0)
    contents = Contents((), iter([(b"x", 0o644, 0, moment)]), 2, 197, Modes().shown, found.ctime_ns, 0)
    for attributes in (
        wire.one(wire.AttrOut, parsed([owner.attributes(2, found)]).body).attr,
        wire.one(wire.EntryOut, parsed([owner.looked_up(2, found)]).body).attr,
        wire.listed(wire.DirentPlus, owner.listed(b"x", 3, found))[0][1].entry.attr,
        wire.listed(wire.DirentPlus, owner.listed_contents(contents, 4096))[0][1].entry.attr,
    ):
        assert signed(attributes.mtime) * 1_000_000_000 + attributes.mtimensec == moment
        assert signed(attributes.ctime) * 1_000_000_000 + attributes.ctimensec == found.ctime_ns
        assert attributes.mtimensec < 1_000_000_000 and attributes.ctimensec < 1_000_000_000


def signed(seconds: int) -> int:
    return seconds - (1 << 64) if seconds >> 63 else seconds


def test_failures() -> None:
    assert parsed([protocol.failure(2, 38)]) == (38, b"")
    assert parsed([protocol.answer(2, b"abc")]) == (0, b"abc")
    assert parsed([protocol.answer_head(2, 3), b"abc"]) == (0, b"abc")
