"""What a mount counts of its reads, over all its processes and their successors."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from artfs.metrics import families
from artstore.workspace import Workspace

Children = Callable[[int], list[int]]
Eventually = Callable[..., None]


def test_counts_of_reads_survive_the_processes_that_counted(
    workspace: Workspace, mounts: Any, tmp_path: Path, children: Children, eventually: Eventually
) -> None:
    """A read of another part of a chunk is a hit of the cache, and what Prometheus gets never falls."""
    (tmp_path / "table").write_text("\n".join(map(str, range(100_000))))
    mount = mounts(workers=1)
    file = Path(mount.path(workspace.put(tmp_path / "table", "a")), "table")

    def totals() -> dict[str, float]:
        found = {family.metric.name: family.samples for family in families(workspace)}
        return {name: sum(each.value for each in of) for name, of in found.items() if name.endswith("_total")}

    def read_parts() -> dict[str, float]:
        with file.open("rb", buffering=0) as opened:
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
            for offset in range(0, 10 * 8192, 8192):
                os.pread(opened.fileno(), 10, offset)
        return totals()

    first, second = read_parts(), read_parts()
    assert first["artfs_mount_cache_misses_total"] > 0
    assert second["artfs_mount_cache_hits_total"] > first["artfs_mount_cache_hits_total"] > 0
    killed = [process.pid for process in mounts.status(mount).serving]
    for pid in killed:
        with contextlib.suppress(ProcessLookupError):  # a worker ends with its lane
            os.kill(pid, signal.SIGKILL)
    eventually(lambda: not set(killed) & set(children(mount.pid)))
    third = read_parts()
    assert all(third[name] >= value for name, value in second.items())
    assert third["artfs_mount_cache_hits_total"] > second["artfs_mount_cache_hits_total"]
    assert third["artfs_mount_worker_restarts_total"] > 0
