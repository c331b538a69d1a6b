"""Repairing the tables of remotes, from the journal or from the readable rows."""

from __future__ import annotations

from collections.abc import Mapping

from artstore.checking.check_remotes import readable_tracking
from artstore.checking.recounting import readable_rows
from artstore.checking.report import Report
from artstore.errors import DamageError
from artstore.records.remotes import decode_noted, decode_place, parse_noted_key, parse_place_key
from artstore.records.tables import Table
from artstore.repairing.replace_rows import replace_rows
from artstore.rows.remotes import Tracking
from artstore.rows.views import check_row
from artstore.storage.manifest import ReadTransaction, WriteTransaction

__all__ = ["repair_remotes"]


def repair_remotes(
    transaction: WriteTransaction, told: Tracking, *, is_whole: bool, artifacts: set[int], owners: Mapping[int, int]
) -> list[str]:
    """Rewrite the tables of remotes that are wrong; return a sentence for each.

    ``told`` is what the journal says.  If the journal ``is_whole`` that is right, and only what the journal never has
    is taken from the rows; else all readable rows are kept, and the journal adds to them.  ``owners`` are the artifacts
    of the versions, by serial.
    """
    readable = readable_tracking(transaction, Report())
    if is_whole:
        tracking = told.with_cache(readable)
    else:
        tracking = Tracking(
            {**told.remotes, **readable.remotes},
            {**told.artifacts, **readable.artifacts},
            {**told.versions, **readable.versions},
        )
    tracking = tracking.without_loose(artifacts, owners)
    wanted = tracking.rows()
    for table in (Table.PLACES, Table.PUSHES):
        wanted[table] = _sound_rows(transaction, table, tracking)
    wanted[Table.VIEWS] = _views(transaction)
    return [
        f"rewrote the table {table.name.lower()}"
        for table, rows in wanted.items()
        if replace_rows(transaction, table, rows)
    ]


def _views(transaction: ReadTransaction) -> dict[bytes, bytes]:
    """Return the rows of VIEWS if all of them read, else none: the next fetch makes them."""
    report = Report()
    rows = dict(readable_rows(transaction, Table.VIEWS, report))
    try:
        for key, payload in rows.items():
            check_row(key, payload)
    except DamageError:
        return {}
    return {} if report.problems else rows


def _sound_rows(transaction: ReadTransaction, table: Table, tracking: Tracking) -> dict[bytes, bytes]:
    """Return the rows of a table that read and are about a remote that is there; the others are not missed."""
    rows = {}
    for key, payload in readable_rows(transaction, table, Report()):
        try:
            if table == Table.PLACES:
                remote, _, _ = parse_place_key(key)
                decode_place(payload)
            else:
                remote, _, _ = parse_noted_key(key)
                decode_noted(payload)
        except DamageError:
            continue
        if remote in tracking.remotes:
            rows[key] = payload
    return rows
