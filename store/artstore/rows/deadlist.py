"""The deadlist: the durable queue of released references that no other owner takes over.

Each entry holds one reference to every node that it lists, so a node that waits here has a count above zero until the
reaper drops the reference.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from artstore.mount_leases import DeletedVersion
from artstore.records.deadlist import DeadEntry, decode_entry, encode_entry, entry_key
from artstore.records.tables import Table
from artstore.rows.catalogue import recorded_version
from artstore.storage.manifest import ReadTransaction, WriteTransaction

__all__ = ["Backlog", "add_entry", "backlog", "change_entry", "entries", "find_entry", "leased_as", "remove_entry"]

_OVERDUE_NS: Final = 3600 * 10**9


class Backlog(NamedTuple):
    """The size of the deadlist, in entries, and its age (times in nanoseconds since 1970).

    Of all ``entries``, ``due_entries`` may be reaped now.  The oldest was added at ``oldest_ns``, and the first was or
    will be due at ``oldest_due_ns``; None if there is none.
    """

    entries: int
    due_entries: int
    oldest_ns: int | None
    oldest_due_ns: int | None

    @property
    def overdue(self) -> bool:
        """Whether an entry has been due for over an hour: no reaper runs, or deleted content is in use."""
        return self.oldest_due_ns is not None and self.oldest_due_ns < time.time_ns() - _OVERDUE_NS


def backlog(waiting: Sequence[DeadEntry]) -> Backlog:
    """Sum up entries, those that are due first first."""
    now_ns = time.time_ns()
    return Backlog(
        entries=len(waiting),
        due_entries=sum(entry.due_ns <= now_ns for entry in waiting),
        oldest_ns=min((entry.added_ns for entry in waiting), default=None),
        oldest_due_ns=waiting[0].due_ns if waiting else None,
    )


def entries(transaction: ReadTransaction) -> Iterator[DeadEntry]:
    """Yield all entries, those that are due first first."""
    for key, payload in transaction.rows(Table.DEADLIST):
        yield decode_entry(key, payload)


def leased_as(transaction: ReadTransaction, entry: DeadEntry) -> list[DeletedVersion]:
    """Return the deleted version of an entry, once for each number by which a mount may have leased it."""
    record = recorded_version(transaction, entry.serial)
    numbers = {entry.version, *(() if record is None else record.numbers)}
    return [DeletedVersion(entry.artifact, number, entry.serial) for number in sorted(numbers)]


def find_entry(transaction: ReadTransaction, due_ns: int, number: int) -> DeadEntry | None:
    """Return one entry, or None if it is gone."""
    key = entry_key(due_ns, number)
    payload = transaction.get(Table.DEADLIST, key)
    return None if payload is None else decode_entry(key, payload)


def add_entry(
    transaction: WriteTransaction,
    nodes: Sequence[int],
    due_ns: int,
    *,
    serial: int = 0,
    artifact: int = 0,
    version: int = 0,
    purge: bool = False,
) -> DeadEntry:
    """Queue one reference to each of ``nodes``; the caller has them in the nodes' counts already."""
    number = transaction.state.next_entry
    transaction.state.next_entry += 1
    transaction.state.deadlist_entries += 1
    entry = DeadEntry(
        due_ns=due_ns,
        number=number,
        serial=serial,
        artifact=artifact,
        version=version,
        transaction=transaction.number,
        added_ns=time.time_ns(),
        nodes=tuple(nodes),
        purge=purge,
    )
    transaction.put(Table.DEADLIST, *encode_entry(entry))
    return entry


def change_entry(transaction: WriteTransaction, entry: DeadEntry) -> None:
    """Rewrite an entry; ``due_ns`` and ``number`` say which."""
    transaction.put(Table.DEADLIST, *encode_entry(entry))


def remove_entry(transaction: WriteTransaction, entry: DeadEntry) -> None:
    """Take an entry off the list; its references are the caller's then."""
    if transaction.delete(Table.DEADLIST, entry_key(entry.due_ns, entry.number)):
        transaction.state.deadlist_entries -= 1
