"""Content-defined chunking: the properties that deduplication and streaming stand on."""

from __future__ import annotations

import random

import pyfastcdc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artstore.errors import UnsupportedError
from artstore.ingest.chunker import DENSE, MAXIMUM, MIXED, REPETITIVE, Sizes, boundaries, require_native, sizes_for
from messages import raises

MIB = 1024 * 1024
NOISE = random.Random(7).randbytes(9 * MIB)
KINDS = {"noise": NOISE, "zeros": bytes(9 * MIB), "text": b"".join(b"line %d of many\n" % n for n in range(600_000))}
ALL = (MIXED, DENSE, REPETITIVE)


def chunks(data: bytes, sizes: Sizes = MIXED) -> list[bytes]:
    ends = boundaries(data, sizes)
    return [data[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)] if ends else []


@settings(max_examples=40)
@given(
    kind=st.sampled_from(sorted(KINDS)),
    sizes=st.sampled_from(ALL),
    start=st.integers(0, MIB),
    size=st.integers(0, 8 * MIB),
)
def test_chunks_are_the_data_in_pieces_of_bounded_size(kind: str, sizes: Sizes, start: int, size: int) -> None:
    """Put together they are the data; none is over the maximum, and only the last may be under the minimum."""
    data = KINDS[kind][start : start + size]
    parts = chunks(data, sizes)
    assert b"".join(parts) == data
    assert all(0 < len(part) <= sizes.maximum <= MAXIMUM for part in parts)
    assert all(len(part) >= sizes.minimum for part in parts[:-1])


@pytest.mark.parametrize("sizes", ALL)
def test_small_data_is_one_chunk(sizes: Sizes) -> None:
    """Up to the minimum there is nothing to cut, and nothing at all for nothing."""
    for size in (0, 1, sizes.minimum - 1, sizes.minimum):
        assert boundaries(bytes(size), sizes) == ([size] if size else [])


@pytest.mark.parametrize("sizes", ALL)
def test_the_average_is_near_what_is_meant(sizes: Sizes) -> None:
    """On noise the mean lies within a factor of two of what is asked for."""
    mean = len(NOISE) / len(boundaries(NOISE, sizes))
    assert sizes.average / 2 < mean < sizes.average * 2


def test_sizes_go_by_content() -> None:
    """Noise, programs and text, tables: whatever the length, and wherever in it a little of another kind stands."""
    text = random.Random(3).choices([b"%x " % n for n in range(3000)], k=400_000)
    for size in (70_000, MIB, 8 * MIB):
        assert sizes_for(NOISE[:size]) == DENSE
        assert sizes_for(memoryview(KINDS["text"])[:size]) == REPETITIVE
        assert sizes_for((b"".join(text) * 8)[:size]) == MIXED
    assert sizes_for(bytes(1000) + NOISE[: 8 * MIB]) == DENSE
    assert sizes_for(b"") in ALL  # a file that was emptied meanwhile


@settings(max_examples=25)
@given(at=st.integers(0, len(NOISE)), inserted=st.binary(min_size=1, max_size=5000))
def test_an_insertion_moves_few_boundaries(at: int, inserted: bytes) -> None:
    """After an insertion anywhere all but a few chunks are the old ones."""
    old = chunks(NOISE)
    new = chunks(NOISE[:at] + inserted + NOISE[at:])
    assert len(set(new) - set(old)) <= 6


@settings(max_examples=25)
@given(cut=st.integers(0, 2**32))
def test_cutting_may_begin_anew_at_any_boundary(cut: int) -> None:
    """What follows a boundary is cut as if it stood alone, which reading in windows relies on."""
    ends = boundaries(NOISE, MIXED)
    start = ends[cut % (len(ends) - 1)]
    assert [start + end for end in boundaries(NOISE[start:], MIXED)] == [end for end in ends if end > start]


def test_more_data_moves_only_the_last_boundary() -> None:
    """All boundaries but the last are the same whatever follows."""
    ends = boundaries(NOISE, MIXED)
    for size in (MIB, 3 * MIB + 17, 8 * MIB):
        cut = boundaries(NOISE[:size], MIXED)
        assert cut[:-1] == ends[: len(cut) - 1]


def test_a_slow_chunker_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A chunker without its compiled form raises an error, instead of putting at a hundredth of the speed."""
    require_native()

    class FastCDC:
        __module__ = "pyfastcdc.py.fastcdc"

    monkeypatch.setattr(pyfastcdc, "FastCDC", FastCDC)
    with raises(UnsupportedError, names=["chunker"]) as caught:
        require_native()
    assert "pyfastcdc" in caught.value.hint
