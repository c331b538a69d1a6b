"""The headers of POSIX tar (IEEE Std 1003.1, pax): of files, hard links, symlinks and directories.

A path, a link text or a size that the fixed fields cannot hold stands in an extended header before the member's own.
"""

from __future__ import annotations

from typing import Final

__all__ = ["BLOCK", "DIRECTORY", "END", "FILE", "HARD_LINK", "SYMLINK", "header_of", "padding", "size_in"]

BLOCK: Final = 512
END: Final = bytes(2 * BLOCK)
"""What stands after the last member."""
FILE: Final = b"0"
HARD_LINK: Final = b"1"
SYMLINK: Final = b"2"
DIRECTORY: Final = b"5"

_EXTENDED: Final = b"x"
_LONGEST_FIELD: Final = 100
_LARGEST_FIELD: Final = 8**11
_SIZE: Final = slice(124, 136)
_TIME: Final = 315_532_800
"""1980-01-01: one time for all, that no program takes for a mistake."""


def header_of(path: bytes, kind: bytes, *, size: int = 0, target: bytes = b"", executable: bool = False) -> bytes:
    """Return the header of a member, whole blocks; ``target`` is where a link leads."""
    records = []
    if not (path.isascii() and target.isascii()) and not (_is_unicode(path) and _is_unicode(target)):
        records.append(_record(b"hdrcharset", b"BINARY"))
    if len(path) > _LONGEST_FIELD or not path.isascii():
        records.append(_record(b"path", path))
    if len(target) > _LONGEST_FIELD or not target.isascii():
        records.append(_record(b"linkpath", target))
    if size >= _LARGEST_FIELD:
        records.append(_record(b"size", b"%d" % size))
    mode = 0o755 if executable or kind == DIRECTORY else 0o777 if kind == SYMLINK else 0o644
    block = _block(path, kind, mode, size if size < _LARGEST_FIELD else 0, target)
    if not records:
        return block
    extended = b"".join(records)
    return _block(b"././@PaxHeader", _EXTENDED, 0o644, len(extended), b"") + extended + padding(len(extended)) + block


def padding(size: int) -> bytes:
    """Return the zeros after so many bytes, up to a whole block."""
    return bytes(-size % BLOCK)


def size_in(block: bytes) -> int:
    """Return the size that a header's block claims; raise ValueError if it claims none."""
    field = block[_SIZE]
    if len(block) != BLOCK or not field[:11].isdigit() or field[11:] != b"\0":
        raise ValueError("a header without a size")
    return int(field[:11], 8)


def _block(path: bytes, kind: bytes, mode: int, size: int, target: bytes) -> bytes:
    fields = [
        path[:_LONGEST_FIELD].ljust(_LONGEST_FIELD, b"\0"),
        b"%07o\0" % mode,
        b"%07o\0" % 0,  # user and group
        b"%07o\0" % 0,
        b"%011o\0" % size,
        b"%011o\0" % _TIME,
        b" " * 8,  # the sum is that of the block with blanks in its place
        kind,
        target[:_LONGEST_FIELD].ljust(_LONGEST_FIELD, b"\0"),
        b"ustar\00000",
        bytes(64),  # names of user and group
        b"%07o\0" % 0,  # numbers of a device
        b"%07o\0" % 0,
        bytes(155 + 12),  # a prefix of the path, and the rest of the block
    ]
    block = b"".join(fields)
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def _record(key: bytes, value: bytes) -> bytes:
    """Return a record of an extended header, which begins with its own length."""
    rest = b" " + key + b"=" + value + b"\n"
    length = len(rest)
    while length != len(rest) + len(b"%d" % length):
        length = len(rest) + len(b"%d" % length)
    return b"%d" % length + rest


def _is_unicode(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
