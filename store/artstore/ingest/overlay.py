"""Overlaying a folder on a version: entries that the folder lacks stay, entries that patterns match are removed.

Directories that neither the folder nor a pattern touches are referenced whole, without being read.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from artstore.ingest.batch import EntryDraft
from artstore.ingest.building import DirectoryBuilder, directory_entry
from artstore.ingest.source import IgnoreRules
from artstore.ingest.staging import Stager, draft_of
from artstore.records.trees import Kind
from artstore.rows.trees import entries_from
from artstore.store import Store

__all__ = ["Overlay"]


class Overlay:
    """The version below: gives the entries that stay, directory by directory."""

    def __init__(self, store: Store, stager: Stager, root: int, remove: Sequence[str]) -> None:
        self._store = store
        self._stager = stager
        self.root = root
        self._rules = IgnoreRules.from_globs(remove)
        self.removed = 0

    def entries(self, node: int | None, path: bytes) -> list[tuple[EntryDraft, int]]:
        """Return (entry, node) of what a directory of the version below keeps, in name order; none for None."""
        if node is None:
            return []
        with self._store.snapshot() as snapshot:
            entries = [(draft_of(snapshot, entry), entry.node) for entry, _ in entries_from(snapshot.tree, node)]
        kept = [item for item in entries if not self._is_removed(item[0], path)]
        self.removed += len(entries) - len(kept)
        return kept

    def _is_removed(self, entry: EntryDraft, path: bytes) -> bool:
        if self._rules is None:
            return False
        full = path + b"/" + entry.name if path else entry.name
        return self._rules.excludes(full, entry.kind == Kind.DIRECTORY)

    def settle(self, entry: EntryDraft, node: int, path: bytes) -> EntryDraft | None:
        """Return an entry that the folder lacks as the new version has it, with the patterns applied below it.

        None if patterns removed everything in the directory.
        """
        if self._rules is None or entry.kind != Kind.DIRECTORY:
            return entry
        builder = DirectoryBuilder(self._stager)
        below = path + b"/" + entry.name if path else entry.name
        before = self.removed
        kept = 0
        entries = self.entries(node, below)
        removed_here = self.removed > before
        for child, child_node in entries:
            settled = self.settle(child, child_node, below)
            if settled is not None:
                builder.add(settled)
                kept += 1
        if not kept and self.removed > before:
            return None
        is_shorter = kept < len(entries) or removed_here
        mtime_ns = time.time_ns() if is_shorter else entry.mtime_ns
        return directory_entry(entry.name, builder.finish(), mtime_ns, entry.mode)
