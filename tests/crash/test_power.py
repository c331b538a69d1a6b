"""After a power failure, every acknowledged version is whole and the workspace works, whatever the disk kept.

The suite looks at some states; ``scripts/soak power`` at many.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

from crash.bugs import POWER_BUGS
from crash.scenes import environment


def lose_power(*options: str) -> subprocess.CompletedProcess[str]:
    """Run the rig in a process without threads, because it forks."""
    words = [sys.executable, "-m", "crash.power", *options]
    return subprocess.run(words, env=environment(), capture_output=True, text=True, timeout=200)


def test_power_is_lost() -> None:
    """Unsynced writes are lost, kept, reordered and torn, at any call of a series of puts, deletions and compaction."""
    done = lose_power("--states", "80", "--seed", "3")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("bug", sorted(POWER_BUGS))
def test_the_rig_sees_a_seeded_bug(bug: str) -> None:
    """With a sync left out, or two steps swapped, the rig reports a fault; it ends with the first one."""
    done = lose_power("--states", "400", "--seed", "5", "--bug", bug)
    assert done.returncode == 1 and "power loss: " in done.stdout, done.stdout + done.stderr
