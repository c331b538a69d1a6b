"""Storing an object: the first serialiser that takes it writes one file."""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from artfs.registry.serializers import catalogue
from artfs.registry.serializers.errors import PickleWarning, UnserializableError
from artfs.registry.serializers.protocol import DumpNotes, Payload, Serializer, payload_name
from artfs.registry.serializers.versions import recorded

__all__ = ["serialize"]

_warned: set[str] = set()
"""The classes of which this process has said that they are stored as pickles."""


def serialize(obj: Any, folder: Path, format_hint: str | None = None) -> Payload:
    """Write *obj* as one file into the empty folder *folder*, and return what was written.

    With *format_hint*, the name of a format, only that serialiser is asked.  Raises `UnserializableError` if none takes
    the object, `UnknownFormatError` for an unknown format, `MissingLibraryError` if the format's library is missing.
    """
    folder = Path(folder)
    reasons = []
    for serializer in _asked(obj, format_hint):
        try:
            notes = serializer.dump(obj, folder) or DumpNotes(safe=serializer.safe)
        except UnserializableError as error:
            reasons.append(error)
            _empty(folder)
            continue
        except BaseException:
            _empty(folder)
            raise
        filename = _written(serializer, folder)
        if not notes.safe:
            _say_pickle(obj, serializer)
        packages = notes.packages | _packages_of(obj)
        return Payload(
            serializer.name, notes.format_version, filename, notes.safe, recorded(serializer.versions(), packages)
        )
    shown = type(obj).__qualname__
    if reasons:
        raise UnserializableError(f"an object of type {shown} cannot be stored: {reasons[-1]}") from reasons[-1]
    if format_hint is not None:
        raise UnserializableError(f"the format {format_hint!r} cannot store an object of type {shown}")
    raise UnserializableError(
        f"no serialiser takes an object of type {shown}",
        hint="install artfs[registry], or register one with register_serializer()",
    )


def _asked(obj: Any, format_hint: str | None) -> Iterator[Serializer]:
    if format_hint is not None:
        serializer = catalogue.find(format_hint)
        if serializer.accepts(obj):
            yield serializer
        return
    for serializer in catalogue.candidates():
        if serializer.accepts(obj):
            yield serializer


def _written(serializer: Serializer, folder: Path) -> str:
    """Return the name of the one file that was written, under which it now lies."""
    entries = list(os.scandir(folder))
    expected = payload_name(serializer.extension)
    if len(entries) != 1 or not entries[0].is_file(follow_symlinks=False):
        shown = ", ".join(sorted(entry.name for entry in entries)) or "nothing"
        raise UnserializableError(f"the serialiser {serializer.name!r} must write one file {expected}, not {shown}")
    if entries[0].name != expected:
        os.rename(entries[0].path, folder / expected)
    return expected


def _say_pickle(obj: Any, serializer: Serializer) -> None:
    name = f"{type(obj).__module__}.{type(obj).__qualname__}"
    if name not in _warned:
        _warned.add(name)
        warnings.warn(
            f"{name} is stored with {serializer.name}, which only this user can load without trust=True",
            PickleWarning,
            stacklevel=3,
        )


def _packages_of(obj: Any) -> frozenset[str]:
    return frozenset(base.__module__.partition(".")[0] for base in type(obj).__mro__)


def _empty(folder: Path) -> None:
    for entry in os.scandir(folder):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        else:
            os.unlink(entry.path)
