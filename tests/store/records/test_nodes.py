"""Chunk and list records: what is written is read, and nothing else is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artstore.errors import DamageError
from artstore.records.nodes import (
    BLOCK,
    FINE_BLOCK,
    LARGEST,
    ChunkRecord,
    Extent,
    ListChild,
    ListRecord,
    LostRecord,
    canonical_list,
    decode_chunk,
    decode_list,
    decode_lost,
    encode_chunk,
    encode_list,
    encode_lost,
    parse_canonical_list,
)

U32 = st.integers(0, 2**32 - 1)
U64 = st.integers(0, 2**64 - 1)
IDS = st.binary(min_size=32, max_size=32)
TIMES = st.integers(0, 2**63 - 1)


@st.composite
def chunks(draw: st.DrawFn) -> ChunkRecord:
    stored = draw(st.integers(0, 4 * BLOCK))
    count = -(-stored // draw(st.sampled_from((BLOCK, FINE_BLOCK))))
    sums = draw(st.lists(U64, min_size=count, max_size=count))
    extent = Extent(draw(U32), draw(U32), stored, draw(st.integers(0, 255)))
    size = draw(st.integers(stored, LARGEST)) if stored else 0
    return ChunkRecord(draw(IDS), draw(TIMES), size, extent, tuple(sums))


@st.composite
def lists(draw: st.DrawFn) -> ListRecord:
    ends = sorted(draw(st.sets(st.integers(1, 2**50), min_size=1, max_size=20)))
    children = tuple(ListChild(draw(U64), end) for end in ends)
    extent = Extent(draw(U32), draw(U32), draw(st.integers(0, LARGEST)), draw(st.integers(0, 255)))
    return ListRecord(draw(IDS), draw(TIMES), ends[-1], draw(st.integers(0, 9)), extent, children)


@given(record=chunks())
def test_chunks_round_trip(record: ChunkRecord) -> None:
    """A chunk's record comes back field by field, and refuses every truncation and added byte."""
    payload = encode_chunk(record)
    assert decode_chunk(payload) == record
    for size in range(len(payload)):
        with pytest.raises(DamageError):
            decode_chunk(payload[:size])
    with pytest.raises(DamageError):
        decode_chunk(payload + b"\0")


@given(record=lists())
def test_lists_round_trip(record: ListRecord) -> None:
    """A list's record comes back field by field, and refuses every truncation and added byte."""
    payload = encode_list(record)
    assert decode_list(payload) == record
    for size in range(len(payload)):
        with pytest.raises(DamageError):
            decode_list(payload[:size])
    with pytest.raises(DamageError):
        decode_list(payload + b"\0")


@pytest.mark.parametrize("ends", [(), (5, 3), (5, 9), (0, 8), (5, 5, 8), tuple(range(1, 258))])
def test_lists_that_do_not_add_up_are_refused(ends: tuple[int, ...]) -> None:
    """No children or too many, ends that go back or do not go on, or a last end that is not the size."""
    record = ListRecord(bytes(32), 0, 8, 0, Extent(1, 2, 3, 0), tuple(ListChild(7, end) for end in ends))
    with pytest.raises(DamageError):
        decode_list(encode_list(record))


@given(klass=st.sampled_from(b"clt"), ident=IDS, birth_ns=st.integers(-(2**63), 2**63 - 1), size=U64, digest=IDS)
def test_lost_nodes_round_trip(klass: int, ident: bytes, birth_ns: int, size: int, digest: bytes) -> None:
    """The record of a lost node comes back with its digest, and refuses another length or version."""
    record = LostRecord(klass, ident, birth_ns, size, digest)
    payload = encode_lost(record)
    assert decode_lost(payload) == record
    assert decode_lost(encode_lost(LostRecord(klass, ident, birth_ns, size))).digest == bytes(32)
    for broken in (payload[:-1], payload + b"\0", payload[:1] + b"\1" + payload[2:], b"\1" + payload[1:]):
        with pytest.raises(DamageError):
            decode_lost(broken)


def test_one_kind_is_not_read_as_another() -> None:
    """The first byte says what a record is."""
    chunk = encode_chunk(ChunkRecord(bytes(32), 0, 0, Extent(1, 2, 0, 0), ()))
    with pytest.raises(DamageError):
        decode_list(chunk + bytes(80))
    with pytest.raises(DamageError):
        decode_chunk(b"\2" + chunk[1:])


CHILDREN = st.lists(st.tuples(st.sampled_from(b"cl"), IDS, st.integers(1, 2**64 - 1)), min_size=1, max_size=12)


@given(level=st.integers(0, 5), children=CHILDREN)
def test_canonical_lists_round_trip(level: int, children: list[tuple[int, bytes, int]]) -> None:
    """The packed form comes back, and refuses every truncation and added byte."""
    data = canonical_list(level, children)
    assert parse_canonical_list(data) == (level, children)
    for size in range(len(data)):
        with pytest.raises(DamageError):
            parse_canonical_list(data[:size])
    with pytest.raises(DamageError):
        parse_canonical_list(data + b"\0")
