"""Drafts: versions being built.  A draft owns a reference to every node that it staged and that has no parent yet.

A put's own draft is tied to its process by a flock on ``run/drafts/<number>``: while the lock is held the draft is
alive; when the process dies the draft is dead, what it staged stays, and a later put of the same content finds it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from artstore import disk
from artstore.manifest import ReadTransaction, Table, WriteTransaction, key64
from artstore.records.catalogue import DraftRecord

__all__ = ["Draft", "DraftInfo", "list_drafts", "staged_nodes"]


class DraftInfo(NamedTuple):
    """What is known of a draft; a dead one waits to be reaped, and its content can be taken up by another put."""

    number: int
    artifact: str
    created_ns: int
    pid: int
    alive: bool
    staged_nodes: int


def _lock_path(run_dir: Path, number: int) -> Path:
    return run_dir / "drafts" / str(number)


class Draft:
    """The draft of one running put; made inside its first write transaction."""

    def __init__(self, transaction: WriteTransaction, run_dir: Path, mode: int, artifact: str, source: str) -> None:
        self.number = transaction.state.next_draft
        transaction.state.next_draft += 1
        self._path = _lock_path(run_dir, self.number)
        # A file of that number is left from a transaction that never committed; its process may still hold it.
        self._path.unlink(missing_ok=True)
        with disk.out_of_space(run_dir, "the lock of a draft"):
            self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        os.fchmod(self._fd, mode)
        disk.try_lock(self._fd)
        record = DraftRecord(self.number, artifact, time.time_ns(), os.getpid(), source)
        transaction.put(Table.DRAFTS, key64(self.number), record.encode())

    def hold(self, transaction: WriteTransaction, node: int) -> None:
        """Note that the draft has one reference to the node; the caller counts it."""
        transaction.raw.put(key64(self.number) + key64(node), b"", db=transaction.handles[Table.STAGED])

    def release(self, transaction: WriteTransaction, node: int) -> None:
        """Note that the draft's reference has gone to a parent."""
        transaction.delete(Table.STAGED, key64(self.number) + key64(node))

    def remove(self, transaction: WriteTransaction) -> None:
        """End the draft; where it still holds nodes its record stays, dead, for the reaper."""
        if next(staged_nodes(transaction, self.number), None) is None:
            transaction.delete(Table.DRAFTS, key64(self.number))

    def close(self) -> None:
        """Let the lock go, which declares the draft dead if it was not removed."""
        if self._fd >= 0:
            with suppress(FileNotFoundError):
                if os.path.samestat(self._path.stat(), os.fstat(self._fd)):
                    self._path.unlink()
            disk.unlock(self._fd)
            os.close(self._fd)
            self._fd = -1


def staged_nodes(transaction: ReadTransaction, draft: int) -> Iterator[int]:
    """Yield the nodes that a draft holds a reference to."""
    prefix = key64(draft)
    with transaction.raw.cursor(transaction.handles[Table.STAGED]) as cursor:
        if not cursor.set_range(prefix):
            return
        for key in cursor.iternext(values=False):
            if not key.startswith(prefix):
                return
            yield int.from_bytes(key[8:], "big")


def _is_alive(run_dir: Path, number: int) -> bool:
    try:
        fd = os.open(_lock_path(run_dir, number), os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return not disk.try_lock(fd, shared=True)  # shared: two that ask at once are not in each other's way
    finally:
        os.close(fd)


def list_drafts(transaction: ReadTransaction, run_dir: Path) -> list[DraftInfo]:
    """Return all drafts, the living and the dead, by number."""
    found = []
    for _, payload in transaction.rows(Table.DRAFTS):
        record = DraftRecord.decode(payload)
        staged = sum(1 for _ in staged_nodes(transaction, record.draft))
        alive = _is_alive(run_dir, record.draft)
        found.append(DraftInfo(record.draft, record.artifact, record.created_ns, record.pid, alive, staged))
    return found
