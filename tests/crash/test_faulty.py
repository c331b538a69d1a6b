"""A put in which one system call fails tells why in one sentence, loses nothing, and succeeds when it is run again."""

from __future__ import annotations

from pathlib import Path

import pytest

from crash.faulty import EXIT_CODES, fail_everywhere
from crash.kill import Tally, scenes


@pytest.mark.parametrize("error", sorted(EXIT_CODES))
def test_failing_system_calls(quick_dir: Path, error: str) -> None:
    """Each call that writes or syncs may fail once, with no space or a broken disk."""
    tally = Tally()
    for scene in scenes(quick_dir / "scenes"):
        if scene.name == "second put":
            codes = fail_everywhere(scene, quick_dir, tally, error=error, share=0.18)
            assert tally.faults == []
            assert set(codes) - {0}, "no failure reached the command"
