"""Documents about checks of the workspace, what holds its bytes, purges, and checks of the machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar

from artfs.documents.encoding import Document, Record

if TYPE_CHECKING:
    from artstore.changes.purging import PurgeReport
    from artstore.checking.report import Report
    from artstore.queries.explaining import Explanation

__all__ = [
    "CheckDocument",
    "ExplanationDocument",
    "MachineCheckItem",
    "MachineDocument",
    "ProblemItem",
    "PurgeDocument",
]


@dataclass(frozen=True, slots=True)
class ProblemItem(Record):
    """One problem: ``chunk`` is the damaged content or record; ``files`` and ``versions`` are those that it touches."""

    kind: str
    message: str
    chunk: str | None
    files: Sequence[str]
    versions: Sequence[str]


@dataclass(frozen=True, slots=True)
class CheckDocument(Document):
    """What a check found (``artfs fsck``, also with ``--remote``).

    ``omitted`` counts by kind the problems that are not listed, ``counted`` what was checked, such as ``nodes``,
    ``packs`` and ``data_bytes``.
    """

    schema: ClassVar[str] = "artfs.fsck/1"
    clean: bool
    problems: Sequence[ProblemItem]
    omitted: Mapping[str, int]
    notes: Sequence[str]
    repaired: Sequence[str]
    counted: Mapping[str, int]

    @classmethod
    def of(cls, report: Report) -> CheckDocument:
        """Return the document of a check's report."""
        problems = [ProblemItem.from_attributes(problem) for problem in report.problems]
        return cls.from_attributes(report, problems=problems)


@dataclass(frozen=True, slots=True)
class ExplanationDocument(Document):
    """What something is, what holds it, and where its bytes are counted (``artfs why``).

    ``state`` is live, waiting (deleted, and not yet freed) or file (of the workspace's folder). ``more`` counts the
    versions beyond those listed; ``reasons`` are all sentences together.
    """

    schema: ClassVar[str] = "artfs.why/1"
    target: str
    what: str
    state: str
    stored_bytes: int | None
    versions: Sequence[str]
    more: int
    drafts: Sequence[str]
    deleted: Sequence[str]
    users: Sequence[str]
    counted_in: str
    advice: str
    reasons: Sequence[str]

    @classmethod
    def of(cls, explanation: Explanation) -> ExplanationDocument:
        """Return the document of an explanation."""
        return cls.from_attributes(explanation)


@dataclass(frozen=True, slots=True)
class PurgeDocument(Document):
    """What was purged, or with ``dry_run`` would be (``artfs purge``).

    ``shared_bytes`` stay because other content has the same chunks; ``waiting`` if a reader delays the overwriting.
    """

    schema: ClassVar[str] = "artfs.purge/1"
    digests: Sequence[str]
    versions: Sequence[str]
    files: Sequence[str]
    reason: str
    purged_at: datetime | None
    freed_bytes: int
    shared_bytes: int
    waiting: bool
    dry_run: bool

    @classmethod
    def of(cls, report: PurgeReport) -> PurgeDocument:
        """Return the document of a purge."""
        return cls.from_attributes(report, purged_at=None if report.dry_run else report.purged_at)


@dataclass(frozen=True, slots=True)
class MachineCheckItem(Record):
    """One check of the machine: ``status`` is ok, warn or fail; ``fix`` is empty if there is nothing to do."""

    name: str
    status: str
    detail: str
    fix: str


@dataclass(frozen=True, slots=True)
class MachineDocument(Document):
    """What the machine offers and lacks (``artfs doctor``)."""

    schema: ClassVar[str] = "artfs.doctor/1"
    checks: Sequence[MachineCheckItem]

    @classmethod
    def of(cls, checks: Sequence[object]) -> MachineDocument:
        """Return the document of checks that have a name, a status, a detail and a fix."""
        return cls([MachineCheckItem.from_attributes(check) for check in checks])
