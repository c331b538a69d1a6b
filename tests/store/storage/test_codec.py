"""Stored forms: what is encoded decodes, and changed bytes never pass."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from artstore.errors import DamageError
from artstore.records.nodes import BLOCK, FINE_BLOCK
from artstore.storage.codec import RAW, ZSTD, block_checksums, decode, encode, encode_all, verify_blocks, verify_stored
from messages import raises

NOISE = random.Random(1).randbytes(3 * BLOCK + 5)


@settings(max_examples=60)
@given(
    data=st.binary(max_size=300)
    | st.builds(lambda a, n: a * n, st.binary(min_size=1, max_size=9), st.integers(0, 50_000))
)
@example(data=b"")
@example(data=NOISE)
@example(data=NOISE[:BLOCK])
def test_round_trip(data: bytes) -> None:
    """Any bytes come back, and their stored form is never larger, with one checksum for each block of it."""
    view = memoryview(data)
    for encoded in (encode(view), encode(view, thorough=True), *encode_all([view, b"", view], thorough=True)[::2]):
        stored = bytes(encoded.data)
        assert len(stored) <= len(data)
        fine = encoded.codec == RAW and len(stored) > BLOCK
        assert block_checksums(stored, FINE_BLOCK if fine else BLOCK) == encoded.checksums
        assert len(encoded.checksums) == -(-len(stored) // (FINE_BLOCK if fine else BLOCK))
        verify_stored(stored, encoded.checksums)
        assert decode(encoded.codec, stored, len(data)) == data


def test_many_at_once_are_each_as_alone() -> None:
    """Large, tiny and empty, in order; and of one thoroughly compressed less is stored."""
    text = Path(random.__file__).read_bytes()
    contents = [text, b"", NOISE, b"tiny", text[:1000], b"a" * 64, b"a" * 65]
    for thorough in (False, True):
        for data, encoded in zip(contents, encode_all(contents, thorough=thorough), strict=True):
            alone = encode(data, thorough=thorough)
            assert (encoded.codec, bytes(encoded.data), encoded.checksums) == (alone.codec, alone.data, alone.checksums)
    assert encode_all([]) == [] and encode_all([b"", b"x"]) == [encode(b""), encode(b"x")]
    assert len(encode(text, thorough=True).data) < len(encode(text).data)


def test_what_pays_is_compressed() -> None:
    """Text is a frame, noise and tiny data are kept as they are."""
    assert encode(b"abc" * 1000).codec == ZSTD
    assert encode(NOISE).codec == RAW
    assert encode(b"a" * 60).codec == RAW


@given(at=st.integers(0, len(NOISE) - 1), change=st.integers(1, 255))
def test_a_changed_byte_is_found_in_its_block(at: int, change: int) -> None:
    """Any flipped byte fails the block it lies in, whole or read from that block on; other blocks still pass."""
    broken = bytearray(NOISE)
    broken[at] ^= change
    for length in (BLOCK, FINE_BLOCK):
        sums = block_checksums(NOISE, length)
        with pytest.raises(DamageError):
            verify_stored(bytes(broken), sums)
        block = at // length
        with pytest.raises(DamageError):
            verify_blocks(bytes(broken[block * length :]), block, sums, length)
        verify_blocks(bytes(broken[(block + 1) * length :]), block + 1, sums, length)
        verify_blocks(bytes(broken[: block * length]), 0, sums, length)


def test_parts_that_are_not_whole_blocks_are_refused() -> None:
    """A cut block, and more blocks than there are."""
    for length in (BLOCK, FINE_BLOCK):
        sums = block_checksums(NOISE, length)
        for data, first in ((NOISE[:-1], 0), (NOISE[1:], 0), (NOISE + b"\0" * BLOCK, 0), (NOISE, 1)):
            with pytest.raises(DamageError):
                verify_blocks(data, first, sums, length)
    for count in (0, 1, len(sums) - 1, len(sums) + 1):
        with raises(DamageError, names=[f"{count} checksums"]):
            verify_stored(NOISE, (*sums, 1)[:count])


def test_frames_that_do_not_fit_are_damage() -> None:
    """A broken frame, another length, and a codec from the future."""
    frame = bytes(encode(b"abc" * 1000).data)
    for codec, stored, size in (
        (ZSTD, frame[:-3], 3000),
        (ZSTD, b"not a frame", 3000),
        (ZSTD, frame, 2999),
        (ZSTD, frame, 3001),
        (RAW, b"12345", 4),
        (9, b"12345", 5),
    ):
        with pytest.raises(DamageError):
            decode(codec, stored, size)
