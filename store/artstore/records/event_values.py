"""The values in events of the journal: for each declared type, the function that reads it from JSON."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from typing import Any, Final

from artstore.records.catalogue import EdgeRecord, RunRecord
from artstore.records.trees import EARLIEST_NS, LATEST_NS

__all__ = ["DECODERS"]

_NUMBER_BITS: Final = 32
_INT_BITS: Final = 63
_DIGEST: Final = re.compile(r"(?:[0-9a-f]{2})*")
_UUID: Final = re.compile(r"[0-9a-f]{32}")
_END: Final = re.compile(r"[vr](0|[1-9][0-9]{0,18})")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _name(value: Any) -> str:
    _text(value).encode()
    return _text(value)


def _whole(bits: int) -> Callable[[Any], int]:
    def whole(value: Any) -> int:
        if type(value) is not int or value < 0 or value.bit_length() > bits:
            raise ValueError
        return value

    return whole


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError
    return value


def _digest(value: Any) -> str:
    if not _DIGEST.fullmatch(value):
        raise ValueError
    return _text(value)


def _end(value: Any) -> str:
    if not _END.fullmatch(value):
        raise ValueError
    return _text(value)


def _uuid(value: Any) -> str:
    if not _UUID.fullmatch(value):
        raise ValueError
    return _text(value)


def _one_of(*words: str) -> Callable[[Any], str]:
    def word(value: Any) -> str:
        if _text(value) not in words:
            raise ValueError
        return _text(value)

    return word


def _list(item: Callable[[Any], Any]) -> Callable[[Any], list[Any]]:
    def items(value: Any) -> list[Any]:
        if not isinstance(value, list):
            raise TypeError
        return [item(each) for each in value]

    return items


def _file_time(value: Any) -> int:
    if type(value) is not int or not EARLIEST_NS <= value <= LATEST_NS:
        raise ValueError
    return value


def _base64(value: Any) -> bytes:
    data = base64.b64decode(value, validate=True)
    if base64.b64encode(data).decode() != value:
        raise ValueError
    return data


def _or_none(decoder: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else decoder(value)


def _record(kind: type[RunRecord | EdgeRecord]) -> Callable[[Any], Any]:
    return lambda value: kind.decode(json.dumps(value).encode())


DECODERS: Final[dict[str, tuple[Callable[[Any], Any], str]]] = {
    "str": (_text, "text"),
    "Name": (_name, "a name in UTF-8"),
    "str | None": (_or_none(_text), "text or null"),
    "int": (_whole(_INT_BITS), "a number"),
    "int | None": (_whole(_INT_BITS), "a number"),
    "Number": (_whole(_NUMBER_BITS), "a number of 32 bits"),
    "Number | None": (_or_none(_whole(_NUMBER_BITS)), "a number of 32 bits or null"),
    "FileTime": (_file_time, "a time of 64 bits"),
    "Digest": (_digest, "a digest"),
    "Digest | None": (_digest, "a digest"),
    "Uuid": (_uuid, "a uuid"),
    "Way": (_one_of("pushed", "pulled", "none"), "'pushed', 'pulled' or 'none'"),
    "Access": (_one_of("write", "read", "anonymous"), "'write', 'read' or 'anonymous'"),
    "Name | None": (_or_none(_name), "a name in UTF-8 or null"),
    "EndName": (_end, "the end of an edge"),
    "dict[str, Any]": (_object, "an object"),
    "dict[str, Any] | None": (_or_none(_object), "an object or null"),
    "list[str]": (_list(_text), "a list of text"),
    "list[dict[str, Any]]": (_list(_object), "a list of objects"),
    "bytes": (_base64, "base64"),
    "RunRecord": (_record(RunRecord), "a run's record"),
    "EdgeRecord": (_record(EdgeRecord), "an edge's record"),
}
"""For each declared type: the function that reads a value, and the type's name in messages."""
