"""Versions as JSON."""

from __future__ import annotations

from pathlib import Path

from artfs.documents import versions
from artfs.documents.encoding import encode
from artstore.references.failures import Failure
from artstore.workspace import init_workspace
from fs.documents.shapes import check


def test_a_version_that_was_put(tmp_path: Path) -> None:
    """Living, deleted, linked and gone versions, made from a store's values."""
    workspace = init_workspace(tmp_path / "workspace")
    (tmp_path / "a").write_text("a")
    version = workspace.put(tmp_path / "a", "x")
    put = encode(versions.PutDocument.of(version))
    check(put)
    assert put["created"] and put["version"] == "v0"
    check(encode(versions.PutsDocument.of([version])))
    check(encode(versions.LinkDocument.of(version)))
    shown = encode(versions.VersionDocument.shown(version, {"used by": ["p/one"]}, [(b"a", Failure(b"", "gone", 1.5))]))
    check(shown)
    assert shown["lineage"] == {"used_by": ["p/one"]}
    assert shown["failed_references"] == [{"path": "a", "message": "gone", "found_at": "1970-01-01T00:00:01.500000Z"}]
    assert "artifact" not in encode(versions.VersionsDocument.of([version]))
    check(encode(versions.VersionsDocument.of([version], artifact="x")))


def test_numbers_that_are_gone_are_listed_newest_first() -> None:
    document = encode(versions.LogDocument.of("x", [range(2)]))
    check(document)
    assert [item["name"] for item in document["versions"]] == ["x:v1", "x:v0"]


def test_purges() -> None:
    purge = {"more": 5, "reason": "why", "purged_ns": 10**9, "old_digest": "ab"}
    assert versions.PurgeItem.of(purge).path is None
