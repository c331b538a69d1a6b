"""Runs and lineage: that records, ids and both ends of edges lead to each other, and to versions; and right again."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from artstore.checking.recounting import readable_rows
from artstore.checking.report import Report
from artstore.records.counters import Counters
from artstore.repairing.replace_rows import replace_rows
from artstore.rows.journal_events import TABLES, Told, read_row
from artstore.storage.manifest import ReadTransaction, WriteTransaction

__all__ = ["check_runs", "right_runs"]


def check_runs(transaction: ReadTransaction, recorded: Collection[int], counters: Counters, report: Report) -> None:
    """Check the tables of runs and lineage against each other, and against the serials of recorded versions."""
    told = _readable(transaction, report)
    wanted = told.rows()
    for table in TABLES:
        there = dict(readable_rows(transaction, table, Report()))
        for key in sorted(there.keys() ^ wanted[table].keys()):
            what = "leads to nothing" if key in there else "is missing"
            report.add("catalogue", f"the row {key.hex()} of the table {table.name.lower()} {what}")
        for key in sorted(there.keys() & wanted[table].keys()):
            if there[key] != wanted[table][key]:
                report.add("catalogue", f"the row {key.hex()} of the table {table.name.lower()} leads elsewhere")
    for number, record in told.runs.items():
        if record.number != number:
            report.add("catalogue", f"the record of run {number} says that it is {record.number}")
        if number >= counters.next_run:
            report.add("counter", f"the number of run {number} is still to be given out")
        blocks = sorted(block for run, block in told.blocks if run == number)
        if blocks != list(range(record.blocks)):
            report.add("catalogue", f"run {record.title!r} has not the {record.blocks} blocks that it has logged")
    for number in sorted({run for run, _ in told.blocks} - told.runs.keys()):
        report.add("catalogue", f"run {number} has logged something and is not recorded")
    leading = {edge.source for edge in told.edges}
    for edge in told.edges:
        for end in (edge.source, edge.target):
            if not end.is_version and end.number not in told.runs:
                report.add("catalogue", f"an edge of lineage has an end at run {end.number}, which is not recorded")
        if edge.target.is_version and edge.target.number not in recorded and edge.target not in leading:
            report.add("catalogue", f"an edge of lineage leads to version {edge.target.number}, of which nothing came")


def _readable(transaction: ReadTransaction, report: Report) -> Told:
    told = Told()
    for table in TABLES:
        for key, payload in readable_rows(transaction, table, report):
            with report.guard("record", f"the row {key.hex()} of the table {table.name.lower()}"):
                read_row(told, table, key, payload)
    return told


def right_runs(transaction: WriteTransaction, history: Told, *, is_whole: bool, recorded: Collection[int]) -> list[str]:
    """Write runs and lineage anew where they are not right; return a sentence for each table.

    From a journal that is whole, else from the rows that read and what the journal tells besides.
    """
    if is_whole:
        told = history
    else:
        told = _readable(transaction, Report())
        told.runs = {**history.runs, **{number: run for number, run in told.runs.items() if run.number == number}}
        told.blocks = {**history.blocks, **told.blocks}
        told.edges = {**history.edges, **told.edges}
        _drop_loose(told)
    told.prune(recorded)
    done = []
    for table, rows in told.rows().items():
        if replace_rows(transaction, table, rows):
            done.append(f"wrote the table {table.name.lower()} anew")
    transaction.state.next_run = max([transaction.state.next_run, *(number + 1 for number in told.runs)])
    return done


def _drop_loose(told: Told) -> None:
    """Drop what leads to runs that nothing tells of, and let each have just the blocks that are there, in order."""
    for number, record in told.runs.items():
        blocks = 0
        while (number, blocks) in told.blocks:
            blocks += 1
        told.runs[number] = replace(record, blocks=blocks)
    told.blocks = {
        place: data
        for place, data in told.blocks.items()
        if place[0] in told.runs and place[1] < told.runs[place[0]].blocks
    }
    told.edges = {
        edge: said
        for edge, said in told.edges.items()
        if all(end.is_version or end.number in told.runs for end in (edge.source, edge.target))
    }
