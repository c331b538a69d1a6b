"""Descriptions, metadata and their history as JSON."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from artfs.documents import revisions
from artfs.documents.encoding import encode
from artstore.queries.revisions import Revision
from fs.documents.shapes import check


def test_a_change() -> None:
    version: Any = SimpleNamespace(name="x:v3", description="text", metadata={"a": [1]})
    document = encode(revisions.RevisedDocument.of(version))
    check(document)
    assert document["name"] == "x:v3" and document["metadata"] == {"a": [1]}


def test_states_in_their_order() -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    states = [Revision(moment, "a@b", "two", {"n": 2}), Revision(moment, "", "", {})]
    document = encode(revisions.RevisionsDocument.of("x:v3", states))
    check(document)
    assert [state["description"] for state in document["revisions"]] == ["two", ""]
