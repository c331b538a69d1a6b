"""Catalogue records: artifacts and projects, versions, aliases, drafts, runs and the edges of lineage.

JSON with a version number, sealed like every record: there are few of them, people may have to read one in an
emergency, and fields can be added without a migration.  Unknown fields are passed over.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Mapping
from dataclasses import MISSING, field, fields
from typing import Any, ClassVar, Final, Self

from artstore.arguments import shown_text, shown_value
from artstore.errors import DamageError, InvalidInputError
from artstore.ids import ID_LENGTH
from artstore.metadata import RESERVED, equal_metadata, reserved
from artstore.names import PENDING, is_pending
from artstore.records.trees import EARLIEST_NS, LATEST_NS
from artstore.values import value_class

__all__ = [
    "LONGEST_TTL",
    "AliasRecord",
    "ArtifactRecord",
    "CatalogueRecord",
    "DraftRecord",
    "EdgeRecord",
    "Metadata",
    "Name",
    "Number",
    "RunRecord",
    "VersionRecord",
    "check_items",
    "checked_metadata",
    "dump_json",
    "end_after",
    "load_json",
    "refuse_reserved",
]

_VERSION: Final = 1
LONGEST_TTL: Final = 1e10
"""Seconds, beyond which a time of expiry is taken for a mistake."""

DEEPEST_JSON: Final = 100
"""How deep the values in metadata are nested, at most."""

Metadata = Mapping[str, Any]
"""JSON values by name; artfs itself writes those whose name begins with ``artfs.``."""


def load_json(payload: bytes) -> Any:
    """Return the value of JSON that `dump_json` can have written; raise ValueError for anything else.

    That is: no number that JSON lacks or that is infinite, and no nesting that a later step cannot walk.
    """
    if payload.count(b"[") + payload.count(b"{") > DEEPEST_JSON:
        check_depth(payload)
    return _DECODER.decode(payload.decode())


def check_depth(payload: bytes) -> None:
    """Raise ValueError for JSON with values nested deeper than `DEEPEST_JSON`; brackets in texts do not count."""
    depth = 0
    for match in _BRACKETS.finditer(payload):
        depth += {b"[": 1, b"{": 1, b"]": -1, b"}": -1}.get(match[0], 0)
        if depth > DEEPEST_JSON:
            raise ValueError("nested too deeply")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is out of range")
    return number


def _unknown_constant(text: str) -> Any:
    raise ValueError(f"{text} is no JSON")


_BRACKETS: Final = re.compile(rb'[\[\]{}]|"(?:[^"\\]|\\.)*"', re.DOTALL)
_ENCODER: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=True, allow_nan=False)
_DECODER: Final = json.JSONDecoder(parse_float=_finite, parse_constant=_unknown_constant)


def dump_json(value: object) -> bytes:
    """Return compact JSON; raise `InvalidInputError` for what JSON lacks (NaN included) or `load_json` refuses."""
    try:
        payload = _ENCODER.encode(value).encode()
        if payload.count(b"[") + payload.count(b"{") > DEEPEST_JSON:
            check_depth(payload)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInputError(f"metadata must be JSON values: {error}") from error
    return payload


def checked_metadata(metadata: Metadata) -> dict[str, Any]:
    """Return metadata as it will be read back; raise `InvalidInputError` if JSON cannot hold it."""
    if not isinstance(metadata, Mapping):
        raise InvalidInputError(f"metadata must be a dictionary of names to values, not {shown_value(metadata)}")
    if not all(isinstance(key, str) for key in metadata):
        raise InvalidInputError("the keys in metadata must be strings")
    checked = load_json(dump_json(dict(metadata)))
    assert isinstance(checked, dict)
    return checked


def refuse_reserved(metadata: Metadata, kept: Metadata) -> None:
    """Raise `InvalidInputError` if a user's metadata have a reserved key with another value than ``kept`` has."""
    for key, value in reserved(metadata).items():
        if key not in kept or not equal_metadata({key: value}, {key: kept[key]}):
            raise InvalidInputError(
                f"the metadata key {shown_text(key)} is reserved: only artfs writes keys that begin with {RESERVED!r}",
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
Name = str
"""A text that is, or is a part of, the key of a row, so it must be UTF-8."""
Number = int
"""A number of 32 bits: of a version, a serial, or a mode."""

_LARGEST: Final = {"int": (1 << 63) - 1, "Number": (1 << 32) - 1}

Shape = Mapping[str, str]
"""The declared types of an object's values by key; a key that ends with ``?`` may be missing."""

_PURGE: Final[Shape] = {
    "reason": "str",
    "purged_ns": "int",
    "old_digest": "str",
    "path?": "str",
    "id?": "str",
    "more?": "int",
}
_PART: Final[Shape] = {"by": "str", "node": "int"}
_SAID: Final[Shape] = {
    "metadata?": "dict[str, Any]",
    "type?": "str | None",
    "description?": "str | None",
    "aliases?": "list[str]",
    "tags?": "list[str]",
    "included?": "list[int]",
    "runs?": "list[int]",
}
_ALIAS_CHANGE: Final[Shape] = {"alias": "str", "version": "Number | None", "at_ns": "int"}


def _checked(value: Any, declared: Any) -> Any:
    """Return a value checked against its field's declared type; raise `TypeError` or `ValueError` if invalid."""
    if declared == "bytes":
        value = bytes.fromhex(value)
        fits = len(value) == ID_LENGTH
    elif declared in _LARGEST:
        fits = type(value) is int and 0 <= value <= _LARGEST[declared]
    elif declared == "Name":
        fits = isinstance(value, str) and (value.isascii() or bool(value.encode()))
    elif declared == "Number | None":
        return value if value is None else _checked(value, "Number")
    elif declared == "FileTime":
        fits = type(value) is int and EARLIEST_NS <= value <= LATEST_NS
    elif declared.startswith("list["):
        inner = {"list[str]": str, "list[int]": int}.get(declared, dict)
        fits = isinstance(value, list) and all(isinstance(item, inner) for item in value)
    elif declared.startswith("dict["):
        fits = isinstance(value, dict)
    else:
        kind = bool if declared == "bool" else str
        fits = isinstance(value, kind) or (value is None and declared.endswith("None"))
    if not fits:
        raise ValueError(f"not {declared}")
    return value


def check_items(value: Any, shape: Shape) -> None:
    """Raise `TypeError` or `ValueError` unless an object, or each of a list, has the values that a shape declares.

    Values with other keys are free.
    """
    for item in value if isinstance(value, list) else [value]:
        for key, declared in shape.items():
            name = key.removesuffix("?")
            if name in item:
                _checked(item[name], declared)
            elif name == key:
                raise ValueError(f"without {name!r}")


_FIELDS: Final[dict[str, list[tuple[str, str, object]]]] = {}
"""By kind of records: (name, declared type, default) of each field; `MISSING` is no field's value."""


def _fields_of(kind: type[CatalogueRecord]) -> list[tuple[str, str, object]]:
    if kind.kind not in _FIELDS:
        _FIELDS[kind.kind] = [
            (each.name, str(each.type), each.default if each.default_factory is MISSING else each.default_factory())
            for each in fields(kind)
        ]
    return _FIELDS[kind.kind]


@value_class
class CatalogueRecord:
    """The shared part of the JSON records: to bytes and back."""

    kind: ClassVar[str]
    shapes: ClassVar[Mapping[str, Shape]] = {}
    """What the objects have that a field lists."""
    is_short: ClassVar[bool] = False
    """Whether a field that has its default is left out: of versions and artifacts most do, and there are many."""

    def encode(self) -> bytes:
        """Return the record as JSON, bytes fields as hex; raise `InvalidInputError` for what `decode` would refuse."""
        values: dict[str, Any] = {"_": _VERSION}
        for name, declared, default in _fields_of(type(self)):
            given = getattr(self, name)
            if type(given) is type(default) and given == default and self.is_short:
                continue
            value = given.hex() if isinstance(given, bytes) else given
            try:
                if isinstance(given, bytes) != (declared == "bytes"):
                    raise ValueError(f"not {declared}")
                _checked(value, declared)
                if name in self.shapes:
                    check_items(value, self.shapes[name])
            except (ValueError, TypeError):
                raise InvalidInputError(f"the {name} of the {self.kind} cannot be {shown_value(value)}") from None
            values[name] = value
        return dump_json(values)

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """Return the record that `encode` wrote; raise `DamageError` on anything else."""
        try:
            values = load_json(payload)
            if values.pop("_") != _VERSION:
                raise DamageError(f"a {cls.kind} record has an unknown version")
            known = cls.__dataclass_fields__
            for name, shape in cls.shapes.items():
                if values.get(name):
                    check_items(values[name], shape)
            return cls(**{name: _checked(value, known[name].type) for name, value in values.items() if name in known})
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise DamageError(f"a {cls.kind} record is malformed") from error


@value_class
class ArtifactRecord(CatalogueRecord):
    """An artifact, or a project: a component above artifacts.  ``number`` is never reused.

    ``alias_history`` has the last changes of its aliases: ``alias``, ``version`` (a number, or None) and ``at_ns``.
    ``next_pending`` is the n of the next pending version ``pn``, 0 if it never had one.
    """

    kind: ClassVar[str] = "artifact"
    is_short: ClassVar[bool] = True
    shapes: ClassVar[Mapping[str, Shape]] = {"alias_history": _ALIAS_CHANGE}
    number: int
    name: Name
    is_artifact: bool
    created_ns: int
    type: str | None = None
    next_version: Number = 0
    description: str = ""
    alias_history: list[dict[str, Any]] = field(default_factory=list)
    next_pending: Number = 0

    def has_given(self, number: int) -> bool:
        """Return whether a version's number, pending or not, is or was that of a version."""
        return number < (PENDING + self.next_pending if is_pending(number) else self.next_version)


@value_class
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
    ``path``, ``id``, ``reason``, ``purged_ns`` and the digest before.  ``origin`` is where the version comes from: the
    ``user``, ``host``, ``command`` and ``folder`` of the process that made it, and, if the folder put is in a git
    repository, its ``commit`` and whether files differ from it (``dirty``), None if unknown; {} if it was not recorded.
    ``former`` is the number that it had before a remote gave it another one, such as that of a pending version.
    """

    kind: ClassVar[str] = "version"
    is_short: ClassVar[bool] = True
    shapes: ClassVar[Mapping[str, Shape]] = {"purged": _PURGE}
    serial: Number
    artifact: int
    number: Number
    root: int
    digest: bytes
    form: bytes
    created_ns: int
    mtime_ns: FileTime
    mode: Number
    newest_ns: FileTime
    files: int
    bytes: int
    mount: Number
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
    origin: dict[str, Any] = field(default_factory=dict)
    former: Number | None = None

    @property
    def numbers(self) -> tuple[int, ...]:
        """The numbers by which mounts may have leased it: its own, and the former one."""
        return (self.number,) if self.former is None else (self.number, self.former)


@value_class
class AliasRecord(CatalogueRecord):
    """An alias of one version; moving it makes a new ``serial``, so that the link under the mount is a new inode."""

    kind: ClassVar[str] = "alias"
    serial: Number
    artifact: int
    name: Name
    version: Number
    set_ns: int


@value_class
class DraftRecord(CatalogueRecord):
    """A version being built; ``base`` is the serial of the version that it builds on, or 0.

    A put's draft lives as long as its process, which holds a lock file.  A draft with an ``id`` was opened by that name
    and lives for ``life_ns`` after the last step, at ``active_ns``: it started as the directory ``start``, is now the
    directory ``root``, and holds both; puts into it added ``new_bytes`` stored bytes.

    A draft that several programs build together also holds its ``parts``, one directory each: ``node``, and ``by``, its
    author; ``said`` is their description of the version, and ``source`` their name for it.
    """

    kind: ClassVar[str] = "draft"
    shapes: ClassVar[Mapping[str, Shape]] = {"parts": _PART, "said": _SAID}
    draft: int
    artifact: Name
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


@value_class
class RunRecord(CatalogueRecord):
    """A run: a process, or several one after another, that uses versions and makes others.

    ``id`` is unique in its project ("" for none).  ``state`` is ``running``, ``finished`` or ``failed``; a ``running``
    one whose lease is not held was killed.  ``settings`` are its other parameters.  ``steps`` counts the rows that it
    has logged, in ``blocks`` blocks of METRICS.
    """

    kind: ClassVar[str] = "run"
    number: int
    project: Name
    id: Name
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


@value_class
class EdgeRecord(CatalogueRecord):
    """The data of an edge of lineage; ``source`` and ``target`` are the names of its ends when it was made.

    ``name`` is the run's name for a version that it used: an alias, or ``v3``.
    """

    kind: ClassVar[str] = "lineage"
    at_ns: int
    source: str
    target: str
    name: str = ""
