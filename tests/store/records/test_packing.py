"""The framing of packs: headers, segment heads and indexes refuse whatever is not exactly theirs."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artstore.errors import DamageError
from artstore.records.packing import (
    HEAD_LENGTH,
    HEADER_LENGTH,
    PackedEntry,
    encode_header,
    encode_index,
    encode_segment_head,
    parse_header,
    parse_index,
    parse_segment_head,
)

U32 = st.integers(0, 2**32 - 1)
TIMES = st.integers(-(2**63), 2**63 - 1)
ENTRIES = st.lists(
    st.builds(
        PackedEntry,
        st.sampled_from(b"crlt"),
        st.integers(0, 255),
        st.binary(min_size=32, max_size=32),
        U32,
        U32,
        U32,
        TIMES,
        st.lists(st.integers(0, 2**64 - 1), max_size=4).map(tuple),
    ),
    max_size=5,
)


def flips_and_cuts(data: bytes) -> list[bytes]:
    return [data[:at] + bytes([data[at] ^ 0x40]) + data[at + 1 :] for at in range(len(data))] + [
        data[:size] for size in range(len(data))
    ]


@given(uuid=st.binary(min_size=16, max_size=16), number=U32, when=TIMES)
def test_headers(uuid: bytes, number: int, when: int) -> None:
    """A header comes back; one with any byte changed, or cut, does not."""
    data = encode_header(uuid, number, when)
    assert len(data) == HEADER_LENGTH
    assert parse_header(data) == (uuid, number, when)
    for broken in flips_and_cuts(data):
        with pytest.raises(DamageError):
            parse_header(broken)


@given(data_length=U32, index_length=U32)
def test_segment_heads(data_length: int, index_length: int) -> None:
    """A head comes back; one with any byte changed, or cut, does not."""
    data = encode_segment_head(data_length, index_length)
    assert len(data) == HEAD_LENGTH
    assert parse_segment_head(data) == (data_length, index_length)
    for broken in flips_and_cuts(data):
        with pytest.raises(DamageError):
            parse_segment_head(broken)


@settings(max_examples=50)
@given(entries=ENTRIES)
def test_indexes(entries: list[PackedEntry]) -> None:
    """An index comes back; one with any byte changed, cut, or followed by another byte, does not."""
    data = encode_index(entries)
    assert parse_index(data) == entries
    for broken in [*flips_and_cuts(data), data + b"\0"]:
        with pytest.raises(DamageError):
            parse_index(broken)
