"""A 20 GB file: put within 300 MB of memory, and read back through the mount, hashed."""

from __future__ import annotations

import argparse
import shutil
import time
from pathlib import Path

from blake3 import blake3

from benchmarks.commands import Workspace, anonymous_memory
from benchmarks.content import write_checkpoint
from soaks.report import Report, run

MB = 1e6


def hash_file(path: Path) -> str:
    """Read a file from start to end and return the BLAKE3 of it in hex."""
    digest, buffer = blake3(), bytearray(4 << 20)
    view = memoryview(buffer)
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            digest.update(view[:count])
    return digest.hexdigest()


def soak(report: Report, folder: Path, arguments: argparse.Namespace) -> None:
    """Run the whole case."""
    size = int(arguments.gb * 1e9)
    stored = size * (1 - arguments.holes)
    room = shutil.disk_usage(folder).free
    if room < 2.1 * stored:
        raise SystemExit(
            f"needs {2.1 * stored / 1e9:.0f} GB in {folder}, which has {room / 1e9:.0f}: give a smaller --gb"
        )
    source, mount, workspace = folder / "source", folder / "mount", Workspace(folder / "workspace")
    source.mkdir()
    digest = write_checkpoint(source / "weights", size, seed=5, holes=arguments.holes)
    workspace.run("init", workspace.folder)
    put = workspace.watch("put", source, "weights")
    report.figure("put", put.seconds, "s")
    report.figure("put", size / MB / put.seconds, "MB/s")
    report.figure("its memory, all processes together", put.peak_bytes / MB, "MB", most=300)
    [file] = workspace.report("ls", "-l", "weights:v0")["files"]
    report.holds("the file's id is the BLAKE3 of its content", file["digest"] == digest)
    with workspace.mounted(mount) as daemon:
        start = time.perf_counter()
        read = hash_file(mount / "weights" / "v0" / "weights")
        seconds = time.perf_counter() - start
        report.figure("read through the mount, hashed", seconds, "s")
        report.figure("read through the mount, hashed", size / MB / seconds, "MB/s")
        report.holds("what was read is what was put", read == digest)
        report.figure(
            "largest process of the daemon, anonymous memory", max(anonymous_memory(daemon)) / MB, "MB", most=120
        )


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--gb", type=float, default=20, help="size of the file in GB [20]")
    options.add_argument("--holes", type=float, default=0, help="share of the file that is holes, 0 to 1 [0]")
    run("large_file", options, soak)
