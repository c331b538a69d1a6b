"""The kernel's FUSE protocol: opcodes, layouts and the negotiation at its start; pure functions over bytes.

Names and layouts are those of the kernel's ``linux/fuse.h``, protocol 7.31 (Linux 5.4) to 7.45 (Linux 6.18); all
numbers are in the machine's order, which is little-endian on every machine that artfs runs on.  A request is a header
(length u32, opcode u32, unique u64, nodeid u64, uid u32, gid u32, pid u32, extensions u16, padding u16) and a body; an
answer is a header (length u32, negative errno i32, unique u64) and a body, in one write.
"""

from __future__ import annotations

import struct
from enum import IntEnum, IntFlag
from typing import Final, NamedTuple

from artfs.mount.attributes import FOREVER, Attributes, Contents, Statistics

__all__ = [
    "LARGEST_REQUEST",
    "NEEDED",
    "OFFERED",
    "REQUEST",
    "Feature",
    "Negotiation",
    "Opcode",
    "Owner",
    "absent",
    "answer",
    "answer_head",
    "failure",
    "negotiate",
    "plainly_listed",
    "statistics",
]


class Opcode(IntEnum):
    """The operations of requests, including those that only a writable file system receives."""

    LOOKUP = 1
    FORGET = 2
    GETATTR = 3
    SETATTR = 4
    READLINK = 5
    SYMLINK = 6
    MKNOD = 8
    MKDIR = 9
    UNLINK = 10
    RMDIR = 11
    RENAME = 12
    LINK = 13
    OPEN = 14
    READ = 15
    WRITE = 16
    STATFS = 17
    RELEASE = 18
    FSYNC = 20
    SETXATTR = 21
    GETXATTR = 22
    LISTXATTR = 23
    REMOVEXATTR = 24
    FLUSH = 25
    INIT = 26
    OPENDIR = 27
    READDIR = 28
    RELEASEDIR = 29
    CREATE = 35
    INTERRUPT = 36
    DESTROY = 38
    NOTIFY_REPLY = 41
    BATCH_FORGET = 42
    FALLOCATE = 43
    READDIRPLUS = 44
    RENAME2 = 45
    COPY_FILE_RANGE = 47
    TMPFILE = 51


class Feature(IntFlag):
    """The features that kernel and server agree on in INIT; bits from 32 on have a separate field."""

    ASYNC_READ = 1 << 0
    AUTO_INVAL_DATA = 1 << 12
    DO_READDIRPLUS = 1 << 13
    ASYNC_DIO = 1 << 15
    NO_OPEN_SUPPORT = 1 << 17
    PARALLEL_DIROPS = 1 << 18
    MAX_PAGES = 1 << 22
    CACHE_SYMLINKS = 1 << 23
    NO_OPENDIR_SUPPORT = 1 << 24
    INIT_EXT = 1 << 30


NEEDED: Final = Feature.AUTO_INVAL_DATA | Feature.DO_READDIRPLUS | Feature.NO_OPEN_SUPPORT | Feature.NO_OPENDIR_SUPPORT
"""Without these the kernel would send opens, or cache listings above versions forever."""

OFFERED: Final = (
    NEEDED
    | Feature.ASYNC_READ
    | Feature.ASYNC_DIO
    | Feature.PARALLEL_DIROPS
    | Feature.MAX_PAGES
    | Feature.CACHE_SYMLINKS
    | Feature.INIT_EXT
)
"""Features that are enabled if the kernel has them.

AUTO_INVAL_DATA makes it check a directory's mtime before it uses a cached listing.
"""

MAJOR, MINOR, OLDEST_MINOR = 7, 45, 31
_MAX_PAGES: Final = 256
_MAX_WRITE: Final = 4096
_MAX_BACKGROUND: Final = 1024
LARGEST_REQUEST: Final = 16384
"""Size of the buffer for a request: the kernel requires 8192, and no request here is longer."""

REQUEST: Final = struct.Struct("=IIQQIIIHH")
_ANSWER: Final = struct.Struct("=IiQ")
_INIT: Final = struct.Struct("=IIII")
_INIT_FLAGS_2: Final = struct.Struct("=I")
_INIT_OUT: Final = struct.Struct("=IIIIHHIIHHI28x")
_STATFS: Final = struct.Struct("=QQQQQIIII24x")

_ENTRY_LAYOUT: Final = "QQQQII"
_ATTRIBUTE_LAYOUT: Final = "QQQqqqIIIIIIIIII"
"""The kernel takes the seconds, which the header declares unsigned, as signed: times before 1970 are negative."""
_LOOKUP_ANSWER: Final = struct.Struct("=IiQ" + _ENTRY_LAYOUT + _ATTRIBUTE_LAYOUT)
_GETATTR_ANSWER: Final = struct.Struct("=IiQ" + "QII" + _ATTRIBUTE_LAYOUT)
_LISTED: Final = struct.Struct("=" + _ENTRY_LAYOUT + _ATTRIBUTE_LAYOUT + "QQII")
_SHARED_HEAD: Final = struct.Struct("=QQQII")
_SHARED_TAIL: Final = struct.Struct("=IIIIII")
_LISTED_CONTENT: Final = [
    struct.Struct(f"=Q{_SHARED_HEAD.size}sQQQqqqIIII{_SHARED_TAIL.size}sQQII{-(-length // 8) * 8}s").pack
    for length in range(256)
]
"""`_LISTED` and the name behind it, by the name's length; what all entries share is packed in advance."""
_PLAIN_LISTED: Final = struct.Struct("=QQII")
_PADDING: Final = (b"", b"\0" * 7, b"\0" * 6, b"\0" * 5, b"\0" * 4, b"\0" * 3, b"\0" * 2, b"\0")
_BLOCK: Final = 4096
_NANO: Final = 1_000_000_000


class Negotiation(NamedTuple):
    """The result of INIT: the ``answer`` to write, ``settled`` if no second INIT follows, and the kernel's features.

    ``lacking`` names features that the kernel lacks for this transport: if there are any, the mount must be abandoned.
    """

    answer: bytes
    settled: bool
    minor: int
    features: Feature
    lacking: str


def negotiate(request: bytes) -> Negotiation:
    """Return the answer to the kernel's INIT ``request``, header included; ValueError if it is no INIT."""
    if len(request) < REQUEST.size + _INIT.size:
        raise ValueError("the kernel's first request is cut short")
    length, opcode, unique = REQUEST.unpack_from(request)[:3]
    if opcode != Opcode.INIT or length != len(request):
        raise ValueError(f"the kernel's first request is not INIT (opcode {opcode})")
    major, minor, readahead, low = _INIT.unpack_from(request, REQUEST.size)
    if major > MAJOR:  # it then asks again in our version
        return Negotiation(_answer_init(unique, readahead, Feature(0)), False, minor, Feature(0), "")
    high = 0
    if low & Feature.INIT_EXT and len(request) >= REQUEST.size + _INIT.size + _INIT_FLAGS_2.size:
        high = _INIT_FLAGS_2.unpack_from(request, REQUEST.size + _INIT.size)[0]
    features = Feature((low | high << 32) & OFFERED)
    lacking = ""
    if major < MAJOR or minor < OLDEST_MINOR:
        lacking = f"protocol {major}.{minor} is older than {MAJOR}.{OLDEST_MINOR}"
    elif features & NEEDED != NEEDED:
        lacking = ", ".join(str(each.name) for each in NEEDED & ~features)
    return Negotiation(_answer_init(unique, readahead, features), True, minor, features, lacking)


def _answer_init(unique: int, readahead: int, features: Feature) -> bytes:
    taken = int(features)
    body = _INIT_OUT.pack(
        MAJOR,
        MINOR,
        readahead,
        taken & 0xFFFFFFFF,
        _MAX_BACKGROUND,
        _MAX_BACKGROUND * 3 // 4,
        _MAX_WRITE,
        1,
        _MAX_PAGES,
        0,
        taken >> 32,
    )
    return answer(unique, body)


def answer(unique: int, body: bytes) -> bytes:
    """Return the answer with ``body`` to the request ``unique``."""
    return _ANSWER.pack(_ANSWER.size + len(body), 0, unique) + body


def answer_head(unique: int, size: int) -> bytes:
    """Return the header of an answer whose body of ``size`` bytes is written after it."""
    return _ANSWER.pack(_ANSWER.size + size, 0, unique)


def failure(unique: int, number: int) -> bytes:
    """Return the answer that fails the request ``unique`` with the errno ``number``."""
    return _ANSWER.pack(_ANSWER.size, -number, unique)


def statistics(unique: int, values: Statistics) -> bytes:
    """Return the answer to STATFS."""
    body = _STATFS.pack(values.blocks, values.free, values.free, values.files, 0, values.block, 255, values.block, 0)
    return answer(unique, body)


class Owner:
    """Pack attributes, all of which show one owner."""

    __slots__ = ("_gid", "_tail", "_uid")

    def __init__(self, uid: int, gid: int) -> None:
        self._uid = uid
        self._gid = gid
        self._tail = _SHARED_TAIL.pack(1, uid, gid, 0, _BLOCK, 0)

    def looked_up(self, unique: int, attributes: Attributes) -> bytes:
        """Return the answer to LOOKUP."""
        inode, mode, size, mtime_ns, ctime_ns, entry_seconds, attribute_seconds = attributes
        seconds, rest = divmod(mtime_ns, _NANO)
        changed, changed_rest = divmod(ctime_ns, _NANO)
        return _LOOKUP_ANSWER.pack(
            _LOOKUP_ANSWER.size, 0, unique,
            inode, 0, entry_seconds, attribute_seconds, 0, 0,
            inode, size, (size + 511) >> 9, seconds, seconds, changed, rest, rest, changed_rest,
            mode, 1, self._uid, self._gid, 0, _BLOCK, 0,
        )  # fmt: skip

    def attributes(self, unique: int, attributes: Attributes) -> bytes:
        """Return the answer to GETATTR."""
        inode, mode, size, mtime_ns, ctime_ns, _, attribute_seconds = attributes
        seconds, rest = divmod(mtime_ns, _NANO)
        changed, changed_rest = divmod(ctime_ns, _NANO)
        return _GETATTR_ANSWER.pack(
            _GETATTR_ANSWER.size, 0, unique,
            attribute_seconds, 0, 0,
            inode, size, (size + 511) >> 9, seconds, seconds, changed, rest, rest, changed_rest,
            mode, 1, self._uid, self._gid, 0, _BLOCK, 0,
        )  # fmt: skip

    def listed(self, name: bytes, cookie: int, attributes: Attributes) -> bytes:
        """Return one entry of an answer to READDIRPLUS; ``cookie`` is the position of the next entry."""
        inode, mode, size, mtime_ns, ctime_ns, entry_seconds, attribute_seconds = attributes
        seconds, rest = divmod(mtime_ns, _NANO)
        changed, changed_rest = divmod(ctime_ns, _NANO)
        length = len(name)
        return _LISTED.pack(
            inode, 0, entry_seconds, attribute_seconds, 0, 0,
            inode, size, (size + 511) >> 9, seconds, seconds, changed, rest, rest, changed_rest,
            mode, 1, self._uid, self._gid, 0, _BLOCK, 0,
            inode, cookie, length, mode >> 12,
        ) + name + _PADDING[length & 7]  # fmt: skip

    def listed_contents(self, contents: Contents, room: int) -> bytes:
        """Return at most ``room`` bytes of an answer to READDIRPLUS, whole entries each as `listed` packs it."""
        parts = [self.listed(*dot) for dot in contents.dots]
        room -= sum(map(len, parts))
        if room < 0:
            return b""
        _, entries, cookie, inode, modes, ctime_ns, _ = contents
        changed, changed_rest = divmod(ctime_ns, _NANO)
        for name, kind, size, mtime_ns in entries:
            cookie += 1
            inode += 1
            mode = modes[kind]
            seconds, rest = divmod(mtime_ns, _NANO)
            length = len(name)
            packed = _LISTED_CONTENT[length](
                inode, _LASTING, inode, size, (size + 511) >> 9,
                seconds, seconds, changed, rest, rest, changed_rest, mode, self._tail,
                inode, cookie, length, mode >> 12, name,
            )  # fmt: skip
            room -= len(packed)
            if room < 0:
                break
            parts.append(packed)
        return b"".join(parts)


_LASTING: Final = _SHARED_HEAD.pack(0, FOREVER, FOREVER, 0, 0)


def absent(unique: int) -> bytes:
    """Return the answer to LOOKUP that the name does not exist, and never will."""
    return _LOOKUP_ANSWER.pack(_LOOKUP_ANSWER.size, 0, unique, 0, 0, FOREVER, *[0] * 19)


def plainly_listed(name: bytes, cookie: int, attributes: Attributes) -> bytes:
    """Return one entry of an answer to READDIR."""
    length = len(name)
    return _PLAIN_LISTED.pack(attributes.inode, cookie, length, attributes.mode >> 12) + name + _PADDING[length & 7]
