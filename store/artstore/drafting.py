"""Open drafts: a version that is put together step by step, by commands or programs that come and go.

A draft begins empty or as a version, without copying anything.  Each step (adding, removing, moving) makes a new tree
in the store and lets the draft be that, in one transaction: a step that fails or is killed leaves the draft as it was.
Steps of several processes come one after another; one that finds the draft changed meanwhile is done again upon that.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from artstore import catalogue, drafts
from artstore.building import DirectoryBuilder, directory_entry
from artstore.committing import Commit, commit
from artstore.difference import Difference, compare
from artstore.editing import Edits, apply_edits, entry_at, merge_edits, parse_path, paths_below
from artstore.errors import BusyError, ExistsError, InvalidInputError, NotFoundError
from artstore.holders import label
from artstore.ingest.pipeline import Ingest, Progress
from artstore.manifest import ReadTransaction, WriteTransaction
from artstore.names import check_draft
from artstore.nodes import change_counts, read_count, tree_view
from artstore.putting import PutResult, announce, forbidden_folders, reporter, version_of, with_room
from artstore.records.catalogue import DraftRecord, Metadata, VersionRecord
from artstore.records.packing import CLASS_TREE
from artstore.records.trees import Kind
from artstore.reserve import require_room
from artstore.snapshot import Snapshot
from artstore.source import IgnoreRules, Source, open_source
from artstore.staging import EntryDraft, Ref, Stager, StaleHintError
from artstore.statcache import StatCache
from artstore.store import Store
from artstore.versions import Version

__all__ = ["EXPIRY_SECONDS", "Added", "OpenDraft", "find_draft", "open_drafts", "open_new"]

T = TypeVar("T")

EXPIRY_SECONDS: Final = 7 * 86400.0
"""How long a draft stays open after the last step, unless told otherwise."""
_ATTEMPTS: Final = 5
_MOST_LOST: Final = 1000
_LONGEST_PAUSE_SECONDS: Final = 0.02
_MOST_NAMED: Final = 100
_GLOB: Final = frozenset("*?[")


@dataclass(frozen=True, slots=True)
class Added:
    """What a step took in: files and bytes as they are read, and the stored bytes that the store lacked.

    ``reaped_bytes`` of what was deleted came back early, for the disk was full.
    """

    files: int
    bytes: int
    new_bytes: int
    reaped_bytes: int = 0


class _ChangedError(BusyError):
    """Say that another process has changed the draft meanwhile."""


def open_new(store: Store, artifact: str, ident: str, base: VersionRecord | None, seconds: float) -> OpenDraft:
    """Open a draft, empty or as ``base``, under a name (of its own making where that is empty).

    Raises `ExistsError` where one of that name is open, `NotFoundError` where the base is gone.
    """
    if ident:
        check_draft(ident)
    if not seconds > 0:
        raise InvalidInputError("a draft cannot expire before it is opened")
    require_room(store.path)

    def make(transaction: WriteTransaction, root: Ref, added: int) -> tuple[bool, DraftRecord]:
        if base is not None and not read_count(transaction, root.node):
            raise NotFoundError("the base has been deleted and is gone")
        serial = 0 if base is None else base.serial
        return True, drafts.open_draft(transaction, artifact, ident, root.node, serial, int(seconds * 1e9))

    with closing(Stager(store, artifact, "")) as stager:
        root = DirectoryBuilder(stager).finish() if base is None else stager.known_tree(base.digest)
        try:
            record = stager.commit(root, make)
        except StaleHintError as error:
            raise NotFoundError("the base has been deleted and is gone") from error
    return OpenDraft(store, record.id)


def open_drafts(store: Store) -> list[OpenDraft]:
    """Return the open drafts, the oldest first."""
    with store.snapshot() as snapshot:
        found = drafts.list_drafts(snapshot.transaction, store.run_dir)
    return [OpenDraft(store, info.id) for info in found if info.id and info.alive]


def find_draft(store: Store, ident: str) -> OpenDraft:
    """Return the open draft with an id; raise `NotFoundError` where there is none, or it has expired."""
    draft = OpenDraft(store, ident)
    draft.record()
    return draft


class OpenDraft:
    """A draft that was opened by a name: changed by steps, until it is committed, given up, or has expired.

    Whoever holds one may find at any call, by `NotFoundError`, that another process has ended it.
    """

    def __init__(self, store: Store, ident: str) -> None:
        self._store = store
        self.id = ident

    def __repr__(self) -> str:
        return f"<OpenDraft {self.id}>"

    def record(self) -> DraftRecord:
        """Return what is recorded of it; raise `NotFoundError` where it is not open any more."""
        with self._store.snapshot() as snapshot:
            return self._found(snapshot.transaction)

    def _found(self, transaction: ReadTransaction) -> DraftRecord:
        record = drafts.find_open(transaction, self.id)
        if record is None:
            raise NotFoundError(f"no draft {self.id!r} is open", hint="those that are: artfs draft ls")
        if record.expires_ns <= time.time_ns():
            raise NotFoundError(f"the draft {self.id!r} has expired", hint="open another one: artfs draft new")
        return record

    @property
    def artifact(self) -> str:
        """The name of the artifact of which a version is being made."""
        return self.record().artifact

    @property
    def base(self) -> str | None:
        """The version that it began as, as ``NAME:v3``, or None."""
        with self._store.snapshot() as snapshot:
            record = self._found(snapshot.transaction)
            return _base_name(snapshot.transaction, record)

    # -- steps -----------------------------------------------------------------------------------------------------

    def add(
        self,
        path: str | os.PathLike[str],
        to: str | bytes = "",
        *,
        overwrite: bool = False,
        exclude: Sequence[str] = (),
        progress: Callable[[Progress], None] | None = None,
    ) -> Added:
        """Take a file or folder in: a file under its own name or as ``to``, what a folder holds at the top or below it.

        ``to`` that ends with a slash, or is a folder already, is the folder to put a file into.  Folders of one name
        are merged, and what the base has is replaced.  Raises `ExistsError` naming the paths that the draft has been
        given before with other content, unless ``overwrite``; and what putting raises.
        """
        with open_source(Path(path), exclude=exclude, forbidden=forbidden_folders(self._store)) as source:
            adding = _Adding(self._store, source, os.fsencode(to), overwrite, reporter(source, progress))
            (_, new_bytes), reaped = with_room(self._store, lambda: self._step(adding.step))
        return Added(adding.files, adding.bytes, new_bytes, reaped)

    def remove(self, *patterns: str | bytes) -> list[bytes]:
        """Take paths away: a file, a folder (with or without a ``/`` at its end), or what a glob matches.

        Globs are git's: ``*.tmp`` is meant at any depth, ``/*.tmp`` and ``a/*.tmp`` from the top.  Returns the paths, a
        folder's without what it held.  Raises `NotFoundError` where there is nothing of that name.
        """

        def step(stager: Stager, record: DraftRecord, attempt: int) -> tuple[Ref, list[bytes]]:
            with self._store.snapshot() as snapshot:
                gone = sorted({path for each in patterns for path in _matching(snapshot, record.root, each)})
            edits = Edits()
            for path in _without_those_below(gone):
                edits.put(path, None)
            return apply_edits(self._store, stager, record.root, edits), gone

        return self._step(step)[0]

    def move(self, source: str | bytes, target: str | bytes, *, overwrite: bool = False) -> bytes:
        """Let what stands at one path stand at another one, into which it goes where that is a folder.

        Returns the path where it stands.  Raises `NotFoundError`, and `ExistsError` where a file is in the way.
        """
        old = b"/".join(parse_path(os.fsencode(source)))

        def step(stager: Stager, record: DraftRecord, attempt: int) -> tuple[Ref, bytes]:
            with self._store.snapshot() as snapshot:
                entry = entry_at(snapshot, record.root, old)
                new = _inside(snapshot, record.root, os.fsencode(target), entry.name)
                in_the_way = snapshot.resolve(record.root, new)
            if new == old:
                raise InvalidInputError(f"{_shown(old)} is there already")
            if new.startswith(old + b"/"):
                raise InvalidInputError(f"{_shown(old)} cannot be moved into itself")
            if in_the_way is not None and (not overwrite or in_the_way.kind == Kind.DIRECTORY):
                raise ExistsError(f"{_shown(new)} is in the way", hint="--overwrite replaces a file")
            edits = Edits()
            edits.put(old, None)
            edits.put(new, entry)
            return apply_edits(self._store, stager, record.root, edits), new

        return self._step(step)[0]

    def _step(self, step: Callable[[Stager, DraftRecord, int], tuple[Ref, T]]) -> tuple[T, int]:
        """Make a new tree out of the present one, and the draft that; again where somebody else was quicker.

        That means that another step was done: of all who take steps at once, one always gets on.
        """
        stale = stored = 0
        for _ in range(_MOST_LOST):
            record = self.record()
            try:
                with closing(Stager(self._store, record.artifact, "")) as stager:
                    try:
                        root, result = step(stager, record, stale)
                        return result, stager.commit(root, partial(self._become, stager, record, stored))
                    finally:
                        stored += stager.stored_bytes
            except _ChangedError:
                time.sleep(random.uniform(0, _LONGEST_PAUSE_SECONDS))
            except StaleHintError:
                stale += 1
                if stale == _ATTEMPTS:
                    raise
        raise BusyError(f"the draft {self.id!r} is being changed by others all the time", hint="try again")

    def _become(
        self, stager: Stager, before: DraftRecord, stored: int, transaction: WriteTransaction, root: Ref, added: int
    ) -> tuple[bool, int]:
        record = self._found(transaction)
        if record.root != before.root:
            raise _ChangedError("the draft has changed meanwhile")
        new_bytes = stored + stager.stored_bytes + added
        return drafts.move_root(transaction, record, root.node, new_bytes), new_bytes

    # -- looking, and the end --------------------------------------------------------------------------------------

    def status(self) -> Difference:
        """Return what differs from what the draft began as."""
        record = self.record()
        return compare(self._store, record.start, record.root)

    def commit(
        self,
        *,
        type: str | None = None,
        aliases: Sequence[str] = (),
        description: str | None = None,
        metadata: Metadata | None = None,
        ttl: float | None = None,
        new: bool = False,
    ) -> Version:
        """Make it the artifact's next version, unless it equals the latest and not ``new``; the draft is gone then.

        ``receipt.created`` of the version returned says which.  Raises as `Workspace.put` does; the draft stays then.
        """
        asked = Commit.checked(self.artifact, type, aliases, description, metadata, ttl, force=new)
        with self._store.write() as transaction:
            record = self._found(transaction)
            root = Ref(CLASS_TREE, tree_view(transaction, record.root).digest)
            root.node = record.root
            asked = replace(asked, base=_base_name(transaction, record))
            created, committed = commit(self._store, transaction, root, asked, record.new_bytes)
            if created:
                change_counts(transaction, {record.root: 1})
            drafts.end(transaction, record.draft)
        silent = announce(self._store, committed.changes)
        return version_of(self._store, PutResult(committed, record.new_bytes, silent))

    def abort(self) -> None:
        """Give it up: what it alone holds goes to the deadlist."""
        with self._store.write() as transaction:
            record = drafts.find_open(transaction, self.id)
            if record is not None:
                drafts.end(transaction, record.draft)


def _base_name(transaction: ReadTransaction, record: DraftRecord) -> str | None:
    version = catalogue.recorded_version(transaction, record.base) if record.base else None
    return None if version is None else label(transaction, version)


def _shown(path: bytes) -> str:
    return repr(os.fsdecode(path))


def _inside(snapshot: Snapshot, root: int, to: bytes, name: bytes) -> bytes:
    """Return the path for something called ``name`` that is to go to ``to``: into it, where that is a folder."""
    if not to.strip(b"/"):
        return name
    place = b"/".join(parse_path(to))
    there = snapshot.resolve(root, place)
    into = to.endswith(b"/") or (there is not None and there.kind == Kind.DIRECTORY)
    return place + b"/" + name if into else place


def _matching(snapshot: Snapshot, root: int, pattern: str | bytes) -> list[bytes]:
    """Return the paths that a pattern means; raise `NotFoundError` where there are none."""
    text = os.fsdecode(pattern)
    if _GLOB.isdisjoint(text):
        path = b"/".join(parse_path(os.fsencode(text)))
        entry = entry_at(snapshot, root, path)
        if text.endswith("/") and entry.kind != Kind.DIRECTORY:
            raise NotFoundError(f"{_shown(path)} is not a folder")
        return [path]
    rules = IgnoreRules([text])
    found = list(paths_below(snapshot, root, rules.excludes))
    if not found:
        raise NotFoundError(f"nothing matches {text!r}")
    return found


def _without_those_below(paths: Sequence[bytes]) -> Iterator[bytes]:
    """Yield sorted paths, without those that lie below another one."""
    above = b""
    for path in sorted(paths, key=lambda path: path.split(b"/")):
        if not above or not path.startswith(above):
            above = path + b"/"
            yield path


class _Adding:
    """The step that takes a file or folder in; done again upon another tree, it does not read a folder again."""

    def __init__(
        self,
        store: Store,
        source: Source,
        to: bytes,
        overwrite: bool,
        report: Callable[[int, int, bytes], None] | None,
    ) -> None:
        self._store = store
        self._source = source
        self._to = to
        self._overwrite = overwrite
        self._report = report
        self._refused: list[bytes] = []
        self._folder_is: bytes | None = None
        self.files = 0
        self.bytes = 0

    def step(self, stager: Stager, record: DraftRecord, stale: int) -> tuple[Ref, None]:
        """Stage what the draft becomes; ``stale`` counts what was known to be stored and then was not."""
        self._refused.clear()
        edits = (self._file if self._source.is_file else self._folder)(stager, record, stale)
        if self._refused:
            raise _refusal(self._refused)
        return apply_edits(self._store, stager, record.root, edits), None

    def _take_file(self, stager: Stager, stale: int) -> EntryDraft:
        ingest = Ingest(self._store, stager, self._source, None, hints=not stale, progress=self._report)
        (entry,) = ingest.run_entries()
        self.files, self.bytes = ingest.files, ingest.bytes
        return entry

    def _take_folder(self, stager: Stager, stale: int) -> Ref:
        if self._folder_is is not None and not stale:
            return stager.known_tree(self._folder_is)
        with StatCache.open(
            self._store.path / "cache" / "stat", self._source.real_path, self._source.identity
        ) as cache:
            known = None if stale else cache
            ingest = Ingest(self._store, stager, self._source, known, hints=not stale, progress=self._report)
            folder = ingest.run()
            if not stale:
                cache.commit()
        self.files, self.bytes = ingest.files, ingest.bytes
        return folder

    def _file(self, stager: Stager, record: DraftRecord, stale: int) -> Edits:
        entry = self._take_file(stager, stale)
        with self._store.snapshot() as snapshot:
            place = _inside(snapshot, record.root, self._to, entry.name)
            there = snapshot.resolve(record.root, place)
            if there is not None:
                self._settle(snapshot, record, place, entry_at(snapshot, record.root, place), entry)
        edits = Edits()
        edits.put(place, entry)
        return edits

    def _folder(self, stager: Stager, record: DraftRecord, stale: int) -> Edits:
        upper = self._take_folder(stager, stale)
        stager.flush()
        self._folder_is = upper.id
        place = b"/".join(parse_path(self._to)) if self._to.strip(b"/") else b""
        edits = Edits()
        with self._store.snapshot() as snapshot:
            settle = partial(self._settle, snapshot, record)
            there = snapshot.resolve(record.root, place) if place else None
            if place and there is None:
                edits.put(place, directory_entry(place, upper.id, upper))
                return edits
            if there is not None and there.kind != Kind.DIRECTORY:
                raise ExistsError(f"{_shown(place)} is there and is not a folder")
            lower = record.root if there is None else there.node
            inside = edits
            for name in place.split(b"/") if place else ():
                inside = inside.folder(name)
            merge_edits(snapshot, lower, upper.node, inside, settle, place + b"/" if place else b"")
        stager.withdraw(upper)
        return edits

    def _settle(
        self, snapshot: Snapshot, record: DraftRecord, path: bytes, theirs: EntryDraft, ours: EntryDraft
    ) -> bool:
        """Return True where what the draft has at a path is of its base, or may be replaced; else note the path."""
        if (theirs.id, theirs.kind) == (ours.id, ours.kind):
            return True
        if Kind.DIRECTORY in (theirs.kind, ours.kind):
            raise ExistsError(f"{_shown(path)} is a folder on one side and a file on the other", paths=[path])
        if not self._overwrite:
            began = snapshot.resolve(record.start, path)
            if began is None or (snapshot.identity(began.node), began.kind) != (theirs.id, theirs.kind):
                self._refused.append(path)
        return True


def _refusal(paths: list[bytes]) -> ExistsError:
    more = f", and {len(paths) - 1} more paths" if len(paths) > 1 else ""
    return ExistsError(
        f"{_shown(paths[0])}{more} came into the draft before with other content",
        hint="--overwrite replaces it",
        paths=paths[:_MOST_NAMED],
    )
