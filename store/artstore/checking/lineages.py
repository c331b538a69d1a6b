"""Checking runs and lineage: records, ids and both ends of edges must refer to each other, and to versions."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from artstore.checking.recounting import readable_rows
from artstore.checking.report import Report
from artstore.records.catalogue import RunRecord
from artstore.records.counters import Counters
from artstore.rows.history import PROVENANCE_TABLES, Provenance
from artstore.rows.runs import unpack_rows
from artstore.storage.manifest import ReadTransaction

__all__ = ["check_runs", "readable_runs"]


def check_runs(transaction: ReadTransaction, recorded: Collection[int], counters: Counters, report: Report) -> None:
    """Check the tables of runs and lineage against each other, and against the serials of recorded versions."""
    provenance = readable_runs(transaction, report)
    expected = provenance.rows()
    for table in PROVENANCE_TABLES:
        present = dict(readable_rows(transaction, table, Report()))
        for key in sorted(present.keys() ^ expected[table].keys()):
            what = "belongs to no record" if key in present else "is missing"
            report.add("catalogue", f"the row {key.hex()} of the table {table.name.lower()} {what}")
        for key in sorted(present.keys() & expected[table].keys()):
            if present[key] != expected[table][key]:
                report.add("catalogue", f"the row {key.hex()} of the table {table.name.lower()} has a wrong value")
    for number, record in provenance.runs.items():
        if record.number != number:
            report.add("catalogue", f"the record of run {number} has the number {record.number}")
        if number >= counters.next_run:
            report.add("counter", f"the number of run {number} has not been assigned yet")
        blocks = sorted(block for run, block in provenance.blocks if run == number)
        if blocks != list(range(record.blocks)):
            report.add("catalogue", f"run {record.title!r} lacks some of its {record.blocks} blocks, or has others")
        _check_rows(provenance, record, blocks, report)
    for number in sorted({run for run, _ in provenance.blocks} - provenance.runs.keys()):
        report.add("catalogue", f"run {number} has logged values but has no record")
    leading = {edge.source for edge in provenance.edges}
    for edge in provenance.edges:
        for end in (edge.source, edge.target):
            if not end.is_version and end.number not in provenance.runs:
                report.add("catalogue", f"a lineage edge refers to run {end.number}, which has no record")
        if edge.target.is_version and edge.target.number not in recorded and edge.target not in leading:
            report.add(
                "catalogue",
                f"a lineage edge points to version {edge.target.number}, which does not exist",
            )


def _check_rows(provenance: Provenance, record: RunRecord, blocks: Sequence[int], report: Report) -> None:
    """Check that each block of a run's logged rows can be read, and that the rows are as many as its record says."""
    steps = 0
    for block in blocks:
        with report.guard("record", f"block {block} of what run {record.title!r} logged"):
            steps += len(unpack_rows(provenance.blocks[record.number, block]))
            continue
        return
    if len(blocks) == record.blocks and steps != record.steps:
        report.add("catalogue", f"run {record.title!r} has logged {steps} rows, and its record says {record.steps}")


def readable_runs(transaction: ReadTransaction, report: Report) -> Provenance:
    """Return the runs and edges with readable rows; the others go to the report."""
    provenance = Provenance()
    for table in PROVENANCE_TABLES:
        for key, payload in readable_rows(transaction, table, report):
            with report.guard("record", f"the row {key.hex()} of the table {table.name.lower()}"):
                provenance.add_row(table, key, payload)
    return provenance
