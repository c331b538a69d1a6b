"""Spans: records come back, whatever is in them, and cost few bytes."""

from __future__ import annotations

import random

import pytest
import zstandard

from artstore.errors import DamageError
from artstore.records.trees import Kind
from artstore.remotes.packs.located import LocatedEntry, LocatedRecord
from artstore.remotes.packs.places import DATA, TREES, Pack
from artstore.remotes.packs.spans import Span, compress, decompress, encode_span
from store.remotes.packs.pack_codecs import SAMPLE_PACK, chunk_of, sample_records


def photographs(folders: int, files: int) -> list[LocatedRecord]:
    """Return records as of a data set: names that count up, times to the ns, half of the files compressed."""
    chance, offset, now = random.Random(1), 32, 1_700_000_000 * 10**9
    records = []
    for folder in range(folders):
        entries = []
        for number in range(files):
            size, at = chance.randrange(2000, 6000), folder * files + number
            now += chance.randrange(10**6)
            stored = chance.randrange(20, size) if chance.random() < 0.5 else 0
            chunk = chunk_of(at, size, offset=offset, stored=stored)
            entries.append(LocatedEntry(b"img_%06d.jpg" % at, Kind.FILE, size, chunk.id, now, 0o644, (chunk,)))
            offset += chunk.place.stored
        records.append(LocatedRecord(0, tuple(entries), ()))
    return records


def test_records_come_back_in_any_order() -> None:
    records = sample_records()
    span = Span(encode_span(records))
    assert len(span) == len(records)
    for number in (3, 1, 0, 2, 0):
        assert span.record(number) == records[number]


@pytest.mark.parametrize("number", [-1, 4, 65535])
def test_a_record_that_is_not_there_is_refused(number: int) -> None:
    with pytest.raises(DamageError, match="no record"):
        Span(encode_span(sample_records())).record(number)


def test_a_file_costs_about_forty_bytes() -> None:
    """The bound of the metadata that a reader of a version must fetch; 32 bytes of it are the id."""
    raw = encode_span(photographs(40, 100))
    assert len(compress(raw)) / 4000 < 41


def test_a_record_before_its_children_is_refused() -> None:
    """So a walk ends: records lead to earlier ones of the span, or to spans whose hash they have."""
    with pytest.raises(DamageError, match="comes before"):
        encode_span(sample_records()[2:])


def test_chunks_follow_their_pack_to_another_object() -> None:
    records = photographs(1, 3)
    moved = Pack(TREES if SAMPLE_PACK.folder == DATA else DATA, SAMPLE_PACK.id)
    span = Span(encode_span(records, {SAMPLE_PACK: moved}))
    assert span.packs == [moved]
    assert [entry.content[0].place.pack for entry in span.record(0).entries] == [moved] * 3  # type: ignore[union-attr]


def test_no_records_are_no_span() -> None:
    with pytest.raises(DamageError):
        encode_span([])


def test_a_frame_that_claims_too_much_is_refused_before_it_is_read() -> None:
    """zstd makes space for what a frame declares: so that is bounded, and compared with what the parent says."""
    bomb = zstandard.ZstdCompressor().compress(bytes(17 << 20))
    for stored, size in ((bomb, 0), (bomb, 17 << 20), (compress(b"abc"), 4), (b"", 0), (b"abc", 3), (compress(b""), 0)):
        with pytest.raises(DamageError):
            decompress(stored, size)
    assert decompress(compress(b"abc"), 3) == decompress(compress(b"abc")) == b"abc"


def test_a_frame_with_more_behind_it_is_refused() -> None:
    with pytest.raises(DamageError):
        decompress(compress(b"abc") + b"x")
