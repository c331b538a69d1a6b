"""Payloads: an object in a file of its own, with its digest."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

__all__ = ["Written", "digest_of", "written_payload"]

_PIECE: Final = 1 << 20


class Written(NamedTuple):
    """A payload in a file: what the serialiser says of it, its digest and its size."""

    file: Path
    format: str
    format_version: str
    libraries: dict[str, str]
    mac: str | None
    content_hash: str
    size: int


def digest_of(file: Path) -> str:
    """Return the digest of a file, as records have it."""
    from blake3 import blake3

    hasher = blake3()
    with file.open("rb") as stream:
        while piece := stream.read(_PIECE):
            hasher.update(piece)
    return f"blake3:{hasher.hexdigest()}"


@contextmanager
def written_payload(obj: Any, format_hint: str | None) -> Iterator[Written]:
    """Write an object into a temporary folder, which is removed at the end."""
    from artfs.registry.serializers import serialize

    with tempfile.TemporaryDirectory(prefix="artfs-registry-") as folder:
        payload = serialize(obj, Path(folder), format_hint)
        file = Path(folder) / payload.filename
        digest = digest_of(file)
        mac = None
        if not payload.safe:
            from artfs.registry.trust import sign

            mac = sign(payload.format, digest)
        yield Written(
            file, payload.format, payload.format_version, dict(payload.versions), mac, digest, file.stat().st_size
        )
