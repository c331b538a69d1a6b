"""Repairing the tables of runs and lineage, from the journal or from the readable rows."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from artstore.checking.lineages import readable_runs
from artstore.checking.report import Report
from artstore.repairing.replace_rows import replace_rows
from artstore.rows.history import Provenance
from artstore.storage.manifest import WriteTransaction

__all__ = ["repair_runs"]


def repair_runs(
    transaction: WriteTransaction, history: Provenance, *, is_whole: bool, serials: Collection[int]
) -> list[str]:
    """Rewrite the tables of runs and lineage that are wrong; return a sentence for each.

    The source is the journal if it is complete, else the readable rows and what the journal adds to them.
    ``serials`` are those of the recorded versions.
    """
    if is_whole:
        provenance = history
    else:
        provenance = readable_runs(transaction, Report())
        provenance.runs = {
            **history.runs,
            **{number: run for number, run in provenance.runs.items() if run.number == number},
        }
        provenance.blocks = {**history.blocks, **provenance.blocks}
        provenance.edges = {**history.edges, **provenance.edges}
        _drop_loose(provenance)
    provenance.prune(serials)
    repairs = []
    for table, rows in provenance.rows().items():
        if replace_rows(transaction, table, rows):
            repairs.append(f"rewrote the table {table.name.lower()}")
    transaction.state.next_run = max([transaction.state.next_run, *(number + 1 for number in provenance.runs)])
    return repairs


def _drop_loose(provenance: Provenance) -> None:
    """Drop edges to runs that have no record, and count for each run the blocks up to the first gap."""
    for number, record in provenance.runs.items():
        blocks = 0
        while (number, blocks) in provenance.blocks:
            blocks += 1
        provenance.runs[number] = replace(record, blocks=blocks)
    provenance.blocks = {
        place: data
        for place, data in provenance.blocks.items()
        if place[0] in provenance.runs and place[1] < provenance.runs[place[0]].blocks
    }
    provenance.edges = {
        edge: edge_record
        for edge, edge_record in provenance.edges.items()
        if all(end.is_version or end.number in provenance.runs for end in (edge.source, edge.target))
    }
