"""Failures as JSON."""

from __future__ import annotations

from artfs.documents.encoding import encode
from artfs.documents.errors import ErrorDocument
from fs.documents.shapes import check


def test_a_failure() -> None:
    document = encode(ErrorDocument.of("not_found", "no artifact x", "artfs ls"))
    check(document)
    assert document["error"] == {"kind": "not_found", "message": "no artifact x", "hint": "artfs ls"}
