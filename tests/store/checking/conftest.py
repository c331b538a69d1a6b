"""What a check reports on a workspace."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from artstore.checking.files import Place, check_files
from artstore.checking.report import Report
from artstore.checking.structure import check_structure
from artstore.storage import manifest
from artstore.storage.manifest import WriteTransaction
from messages import missing
from reasons import has_reason

Tamper = Callable[[WriteTransaction], None]


def structure_of(path: Path) -> Report:
    """Check the structure of a workspace in this process."""
    report = Report()
    place = check_files(path, report)
    assert isinstance(place, Place)
    with manifest.read(path) as transaction:
        check_structure(path, transaction, place, report)
    return report


def found(report: Report, kind: str, *, names: Sequence[str] = (), reason: str | None = None) -> bool:
    """Return whether a report has a problem of a kind whose sentence contains the names and gives the reason."""
    sentences = [problem.message for problem in report.problems if problem.kind == kind]
    return any(
        not missing(sentence, names) and (reason is None or has_reason(sentence, reason)) for sentence in sentences
    )
