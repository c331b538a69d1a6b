"""The data set of ``artfs demo``: images in class folders and a table of features, drawn without any library."""

from __future__ import annotations

import random
from pathlib import Path

__all__ = ["collect", "correct"]

_CLASSES = ("circle", "cross", "ring", "square", "stripes")
_SIDE = 48
_COLLECTED, _TESTED, _ADDED = 600, 200, 300
_WRONG = 0.25
_TABLE_BYTES = 24 << 20
_APPENDED_BYTES = 1 << 20
_CORRECTED_AT = 10 << 20
_CORRECTED_BYTES = 4096


def collect(folder: Path) -> str:
    """Write the data set as it was collected, about one training image in four in the wrong class folder.

    Returns a sentence about what was written.
    """
    draw = random.Random(0)
    for number in range(_COLLECTED):
        truth = number % len(_CLASSES)
        label = draw.randrange(len(_CLASSES)) if draw.random() < _WRONG else truth
        _write_image(folder / "train" / _CLASSES[label] / f"{number:04}.pgm", truth, draw)
    for number in range(_COLLECTED, _COLLECTED + _TESTED):
        truth = number % len(_CLASSES)
        _write_image(folder / "test" / _CLASSES[truth] / f"{number:04}.pgm", truth, draw)
    (folder / "features.bin").write_bytes(draw.randbytes(_TABLE_BYTES))
    return f"{_COLLECTED} training images, {_TESTED} test images, a table of {_TABLE_BYTES >> 20} MiB"


def correct(folder: Path) -> str:
    """Correct the same folder: misfiled images move, new ones come, rows of the table change and are appended.

    Returns a sentence about what was changed.
    """
    draw = random.Random(1)
    moved = 0
    for path in sorted(folder.glob("train/*/*.pgm")):
        right = folder / "train" / _CLASSES[int(path.stem) % len(_CLASSES)] / path.name
        if path != right:
            right.parent.mkdir(exist_ok=True)
            path.rename(right)
            moved += 1
    first = _COLLECTED + _TESTED
    for number in range(first, first + _ADDED):
        truth = number % len(_CLASSES)
        _write_image(folder / "train" / _CLASSES[truth] / f"{number:04}.pgm", truth, draw)
    with (folder / "features.bin").open("r+b") as table:
        table.seek(_CORRECTED_AT)
        table.write(draw.randbytes(_CORRECTED_BYTES))
        table.seek(0, 2)
        table.write(draw.randbytes(_APPENDED_BYTES))
    return (
        f"{moved} images moved to their right class, {_ADDED} added; the table changed in one place and grew by 1 MiB"
    )


def _write_image(path: Path, shape: int, draw: random.Random) -> None:
    """Write a noisy binary PGM image of a shape of random size."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = draw.randbytes(_SIDE * _SIDE)
    size = draw.randrange(8, 22)
    middle = _SIDE // 2
    pixels = bytearray(_SIDE * _SIDE)
    for y in range(_SIDE):
        for x in range(_SIDE):
            at = y * _SIDE + x
            bright = _is_inside(_CLASSES[shape], x - middle, y - middle, size)
            pixels[at] = (160 if bright else 16) + (noise[at] & 63)
    path.write_bytes(b"P5 %d %d 255\n" % (_SIDE, _SIDE) + pixels)


def _is_inside(shape: str, x: int, y: int, size: int) -> bool:
    square = max(abs(x), abs(y)) < size
    match shape:
        case "circle":
            return x * x + y * y < size * size
        case "ring":
            return size * size // 3 < x * x + y * y < size * size
        case "cross":
            return square and (abs(x) < 4 or abs(y) < 4)
        case "stripes":
            return square and y % 8 < 4
        case _:
            return square
