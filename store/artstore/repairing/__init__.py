"""Repairing damage that a check has found, and rebuilding a lost manifest.

``repair`` repairs a workspace whose manifest still opens; ``rebuild`` makes a new manifest.
"""

from __future__ import annotations

import os
from pathlib import Path

from artstore.checking import examine
from artstore.checking.report import OnProgress, Report
from artstore.repairing.repair import repair
from artstore.repairing.repair_folders import restore_lease
from artstore.storage import disk
from artstore.store import Store

__all__ = ["check_and_repair"]


def check_and_repair(path: Path, *, data: bool = False, progress: OnProgress | None = None) -> Report:
    """Check the workspace at ``path`` as `artstore.checking.check` does, repair it, and report what is left.

    ``repaired`` lists the repairs.  A workspace that does not open is left unchanged: it needs a rebuild.
    Raises what `artstore.checking.check` and `artstore.repairing.repair.repair` raise.
    """
    before = examine(path, data=data, progress=progress)
    if before.report.clean:
        return before.report
    disk.require_writable(Path(os.path.realpath(path)))
    repairs = []
    if not before.opens and restore_lease(Path(os.path.realpath(path))):
        repairs.append("recreated the manifest's lease")
        before = examine(path, data=data, progress=progress)
    if not before.opens:
        return before.report
    repairs += repair(Store.open(path), before.damaged, progress)
    after = examine(path, data=data and bool(before.damaged), progress=progress).report
    after.repaired = repairs
    return after
