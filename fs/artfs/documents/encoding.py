"""What every document shares: its schema, its encoding as JSON, and how names and times appear in it.

A document is a frozen dataclass whose fields are the keys of a JSON object, in their order.  Documents are plain data,
and hold what JSON needs: names of files as text, times as datetimes, records inside records.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import field, fields
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Final, Self

__all__ = ["Document", "Record", "encode", "exact_name", "from_nanoseconds", "omittable", "timestamp", "to_json"]

_OMITTABLE: Final = "omittable"


def omittable() -> Any:
    """Return a dataclass field whose key is left out of the JSON object if it is None."""
    return field(default=None, metadata={_OMITTABLE: True})


class Record:
    """A JSON object inside a document: the base of frozen dataclasses."""

    __slots__ = ()

    @classmethod
    def from_attributes(cls, source: object, **others: Any) -> Self:
        """Return a record that takes each field that ``others`` lacks from the source's attribute of that name."""
        names = [item.name for item in fields(cls) if item.name not in others]  # type: ignore[arg-type]
        return cls(**{name: getattr(source, name) for name in names}, **others)


class Document(Record):
    """A whole JSON document: a record with the name and number of its shape under ``"schema"``."""

    __slots__ = ()
    schema: ClassVar[str]


def encode(document: Document) -> dict[str, Any]:
    """Return the JSON object of a document, ``"schema"`` first."""
    return {"schema": document.schema, **_object(document)}


def to_json(document: Document) -> str:
    """Return the text of a document, in ASCII, so that every name survives every locale."""
    return json.dumps(encode(document), ensure_ascii=True, allow_nan=False, indent=2)


def _object(record: Record) -> dict[str, Any]:
    values = {}
    for item in fields(record):  # type: ignore[arg-type]  # every record is a dataclass
        value = getattr(record, item.name)
        if value is not None or _OMITTABLE not in item.metadata:
            # A key that is a keyword of Python has an underscore behind it here.
            values[item.name.removesuffix("_")] = _value(value)
    return values


def _value(value: Any) -> Any:
    if isinstance(value, Record):
        return _object(value)
    if isinstance(value, datetime):
        return timestamp(value)
    if isinstance(value, Mapping):
        return {key: _value(each) for key, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_value(each) for each in value]
    return value


def exact_name(raw: bytes) -> str:
    """Return a file's name or path as JSON carries it: UTF-8, and what is not as lone surrogates, in any locale."""
    return raw.decode("utf-8", "surrogateescape")


def timestamp(moment: datetime, *, seconds: bool = False) -> str:
    """Return the moment in ISO 8601 in UTC with ``Z``: to the microsecond, or for people to the second."""
    text = moment.astimezone(UTC).isoformat(timespec="seconds" if seconds else "microseconds")
    return text.removesuffix("+00:00") + "Z"


def from_nanoseconds(nanoseconds: int) -> datetime:
    """Return the moment so many nanoseconds after the Unix epoch, to the microsecond."""
    return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=nanoseconds // 1000)
