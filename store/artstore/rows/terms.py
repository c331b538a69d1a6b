"""The index of terms: which living versions have a value at a path of their metadata.

The rows are a function of the versions' records (`artstore.records.terms`), and `artstore.rows.catalogue` changes both
together, so that every change of a version keeps them.  A row only says that a version may match: numbers beyond the
limits and the ends of long texts are not in the keys, so a search compares the records too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from artstore.records.catalogue import VersionRecord
from artstore.records.tables import Table
from artstore.records.terms import PARTIAL, path_prefix, terms_of
from artstore.storage.manifest import ReadTransaction, WriteTransaction

__all__ = ["add", "change", "partial", "serials_between", "serials_by_form", "serials_with"]

_FIRST: Final = 5
_ROUND: Final = 9
"""Of so many new rows, so many are added first: the others then just fit between them."""


def add(transaction: WriteTransaction, keys: Iterable[bytes]) -> None:
    """Add terms that are not there, as many as possible at once.

    Versions of one time have consecutive serials, so their terms of one value belong at one place in the middle of the
    table.  Added in order there, each page would stay as its split left it, half full.  So some are added in order,
    and then the others between them, which fills the pages to nine tenths.
    """
    ordered = sorted(keys)
    transaction.put_many(Table.TERMS, (key for place, key in enumerate(ordered) if place % _ROUND < _FIRST))
    transaction.put_many(Table.TERMS, (key for place, key in enumerate(ordered) if place % _ROUND >= _FIRST))


def change(transaction: WriteTransaction, before: VersionRecord | None, after: VersionRecord | None) -> None:
    """Replace the terms of a version's record by those of another one."""
    old, new = terms_of(before), terms_of(after)
    for key in old - new:
        transaction.delete(Table.TERMS, key)
    add(transaction, new - old)


def partial(transaction: ReadTransaction) -> set[int]:
    """Return the serials of the versions that the index does not have all terms of."""
    return set(serials_with(transaction, PARTIAL))


def serials_with(transaction: ReadTransaction, prefix: bytes) -> Iterator[int]:
    """Yield the serials of the rows that begin with a prefix, in the order of their values."""
    return serials_between(transaction, prefix, _following(prefix))


def serials_between(transaction: ReadTransaction, low: bytes, high: bytes, *, reverse: bool = False) -> Iterator[int]:
    """Yield the serials of the rows from ``low`` on and before ``high``, in the order of their values or backwards."""
    with transaction.raw.cursor(transaction.handles[Table.TERMS]) as cursor:
        if reverse:
            more = cursor.prev() if cursor.set_range(high) else cursor.last()
            while more and (key := cursor.key()) >= low:
                yield int.from_bytes(key[-4:], "big")
                more = cursor.prev()
        elif cursor.set_range(low):
            for key in cursor.iternext(values=False):
                if key >= high:
                    return
                yield int.from_bytes(key[-4:], "big")


def serials_by_form(transaction: ReadTransaction, space: bytes, path: str) -> Iterator[tuple[bytes, list[int]]]:
    """Yield (kind and form, serials) of all values at a path, in the order of the values."""
    prefix = path_prefix(space, path)
    end, length = _following(prefix), len(prefix)
    with transaction.raw.cursor(transaction.handles[Table.TERMS]) as cursor:
        if not cursor.set_range(prefix):
            return
        number = int.from_bytes
        before, serials = b"", list[int]()
        for key in cursor.iternext(values=False):
            stem = key[:-4]
            if stem != before:
                if serials:
                    yield before[length:], serials
                if key >= end:
                    return
                before, serials = stem, []
            serials.append(number(key[-4:], "big"))
    if serials:
        yield before[length:], serials


def _following(prefix: bytes) -> bytes:
    """Return the first key after all that begin with a prefix; no prefix of terms ends in 255 throughout."""
    return prefix[:-1] + bytes([prefix[-1] + 1]) if prefix[-1] < 255 else _following(prefix[:-1])
