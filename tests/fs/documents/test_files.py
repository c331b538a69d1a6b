"""Files and copies as JSON."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from artfs.documents import files
from artfs.documents.encoding import encode
from artstore.queries.exporting.writing import GetReceipt
from artstore.queries.versions import FileInfo
from artstore.queries.warming import Warmed
from fs.documents.shapes import check


def test_a_folder() -> None:
    version: Any = SimpleNamespace(artifact="x", number=3)
    link = FileInfo("l", "link", 1, "ab", False, "to", datetime(2026, 1, 1, tzinfo=UTC), 0o777)
    document = encode(files.FilesDocument.of(version, b"train", [link]))
    check(document)
    assert (document["version"], document["files"][0]["target"]) == ("v3", "to")
    assert document["files"][0]["mode"] == 0o777


def test_copies() -> None:
    check(encode(files.CopyDocument.of("out", GetReceipt(1, 2, 3))))
    check(encode(files.DownloadDocument.of("x:v0", "out", GetReceipt(1, 2, 3))))
    check(encode(files.WarmDocument.of(Warmed(1, 2))))
