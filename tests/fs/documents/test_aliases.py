"""Aliases and tags as JSON."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from artfs.documents import aliases
from artfs.documents.encoding import encode
from artstore.queries.artifacts import AliasChange
from fs.documents.shapes import check

VERSION: Any = SimpleNamespace(artifact="x", number=3)


def test_aliases_are_sorted() -> None:
    document = encode(aliases.AliasesDocument.of("x", {"b": 2, "a": 1}))
    check(document)
    assert document["aliases"] == [{"alias": "a", "version": "v1"}, {"alias": "b", "version": "v2"}]


def test_changes() -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    document = encode(aliases.AliasLogDocument.of("x", [AliasChange("a", None, moment), AliasChange("a", 0, moment)]))
    check(document)
    assert [change["version"] for change in document["changes"]] == [None, "v0"]


def test_settings_removals_and_tags() -> None:
    assert encode(aliases.AliasSettingDocument.of(VERSION, ("a", "b"))) == {
        "schema": "artfs.alias_setting/1",
        "artifact": "x",
        "version": "v3",
        "aliases": ["a", "b"],
    }
    assert encode(aliases.AliasRemovalDocument("x", ["a"]))["removed"] == ["a"]
    assert encode(aliases.TagsDocument.of(VERSION, ["t"]))["tags"] == ["t"]
