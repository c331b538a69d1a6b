"""Zip files of payloads: read with every claim compared with the bytes, written so that equal content is equal bytes.

Members are stored without compression: their sizes then add up to at most the file's, so no file can claim to become
more than it is.  artfs compresses chunks itself.
"""

from __future__ import annotations

import io
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO, Final

from artfs.registry.serializers.arrays import ArrayHeader, read_header, view_array
from artfs.registry.serializers.errors import MalformedPayloadError

__all__ = ["Archive", "ArchiveWriter", "canonical_matrix"]

_NAME: Final = re.compile(r"[0-9A-Za-z_][0-9A-Za-z_.-]{0,99}")
_STEP: Final = 1 << 20
_LONGEST_HEADER: Final = 1 << 14
"""NumPy reads no header of more than 10,000 characters."""
_LOCAL_HEADER: Final = struct.Struct("<4s5H3I2H")
_ERRORS: Final = (
    *(zipfile.BadZipFile, EOFError, NotImplementedError, OSError, RuntimeError, ValueError),
    *(struct.error, zlib.error),
)
"""What zipfile raises for files that it cannot read."""
_DATE: Final = (1980, 1, 1, 0, 0, 0)
_UNIX: Final = 3


class Archive:
    """The members of a zip file in a seekable stream, which must not change meanwhile.

    Raises `MalformedPayloadError` for what is no zip file, compressed or encrypted members, names with folders in them,
    names that occur twice, and sizes that the file cannot hold.
    """

    def __init__(self, stream: BinaryIO, label: str) -> None:
        self._stream, self._label = stream, label
        try:
            self._zip = zipfile.ZipFile(stream)
        except _ERRORS as error:
            raise MalformedPayloadError(f"{label} is not a zip file") from error
        self._members: dict[str, zipfile.ZipInfo] = {}
        size = stream.seek(0, io.SEEK_END)
        for member in self._zip.infolist():
            if not _NAME.fullmatch(member.filename) or member.filename in self._members:
                raise self._malformed(f"has a member with an invalid name: {member.filename[:80]!r}")
            if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & ~0x0808:
                raise self._malformed(f"has a compressed or encrypted member: {member.filename}")
            if member.file_size != member.compress_size or member.file_size < 0:
                raise self._malformed(f"has a member whose sizes differ: {member.filename}")
            self._members[member.filename] = member
        if sum(_LOCAL_HEADER.size + each.file_size for each in self._members.values()) > size:
            raise self._malformed("has members that overlap")

    def __contains__(self, name: object) -> bool:
        return name in self._members

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def size(self, name: str) -> int:
        """Return the number of bytes of a member."""
        return self._member(name).file_size

    def read(self, name: str) -> bytes:
        """Return a member's bytes, compared with their CRC."""
        try:
            return self._zip.read(self._member(name))
        except _ERRORS as error:
            raise self._malformed(f"has a damaged member: {name}") from error

    def blocks(self, name: str) -> Iterator[bytes]:
        """Yield a member's bytes in blocks."""
        try:
            with self._zip.open(self._member(name)) as member:
                while block := member.read(_STEP):
                    yield block
        except _ERRORS as error:
            raise self._malformed(f"has a damaged member: {name}") from error

    def header(self, name: str) -> ArrayHeader:
        """Return what a member's header says of its array, compared with the member's size."""
        head = io.BytesIO(self._bytes(name, min(self.size(name), _LONGEST_HEADER)))
        return read_header(head, self.size(name), f"{self._label}: {name}")

    def array(self, name: str) -> Any:
        """Return the array in a member, read-only and without comparing its CRC, as building the object does."""
        return view_array(self._bytes(name, self.size(name)), self.size(name), f"{self._label}: {name}")

    def inner(self, name: str) -> Archive:
        """Return the archive in a member."""
        return Archive(io.BytesIO(self.read(name)), f"{self._label}: {name}")

    def _bytes(self, name: str, count: int) -> bytes:
        """Read the beginning of a member straight from the file."""
        member = self._member(name)
        self._stream.seek(member.header_offset)
        header = self._stream.read(_LOCAL_HEADER.size)
        if len(header) != _LOCAL_HEADER.size or header[:4] != b"PK\x03\x04":
            raise self._malformed(f"has a damaged member: {name}")
        *_, name_length, extra_length = _LOCAL_HEADER.unpack(header)
        self._stream.seek(name_length + extra_length, io.SEEK_CUR)
        return self._stream.read(count)

    def _member(self, name: str) -> zipfile.ZipInfo:
        member = self._members.get(name)
        if member is None:
            raise self._malformed(f"lacks the member {name[:80]!r}")
        return member

    def _malformed(self, clause: str) -> MalformedPayloadError:
        return MalformedPayloadError(f"{self._label} {clause}")


class ArchiveWriter:
    """Writes a zip file whose bytes follow from the members' names, order and content alone."""

    def __init__(self, target: BinaryIO) -> None:
        self._zip = zipfile.ZipFile(target, "w", zipfile.ZIP_STORED)

    def write(self, name: str, size: int, blocks: Iterator[bytes]) -> None:
        """Add a member of *size* bytes."""
        member = zipfile.ZipInfo(name, _DATE)
        member.create_system = _UNIX
        member.external_attr = 0o600 << 16
        member.file_size = size
        with self._zip.open(member, "w") as target:
            for block in blocks:
                target.write(block)

    def close(self) -> None:
        """Write the directory."""
        self._zip.close()


def canonical_matrix(data: bytes, label: str) -> bytes:
    """Return the .npz file of a sparse matrix with its members sorted, uncompressed and without times."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as source:
            members = {name: source.read(name) for name in sorted(source.namelist())}
    except _ERRORS as error:
        raise MalformedPayloadError(f"{label} is not a sparse matrix") from error
    target = io.BytesIO()
    writer = ArchiveWriter(target)
    for name, content in members.items():
        writer.write(name, len(content), iter([content]))
    writer.close()
    return target.getvalue()
