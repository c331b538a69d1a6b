"""The cache of downloads as JSON."""

from __future__ import annotations

from datetime import UTC, datetime

from artfs.documents import caching
from artfs.documents.encoding import encode
from fs.documents.shapes import check


def test_the_cache() -> None:
    copy = caching.CachedCopyItem("ab", "/c/ab", 5, link=False, used_at=datetime(2026, 1, 1, tzinfo=UTC))
    document = encode(caching.CacheDocument.of("/c", [copy, copy]))
    check(document)
    assert document["bytes"] == 10
    check(encode(caching.CacheCleanupDocument(1, 5)))
    check(encode(caching.CachePreloadDocument([caching.PreloadedItem("x:v0", "ab", "/c/ab")])))
