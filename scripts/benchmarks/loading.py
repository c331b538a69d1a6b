"""The reads of a real training loop: PyTorch's DataLoader over image files, shuffled, with worker processes.

Runs as a separate program that exchanges lines of JSON with the benchmark: PyTorch is loaded once, and never in the
process that measures other things. For each folder it sends ``ready`` when the workers exist, and waits.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from benchmarks.reading import shuffled_files

BATCH = 64
SEED = 11


class Images:
    """A map-style data set of files: an item is the sum and the length of a file's bytes, with its index."""

    def __init__(self, folder: str, names: Sequence[str]) -> None:
        self._folder = folder
        self._names = names

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: int) -> Any:
        if index < 0:
            return torch.zeros(2, dtype=torch.int64)  # starts a worker, and reads nothing
        content = torch.frombuffer(bytearray(self.content(self._names[index])), dtype=torch.uint8)
        return torch.stack([content.sum(dtype=torch.int64), torch.tensor(len(content))])

    def content(self, name: str) -> bytes:
        """Return the bytes of a file."""
        with open(f"{self._folder}/{name}", "rb") as file:
            return file.read()


class InProcess(Images):
    """The same items of a version, which each worker reads itself: without a mount, through the Python API.

    This is the place for the data set of ``artfs.torch``.
    """

    def __init__(self, workspace: str, version: str, names: Sequence[str]) -> None:
        super().__init__("", names)
        self._place = workspace, version
        self._version: Any = None

    def content(self, name: str) -> bytes:
        """Return the bytes of a file of the version, which is opened by the first call in a worker."""
        if self._version is None:
            import artfs

            workspace, version = self._place
            self._version = artfs.open_workspace(workspace).version(version)
        content: bytes = self._version.read_bytes(name)
        return content


class Order:
    """A sampler whose order is set from outside, so that workers can be started before the epoch."""

    def __init__(self) -> None:
        self.indices: Sequence[int] = []

    def __iter__(self) -> Iterator[int]:
        return iter(self.indices)

    def __len__(self) -> int:
        return len(self.indices)


def epoch(loader: Any) -> tuple[float, list[int]]:
    """Read all batches; return the seconds and the sum of their items."""
    total = torch.zeros(2, dtype=torch.int64)
    start = time.perf_counter()
    for batch in loader:
        total += batch.sum(dim=0)
    return time.perf_counter() - start, total.tolist()


def main() -> None:
    """Serve ``{"folder", "names_from", "workers"}`` requests: send ``ready``, wait for a line, run and report.

    With ``workspace`` and ``version``, the files are read in process, not from the folder.
    """
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", "This DataLoader will create")  # more workers than cores
    for line in sys.stdin:
        request = json.loads(line)
        names = shuffled_files(Path(request["names_from"]), SEED)
        order, workers = Order(), request["workers"]
        images: Any = Images(request["folder"], names)
        if "workspace" in request:
            images = InProcess(request["workspace"], request["version"], names)
        loader: Any = DataLoader(images, BATCH, sampler=order, num_workers=workers, persistent_workers=True)
        order.indices = [-1] * (BATCH * workers * 2)
        epoch(loader)
        order.indices = torch.randperm(len(names), generator=torch.Generator().manual_seed(SEED)).tolist()
        print("ready", flush=True)
        sys.stdin.readline()
        seconds, seen = epoch(loader)
        print(json.dumps({"seconds": seconds, "seen": seen}), flush=True)


if __name__ == "__main__":
    main()
