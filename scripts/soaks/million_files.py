"""A million small files: put, put again unchanged, put with ten changes, a draft, and a walk through the mount.

The second put must read no file, the ten changes must cost little time and little of the LMDB file, and the daemon must
stay small while the whole tree is walked.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import time
from pathlib import Path

import xxhash

from benchmarks.commands import Workspace, anonymous_memory
from soaks.report import Report, run

PER_FOLDER = 1000
MB = 1e6


def content(index: int, generation: int = 0) -> bytes:
    """Return the bytes of one file, different for each index and generation; 256 to 1008 bytes."""
    unique = xxhash.xxh3_128_digest(f"{index} {generation}".encode())
    return unique * (16 + index % 48)


def path_of(root: Path, index: int) -> str:
    """Return the path of one file: a thousand to a folder, a hundred folders to a folder."""
    folder = index // PER_FOLDER
    return f"{root}/{folder // 100:03}/{folder:06}/{index:08}.bin"


def write_tree(root: Path, count: int) -> int:
    """Write all files and return the sum of their sizes."""
    total = 0
    for index in range(count):
        path = path_of(root, index)
        if index % PER_FOLDER == 0:
            os.makedirs(os.path.dirname(path))
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        total += os.write(descriptor, content(index))
        os.close(descriptor)
    return total


def walk(root: Path) -> tuple[float, int, int]:
    """Walk with find and return seconds, the number of files and the sum of their sizes."""
    start = time.perf_counter()
    command = ["find", str(root), "-type", "f", "-printf", "%s\n"]
    sizes = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout.split()
    return time.perf_counter() - start, len(sizes), sum(map(int, sizes))


def put_three_times(report: Report, workspace: Workspace, tree: Path, count: int, total: int) -> None:
    """Put the tree, put it unchanged, put it with ten changes; check the bounds between them."""
    time.sleep(5)  # a put rereads files changed in the last seconds
    first = workspace.watch("put", tree, "million")
    manifest = workspace.manifest_bytes()
    report.holds(f"the first put has {count:,} files", first.document["files"] == count)
    report.figure("first put", first.seconds, "s")
    report.figure("its memory, all processes", first.peak_bytes / MB, "MB")
    report.figure("LMDB file after it", manifest / MB, "MB")

    again = workspace.watch("put", tree, "million")
    report.holds("the unchanged put makes no version", not again.document["created"])
    report.figure("unchanged put", again.seconds, "s")
    # Starting Python causes a few MB of read calls, as a put of one small file shows; the stat cache is read as well.
    start = workspace.watch("put", path_of(tree, 0), "one").bytes_read
    report.figure("what it read, less Python's start", (again.bytes_read - start) / MB, "MB", most=total / MB / 4)

    manifest = workspace.manifest_bytes()
    for index in range(count // 20, count, count // 10):
        Path(path_of(tree, index)).write_bytes(content(index, generation=1))
    changed = workspace.watch("put", tree, "million")
    report.holds("ten changes make v1", changed.document["version"] == "v1")
    report.figure("put with ten changes", changed.seconds, "s", most=first.seconds / 8)
    report.figure("what it read, less Python's start", (changed.bytes_read - start) / MB, "MB")
    report.figure("growth of the LMDB file", (workspace.manifest_bytes() - manifest) / MB, "MB", most=1)
    changes = workspace.report("diff", "million:v0", "million:v1")["changes"]
    report.holds("diff lists the ten", len(changes) == 10 and all(change["kind"] == "changed" for change in changes))


def draft_ten_changes(report: Report, workspace: Workspace, folder: Path, count: int) -> None:
    """Open a draft of the million, change ten files of it, and commit that; check the bound of the commit."""
    changes = folder / "changes"
    for index in range(count // 20, count, count // 10):
        place = Path(path_of(changes, index))
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content(index, generation=2))
    opened = workspace.watch("draft", "new", "million", "--from", "latest", "--id", "ten")
    added = workspace.watch("draft", "add", "ten", changes, "--overwrite")
    committed = workspace.watch("draft", "commit", "ten")
    report.holds("the draft makes v2", committed.document["version"] == "v2")
    report.holds(f"it has {count:,} files", committed.document["files"] == count)
    report.figure("a draft of it is opened", opened.seconds, "s", most=1)
    report.figure("ten files are changed in it", added.seconds, "s", most=1)
    report.figure("it is committed", committed.seconds, "s", most=1)


def soak(report: Report, folder: Path, arguments: argparse.Namespace) -> None:
    """Run the whole case."""
    count: int = arguments.files
    tree, mount, workspace = folder / "tree", folder / "mount", Workspace(folder / "workspace")
    total = write_tree(tree, count)
    workspace.run("init", workspace.folder)
    put_three_times(report, workspace, tree, count, total)
    draft_ten_changes(report, workspace, folder, count)
    with workspace.mounted(mount) as daemon:
        for turn in ("cold", "warm"):
            seconds, files, size = walk(mount / "million" / "v1")
            report.figure(f"{turn} walk of the mount, with attributes", seconds, "s")
            report.holds("it finds every file and byte", (files, size) == (count, total))
        report.figure(
            "largest process of the daemon, anonymous memory", max(anonymous_memory(daemon)) / MB, "MB", most=120
        )
        report.figure("all its processes", sum(anonymous_memory(daemon)) / MB, "MB")
        report.figure("plain walk of the source", walk(tree)[0], "s")


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--files", type=int, default=1_000_000, help="number of files [1000000]")
    run("million_files", options, soak)
