"""The entries of a remote's log that this workspace was about to write, kept in its manifest."""

from __future__ import annotations

from collections.abc import Iterable

from artstore.records.remotes import ENTRY
from artstore.rows import remotes as rows
from artstore.store import Store

__all__ = ["EntryNotes"]


class EntryNotes:
    """See `artstore.remotes.log.appending.Notes`."""

    def __init__(self, store: Store, uuid: bytes) -> None:
        self._store = store
        self._uuid = uuid

    def note(self, entry: bytes, number: int) -> None:
        """Keep an entry's id and number."""
        with self._store.write() as transaction:
            rows.note(transaction, self._uuid, ENTRY, entry, number)

    def noted(self) -> Iterable[tuple[bytes, int]]:
        """Return what was noted and not settled."""
        with self._store.snapshot() as snapshot:
            found = rows.noted(snapshot.transaction, self._uuid, ENTRY)
        return [(entry, noted.number) for entry, noted in found.items()]

    def settle(self, entry: bytes, *, landed: bool) -> None:
        """Forget an entry."""
        with self._store.write() as transaction:
            rows.settle(transaction, self._uuid, ENTRY, entry)
