"""If system calls of a command fail, it gives the reason in one sentence, loses nothing, and succeeds when rerun."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest

from crash.faulty import fail_everywhere
from crash.kill import Tally
from crash.scenes import Scene

SHARES: Mapping[str, Mapping[str, float]] = {
    "ENOSPC": {"second put": 0.04, "delete now": 0.06, "compact": 0.01, "draft add": 0.03},
    "EIO": {"first put": 0.04, "reap": 0.06, "purge": 0.03, "draft commit": 0.05},
    "EDQUOT": {"retain": 0.06, "init": 0.04, "undelete": 0.1, "repair content": 0.08},
}
"""Of the points of some scenes, those that the suite tries."""


@pytest.mark.parametrize("for_good", [False, True])
@pytest.mark.parametrize("error", sorted(SHARES))
def test_failing_system_calls(stage: dict[str, Scene], quick_dir: Path, error: str, for_good: bool) -> None:
    """Each call that writes or syncs may fail, once or from then on, with no space or a broken disk."""
    tally = Tally()
    codes: Counter[int] = Counter()
    for name, share in SHARES[error].items():
        codes += fail_everywhere(stage[name], quick_dir, tally, error=error, for_good=for_good, share=share)
    assert tally.faults == []
    assert set(codes) - {0}, "no failure reached the command"


def test_the_rig_sees_a_seeded_bug(stage: dict[str, Scene], quick_dir: Path) -> None:
    """The rig reports a fault if a failed commit is treated as a successful one."""
    tally = Tally()
    fail_everywhere(stage["first put"], quick_dir, tally, error="ENOSPC", bug="failed-commit-ignored")
    assert tally.faults
