"""`artfs.torch` in PyTorch's DataLoader; and what it says without PyTorch, which is too large for the CI."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import artfs

has_torch = importlib.util.find_spec("torch") is not None
needs_torch = pytest.mark.skipif(not has_torch, reason="PyTorch is not installed: its wheels have gigabytes")

WITHOUT = """
import sys
sys.modules["torch"] = None
import artfs, artfs.training.files, artfs.training.shuffling
try:
    import artfs.torch
except ImportError as error:
    print(error)
"""


def test_without_pytorch() -> None:
    """Everything else is imported without it, and the module itself says what to install."""
    done = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=True)
    assert "pip install 'artfs[torch]'" in done.stdout and done.stdout.count("\n") == 1
    loaded = "import sys, artfs; artfs.open_workspace, artfs.Version; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", loaded], check=True)


@pytest.fixture
def version(tmp_path: Path) -> Iterator[artfs.Version]:
    for number in range(200):
        place = tmp_path / "data" / f"c{number % 5}"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{number}").write_bytes(b"%d" % number * (number * 5 + 1))
    with artfs.init_workspace(tmp_path / "ws") as workspace:
        yield workspace.put(tmp_path / "data", "d")


def sample(path: str, content: bytes) -> tuple[str, int]:
    return path, len(content)


@needs_torch
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_loader(version: artfs.Version, workers: int, method: str) -> None:
    """Each epoch has each file once; an interrupted one goes on where training was."""
    from torch.utils.data import DataLoader, Dataset, Sampler

    from artfs.torch import VersionDataset, WindowSampler

    data: Any = VersionDataset(version, transform=sample)
    sampler: Any = WindowSampler(data, block_bytes=2000, window=4)
    assert isinstance(data, Dataset) and isinstance(sampler, Sampler)
    options: Any = {"num_workers": workers, "multiprocessing_context": method if workers else None}
    wanted = {path: version.stat(path).size for path in data.paths()}
    loader: Any = DataLoader(data, 16, sampler=sampler, **options)
    epochs = [[(list(paths), sizes.tolist()) for paths, sizes in loader] for _ in range(2)]
    for epoch in epochs:
        seen = [pair for paths, sizes in epoch for pair in zip(paths, sizes, strict=True)]
        assert Counter(seen) == Counter(wanted.items())
    assert epochs[0] != epochs[1]
    resumed: Any = WindowSampler(data, block_bytes=2000, window=4)
    resumed.load_state_dict(sampler.state_dict(5 * 16))
    assert [list(paths) for paths, _ in DataLoader(data, 16, sampler=resumed, **options)] == [
        paths for paths, _ in epochs[1][5:]
    ]


@needs_torch
def test_an_error_in_a_worker(version: artfs.Version) -> None:
    """It reaches the training loop as it is, with its sentence."""
    from torch.utils.data import DataLoader

    from artfs.torch import VersionDataset

    data: Any = VersionDataset(version)
    artfs.open_workspace(version._store.path).delete(version.name)
    with pytest.raises(artfs.errors.NotFoundError, match="deleted"):
        list(DataLoader(data, 4, num_workers=1))
