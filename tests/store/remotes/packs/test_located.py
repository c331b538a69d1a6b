"""Located records: the ids of local records, and what no version can have."""

from __future__ import annotations

import pytest

from artstore.errors import DamageError
from artstore.records.trees import EARLIEST_NS, Kind, TreeTotals
from artstore.remotes.packs.located import (
    Below,
    ChunkList,
    FormPlace,
    LocatedEntry,
    LocatedRecord,
    check_record,
    totals_of,
)
from artstore.remotes.packs.places import Place
from store.remotes.packs.pack_codecs import SAMPLE_PACK, chunk_of, digest, sample_records

CHUNK = chunk_of(1, 5)
FILE = LocatedEntry(b"a", Kind.FILE, 5, CHUNK.id, 0, 0o644, (CHUNK,))
SPAN = FormPlace(digest(1), 100, Place(SAMPLE_PACK, 32, 50))
EMPTY = Below(digest(2), digest(3), TreeTotals(0, 0, 0, 0, EARLIEST_NS), SPAN, 0)
FOLDER = LocatedEntry(b"d", Kind.DIRECTORY, 0, EMPTY.digest, 0, 0o755, EMPTY)
LARGE = LocatedEntry(b"l", Kind.FILE, 900, digest(5), 0, 0o644, ChunkList(digest(6), 0, 5, 99, SPAN.place))


def test_good_records_pass() -> None:
    for record in [*sample_records(), LocatedRecord(0, (FILE, FOLDER, LARGE), ())]:
        check_record(record)


@pytest.mark.parametrize(
    "entry",
    [
        FILE._replace(name=b""),
        FILE._replace(name=b".."),
        FILE._replace(name=b"a/b"),
        FILE._replace(mode=0o1644),
        FILE._replace(size=6),
        FILE._replace(id=digest(7)),
        FILE._replace(content=(), size=0),
        FILE._replace(content=(CHUNK,) * 2),
        FILE._replace(content=(CHUNK,) * 5, size=25),
        FILE._replace(kind=Kind.DIRECTORY),
        FILE._replace(content=EMPTY),
        FILE._replace(kind=Kind.REFERENCE, size=2**53 + 1),
        FILE._replace(kind=Kind.LINK, content=(CHUNK,) * 2, size=10),
        LocatedEntry(b"a", Kind.LINK, 4096, digest(8), 0, 0o777, (chunk_of(8, 4096),)),
        LocatedEntry(b"a", Kind.REFERENCE, 9, digest(8), 0, 0o644, (chunk_of(8, 32769),)),
        FOLDER._replace(size=1),
        FOLDER._replace(id=digest(9)),
        LARGE._replace(kind=Kind.LINK),
        LARGE._replace(size=4),
        LARGE._replace(content=ChunkList(digest(6), 0, 4, 99, SPAN.place)),
    ],
)
def test_impossible_entries_are_refused(entry: LocatedEntry) -> None:
    with pytest.raises(DamageError):
        check_record(LocatedRecord(0, (entry,), ()))


PART = EMPTY._replace(totals=TreeTotals(1, 1, 0, 5, 0))


@pytest.mark.parametrize(
    "record",
    [
        LocatedRecord(0, (FOLDER, FILE), ()),
        LocatedRecord(0, (FILE, FILE), ()),
        LocatedRecord(0, tuple(FILE._replace(name=b"%04d" % number) for number in range(257)), ()),
        LocatedRecord(0, (), ((b"a", PART),)),
        LocatedRecord(1, (), ()),
        LocatedRecord(1, (FILE,), ((b"a", PART),)),
        LocatedRecord(1, (), ((b"b", PART), (b"a", PART))),
        LocatedRecord(1, (), ((b"a", EMPTY),)),
        LocatedRecord(1, (), ((b"a", PART._replace(totals=TreeTotals(1, 2**31, 0, 0, 0))),)),
        LocatedRecord(1, (), ((b"a", PART._replace(totals=TreeTotals(1, 1, 0, 2**58 + 1, 0))),)),
    ],
)
def test_impossible_records_are_refused(record: LocatedRecord) -> None:
    with pytest.raises(DamageError):
        check_record(record)


def test_totals_count_what_is_below() -> None:
    """Links have no bytes; a directory counts itself, and its newest time is that of anything below."""
    link = LocatedEntry(b"z", Kind.LINK, 5, CHUNK.id, 9, 0o777, (CHUNK,))
    below = EMPTY._replace(totals=TreeTotals(2, 7, 3, 100, 50))
    record = LocatedRecord(0, (FILE, FOLDER._replace(content=below, mtime_ns=-4), link), ())
    assert totals_of(record) == TreeTotals(3, 9, 4, 105, 50)
