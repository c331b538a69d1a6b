"""``ws.runs``: programs that use and make versions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from artstore.store import Store

if TYPE_CHECKING:
    from artstore.queries.versions import Version
    from artstore.records.catalogue import RunRecord

__all__ = ["Runs"]


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

        with self._store.snapshot() as snapshot:
            return all_runs(snapshot.transaction, project)

    def versions(self, number: int, *, used: bool) -> list[Version]:
        """Return the living versions that a run has made, or ``used``, in the order of time."""
        from artstore.queries.runs import versions_of_run

        return versions_of_run(self._store, number, used=used)
