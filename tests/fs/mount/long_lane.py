"""The fast lane under sanitizers: random and mutated requests, and records forged under valid seals, for an hour.

Its answers are compared with those of the Python core, and the program may not die.
"""

from __future__ import annotations

import argparse
import gc
import os
import random
import shutil
import subprocess
import time
from pathlib import Path
from typing import Final

from artfs.mount import inodes
from artstore.records.tables import Table, number64
from artstore.storage import manifest
from artstore.workspace import Workspace, init_workspace, open_workspace
from fs.mount.lane_rig import lane_over, random_request
from soaks.report import Report, run

SOURCES: Final = Path(__file__).resolve().parents[3] / "lane" / "src"
FLAGS: Final = (
    *("-std=gnu17", "-O1", "-g", "-fno-omit-frame-pointer", "-fno-sanitize-recover=all"),
    "-fsanitize=address,undefined",
)
ROUND: Final = 400
"""Requests between two changes of records."""
MOSTLY: Final = 0.8
"""How often records are changed."""


def build(folder: Path) -> Path:
    """Return the program, built with sanitizers."""
    program = folder / "artfs-lane"
    sources = sorted(map(str, SOURCES.glob("*.c")))
    subprocess.run(["gcc", *FLAGS, "-o", program, *sources, "-llmdb", "-lzstd", "-lpthread"], check=True)
    return program


def fill(folder: Path, source: random.Random) -> Workspace:
    """Return a workspace with content of every shape."""
    data = folder / "source"
    (data / "wide").mkdir(parents=True)
    for number in range(1000):
        (data / "wide" / f"{number:0{1 + number % 200}}").write_bytes(source.randbytes(number % 50))
    (data / "a" / "b" / "c").mkdir(parents=True)
    (data / "a" / "b" / "c" / "big").write_bytes(source.randbytes(2_000_000))
    (data / "table").write_text("\n".join(map(str, range(300_000))))
    for number in range(60):
        (data / f"f{number}").write_bytes(source.randbytes(1 << number % 18))
    workspace = init_workspace(folder / "ws")
    workspace.put(data, "data")
    return workspace


def forge(copy: Path, rows: list[tuple[int, bytes]], source: random.Random) -> int:
    """Change some records of nodes, under valid seals; return how many."""
    changed = source.sample(rows, source.choice((1, 3, 10, 60)))
    with manifest.write(copy) as transaction:
        for number, value in changed:
            payload = bytearray(value[:-4])
            for _ in range(source.randrange(1, 5)):
                at = source.choice((source.randrange(min(len(payload), 130)), source.randrange(len(payload))))
                payload[at] = source.choice((0, 1, 2, 255, source.randrange(256)))
            cut = source.randrange(1, len(payload)) if source.random() < 0.1 else len(payload)
            transaction.put_numbered(Table.NODES, number, bytes(payload[:cut]))
    return len(changed)


def soak(report: Report, folder: Path, options: argparse.Namespace) -> None:
    """Run for as long as the options say."""
    answered = handed_over = forged = 0
    source = random.Random(options.seed)
    program = build(folder)
    workspace = fill(folder, source)
    with manifest.read(workspace.path) as transaction:
        rows = [(number64(key), value) for key, value in transaction.raw.cursor(transaction.handles[Table.NODES])]
    with workspace.store.snapshot() as snapshot:
        root = inodes.entry(snapshot.versions_of(snapshot.name_number("data")[0])[0].mount, 0)  # type: ignore[index]
    differences = deaths = 0
    until = time.monotonic() + options.seconds
    while time.monotonic() < until:
        copy = folder / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(workspace.path, copy)
        forged += forge(copy, rows, source) if source.random() < MOSTLY else 0
        other = open_workspace(copy)
        with lane_over(other, str(program)) as rig:
            for _ in range(ROUND):
                known = [root, root, root + source.randrange(1200), root + source.randrange(1200), inodes.ROOT]
                rig.compare(random_request(source, known))
            deaths += os.waitpid(rig.lane.pid, os.WNOHANG) != (0, 0)
            answered, handed_over = answered + rig.answered, handed_over + rig.handed_over
            differences += len(rig.differences)
            for message, found, expected in rig.differences:
                print("  another answer:", message.hex(), found[:200].hex(), expected[:200].hex(), flush=True)
        other.close()
        del rig
        gc.collect()  # the map of the counters, which has a descriptor of its own: thousands of rounds run
    report.figure("requests answered by the lane and compared", answered, "")
    report.figure("requests handed over", handed_over, "")
    report.figure("forged records", forged, "")
    report.figure("answers that differ", differences, "", most=0)
    report.figure("deaths of the lane", deaths, "", most=0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3600, help="how long [3600]")
    parser.add_argument("--seed", type=int, default=1, help="the first seed [1]")
    run("lane", parser, soak)
