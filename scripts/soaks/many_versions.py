"""10,000 versions: the cost of the last put compared with the first, and how soon a mount responds."""

from __future__ import annotations

import argparse
import os
import statistics
import time
from pathlib import Path

import artfs
from benchmarks.commands import Workspace
from soaks.report import Report, run


def put_versions(path: Path, source: Path, count: int) -> list[float]:
    """Make the versions through the Python API, one changed file in each; return the seconds of each put."""
    seconds = []
    workspace = artfs.open_workspace(path)
    for number in range(count):
        (source / "steps.txt").write_text(f"step {number}\n")
        start = time.perf_counter()
        workspace.put(source, "run")
        seconds.append(time.perf_counter() - start)
    return seconds


def soak(report: Report, folder: Path, arguments: argparse.Namespace) -> None:
    """Run the whole case."""
    count: int = arguments.versions
    source, mount, workspace = folder / "source", folder / "mount", Workspace(folder / "workspace")
    source.mkdir()
    mount.mkdir()
    (source / "constant.bin").write_bytes(bytes(range(256)) * 64)
    workspace.run("init", workspace.folder)
    seconds = put_versions(workspace.folder, source, count)
    tenth = max(1, count // 10)
    report.figure("a put, among the first tenth", statistics.median(seconds[:tenth]) * 1e3, "ms")
    report.figure("a put, among the last tenth", statistics.median(seconds[-tenth:]) * 1e3, "ms")
    report.figure("LMDB file", workspace.manifest_bytes() / 1e6, "MB")
    mounting, listing = [], []
    for _ in range(5):
        start = time.perf_counter()
        with workspace.mounted(mount):
            os.listdir(mount)
            mounting.append(time.perf_counter() - start)
            start = time.perf_counter()
            names = os.listdir(mount / "run")
            listing.append(time.perf_counter() - start)
    report.figure(
        "artfs mount until the first listing answers, median of 5", statistics.median(mounting), "s", most=0.5
    )
    report.figure("listing all versions", statistics.median(listing), "s")
    report.holds("it shows every version and latest", len(names) == count + 1)


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--versions", type=int, default=10_000, help="number of versions [10000]")
    run("many_versions", options, soak)
