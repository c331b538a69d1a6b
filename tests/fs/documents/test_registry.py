"""What holds for all documents."""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass

from artfs.documents.registry import documents


def test_schemas_have_a_name_and_a_number() -> None:
    assert len(documents()) > 50
    for schema, kind in documents().items():
        assert re.fullmatch(r"artfs\.[a-z_]+/[1-9]\d*", schema), schema
        assert kind.schema == schema and is_dataclass(kind) and kind.__name__.endswith("Document")


def test_keys_are_words_without_blanks() -> None:
    for kind in documents().values():
        for item in fields(kind):  # type: ignore[arg-type]
            assert re.fullmatch(r"[a-z][a-z0-9_]*", item.name), item.name
