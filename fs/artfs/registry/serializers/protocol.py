"""The protocol of serialisers, and the values that pass through it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol, runtime_checkable

__all__ = ["DumpNotes", "Payload", "Reading", "Serializer", "StreamSerializer", "payload_name"]


@runtime_checkable
class Serializer(Protocol):
    """Writes objects of some kinds into a folder, and reads them back.

    ``name`` is the format in records, ``extension`` that of the file ``payload.EXTENSION``, and ``safe`` whether
    loading a hostile payload can neither run code nor harm the process.  What is not safe is loaded only if this user
    wrote it, or with ``trust=True``.
    """

    name: str
    extension: str
    safe: bool

    def accepts(self, obj: Any) -> bool:
        """Return whether `dump` can be expected to store *obj*; imports no library that is not yet imported."""
        ...

    def dump(self, obj: Any, folder: Path) -> DumpNotes | None:
        """Write one file, ``payload.EXTENSION``, into an empty folder; raise `UnserializableError` to pass."""
        ...

    def load(self, folder: Path, trusted: Sequence[str]) -> Any:
        """Return the object; *trusted* has the full names of types and functions that the caller trusts in addition."""
        ...

    def versions(self) -> Mapping[str, str]:
        """Return the versions of the libraries on which the format depends, by the names of their distributions."""
        ...


@dataclass(frozen=True, slots=True)
class DumpNotes:
    """What a serialiser knows after writing: the format's version, packages of the object, and whether it is safe."""

    format_version: str = ""
    packages: frozenset[str] = frozenset()
    """Top-level import names, such as ``sklearn``."""
    safe: bool = True


@dataclass(frozen=True, slots=True)
class Reading:
    """How to read a payload: what the record says of it, and what the caller allows."""

    format_version: str = ""
    trusted: frozenset[str] = frozenset()
    trust: bool = False
    """The caller, or a valid MAC, vouches for the payload: it may do anything."""
    into: Any = None
    label: str = "the payload"


class StreamSerializer(Protocol):
    """A serialiser that reads from a seekable file, so that a payload of a version need not be copied to a folder."""

    def load_stream(self, stream: BinaryIO, reading: Reading) -> Any:
        """Return the object in *stream*."""
        ...


class Payload(NamedTuple):
    """A payload that was written: ``filename`` is that in the folder, ``versions`` those of the libraries."""

    format: str
    format_version: str
    filename: str
    safe: bool
    versions: dict[str, str]


def payload_name(extension: str) -> str:
    """Return the name of a payload's file."""
    return f"payload.{extension}"
