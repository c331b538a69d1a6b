"""The framing of the journal's records.

    record = length u32, xxh3-64 of the payload, payload (JSON)

All integers are little-endian.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from xxhash import xxh3_64_intdigest

from artstore.records.catalogue import dump_json, load_json
from artstore.records.events import Event

__all__ = ["HEAD_LENGTH", "decode_payload", "encode_events", "encode_records", "parse_head", "salvage_records"]

_HEAD: Final = struct.Struct("<IQ")
HEAD_LENGTH: Final = _HEAD.size


def encode_events(events: Iterable[Event]) -> bytes:
    """Return events as records of the journal."""
    return encode_records(event.encode() for event in events)


def encode_records(values: Iterable[Mapping[str, Any]]) -> bytes:
    """Return JSON objects as records of the journal."""
    payloads = [dump_json(value) for value in values]
    return b"".join(_HEAD.pack(len(payload), xxh3_64_intdigest(payload)) + payload for payload in payloads)


def parse_head(data: bytes) -> tuple[int, int]:
    """Return (length, checksum) of the payload that follows a record's first `HEAD_LENGTH` bytes."""
    length, checksum = _HEAD.unpack(data)
    return length, checksum


def decode_payload(payload: bytes, checksum: int) -> dict[str, Any] | None:
    """Return the JSON object of a record, or None if it is damaged."""
    if xxh3_64_intdigest(payload) != checksum:
        return None
    try:
        event = load_json(payload)
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) else None


def salvage_records(data: bytes) -> Iterator[tuple[int, dict[str, Any] | None]]:
    """Yield (offset after it, event) for every readable record, None for each damaged stretch.

    Continues after damage: the checksum identifies a record at any offset.
    """
    position = 0
    while position < len(data):
        event, end = _record_at(data, position)
        if event is None:
            end = _next_record(data, position + 1)
        yield end, event
        position = end


def _record_at(data: bytes, position: int) -> tuple[dict[str, Any] | None, int]:
    start = position + HEAD_LENGTH
    if start >= len(data):
        return None, len(data)
    length, checksum = _HEAD.unpack_from(data, position)
    payload = data[start : start + length] if length <= len(data) - start else b""
    return decode_payload(payload, checksum), start + length


def _next_record(data: bytes, position: int) -> int:
    """Return the offset of the next readable record, or the end of the data."""
    while (brace := data.find(b"{", position + HEAD_LENGTH)) >= 0:
        position = brace - HEAD_LENGTH
        if _record_at(data, position)[0] is not None:
            return position
        position += 1
    return len(data)
