"""Batches: versions of several artifacts that one program stages one after another, and commits in one transaction.

Content is stored when a version is added, and owned by a draft without a name.  The commit only transfers counts and
appends records, so it takes the same time for large and small content.  The draft ends with the batch; if its process
is killed, the reaper frees what it held.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from artstore.changes.committing import Commit, Committed, record_version
from artstore.changes.results import PutResult, announce, commit_staged, version_of
from artstore.drafting.editing import Edits, apply_edits, entry_at, parse_path
from artstore.errors import InvalidInputError, NotFoundError, RefusedError
from artstore.ids import content_id
from artstore.ingest.batch import EntryDraft, Ref, StaleHintError
from artstore.ingest.building import ListBuilder
from artstore.ingest.chunker import WHOLE
from artstore.ingest.earlier import Earlier
from artstore.ingest.pipeline import Ingest
from artstore.ingest.retiming import retimed
from artstore.ingest.source import open_source
from artstore.ingest.source.forbidden import forbidden_folders
from artstore.ingest.staging import RequirementError, Stager
from artstore.interrupts import deferring
from artstore.queries.versions import Version
from artstore.reclaim.space import with_room
from artstore.records.catalogue import VersionRecord
from artstore.records.events import Event
from artstore.records.terms import stems_of
from artstore.records.trees import NEW_FILE_MODE, Kind
from artstore.rows import terms
from artstore.rows.catalogue import label
from artstore.rows.nodes import change_counts
from artstore.rows.views import require_local
from artstore.storage import journal
from artstore.storage.codec import encode
from artstore.store import Store

__all__ = ["Included", "NewVersion", "VersionBatch"]


class Included(NamedTuple):
    """A file or folder to include: of a stored version, or of the version of this batch with an index."""

    version: VersionRecord | int
    path: bytes


@dataclass(frozen=True, slots=True)
class NewVersion:
    """A version to add: its commit, its files by path, and what it includes by path.

    A file is given by its content or by the path of a file to read.  ``sources`` are the indexes of versions of this
    batch that it includes, as ``request.included`` are the serials of stored ones.
    """

    request: Commit
    files: Mapping[bytes, bytes | Path]
    included: Mapping[bytes, Included] = field(default_factory=dict)
    sources: Sequence[int] = ()


class _Member(NamedTuple):
    version: NewVersion
    entries: dict[bytes, EntryDraft]
    root: Ref


@deferring()
class VersionBatch:
    """Versions that were added and not committed yet; for one thread of one process."""

    def __init__(self, store: Store, name: str) -> None:
        """``name`` describes the draft: that of an artifact."""
        self._store = store
        self._pid = os.getpid()
        self._stager = Stager(store, name, "")
        self._members: dict[int, _Member] = {}
        self._next = 0
        self._is_open = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._members)

    def _require_open(self) -> None:
        if os.getpid() != self._pid:
            raise RefusedError("only the process that began this batch can add to it", hint="begin one in each process")
        if not self._is_open:
            raise RefusedError("this batch of versions has ended", hint="begin another")

    def add(self, version: NewVersion) -> int:
        """Stage a version; return its index in the batch.

        Raises `NotFoundError` if something to include no longer exists, and what putting its files raises.
        """
        self._require_open()
        request = replace(version.request, stems=stems_of(version.request.metadata or {}))
        member, _ = with_room(self._store, lambda: self._staged(replace(version, request=request)))
        index, self._next = self._next, self._next + 1
        self._members[index] = member
        return index

    def digest(self, index: int) -> str:
        """Return the hex digest of a version of the batch."""
        return self._members[index].root.digest.hex()

    def remove(self, index: int) -> None:
        """Take a version out of the batch; what it staged is given up."""
        self._require_open()
        if any(index in member.version.sources for member in self._members.values()):
            raise RefusedError("another version of the batch includes this one", hint="commit the batch first")
        self._stager.withdraw(self._members.pop(index).root)

    def _staged(self, version: NewVersion) -> _Member:
        try:
            entries = {path: self._file(path, content) for path, content in version.files.items()}
            entries |= {path: self._included(path, included) for path, included in version.included.items()}
            edits = Edits()
            for path, entry in entries.items():
                edits.put(path, entry)
            root = apply_edits(self._store, self._stager, None, edits)
            if self._members:  # a single version is written by the transaction of its commit
                self._stager.flush_if_full()
        except StaleHintError as error:
            self.close()  # what else this part of the batch held is lost
            raise NotFoundError("a version to include has been deleted") from error
        return _Member(version, {path: entry._replace(ref=None) for path, entry in entries.items()}, root)

    def _file(self, path: bytes, content: bytes | Path) -> EntryDraft:
        name = parse_path(path)[-1]
        if isinstance(content, Path) and content.stat().st_size <= WHOLE:
            content = content.read_bytes()
        if isinstance(content, Path):
            return self._large_file(name, content)
        if len(content) > WHOLE:
            import tempfile  # rarely needed, and slow to load

            with tempfile.NamedTemporaryFile(prefix="artfs-batch-") as file:
                file.write(content)
                file.flush()
                return self._large_file(name, Path(file.name))
        ident, builder = content_id(content), ListBuilder(self._stager)
        if content:
            builder.add(self._stager.chunk(ident, len(content), encode(content)), len(content))
        return EntryDraft(name, Kind.FILE, len(content), ident, builder.finish(ident), time.time_ns(), NEW_FILE_MODE)

    def _large_file(self, name: bytes, path: Path) -> EntryDraft:
        with open_source(path, forbidden=forbidden_folders(self._store)) as source:
            (entry,) = Ingest(self._store, self._stager, source, None, hints=False).run_entries()
        return entry._replace(name=name)

    def _included(self, path: bytes, included: Included) -> EntryDraft:
        name = parse_path(path)[-1]
        if isinstance(included.version, int):
            return self._members[included.version].entries[included.path]._replace(name=name)
        with self._store.snapshot() as snapshot:
            record = snapshot.version(included.version.serial)
            if record is None:
                raise NotFoundError("a version to include has been deleted")
            require_local(record, label(snapshot.transaction, record))
            if not included.path:
                view = snapshot.tree(record.root)
                return EntryDraft(name, Kind.DIRECTORY, 0, view.digest, None, record.mtime_ns, record.mode, view.form)
            entry = entry_at(snapshot, record.root, included.path, label(snapshot.transaction, record))
        return entry._replace(name=name)

    def commit(self) -> list[Version]:
        """Commit all versions, or none, in the order in which they were added; the batch ends.

        A version that equals its artifact's latest one is not made, and that one is returned in its place.  If one is
        refused, nothing changes, and the batch stays open.
        """
        self._require_open()
        members = self._members
        if len(members) == 1:
            (member,) = members.values()
            result = commit_staged(self._store, self._stager, member.root, member.version.request)
            versions = [version_of(self._store, result)]
        else:
            versions = self._commit_all() if members else []
        self.close()
        return versions

    def _commit_all(self) -> list[Version]:
        names = [member.version.request.name for member in self._members.values()]
        if len(set(names)) < len(names):
            raise InvalidInputError("two versions of the batch belong to the same artifact", hint="commit each alone")
        self._stager.flush()
        done: dict[int, Committed] = {}
        while True:
            events: list[Event] = []
            rows: list[bytes] = []
            prepared = {index: self._shown(member) for index, member in self._members.items()}
            try:
                with self._store.write() as transaction:
                    for index, (earlier, root) in prepared.items():
                        earlier.require_latest(transaction)
                        version = self._members[index].version
                        request = version.request
                        if version.sources:
                            sources = [done[source].version.serial for source in version.sources]
                            request = replace(request, included=[*request.included, *sources])
                        done[index] = record_version(transaction, root, request, 0, events, rows)
                        if done[index].created:
                            change_counts(transaction, {root.node: 1})
                    terms.add(transaction, rows)
                    if events:
                        journal.append(self._store.path, transaction, events)
                break
            except RequirementError:  # another version was committed since: its times count too
                done.clear()
        silent = announce(self._store, [change for each in done.values() for change in each.changes])
        return [version_of(self._store, PutResult(each, 0, silent)) for each in done.values()]

    def _shown(self, member: _Member) -> tuple[Earlier, Ref]:
        """Return the earlier versions of an artifact, and the root with the times that the next one shows."""
        earlier = Earlier(self._store, member.version.request.name, share=not member.version.request.force)
        if earlier.root() is None:
            return earlier, member.root
        shown = retimed(self._store, self._stager, member.root, earlier)
        self._stager.flush()
        return earlier, shown

    def close(self) -> None:
        """Give up what was not committed; does nothing in a forked child, because its parent still has the batch."""
        if self._is_open and os.getpid() == self._pid:
            self._is_open = False
            self._stager.close(keep=False)
