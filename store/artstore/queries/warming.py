"""Reading a version's bytes in packs into the page cache in the order of offsets, or from a remote into the cache.

An epoch of shuffled reads waits for the disk at every file; one sequential pass does not.  The cache holds the stored
forms, still compressed; mounts and the Python API then read them from memory.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby, zip_longest
from typing import Final, NamedTuple

from artstore import beneath
from artstore.arguments import raw_path
from artstore.errors import DamageError
from artstore.interrupts import checkpoint
from artstore.progress import Progress
from artstore.queries.resolving import resolve_version
from artstore.records.lazy_nodes import LAZY
from artstore.rows.content import chunks_between
from artstore.rows.lazy_source import Plan
from artstore.storage.packs import pack_path
from artstore.storage.readahead import ask_for
from artstore.store import Store

__all__ = ["Warmed", "warm", "warm_version"]

_PIECE: Final = 4 * 1024 * 1024
_GAP: Final = 256 * 1024
"""Bytes between two stored forms that are read as well: that is quicker than passing over them."""


class Warmed(NamedTuple):
    """The result of warming: the files (those with equal content counted once), and bytes of packs read."""

    files: int
    bytes: int


class _Run(NamedTuple):
    """Bytes ``[start, end)`` of one pack."""

    pack: int
    start: int
    end: int


def warm_version(
    store: Store, ref: str, path: str | bytes, progress: Callable[[Progress], None] | None = None
) -> Warmed:
    """Do as `warm` for a version, at the path of the reference and ``path`` below that."""

    def read(store: Store) -> Warmed:
        version, inside = resolve_version(store, ref)
        place = b"/".join(part for part in (inside, raw_path(path).strip(b"/")) if part)
        return warm(store, version.record.root, place, version.name, progress)

    return store.confirmed(read)


def warm(store: Store, root: int, path: bytes, name: str, progress: Callable[[Progress], None] | None = None) -> Warmed:
    """Read the stored forms of all files at a path below the root of the version ``name``, "" for all of it.

    Of a version that only a remote has, they are fetched into the cache of the user, what is there already left out.

    The bytes are not verified or decompressed: readers do that.  If memory is short, only the last bytes stay cached.
    Raises `NotFoundError` if there is no such path, and `DamageError` if a pack is missing or too short.
    """
    with store.snapshot() as snapshot:
        if path:
            nodes = snapshot.files_at(root, path, name)
        else:
            nodes = list({entry.node: None for _, entry in snapshot.walk(root) if not entry.is_directory})
        lazy = [node for node in nodes if node >= LAZY]
        plan = snapshot.lazy.plan(snapshot, lazy) if lazy else None
        places = set()
        for count, node in enumerate(nodes):
            if node >= LAZY:
                continue
            for chunk, _, _ in chunks_between(snapshot.transaction, node, 0, snapshot.content(node).size):
                extent = chunk.extent
                places.add((extent.pack, extent.offset, extent.offset + extent.stored))
            if progress is not None:
                progress(Progress("looking", count + 1, 0, len(nodes), None, ""))
    if plan is not None:
        return Warmed(len(nodes), _fetch(plan, len(nodes), progress))
    runs = list(_runs(sorted(places)))
    total, done = sum(run.end - run.start for run in runs), 0
    for size in _read_all(store, runs):
        done += size
        if progress is not None:
            progress(Progress("reading", len(nodes) if done == total else 0, done, None, total, ""))
    return Warmed(len(nodes), total)


def _fetch(plan: Plan, files: int, progress: Callable[[Progress], None] | None) -> int:
    """Fetch the contents of a version in a remote into the cache; return the bytes."""
    done = 0
    for size in plan.fetch():
        checkpoint()
        done += size
        if progress is not None:
            progress(Progress("fetching", files if done == plan.bytes else 0, done, None, plan.bytes, ""))
    return done


def _runs(places: Iterable[tuple[int, int, int]]) -> Iterator[_Run]:
    """Join places, in order, that lie close to each other."""
    run: _Run | None = None
    for pack, start, end in places:
        if start == end:
            continue
        if run is not None and run.pack == pack and start - run.end <= _GAP:
            run = run._replace(end=max(end, run.end))
            continue
        if run is not None:
            yield run
        run = _Run(pack, start, end)
    if run is not None:
        yield run


def _read_all(store: Store, runs: Iterable[_Run]) -> Iterator[int]:
    """Read all runs piece by piece, asking for each piece while the one before it is read; yield their sizes."""
    room = memoryview(bytearray(_PIECE))
    for pack, group in groupby(runs, key=lambda run: run.pack):
        pieces = [(at, min(_PIECE, run.end - at)) for run in group for at in range(run.start, run.end, _PIECE)]
        path = pack_path(store.path, pack)
        try:
            with open(beneath.open_file(store.path, path), "rb", buffering=0) as file:
                for (at, size), following in zip_longest(pieces, pieces[1:]):
                    if following is not None:
                        ask_for(file.fileno(), *following)
                    if os.preadv(file.fileno(), [room[:size]], at) < size:
                        raise DamageError(f"the pack {path} ends before byte {at + size}")
                    yield size
        except FileNotFoundError as error:
            raise DamageError(f"the pack {path} is missing") from error
