"""Drafts: versions being built.  A draft owns a reference to every node that it staged and that has no parent yet.

A put's own draft is tied to its process by a flock on ``run/drafts/<number>``: while the lock is held the draft is
alive.  When the process dies the draft is dead: its staged nodes stay, so that a later put of the same content finds
them, until the reaper drops the draft's references.  The file's time is the draft's last activity.

A put over a base holds the base's root by a second draft, so that the base's nodes stay even if the base is deleted
meanwhile.

A draft that was opened by a name is tied to no process: it holds the directory that it started as and the current one,
until it is committed, discarded or expired.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

from artstore import beneath
from artstore.clock import doubt
from artstore.errors import DamageError, ExistsError, NotFoundError
from artstore.limits import raise_machine_error
from artstore.records.catalogue import DraftRecord
from artstore.records.seal import unseal
from artstore.records.tables import Table, key64
from artstore.rows import deadlist
from artstore.rows.nodes import change_counts, read_count
from artstore.storage import disk
from artstore.storage.manifest import ReadTransaction, WriteTransaction

__all__ = [
    "Draft",
    "DraftInfo",
    "abandon",
    "dead_drafts",
    "end",
    "find_open",
    "held_node",
    "list_drafts",
    "move_root",
    "open_draft",
    "pin",
    "remove_stray_locks",
    "rename",
    "staged_nodes",
]

RESUME_SECONDS: Final = 3600.0
"""How long the staged nodes of a dead put are kept for another put to reuse."""
_MOST_NODES: Final = 1000
_STAGED_KEY: Final = 16


class DraftInfo(NamedTuple):
    """A description of a draft; a dead one waits to be reaped, and another put can reuse its content.

    ``base`` is the serial of the version whose root the draft holds, or 0; ``active_ns`` is its last activity.  A draft
    that was opened by a name has an ``id``, and is alive until ``expires_ns``.
    """

    number: int
    artifact: str
    created_ns: int
    pid: int
    alive: bool
    staged_nodes: int
    base: int = 0
    active_ns: int = 0
    id: str = ""
    expires_ns: int = 0
    source: str = ""

    @property
    def title(self) -> str:
        """The draft's name for use in a sentence."""
        if self.id:
            return f"the open draft {self.id!r} of {self.artifact!r}"
        return f"a put to {self.artifact!r} by process {self.pid}"


def _lock_path(run_dir: Path, number: int) -> Path:
    return run_dir / "drafts" / str(number)


def _open_lock(run_dir: Path, number: int, flags: int, mode: int = 0) -> int:
    return beneath.open_file(run_dir.parent, _lock_path(run_dir, number), flags, mode)


class Draft:
    """The draft of one running put; made inside its first write transaction."""

    def __init__(
        self, transaction: WriteTransaction, run_dir: Path, mode: int, artifact: str, source: str, base: int = 0
    ) -> None:
        self.number = transaction.state.next_draft
        transaction.state.next_draft += 1
        self._ended = False
        self._workspace, self._path = run_dir.parent, _lock_path(run_dir, self.number)
        # A file of that number is left from a transaction that never committed; its process may still hold it.
        beneath.remove(self._workspace, self._path, missing_ok=True)
        with disk.out_of_space(run_dir, "the lock of a draft"):
            self._fd = _open_lock(run_dir, self.number, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)
        os.fchmod(self._fd, mode)
        disk.try_lock(self._fd)
        record = DraftRecord(self.number, artifact, time.time_ns(), os.getpid(), source, base)
        transaction.put(Table.DRAFTS, key64(self.number), record.encode())

    def hold(self, transaction: WriteTransaction, node: int) -> None:
        """Note that the draft has one reference to the node; the caller counts it."""
        transaction.put(Table.STAGED, key64(self.number) + key64(node), b"")

    def release(self, transaction: WriteTransaction, node: int) -> None:
        """Note that the draft's reference has gone to a parent."""
        transaction.delete(Table.STAGED, key64(self.number) + key64(node))

    @property
    def has_ended(self) -> bool:
        """Whether the draft was removed."""
        return self._ended

    def remove(self, transaction: WriteTransaction) -> None:
        """End the draft; move its remaining references to the deadlist."""
        end(transaction, self.number)
        self._ended = True

    def touch(self) -> None:
        """Note that the draft is at work."""
        os.utime(self._fd)

    def close(self) -> None:
        """Release the lock, which declares the draft dead if it was not removed."""
        if self._fd < 0:
            return
        if self._ended:
            with suppress(FileNotFoundError):
                if os.path.samestat(beneath.status(self._workspace, self._path), os.fstat(self._fd)):
                    beneath.remove(self._workspace, self._path)
        disk.unlock(self._fd)
        os.close(self._fd)
        self._fd = -1


def pin(transaction: WriteTransaction, run_dir: Path, mode: int, artifact: str, base: int, root: int) -> Draft:
    """Make a draft that holds the root of a version, its ``base``, while another version is built upon it."""
    if not read_count(transaction, root):
        raise NotFoundError("the base version no longer exists")
    draft = Draft(transaction, run_dir, mode, artifact, "", base)
    draft.hold(transaction, root)
    change_counts(transaction, {root: 1})
    return draft


def open_draft(
    transaction: WriteTransaction, artifact: str, ident: str, start: int, base: int, life_ns: int, source: str = ""
) -> DraftRecord:
    """Create a draft with a name, which holds the directory ``start``; the caller counts that reference.

    Raises `ExistsError` if one of that name is open; an expired one is replaced.
    """
    before = find_open(transaction, ident)
    if before is not None and before.expires_ns <= time.time_ns():
        end(transaction, before.draft)
    elif before is not None:
        raise ExistsError(f"a draft {ident!r} is already open", hint=f"see it with: artfs draft status {ident}")
    number = transaction.state.next_draft
    transaction.state.next_draft += 1
    now_ns = time.time_ns()
    record = DraftRecord(
        number, artifact, now_ns, os.getpid(), source, base, ident or f"d{number}", start, start, now_ns, life_ns
    )
    transaction.put(Table.DRAFTS, key64(number), record.encode())
    transaction.put(Table.STAGED, key64(number) + key64(start), b"")
    return record


def find_open(transaction: ReadTransaction, ident: str) -> DraftRecord | None:
    """Return the draft that was opened by a name, expired or not, or None."""
    for _, payload in transaction.rows(Table.DRAFTS):
        record = DraftRecord.decode(payload)
        if record.id and record.id == ident:
            return record
    return None


def move_root(
    transaction: WriteTransaction, record: DraftRecord, root: int, new_bytes: int, **changes: Any
) -> frozenset[int]:
    """Replace the directory of an open draft; return the nodes with a new reference, for the caller to count.

    ``changes`` are other fields of its record.  The replaced directory goes to the deadlist, unless it has other
    references too.
    """
    changed = replace(record, root=root, new_bytes=record.new_bytes + new_bytes, active_ns=time.time_ns(), **changes)
    transaction.put(Table.DRAFTS, key64(record.draft), changed.encode())
    for node in changed.held - record.held:
        transaction.put(Table.STAGED, key64(record.draft) + key64(node), b"")
    _let_go(transaction, record.draft, sorted(record.held - changed.held))
    return changed.held - record.held


def rename(transaction: WriteTransaction, artifact: str, to: str) -> None:
    """Change an artifact's name in its drafts."""
    for key, payload in list(transaction.rows(Table.DRAFTS)):
        record = DraftRecord.decode(payload)
        if record.artifact == artifact:
            transaction.put(Table.DRAFTS, key, replace(record, artifact=to).encode())


def staged_nodes(transaction: ReadTransaction, draft: int) -> Iterator[int]:
    """Yield the nodes that a draft holds a reference to."""
    prefix = key64(draft)
    with transaction.raw.cursor(transaction.handles[Table.STAGED]) as cursor:
        if not cursor.set_range(prefix):
            return
        for key, value in cursor:
            if not key.startswith(prefix):
                return
            yield held_node(key, value)


def held_node(key: bytes, value: bytes) -> int:
    """Return the node of a row of STAGED, as it is stored; raise `DamageError` if its seal is broken.

    The row is only a key, so without the seal a damaged key would drop the reference of a wrong node.  The first
    workspaces wrote no seal.
    """
    if len(key) != _STAGED_KEY or (value and unseal(Table.STAGED, key, value)):
        raise DamageError(f"the row {key.hex()} of the table staged is malformed")
    return int.from_bytes(key[8:], "big")


def abandon(transaction: WriteTransaction, draft: int) -> bool:
    """Move up to 1000 of a draft's references to the deadlist, due immediately; return whether none are left.

    A reference to a node that has others is dropped directly.
    """
    nodes = list(islice(staged_nodes(transaction, draft), _MOST_NODES))
    _let_go(transaction, draft, nodes)
    if len(nodes) == _MOST_NODES:
        return False
    transaction.delete(Table.DRAFTS, key64(draft))
    return True


def end(transaction: WriteTransaction, draft: int) -> None:
    """Pass all of a draft's references to the deadlist, due at once, and forget it."""
    while not abandon(transaction, draft):
        pass


def _let_go(transaction: WriteTransaction, draft: int, nodes: Sequence[int]) -> None:
    shared = {node: -1 for node in nodes if read_count(transaction, node) > 1}
    change_counts(transaction, shared)
    alone = [node for node in nodes if node not in shared]
    if alone:
        deadlist.add_entry(transaction, alone, time.time_ns())
    for node in nodes:
        transaction.delete(Table.STAGED, key64(draft) + key64(node))


def _is_alive(run_dir: Path, number: int) -> bool:
    try:
        fd = _open_lock(run_dir, number, os.O_RDONLY)
    except OSError as error:
        raise_machine_error(error, f"whether the put number {number} is running cannot be told")
        return False
    try:
        return not disk.try_lock(fd, shared=True)  # shared: two that ask at once are not in each other's way
    finally:
        os.close(fd)


def list_drafts(transaction: ReadTransaction, run_dir: Path) -> list[DraftInfo]:
    """Return all drafts, the living and the dead, by number."""
    states = []
    for _, payload in transaction.rows(Table.DRAFTS):
        record = DraftRecord.decode(payload)
        states.append(
            DraftInfo(
                record.draft,
                record.artifact,
                record.created_ns,
                record.pid,
                time.time_ns() < record.expires_ns if record.id else _is_alive(run_dir, record.draft),
                sum(1 for _ in staged_nodes(transaction, record.draft)),
                record.base,
                _active_ns(run_dir, record),
                record.id,
                record.expires_ns,
                record.source,
            )
        )
    return states


def _active_ns(run_dir: Path, record: DraftRecord) -> int:
    if record.id:
        return record.active_ns
    try:
        return max(record.created_ns, beneath.status(run_dir.parent, _lock_path(run_dir, record.draft)).st_mtime_ns)
    except OSError:
        return record.created_ns


def dead_drafts(
    transaction: ReadTransaction, run_dir: Path, before_ns: int, *, recorded_ns: int | None = None
) -> list[int]:
    """Return the numbers of drafts whose process has died and whose last activity was before a time.

    Expired drafts with a name are included.  If ``recorded_ns``, the time of the last change of the catalogue,
    shows that the clock is wrong, they are left out: a wrong clock must not expire them.
    """
    states = list_drafts(transaction, run_dir)
    wrong = None
    if recorded_ns is not None:
        wrong = doubt(max([recorded_ns, *(draft.active_ns for draft in states)]), time.time_ns())
    return [
        draft.number
        for draft in states
        if not draft.alive and (wrong is None if draft.id else draft.active_ns < before_ns)
    ]


def remove_stray_locks(transaction: WriteTransaction, run_dir: Path) -> None:
    """Remove the lock files of drafts that are no more; inside a write transaction none is being made."""
    for name in beneath.names(run_dir.parent, run_dir / "drafts"):
        if not name.isdigit() or transaction.get(Table.DRAFTS, key64(int(name))) is not None:
            continue
        if not _is_alive(run_dir, int(name)):
            beneath.remove(run_dir.parent, run_dir / "drafts" / name, missing_ok=True)
