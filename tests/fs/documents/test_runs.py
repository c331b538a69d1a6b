"""Runs as JSON."""

from __future__ import annotations

from artfs.documents.encoding import encode
from artfs.documents.runs import RunDocument, RunsDocument
from artstore.records.catalogue import RunRecord
from fs.documents.shapes import check

RECORD = RunRecord(1, "p", "one", 10**9, config={"lr": 0.5})


def test_runs() -> None:
    document = encode(RunsDocument.of([(RECORD, "running")]))
    check(document)
    assert (document["runs"][0]["run"], document["runs"][0]["name"]) == ("p/one", "one")


def test_a_run_with_and_without_its_rows() -> None:
    for history in (None, [{"loss": 1.5}]):
        document = encode(RunDocument.shown(RECORD, "finished", used=["x:v0"], logged=[], history=history))
        check(document)
        assert document.get("history") == history
