"""Checking the tables of remotes: each row must belong to a remote, an artifact or a version that is there."""

from __future__ import annotations

from collections.abc import Iterable

from artstore.checking.check_names import Names
from artstore.checking.recounting import readable_rows
from artstore.checking.report import Report
from artstore.records.catalogue import VersionRecord
from artstore.records.remotes import decode_noted, decode_place, parse_noted_key, parse_place_key
from artstore.records.tables import Table
from artstore.rows.remotes import TRACKING_TABLES, Tracking
from artstore.rows.views import check_row
from artstore.storage.manifest import ReadTransaction

__all__ = ["check_remotes", "readable_tracking"]


def check_remotes(
    transaction: ReadTransaction, names: Names, versions: Iterable[VersionRecord], report: Report
) -> None:
    """Check that no row is about anything that is not there, and that no name, URL or uuid is taken twice."""
    tracking = readable_tracking(transaction, report)
    artifacts = {number for number, artifact in names.artifacts.items() if artifact.is_artifact}
    wanted = tracking.without_loose(artifacts, {version.serial: version.artifact for version in versions}).rows()
    for table, rows in tracking.rows().items():
        for key in sorted(rows.keys() - wanted[table].keys()):
            report.add(
                "catalogue",
                f"the row {key.hex()} of the table {table.name.lower()} belongs to nothing, or repeats another",
            )
    for key, payload in readable_rows(transaction, Table.VIEWS, report):
        with report.guard("record", f"the row {key.hex()} of the table views"):
            check_row(key, payload)
    for table in (Table.PLACES, Table.PUSHES):
        for key, payload in readable_rows(transaction, table, report):
            with report.guard("record", f"the row {key.hex()} of the table {table.name.lower()}"):
                if table == Table.PLACES:
                    remote, _, _ = parse_place_key(key)
                    decode_place(payload)
                else:
                    remote, _, _ = parse_noted_key(key)
                    decode_noted(payload)
                if remote not in tracking.remotes:
                    report.add("catalogue", f"the row {key.hex()} of the table {table.name.lower()} has no remote")


def readable_tracking(transaction: ReadTransaction, report: Report) -> Tracking:
    """Return the rows of remotes that can be read; the others go to the report."""
    tracking = Tracking()
    for table in TRACKING_TABLES:
        for key, payload in readable_rows(transaction, table, report):
            with report.guard("record", f"the row {key.hex()} of the table {table.name.lower()}"):
                tracking.add_row(table, key, payload)
    return tracking
