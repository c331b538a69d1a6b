"""Versions in PyTorch: a map-style data set that reads in process, and a sampler that reads in long stretches.

    from artfs.torch import VersionDataset, WindowSampler

    data = VersionDataset(ws.version("imagenet:v3"), "train", transform=decoded)
    loader = DataLoader(data, batch_size=64, sampler=WindowSampler(data), num_workers=4)

`artfs.training` has both without PyTorch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from artfs.training.files import VersionFiles
from artfs.training.shuffling import BLOCK_BYTES, WINDOW_BLOCKS, StoredSequence, WindowOrder

try:
    import torch.distributed
    from torch.utils.data import Dataset, Sampler
except ImportError as error:
    raise ImportError("artfs.torch needs PyTorch, which is not installed: pip install 'artfs[torch]'") from error

__all__ = ["VersionDataset", "WindowSampler"]


class VersionDataset(VersionFiles, Dataset[Any]):  # type: ignore[misc,unused-ignore]
    """A map-style data set of the files of a version: `artfs.training.files.VersionFiles` for a DataLoader.

    A DataLoader asks for the samples of a batch together, and their files are read in the order of the packs.
    """


class WindowSampler(WindowOrder, Sampler[int]):  # type: ignore[misc,unused-ignore]
    """A sampler that shuffles in windows of pack order: `artfs.training.shuffling.WindowOrder` for a DataLoader."""

    def __init__(
        self,
        files: StoredSequence,
        *,
        seed: int = 0,
        rank: int | None = None,
        world_size: int | None = None,
        drop_last: bool = False,
        shuffle: bool = True,
        window: int = WINDOW_BLOCKS,
        block_bytes: int = BLOCK_BYTES,
        order: Sequence[int] | None = None,
    ) -> None:
        """Take ``rank`` and ``world_size`` from `torch.distributed` if it was initialised and they are not given."""
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            rank = torch.distributed.get_rank() if rank is None else rank
            world_size = torch.distributed.get_world_size() if world_size is None else world_size
        super().__init__(
            files,
            seed=seed,
            rank=0 if rank is None else rank,
            world_size=1 if world_size is None else world_size,
            drop_last=drop_last,
            shuffle=shuffle,
            window=window,
            block_bytes=block_bytes,
            order=order,
        )
