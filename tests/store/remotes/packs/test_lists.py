"""Lists of the chunks of a large file."""

from __future__ import annotations

import pytest

from artstore.errors import DamageError
from artstore.remotes.packs.lists import LIST_ROWS, ListedPart, decode_chunks, decode_parts, encode_chunks, encode_parts
from artstore.remotes.packs.located import Chunk, ChunkList
from artstore.remotes.packs.places import PACK_LENGTH, Place
from artstore.remotes.packs.spans import compress
from store.remotes.packs.pack_codecs import SAMPLE_PACK, chunk_of, digest


def run_of(count: int) -> list[Chunk]:
    """Return chunks that lie one after another, as a first push leaves them."""
    chunks, offset = [], 32
    for number in range(count):
        stored = 60_000 + number * 7919 % 70_000
        chunks.append(chunk_of(number, 2 * stored, stored=stored, offset=offset))
        offset = (offset + stored) % (PACK_LENGTH - 200_000)
    return chunks


def test_chunks_come_back() -> None:
    chunks = run_of(LIST_ROWS)
    assert decode_chunks(encode_chunks(chunks)) == chunks


def test_a_chunk_costs_little() -> None:
    """A list is 0.03 % of what it lists: an id, and the entropy of two sizes."""
    raw = encode_chunks(run_of(LIST_ROWS))
    assert len(compress(raw)) / LIST_ROWS < 38


@pytest.mark.parametrize(
    "chunks",
    [
        [],
        run_of(1) * (LIST_ROWS + 1),
        [chunk_of(1, 5)._replace(codec=2)],
        [chunk_of(1, 5)._replace(size=6)],
        [chunk_of(1, (1 << 20) + 1)],
        [chunk_of(1, 5)._replace(id=b"")],
        [chunk_of(1, 5, offset=PACK_LENGTH)],
    ],
)
def test_what_is_no_list_is_refused(chunks: list[Chunk]) -> None:
    with pytest.raises(DamageError):
        encode_chunks(chunks)


def part(level: int = 0, chunks: int = 9, size: int = 1000, length: int = 1 << 20) -> ListedPart:
    return ListedPart(ChunkList(digest(1), level, chunks, size, Place(SAMPLE_PACK, 32, 500)), length)


def test_lists_of_lists_come_back() -> None:
    rows = [part(2, length=1 << 40), part(2, chunks=2**40, length=2**50)]
    assert decode_parts(encode_parts(3, rows), 3) == rows


@pytest.mark.parametrize(
    ("level", "rows"),
    [(1, []), (1, [part(1)]), (2, [part(0)]), (9, [part(8)]), (1, [part(size=0)]), (1, [part(length=3)])],
)
def test_lists_of_other_levels_are_refused(level: int, rows: list[ListedPart]) -> None:
    with pytest.raises(DamageError):
        encode_parts(level, rows)


def test_a_list_read_as_another_level_is_refused() -> None:
    with pytest.raises(DamageError):
        decode_chunks(encode_parts(1, [part()]))
    with pytest.raises(DamageError):
        decode_parts(encode_parts(1, [part()]), 2)
