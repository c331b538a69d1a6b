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
from crash.child import BUGS
from crash.kill import Tally, command, environment, kill_at_random, kill_everywhere, run, scenes
from crash.states import faults, opened

SHARES = {"init": 0.08, "first put": 0.35, "second put": 0.3, "alias": 0.5}


def test_killed_at_system_calls(quick_dir: Path) -> None:
    """Killed before any call that changes a file, an operation leaves all promises kept, and can be run again."""
    for scene in scenes(quick_dir / "scenes"):
        tally = Tally()
        kill_everywhere(scene, quick_dir, tally, share=SHARES[scene.name])
        assert tally.faults == []
        assert tally.killed > 0, f"no run of {scene.name} was killed"


def test_killed_at_random_moments(quick_dir: Path) -> None:
    """A workspace whose puts are killed over and over keeps every version that was acknowledged."""
    tally = Tally()
    kill_at_random(quick_dir, tally, seed=5, rounds=15)
    assert tally.faults == []
    assert tally.killed > 0


@pytest.mark.parametrize("bug", sorted(BUGS))
def test_the_rig_sees_a_seeded_bug(quick_dir: Path, bug: str) -> None:
    """With the order of writes swapped, or a reference not held, the rig reports a fault."""
    for scene in scenes(quick_dir / "scenes"):
        if scene.name == "first put":
            tally = Tally()
            kill_everywhere(scene, quick_dir, tally, bug=bug)
            assert tally.faults


def test_interrupted_put_goes_on(quick_dir: Path) -> None:
    """Ctrl-C in the middle of a put: what was stored is a dead draft's, and is not stored again."""
    source, workspace = quick_dir / "source", quick_dir / "workspace"
    source.mkdir()
    folders.crowd(source, 6000)
    run(command(workspace, ["init"]))
    child = subprocess.Popen(
        command(workspace, ["put", str(source), "data"], nodes=200), env=environment(), stderr=subprocess.DEVNULL
    )
    _wait_for_pack(workspace, child)
    child.send_signal(signal.SIGINT)
    assert child.wait(timeout=30) != 0
    with opened(workspace) as interrupted:
        [draft] = interrupted.drafts()
        assert not draft.alive and draft.artifact == "data" and draft.staged_nodes > 0
        staged = interrupted.usage().stored_bytes
        again = interrupted.put(source, "data")
        whole = interrupted.usage().stored_bytes
        assert again.receipt is not None and 0 < again.receipt.new_bytes == whole - staged
        assert interrupted.usage().free_bytes == 0
    assert faults(workspace, {"data:v0": content_of(source)}) == []


def _wait_for_pack(workspace: Path, child: subprocess.Popen[bytes]) -> None:
    """Wait until a put has written its first batch."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and child.poll() is None:
        if sum(os.stat(pack).st_size for pack in (workspace / "packs").iterdir()) > 1000:
            return
        time.sleep(0.005)
    raise AssertionError("the put wrote nothing, or ended at once")
