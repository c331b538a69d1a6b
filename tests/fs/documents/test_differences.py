"""Differences as JSON."""

from __future__ import annotations

from artfs.documents.differences import DifferenceDocument
from artfs.documents.encoding import encode
from artstore.queries.difference import Change
from fs.documents.shapes import check


def test_a_difference() -> None:
    changes = [Change("renamed", "\udcff", "old", 1, 1), Change("added", "new", None, None, 2)]
    document = encode(DifferenceDocument.of("x:v0", "x:v1", changes))
    check(document)
    assert (document["from"], document["to"]) == ("x:v0", "x:v1")
    assert document["changes"] == [
        {"kind": "renamed", "path": "\udcff", "old_path": "old", "old_size": 1, "new_size": 1},
        {"kind": "added", "path": "new", "old_path": None, "old_size": None, "new_size": 2},
    ]
