"""Add references to files outside the store to a tree under construction; the files are pinned, not copied."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import NamedTuple

from artstore.drafting.adding import Growing, is_of, refusal, shown
from artstore.drafting.editing import Edits, apply_edits, parse_path
from artstore.errors import ExistsError
from artstore.ids import content_id
from artstore.ingest.batch import EntryDraft, Ref
from artstore.ingest.building import DirectoryBuilder, directory_entry
from artstore.ingest.staging import Stager, draft_of
from artstore.records.trees import NEW_FILE_MODE, NEW_FOLDER_MODE, Kind, clamped_ns
from artstore.references.pinning import Pinned
from artstore.rows.snapshot import Snapshot
from artstore.storage.codec import encode
from artstore.store import Store

__all__ = ["Referred", "Referring"]


class Referred(NamedTuple):
    """The references added by a step: the paths of the files, in order, and the sum of their sizes."""

    paths: list[bytes]
    bytes: int


class Referring:
    """The step that adds references to pinned files, at ``to`` inside the tree.

    Without ``to`` a file gets its own name, and the content of a folder is added at the top.  If ``to`` ends with a
    slash, a file is added inside it.
    """

    def __init__(self, store: Store, pinned: Pinned, to: str, overwrite: bool) -> None:
        place = b"/".join(parse_path(os.fsencode(to))) if to.strip("/") else b""
        if pinned.is_single and (not place or to.endswith("/")):
            place += b"/" + pinned.name if place else pinned.name
        self._store = store
        self._pinned = pinned
        self._place = place
        self._overwrite = overwrite

    def step(self, stager: Stager, tree: Growing, stale: int) -> tuple[Ref, Referred]:
        """Stage the changed tree; raise `ExistsError` naming the paths that were added earlier with other content."""
        edits = Edits()
        refused: list[bytes] = []
        paths: list[bytes] = []
        for path, entry in self._entries(stager):
            with self._store.snapshot() as snapshot:
                if not self._may_stand(snapshot, tree, path, entry):
                    refused.append(path)
            edits.put(path, entry)
            if entry.kind == Kind.REFERENCE:
                paths.append(path)
        if refused:
            raise refusal(refused)
        return apply_edits(self._store, stager, tree.root, edits), Referred(paths, self._pinned.bytes)

    def _entries(self, stager: Stager) -> Iterator[tuple[bytes, EntryDraft]]:
        place, now_ns = self._place, time.time_ns()
        for inside in self._pinned.folders:
            folder = DirectoryBuilder(stager).finish()
            path = place + b"/" + inside if place else inside
            yield path, directory_entry(inside, folder, now_ns, NEW_FOLDER_MODE)
        for inside, record in self._pinned.files:
            data = record.encode()
            ident = content_id(data)
            ref = stager.chunk(ident, len(data), encode(data))
            path = b"/".join(part for part in (place, inside) if part)
            mtime_ns = clamped_ns(self._pinned.modified_ns.get(inside, now_ns))
            name = path.rpartition(b"/")[2]
            yield path, EntryDraft(name, Kind.REFERENCE, record.size, ident, ref, mtime_ns, NEW_FILE_MODE)
            stager.flush_if_full()

    def _may_stand(self, snapshot: Snapshot, tree: Growing, path: bytes, entry: EntryDraft) -> bool:
        present = snapshot.resolve(tree.root, path)
        if present is None:
            return True
        if Kind.DIRECTORY in (present.kind, entry.kind):
            if present.kind == entry.kind:
                return True
            raise ExistsError(f"{shown(path)} is a folder on one side and a file on the other", paths=[path])
        draft = draft_of(snapshot, present)
        same = (draft.id, draft.kind) == (entry.id, entry.kind)
        return same or self._overwrite or is_of(snapshot, tree.start, path, draft)
