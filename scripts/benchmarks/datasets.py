"""The data sets of the benchmark: made once in a folder, from seeds and from releases of real packages, then kept.

The data depends only on this module, on the version of numpy's generators and on the two packages' files, so
every machine measures the same bytes.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from benchmarks.content import BLOCK, noise

RELEASES = (
    ("2.0.0", "1.24.2"), ("2.0.1", "1.24.3"), ("2.0.2", "1.24.4"), ("2.0.3", "1.25.0"), ("2.1.0", "1.25.1"),
    ("2.1.1", "1.25.2"), ("2.1.2", "1.26.0"), ("2.1.3", "1.26.1"), ("2.1.4", "1.26.2"), ("2.2.0", "1.26.3"),
)  # fmt: skip
"""Successive releases: the version of pandas, and that of numpy which a user would have had beside it."""
ROW = 6 << 10
"""Bytes of a checkpoint's row: 1,536 numbers of four bytes."""
CHANGED_ROWS = 0.01


class DownloadFailed(Exception):
    """Raised, with the reason, if the packages that the releases are made from are unavailable."""


@dataclass(frozen=True)
class Scale:
    """The amount of data; ``name`` is the folder's name, ``factor`` the size as a part of `FULL`."""

    name: str
    releases: int
    images: int
    image_folders: int
    checkpoint_bytes: int
    table_bytes: int
    tiny: int
    tiny_folders: int

    @property
    def factor(self) -> float:
        """Return the size of the data as a part of that of the full run."""
        return self.checkpoint_bytes / FULL.checkpoint_bytes

    @classmethod
    def of(cls, factor: float) -> Scale:
        """Return the scale of this part of the full run: of all sizes and numbers, with four releases at least."""
        if factor == 1:
            return FULL
        least = {"releases": 4, "image_folders": 2, "tiny_folders": 2, "images": 100, "tiny": 100}
        sizes = {
            each.name: max(least.get(each.name, 1 << 20), round(getattr(FULL, each.name) * factor))
            for each in fields(cls)
            if each.name != "name"
        }
        return cls(f"scale-{factor:g}", **sizes)


FULL = Scale("full", 10, 50_000, 1_000, 512 << 20, 512 << 20, 300_000, 3_000)
QUICK = Scale("quick", 4, 5_000, 100, 64 << 20, 64 << 20, 20_000, 200)


class DataSets:
    """The data sets of one scale, below one folder.

    A data set is a folder of its name; ``releases`` and ``checkpoints`` hold one folder for each version, in order.
    """

    def __init__(self, directory: Path, scale: Scale, say: Callable[[str], None]) -> None:
        self.scale = scale
        self._downloads = directory / "downloads"
        self._root = directory / scale.name
        self._say = say
        self._makers: dict[str, Callable[[Path], None]] = {
            "releases": self._make_releases,
            "checkpoints": self._make_checkpoints,
            "checkpoint": self._make_checkpoint,
            "table": self._make_table,
            "images": self._make_images,
            "second": self._make_second,
            "tiny": self._make_tiny,
        }

    def folder(self, name: str) -> Path:
        """Return the folder of a data set, which is made unless it exists completely."""
        folder, record = self._root / name, self._root / f"{name}.json"
        if not record.exists():
            self._say(f"making data: {name}")
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            self._makers[name](folder)
            files = [file for file in folder.rglob("*") if file.is_file()]
            sizes = {"files": len(files), "bytes": sum(file.stat().st_size for file in files)}
            os.sync()
            record.write_text(json.dumps(sizes))
        return folder

    def versions(self, name: str) -> list[Path]:
        """Return the folders of a data set's versions: for one without versions, its own folder."""
        folder = self.folder(name)
        return sorted(folder.iterdir()) if name in ("releases", "checkpoints") else [folder]

    def bytes(self, name: str) -> int:
        """Return the sum of the sizes of a data set's files."""
        self.folder(name)
        return int(json.loads((self._root / f"{name}.json").read_text())["bytes"])

    def files(self, name: str) -> int:
        """Return the number of a data set's files."""
        self.folder(name)
        return int(json.loads((self._root / f"{name}.json").read_text())["files"])

    def _make_releases(self, folder: Path) -> None:
        for number, (pandas, numpy) in enumerate(RELEASES[: self.scale.releases]):
            for package, version in (("pandas", pandas), ("numpy", numpy)):
                with zipfile.ZipFile(self._wheel(package, version)) as wheel:
                    wheel.extractall(folder / f"{number:02}")

    def _wheel(self, package: str, version: str) -> Path:
        self._downloads.mkdir(parents=True, exist_ok=True)
        pattern = f"{package}-{version}-cp311-*x86_64.whl"
        if not any(self._downloads.glob(pattern)):
            self._say(f"downloading {package} {version}")
            platform = ["--only-binary=:all:", "--python-version", "3.11", "--platform", "manylinux2014_x86_64"]
            download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", *platform]
            command = [*download, "--dest", str(self._downloads), f"{package}=={version}"]
            if subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True).returncode:
                raise DownloadFailed(f"pip could not download {package} {version}")
        return next(iter(sorted(self._downloads.glob(pattern))))

    def _make_checkpoints(self, folder: Path) -> None:
        size = self.scale.checkpoint_bytes
        for version in ("00", "01"):
            (folder / version).mkdir()
        weights = folder / "00" / "weights.bin"
        write_noise(weights, size, seed=1)
        write_noise(folder / "00" / "optimizer.bin", size, seed=2)
        shutil.copyfile(folder / "00" / "optimizer.bin", folder / "01" / "optimizer.bin")
        shutil.copyfile(weights, folder / "01" / "weights.bin")
        change_rows(folder / "01" / "weights.bin", seed=3)

    def _make_checkpoint(self, folder: Path) -> None:
        os.link(self.folder("checkpoints") / "00" / "weights.bin", folder / "data")

    def _make_table(self, folder: Path) -> None:
        write_records(folder / "data", self.scale.table_bytes, seed=4)

    def _make_images(self, folder: Path) -> None:
        write_files(folder, self.scale.images, self.scale.image_folders, image_content(seed=5))

    def _make_second(self, folder: Path) -> None:
        images = self.folder("images")
        for parent in images.iterdir():
            (folder / parent.name).mkdir()
            for file in parent.iterdir():
                os.link(file, folder / parent.name / file.name)
        (folder / "00000" / "added.bin").write_bytes(b"the second version")

    def _make_tiny(self, folder: Path) -> None:
        write_files(folder, self.scale.tiny, self.scale.tiny_folders, label_content(seed=6))


def write_noise(path: Path, size: int, seed: int) -> None:
    """Write an incompressible file."""
    with path.open("wb") as file:
        file.writelines(noise(size, seed))


def change_rows(path: Path, seed: int) -> None:
    """Overwrite one row of a hundred, scattered, as when a few rows of an embedding were trained."""
    generator = np.random.Generator(np.random.SFC64(seed))
    rows = path.stat().st_size // ROW
    with path.open("r+b") as file:
        for row in np.sort(generator.choice(rows, size=max(1, int(rows * CHANGED_ROWS)), replace=False)):
            file.seek(int(row) * ROW)
            file.write(generator.bytes(ROW))


def write_records(path: Path, size: int, seed: int) -> None:
    """Write about ``size`` bytes of JSON lines: an event log, with words, figures and counters."""
    choice = random.Random(seed)
    words = ["".join(choice.choices("abcdefghijklmnopqrstuvwxyz", k=choice.randint(4, 10))) for _ in range(400)]
    number = 0
    with path.open("w") as file:
        while file.tell() < size:
            lines = []
            for _ in range(BLOCK // 160):
                number += 1
                user, page = choice.randrange(5000), words[int(400 * choice.random() ** 3)]
                second = f"{number // 375_000 % 24:02}:{number // 6250 % 60:02}:{number // 105 % 60:02}"
                lines.append(
                    f'{{"event_id": {number}, "time": "2026-03-{1 + number // 9_000_000:02}T{second}Z", "user_id": '
                    f'"user-{user:06}", "page": "/{page}/{words[user % 400]}", "status": 200, "duration_ms": '
                    f'{choice.randrange(900)}, "session": null}}\n'
                )
            file.write("".join(lines))


def image_content(seed: int) -> Iterator[bytes]:
    """Yield contents like JPEG images: a header that most share, then 15 to 45 KB that cannot be compressed."""
    choice = random.Random(seed)
    header = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01" + choice.randbytes(600)
    while True:
        yield header + choice.randbytes(choice.randint(15_000, 45_000)) + b"\xff\xd9"


def label_content(seed: int) -> Iterator[bytes]:
    """Yield contents like label files: a few short lines of numbers."""
    choice = random.Random(seed)
    while True:
        lines = (f"{choice.randrange(80)} {choice.random():.6f} {choice.random():.6f}\n" for _ in range(8))
        yield "".join(lines)[: choice.randint(20, 170)].encode()


def write_files(folder: Path, count: int, folders: int, contents: Iterator[bytes]) -> None:
    """Write ``count`` files, one folder after another, as when an archive is unpacked."""
    for label in range(folders):
        (folder / f"{label:05}").mkdir()
        for index in range(count * label // folders, count * (label + 1) // folders):
            with open(f"{folder}/{label:05}/{index:07}.bin", "wb", buffering=0) as file:
                file.write(next(contents))
