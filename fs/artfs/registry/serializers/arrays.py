"""NumPy arrays as .npy files, never with objects in them."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, Final

from artfs.registry.serializers.errors import MalformedPayloadError, UntrustedError
from artfs.registry.serializers.libraries import present, require, versions_of
from artfs.registry.serializers.protocol import DumpNotes, Reading, payload_name

__all__ = ["ArrayHeader", "NpySerializer", "is_array", "read_array", "read_header", "view_array"]


_LONGEST_HEADER: Final = 1 << 14
_USUAL_HEADER: Final = 256


class ArrayHeader:
    """What the header of a .npy file claims: ``shape``, ``dtype``, ``fortran_order``; data begin at ``offset``."""

    __slots__ = ("dtype", "fortran_order", "offset", "shape")

    def __init__(self, shape: tuple[int, ...], dtype: Any, fortran_order: bool, offset: int) -> None:
        self.shape, self.dtype, self.fortran_order, self.offset = shape, dtype, fortran_order, offset

    @property
    def nbytes(self) -> int:
        """The number of bytes of the data."""
        size = int(self.dtype.itemsize)
        for length in self.shape:
            size *= length
        return size


def is_array(obj: Any) -> bool:
    """Return whether *obj* is exactly a NumPy array whose elements are no Python objects."""
    numpy = present("numpy")
    if numpy is None or type(obj) is not numpy.ndarray or obj.dtype.hasobject or not obj.dtype.itemsize:
        return False
    try:  # names of fields beyond Latin-1 need version 3.0 of the format
        repr(obj.dtype.descr).encode("latin-1")
    except ValueError:
        return False
    return True


def read_header(stream: BinaryIO, size: int, label: str) -> ArrayHeader:
    """Read the header of a .npy file of *size* bytes at the beginning of a stream, and compare it with the size.

    Raises `UntrustedError` for an array of objects, which NumPy would unpickle, `MalformedPayloadError` for a file that
    is none, or whose shape is not what its size says.
    """
    try:
        shape, fortran_order, dtype = _short_header(stream) or _parsed_header(stream)
    except (ValueError, KeyError, EOFError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise MalformedPayloadError(f"{label} is not an array in NumPy's format") from error
    if dtype.hasobject:
        raise UntrustedError(f"{label} is an array of Python objects, which would be unpickled")
    header = ArrayHeader(shape, dtype, fortran_order, stream.tell())
    if any(type(length) is not int or length < 0 for length in shape) or header.offset + header.nbytes != size:
        raise MalformedPayloadError(f"{label} is an array whose shape does not fit its size")
    return header


def _short_header(stream: BinaryIO) -> tuple[Any, bool, Any] | None:
    """Read a header of usual length, which many arrays share; return None at the stream's beginning for any other."""
    head = stream.read(_USUAL_HEADER)
    end = 10 + int.from_bytes(head[8:10], "little")
    if head[:8] != b"\x93NUMPY\1\0" or end > len(head):
        stream.seek(0)
        return None
    stream.seek(end)
    return _known_header(head[:end])


@lru_cache(maxsize=1024)
def _known_header(head: bytes) -> tuple[Any, bool, Any]:
    return _parsed_header(io.BytesIO(head))


def _parsed_header(stream: BinaryIO) -> tuple[Any, bool, Any]:
    """Return (shape, whether in Fortran's order, dtype) of a header, as NumPy reads it."""
    fmt = require("numpy.lib.format", "an array")
    readers = {(1, 0): fmt.read_array_header_1_0, (2, 0): fmt.read_array_header_2_0}
    found: tuple[Any, bool, Any] = readers[fmt.read_magic(stream)](stream)
    return found


def read_array(stream: BinaryIO, size: int, label: str) -> Any:
    """Return the array in a .npy file of *size* bytes; raises as `read_header` does."""
    numpy = require("numpy", "an array")
    header = read_header(stream, size, label)
    flat = numpy.empty(header.nbytes, dtype=numpy.uint8)
    if stream.readinto(flat) != header.nbytes:  # type: ignore[attr-defined]
        raise MalformedPayloadError(f"{label} is an array that ends too early")
    order = "F" if header.fortran_order else "C"
    return flat.view(header.dtype).reshape(header.shape, order=order) if header.nbytes else _empty(numpy, header)


def view_array(data: bytes, size: int, label: str) -> Any:
    """Return the array in the bytes of a .npy file of *size* bytes, read-only and without a copy."""
    numpy = require("numpy", "an array")
    header = read_header(io.BytesIO(data[:_LONGEST_HEADER]), size, label)
    if len(data) != size:
        raise MalformedPayloadError(f"{label} is an array that ends too early")
    order = "F" if header.fortran_order else "C"
    flat = numpy.frombuffer(data, dtype=header.dtype, offset=header.offset) if header.nbytes else _empty(numpy, header)
    return flat.reshape(header.shape, order=order)


def _empty(numpy: Any, header: ArrayHeader) -> Any:
    return numpy.empty(header.shape, dtype=header.dtype, order="F" if header.fortran_order else "C")


class NpySerializer:
    """Arrays of numbers, texts, times and structures of these."""

    name = "npy"
    extension = "npy"
    safe = True

    def accepts(self, obj: Any) -> bool:
        """Return whether it is an array without Python objects."""
        return is_array(obj)

    def dump(self, obj: Any, folder: Path) -> DumpNotes:
        """Write the array as `numpy.save` does."""
        numpy = require("numpy", "an array")
        with (folder / payload_name(self.extension)).open("wb") as stream:
            numpy.save(stream, obj, allow_pickle=False)
        return DumpNotes("1")

    def load(self, folder: Path, trusted: Sequence[str]) -> Any:
        """Return the array, which can be written to."""
        with (folder / payload_name(self.extension)).open("rb") as stream:
            return self.load_stream(stream, Reading(trusted=frozenset(trusted)))

    def load_stream(self, stream: BinaryIO, reading: Reading) -> Any:
        """Return the array; raise `UntrustedError` for objects, `MalformedPayloadError` for what is no array."""
        size = stream.seek(0, 2)
        stream.seek(0)
        return read_array(stream, size, reading.label)

    def versions(self) -> Mapping[str, str]:
        """Return NumPy's version."""
        return versions_of("numpy")
