"""``ws.runs``: programs that use and make versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from artstore.arguments import text
from artstore.interrupts import deferring
from artstore.names import check_name
from artstore.store import Store

if TYPE_CHECKING:
    from artstore.queries.versions import Version
    from artstore.reclaim.leases import Lease
    from artstore.records.catalogue import RunRecord

__all__ = ["Runs"]


@deferring()
class Runs:
    """The runs of a workspace."""

    __slots__ = ("_store",)

    def __init__(self, store: Store) -> None:
        self._store = store

    def get(self, title: str) -> RunRecord:
        """Return the run ``PROJECT/ID``; raise `NotFoundError` if there is none."""
        from artstore.queries.runs import run_by_title

        return run_by_title(self._store, title)

    def all(self, project: str | None = None) -> list[RunRecord]:
        """Return the runs, or those of one project, oldest first."""
        from artstore.rows.runs import all_runs

        if project is not None and text(project, "the project"):
            check_name(project)
        with self._store.snapshot() as snapshot:
            return all_runs(snapshot.transaction, project)

    def state(self, record: RunRecord) -> str:
        """Return ``running``, ``finished``, ``failed``, or ``crashed`` if the process ended without ending the run."""
        from artstore.reclaim.leases import run_state

        return run_state(self._store, record)

    def rows(self, number: int) -> list[dict[str, Any]]:
        """Return the rows of metrics that a run has logged, in the order of logging."""
        from artstore.rows.runs import metric_rows

        with self._store.snapshot() as snapshot:
            return list(metric_rows(snapshot.transaction, number))

    def start(self, project: str, id: str = "", *, resume: bool = False, **fields: Any) -> tuple[RunRecord, Lease]:
        """Record that this process begins or resumes a run; the lease marks the run as running until it is closed.

        ``fields`` are those of `artstore.records.catalogue.RunRecord`.  Raises `ExistsError` if the project has a run
        with ``id``, unless ``resume``.
        """
        from artstore.changes.recording import start_run

        return start_run(self._store, project, id, resume=resume, **fields)

    def change(self, number: int, **fields: Any) -> RunRecord:
        """Change fields of a run's record; return the record."""
        from artstore.changes.recording import change_run

        return change_run(self._store, number, **fields)

    def log(self, number: int, rows: Sequence[Mapping[str, Any]], summary: Mapping[str, Any]) -> RunRecord:
        """Append rows of metrics to a run, and update its summary; return the record."""
        from artstore.changes.recording import log_rows

        return log_rows(self._store, number, rows, summary)

    def use(self, number: int, version: Version, name: str) -> None:
        """Record that a run uses a version under a name: an alias, or ``v3``."""
        from artstore.changes.recording import record_use

        record_use(self._store, number, version.record, name)

    def made(self, number: int, version: Version) -> None:
        """Record that a run logs a version that is there already, as a commit does that makes none."""
        from artstore.changes.recording import record_logged

        record_logged(self._store, number, version.record)

    def versions(self, number: int, *, used: bool) -> list[Version]:
        """Return the living versions that a run has made, or with ``used`` those that it has used, oldest first."""
        from artstore.queries.runs import versions_of_run

        return versions_of_run(self._store, number, used=used)
