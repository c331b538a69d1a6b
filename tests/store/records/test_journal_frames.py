"""The framing of the journal's records: read back as written, and around any damage."""

from __future__ import annotations

from typing import Any

from xxhash import xxh3_64_intdigest

from artstore.records.journal_frames import HEAD_LENGTH, decode_payload, encode_records, parse_head, salvage_records


def test_a_record_is_its_length_checksum_and_json() -> None:
    """The bytes of a record, as docs/format.md describes them."""
    payload = b'{"event":"type","name":"a"}'
    record = encode_records([{"event": "type", "name": "a"}])
    assert record == len(payload).to_bytes(4, "little") + xxh3_64_intdigest(payload).to_bytes(8, "little") + payload
    length, checksum = parse_head(record[:HEAD_LENGTH])
    assert length == len(payload)
    assert decode_payload(payload, checksum) == {"event": "type", "name": "a"}


def test_what_is_no_object_is_no_record() -> None:
    """A payload that fits its checksum is refused unless it is a JSON object."""
    for payload in (b"", b"[]", b"1", b"{", b"\xff", b"[" * 100_000):
        assert decode_payload(payload, xxh3_64_intdigest(payload)) is None
    assert decode_payload(b"{}", 0) is None


def test_salvage_continues_after_damage() -> None:
    """For any wrong byte, every other record is found, and its end."""
    events: list[dict[str, Any]] = [{"event": "tags", "tags": ["{" * number]} for number in range(4)]
    ends = [len(encode_records(events[: number + 1])) for number in range(4)]
    data = encode_records(events)
    assert list(salvage_records(data)) == list(zip(ends, events, strict=True))
    for position in range(len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 1
        lost = next(number for number in range(4) if position < ends[number])
        expected: list[tuple[int, dict[str, Any] | None]] = list(zip(ends, events, strict=True))
        expected[lost] = (ends[lost], None)
        assert list(salvage_records(bytes(damaged))) == expected
