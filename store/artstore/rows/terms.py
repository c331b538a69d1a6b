"""The index of terms: which living versions have a value at a path of their metadata.

The rows are a function of the versions' records (`artstore.records.terms`), and `artstore.rows.catalogue` changes both
together, so that every change of a version keeps them.  A row only says that a version may match: numbers beyond the
limits and the ends of long texts are not in the keys, so a search compares the records too.
"""

from __future__ import annotations

from collections.abc import Iterator

from artstore.records.catalogue import VersionRecord
from artstore.records.tables import Table
from artstore.records.terms import PARTIAL, path_prefix, terms_of
from artstore.storage.manifest import ReadTransaction, WriteTransaction

__all__ = ["change", "forms_at", "partial", "serials_between", "serials_with"]


def change(transaction: WriteTransaction, before: VersionRecord | None, after: VersionRecord | None) -> None:
    """Replace the terms of a version's record by those of another one."""
    old, new = terms_of(before), terms_of(after)
    for key in old - new:
        transaction.delete(Table.TERMS, key)
    for key in new - old:
        transaction.put(Table.TERMS, key, b"")


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


def forms_at(transaction: ReadTransaction, space: bytes, path: str) -> Iterator[tuple[int, bytes]]:
    """Yield (serial, kind and form) of all values at a path, in the order of the values."""
    prefix = path_prefix(space, path)
    length = len(prefix)
    with transaction.raw.cursor(transaction.handles[Table.TERMS]) as cursor:
        if cursor.set_range(prefix):
            for key in cursor.iternext(values=False):
                if not key.startswith(prefix):
                    return
                yield int.from_bytes(key[-4:], "big"), key[length:-4]


def _following(prefix: bytes) -> bytes:
    """Return the first key after all that begin with a prefix; no prefix of terms ends in 255 throughout."""
    return prefix[:-1] + bytes([prefix[-1] + 1]) if prefix[-1] < 255 else _following(prefix[:-1])
