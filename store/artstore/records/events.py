"""The events of the journal: one class for each kind, encoded to JSON objects and decoded.

An event holds only data that is valid in another workspace: no node, draft or artifact numbers.  Fields and keys are
in the same order.  A field with a default is left out of the object if it has that value.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any, ClassVar, Final, Self, dataclass_transform, get_args

from artstore.errors import DamageError
from artstore.records.catalogue import (
    ArtifactRecord,
    EdgeRecord,
    FileTime,
    Name,
    Number,
    RunRecord,
    VersionRecord,
    check_items,
)
from artstore.records.event_values import DECODERS

__all__ = [
    "AliasEvent",
    "ArtifactEvent",
    "CounterpartEvent",
    "DeleteEvent",
    "DescriptionEvent",
    "EdgeEvent",
    "Event",
    "MetricsEvent",
    "NumberEvent",
    "PurgeEvent",
    "RemoteEvent",
    "RenameEvent",
    "RetentionEvent",
    "RevisionEvent",
    "RunEvent",
    "TagsEvent",
    "TrackEvent",
    "TtlEvent",
    "TypeEvent",
    "UndeleteEvent",
    "VersionEvent",
    "decode",
    "kind_of",
]

Digest = str
"""A digest in hexadecimal digits."""
EndName = str
"""An end of an edge: ``v`` and a version's serial, or ``r`` and a run's number."""

Uuid = str
"""A uuid of 16 bytes in hexadecimal digits."""
Way = str
"""``pushed`` or ``pulled``."""
Access = str
"""``write``, ``read`` or ``anonymous``."""


@dataclass_transform(kw_only_default=True, frozen_default=True)
class _Event:
    """The shared part of the events: frozen values with keyword arguments.

    They are not dataclasses: to generate code for all of them takes a twentieth of the time of a short command.
    """

    event_kind: ClassVar[str]
    keys: ClassVar[Mapping[str, str]] = {}
    """The keys of fields whose key is not their name."""
    fields: ClassVar[Mapping[str, str]] = {}
    """The declared type of each field, in their order; the default of a field is an attribute of the class."""

    def __init_subclass__(cls) -> None:
        cls.fields = {name: kind for name, kind in cls.__annotations__.items() if not kind.startswith("ClassVar")}

    def __init__(self, **values: Any) -> None:
        kind = type(self)
        unknown = values.keys() - kind.fields.keys()
        lacking = [name for name in kind.fields if name not in values and not hasattr(kind, name)]
        if unknown or lacking:
            raise TypeError(f"{kind.__name__} has no {sorted(unknown)}" if unknown else f"it lacks {lacking}")
        self.__dict__.update(values)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} cannot be changed")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} cannot be changed")

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self._values() == other._values()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self._values().items())})"

    def _values(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.fields}

    def with_values(self, **values: Any) -> Self:
        """Return the event with other values of some fields."""
        return type(self)(**{**self._values(), **values})

    def encode(self) -> dict[str, Any]:
        """Return the JSON object that the journal keeps."""
        kind = type(self)
        values: dict[str, Any] = {"event": kind.event_kind}
        for name, value in self._values().items():
            if not hasattr(kind, name) or value != getattr(kind, name):
                values[kind.keys.get(name, name)] = _encoded(value)
        return values


class ArtifactEvent(_Event):
    """An artifact as it is when a journal is rewritten; ``next_serial`` is the workspace's next serial."""

    event_kind: ClassVar[str] = "artifact"
    name: Name
    type: str | None
    next_version: int
    next_serial: int
    created_ns: int
    description: str
    next_pending: Number = 0

    @classmethod
    def of(cls, record: ArtifactRecord, next_serial: int) -> Self:
        """Return the event for a record of the catalogue."""
        return cls(
            name=record.name,
            type=record.type,
            next_version=record.next_version,
            next_serial=next_serial,
            created_ns=record.created_ns,
            description=record.description,
            next_pending=record.next_pending,
        )


class VersionEvent(_Event):
    """A version was made: the data for a rebuild, without the numbers that a rebuild assigns."""

    event_kind: ClassVar[str] = "version"
    name: Name
    serial: Number
    number: Number
    digest: Digest
    form: Digest
    created_ns: int
    mtime_ns: FileTime
    mode: Number
    newest_ns: FileTime
    description: str
    metadata: dict[str, Any]
    base: str | None
    draft: str = ""
    origin: dict[str, Any] | None = None
    former: Number | None = None

    @classmethod
    def of(cls, name: str, record: VersionRecord) -> Self:
        """Return the event for a record of the catalogue, whose artifact has ``name``."""
        return cls(
            name=name,
            serial=record.serial,
            number=record.number,
            digest=record.digest.hex(),
            form=record.form.hex(),
            created_ns=record.created_ns,
            mtime_ns=record.mtime_ns,
            mode=record.mode,
            newest_ns=record.newest_ns,
            description=record.description,
            metadata=record.metadata,
            base=record.base,
            draft=record.draft,
            origin=record.origin or None,
            former=record.former,
        )


class NumberEvent(_Event):
    """A version has the number that a remote gave it, and its aliases follow; the label of a pending one stays too."""

    event_kind: ClassVar[str] = "number"
    name: Name
    version: Number
    number: Number


class DeleteEvent(_Event):
    """A version was deleted; ``aliases`` are those that named it, ``reason`` the retention rule that applied."""

    event_kind: ClassVar[str] = "delete"
    name: Name
    version: Number
    serial: Number | None = None
    due_ns: int | None = None
    aliases: list[str]
    reason: str | None = None


class UndeleteEvent(_Event):
    """A deleted version came back."""

    event_kind: ClassVar[str] = "undelete"
    name: Name
    version: Number


class RevisionEvent(_Event):
    """A version has another description or other metadata; both are as they are after the change.

    It was made at ``at_ns`` by ``by``: ``USER@HOST``, or "" if origins are not recorded.
    """

    event_kind: ClassVar[str] = "revision"
    name: Name
    version: Number
    description: str
    metadata: dict[str, Any]
    at_ns: int = 0
    by: str = ""


class TtlEvent(_Event):
    """A version expires at a time of its own, or (0) no longer does."""

    event_kind: ClassVar[str] = "ttl"
    name: Name
    version: Number
    expires_ns: int


class PurgeEvent(_Event):
    """Content was purged from a version; ``purged`` are the new entries of `VersionRecord.purged`.

    ``form`` is the new root's form id, and ``mount`` the version's new mount serial.
    """

    event_kind: ClassVar[str] = "purge"
    name: Name
    version: Number
    serial: Number | None = None
    digest: Digest
    form: Digest
    mount: Number
    old_digest: Digest | None = None
    purged: list[dict[str, Any]]


class AliasEvent(_Event):
    """An alias names a version, or (None) none any longer."""

    event_kind: ClassVar[str] = "alias"
    name: Name
    alias: Name
    version: Number | None


class TagsEvent(_Event):
    """A version has these tags."""

    event_kind: ClassVar[str] = "tags"
    name: Name
    version: Number
    tags: list[str]


class TypeEvent(_Event):
    """An artifact has another type."""

    event_kind: ClassVar[str] = "type"
    name: Name
    type: str | None


class DescriptionEvent(_Event):
    """An artifact has another description."""

    event_kind: ClassVar[str] = "description"
    name: Name
    description: str


class RenameEvent(_Event):
    """An artifact has the name ``to``, with all its versions."""

    event_kind: ClassVar[str] = "rename"
    name: Name
    to: Name


class RetentionEvent(_Event):
    """The workspace has these retention rules, and no others."""

    event_kind: ClassVar[str] = "retention"
    rules: list[dict[str, Any]]


class RunEvent(_Event):
    """The whole record of a run, as it is after a change."""

    event_kind: ClassVar[str] = "run"
    record: RunRecord


class MetricsEvent(_Event):
    """A run logged a block of metrics; ``data`` is the block as the table METRICS keeps it."""

    event_kind: ClassVar[str] = "metrics"
    run: int
    block: Number
    data: bytes


class EdgeEvent(_Event):
    """An edge of lineage was made."""

    event_kind: ClassVar[str] = "edge"
    keys: ClassVar[Mapping[str, str]] = {"source": "from", "target": "to"}
    source: EndName
    kind: str
    target: EndName
    record: EdgeRecord


class RemoteEvent(_Event):
    """A remote is known by a name and a URL, or (None) is forgotten, with all that tracked it.

    ``access`` is ``read`` for one that nothing is written to, ``anonymous`` if it is also read without credentials.
    """

    event_kind: ClassVar[str] = "remote"
    uuid: Uuid
    name: Name | None
    url: str = ""
    access: Access = "write"
    added_ns: int = 0


class TrackEvent(_Event):
    """An artifact tracks an artifact of a remote."""

    event_kind: ClassVar[str] = "track"
    name: Name
    remote: Uuid
    artifact: Uuid


class CounterpartEvent(_Event):
    """A version is ``number`` of an artifact of a remote; ``way`` is ``pushed``, ``pulled``, or ``none``: no longer."""

    event_kind: ClassVar[str] = "counterpart"
    name: Name
    version: Number
    remote: Uuid
    uuid: Uuid
    number: Number
    way: Way


Event = (
    ArtifactEvent
    | VersionEvent
    | DeleteEvent
    | UndeleteEvent
    | RevisionEvent
    | TtlEvent
    | PurgeEvent
    | AliasEvent
    | TagsEvent
    | TypeEvent
    | DescriptionEvent
    | RenameEvent
    | RetentionEvent
    | RunEvent
    | MetricsEvent
    | EdgeEvent
    | RemoteEvent
    | TrackEvent
    | CounterpartEvent
    | NumberEvent
)
"""Any event; `decode` knows just these, and type checkers see where one of them is not handled."""


def kind_of(values: Mapping[str, Any]) -> type[Event] | None:
    """Return the class of the event that a JSON object of the journal is, without decoding it; None if it is none."""
    name = values.get("event")
    form = _FORMS.get(name) if isinstance(name, str) else None
    return None if form is None else form[0]


def decode(values: Mapping[str, Any]) -> Event:
    """Return the event that a JSON object of the journal is; raise `DamageError` if it is none."""
    try:
        return _decode(values)
    except (KeyError, TypeError, ValueError, AttributeError, DamageError, RecursionError) as error:
        reason = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise DamageError(f"invalid event {values}: {reason}") from error


def _decode(values: Mapping[str, Any]) -> Event:
    form = _FORMS.get(values["event"])
    if form is None:
        raise ValueError(f"{values['event']!r} is not a kind of event")
    kind, known = form
    given = {}
    for name, key, declared, is_optional in known:
        if is_optional and key not in values:
            continue
        value = values[key]
        decoder, fits = DECODERS[declared]
        try:
            given[name] = decoder(value)
        except (TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"its {key!r} is not {fits}") from error
    for name, key, _, is_optional in known:
        if is_optional and name in given and given[name] == getattr(kind, name):
            raise ValueError(f"its {key!r} has the value that is left out")
    if len(given) + 1 != len(values):
        unknown = values.keys() - {key for _, key, _, _ in known} - {"event"}
        raise ValueError(f"it has the unknown keys {sorted(unknown)}")
    event: Event = kind(**given)
    if isinstance(event, PurgeEvent):
        check_items(event.purged, VersionRecord.shapes["purged"])
    return event


# -- values ------------------------------------------------------------------------------------------------------------


def _encoded(value: object) -> object:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return json.loads(value.encode()) if isinstance(value, RunRecord | EdgeRecord) else value


_FORMS: Final = {
    kind.event_kind: (
        kind,
        [(name, kind.keys.get(name, name), declared, hasattr(kind, name)) for name, declared in kind.fields.items()],
    )
    for kind in get_args(Event)
}
"""For each kind: its class, and (name, key, declared type, whether it may be missing) of its fields."""
