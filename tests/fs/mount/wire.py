"""The kernel's side of the FUSE protocol: requests as it writes them, and answers read as strictly as it reads them.

The layouts are those that the kernel's ``linux/fuse.h`` documents, written down here a second time, field by field, so
that the transport's own are compared with something.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

u16, u32, u64, i32 = ctypes.c_uint16, ctypes.c_uint32, ctypes.c_uint64, ctypes.c_int32


class InHeader(ctypes.LittleEndianStructure):
    _fields_ = (
        ("length", u32), ("opcode", u32), ("unique", u64), ("nodeid", u64), ("uid", u32), ("gid", u32), ("pid", u32),
        ("extensions", u16), ("padding", u16),
    )  # fmt: skip


class OutHeader(ctypes.LittleEndianStructure):
    _fields_ = (("length", u32), ("error", i32), ("unique", u64))


class InitIn(ctypes.LittleEndianStructure):
    _fields_ = (("major", u32), ("minor", u32), ("max_readahead", u32), ("flags", u32))


class ExtendedInitIn(ctypes.LittleEndianStructure):
    _fields_ = (*InitIn._fields_, ("flags2", u32), ("unused", u32 * 11))


class InitOut(ctypes.LittleEndianStructure):
    _fields_ = (
        ("major", u32), ("minor", u32), ("max_readahead", u32), ("flags", u32), ("max_background", u16),
        ("congestion_threshold", u16), ("max_write", u32), ("time_gran", u32), ("max_pages", u16),
        ("map_alignment", u16), ("flags2", u32), ("max_stack_depth", u32), ("request_timeout", u16),
        ("unused", u16 * 11),
    )  # fmt: skip


class Attr(ctypes.LittleEndianStructure):
    _fields_ = (
        ("ino", u64), ("size", u64), ("blocks", u64), ("atime", u64), ("mtime", u64), ("ctime", u64),
        ("atimensec", u32), ("mtimensec", u32), ("ctimensec", u32), ("mode", u32), ("nlink", u32), ("uid", u32),
        ("gid", u32), ("rdev", u32), ("blksize", u32), ("flags", u32),
    )  # fmt: skip


class EntryOut(ctypes.LittleEndianStructure):
    _fields_ = (
        ("nodeid", u64), ("generation", u64), ("entry_valid", u64), ("attr_valid", u64), ("entry_valid_nsec", u32),
        ("attr_valid_nsec", u32), ("attr", Attr),
    )  # fmt: skip


class AttrOut(ctypes.LittleEndianStructure):
    _fields_ = (("attr_valid", u64), ("attr_valid_nsec", u32), ("dummy", u32), ("attr", Attr))


class Dirent(ctypes.LittleEndianStructure):
    _fields_ = (("ino", u64), ("off", u64), ("namelen", u32), ("type", u32))


class DirentPlus(ctypes.LittleEndianStructure):
    _fields_ = (("entry", EntryOut), ("dirent", Dirent))


class StatfsOut(ctypes.LittleEndianStructure):
    _fields_ = (
        ("blocks", u64), ("bfree", u64), ("bavail", u64), ("files", u64), ("ffree", u64), ("bsize", u32),
        ("namelen", u32), ("frsize", u32), ("padding", u32), ("spare", u32 * 6),
    )  # fmt: skip


class XattrOut(ctypes.LittleEndianStructure):
    _fields_ = (("size", u32), ("padding", u32))


SIZES = {
    InHeader: 40, OutHeader: 16, InitIn: 16, ExtendedInitIn: 64, InitOut: 64, Attr: 88, EntryOut: 128, AttrOut: 104,
    Dirent: 24, DirentPlus: 152, StatfsOut: 80, XattrOut: 8,
}  # fmt: skip
"""Bytes of each as the C compiler lays them out: all fields lie where their sizes put them, without gaps."""

Layout = TypeVar("Layout", bound=ctypes.LittleEndianStructure)


def request(opcode: int, body: bytes = b"", *, nodeid: int = 1, unique: int = 2, length: int | None = None) -> bytes:
    """Return a request; ``length`` is what its header says, by default the truth."""
    said = ctypes.sizeof(InHeader) + len(body) if length is None else length
    return bytes(InHeader(said, opcode, unique, nodeid, 0, 0, 0, 0, 0)) + body


def read_body(offset: int, size: int) -> bytes:
    """Return the body of READ, READDIR and READDIRPLUS: handle, offset, size, flags, lock owner, flags, padding."""
    return struct.pack("<QQIIQII", 0, offset, size, 0, 0, 0, 0)


class Answer(NamedTuple):
    """Hold an answer: ``number`` is 0 or the errno, and ``body`` is empty if it is not 0."""

    number: int
    body: bytes


def parsed(buffers: Sequence[bytes], *, unique: int = 2) -> Answer:
    """Return an answer as the kernel takes it from one write; it refuses what this fails on."""
    data = b"".join(buffers)
    header = OutHeader.from_buffer_copy(data)
    assert header.length == len(data), "the header tells another length than was written"
    assert header.unique == unique, "another request is answered"
    assert -512 < header.error <= 0, "not the number of an error"
    assert not (header.error and len(data) > ctypes.sizeof(OutHeader)), "an error with a body"
    return Answer(-header.error, data[ctypes.sizeof(OutHeader) :])


def one(layout: type[Layout], body: bytes) -> Layout:
    """Return a body that is exactly one structure."""
    assert len(body) == ctypes.sizeof(layout)
    return layout.from_buffer_copy(body)


def listed(layout: type[Dirent] | type[DirentPlus], body: bytes) -> list[tuple[bytes, Any]]:
    """Return (name, structure) of each entry of a listing; there must be no rest, and padding must be zeros."""
    entries = []
    at = 0
    while at < len(body):
        found = layout.from_buffer_copy(body, at)
        dirent = found.dirent if isinstance(found, DirentPlus) else found
        at += ctypes.sizeof(layout)
        name = body[at : at + dirent.namelen]
        assert len(name) == dirent.namelen and 0 < len(name) <= 255 and b"/" not in name and b"\0" not in name
        at += dirent.namelen
        padding = body[at : at + -at % 8]
        assert len(padding) == -at % 8 and not any(padding)
        at += len(padding)
        entries.append((name, found))
    return entries
