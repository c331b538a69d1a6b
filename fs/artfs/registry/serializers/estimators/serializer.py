"""scikit-learn's estimators, and containers with them, in the format of skops made canonical."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

from artfs.registry.serializers.embedding import Replacement, embedder_of, embedders, reading_parts
from artfs.registry.serializers.errors import MalformedPayloadError, UnserializableError, UntrustedError
from artfs.registry.serializers.estimators.archive import Archive
from artfs.registry.serializers.estimators.audit import audit
from artfs.registry.serializers.estimators.canonical import SCHEMA, WriteNotes, write_canonical
from artfs.registry.serializers.estimators.schema import TESTED_PROTOCOLS, parse_schema
from artfs.registry.serializers.libraries import is_instance, present, require, versions_of
from artfs.registry.serializers.plain import is_plain
from artfs.registry.serializers.protocol import DumpNotes, Reading, payload_name

__all__ = ["SkopsSerializer"]

_WHAT: Final = "an estimator"
_DEEPEST: Final = 20


class SkopsSerializer:
    """Estimators of any package that derive from scikit-learn's, sparse matrices, and containers with these.

    Whatever skops would give back changed, and what a fresh process cannot import, is left to the next serialiser.
    """

    name = "skops"
    extension = "skops"
    safe = True

    def accepts(self, obj: Any) -> bool:
        """Return whether it is of scikit-learn, a matrix, an array, a random generator, or a container of these."""
        if type(obj) in (dict, list, tuple, set, frozenset):
            return (present("numpy") is not None or present("sklearn") is not None) and _is_container(obj, 0)
        return _is_ours(obj)

    def dump(self, obj: Any, folder: Path) -> DumpNotes:
        """Write the canonical file; raise `UnserializableError` for what skops cannot give back unchanged."""
        skops = require("skops.io", _WHAT)
        with (folder / payload_name(self.extension)).open("w+b") as target:
            sink = _Sink(target)
            parts = Replacement()
            try:
                whole = parts.of(obj)
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # of modules that skops looks into for the name of a function
                    skops.dump(whole, sink)
            except (UnserializableError, OSError):
                raise
            except MalformedPayloadError as error:
                raise UnserializableError(f"skops does not keep all of it: {error}") from error
            except Exception as error:  # whatever __getstate__ and __reduce__ of the object raise
                shown = " ".join(str(error).split())[:120]
                raise UnserializableError(f"skops cannot store it: {shown}") from error
        notes = sink.notes
        if notes is None:
            raise UnserializableError("skops wrote nothing")
        packages = notes.packages | parts.notes.packages
        return DumpNotes(str(notes.protocol), packages, safe=notes.canonical and parts.notes.safe)

    def load(self, folder: Path, trusted: Sequence[str]) -> Any:
        """Return the object."""
        with (folder / payload_name(self.extension)).open("rb") as stream:
            return self.load_stream(stream, Reading(trusted=frozenset(trusted)))

    def load_stream(self, stream: BinaryIO, reading: Reading) -> Any:
        """Return the object, after its audit, or without one if the caller vouches for the payload."""
        skops = require("skops.io", _WHAT)
        archive = Archive(stream, reading.label)
        schema = parse_schema(archive.read(SCHEMA), reading.label)
        protocol = schema.get("protocol")
        if type(protocol) is not int:
            raise MalformedPayloadError(f"the schema of {reading.label} has no protocol")
        if reading.format_version and str(protocol) != reading.format_version:
            raise UntrustedError(
                f"{reading.label} claims protocol {protocol} of skops, and its record {reading.format_version[:20]}"
            )
        if reading.trust:
            stream.seek(0)
            names = skops.get_untrusted_types(file=stream)
        elif protocol in TESTED_PROTOCOLS:
            names = audit(schema, archive, reading.trusted, reading.label)
        else:
            raise UntrustedError(
                f"{reading.label} has protocol {protocol} of skops, which this artfs does not know",
                hint="load it with the version of artfs that wrote it; trust=True loads it",
            )
        del schema, archive
        stream.seek(0)
        try:
            with warnings.catch_warnings(), reading_parts(reading):
                _ignore_version_warnings()
                return skops.load(stream, trusted=names)
        except TypeError as error:
            if type(error).__name__ != "UntrustedTypesFoundException":
                raise
            raise UntrustedError(f"{reading.label} has types that skops does not trust: {error}"[:300]) from error

    def versions(self) -> Mapping[str, str]:
        """Return the versions of skops, scikit-learn, NumPy and SciPy."""
        return versions_of("skops", "scikit-learn", "numpy", "scipy")


class _Sink(io.RawIOBase):
    """Receives the file that skops has made in memory, and writes its canonical form without another copy."""

    def __init__(self, target: BinaryIO) -> None:
        self._target = target
        self.notes: WriteNotes | None = None

    def write(self, data: Any) -> int:
        """Write the canonical form of a whole file."""
        view = memoryview(data)
        self.notes = write_canonical(io.BufferedReader(_Window(view), 1 << 16), self._target)
        return len(view)


class _Window(io.RawIOBase):
    """A buffer as a seekable file, which does not copy the buffer."""

    def __init__(self, view: memoryview) -> None:
        self._view, self._place = view, 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Copy what comes next into a buffer, and return its length."""
        count = max(min(len(buffer), len(self._view) - self._place), 0)
        buffer[:count] = self._view[self._place : self._place + count]
        self._place += count
        return count

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to another place."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: len(self._view)}[whence]
        if base + offset < 0:
            raise ValueError("negative seek position")
        self._place = base + offset
        return self._place

    def tell(self) -> int:
        """Return the place."""
        return self._place


def _is_ours(obj: Any) -> bool:
    return (
        is_instance(obj, "sklearn.base", "BaseEstimator")
        or type(obj).__module__.startswith("sklearn.")
        or is_instance(obj, "scipy.sparse", "spmatrix", "sparray")
        or is_instance(obj, "numpy.random", "RandomState", "Generator")
        or is_instance(obj, "numpy", "generic")
        or is_instance(obj, "numpy", "ndarray")
    )


def _is_container(obj: Any, depth: int) -> bool:
    """Return whether a container has plain values, arrays and what is ours, and nothing else."""
    if depth > _DEEPEST:
        return False
    if type(obj) is dict:
        return all(type(key) in (str, int, float) and _is_container(value, depth + 1) for key, value in obj.items())
    if type(obj) in (list, tuple, set, frozenset):
        return all(_is_container(value, depth + 1) for value in obj)
    if type(obj) in (float, bytes) or is_plain(obj) or is_instance(obj, "numpy", "ndarray") or _is_ours(obj):
        return True
    return embedder_of(obj, embedders()) is not None


def _ignore_version_warnings() -> None:
    """Leave warnings of other versions of scikit-learn to the comparison of versions."""
    sklearn = require("sklearn.exceptions", _WHAT)
    warnings.simplefilter("ignore", sklearn.InconsistentVersionWarning)
