"""30,000 versions, deleted down to 400: nothing is left over, and reaping a node costs the same in a large workspace.

The 400 are every 75th version or the last ones; each workspace is compared with one that never had the others.
Then one version of a million files is deleted that shares all but ten of them with another.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import NamedTuple
from unittest import mock

import artfs
from artstore.changes.committing import Commit, commit
from artstore.ids import content_id
from artstore.ingest.batch import EntryDraft
from artstore.ingest.building import DirectoryBuilder, directory_entry
from artstore.ingest.staging import Stager
from artstore.records.tables import Table
from artstore.records.trees import Kind
from artstore.storage.codec import encode
from artstore.storage.manifest import ReadTransaction
from artstore.workspace import Workspace
from soaks.report import Report, run

MB = 1e6
FILES = 8
"""Files of a version; the k-th changes with every 2**k-th version, and one comes and goes."""


class Content:
    """The source folder in its state at each version; neighbouring versions differ in two files on average."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._written: dict[str, int | None] = {}
        (folder / "shards").mkdir(parents=True)
        for number in range(5):
            (folder / f"constant{number}").write_bytes(Random(number).randbytes(20_000))

    def at(self, version: int) -> Path:
        """Write the files that differ at a version, and return the folder."""
        wanted: dict[str, int | None] = {f"shards/{level}": version >> level for level in range(FILES)}
        wanted["sometimes"] = version // 1000 if version % 200 < 100 else None
        for name, generation in wanted.items():
            if name not in self._written or self._written[name] != generation:
                self._write(self.folder / name, name, generation)
                self._written[name] = generation
        return self.folder

    def _write(self, path: Path, name: str, generation: int | None) -> None:
        path.unlink(missing_ok=True)
        if generation is not None:
            random = Random(f"{name} {generation}")
            path.write_bytes(random.randbytes(random.randrange(1000, 16_000)))


class Size(NamedTuple):
    """The size of a workspace in bytes: ``in_use`` by records and extents, and ``disk`` without the reserve."""

    in_use: int
    disk: int


def size_of(ws: Workspace) -> Size:
    """Return the size of a workspace."""
    records = 0
    with ws.store.snapshot() as snapshot:
        transaction = snapshot.transaction
        extents = transaction.counters().stored_bytes
        for table in Table:
            with transaction.raw.cursor(transaction.handles[table]) as cursor:
                records += sum(len(key) + len(value) for key, value in cursor)
    reserve = (ws.path / "reserve").stat().st_blocks * 512
    return Size(records + extents, ws.usage().disk_bytes - reserve)


def build(folder: Path, versions: Sequence[int]) -> Workspace:
    """Make a workspace and put some versions into it, one after another; in memory, where syncing takes no time."""
    memory = Path("/dev/shm")
    quick = os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 4 << 30
    with tempfile.TemporaryDirectory(prefix="artfs-soak-", dir=memory if quick else folder.parent) as place:
        ws = artfs.init_workspace(Path(place) / "workspace")
        content = Content(Path(place) / "content")
        for version in versions:
            ws.put(content.at(version), "run", new=True)
        return copy_of(ws, folder)


def copy_of(ws: Workspace, folder: Path) -> Workspace:
    """Return a workspace with a copy of another's files."""
    folder.mkdir(parents=True)
    subprocess.run(["cp", "-a", ws.path, folder / "workspace"], check=True)
    os.sync()
    return artfs.open_workspace(folder / "workspace")


def ranges_without(count: int, kept: Sequence[int]) -> list[str]:
    """Return references to all versions except the kept ones."""
    refs, first = [], 0
    for number in [*kept, count]:
        if first < number:
            refs.append(f"run:v{first}..v{number - 1}")
        first = number + 1
    return refs


class Reaping(NamedTuple):
    """The cost of reaping a number of versions."""

    versions: int
    nodes: int
    seconds: float

    @property
    def each(self) -> float:
        """Microseconds for each node."""
        return self.seconds / self.nodes * 1e6


def delete_down_to(report: Report, ws: Workspace, count: int, kept: Sequence[int], fresh: Size) -> Reaping:
    """Delete all versions but some, reap, compact, and check the bounds against a workspace that only had those."""
    start = time.perf_counter()
    deleted = ws.delete(*ranges_without(count, kept))
    report.figure(f"deleting {len(deleted.versions):,} versions", time.perf_counter() - start, "s")
    waiting = ws.usage()
    report.holds("what waits is what was promised", waiting.deadlist_bytes == deleted.freed_bytes)
    start = time.perf_counter()
    done = ws.gc(now=True)
    seconds = time.perf_counter() - start
    report.figure(f"reaping {done.freed_nodes:,} nodes, {done.freed_bytes / MB:,.0f} MB", seconds, "s")
    report.holds("it gave back what was promised", done.freed_bytes == deleted.freed_bytes)
    usage = ws.usage()
    report.figure("deadlist_entries after it", usage.deadlist_entries, "", most=0)
    report.figure("condemned_bytes after it", usage.condemned_bytes, "B", most=0)
    after = size_of(ws)
    report.figure("bytes in use, over the fresh workspace's", (after.in_use / fresh.in_use - 1) * 100, "%", most=1)
    report.figure("bytes on disk, over the fresh workspace's", (after.disk / fresh.disk - 1) * 100, "%")
    start = time.perf_counter()
    ws.gc(compact=True)
    report.figure("gc --compact", time.perf_counter() - start, "s")
    compact = size_of(ws)
    report.figure("bytes on disk, over the fresh workspace's", (compact.disk / fresh.disk - 1) * 100, "%", most=5)
    report.holds("the kept versions are alive", [v.number for v in ws.versions("run")] == list(kept))
    return Reaping(len(deleted.versions), done.freed_nodes, seconds)


def check_content(report: Report, ws: Workspace, folder: Path, kept: Sequence[int]) -> None:
    """Compare some of the kept versions with their sources."""
    content = Content(folder)
    same = True
    for number in kept[:: max(1, len(kept) // 20)]:
        source = content.at(number)
        ws.get(f"run:v{number}", folder.with_name(f"{folder.name}-{number}"))
        same &= not subprocess.run(["diff", "-r", source, folder.with_name(f"{folder.name}-{number}")]).returncode
    report.holds("they read as they were put", same)


# -- a version that shares nearly everything ---------------------------------------------------------------------------


def put_many_files(ws: Workspace, files: int, changed: set[int]) -> str:
    """Make a version of folders with 1000 files of 12 bytes each; the ``changed`` ones have other content."""
    stager = Stager(ws.store, "many", "soak")
    try:
        root = DirectoryBuilder(stager)
        for folder in range(files // 1000):
            below = DirectoryBuilder(stager)
            for file in range(folder * 1000, folder * 1000 + 1000):
                data = b"%011d%c" % (file, b"ab"[file in changed])
                ident = content_id(data)
                chunk = stager.chunk(ident, len(data), encode(data))
                below.add(EntryDraft(b"%07d" % file, Kind.FILE, len(data), ident, chunk, 0, 0o644))
                stager.flush_if_full()
            done = below.finish()
            root.add(directory_entry(b"%04d" % folder, done, 0, 0o755))
        version = stager.commit(
            root.finish(),
            lambda transaction, ref, added: commit(ws.store, transaction, ref, Commit("many"), added),
        ).version
        return f"many:v{version.number}"
    finally:
        stager.close()


@contextmanager
def counted() -> Iterator[list[int]]:
    """Count the node and count records that are read inside the block."""
    touched = [0]
    real = ReadTransaction.get_numbered

    def get_numbered(self: ReadTransaction, table: Table, number: int) -> bytes | None:
        touched[0] += 1
        return real(self, table, number)

    with mock.patch.object(ReadTransaction, "get_numbered", get_numbered):
        yield touched


def share_nearly_everything(report: Report, folder: Path, files: int) -> None:
    """Delete a version that shares all but ten of its files with another."""
    ws = artfs.init_workspace(folder / "workspace")
    put_many_files(ws, files, set())
    ref = put_many_files(ws, files, {files * number // 10 + 7 for number in range(10)})
    with counted() as touched:
        start = time.perf_counter()
        ws.delete(ref, now=True)
        seconds = time.perf_counter() - start
    report.figure(f"deleting and reaping one that shares all but 10 of {files:,} files", seconds * 1e3, "ms")
    # Ten files, and for each the records above it, of which each has 64 children or so, in one or two count rows.
    report.figure("node and count records that this looked at", touched[0], "", most=10 * 4 * 64)


def soak(report: Report, folder: Path, arguments: argparse.Namespace) -> None:
    """Run the whole case."""
    count, keep, few = arguments.versions, arguments.keep, arguments.few
    start = time.perf_counter()
    large = build(folder / "large", range(count))
    report.figure(f"putting {count:,} versions", time.perf_counter() - start, "s")
    report.figure("its bytes on disk", size_of(large).disk / MB, "MB")
    small = build(folder / "small", range(few))
    rates = []
    for what, every in ((f"every {count // keep}th", True), ("the last", False)):
        kept = list(range(0, count, count // keep))[:keep] if every else list(range(count - keep, count))
        print(f"  -- {what} of {count:,}: {len(kept)} stay", flush=True)
        here = folder / f"every-{every}"
        fresh = size_of(build(here / "fresh", kept))
        ws = copy_of(large, here / "large")
        reaping = delete_down_to(report, ws, count, kept, fresh)
        check_content(report, ws, here / "check", kept)
        shutil.rmtree(here / "large")
        kept_of_few = list(range(0, few, count // keep)) if every else list(range(few - few * keep // count, few))
        ws = copy_of(small, here / "small")
        ws.delete(*ranges_without(few, kept_of_few))
        start = time.perf_counter()
        done = ws.gc(now=True)
        rates.append((what, Reaping(few - len(kept_of_few), done.freed_nodes, time.perf_counter() - start), reaping))
        shutil.rmtree(here)
    print("  -- reaping: versions, nodes, seconds, microseconds for each node", flush=True)
    for what, *both in rates:
        for one in both:
            print(
                f"  {what:<20} {one.versions:>8,} {one.nodes:>10,} {one.seconds:>10.2f} {one.each:>10.1f}", flush=True
            )
    for what, one, other in rates:
        report.figure(
            f"a node's reaping among {count:,} over that among {few:,}, {what}", other.each / one.each, "x", most=1.5
        )
    if arguments.files:
        share_nearly_everything(report, folder / "many", arguments.files)


if __name__ == "__main__":
    os.environ.pop("ARTFS_WORKSPACE", None)
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--versions", type=int, default=30_000, help="versions to put [30000]")
    options.add_argument("--keep", type=int, default=400, help="versions to keep [400]")
    options.add_argument("--few", type=int, default=3_000, help="versions of the smaller workspace [3000]")
    options.add_argument("--files", type=int, default=1_000_000, help="files of the version that shares them; 0: none")
    run("deletion", options, soak)
