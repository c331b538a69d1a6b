"""Names, types and shapes of tensors in a file, from its header alone: nothing is unpickled, no tensor is read.

    safetensors   8 bytes, the length of a JSON object; that object
    npy           a header of NumPy, read as a literal
    npz           a zip of npy files

What PyTorch saves is a pickle, whose instructions are a program: such files are described as zip entries only.
"""

from __future__ import annotations

import ast
import encodings.cp437  # noqa: F401  # of names in zips: a child cannot import it any more when it meets one
import io
import json
import re
import struct
import zipfile
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NamedTuple, cast

from artfs.contents.child import Limits, ask
from artstore.errors import InvalidInputError

if TYPE_CHECKING:
    from artfs.contents.child_program import Files
    from artfs.contents.sources import Source

__all__ = ["Tensor", "TensorChange", "compare_tensors", "listed", "tensors_in", "tensors_of"]

_LIMITS: Final = Limits(memory=300 << 20, processor=20, seconds=30)

_MOST_TENSORS: Final = 100_000
_HEADER_BYTES: Final = 25 << 20
_NPY_BYTES: Final = 64 << 10
_DIMENSIONS: Final = 64
_BROKEN_ZIP: Final = (zipfile.BadZipFile, zlib.error, struct.error)
_NUMPYS_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_NPY_TYPE: Final = re.compile(r"[<>|=]?[?bBiufcmMOSUV]\d{0,10}(\[\w{1,4}\])?")


class Tensor(NamedTuple):
    """A tensor of a file: its type as the format writes it, its shape, its bytes, and what tells its content apart.

    ``check`` is a checksum where the format has one, else empty; ``start`` is where its bytes begin, None in a zip.
    """

    dtype: str
    shape: tuple[int, ...]
    bytes: int
    check: str = ""
    start: int | None = None


class TensorChange(NamedTuple):
    """A tensor that differs between two files: ``kind`` is added, removed, shape, dtype or content."""

    name: str
    kind: str
    old: Tensor | None
    new: Tensor | None


def tensors_in(source: Source) -> dict[str, Tensor]:
    """Return the tensors of a file by name, listed by a child; raise what `artfs.contents.child.ask` raises."""
    rows = ask("artfs.contents.tensors:listed", [source], limits=_LIMITS)
    return {name: Tensor(dtype, tuple(shape), *rest) for name, dtype, shape, *rest in rows}


def listed(files: Files, _options: Mapping[str, Any]) -> list[list[Any]]:
    """Return [name, type, shape, bytes, checksum, start] of each tensor of a file; in the child."""
    file = files.open(0)
    return [
        [name, *tensor] for name, tensor in tensors_of(cast("BinaryIO", io.BufferedReader(file)), file.bytes).items()
    ]


def tensors_of(file: BinaryIO, size: int) -> dict[str, Tensor]:
    """Return the tensors of a file by name; raise `InvalidInputError` for what is none of the formats."""
    beginning = file.read(8)
    file.seek(0)
    try:
        if beginning[:6] == b"\x93NUMPY":
            return {"": _npy(file, size)}
        if beginning[:4] == b"PK\x03\x04":
            return _zipped(file)
        return _safetensors(file, size)
    except InvalidInputError:
        raise
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError, EOFError, *_BROKEN_ZIP) as error:
        raise InvalidInputError(f"the file's list of tensors cannot be read: {type(error).__name__}") from error
    except (NotImplementedError, RuntimeError, SyntaxError, MemoryError) as error:
        raise InvalidInputError("the file's list of tensors is in a form that is not supported") from error


def compare_tensors(old: Mapping[str, Tensor], new: Mapping[str, Tensor]) -> list[TensorChange]:
    """Return the tensors that differ, by name; content is compared where both files have a checksum of it."""
    changes = []
    for name in sorted(old.keys() | new.keys()):
        before, after = old.get(name), new.get(name)
        if before is None or after is None:
            changes.append(TensorChange(name, "added" if before is None else "removed", before, after))
        elif before.shape != after.shape:
            changes.append(TensorChange(name, "shape", before, after))
        elif before.dtype != after.dtype:
            changes.append(TensorChange(name, "dtype", before, after))
        elif before.check != after.check:
            changes.append(TensorChange(name, "content", before, after))
    return changes


def _shape(values: object) -> tuple[int, ...]:
    if not isinstance(values, list | tuple) or len(values) > _DIMENSIONS:
        raise InvalidInputError("a tensor has a shape that is no list of numbers")
    if not all(type(each) is int and 0 <= each < 1 << 63 for each in values):
        raise InvalidInputError("a tensor has a shape that is no list of numbers")
    return tuple(values)


def _safetensors(file: BinaryIO, size: int) -> dict[str, Tensor]:
    length = int.from_bytes(file.read(8), "little")
    if not 2 <= length <= min(size - 8, _HEADER_BYTES):
        raise InvalidInputError("the file is neither safetensors nor NumPy's")
    header = json.loads(file.read(length))
    if not isinstance(header, dict) or len(header) > _MOST_TENSORS:
        raise InvalidInputError(f"the file lists no tensors, or more than {_MOST_TENSORS:,}")
    found = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        start, end = _shape(entry["data_offsets"])
        if not 0 <= start <= end <= size - 8 - length:
            raise InvalidInputError("a tensor lies outside of the file")
        found[name] = Tensor(str(entry["dtype"])[:20], _shape(entry["shape"]), end - start, "", 8 + length + start)
    return found


def _npy(file: BinaryIO, size: int) -> Tensor:
    head = file.read(12)
    if len(head) < 12:
        raise InvalidInputError("an array has no header")
    major = head[6]
    length, used = (
        (int.from_bytes(head[8:10], "little"), 10) if major == 1 else (int.from_bytes(head[8:12], "little"), 12)
    )
    if head[:6] != b"\x93NUMPY" or major not in (1, 2, 3) or length > _NPY_BYTES:
        raise InvalidInputError("an array has a header that NumPy does not write")
    text = (head[used:] + file.read(length - (12 - used))).decode("utf-8" if major == 3 else "latin-1")
    described = ast.literal_eval(text.strip())
    dtype = described["descr"]
    shape = _shape(described["shape"])
    if isinstance(dtype, str) and not _NPY_TYPE.fullmatch(dtype):
        raise InvalidInputError("an array has a type that NumPy does not write")
    return Tensor(str(dtype)[:200], shape, max(0, size - used - length), "", used + length)


def _zipped(file: BinaryIO) -> dict[str, Tensor]:
    """Return the arrays of an npz; of what PyTorch saved, its storages."""
    found = {}
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        if len(entries) > _MOST_TENSORS:
            raise InvalidInputError(f"the file has more than {_MOST_TENSORS:,} entries")
        for entry in entries:
            check = f"{entry.CRC:08x}"
            if not entry.filename.endswith(".npy"):
                found[entry.filename] = Tensor("bytes", (entry.file_size,), entry.file_size, check)
                continue
            if entry.compress_type not in _NUMPYS_METHODS:
                raise InvalidInputError("an array is compressed by a method that NumPy does not use")
            with archive.open(entry) as opened:
                tensor = _npy(opened, entry.file_size)  # type: ignore[arg-type]
            found[entry.filename.removesuffix(".npy")] = tensor._replace(check=check, start=None)
    return found
