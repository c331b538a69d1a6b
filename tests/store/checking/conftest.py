"""What a check reports on a workspace."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from artstore.checking.files import Place, check_files
from artstore.checking.report import Report
from artstore.checking.structure import check_structure
from artstore.storage import manifest
from artstore.storage.manifest import WriteTransaction

Tamper = Callable[[WriteTransaction], None]


def structure_of(path: Path) -> Report:
    """Check the structure of a workspace in this process."""
    report = Report()
    place = check_files(path, report)
    assert isinstance(place, Place)
    with manifest.read(path) as transaction:
        check_structure(path, transaction, place, report)
    return report


def found(report: Report, kind: str, words: str) -> bool:
    """Return whether a report has a problem of a kind whose sentence has some words."""
    return any(problem.kind == kind and words in problem.message for problem in report.problems)
