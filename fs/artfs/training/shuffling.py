"""An order for an epoch that is shuffled, and that a disk reads in long stretches.

The files are taken in pack order and cut into *blocks* of about `BLOCK_BYTES`.  An epoch puts the blocks in random
order, takes `WINDOW_BLOCKS` of them at a time, and shuffles the files of each such *window*.  So a disk reads whole
blocks, and at most one window must fit into the page cache.

Quality, of N files in blocks of b files and windows of w blocks:

- Each epoch has each file once, and a file's place in it is uniform: it is that of a random block.
- Two files of different blocks are as independent as in a full shuffle.  Two of one block are always in one window, so
  of the pairs in a batch the share (b - 1) / (w * b - 1), about 1 / w, come from one block; in a full shuffle it is
  (b - 1) / (N - 1).  With 256 blocks that is one pair of 256.  One window for all files is a full shuffle.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle
from random import Random
from typing import Any, Final, Protocol

from artstore.arguments import shown_value
from artstore.errors import InvalidInputError

__all__ = ["BLOCK_BYTES", "WINDOW_BLOCKS", "StoredSequence", "WindowOrder"]

BLOCK_BYTES: Final = 1 << 20
WINDOW_BLOCKS: Final = 256
_PIECES: Final = 64
"""Parts of the following window that are asked for while one is used: a disk gets no more at once."""


class StoredSequence(Protocol):
    """What is shuffled: a sequence of files that knows where they are stored, such as `VersionFiles`."""

    def __len__(self) -> int: ...

    def size(self, index: int) -> int:
        """Return the bytes of a file."""

    def pack_order(self) -> list[int]:
        """Return all indices in the order of storage."""

    def read_ahead(self, indices: Sequence[int]) -> None:
        """Ask the disk for files that are read soon."""


class WindowOrder:
    """Yield the indices of one rank's part of an epoch, shuffled in windows of pack order; resumable.

    Of ``world_size`` ranks, each gets the same number of samples.  If their number does not divide, the first samples
    of the epoch are repeated at its end; with ``drop_last`` the last ones are left out instead, as in PyTorch's
    `DistributedSampler`.  A rank's part is a stretch of the epoch's blocks, another one in each epoch, so that ranks on
    different machines read different blocks.

    The order depends on ``seed``, the epoch and the numbers here, and on where the files are stored: it is the same for
    all ranks that read one workspace.  Ranks on machines with workspaces of their own must pass ``order``, the indices
    in an order that all of them have, for example ``range(len(files))``.  When an epoch has been iterated to its end,
    the next one follows; one that was left early begins again.
    """

    def __init__(
        self,
        files: StoredSequence,
        *,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        drop_last: bool = False,
        shuffle: bool = True,
        window: int = WINDOW_BLOCKS,
        block_bytes: int = BLOCK_BYTES,
        order: Sequence[int] | None = None,
    ) -> None:
        _whole(seed, "the seed", None)
        _whole(world_size, "world_size", 1)
        _whole(rank, "the rank", 0)
        _whole(window, "the window", 1)
        _whole(block_bytes, "block_bytes", 1)
        if rank >= world_size:
            raise InvalidInputError(f"there is no rank {rank} of {world_size}: the first is 0")
        self.seed, self.rank, self.world_size = seed, rank, world_size
        self.drop_last, self.shuffle, self.window = bool(drop_last), bool(shuffle), window
        self._files = files
        self._order = files.pack_order() if order is None else list(order)
        if order is not None and sorted(self._order) != list(range(len(files))):
            raise InvalidInputError(f"the order must have each of the {len(files)} indices once")
        self._bounds = _cut(files, self._order, block_bytes)
        self.epoch = 0
        """The epoch that is iterated next."""
        self._start = 0  # of the next iteration
        self._iterated = 0  # the epoch of the last one
        self._position = 0  # in that

    def __len__(self) -> int:
        """Return the samples of this rank in a whole epoch."""
        count = len(self._order)
        return count // self.world_size if self.drop_last else -(-count // self.world_size)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that is iterated next: from its beginning, unless a state of this epoch was loaded."""
        _whole(epoch, "the epoch", 0)
        if epoch != self.epoch:
            self.epoch = self._iterated = epoch
            self._start = self._position = 0

    def state_dict(self, position: int | None = None) -> dict[str, Any]:
        """Return where the current epoch is, for `load_state_dict`, in JSON's types.

        ``position`` is how many of its samples have been used, by default how many have been yielded.  A DataLoader
        with workers takes samples ahead, so pass the batches that training has seen times their size.
        """
        if position is not None:
            _whole(position, "the position", 0)
        return {
            "epoch": self._iterated,
            "position": self._position if position is None else min(position, len(self)),
            **self._settings(),
        }

    def _settings(self) -> dict[str, Any]:
        return {
            "seed": self.seed,
            "world_size": self.world_size,
            "drop_last": self.drop_last,
            "shuffle": self.shuffle,
            "window": self.window,
            "blocks": len(self._bounds) - 1,
            "files": len(self._order),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Let the next iteration go on where `state_dict` was called, in this rank or in another one.

        Raises `InvalidInputError` if a setting on which the order depends differs, naming it.
        """
        if not isinstance(state, Mapping) or not {"epoch", "position"} <= state.keys():
            raise InvalidInputError(f"the state must be what state_dict() returned, not {shown_value(state)}")
        for name, value in self._settings().items():
            if state.get(name) != value:
                raise InvalidInputError(f"the state has {name}={state.get(name)!r:.60}, and this order has {value!r}")
        epoch, position = state["epoch"], state["position"]
        _whole(epoch, "the epoch", 0)
        _whole(position, "the position", 0)
        if position >= len(self):
            epoch, position = epoch + 1, 0
        self.epoch = self._iterated = epoch
        self._start = self._position = position

    def __iter__(self) -> Iterator[int]:
        """Yield an epoch, or the rest of one if a state was loaded."""
        epoch, skipped = self.epoch, self._start
        self._iterated, self._position, self._start = epoch, skipped, 0
        windows = self._windows(epoch)
        window = next(windows, [])
        while window and skipped >= len(window):
            skipped -= len(window)
            window = next(windows, [])
        self._files.read_ahead(window)
        while window:
            following = next(windows, [])
            for index in _reading_ahead(self._mixed(window)[skipped:], following, self._files):
                self._position += 1
                yield index
            window, skipped = following, 0
        if self.epoch == epoch:
            self.epoch = epoch + 1

    def _mixed(self, window: list[int]) -> list[int]:
        mixed = window.copy()
        if self.shuffle:
            Random(f"{self.seed}/{self._iterated}/{self.rank}/{window[0]}").shuffle(mixed)
        return mixed

    def _windows(self, epoch: int) -> Iterator[list[int]]:
        """Yield this rank's stretch of an epoch, window by window, each in the order of its blocks."""
        blocks = list(range(len(self._bounds) - 1))
        if self.shuffle:
            Random(f"{self.seed}/{epoch}").shuffle(blocks)
        low = self.rank * len(self)
        high = low + len(self)
        at, held = 0, 0
        window: list[int] = []
        for block in cycle(blocks):  # past the end, the first samples are repeated
            if at >= high:
                break
            start, end = self._bounds[block], self._bounds[block + 1]
            stretch = (
                self._order[start + max(0, low - at) : min(end, start + high - at)] if at + end - start > low else []
            )
            at += end - start
            if stretch:
                window += stretch
                held += 1
            if held == self.window:
                yield window
                window, held = [], 0
        if window:
            yield window


def _reading_ahead(indices: Sequence[int], following: Sequence[int], files: StoredSequence) -> Iterator[int]:
    """Yield indices, and meanwhile ask the disk for those that follow, piece by piece."""
    step, piece = -(-len(indices) // _PIECES), -(-len(following) // _PIECES)
    for number, index in enumerate(indices):
        if number % step == 0 and (part := following[number // step * piece :][:piece]):
            files.read_ahead(part)
        yield index


def _cut(files: StoredSequence, order: Sequence[int], block_bytes: int) -> list[int]:
    """Return the positions in an order at which blocks begin, and its end."""
    bounds, held = [0], 0
    for position, index in enumerate(order):
        size = files.size(index)
        if held and held + size > block_bytes:
            bounds.append(position)
            held = 0
        held += max(size, 1)
    return [*bounds, len(order)]


def _whole(value: object, what: str, least: int | None) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or (least is not None and value < least):
        bound = "" if least is None else f" of at least {least}"
        raise InvalidInputError(f"{what} must be a whole number{bound}, not {shown_value(value)}")
