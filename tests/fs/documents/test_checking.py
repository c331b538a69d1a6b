"""Checks, explanations and purges as JSON."""

from __future__ import annotations

from datetime import UTC, datetime

from artfs.documents import checking
from artfs.documents.encoding import encode
from artstore.changes.purging import PurgeReport
from artstore.checking.report import Problem, Report
from artstore.queries.explaining import Explanation
from fs.documents.shapes import check


def test_a_check() -> None:
    report = Report()
    report.take(Problem("chunk", "broken", chunk="ab", files=["x:v0/a"], versions=["x:v0"], node=7))
    report.count(nodes=3)
    document = encode(checking.CheckDocument.of(report))
    check(document)
    assert not document["clean"] and document["counted"] == {"nodes": 3}
    assert list(document["problems"][0]) == ["kind", "message", "chunk", "files", "versions"]


def test_an_explanation() -> None:
    document = encode(checking.ExplanationDocument.of(Explanation("x", "a version", "live", versions=["x:v0"])))
    check(document)
    assert document["reasons"] == ["held by x:v0"]


def test_a_purge_that_was_not_made_has_no_time() -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    for dry_run in (False, True):
        document = encode(checking.PurgeDocument.of(PurgeReport(["ab"], [], [], "why", moment, dry_run=dry_run)))
        check(document)
        assert (document["purged_at"] is None) == dry_run


def test_checks_of_the_machine() -> None:
    check(encode(checking.MachineDocument([checking.MachineCheckItem("python", "ok", "3.11", "")])))
