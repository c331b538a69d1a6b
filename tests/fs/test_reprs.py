"""Results show one short line in a session, whatever they hold."""

from __future__ import annotations

from pathlib import Path

import artfs


def test_reprs_are_short(tmp_path: Path) -> None:
    workspace = artfs.init_workspace(tmp_path / "ws")
    (tmp_path / "f").write_text("content")
    for _ in range(30):
        workspace.put(tmp_path / "f", "data", new=True)
    workspace.retention.set("few", last=2)
    purged = workspace.purge("data:v29/f", reason="test", everywhere=True, dry_run=True)
    results = {
        "Usage 30 versions": workspace.usage(),
        "Graph of data:v3: 1 nodes": workspace.lineage("data:v3"),
        "RetentionPlan 28 of 30 versions expire": workspace.retention.plan(),
        "Deletion of data:v0, data:v1, data:v2 and 7 more": workspace.delete("data:v0..v9", dry_run=True),
        "GcReport 0 bytes freed": workspace.gc(dry_run=True),
        "Explanation of data:v3": workspace.why("data:v3"),
        "Report 0 problems": workspace.fsck(),
        "PurgeReport 30 files of 30 versions": purged,
    }
    for beginning, result in results.items():
        assert repr(result).startswith(f"<{beginning}") and len(repr(result)) <= 120, repr(result)
