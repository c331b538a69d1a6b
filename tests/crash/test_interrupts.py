"""An interrupted call leaves nothing open or locked in a process that lives on; `scripts/soak interrupts` does more."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from crash.scenes import environment

ROOT = Path(__file__).parents[2]
CODE = """
import json, sys
from pathlib import Path
from soaks.interrupts import interrupt
if sys.argv[3]:
    from artstore import interrupts
    interrupts.deliver_at_once()
hits, wrong = interrupt(Path(sys.argv[1]), int(sys.argv[2]), 5)
print(json.dumps([sum(hits.values()), wrong]))
"""


def interrupted(folder: Path, count: int, *, bug: bool = False) -> Any:
    """Interrupt a process some times; return how often it was interrupted, and the faults."""
    given = environment()
    given["PYTHONPATH"] = f"{ROOT / 'scripts'}{os.pathsep}{given['PYTHONPATH']}"
    command = [sys.executable, "-W", "ignore", "-c", CODE, str(folder), str(count), "bug" * bug]
    done = subprocess.run(command, env=given, capture_output=True, text=True, timeout=240, start_new_session=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_interrupts_leave_nothing(tmp_path: Path) -> None:
    """SIGINT at random moments, and KeyboardInterrupt at lines outside critical sections."""
    count, wrong = interrupted(tmp_path, 120)
    assert (count, wrong) == (120, [])


def test_the_rig_sees_a_seeded_bug(tmp_path: Path) -> None:
    """Without critical sections descriptors, locks or drafts are left behind."""
    assert interrupted(tmp_path, 150, bug=True)[1]
