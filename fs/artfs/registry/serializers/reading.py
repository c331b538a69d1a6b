"""Loading a payload: trust first, then the digest, then versions, then the serialiser of its format."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Mapping
from typing import Any, BinaryIO, Final

from blake3 import blake3

from artfs.registry import trust as own
from artfs.registry.serializers import catalogue
from artfs.registry.serializers.embedding import load_payload
from artfs.registry.serializers.errors import MalformedPayloadError, UntrustedError, VersionMismatchError
from artfs.registry.serializers.protocol import Reading
from artfs.registry.serializers.versions import check_mismatch
from artstore.arguments import texts
from artstore.errors import ArtfsError, DamageError

__all__ = ["DATA_FORMATS", "deserialize", "digest_of", "trusted_names"]

_STEP: Final = 1 << 20
_IN_MEMORY: Final = 1 << 20
"""Bytes of a payload up to which it is read at once: a small estimator's archive is read in hundreds of pieces."""
DATA_FORMATS: Final = frozenset({"json", "npy", "onnx", "safetensors"})
"""Formats whose payloads are data, so that no signature makes a difference."""


def deserialize(
    file: BinaryIO,
    format_name: str,
    *,
    format_version: str = "",
    content_hash: str = "",
    versions: Mapping[str, str] | None = None,
    mac: str | None = None,
    trusted: Iterable[str | type] | str | type = (),
    trust: bool = False,
    on_mismatch: str = "warn",
    into: Any = None,
    label: str = "the payload",
    seen: set[str] | None = None,
) -> Any:
    """Return the object in the seekable file *file*, whose bytes must not change meanwhile.

    *content_hash* (``blake3:`` or ``sha256:`` and hexadecimal digits) is compared with the bytes first.  A format that
    is not safe needs a *mac* of this user's, or *trust*.  *trusted* has full names of types and functions, or types.
    *into* is a module into which tensors are loaded.  *label* names the payload in messages; *seen* keeps the libraries
    that were warned of.

    Raises `UntrustedError`, `DamageError`, `UnknownFormatError`, `MissingLibraryError`, `MalformedPayloadError`, or
    `VersionMismatchError` if the versions differ and *on_mismatch* is ``"error"`` or loading fails.
    """
    serializer = catalogue.find(format_name)
    names = trusted_names(trusted)
    stream = io.BufferedReader(file, _STEP) if isinstance(file, io.RawIOBase) else file
    pickled = not serializer.safe
    head = stream.read(
        -1 if pickled else _IN_MEMORY + 1
    )  # of pickles, the bytes that are checked must be those that run
    if pickled or len(head) <= _IN_MEMORY:
        stream = io.BytesIO(head)
    else:
        stream.seek(0)
    _check_digest(stream, content_hash, label)
    vouched = trust or (
        serializer.name not in DATA_FORMATS and bool(content_hash) and own.is_own(format_name, content_hash, mac)
    )
    if pickled and not vouched:
        raise UntrustedError(
            f"{label} is a {format_name} payload that this user did not write: loading it can run any code",
            hint="examine where it comes from; 'artfs registry trust' signs it, trust=True loads it once",
        )
    differences = check_mismatch(versions or {}, on_mismatch, label, seen)
    reading = Reading(format_version, names, vouched, into, label)
    try:
        return load_payload(serializer, stream, reading)
    except ArtfsError as error:
        if not differences or isinstance(error, UntrustedError):
            raise
        raise _mismatch(label, differences, error) from error
    except Exception as error:
        if differences:
            raise _mismatch(label, differences, error) from error
        raise MalformedPayloadError(f"{label} cannot be loaded: {type(error).__name__}: {_short(error)}") from error


def digest_of(stream: BinaryIO, algorithm: str = "blake3") -> str:
    """Return the digest of a seekable file as ``ALGORITHM:HEX``, and seek to its beginning."""
    hasher: Any = blake3() if algorithm == "blake3" else hashlib.new(algorithm)
    stream.seek(0)
    while block := stream.read(_STEP):
        hasher.update(block)
    stream.seek(0)
    return f"{algorithm}:{hasher.hexdigest()}"


def _check_digest(stream: BinaryIO, content_hash: str, label: str) -> None:
    if not content_hash:
        return
    algorithm, _, expected = content_hash.partition(":")
    if algorithm not in ("blake3", "sha256") or not expected:
        raise MalformedPayloadError(f"{label} has a digest of an unknown kind: {content_hash[:80]!r}")
    if digest_of(stream, algorithm) != content_hash:
        raise DamageError(f"the payload of {label} does not have its digest", hint="restore it from another copy")


def trusted_names(trusted: Iterable[str | type] | str | type) -> frozenset[str]:
    """Return the full names of types and functions that a caller trusts; each is given by name or itself."""
    entries: Any = [trusted] if isinstance(trusted, type) else trusted
    if isinstance(entries, Iterable) and not isinstance(entries, str | bytes | Mapping):
        entries = [f"{each.__module__}.{each.__qualname__}" if callable(each) else each for each in entries]
    return frozenset(texts(entries, "trusted"))


def _mismatch(label: str, differences: str, error: Exception) -> VersionMismatchError:
    return VersionMismatchError(
        f"{label} was stored with {differences}, and loading it failed: {_short(error)}",
        hint="install those versions, or register the object again",
    )


def _short(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 120 else text[:117] + "..."
