"""Faults that the rigs seed in the engine, to prove that they detect them.

Each is a function that changes the engine in this process, given the workspace that it will work on.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import lmdb

from artstore.errors import ArtfsError
from artstore.ingest import batch, earlier
from artstore.reclaim import reaper
from artstore.records.nodes import Extent
from artstore.records.tables import Table
from artstore.rows import drafts, space
from artstore.storage import disk, journal, manifest, packs

Bug = Callable[[Path], None]


def _after_commit(action: Callable[[], None]) -> None:
    """Run an action after each commit."""
    commit = manifest._commit

    def commit_and_act(*arguments: Any) -> None:
        commit(*arguments)
        action()

    manifest._commit = commit_and_act


def _written_after_commit(owner: Any, name: str) -> None:
    """Delay a function's appends to files until after the next commit, and never sync them."""
    function, append = getattr(owner, name), disk.append
    pending: list[tuple[int, bytes, int]] = []

    def append_later(fd: int, buffers: Sequence[Any], offset: int) -> int:
        data = b"".join(buffers)
        pending.append((os.dup(fd), data, offset))
        return offset + len(data)

    def call(*arguments: Any) -> Any:
        disk.append = append_later
        try:
            return function(*arguments)
        finally:
            disk.append = append

    def write() -> None:
        while pending:
            fd, data, offset = pending.pop(0)
            append(fd, [data], offset)
            os.close(fd)

    setattr(owner, name, call)
    _after_commit(write)


def commit_before_pack(workspace: Path) -> None:
    """Write segments only after the transaction that refers to them."""
    _written_after_commit(packs.PackWriter, "write_segment")


def journal_after_commit(workspace: Path) -> None:
    """Append to the journal only after the transaction has committed."""
    _written_after_commit(journal, "append")


def draft_not_held(workspace: Path) -> None:
    """Count the nodes that a draft stages, but do not record that the draft holds them."""
    drafts.Draft.hold = lambda self, transaction, node: None  # type: ignore[method-assign]


def settled_twice(workspace: Path) -> None:
    """Subtract the draft's references from the counts, but keep their rows."""
    drafts.Draft.release = lambda self, transaction, node: None  # type: ignore[method-assign]


def draft_moved_after_commit(workspace: Path) -> None:
    """Make an open draft hold its new tree in one transaction, and record it as the draft's tree in another."""
    moved: list[tuple[int, bytes, bytes]] = []
    move = drafts.move_root

    def move_later(
        transaction: manifest.WriteTransaction, record: Any, *arguments: Any, **changes: Any
    ) -> frozenset[int]:
        held = move(transaction, record, *arguments, **changes)
        key = record.draft.to_bytes(8, "big")
        after = transaction.get(Table.DRAFTS, key)
        assert after is not None
        transaction.put(Table.DRAFTS, key, record.encode())
        moved.append((record.draft, key, bytes(after)))
        return held

    def write() -> None:
        while moved:
            _, key, after = moved.pop()
            with manifest.write(workspace) as transaction:
                transaction.put(Table.DRAFTS, key, after)

    drafts.move_root = move_later
    _after_commit(write)


def punched_before_commit(workspace: Path) -> None:
    """Punch extents when they are condemned, before the transaction that frees their nodes commits."""
    condemn = space.condemn

    def condemn_and_punch(transaction: Any, extents: Iterable[Extent], **options: Any) -> None:
        extents = list(extents)
        condemn(transaction, extents, **options)
        for extent in filter(lambda extent: extent.stored, extents):
            with packs.pack_path(workspace, extent.pack).open("r+b") as pack:
                disk.punch_hole(pack.fileno(), extent.offset, extent.stored)

    space.condemn = condemn_and_punch


def condemned_after_commit(workspace: Path) -> None:
    """Free nodes in one transaction, and condemn their extents in another."""
    condemn, step = space.condemn, reaper.Reaper.step
    pending: list[tuple[list[Extent], dict[str, Any]]] = []

    def condemn_later(transaction: Any, extents: Iterable[Extent], **options: Any) -> None:
        pending.append((list(extents), options))

    def step_and_condemn(self: reaper.Reaper, **options: Any) -> reaper.Step:
        done = step(self, **options)
        if pending:
            with manifest.write(workspace) as transaction:
                for extents, how in pending:
                    condemn(transaction, extents, **how)
            pending.clear()
        return done

    space.condemn = condemn_later
    reaper.Reaper.step = step_and_condemn  # type: ignore[method-assign]


def pack_emptied_before_commit(workspace: Path) -> None:
    """Free the blocks of a pack before the transaction that drops it commits."""
    delete = manifest.WriteTransaction.delete

    def delete_and_empty(self: manifest.WriteTransaction, table: Table, key: bytes) -> bool:
        if table == Table.PACKS:
            os.truncate(packs.pack_path(workspace, int.from_bytes(key, "big")), 0)
        return delete(self, table, key)

    manifest.WriteTransaction.delete = delete_and_empty  # type: ignore[method-assign]


def failed_commit_ignored(workspace: Path) -> None:
    """Treat a failed commit as a successful one."""
    commit = manifest._commit

    def commit_anyhow(*arguments: Any) -> None:
        with suppress(ArtfsError):
            commit(*arguments)

    manifest._commit = commit_anyhow


def readers_not_asked(workspace: Path) -> None:
    """Punch condemned extents without checking for readers."""
    manifest.oldest_reader = lambda path: 1 << 62


def _not_synced(ending: str) -> None:
    """Sync no file whose path has this ending."""
    sync = disk.sync_data

    def sync_others(fd: int) -> None:
        if not os.readlink(f"/proc/self/fd/{fd}").endswith(ending):
            sync(fd)

    disk.sync_data = sync_others


def pack_not_synced(workspace: Path) -> None:
    """Write segments without a sync."""
    _not_synced(".pack")


def journal_not_synced(workspace: Path) -> None:
    """Append to the journal without a sync."""
    _not_synced(".journal")


def folder_not_synced(workspace: Path) -> None:
    """Sync no folder, so that the names of new files may be lost."""
    disk.sync_folder = lambda root, folder="": None


def manifest_not_synced(workspace: Path) -> None:
    """Make LMDB commit without a sync."""
    opened = lmdb.open
    lmdb.open = lambda *arguments, **options: opened(*arguments, **{**options, "sync": False})


def index_off_by_one(workspace: Path) -> None:
    """Count one entry too many before each row after a directory, and in the totals of what contains the directory."""
    encode = batch.encode_tree

    def encode_late(level: int, digest: bytes, form: bytes, totals: Any, extent: Extent, rows: Sequence[Any]) -> bytes:
        first = next((at for at, row in enumerate(rows) if not level and row.is_directory), len(rows))
        late = [row._replace(inodes_before=row.inodes_before + (at > first)) for at, row in enumerate(rows)]
        return encode(level, digest, form, totals._replace(files=totals.files + (first < len(rows))), extent, late)

    batch.encode_tree = encode_late


def time_of_another_version(workspace: Path) -> None:
    """Give each file the time that the latest version shows at its path, whatever its content is there."""
    settled = earlier.EarlierDirectory._settled

    def with_its_time(self: Any, snapshot: Any, entry: Any, is_taken: bool) -> Any:
        current = None if self.latest is None else self.earlier.entry(snapshot, self.latest, entry.name)
        if current is None:
            return settled(self, snapshot, entry, is_taken)
        return entry._replace(mtime_ns=current.mtime_ns)

    earlier.EarlierDirectory._settled = with_its_time  # type: ignore[method-assign]


def _named(*bugs: Bug) -> dict[str, Bug]:
    return {bug.__name__.replace("_", "-"): bug for bug in bugs}


PUT_BUGS = _named(commit_before_pack, draft_not_held, journal_after_commit, settled_twice)
"""What a killed put shows."""
RECORD_BUGS = _named(index_off_by_one, time_of_another_version)
"""What the recount of a completed put shows."""
DRAFT_BUGS = _named(draft_moved_after_commit)
"""What a killed step of an open draft shows."""
REAPING_BUGS = _named(punched_before_commit, condemned_after_commit, pack_emptied_before_commit)
"""What a killed deletion, or a compaction, shows."""
POWER_BUGS = _named(
    pack_not_synced,
    journal_not_synced,
    folder_not_synced,
    manifest_not_synced,
    commit_before_pack,
    journal_after_commit,
    punched_before_commit,
    pack_emptied_before_commit,
)
"""What a loss of power shows, most of it nothing else."""
BUGS = {
    **PUT_BUGS,
    **RECORD_BUGS,
    **DRAFT_BUGS,
    **REAPING_BUGS,
    **POWER_BUGS,
    **_named(failed_commit_ignored, readers_not_asked),
}
