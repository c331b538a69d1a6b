"""The disk space that a run needs."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from benchmarks.datasets import Scale
from benchmarks.processes import allocated_bytes

GB = 1e9
DATA_GB, DOWNLOADS_GB = 6.6, 0.4
"""All data sets of the full run, and what is downloaded for them and for the peers, as measured."""
STORE_GB = 4.1
"""One peer's store of all data sets that are read from, as measured; and the largest store that a put makes."""


def needed_gb(scale: Scale, stores: int) -> float:
    """Return the disk space of a run: the data, the stores of the data to read, and space for the result of a put."""
    return DOWNLOADS_GB + scale.factor * (DATA_GB + (stores + 1) * STORE_GB)


def allocated_gb(folder: Path) -> float:
    """Return the disk space that a folder takes."""
    return allocated_bytes(folder) / GB


def announce(scale: Scale, works: Sequence[str], names: Sequence[str], stores: int, directory: Path) -> list[str]:
    """Return the plan of the run in a few lines; raise SystemExit if the disk lacks space for it."""
    needed, there = needed_gb(scale, stores), allocated_gb(directory)
    free = shutil.disk_usage(directory).free / GB
    if there + free < needed:
        raise SystemExit(
            f"bench: {directory} has {free:.0f} GB free and up to {needed - there:.0f} GB will be needed: "
            "take another --directory, a smaller --scale, or fewer --peers"
        )
    return [
        f"works: {' '.join(works)}",
        f"sides: {', '.join(names)}",
        f"{needed:.0f} GB of disk at most, in {directory}; data stays there for the next run, all else is removed",
    ]
