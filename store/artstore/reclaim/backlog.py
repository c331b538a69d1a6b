"""Whether anything waits to be reclaimed; the commands that change something ask, and load the reaper only if so."""

from __future__ import annotations

import time

from artstore.records.tables import Table
from artstore.rows import deadlist, space
from artstore.storage.manifest_folders import numbered_folders
from artstore.store import Store

__all__ = ["is_idle"]


def is_idle(store: Store) -> bool:
    """Return whether a reaper would find nothing to do: False if in doubt.

    It has work if an entry of the deadlist is due, extents wait to be freed, or an environment was replaced; and it
    looks at each draft, whose process may have died.
    """
    if len(numbered_folders(store.path)) != 1:
        return False
    with store.snapshot() as snapshot:
        transaction = snapshot.transaction
        entry = next(deadlist.entries(transaction), None)
        is_due = entry is not None and entry.due_ns <= time.time_ns()
        has_condemned = next(space.condemned(transaction), None) is not None
        return not (is_due or has_condemned or next(transaction.rows(Table.DRAFTS), None) is not None)
