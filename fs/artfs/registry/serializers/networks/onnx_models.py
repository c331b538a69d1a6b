"""Models of ONNX as their own protobuf, which is data: nothing is run, and no other file is read."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

from artfs.registry.serializers.errors import MalformedPayloadError, UnserializableError, UntrustedError
from artfs.registry.serializers.libraries import is_instance, require, versions_of
from artfs.registry.serializers.protocol import DumpNotes, Reading, payload_name
from artstore.errors import InvalidInputError

__all__ = ["OnnxSerializer"]

_WHAT: Final = "a model of ONNX"
_MOST_PER_BYTE: Final = 4
"""Elements of the smallest type in a byte."""


class OnnxSerializer:
    """Models of ONNX whose tensors are in the model."""

    name = "onnx"
    extension = "onnx"
    safe = True

    def accepts(self, obj: Any) -> bool:
        """Return whether it is a model."""
        return is_instance(obj, "onnx", "ModelProto")

    def dump(self, obj: Any, folder: Path) -> DumpNotes:
        """Write the protobuf, in which maps are sorted.

        Raises `InvalidInputError` for tensors in other files, `UnserializableError` for more than 2 GB.
        """
        for tensor in _tensors(obj):
            if _is_elsewhere(tensor):
                raise InvalidInputError(
                    f"the model keeps the tensor {tensor.name[:60]!r} in another file",
                    hint="onnx.load_external_data_for_model() loads it into the model",
                )
        try:
            data = obj.SerializeToString(deterministic=True)
        except ValueError as error:
            raise UnserializableError("protobuf holds models of up to 2 GB") from error
        (folder / payload_name(self.extension)).write_bytes(data)
        return DumpNotes("1", frozenset({"onnx"}))

    def load(self, folder: Path, trusted: Sequence[str]) -> Any:
        """Return the model."""
        with (folder / payload_name(self.extension)).open("rb") as stream:
            return self.load_stream(stream, Reading(trusted=frozenset(trusted)))

    def load_stream(self, stream: BinaryIO, reading: Reading) -> Any:
        """Return the model; raise `UntrustedError` for tensors in other files, `MalformedPayloadError` for no model."""
        library = require("onnx", _WHAT, "onnx")
        errors = require("google.protobuf.message", _WHAT, "onnx")
        data = stream.read()
        try:
            model = library.ModelProto.FromString(data)
        except (errors.DecodeError, ValueError, RecursionError) as error:
            raise MalformedPayloadError(f"{reading.label} is no protobuf of ONNX") from error
        if model.ir_version < 1 or not model.HasField("graph") or not model.opset_import:
            raise MalformedPayloadError(f"{reading.label} has no graph of ONNX")
        if model.SerializeToString(deterministic=True) != data:
            raise MalformedPayloadError(f"{reading.label} has bytes that are not of its model")
        for tensor in _tensors(model):
            if _is_elsewhere(tensor):
                raise UntrustedError(f"{reading.label} has the tensor {tensor.name[:60]!r} in another file")
            if any(length < 0 for length in tensor.dims) or math.prod(tensor.dims) > _MOST_PER_BYTE * len(data):
                raise MalformedPayloadError(f"{reading.label} has a tensor larger than its payload")
        return model

    def versions(self) -> Mapping[str, str]:
        """Return ONNX's version."""
        return versions_of("onnx")


def _is_elsewhere(tensor: Any) -> bool:
    return bool(tensor.data_location or tensor.external_data)


def _tensors(model: Any) -> Iterator[Any]:
    """Yield every tensor in a message, wherever it is: in graphs, their attributes, functions and training."""
    stack = [model]
    while stack:
        message = stack.pop()
        if message.DESCRIPTOR.name == "TensorProto":
            yield message
            continue
        for field, value in message.ListFields():
            if field.message_type is not None:
                stack.extend(value if field.is_repeated else [value])
