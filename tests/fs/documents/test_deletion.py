"""Deletions, restorations and collections as JSON."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from artfs.documents import deletion
from artfs.documents.encoding import encode
from artstore.changes.deleting import Deletion, Undeletion
from artstore.reclaim.collecting import GcReport
from fs.documents.shapes import check

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def test_a_deletion() -> None:
    document = encode(deletion.DeletionDocument.of(Deletion(["x:v0"], 5, ["x:a"], NOON, silent=["/mnt"])))
    check(document)
    assert document["due_at"] == "2026-01-31T12:00:00.000000Z" and "silent" not in document


def test_a_restoration() -> None:
    version: Any = SimpleNamespace(name="x:v0", artifact="x")
    document = encode(deletion.UndeletionDocument.of([Undeletion(version, ["a"], ["b"], [])]))
    check(document)
    assert (document["aliases"], document["skipped_aliases"]) == (["x:a"], ["x:b"])


def test_a_collection() -> None:
    check(encode(deletion.CollectionDocument.of(GcReport(1, 2, 3, 4, 5, 6, None, 7))))
    check(encode(deletion.CollectionDocument.of(GcReport(1, 2, 3, 4, 5, 6, NOON, 7, manifest_bytes_before=8))))
