"""Copy every pack that is worth it, and free the old ones one by one: the smallest copy first."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial

from artstore.errors import OutOfSpaceError
from artstore.reclaim.compaction.pack_removal import remove_empty
from artstore.reclaim.compaction.packs import compact_pack, worthwhile
from artstore.reclaim.holes import free_unread
from artstore.rows import space
from artstore.storage.reserve import with_reserve
from artstore.store import Store

__all__ = ["Compacted", "compact_packs"]


@dataclass
class Compacted:
    """The number of packs that were copied, those removed, the nodes copied, and the packs that lacked space."""

    packs: int = 0
    removed: int = 0
    nodes: int = 0
    left: int = 0


def compact_packs(
    store: Store, numbers: Collection[int] | None, *, eager: bool, until: Callable[[], bool] = lambda: False
) -> Compacted:
    """Copy the packs among ``numbers``, or all for None, that `worthwhile` finds, and free the space that they took.

    Each is freed before the next one is copied, except for what readers still use, and ``until`` is asked before each.
    A pack for whose copy there is no space stays as it is, or its beginning does.
    """
    done = Compacted()
    with space.exclusive(store.path):
        chosen = worthwhile(store, numbers, eager=eager)
    for number in chosen:
        if until():
            break
        try:
            with_reserve(store.path, partial(_compact, store, number, chosen, done))
            done.packs += 1
        except OutOfSpaceError:
            done.left += 1  # the others may fit
    return done


def _compact(store: Store, number: int, chosen: Collection[int], done: Compacted) -> None:
    with space.exclusive(store.path):
        done.nodes += compact_pack(store, number, avoid=chosen).nodes
        free_unread(store, number)
        done.removed += remove_empty(store, [number])
