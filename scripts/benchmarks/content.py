"""Data for measurements: made from a seed, so that every run and every machine has the same bytes."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from blake3 import blake3

BLOCK = 8 << 20


def noise(size: int, seed: int) -> Iterator[bytes]:
    """Yield blocks of incompressible bytes, ``size`` in all."""
    generator = np.random.Generator(np.random.SFC64(seed))
    for start in range(0, size, BLOCK):
        yield generator.bytes(min(BLOCK, size - start))


def write_checkpoint(path: Path, size: int, seed: int, holes: float = 0.0) -> str:
    """Write an incompressible file like a model's weights; return the BLAKE3 of its content in hex.

    ``holes`` is the share of its blocks that are holes, which read as zeros and take no space.
    """
    choice, digest = random.Random(seed), blake3()
    with path.open("wb") as file:
        for block in noise(size, seed):
            if choice.random() < holes:
                file.seek(len(block), os.SEEK_CUR)
                digest.update(bytes(len(block)))
            else:
                file.write(block)
                digest.update(block)
        file.truncate(size)
    return digest.hexdigest()


def write_table(path: Path, size: int, seed: int) -> None:
    """Write a compressible file of about ``size`` bytes: rows of numbers and words, as in a CSV export."""
    choice = random.Random(seed)
    words = ["".join(choice.choices("abcdefghijklmnopqrstuvwxyz", k=choice.randint(3, 9))) for _ in range(500)]
    with path.open("w") as file:
        row = 0
        while file.tell() < size:
            lines = []
            for number in range(row, row + 20_000):
                figures = f"{choice.random():.6f},{choice.randint(0, 9999)}"
                lines.append(f"{number},2026-01-{number % 28 + 1:02},{figures},{words[choice.randrange(500)]}\n")
            file.write("".join(lines))
            row += 20_000


def write_small_files(folder: Path, count: int, seed: int) -> int:
    """Write ``count`` files like small images, 1 to 16 KiB, a hundred class folders; return the sum of their sizes."""
    choice = random.Random(seed)
    total = 0
    for label in range(100):
        (folder / f"{label:03}").mkdir(parents=True)
    for index in range(count):
        content = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + choice.randbytes(choice.randint(1 << 10, 16 << 10))
        (folder / f"{index % 100:03}" / f"{index:07}.jpg").write_bytes(content)
        total += len(content)
    return total
