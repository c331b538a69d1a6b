"""Networks of Keras as its own zip file, which `keras.saving.load_model` reads; made canonical, and audited.

``metadata.json`` has an index of the weights beside what Keras writes there.  What the audit does not know, such as
classes of programs, Lambda layers and files of layers, is stored as Keras writes it, and signed.
"""

from __future__ import annotations

import io
import json
import math
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

from artfs.registry.serializers.attributes import read_json
from artfs.registry.serializers.errors import MalformedPayloadError, UnserializableError, UntrustedError
from artfs.registry.serializers.estimators.archive import Archive, ArchiveWriter
from artfs.registry.serializers.libraries import is_instance, require, versions_of
from artfs.registry.serializers.networks.keras_config import judged, renumbered, with_registered, without_training
from artfs.registry.serializers.networks.keras_weights import (
    Weights,
    index_of,
    read_index,
    read_weights,
    written_weights,
)
from artfs.registry.serializers.protocol import DumpNotes, Reading, payload_name

__all__ = ["KerasSerializer"]

_WHAT: Final = "a network of Keras"
_METADATA: Final = "metadata.json"
_CONFIG: Final = "config.json"
_WEIGHTS: Final = "model.weights.h5"
_NEVER: Final = "1980-01-01@00:00:00"
_SEEDS: Final = 64
"""Numbers of a variable that is not stored, at most."""


class KerasSerializer:
    """Networks of Keras that have been built."""

    name = "keras"
    extension = "keras"
    safe = True

    def accepts(self, obj: Any) -> bool:
        """Return whether it is a network of Keras."""
        return is_instance(obj, "keras", "Model")

    def dump(self, obj: Any, folder: Path) -> DumpNotes:
        """Write the zip file; raise `UnserializableError` for a network that Keras cannot store."""
        saved = folder / payload_name(self.extension)
        try:
            obj.save(saved)
        except (ValueError, TypeError, NotImplementedError) as error:
            shown = " ".join(str(error).split())[:120]
            raise UnserializableError(f"Keras cannot store it: {shown}") from error
        with zipfile.ZipFile(saved) as source:
            members = {name: source.read(name) for name in source.namelist()}
        safe = False
        try:
            data = _canonical(members)
            self._audited(io.BytesIO(data), Reading())
        except (UnserializableError, MalformedPayloadError, UntrustedError, ValueError):  # not judged, so it is signed
            data = saved.read_bytes()
        else:
            safe = True
        saved.write_bytes(data)
        return DumpNotes("1", frozenset({"keras", _backend()}), safe=safe)

    def load(self, folder: Path, trusted: Sequence[str]) -> Any:
        """Return the network."""
        with (folder / payload_name(self.extension)).open("rb") as stream:
            return self.load_stream(stream, Reading(trusted=frozenset(trusted)))

    def load_stream(self, stream: BinaryIO, reading: Reading) -> Any:
        """Return the network, which has been audited unless the caller vouches for it."""
        keras = require("keras", _WHAT, "keras")
        data = stream.read() if reading.trust else self._audited(stream, reading)
        with tempfile.TemporaryDirectory(prefix="artfs-keras-") as folder:
            file = Path(folder) / payload_name(self.extension)
            file.write_bytes(data)
            return keras.saving.load_model(file, safe_mode=not reading.trust)

    def versions(self) -> Mapping[str, str]:
        """Return the versions of Keras and NumPy."""
        return versions_of("keras", "numpy")

    def _audited(self, stream: BinaryIO, reading: Reading) -> bytes:
        """Return a zip file for Keras with the configuration and the weights of a payload, after their audit."""
        archive = Archive(stream, reading.label)
        try:
            metadata = read_json(archive.read(_METADATA).decode())
            config = read_json(archive.read(_CONFIG).decode())
            found = judged(config) or ("" if "artfs" in metadata else "no index of its weights")
            weights = Weights([], []) if found else read_index(metadata["artfs"], archive.read(_WEIGHTS))
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise MalformedPayloadError(f"{reading.label} is no network of Keras, or lacks its index") from error
        if found:
            raise UntrustedError(
                f"{reading.label} is a network that is not validated: it has {found}",
                hint="examine where it comes from; 'artfs registry trust' signs it, trust=True loads it once",
            )
        if set(archive) != {_METADATA, _CONFIG, _WEIGHTS}:
            raise MalformedPayloadError(f"{reading.label} has other members than a network of Keras")
        _check_size(config, weights, reading.label)
        return _zip({_METADATA: b"{}", _CONFIG: json.dumps(config).encode(), _WEIGHTS: written_weights(weights)})


def _canonical(members: Mapping[str, bytes]) -> bytes:
    """Return the zip file of a network with numbers, dates and weights in a form that follows from the network."""
    if set(members) != {_METADATA, _CONFIG, _WEIGHTS}:
        raise UnserializableError("it has files of its layers")
    config = renumbered(read_json(members[_CONFIG].decode()))
    weights = written_weights(read_weights(members[_WEIGHTS]))
    metadata = {**json.loads(members[_METADATA]), "date_saved": _NEVER, "artfs": index_of(weights)}
    return _zip({_METADATA: json.dumps(metadata).encode(), _CONFIG: json.dumps(config).encode(), _WEIGHTS: weights})


def _zip(members: Mapping[str, bytes]) -> bytes:
    target = io.BytesIO()
    writer = ArchiveWriter(target)
    for name, content in members.items():
        writer.write(name, len(content), iter([content]))
    writer.close()
    return target.getvalue()


def _check_size(config: Any, weights: Weights, label: str) -> None:
    """Build the network with as much memory for its weights as is stored: layers may claim any sizes."""
    keras: Any = require("keras", _WHAT, "keras")
    left = weights.elements
    needed: list[int] = []

    class Bounded(keras.initializers.Initializer):  # type: ignore[misc]
        """Takes the place of every initializer, also of those that a layer has without being asked."""

        def __init__(self, **config: Any) -> None:
            """Take the parameters of any initializer."""

        def __call__(self, shape: Sequence[int], dtype: Any = None, **options: Any) -> Any:
            needed.append(math.prod(shape))
            if sum(needed) > left + _SEEDS * len(needed):
                raise ValueError("more weights than are stored")
            return keras.ops.zeros(shape, dtype=dtype)

    names = require("keras.src.initializers", _WHAT, "keras").ALL_OBJECTS_DICT
    try:
        with keras.saving.custom_object_scope(dict.fromkeys([*names, Bounded.__name__], Bounded)):
            keras.saving.deserialize_keras_object(with_registered(without_training(config)), safe_mode=True)
    except Exception as error:  # whatever layers raise for a configuration that does not fit
        raise MalformedPayloadError(f"{label} has layers of other sizes than its weights, or none of Keras") from error


def _backend() -> str:
    return str(require("keras", _WHAT, "keras").backend.backend())
