"""Documents about runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar

from artfs.documents.encoding import Document, Record, from_nanoseconds, omittable

if TYPE_CHECKING:
    from artstore.records.catalogue import RunRecord

__all__ = ["RunDocument", "RunItem", "RunsDocument"]


@dataclass(frozen=True, slots=True)
class RunItem(Record):
    """One run; ``run`` is ``PROJECT/ID``, ``steps`` the number of rows that it has logged."""

    run: str
    id: str
    project: str
    name: str
    job_type: str
    group: str
    state: str
    created_at: datetime
    finished_at: datetime | None
    tags: Sequence[str]
    notes: str
    config: Mapping[str, Any]
    summary: Mapping[str, Any]
    settings: Mapping[str, Any]
    steps: int

    @classmethod
    def of(cls, record: RunRecord, state: str) -> RunItem:
        """Return the item of a run that is in ``state``."""
        return cls.from_attributes(record, **_values(record, state))


def _values(record: RunRecord, state: str) -> dict[str, Any]:
    return {
        "run": record.title,
        "name": record.name or record.id,
        "state": state,
        "created_at": from_nanoseconds(record.created_ns),
        "finished_at": from_nanoseconds(record.finished_ns) if record.finished_ns else None,
    }


@dataclass(frozen=True, slots=True)
class RunsDocument(Document):
    """The runs of the workspace or of a project, newest last (``artfs run ls``)."""

    schema: ClassVar[str] = "artfs.runs/1"
    runs: Sequence[RunItem]

    @classmethod
    def of(cls, runs: Iterable[tuple[RunRecord, str]]) -> RunsDocument:
        """Return the document of runs, each with its state."""
        return cls([RunItem.of(record, state) for record, state in runs])


@dataclass(frozen=True, slots=True)
class RunDocument(RunItem, Document):
    """A run with the versions that it used and logged, and with ``--history`` its rows (``artfs run show``)."""

    schema: ClassVar[str] = "artfs.run/1"
    used: Sequence[str]
    logged: Sequence[str]
    history: Sequence[Mapping[str, Any]] | None = omittable()

    @classmethod
    def shown(
        cls,
        record: RunRecord,
        state: str,
        *,
        used: Sequence[str],
        logged: Sequence[str],
        history: Sequence[Mapping[str, Any]] | None,
    ) -> RunDocument:
        """Return the document of a run that is in ``state``."""
        return cls.from_attributes(record, **_values(record, state), used=used, logged=logged, history=history)
