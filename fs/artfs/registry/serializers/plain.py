"""Plain values as canonical JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

from artfs.registry.serializers.errors import MalformedPayloadError
from artfs.registry.serializers.protocol import DumpNotes, Reading, payload_name

__all__ = ["JsonSerializer", "is_plain", "is_unicode"]

_DEEPEST: Final = 200
_MOST_DIGITS: Final = 4000
"""Python refuses to read integers of more than 4,300 digits."""


def is_plain(obj: Any, depth: int = 0) -> bool:
    """Return whether JSON gives back exactly *obj*: no subclasses, tuples, keys but texts, NaN or lone surrogates."""
    kind = type(obj)
    if obj is None or kind is bool:
        return True
    if kind is str:
        return is_unicode(obj)
    if kind is int:
        return bool(obj.bit_length() <= 3 * _MOST_DIGITS)
    if kind is float:
        return math.isfinite(obj)
    if depth >= _DEEPEST:
        return False
    if kind is list:
        return all(is_plain(each, depth + 1) for each in obj)
    if kind is dict:
        return all(type(key) is str and is_unicode(key) and is_plain(obj[key], depth + 1) for key in obj)
    return False


def is_unicode(text: str) -> bool:
    """Return whether a text has no lone surrogates, so that UTF-8 can hold it."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class JsonSerializer:
    """Values of JSON: None, booleans, numbers, texts, lists, and dictionaries with texts as keys, in their order."""

    name = "json"
    extension = "json"
    safe = True

    def accepts(self, obj: Any) -> bool:
        """Return whether JSON gives back exactly the object."""
        return is_plain(obj)

    def dump(self, obj: Any, folder: Path) -> DumpNotes:
        """Write the value without spaces, and keys in the order of the dictionary."""
        text = json.dumps(obj, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        (folder / payload_name(self.extension)).write_bytes(text.encode())
        return DumpNotes("1")

    def load(self, folder: Path, trusted: Sequence[str]) -> Any:
        """Return the value."""
        with (folder / payload_name(self.extension)).open("rb") as stream:
            return self.load_stream(stream, Reading(trusted=frozenset(trusted)))

    def load_stream(self, stream: BinaryIO, reading: Reading) -> Any:
        """Return the value; raise `MalformedPayloadError` for what is no JSON, or is nested too deeply."""
        try:
            return json.loads(stream.read().decode(), parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            raise MalformedPayloadError(f"{reading.label} is not JSON") from error

    def versions(self) -> Mapping[str, str]:
        """Return nothing: Python's own JSON is enough."""
        return {}


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is no JSON")
