"""Catalogue records: artifacts and projects, versions, aliases and drafts.

JSON with a version number, sealed like every record: there are few of them, people may have to read one in an
emergency, and fields can be added without a migration.  Unknown fields are passed over.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Final, Self

from artstore.errors import DamageError, InvalidInputError

__all__ = ["AliasRecord", "ArtifactRecord", "CatalogueRecord", "DraftRecord", "Metadata", "VersionRecord"]

_VERSION: Final = 1

Metadata = Mapping[str, Any]
"""JSON values by name."""


def dump_json(value: object) -> bytes:
    """Return compact JSON; raise `InvalidInputError` for what JSON cannot hold (NaN included)."""
    try:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise InvalidInputError(f"metadata must be JSON values: {error}") from error


@dataclass(frozen=True, slots=True)
class CatalogueRecord:
    """The shared part of the JSON records: to bytes and back."""

    kind: ClassVar[str]

    def encode(self) -> bytes:
        """Return the record as JSON; bytes fields as hex."""
        values = {name: value.hex() if isinstance(value, bytes) else value for name, value in asdict(self).items()}
        return dump_json({"_": _VERSION, **values})

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """Return the record that `encode` wrote; raise `DamageError` on anything else."""
        try:
            values = json.loads(payload)
            if values.pop("_") != _VERSION:
                raise DamageError(f"a {cls.kind} record has an unknown version")
            known = cls.__dataclass_fields__
            return cls(
                **{
                    name: bytes.fromhex(value) if known[name].type == "bytes" else value
                    for name, value in values.items()
                    if name in known
                }
            )
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise DamageError(f"a {cls.kind} record is malformed") from error


@dataclass(frozen=True, slots=True)
class ArtifactRecord(CatalogueRecord):
    """An artifact, or a project: a component above artifacts.  ``number`` is never reused."""

    kind: ClassVar[str] = "artifact"
    number: int
    name: str
    is_artifact: bool
    created_ns: int
    type: str | None = None
    next_version: int = 0
    description: str = ""


@dataclass(frozen=True, slots=True)
class VersionRecord(CatalogueRecord):
    """A version: its tree, what was said of it, and what it cost.

    ``serial`` is global, ``number`` counts within the artifact; neither is reused.  ``root`` is the node number of the
    root record and ``digest`` its digest.  ``files`` and ``bytes`` count what a reader sees; ``new_bytes`` are the
    stored bytes that its put added.  ``base`` is the version it was laid over, as ``NAME:vN``.
    """

    kind: ClassVar[str] = "version"
    serial: int
    artifact: int
    number: int
    root: int
    digest: bytes
    created_ns: int
    files: int
    bytes: int
    new_bytes: int = 0
    type: str | None = None
    description: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)
    tags: list[str] = field(default_factory=list)
    base: str | None = None
    state: str = "live"


@dataclass(frozen=True, slots=True)
class AliasRecord(CatalogueRecord):
    """An alias of one version; moving it makes a new ``serial``, so that the link under the mount is a new inode."""

    kind: ClassVar[str] = "alias"
    serial: int
    artifact: int
    name: str
    version: int
    set_ns: int


@dataclass(frozen=True, slots=True)
class DraftRecord(CatalogueRecord):
    """A version being built, and the lock file that its process holds while it lives."""

    kind: ClassVar[str] = "draft"
    draft: int
    artifact: str
    created_ns: int
    pid: int
    source: str = ""
