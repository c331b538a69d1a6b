"""The measured kinds of reading. Each function runs in the reading process, and takes its own time.

The time covers opening, reading and closing, and only checks that cost nothing: the length and the last bytes.
Every byte is also checked, outside the time: hashed at once if the clock can be stopped meanwhile, else by reading
the same again, which shows the bytes that the timed run has left in the page cache.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.pool
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xxhash

BLOCK = 1 << 20
PAGE = 4 << 10


class Outcome(NamedTuple):
    """Seconds, and a value that must be equal on every side."""

    seconds: float
    seen: object


def read_through(path: Path) -> Outcome:
    """Read a file from start to end in blocks of 1 MiB."""
    buffer = bytearray(BLOCK)
    seen = bytearray()
    total = 0
    start = time.perf_counter()
    with open(path, "rb", buffering=0) as file:
        while count := file.readinto(buffer):
            total += count
            seen += buffer[count - 8 : count]
    seconds = time.perf_counter() - start
    return Outcome(seconds, (total, bytes(seen)))


def hash_file(path: Path) -> object:
    """Return the hash of a file's content."""
    digest, buffer = xxhash.xxh3_64(), bytearray(BLOCK)
    with open(path, "rb", buffering=0) as file:
        while count := file.readinto(buffer):
            digest.update(memoryview(buffer)[:count])
    return digest.hexdigest()


def hash_folder(folder: Path) -> object:
    """Return a hash of the names and contents of all files below a folder."""
    total = 0
    for parent, _, names in os.walk(folder):
        for path in (Path(parent, name) for name in names):
            total += xxhash.xxh3_64_intdigest(bytes(path.relative_to(folder)) + path.read_bytes())
    return total


def read_at_random(path: Path, size: int, count: int, seed: int) -> Outcome:
    """Read ``count`` blocks of ``size`` bytes at random places, with pread."""
    memory = bytearray(count * size)  # written once here, so that no page fault is measured
    blocks = [memoryview(memory)[start : start + size] for start in range(0, count * size, size)]
    choice = random.Random(seed)
    places = [choice.randrange(path.stat().st_size // size) * size for _ in range(count)]
    start = time.perf_counter()
    descriptor = os.open(path, os.O_RDONLY)
    for block, place in zip(blocks, places, strict=True):
        os.preadv(descriptor, [block], place)
    os.close(descriptor)
    return Outcome(time.perf_counter() - start, xxhash.xxh3_64_hexdigest(memory))


def read_mapped(path: Path, count: int, seed: int) -> Outcome:
    """Copy ``count`` rows of 4 KiB at random places out of a numpy.memmap."""
    rows = path.stat().st_size // PAGE
    choice = random.Random(seed)
    places = [choice.randrange(rows) for _ in range(count)]
    copy = np.ones((count, PAGE), np.uint8)
    start = time.perf_counter()
    mapped = np.memmap(path, np.uint8, "r", shape=(rows, PAGE))
    for index, place in enumerate(places):
        copy[index] = mapped[place]
    del mapped
    return Outcome(time.perf_counter() - start, xxhash.xxh3_64_hexdigest(copy.tobytes()))


def walk(folder: Path, *, stat: bool) -> Outcome:
    """List all files with ``find``: names only, or also sizes, which takes every file's attributes."""
    command = ["find", ".", "-type", "f", *(["-printf", "%p %s\\n"] if stat else [])]
    start = time.perf_counter()
    output = subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE).stdout
    seconds = time.perf_counter() - start
    lines = sorted(output.splitlines())
    return Outcome(seconds, (len(lines), xxhash.xxh3_64_hexdigest(b"\n".join(lines))))


def shuffled_files(folder: Path, seed: int) -> list[str]:
    """Return the paths of all files below a folder of folders, in an order that is the same everywhere."""
    names = sorted(f"{parent.name}/{name}" for parent in os.scandir(folder) for name in os.listdir(parent))
    random.Random(seed).shuffle(names)
    return names


class Readers:
    """Processes or threads that read small files together, each its share; they exist before the time starts."""

    def __init__(self, pool: multiprocessing.pool.Pool, count: int) -> None:
        self._pool = pool
        self._count = count

    def read(self, folder: Path) -> Outcome:
        """Read all files whole."""
        tasks = [(str(folder), reader, self._count) for reader in range(self._count)]
        start = time.perf_counter()
        parts = self._pool.starmap(_read_share, tasks, chunksize=1)
        return Outcome(time.perf_counter() - start, sum(parts))

    def hash(self, folder: Path) -> object:
        """Read all files whole once more; return a hash of all names and contents."""
        tasks = [(str(folder), reader, self._count) for reader in range(self._count)]
        return sum(self._pool.starmap(_hash_share, tasks, chunksize=1))


@contextmanager
def readers(names: Sequence[str], count: int, *, processes: bool) -> Iterator[Readers]:
    """Start reading processes or threads for these files."""
    pool: multiprocessing.pool.Pool
    if processes:
        pool = multiprocessing.get_context("fork").Pool(count, _begin_process, [names])
    else:
        pool = multiprocessing.pool.ThreadPool(count, _keep_names, [names])
    with pool:
        pool.map(abs, range(count), chunksize=1)
        yield Readers(pool, count)


def _begin_process(names: Sequence[str]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is handled by the parent, which then ends this process
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _keep_names(names)


_kept: list[Sequence[str]] = []


def _keep_names(names: Sequence[str]) -> None:
    _kept[:] = [names]


def _read_share(folder: str, reader: int, of: int) -> int:
    # The system calls alone, as a decoder in C makes them. Python's buffered open() adds one that asks whether the file
    # is a terminal, which no FUSE file system can cache: the DataLoader's works open so.
    total, buffer = 0, bytearray(BLOCK)
    for name in _kept[0][reader::of]:
        descriptor = os.open(f"{folder}/{name}", os.O_RDONLY)
        count = os.readv(descriptor, [buffer])
        os.close(descriptor)
        total += count + int.from_bytes(buffer[count - 7 : count], "little")
    return total


def _hash_share(folder: str, reader: int, of: int) -> int:
    total = 0
    for name in _kept[0][reader::of]:
        with open(f"{folder}/{name}", "rb", buffering=0) as file:
            total += xxhash.xxh3_64_intdigest(name.encode() + file.read())
    return total
