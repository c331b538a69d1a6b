"""Condemned content that no reader can reach any more: punching it out of the packs, and recording the gaps."""

from __future__ import annotations

from typing import Final

from artstore.rows import space
from artstore.storage import manifest
from artstore.storage.packs import pack_path
from artstore.store import Store

__all__ = ["free_unread", "punch_unread"]

_STEP_EXTENTS: Final = 4096


def punch_unread(store: Store, pack: int | None = None) -> list[space.Merge]:
    """Punch the blocks of condemned extents that no reader can reach, of one pack or of all; return the resulting gaps.

    The caller holds `space.exclusive`, and records the gaps with `space.apply_merges`.  At most 4096 extents are done.
    """
    oldest = manifest.oldest_reader(store.path)
    with store.snapshot() as snapshot:
        rows = space.ripe(snapshot.transaction, oldest, _STEP_EXTENTS, pack)
        merges = space.plan_merges(snapshot.transaction, rows)
    by_pack: dict[int, list[space.Merge]] = {}
    for merge in merges:
        by_pack.setdefault(merge.gap.pack, []).append(merge)
    return [done for number, planned in by_pack.items() for done in space.punch(pack_path(store.path, number), planned)]


def free_unread(store: Store, pack: int) -> None:
    """Free the condemned extents of a pack that no reader can reach; the caller holds `space.exclusive`."""
    while merges := punch_unread(store, pack):
        with store.write() as transaction:
            space.apply_merges(transaction, merges)
