"""Giving a stored tree the times that it shows as the next version of an artifact (see `artstore.ingest.earlier`).

For trees that were built without regard to the artifact's versions: of a draft, of another artifact, or of a put during
which another version was committed.  The work is proportional to the difference from the latest version; a folder
that no earlier version has at its path is kept unread.
"""

from __future__ import annotations

from collections.abc import Iterator

from artstore.ingest.batch import EntryDraft, Ref
from artstore.ingest.building import DirectoryBuilder
from artstore.ingest.earlier import Earlier, EarlierDirectory
from artstore.ingest.staging import Stager, draft_of
from artstore.records.trees import Kind, TreeView
from artstore.rows import trees
from artstore.rows.snapshot import Snapshot
from artstore.store import Store

__all__ = ["retimed"]


def retimed(store: Store, stager: Stager, root: Ref, earlier: Earlier, base: int | None = None) -> Ref:
    """Return a root as the artifact's next version shows it; the stager has written it, and keeps it.

    Files that are as in the version with the root ``base`` are taken from it.
    """
    place = earlier.root()
    if place is None:
        return root
    changed = _Retiming(store, stager).directory(root.node, place, base)
    return root if changed is None else changed


class _Retiming:
    def __init__(self, store: Store, stager: Stager) -> None:
        self._store = store
        self._stager = stager

    def directory(self, node: int, place: EarlierDirectory, base: int | None) -> Ref | None:
        """Stage a directory with other times; return None if it stays as it is."""
        if place.latest == node:
            return None
        if place.latest is None and (not place.forms() or node in place.forms()):
            return None  # nothing is shown there, or what an earlier version shows there itself
        with self._store.snapshot() as snapshot:
            view = snapshot.tree(node)
        form = place.whole(view.digest)
        if form is not None:
            return None if form == view.form else self._stager.known_tree(form, view.digest)
        taken: set[bytes] = set()
        builder = DirectoryBuilder(self._stager, earlier=place, taken=taken, many=view.level > 0)
        for last_name, record in self._records(node):
            if builder.between_records and view.level and place.record(last_name) == record:
                builder.add_record(last_name, self._known(record))
                continue
            for entry, is_taken in self._entries(record, place, base):
                if is_taken:
                    taken.add(entry.name)
                builder.add(entry)
                self._stager.flush_if_full()
        return builder.finish()

    def _known(self, node: int) -> Ref:
        with self._store.snapshot() as snapshot:
            view = snapshot.tree(node)
        return self._stager.known_tree(view.form, view.digest)

    def _records(self, node: int) -> list[tuple[bytes, int]]:
        """Return (last name, node) of a directory's records of level 0, in order."""
        with self._store.snapshot() as snapshot:
            return list(_records_below(snapshot, snapshot.tree(node), b"", node))

    def _entries(self, record: int, place: EarlierDirectory, base: int | None) -> list[tuple[EntryDraft, bool]]:
        """Return the entries of a record, folders with other times, and whether each is as in the base."""
        with self._store.snapshot() as snapshot:
            rows = list(snapshot.tree(record).entries())
            drafts = [draft_of(snapshot, row) for row in rows]
            found = [None if base is None else place.earlier.entry(snapshot, base, row.name) for row in rows]
        entries = []
        for row, draft, given in zip(rows, drafts, found, strict=True):
            if row.kind is Kind.DIRECTORY:
                below = given.node if given is not None and given.kind is Kind.DIRECTORY else None
                ref = self.directory(row.node, place.enter(row.name), below)
                entries.append((draft if ref is None else draft._replace(ref=ref, form=ref.id), False))
            else:
                is_taken = given is not None and (given.node, given.mtime_ns) == (row.node, row.mtime_ns)
                entries.append((draft, is_taken))
        return entries


def _records_below(snapshot: Snapshot, view: TreeView, last_name: bytes, node: int) -> Iterator[tuple[bytes, int]]:
    if not view.level:
        yield last_name, node
        return
    for child in view.children():
        if view.level == 1:
            yield child.last_name, child.node
            continue
        below = trees.record_below(snapshot.tree, view, child)
        yield from _records_below(snapshot, below, child.last_name, child.node)
