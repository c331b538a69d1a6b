"""Measure how soon the pages of `artfs ui` begin to arrive, from a server that has answered before.

Three cases: an artifact of 10,000 versions, a folder of 100,000 files, and a comparison of two versions of 1,000,000
files that differ in ten. The first byte of each page comes within the goal, and the server stays small.
"""

from __future__ import annotations

import argparse
import http.client
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlencode, urlsplit

import artfs
from benchmarks.commands import anonymous_memory, measured_on

FIRST_BYTE: Final = 0.3
"""Seconds until the first byte, at most."""
MEMORY: Final = 150e6
"""Bytes of the server in memory, at most."""
_ROUNDS: Final = 7


def write_files(folder: Path, count: int, per_folder: int) -> None:
    """Write small files, each different, so many to a folder."""
    for index in range(count):
        place = f"{folder}/{index // per_folder:05}"
        if index % per_folder == 0:
            os.makedirs(place)
        descriptor = os.open(f"{place}/{index:08}.txt", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        os.write(descriptor, b"%d\n" % index)
        os.close(descriptor)


def build(workspace: artfs.Workspace, folder: Path, versions: int, files: int, many: int) -> None:
    """Make the three cases."""
    source = folder / "versions"
    source.mkdir()
    begun = time.time() - versions
    for number in range(versions):
        (source / "step").write_text(f"{number}\n")
        # As if one were made each second: a put of a file that was put within the same second compares their times.
        os.utime(source / "step", (begun + number, begun + number))
        workspace.put(source, "many-versions", description=f"step {number}")
    write_files(folder / "files", files, files)
    workspace.put(folder / "files", "many-files")
    write_files(folder / "tree", many, 1000)
    workspace.put(folder / "tree", "large")
    for index in range(0, many, max(1, many // 10)):
        (folder / "tree" / f"{index // 1000:05}" / f"{index:08}.txt").write_text(f"changed {index}\n")
    workspace.put(folder / "tree", "large")


@contextmanager
def serving(workspace: Path) -> Iterator[tuple[str, str, int]]:
    """Run the server; yield (host and port, token, process id)."""
    words = [sys.executable, "-m", "artfs", "-w", str(workspace), "ui", "--port", "0", "--no-browser"]
    server = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        entry = urlsplit(server.stdout.readline().strip())
        yield entry.netloc, entry.query.partition("token=")[2].partition("&")[0], server.pid
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(30)
        server.stdout.close()


def first_byte(host: str, token: str, path: str) -> tuple[float, float, int]:
    """Get a page; return (seconds to the first byte of the body, seconds to the last, bytes)."""
    connection = http.client.HTTPConnection(host, timeout=120)
    begun = time.perf_counter()
    connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
    answer = connection.getresponse()
    answer.read(1)
    first = time.perf_counter() - begun
    size = 1 + len(answer.read())
    whole = time.perf_counter() - begun
    connection.close()
    if answer.status != 200:
        raise SystemExit(f"{path} answered {answer.status}")
    return first, whole, size


def main() -> None:
    """Build the cases, measure, and print a table."""
    options = argparse.ArgumentParser(prog="scripts/bench pages", description=__doc__)
    options.add_argument("--folder", type=Path, help="where the workspace is made [a temporary folder]")
    options.add_argument("--scale", type=float, default=1.0, help="a part of the versions and files, for a first look")
    given = options.parse_args()
    versions, files, many = (int(count * given.scale) for count in (10_000, 100_000, 1_000_000))
    with tempfile.TemporaryDirectory(prefix="artfs-pages-", dir=given.folder) as place:
        folder = Path(place)
        begun = time.perf_counter()
        with artfs.init_workspace(folder / "workspace") as workspace:
            build(workspace, folder, versions, files, many)
        print(f"{measured_on()}\nbuilt in {time.perf_counter() - begun:.0f} s\n")
        pages = {
            f"artifact of {versions:,} versions": ("/artifact", {"name": "many-versions"}),
            f"folder of {files:,} files": ("/files", {"ref": "many-files:v0", "path": "00000"}),
            f"two versions of {many:,} files": ("/compare", {"a": "large:v0", "b": "large:v1"}),
            "list of artifacts": ("/", {}),
            "space": ("/space", {}),
            "retention": ("/retention", {}),
            "runs": ("/runs", {}),
        }
        print("| page | first byte, cold | first byte, warm | last byte | bytes | server |\n|---|---|---|---|---|---|")
        missed = []
        with serving(folder / "workspace") as (host, token, pid):
            for name, (path, parameters) in pages.items():
                address = f"{path}?{urlencode(parameters, safe='/:')}" if parameters else path
                cold = first_byte(host, token, address)[0]
                measured = [first_byte(host, token, address) for _ in range(_ROUNDS)]
                first, whole = (statistics.median(each[part] for each in measured) for part in (0, 1))
                held = anonymous_memory(pid)[0]
                times = " | ".join(f"{seconds * 1e3:.0f} ms" for seconds in (cold, first, whole))
                print(f"| {name} | {times} | {measured[0][2]:,} | {held / 1e6:.0f} MB |", flush=True)
                if first > FIRST_BYTE:
                    missed.append(f"{name}: {first * 1e3:.0f} ms")
                if held > MEMORY:
                    missed.append(f"{name}: the server has {held / 1e6:.0f} MB")
    raise SystemExit("missed: " + "; ".join(missed) if missed else 0)


if __name__ == "__main__":
    main()
