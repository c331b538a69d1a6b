"""Catalogue records: artifacts and projects, versions, aliases, drafts, runs and the edges of lineage.

JSON with a version number, sealed like every record: there are few of them, people may have to read one in an
emergency, and fields can be added without a migration.  Unknown fields are passed over.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Final, Self

from artstore.arguments import shown_text, shown_value
from artstore.errors import DamageError, InvalidInputError
from artstore.ids import ID_LENGTH
from artstore.metadata import equal_metadata
from artstore.records.trees import EARLIEST_NS, LATEST_NS

__all__ = [
    "LONGEST_TTL",
    "AliasRecord",
    "ArtifactRecord",
    "CatalogueRecord",
    "DraftRecord",
    "EdgeRecord",
    "Metadata",
    "RunRecord",
    "VersionRecord",
    "checked_metadata",
    "end_after",
    "refuse_reserved",
    "reserved",
]

_VERSION: Final = 1
LONGEST_TTL: Final = 1e10
"""Seconds, beyond which a time of expiry is taken for a mistake."""

_RESERVED: Final = "artfs."

Metadata = Mapping[str, Any]
"""JSON values by name; artfs itself writes those whose name begins with ``artfs.``."""


def dump_json(value: object) -> bytes:
    """Return compact JSON; raise `InvalidInputError` for what JSON cannot hold (NaN included)."""
    try:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise InvalidInputError(f"metadata must be JSON values: {error}") from error


def checked_metadata(metadata: Metadata) -> dict[str, Any]:
    """Return metadata as it will be read back; raise `InvalidInputError` if JSON cannot hold it."""
    if not isinstance(metadata, Mapping):
        raise InvalidInputError(f"metadata must be a dictionary of names to values, not {shown_value(metadata)}")
    if not all(isinstance(key, str) for key in metadata):
        raise InvalidInputError("the keys in metadata must be strings")
    checked = json.loads(dump_json(dict(metadata)))
    assert isinstance(checked, dict)
    return checked


def reserved(metadata: Metadata) -> dict[str, Any]:
    """Return the part of metadata that artfs itself wrote."""
    return {key: value for key, value in metadata.items() if key.startswith(_RESERVED)}


def refuse_reserved(metadata: Metadata, kept: Metadata) -> None:
    """Raise `InvalidInputError` if a user's metadata have a reserved key with another value than ``kept`` has."""
    for key, value in reserved(metadata).items():
        if key not in kept or not equal_metadata({key: value}, {key: kept[key]}):
            raise InvalidInputError(
                f"the metadata key {shown_text(key)} is reserved: only artfs writes keys that begin with {_RESERVED!r}",
                hint="use another name for it",
            )


def end_after(seconds: float) -> int:
    """Return the moment so many seconds from now, in nanoseconds since 1970; raise `InvalidInputError` for the past."""
    if not 0 < seconds < LONGEST_TTL:
        raise InvalidInputError(
            f"the expiry time must be in the future, not {seconds:g} seconds from now", hint="such as 12h or 30d"
        )
    return time.time_ns() + int(seconds * 1e9)


FileTime = int
"""A modification time in ns since 1970, of 64 bits with a sign."""

_LARGEST_NUMBER: Final = (1 << 63) - 1


def _checked(value: Any, declared: Any) -> Any:
    """Return a value checked against its field's declared type; raise `TypeError` or `ValueError` if invalid."""
    if declared == "bytes":
        value = bytes.fromhex(value)
        fits = len(value) == ID_LENGTH
    elif declared == "int":
        fits = type(value) is int and 0 <= value <= _LARGEST_NUMBER
    elif declared == "FileTime":
        fits = type(value) is int and EARLIEST_NS <= value <= LATEST_NS
    elif declared.startswith("list["):
        inner = str if declared == "list[str]" else dict
        fits = isinstance(value, list) and all(isinstance(item, inner) for item in value)
    elif declared.startswith("dict["):
        fits = isinstance(value, dict)
    else:
        kind = bool if declared == "bool" else str
        fits = isinstance(value, kind) or (value is None and declared.endswith("None"))
    if not fits:
        raise ValueError(f"not {declared}")
    return value


@dataclass(frozen=True, slots=True)
class CatalogueRecord:
    """The shared part of the JSON records: to bytes and back."""

    kind: ClassVar[str]

    def encode(self) -> bytes:
        """Return the record as JSON, bytes fields as hex; raise `InvalidInputError` for what `decode` would refuse."""
        given = asdict(self)
        values = {name: value.hex() if isinstance(value, bytes) else value for name, value in given.items()}
        for name, value in values.items():
            declared = self.__dataclass_fields__[name].type
            try:
                if isinstance(given[name], bytes) != (declared == "bytes"):
                    raise ValueError(f"not {declared}")
                _checked(value, declared)
            except (ValueError, TypeError):
                raise InvalidInputError(f"the {name} of the {self.kind} cannot be {shown_value(value)}") from None
        return dump_json({"_": _VERSION, **values})

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """Return the record that `encode` wrote; raise `DamageError` on anything else."""
        try:
            values = json.loads(payload)
            if values.pop("_") != _VERSION:
                raise DamageError(f"a {cls.kind} record has an unknown version")
            known = cls.__dataclass_fields__
            return cls(**{name: _checked(value, known[name].type) for name, value in values.items() if name in known})
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise DamageError(f"a {cls.kind} record is malformed") from error


@dataclass(frozen=True, slots=True)
class ArtifactRecord(CatalogueRecord):
    """An artifact, or a project: a component above artifacts.  ``number`` is never reused.

    ``alias_history`` has the last changes of its aliases: ``alias``, ``version`` (a number, or None) and ``at_ns``.
    """

    kind: ClassVar[str] = "artifact"
    number: int
    name: str
    is_artifact: bool
    created_ns: int
    type: str | None = None
    next_version: int = 0
    description: str = ""
    alias_history: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class VersionRecord(CatalogueRecord):
    """A version: its tree, its description and its cost.

    ``serial`` is global, ``number`` counts within the artifact; neither is reused.  ``mount`` is the serial that inode
    numbers under a mount contain: the version's own until content is purged from it, then another one.  ``root`` is the
    node number of the root record, ``digest`` its digest and ``form`` its form id; ``mtime_ns`` and ``mode`` are the
    root directory's own.  ``newest_ns`` is the latest modification time that this version or an earlier one shows.
    ``files`` and ``bytes`` count what a reader sees; ``new_bytes`` are the stored bytes that its put added.
    ``base`` is the version that it builds on, as ``NAME:vN``, and ``draft`` its open draft before the commit.

    ``state`` is ``live`` or ``deleted``.  A deleted version was deleted at ``deleted_ns``, is ``entry`` of the deadlist
    due at ``due_ns``, and gets ``released_aliases`` back when it is undeleted; ``reason`` is the rule that deleted it.
    A live one with ``expires_ns`` expires at that time.  ``purged`` lists content that was removed permanently:
    ``path``, ``id``, ``reason``, ``purged_ns`` and the digest before.
    """

    kind: ClassVar[str] = "version"
    serial: int
    artifact: int
    number: int
    root: int
    digest: bytes
    form: bytes
    created_ns: int
    mtime_ns: FileTime
    mode: int
    newest_ns: FileTime
    files: int
    bytes: int
    mount: int
    new_bytes: int = 0
    type: str | None = None
    description: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)
    tags: list[str] = field(default_factory=list)
    base: str | None = None
    state: str = "live"
    deleted_ns: int = 0
    due_ns: int = 0
    entry: int = 0
    released_aliases: list[str] = field(default_factory=list)
    draft: str = ""
    purged: list[dict[str, Any]] = field(default_factory=list)
    expires_ns: int = 0
    reason: str = ""


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
    """A version being built; ``base`` is the serial of the version that it builds on, or 0.

    A put's draft lives as long as its process, which holds a lock file.  A draft with an ``id`` was opened by that name
    and lives for ``life_ns`` after the last step, at ``active_ns``: it started as the directory ``start``, is now the
    directory ``root``, and holds both; puts into it added ``new_bytes`` stored bytes.

    A draft that several programs build together also holds its ``parts``, one directory each: ``node``, and ``by``, its
    author; ``said`` is their description of the version, and ``source`` their name for it.
    """

    kind: ClassVar[str] = "draft"
    draft: int
    artifact: str
    created_ns: int
    pid: int
    source: str = ""
    base: int = 0
    id: str = ""
    start: int = 0
    root: int = 0
    active_ns: int = 0
    life_ns: int = 0
    new_bytes: int = 0
    parts: list[dict[str, Any]] = field(default_factory=list)
    said: dict[str, Any] = field(default_factory=dict)

    @property
    def held(self) -> frozenset[int]:
        """The directories that an open draft holds."""
        return frozenset((self.start, self.root, *(part["node"] for part in self.parts)))

    @property
    def expires_ns(self) -> int:
        """When an open draft expires."""
        return self.active_ns + self.life_ns


@dataclass(frozen=True, slots=True)
class RunRecord(CatalogueRecord):
    """A run: a process, or several one after another, that uses versions and makes others.

    ``id`` is unique in its project ("" for none).  ``state`` is ``running``, ``finished`` or ``failed``; a ``running``
    one whose lease is not held was killed.  ``settings`` are its other parameters.  ``steps`` counts the rows that it
    has logged, in ``blocks`` blocks of METRICS.
    """

    kind: ClassVar[str] = "run"
    number: int
    project: str
    id: str
    created_ns: int
    name: str = ""
    job_type: str = ""
    group: str = ""
    state: str = "running"
    finished_ns: int = 0
    config: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    tags: list[str] = field(default_factory=list)
    notes: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    pid: int = 0
    steps: int = 0
    blocks: int = 0

    @property
    def title(self) -> str:
        """``PROJECT/ID``, or the id alone."""
        return f"{self.project}/{self.id}" if self.project else self.id


@dataclass(frozen=True, slots=True)
class EdgeRecord(CatalogueRecord):
    """The data of an edge of lineage; ``source`` and ``target`` are the names of its ends when it was made.

    ``name`` is the run's name for a version that it used: an alias, or ``v3``.
    """

    kind: ClassVar[str] = "lineage"
    at_ns: int
    source: str
    target: str
    name: str = ""
