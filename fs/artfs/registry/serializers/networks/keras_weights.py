"""The weights of a network: an HDF5 file, and an index of where its arrays lie in it.

HDF5's library is not made for hostile files.  So what is read are the bytes at the places of the index, and Keras gets
a file that was written here from them.  Keras itself reads the stored file, as any other.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from artfs.registry.serializers.errors import UnserializableError
from artfs.registry.serializers.libraries import require

__all__ = ["Weights", "index_of", "read_index", "read_weights", "written_weights"]

_WHAT: Final = "a network of Keras"
_PATH: Final = re.compile(r"[A-Za-z0-9_.:-]+(?:/[A-Za-z0-9_.:-]+)*")
_DTYPE: Final = re.compile(r"[<|](?:b1|[iu][1248]|f[248])")


class Weights(NamedTuple):
    """Groups with their attributes, and arrays with theirs, in the order of their paths."""

    groups: list[tuple[str, dict[str, str]]]
    arrays: list[tuple[str, Any, dict[str, str]]]

    @property
    def elements(self) -> int:
        """How many numbers the arrays have that are not the optimizer's."""
        return sum(array.size for path, array, _ in self.arrays if not path.startswith("optimizer/"))


def read_weights(data: bytes) -> Weights:
    """Return what an HDF5 file of Keras has; raise `UnserializableError` for what it does not write itself."""
    h5py = require("h5py", _WHAT, "h5py")
    found = Weights([], [])

    def visit(path: str, item: Any) -> None:
        attributes = dict(item.attrs)
        if not all(type(value) is str for value in attributes.values()) or not _PATH.fullmatch(path):
            raise UnserializableError(f"its weights have a name or an attribute of another kind: {path[:80]}")
        if isinstance(item, h5py.Dataset):
            if not _DTYPE.fullmatch(item.dtype.str):
                raise UnserializableError(f"its weights have the type {item.dtype}")
            found.arrays.append((path, item[()], attributes))
        else:
            found.groups.append((path, attributes))

    with h5py.File(io.BytesIO(data), "r") as file:
        file.visititems(visit)
    return found


def written_weights(weights: Weights) -> bytes:
    """Return an HDF5 file whose bytes follow from the weights."""
    h5py = require("h5py", _WHAT, "h5py")
    target = io.BytesIO()
    with h5py.File(target, "w") as file:
        for path, attributes in weights.groups:
            _describe(file.require_group(path), attributes)
        for path, array, attributes in weights.arrays:
            _describe(file.create_dataset(path, data=array, track_times=False), attributes)
    return target.getvalue()


def _describe(item: Any, attributes: dict[str, str]) -> None:
    for key, value in attributes.items():
        item.attrs[key] = value


def index_of(data: bytes) -> dict[str, Any]:
    """Return the index of a file that `written_weights` made."""
    h5py = require("h5py", _WHAT, "h5py")
    found: dict[str, Any] = {"groups": [], "arrays": []}

    def visit(path: str, item: Any) -> None:
        attributes = dict(item.attrs)
        if isinstance(item, h5py.Dataset):
            offset = item.id.get_offset() if item.size else 0
            found["arrays"].append([path, item.dtype.str, list(item.shape), offset, attributes])
        else:
            found["groups"].append([path, attributes])

    with h5py.File(io.BytesIO(data), "r") as file:
        file.visititems(visit)
    return found


def read_index(index: Any, data: bytes) -> Weights:
    """Return the arrays at the places of an index; raise ValueError for places outside of the file and other names."""
    numpy = require("numpy", _WHAT)
    weights = Weights([], [])
    for path, attributes in index["groups"]:
        weights.groups.append((path, _texts(attributes)))
    rest = len(data)
    for path, dtype, shape, offset, attributes in index["arrays"]:
        whole = all(type(number) is int and number >= 0 for number in [*shape, offset])
        if not whole or not _DTYPE.fullmatch(dtype) or len(shape) > 32:
            raise ValueError("an array of another kind")
        count = math.prod(shape)
        rest -= count * int(dtype[2:])
        if rest < 0 or offset + count * int(dtype[2:]) > len(data):
            raise ValueError("an array that ends after the file")
        array = numpy.frombuffer(data, dtype=dtype, count=count, offset=offset) if count else numpy.empty(0, dtype)
        weights.arrays.append((path, array.reshape(shape), _texts(attributes)))
    _check_paths([path for path, _ in weights.groups], [path for path, *_ in weights.arrays])
    return weights


def _texts(attributes: Any) -> dict[str, str]:
    if not isinstance(attributes, dict) or not all(type(value) is str for value in attributes.values()):
        raise ValueError("attributes of another kind")
    return attributes


def _check_paths(groups: list[Any], arrays: Iterable[Any]) -> None:
    paths = [*groups, *arrays]
    if not all(isinstance(path, str) and _PATH.fullmatch(path) for path in paths) or len(set(paths)) != len(paths):
        raise ValueError("a path of another kind, or twice")
    known = set(groups)
    if any("/" in path and path.rpartition("/")[0] not in known for path in paths):
        raise ValueError("a path that is in no group")
