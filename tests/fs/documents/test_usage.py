"""Usage as JSON."""

from __future__ import annotations

from artfs.documents.encoding import encode
from artfs.documents.usage import DiskUseDocument, UsageDocument
from artstore.queries.usage import DiskUse, GroupUsage, Usage, VersionUsage
from fs.documents.shapes import check

USAGE = Usage(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, oldest_ns=10**9)


def test_the_workspace_and_what_was_asked_for() -> None:
    document = encode(UsageDocument.of(USAGE))
    check(document)
    assert document["deadlist_oldest_at"] == "1970-01-01T00:00:01.000000Z" and "by_version" not in document
    document = encode(UsageDocument.of(USAGE, artifact="x", versions=[VersionUsage(3, 1, 20, 10, 5, 7)]))
    check(document)
    assert document["by_version"] == [{"version": "v3", "logical": 20, "alone": 10, "unique": 5, "attributed": 7}]
    for by in ("project", "type"):
        document = encode(UsageDocument.of(USAGE, by=by, groups=[GroupUsage("", 1, 2, 3)]))
        check(document)
        assert document[f"by_{by}"] == [{by: None, "versions": 1, "logical": 2, "attributed": 3}]


def test_one_version() -> None:
    document = encode(DiskUseDocument.of("x", DiskUse(3, 1, 20, 10, 5, 7, 2, 20)))
    check(document)
    assert (document["version"], document["logical"], document["bytes"]) == ("v3", 20, 20)
