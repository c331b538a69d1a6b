"""Remove packs without live content, and what a killed process left of removed and unfinished ones."""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from contextlib import suppress
from typing import Final

from artstore import beneath
from artstore.errors import DamageError, OutOfSpaceError
from artstore.reclaim.compaction.pack_sources import Source, gap_of, gaps_of, held, pack_ends
from artstore.reclaim.compaction.packs import compact_pack
from artstore.records.deadlist import encode_free
from artstore.records.packing import PackedEntry
from artstore.records.tables import Table, key32
from artstore.rows import space
from artstore.storage import disk
from artstore.storage.packs import pack_path
from artstore.store import Store

__all__ = ["remove_empty"]

_NAME: Final = re.compile(r"(\d{8,10})\.pack")


def remove_empty(store: Store, numbers: Collection[int] | None = None) -> int:
    """Remove packs without live content, and files of packs that the manifest lacks; return the number of the former.

    ``numbers`` limits the packs; None means all.  A pack that a writer appends to stays, and so does one with condemned
    bytes, which a reader may still use.
    """
    with store.snapshot() as snapshot:
        ends = pack_ends(snapshot.transaction)
        next_pack = snapshot.transaction.counters().next_pack
    removed = 0
    for number in sorted(ends if numbers is None else ends.keys() & set(numbers)):
        removed += _remove_if_empty(store, number)
    for name in beneath.names(store.path, "packs"):
        match = _NAME.fullmatch(name)
        if match is None or int(match[1]) in ends:
            continue
        if int(match[1]) < next_pack:
            _remove_leftover(store, int(match[1]))
        else:
            with store.write() as transaction:  # inside one, no other process can be creating a pack
                if int(match[1]) >= transaction.state.next_pack:
                    _remove_leftover(store, int(match[1]))
    return removed


def _remove_if_empty(store: Store, number: int) -> bool:
    if _only_empty_chunks(store, number):
        with suppress(OutOfSpaceError):  # left to a later run: the pack's blocks are already freed
            compact_pack(store, number)
    with held(store, number) as source:
        if source is None or _occupants(store, source) != []:
            return False
        with store.write() as transaction:
            length = 0
            for gap in list(space.free_extents(transaction, number)):
                transaction.delete(Table.FREE, encode_free(gap)[0])
                transaction.state.free_bytes -= gap.length - gap.punched
                length += gap.length
            transaction.state.framing_bytes -= source.end - length
            transaction.delete(Table.PACKS, key32(number))
        disk.remove(store.path, pack_path(store.path, number))
    return True


def _only_empty_chunks(store: Store, number: int) -> bool:
    """Return whether all live content of a pack is empty: its index entries then must move to another pack."""
    with held(store, number) as source:
        return source is not None and bool(_occupants(store, source))


def _occupants(store: Store, source: Source) -> list[PackedEntry] | None:
    """Return the empty stored forms that live in a pack; None if others do, or if a reader may still use the pack."""
    occupants: list[PackedEntry] = []
    with store.snapshot() as snapshot:
        transaction = snapshot.transaction
        try:
            data = 0
            for segment in source.segments():
                data += segment.data_length
                entries = source.entries(segment)
                if gap_of(transaction, source.number, segment) is not None:
                    entries = [entry for entry in entries if not entry.stored]
                for life in source.life(transaction, entries):
                    if life.entry.stored:
                        return None
                    occupants.append(life.entry)
        except DamageError:
            return None
        if data != gaps_of(transaction, source.number)[0]:
            return None  # condemned bytes, or bytes without a known owner that a rebuild kept
        return occupants


def _remove_leftover(store: Store, number: int) -> None:
    """Remove the file of a pack that is no longer in the manifest."""
    path = pack_path(store.path, number)
    with suppress(FileNotFoundError):
        fd = beneath.open_file(store.path, path)
        try:
            if disk.try_lock(fd):
                disk.remove(store.path, path)
        finally:
            os.close(fd)
