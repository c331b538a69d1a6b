"""The reads of a real training loop: PyTorch's DataLoader over image files, shuffled, with worker processes.

Runs as a separate program that exchanges lines of JSON with the benchmark: PyTorch is loaded once, and never in the
process that measures other things. For each folder it sends ``ready`` when the workers exist, and waits.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

import artfs
from benchmarks.reading import shuffled_files

BATCH = 64
SEED = 11


class Images:
    """A map-style data set of files: an item is the sum and the length of a file's bytes."""

    def __init__(self, folder: str, names: Sequence[str]) -> None:
        self._folder = folder
        self._names = names

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: int) -> Any:
        if index < 0:
            return NOTHING  # starts a worker, and reads nothing
        with open(f"{self._folder}/{self._names[index]}", "rb") as file:
            return item("", file.read())


class InProcess:
    """The same items of a version by the data set of ``artfs.torch``, which reads in process, without a mount."""

    def __init__(self, files: Any) -> None:
        self._files = files

    def __len__(self) -> int:
        return len(self._files)

    def __getitems__(self, indices: Sequence[int]) -> list[Any]:
        return [NOTHING] * len(indices) if indices[0] < 0 else list(self._files.__getitems__(indices))


NOTHING = torch.zeros(2, dtype=torch.int64)


def item(_: str, content: bytes) -> Any:
    """Return the item of a file."""
    values = torch.frombuffer(bytearray(content), dtype=torch.uint8)
    return torch.stack([values.sum(dtype=torch.int64), torch.tensor(len(content))])


def prepared(request: dict[str, Any]) -> tuple[Any, Sequence[int]]:
    """Return the data set of a request, and the shuffled order of its epoch."""
    if "workspace" not in request:
        names = shuffled_files(Path(request["names_from"]), SEED)
        order = torch.randperm(len(names), generator=torch.Generator().manual_seed(SEED)).tolist()
        return Images(request["folder"], names), order
    training: Any = importlib.import_module("artfs.torch")
    version = artfs.open_workspace(request["workspace"]).version(request["version"])
    files = training.VersionDataset(version, transform=item)
    return InProcess(files), training.WindowSampler(files, seed=SEED)


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

    With ``workspace`` and ``version``, they are read by ``artfs.torch`` in its own shuffled order, not from the folder.
    """
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", "This DataLoader will create")  # more workers than cores
    for line in sys.stdin:
        request = json.loads(line)
        images, shuffled = prepared(request)
        order, workers = Order(), request["workers"]
        loader: Any = DataLoader(images, BATCH, sampler=order, num_workers=workers, persistent_workers=True)
        order.indices = [-1] * (BATCH * workers * 2)
        epoch(loader)
        order.indices = shuffled
        print("ready", flush=True)
        sys.stdin.readline()
        seconds, seen = epoch(loader)
        print(json.dumps({"seconds": seconds, "seen": seen}), flush=True)


if __name__ == "__main__":
    main()
