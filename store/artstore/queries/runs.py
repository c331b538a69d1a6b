"""Runs by title, and the versions that a run has made or used."""

from __future__ import annotations

from artstore.arguments import text
from artstore.errors import NotFoundError
from artstore.queries.resolving import version_by_serial
from artstore.queries.versions import Version
from artstore.records.catalogue import RunRecord
from artstore.rows import runs
from artstore.rows.lineage import edges_from, edges_to, run_end
from artstore.store import Store

__all__ = ["run_by_title", "versions_of_run"]


def run_by_title(store: Store, title: str) -> RunRecord:
    """Return the run ``PROJECT/ID``; raise `NotFoundError` if there is none."""
    project, _, ident = text(title, "a run").rpartition("/")
    if not title.isprintable():
        raise NotFoundError(f"there is no run {title!r}", hint="list them: artfs run ls")
    with store.snapshot() as snapshot:
        record = runs.find_run(snapshot.transaction, project, ident)
    if record is None:
        raise NotFoundError(f"there is no run {title!r}", hint="list them: artfs run ls")
    return record


def versions_of_run(store: Store, number: int, *, used: bool) -> list[Version]:
    """Return the living versions that a run has made, or ``used``, in the order of time."""
    with store.snapshot() as snapshot:
        transaction = snapshot.transaction
        if used:
            ends = [(edge_record.at_ns, edge.source) for edge, edge_record in edges_to(transaction, run_end(number))]
        else:
            ends = [(edge_record.at_ns, edge.target) for edge, edge_record in edges_from(transaction, run_end(number))]
    versions = (version_by_serial(store, end.number) for _, end in sorted(ends))
    return [version for version in versions if version is not None]
