"""Open drafts as JSON."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from artfs.documents import drafts
from artfs.documents.encoding import encode
from artstore.drafting.adding import Added
from artstore.drafting.stage_reference import Referred
from artstore.queries.difference import Change
from artstore.records.catalogue import DraftRecord
from artstore.rows.interrupted import Interrupted
from fs.documents.shapes import check

RECORD = DraftRecord(1, "x", 10**9, 7, id="d", active_ns=10**9, life_ns=10**9, new_bytes=5)
DRAFT: Any = SimpleNamespace(id="d", base=None, record=lambda: RECORD)


def test_a_draft() -> None:
    document = encode(drafts.DraftDocument.of(DRAFT))
    check(document)
    assert document["expires_at"] == "1970-01-01T00:00:02.000000Z"
    check(encode(drafts.DraftStatusDocument.shown(DRAFT, [Change("added", "a", None, None, 1)])))
    put = drafts.InterruptedItem.of(Interrupted(1, "x", "", 7, 10**9, 2 * 10**9, 5))
    document = encode(drafts.DraftsDocument([drafts.DraftItem.of(DRAFT)], [put]))
    check(document)
    assert document["interrupted"][0]["source"] is None


def test_steps() -> None:
    check(encode(drafts.DraftAdditionDocument.of("d", Added(1, 2, 3))))
    referred = encode(drafts.DraftAdditionDocument.of_references("d", Referred([b"a"], 2)))
    check(referred)
    assert (referred["files"], "new_bytes" in referred) == (1, False)
    assert encode(drafts.DraftRemovalDocument.of("d", [b"a"]))["removed"] == ["a"]
    check(encode(drafts.DraftMoveDocument("d", "a")))
    check(encode(drafts.DraftAbortDocument("d")))
