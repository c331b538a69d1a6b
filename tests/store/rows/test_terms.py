"""The rows of terms: a function of the versions' records, in the order of their values."""

from __future__ import annotations

from dataclasses import replace

from artstore.records.tables import Table
from artstore.records.terms import Kind, kind_prefix, path_prefix, terms_of
from artstore.rows import terms
from artstore.workspace import Workspace
from store.records.test_terms import RECORD

ALL = (b"", b"\xff")


def test_rows_follow_the_record(workspace: Workspace) -> None:
    """Only the terms that differ are written; a version without a record leaves none."""
    one = replace(RECORD, metadata={"a": 1, "b": "x"})
    other = replace(RECORD, metadata={"a": 2, "b": "x"})
    with workspace.store.write() as transaction:
        for before, after in ((None, one), (one, other), (other, other)):
            terms.change(transaction, before, after)
            keys = {key for key, _ in transaction.rows(Table.TERMS)}
            assert keys == terms_of(after)
        terms.change(transaction, other, replace(other, state="deleted"))
        assert list(transaction.rows(Table.TERMS)) == []


def test_the_order_of_serials(workspace: Workspace) -> None:
    """Ascending or descending by value; a span has what it begins with, and not what it ends with."""
    values = {1: 5, 2: -1, 3: "40", 4: 0.5, 5: "x", 6: None}
    with workspace.store.write() as transaction:
        for serial, value in values.items():
            terms.change(transaction, None, replace(RECORD, serial=serial, metadata={"a": value, "b": 1}))
        numbers = kind_prefix(b"m", "a", Kind.NUMBER)
        span = (numbers, numbers + b"\xff")
        assert list(terms.serials_between(transaction, *span)) == [2, 4, 1, 3]
        assert list(terms.serials_between(transaction, *span, reverse=True)) == [3, 1, 4, 2]
        assert list(terms.serials_with(transaction, path_prefix(b"m", "a"))) == [2, 4, 1, 3, 5, 6]
        assert list(terms.serials_between(transaction, *ALL, reverse=True))[-4:] == [3, 1, 4, 2]
        assert list(terms.serials_with(transaction, path_prefix(b"m", "c"))) == []
        assert list(terms.serials_with(transaction, b"m\xff")) == []


def test_versions_that_are_partly_indexed(workspace: Workspace) -> None:
    """They are known by their serials."""
    with workspace.store.write() as transaction:
        assert terms.partial(transaction) == set()
        for serial in (3, 9):
            terms.change(transaction, None, replace(RECORD, serial=serial, metadata={"x" * 500: 1}))
        assert terms.partial(transaction) == {3, 9}


def test_many_terms_fill_their_pages(workspace: Workspace) -> None:
    """Terms of consecutive versions, added together, take little more than their bytes, also between other terms."""
    versions = [replace(RECORD, serial=serial, metadata={"a": 1, "b": serial, "c": "x"}) for serial in range(1, 3001)]
    keys = [key for version in versions for key in terms_of(version)]
    with workspace.store.write() as transaction:
        for first in range(0, len(versions), 1000):
            terms.add(transaction, (key for each in versions[first : first + 1000] for key in terms_of(each)))
        assert sorted(keys) == [key for key, _ in transaction.rows(Table.TERMS)]
        used = transaction.raw.stat(transaction.handles[Table.TERMS])
    row = 8 + 2 + 4  # LMDB's head of a row, its place in the page, and the seal
    assert used["leaf_pages"] * 4096 < sum(len(key) + row for key in keys) / 0.8
