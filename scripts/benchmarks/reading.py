"""The measured kinds of reading. Each function runs in the reading process, and takes its own time.

The time covers opening, reading and closing, and only checks that cost nothing: the length and the last bytes.
Small files are opened, read and closed with the bare system calls (os.open, os.readv into one buffer, os.close): these
make the requests that a decoder in C makes, and Python adds some 5 us a file to its 10 on a warm plain folder. Python's
open() also asks whether the file is a terminal, which no FUSE file system can cache.

Every byte is also checked, outside the time: hashed at once if the clock can be stopped meanwhile, else by reading
the same again, which shows the bytes that the timed run has left in the page cache.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.pool
import os
import random
import resource
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
    """Seconds, a value that must be equal on every side, and the reader's own processor time in seconds."""

    seconds: float
    seen: object
    processor: float = 0.0


class Stopwatch:
    """The elapsed time and this process's processor time, both since its creation."""

    def __init__(self) -> None:
        self._processor = time.process_time()
        self._start = time.perf_counter()

    def outcome(self, seen: object = None) -> Outcome:
        """Return the times until now."""
        seconds = time.perf_counter() - self._start
        return Outcome(seconds, seen, time.process_time() - self._processor)


def read_through(path: Path) -> Outcome:
    """Read a file from start to end in blocks of 1 MiB."""
    buffer = bytearray(BLOCK)
    seen = bytearray()
    total = 0
    watch = Stopwatch()
    with open(path, "rb", buffering=0) as file:
        while count := file.readinto(buffer):
            total += count
            seen += buffer[count - 8 : count]
    return watch.outcome()._replace(seen=(total, bytes(seen)))


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
    places = random_places(path.stat().st_size, size, count, seed)
    watch = Stopwatch()
    descriptor = os.open(path, os.O_RDONLY)
    for block, place in zip(blocks, places, strict=True):
        os.preadv(descriptor, [block], place)
    os.close(descriptor)
    return watch.outcome()._replace(seen=xxhash.xxh3_64_hexdigest(memory))


def random_places(length: int, size: int, count: int, seed: int) -> list[int]:
    """Return offsets of ``count`` blocks of ``size`` bytes in a file of this length."""
    choice = random.Random(seed)
    return [choice.randrange(length // size) * size for _ in range(count)]


def read_mapped(path: Path, count: int, seed: int) -> Outcome:
    """Copy ``count`` rows of 4 KiB at random places out of a numpy.memmap."""
    rows = path.stat().st_size // PAGE
    choice = random.Random(seed)
    places = [choice.randrange(rows) for _ in range(count)]
    copy = np.ones((count, PAGE), np.uint8)
    watch = Stopwatch()
    mapped = np.memmap(path, np.uint8, "r", shape=(rows, PAGE))
    for index, place in enumerate(places):
        copy[index] = mapped[place]
    del mapped
    return watch.outcome()._replace(seen=xxhash.xxh3_64_hexdigest(copy.tobytes()))


def walk(folder: Path, *, stat: bool) -> Outcome:
    """List all files with ``find``: names only, or also sizes, which takes every file's attributes."""
    command = ["find", ".", "-type", "f", *(["-printf", "%p %s\\n"] if stat else [])]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    output = subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE).stdout
    seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    lines = sorted(output.splitlines())
    seen = (len(lines), xxhash.xxh3_64_hexdigest(b"\n".join(lines)))
    return Outcome(seconds, seen, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


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
        seconds = time.perf_counter() - start
        return Outcome(seconds, sum(seen for seen, _ in parts), sum(processor for _, processor in parts))

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


def _read_share(folder: str, reader: int, of: int) -> tuple[int, float]:
    total, buffer = 0, bytearray(BLOCK)
    before = time.thread_time()
    for name in _kept[0][reader::of]:
        descriptor = os.open(f"{folder}/{name}", os.O_RDONLY)
        count = os.readv(descriptor, [buffer])
        os.close(descriptor)
        total += count + int.from_bytes(buffer[count - 7 : count], "little")
    return total, time.thread_time() - before


def _hash_share(folder: str, reader: int, of: int) -> int:
    total = 0
    for name in _kept[0][reader::of]:
        with open(f"{folder}/{name}", "rb", buffering=0) as file:
            total += xxhash.xxh3_64_intdigest(name.encode() + file.read())
    return total
