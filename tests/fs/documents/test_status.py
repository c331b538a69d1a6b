"""What is mounted, and what waits, as JSON."""

from __future__ import annotations

from datetime import UTC, datetime

from artfs.documents import status
from artfs.documents.encoding import encode
from artfs.mount.reports import MountStatus, ReaperStatus, WorkerStatus
from artstore.rows.deadlist import Backlog
from artstore.rows.drafts import DraftInfo
from artstore.rows.interrupted import Interrupted
from fs.documents.shapes import check

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def test_the_status() -> None:
    worker = WorkerStatus(1, NOON, 0, 10, 5, 4, 3, 2, None)
    live = MountStatus(
        "/w", "/m", "live", pid=1, started_at=NOON, workers=[worker], reaper=ReaperStatus("idle", 0, 0, 0, NOON, None)
    )
    drafts = [DraftInfo(1, "x", 1, 2, True, 3), DraftInfo(1, "x", 1, 2, True, 3, id="d", expires_ns=10**9)]
    document = encode(
        status.StatusDocument.of(
            [live, MountStatus("/w", "/n", "dead")],
            [(drafts[0], Interrupted(1, "x", "/d", 2, 1, 10**9, 5)), (drafts[1], None)],
            Backlog(0, 0, None, 1),
            True,
        )
    )
    check(document)
    assert document["mounts"][0]["requests"] == 10
    assert [draft["id"] for draft in document["drafts"]] == [None, "d"]
    assert [draft["interrupted_bytes"] for draft in document["drafts"]] == [5, 0]
    assert document["read_only"] is True
    named = encode(status.StatusDocument.of([], [], None, None))
    assert "backlog" not in named and "read_only" not in named
