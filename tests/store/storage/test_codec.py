"""Stored forms: what is encoded decodes, and changed bytes never pass."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from artstore.errors import DamageError
from artstore.records.nodes import BLOCK, FINE_BLOCK
from artstore.storage import codec as codecs
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


LONG_NOISE = random.Random(1).randbytes(300_000)
TEXT = Path(random.__file__).read_bytes() + Path(pytest.__file__).read_bytes() * 9
DOUBLES = [random.Random(2).randbytes(8) for _ in range(2_000)]
CONTENTS = {
    "text": TEXT[:30_000],
    "text in the middle": LONG_NOISE[:30_000] + TEXT[:15_000] + LONG_NOISE[30_000:50_000],
    "text at the end": LONG_NOISE[:50_000] + TEXT[:15_000],
    "text here and there": b"".join(
        LONG_NOISE[n : n + 4_000] + TEXT[n // 2 : n // 2 + 2_000] for n in range(0, 60_000, 5_000)
    ),
    "noise twice": LONG_NOISE[:20_000] * 2,
    "noise repeated late": LONG_NOISE[:50_000] + LONG_NOISE[:10_000],
    "a few thousand numbers": b"".join(random.Random(3).choices(DOUBLES, k=8_000)),
    "zeros in noise": LONG_NOISE[:100_000] + bytes(20_000) + LONG_NOISE[100_000:140_000],
}


@pytest.mark.parametrize("content", CONTENTS)
def test_what_looks_like_noise_is_still_compressed_if_that_pays(content: str) -> None:
    """Samples and a fast pass save the work for noise only: the frame is the one that zstd makes without them."""
    data = CONTENTS[content]
    frame = codecs._contexts.thorough.compress(data)
    assert len(frame) < codecs._WORTHWHILE * len(data)
    for form in (encode(data, thorough=True), *encode_all([LONG_NOISE, data, b"", data], thorough=True)[1::2]):
        assert (form.codec, bytes(form.data)) == (ZSTD, frame)


@pytest.mark.parametrize("thorough", [False, True])
def test_noise_is_not_compressed(monkeypatch: pytest.MonkeyPatch, thorough: bool) -> None:
    """Neither images nor weights cost what zstd takes to find out that it saves nothing."""
    header = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01" + bytes(range(256))
    contents = [header + LONG_NOISE[:40_000], LONG_NOISE[:131_072], memoryview(LONG_NOISE)[:16_384]]
    monkeypatch.setattr(codecs._contexts, "quick", None)
    monkeypatch.setattr(codecs._contexts, "thorough", None)
    assert [form.codec for form in encode_all(contents, thorough=thorough)] == [RAW] * 3
    assert encode(contents[1], thorough=thorough).data is contents[1]
