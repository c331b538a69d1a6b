"""The codecs of a remote's packs, in the form of `record_codecs`: samples, and what reads and writes them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from artstore.ids import EMPTY_ID, content_id
from artstore.records.trees import EARLIEST_NS, LATEST_NS, Kind, TreeTotals
from artstore.remotes.packs.containers import CHUNK, MANIFEST, SPAN, FormEntry, PackBuilder, parse_pack
from artstore.remotes.packs.lists import ListedPart, decode_chunks, decode_parts, encode_chunks, encode_parts
from artstore.remotes.packs.located import Below, Chunk, ChunkList, FormPlace, LocatedEntry, LocatedRecord
from artstore.remotes.packs.manifests import AddedPack, PushManifest, decode_manifest, encode_manifest
from artstore.remotes.packs.pack_sets import SetPart, decode_set, encode_set
from artstore.remotes.packs.pack_sets import encode_parts as encode_set_parts
from artstore.remotes.packs.places import DATA, TREES, Pack, Place
from artstore.remotes.packs.spans import Span, encode_span
from record_codecs import Codec

__all__ = ["CODECS", "SAMPLE_PACK", "chunk_of", "digest", "packs", "sample_records"]

ID_BYTES = 32


def digest(number: int) -> bytes:
    return content_id(b"%d" % number)


def packs(count: int) -> list[Pack]:
    """Return packs in the order of their ids, of both folders."""
    return [Pack((DATA, TREES)[number % 2], number.to_bytes(2, "big") + digest(number)[:14]) for number in range(count)]


SAMPLE_PACK: Final = packs(3)[2]


def chunk_of(number: int, size: int, *, pack: Pack = SAMPLE_PACK, offset: int = 0, stored: int = 0) -> Chunk:
    """Return a chunk: raw unless ``stored`` is given."""
    return Chunk(digest(number), size, 1 if stored else 0, Place(pack, offset or 32 + number, stored or size))


# -- spans -------------------------------------------------------------------------------------------------------------


def _file(name: bytes, chunks: tuple[Chunk, ...], kind: Kind = Kind.FILE, at: int = 0, size: int = -1) -> LocatedEntry:
    ident = chunks[0].id if len(chunks) == 1 else digest(999) if chunks else EMPTY_ID
    length = sum(chunk.size for chunk in chunks) if size < 0 else size
    return LocatedEntry(name, kind, length, ident, at, 0o777 if kind is Kind.LINK else 0o644, chunks)


def sample_records() -> list[LocatedRecord]:
    """Return the records of a span with content of every shape, in this span and in others."""
    first, second, third = packs(3)
    other = FormPlace(digest(70), 5000, Place(second, 4096, 3000))
    another = FormPlace(digest(71), 90, Place(third, 32, 95))
    run = tuple(chunk_of(number, 700 + number, pack=first, offset=1000 * number) for number in range(20, 24))
    entries = (
        _file(b"a", (chunk_of(1, 500, pack=first, offset=32),), at=EARLIEST_NS),
        _file(b"b", (chunk_of(2, 800, pack=first, offset=532, stored=300),), Kind.EXECUTABLE, LATEST_NS),
        LocatedEntry(b"big", Kind.FILE, 9 << 20, digest(3), -1, 0o600, ChunkList(digest(4), 0, 90, 4000, other.place)),
        _file(b"empty", ()),
        _file(b"link", (chunk_of(5, 7, pack=third, offset=100),), Kind.LINK, 10**18 + 7),
        _file(b"outside", (chunk_of(6, 90, pack=second, offset=7),), Kind.REFERENCE, 5, 1 << 50),
        _file(b"several", run, at=1_700_000_000_123_456_789),
    )
    empty = Below(digest(30), digest(31), TreeTotals(0, 0, 0, 0, EARLIEST_NS), other, 3)
    full = Below(digest(40), digest(41), TreeTotals(7, 7, 0, 100, 5), None, 0)
    folders = (
        LocatedEntry(b"d1", Kind.DIRECTORY, 0, digest(30), 7, 0o755, empty),
        LocatedEntry(b"d2", Kind.DIRECTORY, 0, digest(40), 8, 0o700, full),
        LocatedEntry(b"\xff" * 255, Kind.DIRECTORY, 0, digest(30), 9, 0o755, empty._replace(span=another)),
    )
    part = Below(digest(50), digest(51), TreeTotals(300, 350, 50, 1 << 40, 3), other, 65535)
    return [
        LocatedRecord(0, entries, ()),
        LocatedRecord(0, (), ()),
        LocatedRecord(0, folders, ()),
        LocatedRecord(1, (), ((b"m", part), (b"z", part._replace(span=None, record=2)))),
    ]


def _decode_span(raw: bytes) -> list[LocatedRecord]:
    span = Span(raw)
    return [span.record(number) for number in range(len(span))]


# -- lists, sets, manifests --------------------------------------------------------------------------------------------


def _chunk_lists() -> Iterator[bytes]:
    first, second, _ = packs(3)
    yield encode_chunks([chunk_of(1, 100)])
    rows = [chunk_of(number, 5000, pack=first, offset=32 + 100 * number, stored=100) for number in range(9)]
    yield encode_chunks([*rows, chunk_of(50, 9, pack=second), *rows[:2]])


def _part_lists() -> Iterator[bytes]:
    rows = [
        ListedPart(ChunkList(digest(number), 0, 4096, 9000, Place(pack, 40, 8000)), 1 << 30)
        for number, pack in enumerate(packs(3))
    ]
    yield encode_parts(1, rows)


def _sets() -> Iterator[bytes]:
    yield encode_set([])
    yield encode_set(packs(5))
    places = [Place(pack, 40 * number, 50) for number, pack in enumerate(packs(3))]
    yield encode_set_parts([SetPart(5 * at, 9, FormPlace(digest(at), 60, place)) for at, place in enumerate(places)])


def _encode_set(value: list[Any]) -> bytes:
    return encode_set_parts(value) if value and isinstance(value[0], SetPart) else encode_set(value)


def _manifests() -> Iterator[bytes]:
    where = FormPlace(digest(9), 60, Place(SAMPLE_PACK, 100, 70))
    yield encode_manifest(PushManifest((), where, 0))
    added = tuple(AddedPack(pack, 1000 + number, digest(number)) for number, pack in enumerate(packs(4)))
    yield encode_manifest(PushManifest(added, where, 7))


# -- objects -----------------------------------------------------------------------------------------------------------


def _pack_with(*forms: tuple[int, int, bytes, int]) -> bytes:
    builder = PackBuilder(SAMPLE_PACK)
    for klass, codec, data, size in forms:
        builder.add(klass, codec, content_id(data), data, size)
    return builder.finish().body


def _decode_pack(data: bytes) -> list[tuple[FormEntry, bytes]]:
    entries = parse_pack(data, SAMPLE_PACK)
    return [(entry, data[entry.offset : entry.offset + entry.stored]) for entry in entries]


def _encode_pack(value: list[tuple[FormEntry, bytes]]) -> bytes:
    builder = PackBuilder(SAMPLE_PACK)
    for entry, data in value:
        builder.add(entry.klass, entry.codec, entry.id, data, entry.size)
    return builder.finish().body


def _mend_pack(data: bytes) -> bytes:
    """Make the hash at the end right, if the object has a footer at all."""
    count = int.from_bytes(data[-48:-44], "little")
    start = len(data) - 56 - 48 * count
    if len(data) < 88 or start < 32:
        return data
    return data[:-ID_BYTES] + content_id(data[:32] + data[start:-ID_BYTES])


CODECS: Final[dict[str, Codec]] = {
    "span": Codec(_decode_span, encode_span, [encode_span(sample_records()), encode_span(sample_records()[1:2])]),
    "list of chunks": Codec(decode_chunks, encode_chunks, list(_chunk_lists())),
    "list of lists": Codec(lambda raw: decode_parts(raw, 1), lambda rows: encode_parts(1, rows), list(_part_lists())),
    "set of packs": Codec(decode_set, _encode_set, list(_sets())),
    "push manifest": Codec(decode_manifest, encode_manifest, list(_manifests())),
    "pack": Codec(
        _decode_pack,
        _encode_pack,
        [_pack_with(), _pack_with((CHUNK, 0, b"abc", 3), (SPAN, 1, b"frame", 9), (MANIFEST, 1, b"x" * 40, 20))],
        _mend_pack,
    ),
}
