"""Objects with a format of their own inside an estimator: a step of a pipeline is stored by the serialiser that it has.

Before skops writes an estimator, such parts are replaced by stand-ins.  skops writes a stand-in as a call of
`EmbeddedPayload` with a format, the format's version and the payload, and that call returns the part.  The classes of a
library therefore never occur in a file of skops, and each part is checked as if it were stored alone.
"""

from __future__ import annotations

import io
import tempfile
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Final, cast

from artfs.registry.serializers import catalogue
from artfs.registry.serializers.errors import UnserializableError, UntrustedError
from artfs.registry.serializers.libraries import is_instance, present
from artfs.registry.serializers.protocol import DumpNotes, Reading, Serializer, payload_name

__all__ = ["EMBEDDED", "EmbeddedPayload", "Replacement", "embedder_of", "embedders", "load_payload", "reading_parts"]

EMBEDDED: Final = f"{__name__}.EmbeddedPayload"
_PLAIN: Final = frozenset({type(None), bool, int, float, complex, str, bytes})
_reading: ContextVar[Reading | None] = ContextVar("artfs_reading", default=None)


class EmbeddedPayload:
    """Stands for a part of an estimator; a call with a format, its version and a payload returns the part."""

    def __new__(cls, format_name: str, format_version: str, data: bytes) -> Any:
        """Return the object in a payload, read under the terms of the file that has it."""
        reading = _reading.get() or Reading(label="a part of an estimator")
        serializer = catalogue.find(format_name)
        if format_name in catalogue.CORE or not (serializer.safe or reading.trust):
            raise UntrustedError(f"{reading.label} has a part in the format {format_name!r}, which can run code")
        inner = Reading(format_version, reading.trusted, reading.trust, None, reading.label)
        return load_payload(serializer, io.BytesIO(data), inner)

    def __reduce__(self) -> Any:
        """Return the call that skops writes."""
        return EmbeddedPayload, (self.format_name, self.format_version, self.data)

    format_name: str
    format_version: str
    data: bytes


def load_payload(serializer: Serializer, stream: Any, reading: Reading) -> Any:
    """Return the object in a stream; a serialiser that reads folders gets one with a copy."""
    if hasattr(serializer, "load_stream"):
        return cast("Any", serializer).load_stream(stream, reading)
    with tempfile.TemporaryDirectory(prefix="artfs-payload-") as folder:
        with (Path(folder) / payload_name(serializer.extension)).open("wb") as copy:
            while block := stream.read(1 << 20):
                copy.write(block)
        return serializer.load(Path(folder), sorted(reading.trusted))


@contextmanager
def reading_parts(reading: Reading) -> Iterator[None]:
    """Read the parts of an estimator in the block under the terms of its file."""
    token = _reading.set(reading)
    try:
        yield
    finally:
        _reading.reset(token)


def embedders() -> list[Serializer]:
    """Return the serialisers of parts, in their order; not those of libraries that this process has not imported."""
    names = [name for name in catalogue.names() if name not in catalogue.CORE]
    return [catalogue.find(name) for name in names if name not in catalogue.LIBRARIES or present(name) is not None]


def embedder_of(obj: Any, among: Sequence[Serializer]) -> Serializer | None:
    """Return the serialiser that stores an object inside an estimator; None for what skops itself stores."""
    if type(obj) in _PLAIN or isinstance(obj, type):
        return None
    return next((serializer for serializer in among if serializer.accepts(obj)), None)


class Replacement:
    """One pass over an estimator, which is not changed: what has a part in it is copied, and shared parts stay so."""

    def __init__(self) -> None:
        self._made: dict[int, tuple[Any, Any]] = {}
        self._under: set[int] = set()
        self._serializers = embedders()
        self.notes = DumpNotes()
        """The packages of the parts, and whether all of them are safe."""

    def of(self, obj: Any) -> Any:
        """Return an object with stand-ins for its parts; the object itself if it has none."""
        if not self._serializers or type(obj) in _PLAIN or isinstance(obj, type) or id(obj) in self._under:
            return obj
        if id(obj) in self._made:
            return self._made[id(obj)][1]
        self._under.add(id(obj))
        try:
            made = self._replaced(obj)
        finally:
            self._under.discard(id(obj))
        self._made[id(obj)] = obj, made
        return made

    def _replaced(self, obj: Any) -> Any:
        kind = type(obj)
        if kind in (list, tuple, set, frozenset):
            values = [self.of(each) for each in obj]
            return kind(values) if _differ(values, obj) else obj
        if kind in (dict, OrderedDict) or is_instance(obj, "sklearn.utils", "Bunch"):
            values = [self.of(each) for each in obj.values()]
            if not _differ(values, obj.values()):
                return obj
            mapping = kind()
            mapping.update(zip(obj, values, strict=True))
            return mapping
        numpy = present("numpy")
        if numpy is not None and kind is numpy.ndarray:
            return self._replaced_array(numpy, obj) if obj.dtype == object else obj
        serializer = embedder_of(obj, self._serializers)
        if serializer is not None:
            return self._stand_in(serializer, obj)
        if not is_instance(obj, "sklearn.base", "BaseEstimator") and not kind.__module__.startswith("sklearn."):
            return obj
        state = getattr(obj, "__dict__", None)
        if not isinstance(state, dict):
            return obj
        changed = {name: self.of(value) for name, value in state.items()}
        if not _differ(changed.values(), state.values()):
            return obj
        copy: Any = object.__new__(kind)
        copy.__dict__.update(changed)
        return copy

    def _replaced_array(self, numpy: Any, array: Any) -> Any:
        values = [self.of(each) for each in array.ravel()]
        if not _differ(values, array.ravel()):
            return array
        changed = numpy.empty(len(values), dtype=object)
        changed[:] = values
        return changed.reshape(array.shape)

    def _stand_in(self, serializer: Serializer, obj: Any) -> Any:
        with tempfile.TemporaryDirectory(prefix="artfs-payload-") as folder:
            notes = serializer.dump(obj, Path(folder)) or DumpNotes(safe=serializer.safe)
            files = list(Path(folder).iterdir())
            if len(files) != 1:
                raise UnserializableError(f"the serialiser {serializer.name!r} must write one file")
            data = files[0].read_bytes()
        packages = self.notes.packages | notes.packages | {type(obj).__module__.partition(".")[0]}
        self.notes = DumpNotes(packages=packages, safe=self.notes.safe and notes.safe and serializer.safe)
        stand_in = object.__new__(EmbeddedPayload)
        stand_in.format_name, stand_in.format_version, stand_in.data = serializer.name, notes.format_version, data
        return stand_in


def _differ(values: Any, others: Any) -> bool:
    return any(one is not other for one, other in zip(values, others, strict=True))
