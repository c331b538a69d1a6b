"""Arrays and tensors, alone in nested dictionaries, lists and tuples, or as the state of a module, as safetensors.

The file's one metadata entry, ``artfs``, is JSON: the nesting, where each leaf is [kind, name of the tensor].  It
builds containers and nothing else.  A file without it, written by others, is a dictionary of arrays.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

from artfs.registry.serializers.arrays import is_array
from artfs.registry.serializers.errors import MalformedPayloadError, UnserializableError
from artfs.registry.serializers.libraries import is_instance, require, versions_of
from artfs.registry.serializers.plain import is_unicode
from artfs.registry.serializers.protocol import DumpNotes, Reading, payload_name

__all__ = ["SafetensorsSerializer"]

_KEY: Final = "artfs"
_DEEPEST: Final = 100
_ELEMENTS: Final = frozenset(
    {"bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64"}
)
_BFLOAT: Final = "bfloat16"
"""JAX has this type in NumPy's arrays too; NumPy itself and the codec for its arrays lack it."""
_NAMES: Final = {
    **{f"{kind}{bits}": f"{name}{bits}" for kind, name in (("I", "int"), ("U", "uint")) for bits in (8, 16, 32, 64)},
    **{f"F{bits}": f"float{bits}" for bits in (16, 32, 64)},
    "BOOL": "bool",
}
_WHAT: Final = "a payload of tensors"


class SafetensorsSerializer:
    """Modules of torch, and arrays of NumPy, torch and JAX in dictionaries with texts as keys, lists and tuples."""

    name = "safetensors"
    extension = "safetensors"
    safe = True

    def accepts(self, obj: Any) -> bool:
        """Return whether it is a torch module, or a dictionary, list or tuple with nothing but arrays at the leaves."""
        if is_instance(obj, "keras", "Model"):  # with torch below it, a module too; its format keeps the layers
            return False
        if is_instance(obj, "torch.nn", "Module"):
            return True
        if is_instance(obj, "torch", "Tensor") or is_instance(obj, "jax", "Array"):
            return _leaf_kind(obj) is not None
        return type(obj) in (dict, OrderedDict, list, tuple) and bool(obj) and _is_tree(obj, 0)

    def dump(self, obj: Any, folder: Path) -> DumpNotes:
        """Write the arrays in C order, under the names of their places."""
        module = is_instance(obj, "torch.nn", "Module")
        tree = obj.state_dict() if module else obj
        if module and not _is_tree(tree, 0):
            raise UnserializableError("the state of the module has values that are no tensors")
        arrays: dict[str, Any] = {}
        seen: dict[int, str] = {}
        shape = _describe(tree, "", arrays, seen)
        document = {"kind": "module" if module else "tree", "tree": shape}
        _write(folder / payload_name(self.extension), arrays, json.dumps(document, separators=(",", ":")))
        kinds = {"torch"} if module else {_leaf_kind(array) for array in arrays.values()} - {"numpy", None}
        return DumpNotes("1", packages=frozenset(map(str, kinds)))

    def load(self, folder: Path, trusted: Sequence[str]) -> Any:
        """Return the arrays as they were nested; of a module, its state."""
        with (folder / payload_name(self.extension)).open("rb") as stream:
            return self.load_stream(stream, Reading(trusted=frozenset(trusted)))

    def load_stream(self, stream: BinaryIO, reading: Reading) -> Any:
        """Return the arrays as they were nested; with ``into``, a torch module, load its state and return the module.

        Raises `MalformedPayloadError` for what is no such file, or whose tensors do not fit the module.
        """
        codec = require("safetensors", _WHAT)
        data = stream.read()
        try:
            document = _metadata(data)
            kinds = set() if document is None else set(_kinds(document["tree"], 0))
            arrays = _arrays(codec, data, "torch" if "torch" in kinds or reading.into is not None else "numpy")
            tree = arrays if document is None else _build(document["tree"], arrays)
        except (codec.SafetensorError, ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
            raise MalformedPayloadError(f"{reading.label} is not a file of tensors") from error
        if reading.into is None:
            return tree
        try:
            reading.into.load_state_dict(tree)
        except (RuntimeError, AttributeError, TypeError) as error:
            shown = " ".join(str(error).split())[:160]
            raise MalformedPayloadError(f"the tensors of {reading.label} do not fit: {shown}") from error
        return reading.into

    def versions(self) -> Mapping[str, str]:
        """Return the versions of safetensors and NumPy."""
        return versions_of("safetensors", "numpy")


def _leaf_kind(obj: Any) -> str | None:
    """Return which library's array *obj* is, None if it is none that the format can hold."""
    if is_array(obj):
        return "numpy" if obj.dtype.isnative and str(obj.dtype) in _ELEMENTS else None
    if is_instance(obj, "torch", "Tensor"):
        return "torch" if _is_dense(obj) else None
    if is_instance(obj, "jax", "Array"):
        return "jax" if str(obj.dtype) in _ELEMENTS | {_BFLOAT} else None
    return None


def _is_dense(tensor: Any) -> bool:
    """Return whether a tensor has its elements in memory, and the format has a type for them."""
    dense = str(tensor.layout) == "torch.strided" and tensor.device.type != "meta"
    return dense and not tensor.is_complex() and not tensor.is_quantized


def _is_tree(obj: Any, depth: int) -> bool:
    if depth > _DEEPEST:
        return False
    if type(obj) in (dict, OrderedDict):
        return all(type(key) is str and is_unicode(key) and _is_tree(value, depth + 1) for key, value in obj.items())
    if type(obj) in (list, tuple):
        return all(_is_tree(value, depth + 1) for value in obj)
    return _leaf_kind(obj) is not None


def _describe(obj: Any, place: str, arrays: dict[str, Any], seen: dict[int, str]) -> Any:
    """Return the nesting as JSON, and add the leaves to *arrays* by name; an array that occurs twice is kept once."""
    if type(obj) in (dict, OrderedDict):
        rows = [[key, _describe(value, f"{place}.{key}", arrays, seen)] for key, value in obj.items()]
        return {"ordered" if type(obj) is OrderedDict else "dict": rows}
    if type(obj) in (list, tuple):
        rows = [_describe(value, f"{place}.{index}", arrays, seen) for index, value in enumerate(obj)]
        return {"tuple" if type(obj) is tuple else "list": rows}
    kind = str(_leaf_kind(obj))
    name = seen.get(id(obj))
    if name is None:
        name = place[1:] or "tensor"
        while name in arrays or name == "__metadata__":  # {"a": {"b": x}, "a.b": y}
            name += "'"
        arrays[name] = obj
        seen[id(obj)] = name
    return [kind, name]


def _write(file: Path, arrays: Mapping[str, Any], document: str) -> None:
    metadata = {_KEY: document}
    if any(is_instance(array, "torch", "Tensor") for array in arrays.values()):
        torch = require("torch", _WHAT, "torch")
        tensors = {
            name: array.detach().cpu().contiguous().clone()
            if isinstance(array, torch.Tensor)
            else _torch_of(torch, _numpy_of(array))
            for name, array in arrays.items()
        }
        require("safetensors.torch", _WHAT).save_file(tensors, file, metadata=metadata)
    else:
        codec = require("safetensors.numpy", _WHAT)
        codec.save_file({name: _numpy_of(array) for name, array in arrays.items()}, file, metadata=metadata)


def _numpy_of(array: Any) -> Any:
    numpy = require("numpy", _WHAT)
    return numpy.ascontiguousarray(numpy.asarray(array)).reshape(numpy.shape(array))


def _torch_of(torch: Any, array: Any) -> Any:
    if str(array.dtype) == _BFLOAT:
        return torch.from_numpy(array.view("int16")).view(torch.bfloat16)
    return torch.from_numpy(array)


def _arrays(codec: Any, data: bytes, library: str) -> dict[str, Any]:
    if library == "torch":
        return dict(require("safetensors.torch", _WHAT).load(data))
    numpy = require("numpy", _WHAT)
    return {
        name: numpy.frombuffer(view["data"], dtype=_dtype(view["dtype"])).reshape(view["shape"])
        for name, view in codec.deserialize(data)
    }


def _dtype(name: str) -> Any:
    return require("ml_dtypes", _WHAT, "ml-dtypes").bfloat16 if name == "BF16" else _NAMES[name]


def _metadata(data: bytes) -> dict[str, Any] | None:
    """Return the description of the nesting in a file, None if there is none."""
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > len(data) - 8:
        raise ValueError("the header ends after the file")
    text = json.loads(data[8 : 8 + length]).get("__metadata__", {}).get(_KEY)
    document = None if text is None else json.loads(text)
    if document is not None and document.get("kind") not in ("module", "tree"):
        raise ValueError("no known kind")
    return document


def _kinds(tree: Any, depth: int) -> list[str]:
    if depth > _DEEPEST:
        raise ValueError("nested too deeply")
    if isinstance(tree, list):
        return [str(tree[0])]
    ((container, rows),) = tree.items()
    children = [row[1] for row in rows] if container in ("dict", "ordered") else rows
    return [kind for child in children for kind in _kinds(child, depth + 1)]


def _build(tree: Any, arrays: Mapping[str, Any]) -> Any:
    if isinstance(tree, list):
        kind, name = tree
        return _converted(kind, arrays[name])
    ((container, rows),) = tree.items()
    if container in ("dict", "ordered"):
        pairs = [(str(key), _build(value, arrays)) for key, value in rows]
        return OrderedDict(pairs) if container == "ordered" else dict(pairs)
    values = [_build(value, arrays) for value in rows]
    if container not in ("list", "tuple"):
        raise ValueError(f"no known container {container!r}")
    return tuple(values) if container == "tuple" else values


def _converted(kind: str, array: Any) -> Any:
    if kind == "jax" and str(array.dtype) == "torch.bfloat16":
        array = array.view(require("torch", _WHAT, "torch").int16).numpy()
        array = array.view(require("ml_dtypes", _WHAT, "ml-dtypes").bfloat16)
    if kind == "jax":
        return require("jax.numpy", _WHAT, "jax").asarray(array)
    if kind == "numpy" and is_instance(array, "torch", "Tensor"):
        return array.numpy()
    if kind not in ("numpy", "torch"):
        raise ValueError(f"no known kind of array {kind!r}")
    return array
