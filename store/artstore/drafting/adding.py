"""Add a file or folder to a tree under construction, for a step of a draft and for a program's artifact."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol

from artstore.arguments import raw_path
from artstore.drafting.editing import Edits, apply_edits, entry_at, merge_edits, parse_path, paths_below
from artstore.errors import ExistsError, NotFoundError
from artstore.ingest.batch import EntryDraft, Ref
from artstore.ingest.building import directory_entry
from artstore.ingest.pipeline import Ingest
from artstore.ingest.source import IgnoreRules, Source
from artstore.ingest.staging import Stager, draft_of
from artstore.ingest.statcache import StatCache
from artstore.records.catalogue import DraftRecord
from artstore.records.trees import Kind
from artstore.rows.snapshot import Snapshot
from artstore.store import Store

__all__ = [
    "Added",
    "Adding",
    "Growing",
    "Joining",
    "is_of",
    "matching",
    "path_inside",
    "refusal",
    "shown",
    "without_those_below",
]

_MOST_NAMED: Final = 100
_GLOB: Final = frozenset("*?[")


class Growing(Protocol):
    """A tree under construction: its present root node, and its initial one."""

    @property
    def root(self) -> int:
        """The present root directory."""

    @property
    def start(self) -> int:
        """The initial root directory, whose entries may be replaced."""


@dataclass(frozen=True, slots=True)
class Added:
    """The result of a step: files and bytes read from the source, and the stored bytes that were new to the store.

    ``reaped_bytes`` is deleted content that was reaped early because the disk was full.  The other fields say what was
    followed and left out, as in `artstore.queries.versions.PutReceipt`.
    """

    files: int
    bytes: int
    new_bytes: int
    reaped_bytes: int = 0
    followed_links: int = 0
    followed_paths: tuple[str, ...] = ()
    ignored_entries: int = 0
    ignored_paths: tuple[str, ...] = ()
    temporary_folders: int = 0
    temporary_paths: tuple[str, ...] = ()

    @classmethod
    def of(cls, adding: Adding, source: Source, new_bytes: int, reaped_bytes: int) -> Added:
        """Return the result of adding a source that was read."""
        passed: list[Any] = []
        for each in (source.followed, source.ignored, source.temporary):
            passed += [each.count, tuple(map(os.fsdecode, each.paths))]
        return cls(adding.files, adding.bytes, new_bytes, reaped_bytes, *passed)


def shown(path: bytes) -> str:
    """Return a path as it is shown in a message."""
    return repr(os.fsdecode(path))


def path_inside(snapshot: Snapshot, root: int, to: bytes, name: bytes) -> bytes:
    """Return the path at which to add an entry ``name`` for the target ``to``: inside it if ``to`` is a folder."""
    if not to.strip(b"/"):
        return name
    place = b"/".join(parse_path(to))
    present = snapshot.resolve(root, place)
    into = to.endswith(b"/") or (present is not None and present.kind == Kind.DIRECTORY)
    return place + b"/" + name if into else place


def matching(snapshot: Snapshot, root: int, pattern: str | bytes, name: str) -> list[bytes]:
    """Return the paths that match a pattern; raise `NotFoundError`, with the tree's ``name``, if there are none."""
    text = os.fsdecode(raw_path(pattern))
    if _GLOB.isdisjoint(text):
        path = b"/".join(parse_path(os.fsencode(text)))
        entry = entry_at(snapshot, root, path, name)
        if text.endswith("/") and entry.kind != Kind.DIRECTORY:
            raise NotFoundError(f"{shown(path)} in {name} is not a folder", hint="write it without the slash")
        return [path]
    rules = IgnoreRules([text])
    paths = list(paths_below(snapshot, root, rules.excludes))
    if not paths:
        raise NotFoundError(f"nothing in {name} matches {text!r}", hint="globs are as in .gitignore")
    return paths


def without_those_below(paths: Sequence[bytes]) -> Iterator[bytes]:
    """Yield paths in sorted order, without those below another one."""
    above = b""
    for path in sorted(paths, key=lambda path: path.split(b"/")):
        if not above or not path.startswith(above):
            above = path + b"/"
            yield path


class Adding:
    """The step that adds a file or folder; repeated on another tree, it does not read a folder again."""

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
        self._taken: tuple[bytes, bytes] | None = None
        self._folder_mtime_ns = 0
        self._folder_mode = 0
        self.files = 0
        self.bytes = 0

    def step(self, stager: Stager, tree: Growing, stale: int) -> tuple[Ref, None]:
        """Stage the changed tree; ``stale`` counts attempts that failed because stored content had been reaped."""
        self._refused.clear()
        edits = (self._file if self._source.is_file else self._folder)(stager, tree, stale)
        if self._refused:
            raise refusal(self._refused)
        return apply_edits(self._store, stager, tree.root, edits), None

    def take_file(self, stager: Stager, stale: int) -> EntryDraft:
        """Stage the file; return its entry, under its own name."""
        ingest = Ingest(self._store, stager, self._source, None, hints=not stale, progress=self._report)
        (entry,) = ingest.run_entries()
        self.files, self.bytes = ingest.files, ingest.bytes
        return entry

    def _take_folder(self, stager: Stager, stale: int) -> Ref:
        if self._taken is not None and not stale:
            return stager.known_tree(*self._taken)
        with StatCache.open(
            self._store.path / "cache" / "stat", self._source.real_path, self._source.identity
        ) as cache:
            known = None if stale else cache
            ingest = Ingest(self._store, stager, self._source, known, hints=not stale, progress=self._report)
            folder = ingest.run()
            if not stale:
                cache.commit()
        self.files, self.bytes = ingest.files, ingest.bytes
        self._folder_mtime_ns, self._folder_mode = ingest.mtime_ns, ingest.mode
        return folder

    def _file(self, stager: Stager, tree: Growing, stale: int) -> Edits:
        entry = self.take_file(stager, stale)
        with self._store.snapshot() as snapshot:
            place = path_inside(snapshot, tree.root, self._to, entry.name)
            present = snapshot.resolve(tree.root, place)
            if present is not None:
                self._settle(snapshot, tree, place, draft_of(snapshot, present), entry)
        edits = Edits()
        edits.put(place, entry)
        return edits

    def _folder(self, stager: Stager, tree: Growing, stale: int) -> Edits:
        upper = self._take_folder(stager, stale)
        stager.flush()
        self._taken = upper.id, upper.digest
        place = b"/".join(parse_path(self._to)) if self._to.strip(b"/") else b""
        edits = Edits()
        with self._store.snapshot() as snapshot:
            settle = partial(self._settle, snapshot, tree)
            present = snapshot.resolve(tree.root, place) if place else None
            if place and present is None:
                edits.put(place, directory_entry(place, upper, self._folder_mtime_ns, self._folder_mode))
                return edits
            if present is not None and present.kind != Kind.DIRECTORY:
                raise ExistsError(f"{shown(place)} exists and is not a folder")
            lower = tree.root if present is None else present.node
            inside = edits
            for name in place.split(b"/") if place else ():
                inside = inside.folder(name)
            merge_edits(snapshot, lower, upper.node, inside, settle, place + b"/" if place else b"")
        stager.withdraw(upper)
        return edits

    def _settle(self, snapshot: Snapshot, tree: Growing, path: bytes, current: EntryDraft, added: EntryDraft) -> bool:
        """Return True if the draft's entry at a path comes from its base or may be replaced; else note the path."""
        if (current.id, current.kind) == (added.id, added.kind):
            return True
        if Kind.DIRECTORY in (current.kind, added.kind):
            raise ExistsError(f"{shown(path)} is a folder on one side and a file on the other", paths=[path])
        if not self._overwrite and not is_of(snapshot, tree.start, path, current):
            self._refused.append(path)
        return True


class Joining:
    """Detect conflicts between the contribution of one program to a draft and those of others."""

    def __init__(self, record: DraftRecord, by: str, overwrite: bool) -> None:
        self._record = record
        self._by = by
        self._overwrite = overwrite
        self._refused: list[tuple[bytes, str]] = []

    def settle(self, snapshot: Snapshot, path: bytes, current: EntryDraft, added: EntryDraft) -> bool:
        """Return True if the draft's entry comes from its base or may be replaced; else note which program added it."""
        if not self._overwrite and not is_of(snapshot, self._record.start, path, current):
            others = [part["by"] for part in self._record.parts if is_of(snapshot, part["node"], path, current)]
            self._refused.append((path, others[-1] if others else "another program"))
        return True

    def refuse(self) -> None:
        """Raise `ExistsError` if there were conflicts."""
        if self._refused:
            path, other = self._refused[0]
            more = f"; so were {len(self._refused) - 1} more paths" if len(self._refused) > 1 else ""
            raise ExistsError(
                f"{shown(path)} was added by {other} and, with different content, by {self._by}{more}",
                hint=f"nothing from {self._by} was added; with on_conflict='last', the last one wins",
                paths=[path for path, _ in self._refused[:_MOST_NAMED]],
            )


def is_of(snapshot: Snapshot, root: int, path: bytes, entry: EntryDraft) -> bool:
    """Return whether a tree has exactly this entry at a path."""
    present = snapshot.resolve(root, path)
    return present is not None and (snapshot.identity(present.node), present.kind) == (entry.id, entry.kind)


def refusal(paths: list[bytes]) -> ExistsError:
    """Return the error that names the paths that were added earlier with other content."""
    more = f"; so were {len(paths) - 1} more paths" if len(paths) > 1 else ""
    return ExistsError(
        f"{shown(paths[0])} was already added to the draft with different content{more}",
        hint="--overwrite replaces it",
        paths=paths[:_MOST_NAMED],
    )
