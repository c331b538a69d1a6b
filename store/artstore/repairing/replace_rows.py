"""Replacing the rows of a table, writing only those that differ."""

from __future__ import annotations

from collections.abc import Mapping

from artstore.checking.recounting import readable_rows
from artstore.checking.report import Report
from artstore.errors import DamageError
from artstore.records.tables import Table
from artstore.storage.manifest import WriteTransaction

__all__ = ["put_row", "replace_rows"]


def put_row(transaction: WriteTransaction, table: Table, key: bytes, payload: bytes) -> None:
    """Write a row unless the table has it and it is readable."""
    try:
        if transaction.get(table, key) == payload:
            return
    except DamageError:
        pass
    transaction.put(table, key, payload)


def replace_rows(transaction: WriteTransaction, table: Table, rows: Mapping[bytes, bytes]) -> bool:
    """Make a table hold exactly these rows; return whether anything changed."""
    present = dict(readable_rows(transaction, table, Report()))
    handle = transaction.handles[table]
    if present == rows and transaction.raw.stat(handle)["entries"] == len(rows):
        return False
    with transaction.raw.cursor(handle) as cursor:
        keys = list(cursor.iternext(values=False))
    for key in keys:
        if key not in rows:
            transaction.delete(table, key)
    for key, payload in rows.items():
        put_row(transaction, table, key, payload)
    return True
