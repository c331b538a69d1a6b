"""A process that is killed at any moment loses nothing that was acknowledged, and leaves a workspace that works.

The suite kills at a share of the points; ``python -m crash.kill`` (with tests/ on PYTHONPATH) kills at all of them.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from corpora import folders
from corpora.folders import content_of
from crash.bugs import PUT_BUGS, RECORD_BUGS
from crash.kill import Tally, kill_at, kill_at_random, kill_everywhere, points
from crash.places import MIB, small_tmpfs
from crash.scenes import Scene, command, environment, run
from crash.states import faults, forget, opened

SHARES = {
    "init": 0.04,
    "first put": 0.07,
    "second put": 0.07,
    "alias": 0.13,
    "note": 0.1,
    "forget note": 0.05,
    "delete": 0.13,
    "delete now": 0.08,
    "undelete": 0.1,
    "rule": 0.13,
    "retain": 0.1,
    "link": 0.13,
    "work": 0.05,
    "refer": 0.07,
    "reap": 0.1,
    "compact": 0.03,
    "purge": 0.04,
    "draft": 0.03,
    "draft add": 0.07,
    "draft bring": 0.04,
    "draft commit": 0.13,
    "repair counts": 0.13,
    "repair content": 0.1,
    "rebuild": 0.05,
}
"""Of the points of each scene, those that the suite tries."""
SHOWN_BY = {
    **dict.fromkeys(PUT_BUGS, ("first put", "pwritev2")),
    "draft-moved-after-commit": ("draft add", "fdatasync"),
    "punched-before-commit": ("reap", "fdatasync"),
    "condemned-after-commit": ("reap", "fdatasync"),
    "pack-emptied-before-commit": ("compact", "fdatasync"),
}
"""The scene in which the rig finds a bug, and a call that it finds it at."""


@pytest.mark.parametrize("name", SHARES)
def test_killed_at_system_calls(stage: dict[str, Scene], quick_dir: Path, name: str) -> None:
    """An operation killed before any call that changes a file breaks no promise, and can be run again."""
    tally = Tally()
    kill_everywhere(stage[name], quick_dir, tally, share=SHARES[name])
    assert tally.faults == []
    assert tally.killed > 0


@pytest.mark.usefixtures("may_mount")
def test_killed_while_moving_into_a_mount_point(tmp_path: Path) -> None:
    """A mount point cannot be renamed over; an init killed between any two renames into it is finished by the next."""
    with small_tmpfs(tmp_path / "counted", 80 * MIB) as place:
        renames = points(command(place, ["init"]), tmp_path / "trace", ["rename", "renameat"])
    unfinished = 0
    for point in renames[-9:]:
        with small_tmpfs(tmp_path / "killed", 80 * MIB) as place:
            assert kill_at(point, place, ["init"])[0]
            unfinished += not (place / "current").exists()
            run(command(place, ["init"]))
            assert faults(place, {}) == []
            assert not list(place.glob(".artfs-*"))
            assert place.stat().st_mode & 0o777 == 0o700
            forget(place)
    assert unfinished == 9


def test_killed_at_random_moments(quick_dir: Path) -> None:
    """A workspace whose puts are killed repeatedly keeps every acknowledged version."""
    tally = Tally()
    kill_at_random(quick_dir, tally, seed=5, rounds=15)
    assert tally.faults == []
    assert tally.killed > 0


@pytest.mark.parametrize("bug", SHOWN_BY)
def test_the_rig_sees_a_seeded_bug(stage: dict[str, Scene], quick_dir: Path, bug: str) -> None:
    """With the order of writes swapped, or a reference not held, the rig reports a fault."""
    tally = Tally()
    name, call = SHOWN_BY[bug]
    kill_everywhere(stage[name], quick_dir, tally, bug=bug, calls=[call])
    assert tally.faults


@pytest.mark.parametrize("bug", [None, *RECORD_BUGS])
def test_the_recount_sees_a_wrong_record(quick_dir: Path, bug: str | None) -> None:
    """An index off by one, and the time of another version's content, are reported of a put that was not killed."""
    source, workspace = quick_dir / "source", quick_dir / "workspace"
    source.mkdir()
    folders.small(source, seed=1, files=10)
    run(command(workspace, ["init"]))
    run(command(workspace, ["put", str(source), "data"]))
    first = content_of(source)
    changed = source / "class-1" / "item-0001"
    changed.write_bytes(folders.random_bytes(changed.stat().st_size, 99))
    os.utime(changed, ns=(0, changed.stat().st_mtime_ns + 5 * 10**9))
    run(command(workspace, ["put", str(source), "data"], bug=bug))
    found = faults(workspace, {"data:v0": first, "data:v1": content_of(source)})
    assert bool(found) == bool(bug), found


def test_every_scene_is_tried(stage: dict[str, Scene]) -> None:
    """No scene is left out of the suite."""
    assert stage.keys() == SHARES.keys()


def test_interrupted_put_goes_on(quick_dir: Path) -> None:
    """After Ctrl-C in the middle of a put, the stored nodes belong to a dead draft and are not stored again."""
    source, workspace = quick_dir / "source", quick_dir / "workspace"
    source.mkdir()
    folders.crowd(source, 6000)
    run(command(workspace, ["init"]))
    child = subprocess.Popen(
        command(workspace, ["put", str(source), "data"], nodes=200), env=environment(), stderr=subprocess.DEVNULL
    )
    _wait_for_draft(workspace, child)
    child.send_signal(signal.SIGINT)
    assert child.wait(timeout=30) != 0
    with opened(workspace) as interrupted:
        [draft] = interrupted.drafts.states()
        assert not draft.alive and draft.artifact == "data" and draft.staged_nodes > 0
        staged = interrupted.usage().stored_bytes
        again = interrupted.put(source, "data")
        whole = interrupted.usage().stored_bytes
        assert again.receipt is not None and 0 < again.receipt.new_bytes == whole - staged
        assert interrupted.usage().free_bytes == 0
    assert faults(workspace, {"data:v0": content_of(source)}) == []


def _wait_for_draft(workspace: Path, child: subprocess.Popen[bytes]) -> None:
    """Wait until a put has committed a batch whose nodes wait for their parents."""
    deadline = time.monotonic() + 30
    with opened(workspace) as watched:
        while time.monotonic() < deadline and child.poll() is None:
            if any(draft.staged_nodes for draft in watched.drafts.states()):
                return
            time.sleep(0.005)
    raise AssertionError("the put staged nothing, or ended at once")
