"""The workspace that the pages are tried on has each thing that a page can show, and is sound."""

from __future__ import annotations

from pathlib import Path

from artstore.workspace import Workspace
from browser import hostile


def test_everything_is_there(lived: Workspace) -> None:
    """Versions that are deleted and gone, runs that failed, drafts, interrupted puts, rules, files that moved."""
    assert lived.fsck(data=True).problems == []
    assert {version.name for version in lived.log("vision/digits") if version.state == "deleted"} == {
        "vision/digits:v2"
    }
    assert [version.number for version in lived.versions("attic/old")] == [1]
    assert {lived.runs.state(run) for run in lived.runs.all()} == {"finished", "failed"}
    assert [draft.artifact for draft in lived.drafts.interrupted()] == ["field/interrupted"]
    assert [draft.id for draft in lived.drafts.all()] == ["fixes"]
    assert {rule.name for rule in lived.retention.rules()} == {"checkpoints", "released", "scratch"}
    assert len(lived.retention.plan().expiring) > 3
    moved = lived.diff("vision/digits:v0", "vision/digits:v1").renamed
    folders = [(change.old_raw_path.split(b"/")[1], change.raw_path.split(b"/")[1]) for change in moved]
    assert folders.count((b"3", b"4")) == 9


def test_the_corpus_is_what_it_says(attacked: Workspace, cases: list[hostile.Case], canary: Path) -> None:
    """Each case is a file of its version, and only the one that says so is damaged."""
    assert [case for case in cases if attacked.version(case.version).stat(case.path).kind != "file"] == []
    assert len({case.name for case in cases}) == len(cases) > 150
    assert [problem.kind for problem in attacked.fsck(data=True).problems] == ["chunk"]
    assert not canary.exists()
