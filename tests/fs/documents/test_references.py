"""References as JSON."""

from __future__ import annotations

from artfs.documents.encoding import encode
from artfs.documents.references import ReferenceCheckDocument, ReferencesDocument
from artstore.drafting.reference_ops import CheckedReference, Reference
from artstore.records.references import ReferenceRecord
from fs.documents.shapes import check

REFERENCE = Reference(b"a", b"id", ReferenceRecord("s3://b/a", 3, etag="e"))


def test_references() -> None:
    document = encode(ReferencesDocument.of([REFERENCE]))
    check(document)
    assert document["references"][0]["etag"] == "e"


def test_references_that_were_checked() -> None:
    for state in ("ok", "changed", "unknown"):
        document = encode(ReferenceCheckDocument.of([CheckedReference(REFERENCE, state, "why")]))
        check(document)
        assert document["ok"] == (state == "ok")
