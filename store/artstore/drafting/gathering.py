"""Gathering: the content of a version that one program assembles in many calls, and commits at the end.

Content is stored when it is added.  A draft without a name owns the gathered content.  It is given up when the
gathering is dropped, and at the end of the process; if that is killed, the reaper frees what it held.  Files added one
by one are staged together: the tree is rewritten only when it is read.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar, Unpack

from artstore.arguments import paths_of, raw_path
from artstore.changes.committing import Commit
from artstore.changes.results import commit_staged, version_of
from artstore.drafting.adding import Added, Adding, matching, refusal, shown, without_those_below
from artstore.drafting.editing import Edits, apply_edits, entry_at, merge_edits, parse_path
from artstore.errors import ExistsError, NotFoundError, RefusedError
from artstore.ingest.batch import EntryDraft, Ref, StaleHintError
from artstore.ingest.building import DirectoryBuilder
from artstore.ingest.reporting import reporter
from artstore.ingest.source import Links, open_source
from artstore.ingest.source.forbidden import forbidden_folders
from artstore.ingest.staging import Stager
from artstore.interrupts import at_next_call, deferring
from artstore.progress import Progress
from artstore.queries.versions import Version
from artstore.reclaim.space import with_room
from artstore.records.catalogue import VersionRecord
from artstore.records.trees import Kind, TreeEntry, TreeTotals
from artstore.rows.catalogue import label
from artstore.rows.trees import same_names
from artstore.rows.views import require_local
from artstore.storage.reserve import require_room
from artstore.store import Store

if TYPE_CHECKING:
    from artstore.drafting.stage_reference import Referred
    from artstore.references.pinning import PinOptions

__all__ = ["GatheredFile", "Gathering"]

T = TypeVar("T")

_ATTEMPTS: Final = 3
_SMALL: Final = 1024 * 1024
"""Files up to this many bytes are stored without a check whether the store has them: a second lookup costs more."""


class GatheredFile(NamedTuple):
    """A gathered file: its path, its size, and the hex digest of its content or of its reference."""

    path: str
    size: int
    digest: str
    is_reference: bool


@dataclass
class _Tree:
    root: int
    start: int


@deferring()
class Gathering:
    """The content gathered so far for a version; for one thread of one process, ended by `commit` or `close`.

    It begins with the content of the version ``base``, or empty.  Raises `NotFoundError` if ``base`` is gone.
    """

    def __init__(self, store: Store, artifact: str, base: VersionRecord | None = None) -> None:
        require_room(store.path)
        _end_dropped()
        self._store = store
        self._base = base
        self._pid = os.getpid()
        self._stager = Stager(store, artifact, "")
        _unfinished[id(self._stager)] = (self._pid, self._stager)
        self._edits = Edits()
        self._files: dict[bytes, EntryDraft] = {}
        self._folders: set[bytes] = set()
        try:
            root = (
                DirectoryBuilder(self._stager).finish()
                if base is None
                else self._stager.known_tree(base.form, base.digest)
            )
            self._stager.flush()
        except StaleHintError as error:
            self.close()
            raise NotFoundError("the base version no longer exists") from error
        except BaseException:
            self.close()
            raise
        self._root = root
        self._tree = _Tree(root.node, root.node)

    @property
    def new_bytes(self) -> int:
        """The stored bytes that gathering has added."""
        return self._stager.stored_bytes

    def _require_own(self) -> None:
        if os.getpid() != self._pid:
            raise RefusedError(
                "only the process that began this version can add to it",
                hint="begin one in each process, or add to one version from several with upsert_artifact",
            )

    # -- adding ----------------------------------------------------------------------------------------------------

    def add(
        self,
        path: str | os.PathLike[str],
        to: str = "",
        *,
        overwrite: bool = False,
        exclude: Sequence[str] = (),
        links: str = Links.FOLLOW,
        progress: Callable[[Progress], None] | None = None,
    ) -> Added:
        """Add a file as ``to`` or under its own name, or the content of a folder at the top or below ``to``.

        Folders of the same name are merged, and files of the base are replaced.  ``links`` is what happens to symlinks
        out of a folder, as in `Workspace.put`.  Raises `ExistsError` for paths that were added earlier with other
        content, unless ``overwrite``; and what putting raises.
        """
        self._require_own()
        forbidden = forbidden_folders(self._store)
        with open_source(Path(path), exclude=exclude, forbidden=forbidden, links=Links.of(links)) as source:
            adding = Adding(self._store, source, raw_path(to), overwrite, reporter(source, progress))
            before = self._stager.stored_bytes
            if source.is_file:
                is_small = os.path.getsize(path) <= _SMALL
                _, reaped = with_room(
                    self._store, lambda: self._take_file(adding, raw_path(to), is_small, overwrite=overwrite)
                )
            else:
                _, reaped = with_room(self._store, lambda: self._take_folder(adding))
            return Added.of(adding, source, self._stager.stored_bytes - before, reaped)

    def _again(self, action: Callable[[int], T]) -> T:
        """Run an action, and retry it if content that it found in the store has been reaped since.

        The action gets the number of earlier attempts: after the first it must not rely on content found before.
        """
        self._stager.flush()  # so that `discard` drops only what the failed attempt staged
        for attempt in range(_ATTEMPTS):
            try:
                return action(attempt)
            except StaleHintError:
                self._stager.discard()
                if attempt == _ATTEMPTS - 1:
                    raise
        raise AssertionError("the last attempt returns or raises")

    def _take_file(self, adding: Adding, to: bytes, is_small: bool, *, overwrite: bool) -> None:
        def take(attempt: int) -> EntryDraft:
            entry = adding.take_file(self._stager, attempt + is_small)
            if not is_small:
                self._stager.flush()
            return entry

        entry = take(0) if is_small else self._again(take)
        path = b"/".join(parse_path(to)) if to.strip(b"/") else entry.name
        self._set(path, entry, overwrite=overwrite)
        self._stager.flush_if_full()

    def _set(self, path: bytes, entry: EntryDraft, *, overwrite: bool) -> None:
        """Set the file at a path, unless something else was added there earlier."""
        names = path.split(b"/")
        above = {b"/".join(names[:depth]) for depth in range(1, len(names))}
        if path in self._folders or not above.isdisjoint(self._files):
            raise ExistsError(f"{shown(path)} conflicts with a file or folder that was added earlier", paths=[path])
        present = self._files.get(path)
        if present is not None:
            if (present.id, present.kind) == (entry.id, entry.kind):
                if entry.ref is not None:
                    self._stager.withdraw(entry.ref)
                return
            if not overwrite:
                raise refusal([path])
            if present.ref is not None:
                self._stager.withdraw(present.ref)
        else:
            self._require_free(path, entry, above, overwrite=overwrite)
        self._edits.put(path, entry)
        self._files[path] = entry
        self._folders |= above

    def _require_free(self, path: bytes, entry: EntryDraft, above: Iterable[bytes], *, overwrite: bool) -> None:
        with self._store.snapshot() as snapshot:
            for folder in above:
                parent = snapshot.resolve(self._tree.root, folder)
                if parent is not None and parent.kind != Kind.DIRECTORY:
                    raise ExistsError(f"{shown(folder)} is already a file", paths=[folder])
            current = snapshot.resolve(self._tree.root, path)
            if current is None:
                return
            if current.kind == Kind.DIRECTORY:
                raise ExistsError(f"{shown(path)} is already a folder", paths=[path])
            began = snapshot.resolve(self._tree.start, path)
            same = (snapshot.identity(current.node), current.kind) == (entry.id, entry.kind)
            if not (same or overwrite or (began is not None and began.node == current.node)):
                raise refusal([path])

    def _take_folder(self, adding: Adding) -> None:
        self._settle()

        def take(attempt: int) -> Ref:
            root, _ = adding.step(self._stager, self._tree, attempt)
            self._stager.flush()
            return root

        self._become(self._again(take))

    def include(self, path: str, version: VersionRecord, inside: bytes = b"", *, overwrite: bool = False) -> None:
        """Set a path to a version, or to a directory or file of it, which the caller keeps alive; nothing is copied.

        Raises `NotFoundError` if the version does not have the path ``inside``, `ExistsError` if ``path`` has other
        content, unless ``overwrite``.
        """
        self._require_own()
        self._settle()
        place = b"/".join(parse_path(raw_path(path)))
        with self._store.snapshot() as snapshot:
            present = snapshot.version(version.serial)
            if present is None:
                raise NotFoundError("the version to include has been deleted")
            require_local(present, label(snapshot.transaction, present))
            version = present  # a purge may have given it another root
            if inside:
                entry = entry_at(snapshot, version.root, inside, label(snapshot.transaction, version))
            else:
                view = snapshot.tree(version.root)
                entry = EntryDraft(
                    place, Kind.DIRECTORY, 0, view.digest, None, version.mtime_ns, version.mode, view.form
                )
            current = snapshot.resolve(self._tree.root, place)
            same = current is not None and snapshot.identity(current.node) == entry.id
        if current is not None and not same and not overwrite:
            raise ExistsError(f"{shown(place)} already exists", paths=[place])
        edits = Edits()
        edits.put(place, entry)
        try:
            self._become(apply_edits(self._store, self._stager, self._tree.root, edits))
        except StaleHintError as error:
            self._stager.discard()
            raise NotFoundError("the version to include has been deleted") from error

    def refer(
        self,
        uri: str,
        to: str = "",
        *,
        overwrite: bool = False,
        **options: Unpack[PinOptions],
    ) -> Referred:
        """Add references to the files at a URI without copying them, as `OpenDraft.refer` does."""
        from artstore.drafting.stage_reference import Referring
        from artstore.references.pinning import pin

        self._require_own()
        self._settle()
        referring = Referring(self._store, pin(uri, **options), to, overwrite)
        referred: list[Referred] = []

        def take(attempt: int) -> Ref:
            root, done = referring.step(self._stager, self._tree, attempt)
            self._stager.flush()
            referred.append(done)
            return root

        self._become(self._again(take))
        return referred[-1]

    def merge(self, form: bytes) -> None:
        """Merge a stored directory, given by its form id; its entries replace those at the same paths.

        The caller keeps the directory alive.
        """
        self._require_own()
        self._settle()
        upper = self._stager.known_tree(form)
        self._stager.flush()
        edits = Edits()
        with self._store.snapshot() as snapshot:
            merge_edits(snapshot, self._tree.root, upper.node, edits, lambda *_: True)
        self._stager.withdraw(upper)
        self._become(apply_edits(self._store, self._stager, self._tree.root, edits))

    def remove(self, *patterns: str) -> list[bytes]:
        """Remove paths, as `OpenDraft.remove` does; return them."""
        given = paths_of(patterns, "what to remove")
        self._require_own()
        self._settle()
        with self._store.snapshot() as snapshot:
            removed = sorted(
                {path for each in given for path in matching(snapshot, self._tree.root, each, "the artifact")}
            )
        edits = Edits()
        for path in without_those_below(removed):
            edits.put(path, None)
        self._become(apply_edits(self._store, self._stager, self._tree.root, edits))
        return removed

    # -- content and commit ----------------------------------------------------------------------------------------

    def _settle(self) -> None:
        """Add the files that are still waiting to the tree."""
        if self._edits:
            self._become(apply_edits(self._store, self._stager, self._tree.root, self._edits))
            self._edits = Edits()
            self._files.clear()
            self._folders.clear()

    def _become(self, root: Ref) -> None:
        if self._root.node != self._tree.start:  # which stays held: what is added is compared with it
            self._stager.withdraw(self._root)
        self._stager.flush()
        self._root, self._tree.root = root, root.node

    def root(self) -> Ref:
        """Return the gathered content as a stored directory, which is kept until `commit` or `close`."""
        self._require_own()
        self._settle()
        return self._root

    def entry(self, path: bytes) -> EntryDraft:
        """Return the entry at a path; raise `NotFoundError` if there is none."""
        self._require_own()
        waiting = self._files.get(path)
        if waiting is not None:
            return waiting
        if path in self._folders:
            self._settle()
        with self._store.snapshot() as snapshot:
            return entry_at(snapshot, self._tree.root, path, "the artifact")

    def totals(self) -> TreeTotals:
        """Return the totals of the gathered content."""
        node = self.root().node
        with self._store.snapshot() as snapshot:
            return snapshot.tree(node).totals

    def walk(self) -> Iterator[tuple[bytes, TreeEntry]]:
        """Yield (path, entry) for all gathered files and folders."""
        node = self.root().node
        with self._store.snapshot() as snapshot:
            yield from snapshot.walk(node)

    def file(self, path: str) -> GatheredFile | None:
        """Return the file at a path, None for a folder; raise `NotFoundError` if there is nothing."""
        entry = self.entry(raw_path(path))
        if entry.kind == Kind.DIRECTORY:
            return None
        return GatheredFile(path, entry.size, entry.id.hex(), entry.kind == Kind.REFERENCE)

    def files(self) -> Iterator[GatheredFile]:
        """Yield all files, in the order of their paths."""
        node = self.root().node  # before the snapshot: this may write files added last
        with self._store.snapshot() as snapshot:
            for path, entry in snapshot.walk(node):
                if entry.kind != Kind.DIRECTORY:
                    digest = snapshot.identity(entry.node).hex()
                    yield GatheredFile(os.fsdecode(path), entry.size, digest, entry.kind == Kind.REFERENCE)

    def commit(self, request: Commit) -> Version:
        """Commit the content as a version, and close.

        If `artstore.changes.committing.commit` raises, nothing changes.
        """
        root = self.root()
        if self._base is not None:
            with self._store.snapshot() as snapshot:
                is_same_list = same_names(snapshot.tree, self._tree.start, root.node)
            request = replace(request, mtime_ns=self._base.mtime_ns if is_same_list else None, mode=self._base.mode)
        committed = commit_staged(self._store, self._stager, root, request, base=self._tree.start)
        version = version_of(self._store, committed)
        self.close()
        return version

    def close(self, *, keep: bool = True) -> None:
        """Release the gathered content, unless it was committed: to a dead draft, for another put to find.

        Without ``keep`` it is given up, as when the gathering is dropped or the program ends.  Does nothing in a forked
        child, because its parent still gathers.
        """
        if os.getpid() == self._pid and _unfinished.pop(id(self._stager), None) is not None:
            self._stager.close(keep=keep)

    def __del__(self) -> None:
        with suppress(AttributeError):  # the constructor failed
            if os.getpid() == self._pid and id(self._stager) in _unfinished:
                _dropped.append(self._stager)  # not now: this thread may be in the middle of a transaction
                at_next_call(_end_dropped)


_unfinished: Final[dict[int, tuple[int, Stager]]] = {}
"""The stagers of gatherings that were neither committed nor closed, with the process of each, by identity."""
_dropped: Final[list[Stager]] = []
"""Those of them whose gatherings no longer exist."""


def _end_dropped() -> None:
    while _dropped:
        stager = _dropped.pop()
        if _unfinished.pop(id(stager), None) is not None:
            stager.close(keep=False)


@atexit.register
def _end_unfinished() -> None:
    """Give up what was not committed when the program ends."""
    for process, stager in list(_unfinished.values()):
        if process == os.getpid():
            stager.close(keep=False)
