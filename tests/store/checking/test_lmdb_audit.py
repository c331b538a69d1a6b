"""The audit finds every byte of LMDB's own structure that is wrong: what is reached twice or never, orders, counts."""

from __future__ import annotations

import os
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from artstore.checking.lmdb_audit import Auditor
from artstore.checking.lmdb_format import BRANCH, LEAF, OVERFLOW, parse_meta
from artstore.errors import DamageError
from artstore.records.tables import Table
from artstore.store import Store
from reasons import has_reason
from store.conftest import forget

PAGE = 4096


class File:
    """A private copy of an LMDB file, to be damaged."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.data = bytearray(path.read_bytes())
        metas = [parse_meta(bytes(self.data[number * PAGE : (number + 1) * PAGE]), number) for number in (0, 1)]
        self.meta = max(metas, key=lambda meta: meta.transaction)

    @property
    def meta_at(self) -> int:
        """Where the newer meta page lies."""
        return (self.meta.transaction & 1) * PAGE

    def problems(self) -> list[str]:
        """Return what an audit of the file, as it is now, finds."""
        self.path.write_bytes(self.data)
        fd = os.open(self.path, os.O_RDONLY)
        try:
            page = bytes(self.data[self.meta_at : self.meta_at + PAGE])
            auditor = Auditor(fd, parse_meta(page, self.meta_at // PAGE), lambda done, total: None)
            auditor.run()
        except DamageError as error:
            return [str(error)]
        finally:
            os.close(fd)
        return auditor.problems

    def flips(self, offsets: Iterator[int] | range) -> list[int]:
        """Return the offsets of a byte at which no flipped bit is found."""
        missed = []
        for offset in offsets:
            bit = 1 << offset % 8
            self.data[offset] ^= bit
            if not self.problems():
                missed.append(offset)
            self.data[offset] ^= bit
        return missed


@pytest.fixture(scope="module")
def original(past: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file with every kind of page, and a free list of more than one record."""
    store = Store.open(shutil.copytree(past, tmp_path_factory.mktemp("pages") / "ws"))
    with store.write() as transaction:
        transaction.put(Table.META, b"long", bytes(10_000))
    with store.write() as transaction:
        transaction.put(Table.META, b"short", b"")
    forget(store)
    return store.path / "manifest.1" / "data.mdb"


@pytest.fixture
def file(original: Path, quick_dir: Path) -> File:
    return File(shutil.copy(original, quick_dir / "data.mdb"))


def kinds_of(file: File) -> set[int]:
    pages = range(2, len(file.data) // PAGE)
    return {struct.unpack_from("<H", file.data, page * PAGE + 10)[0] for page in pages}


def test_a_sound_file_has_no_problems(file: File) -> None:
    assert kinds_of(file) >= {BRANCH, LEAF, OVERFLOW}
    assert file.problems() == []


def test_every_bit_of_the_free_list_counts(file: File) -> None:
    """One that is wrong passes LMDB's own scans, and shows when a page is overwritten that was in use.

    Only since which transaction pages are free may be told wrong, between what the neighbours tell: that harms no one.
    """
    page = file.meta.free.root * PAGE
    upper = struct.unpack_from("<H", file.data, page + 14)[0]
    missed = set(file.flips(range(page + upper, page + PAGE))) - set(harmless_keys(file, page))
    assert not [offset for offset in missed if (offset - page) % 2 == 0]  # a node's odd last byte may be padding
    assert len(missed) <= 1


def harmless_keys(file: File, page: int) -> Iterator[int]:
    """Yield the offsets of bytes of keys whose flip, of the bit that `File.flips` takes, leaves the keys in order."""
    lower = struct.unpack_from("<H", file.data, page + 12)[0]
    nodes = struct.unpack_from(f"<{(lower - 16) // 2}H", file.data, page + 16)
    keys = [struct.unpack_from("<Q", file.data, page + node + 8)[0] for node in nodes]
    for node, before, key, after in zip(nodes, [0, *keys], keys, [*keys[1:], file.meta.transaction + 1], strict=False):
        for byte in range(8):
            offset = page + node + 8 + byte
            if before < key ^ (1 << offset % 8 << 8 * byte) < after:
                yield offset


def test_every_byte_of_a_pages_head_and_offsets_counts(file: File) -> None:
    for page in (file.meta.main.root, file.meta.free.root):
        start = page * PAGE
        lower = struct.unpack_from("<H", file.data, start + 12)[0]
        pad = {start + 8, start + 9}
        assert not set(file.flips(range(start, start + lower))) - pad


def test_what_the_meta_page_says_of_tables_pages_and_time_counts(file: File) -> None:
    fields = {
        "pages, depth, counts, root of free": (44, 88),
        "of main": (92, 136),
        "last page, transaction": (136, 152),
    }
    for start, end in fields.values():
        assert file.flips(range(file.meta_at + start, file.meta_at + end)) == []


def test_a_page_that_two_tables_share_is_found(file: File) -> None:
    leaf = table_place(file, b"numbers")
    other = table_place(file, b"aliases")
    file.data[leaf + 40 : leaf + 48] = file.data[other + 40 : other + 48]
    assert any(has_reason(problem, "shared page") for problem in file.problems())


def test_a_page_that_is_both_free_and_in_use_is_found(file: File) -> None:
    free = struct.unpack_from("<Q", file.data, free_record(file) + 8)[0]
    struct.pack_into("<Q", file.data, table_place(file, b"numbers") + 40, free)
    assert any(has_reason(problem, "shared page") for problem in file.problems())


def test_a_count_of_entries_that_is_wrong_is_found(file: File) -> None:
    place = table_place(file, b"nodes")
    entries = struct.unpack_from("<Q", file.data, place + 32)[0]
    struct.pack_into("<Q", file.data, place + 32, entries + 1)
    assert any(has_reason(problem, "wrong record of a table") for problem in file.problems())


def test_keys_out_of_order_are_found(file: File) -> None:
    """Also across pages: the keys of a leaf belong between those that its branch says."""
    root = struct.unpack_from("<Q", file.data, table_place(file, b"nodes") + 40)[0]
    first_child = branch_children(file, root)[0]
    key = list(nodes_of(file, first_child))[-1][1] - 8
    file.data[key : key + 8] = b"\xff" * 8
    assert any(has_reason(problem, "key out of order") for problem in file.problems())


def test_a_circle_of_pages_ends(file: File) -> None:
    root = struct.unpack_from("<Q", file.data, table_place(file, b"nodes") + 40)[0]
    offset = struct.unpack_from("<H", file.data, root * PAGE + 16)[0]
    struct.pack_into("<IH", file.data, root * PAGE + offset, root, 0)
    assert any(has_reason(problem, "shared page") for problem in file.problems())


def test_a_table_whose_name_is_damaged_is_found(file: File) -> None:
    name = file.data.index(b"condemned", file.meta.main.root * PAGE)
    file.data[name : name + 9] = b"condemoed"
    assert any("'condemned'" in problem for problem in file.problems())


def test_an_older_meta_page_in_the_place_of_the_newest_is_found(file: File) -> None:
    """A transaction that is rolled back would pass for one that never was."""
    older = bytearray(file.data[PAGE - file.meta_at : 2 * PAGE - file.meta_at])
    number = file.meta_at // PAGE
    struct.pack_into("<Q", older, 0, number)
    struct.pack_into("<Q", older, 144, file.meta.transaction)
    file.data[file.meta_at : file.meta_at + PAGE] = older
    assert any(has_reason(problem, "newer free list") for problem in file.problems())


def test_a_last_page_that_is_absurd_takes_no_memory(file: File) -> None:
    struct.pack_into("<Q", file.data, file.meta_at + 136, 1 << 60)
    assert any(has_reason(problem, "page of nothing") for problem in file.problems())


# -- finding places in the file ----------------------------------------------------------------------------------------


def nodes_of(file: File, page: int) -> Iterator[tuple[bytes, int]]:
    """Yield (key, offset of the data) of a leaf."""
    start = page * PAGE
    lower = struct.unpack_from("<H", file.data, start + 12)[0]
    for (offset,) in struct.iter_unpack("<H", file.data[start + 16 : start + lower]):
        length = struct.unpack_from("<H", file.data, start + offset + 6)[0]
        key = start + offset + 8
        yield bytes(file.data[key : key + length]), key + length


def table_place(file: File, name: bytes) -> int:
    """Return where the record of a table lies."""
    return dict(nodes_of(file, file.meta.main.root))[name]


def free_record(file: File) -> int:
    """Return where a record of the free list lies that names at least one page."""
    records = nodes_of(file, file.meta.free.root)
    return next(place for _, place in records if struct.unpack_from("<Q", file.data, place)[0])


def branch_children(file: File, page: int) -> list[int]:
    start = page * PAGE
    lower = struct.unpack_from("<H", file.data, start + 12)[0]
    children = []
    for (offset,) in struct.iter_unpack("<H", file.data[start + 16 : start + lower]):
        low, high, flags = struct.unpack_from("<HHH", file.data, start + offset)
        children.append(low | high << 16 | flags << 32)
    return children
