"""Open drafts: a version that is assembled step by step, by short-lived commands or programs.

A draft begins empty or with the content of a version; nothing is copied.  Each step (add, remove, move) makes a new
tree in the store and points the draft to it in one transaction: a step that fails or is killed leaves the draft
unchanged.  Steps of several processes are serialized: a step is repeated if another one has changed the draft.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar, Unpack

from artstore.arguments import paths_of, raw_path
from artstore.changes.committing import Commit, Committed, VersionOptions, commit
from artstore.changes.results import PutResult, announce, version_of
from artstore.drafting.adding import Added, Adding, Joining, matching, path_inside, shown, without_those_below
from artstore.drafting.editing import Edits, apply_edits, entry_at, merge_edits, parse_path, target_path
from artstore.errors import (
    ArtfsError,
    BusyError,
    DamageError,
    ExistsError,
    InvalidInputError,
    NotFoundError,
    OutOfSpaceError,
    SourceError,
)
from artstore.ingest.batch import Ref, StaleHintError
from artstore.ingest.building import DirectoryBuilder
from artstore.ingest.earlier import Earlier
from artstore.ingest.reporting import reporter
from artstore.ingest.retiming import retimed
from artstore.ingest.source import open_source
from artstore.ingest.source.forbidden import forbidden_folders
from artstore.ingest.staging import RequirementError, Stager
from artstore.interrupts import deferring
from artstore.names import check_draft
from artstore.progress import Progress
from artstore.queries.difference import Difference, compare
from artstore.queries.versions import Version
from artstore.reclaim.space import with_room
from artstore.records.catalogue import LONGEST_TTL, DraftRecord, VersionRecord
from artstore.records.packing import CLASS_TREE
from artstore.records.trees import Kind
from artstore.rows import catalogue, drafts
from artstore.rows.catalogue import label
from artstore.rows.nodes import change_counts, read_count, tree_view
from artstore.rows.trees import same_names
from artstore.storage.manifest import ReadTransaction, WriteTransaction
from artstore.storage.reserve import require_room
from artstore.store import Store

if TYPE_CHECKING:
    from artstore.drafting.stage_reference import Referred
    from artstore.references.pinning import PinOptions

__all__ = ["EXPIRY_SECONDS", "OpenDraft", "commit_drafts", "find_draft", "open_drafts", "open_new"]

T = TypeVar("T")

EXPIRY_SECONDS: Final = 7 * 86400.0
"""The default time that a draft stays open after its last step."""
_ATTEMPTS: Final = 5
_MOST_LOST: Final = 1000
_LONGEST_PAUSE_SECONDS: Final = 0.02


class _ChangedError(BusyError):
    """Raised when another process has changed the draft since a step began."""


@dataclass
class _Part:
    """The contribution of one of several programs to a draft: a directory, and fields of the version."""

    by: str
    fields: Mapping[str, Any]
    node: int = 0

    def joined(self, record: DraftRecord) -> dict[str, Any]:
        """Return the changed fields of the draft's record."""
        part = {"by": self.by, "node": self.node}
        parts = record.parts if part in record.parts else [*record.parts, part]
        return {"parts": parts, "said": _joined(record.said, self.fields)}


@dataclass(frozen=True, slots=True)
class _Retimed:
    """The versions by which the content of a draft was given its times, and its root, None if there is no version."""

    earlier: Earlier
    root: Ref | None

    def require(self, record: DraftRecord, transaction: ReadTransaction) -> None:
        """Raise `RequirementError` if the artifact has another latest version now, or the draft another root."""
        self.earlier.require_latest(transaction)
        if self.root is not None and self.root.node != record.root:
            raise RequirementError(f"the draft {record.id!r} was changed at the same time", hint="try again")


def open_new(
    store: Store, artifact: str, ident: str, base: VersionRecord | None, seconds: float, source: str = ""
) -> OpenDraft:
    """Open a draft, empty or with the content of ``base``; an empty ``ident`` is replaced by a generated one.

    Raises `ExistsError` if a draft of that name is open, `NotFoundError` if the base is gone.
    """
    if ident:
        check_draft(ident)
    if not seconds > 0:
        raise InvalidInputError(
            f"a draft cannot expire {seconds:g} seconds after it is opened", hint="such as 12h or 7d"
        )
    if not seconds < LONGEST_TTL:
        raise InvalidInputError(f"a draft must expire after less than {LONGEST_TTL:.0f} seconds")
    require_room(store.path)

    def make(transaction: WriteTransaction, root: Ref, added: int) -> tuple[bool, DraftRecord]:
        if base is not None and not read_count(transaction, root.node):
            raise NotFoundError("the base version no longer exists")
        serial = 0 if base is None else base.serial
        return True, drafts.open_draft(transaction, artifact, ident, root.node, serial, int(seconds * 1e9), source)

    with closing(Stager(store, artifact, "")) as stager:
        root = DirectoryBuilder(stager).finish() if base is None else stager.known_tree(base.form, base.digest)
        try:
            record = stager.commit(root, make)
        except StaleHintError as error:
            raise NotFoundError("the base version no longer exists") from error
    return OpenDraft(store, record.id)


def open_drafts(store: Store) -> list[OpenDraft]:
    """Return the open drafts, the oldest first."""
    with store.snapshot() as snapshot:
        states = drafts.list_drafts(snapshot.transaction, store.run_dir)
    return [OpenDraft(store, info.id) for info in states if info.id and info.alive]


def find_draft(store: Store, ident: str) -> OpenDraft:
    """Return the open draft with an id; raise `NotFoundError` if there is none, or it has expired."""
    draft = OpenDraft(store, ident)
    draft.record()
    return draft


@deferring("artifact", "base")
class OpenDraft:
    """A draft with a name: changed by steps, until it is committed or aborted, or expires.

    Any call raises `NotFoundError` if another process has ended the draft.
    """

    def __init__(self, store: Store, ident: str) -> None:
        self._store = store
        self.id = ident

    def __repr__(self) -> str:
        return f"<OpenDraft {self.id}>"

    @property
    def _shown(self) -> str:
        return f"the draft {self.id!r}"

    def record(self) -> DraftRecord:
        """Return the draft's record; raise `NotFoundError` if it is no longer open."""
        with self._store.snapshot() as snapshot:
            return self.record_in(snapshot.transaction)

    def record_in(self, transaction: ReadTransaction) -> DraftRecord:
        """Return the draft's record in a transaction; raise `NotFoundError` if it is no longer open."""
        record = drafts.find_open(transaction, self.id)
        if record is None:
            raise NotFoundError(f"no draft {self.id!r} is open", hint="list them: artfs draft ls")
        if record.expires_ns <= time.time_ns():
            raise NotFoundError(f"the draft {self.id!r} has expired", hint="open another one: artfs draft new")
        return record

    @property
    def artifact(self) -> str:
        """The name of the artifact whose next version the draft becomes."""
        return self.record().artifact

    @property
    def base(self) -> str | None:
        """The version that the draft is based on, as ``NAME:v3``, or None."""
        with self._store.snapshot() as snapshot:
            record = self.record_in(snapshot.transaction)
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
        """Add a file under its own name or as ``to``, or the content of a folder at the top or below ``to``.

        If ``to`` ends with a slash, or is an existing folder, a file is added inside it.  Folders of the same name are
        merged, and files of the base are replaced.  Raises `ExistsError` naming the paths that were added to the draft
        earlier with other content, unless ``overwrite``; and what putting raises.
        """
        with open_source(Path(path), exclude=exclude, forbidden=forbidden_folders(self._store)) as source:
            adding = Adding(self._store, source, target_path(to), overwrite, reporter(source, progress))
            (_, new_bytes), reaped = with_room(self._store, lambda: self._step(adding.step))
            return Added.of(adding, source, new_bytes, reaped)

    def refer(
        self,
        uri: str,
        to: str = "",
        *,
        overwrite: bool = False,
        **options: Unpack[PinOptions],
    ) -> Referred:
        """Add references to the files at a URI, pinned in their present state, without copying them.

        A single file is added under its own name or as ``to``, the content of a folder or prefix at the top or below
        ``to``; the options are those of `artstore.references.pinning.PinOptions`.  Raises what
        `artstore.references.pinning.pin` does, and `ExistsError` as `add` does.
        """
        from artstore.drafting.stage_reference import Referring
        from artstore.references.pinning import pin

        self.record()  # fail early, before any request to the outside
        target_path(to)
        pinned = pin(uri, **options)
        return self._step(Referring(self._store, pinned, to, overwrite).step)[0]

    def remove(self, *patterns: str | bytes) -> list[bytes]:
        """Remove paths: a file, a folder (with or without a ``/`` at its end), or all matches of a glob.

        Globs follow git's rules: ``*.tmp`` matches at any depth, ``/*.tmp`` and ``a/*.tmp`` from the top.  Returns the
        removed paths; for a folder, only its own path.  Raises `NotFoundError` if a path or glob matches nothing.
        """
        given = paths_of(patterns, "what to remove")

        def step(stager: Stager, record: DraftRecord, attempt: int) -> tuple[Ref, list[bytes]]:
            with self._store.snapshot() as snapshot:
                removed = sorted(
                    {path for each in given for path in matching(snapshot, record.root, each, self._shown)}
                )
            edits = Edits()
            for path in without_those_below(removed):
                edits.put(path, None)
            return apply_edits(self._store, stager, record.root, edits), removed

        return self._step(step)[0]

    def move(self, source: str | bytes, target: str | bytes, *, overwrite: bool = False) -> bytes:
        """Move the file or folder at ``source`` to ``target``, or into ``target`` if that is a folder.

        Returns the new path.  Raises `NotFoundError` if ``source`` does not exist, and `ExistsError` if the new path
        does; ``overwrite`` replaces a file.
        """
        old, place = b"/".join(parse_path(raw_path(source))), target_path(target)

        def step(stager: Stager, record: DraftRecord, attempt: int) -> tuple[Ref, bytes]:
            with self._store.snapshot() as snapshot:
                entry = entry_at(snapshot, record.root, old, self._shown)
                new = path_inside(snapshot, record.root, place, entry.name)
                in_the_way = snapshot.resolve(record.root, new)
            if new == old:
                raise InvalidInputError(f"{shown(old)} already exists")
            if new.startswith(old + b"/"):
                raise InvalidInputError(f"{shown(old)} cannot be moved into itself")
            if in_the_way is not None and (not overwrite or in_the_way.kind == Kind.DIRECTORY):
                raise ExistsError(f"{shown(new)} already exists", hint="--overwrite replaces a file")
            edits = Edits()
            edits.put(old, None)
            edits.put(new, entry)
            return apply_edits(self._store, stager, record.root, edits), new

        return self._step(step)[0]

    def merge(self, form: bytes, by: str, *, overwrite: bool = False, fields: Mapping[str, Any] | None = None) -> None:
        """Merge a stored directory, given by its form id, into the draft; the caller keeps it alive during the call.

        ``by`` names the program that contributes it, and ``fields`` has fields of the version.  Raises `ExistsError`
        naming the paths and the program, if another one has added other content at a path, unless ``overwrite``.
        """
        part = _Part(by, fields or {})

        def step(stager: Stager, record: DraftRecord, attempt: int) -> tuple[Ref, None]:
            upper = stager.known_tree(form)
            stager.flush()
            part.node = upper.node
            edits = Edits()
            joining = Joining(record, by, overwrite)
            with self._store.snapshot() as snapshot:
                merge_edits(snapshot, record.root, upper.node, edits, partial(joining.settle, snapshot))
            joining.refuse()
            stager.withdraw(upper)
            return apply_edits(self._store, stager, record.root, edits), None

        self._step(step, part)

    def _step(
        self,
        step: Callable[[Stager, DraftRecord, int], tuple[Ref, T]],
        part: _Part | None = None,
    ) -> tuple[T, int]:
        """Make a new tree from the present one and point the draft to it; retry if another process changed the draft.

        A retry means that another step has succeeded: of all concurrent steps, one always makes progress.
        """
        stale = stored = 0
        stager: Stager | None = None
        keep = False  # what was staged and is not part of the draft
        try:
            for _ in range(_MOST_LOST):
                record = self.record()
                # What an attempt has stored is found by the next one, as long as it is held.
                earlier, stager = stager, Stager(self._store, record.artifact, "")
                try:
                    root, result = step(stager, record, stale)
                    return result, stager.commit(root, partial(self._become, stager, record, stored, part))
                except _ChangedError:
                    time.sleep(random.uniform(0, _LONGEST_PAUSE_SECONDS))
                except StaleHintError:
                    stale += 1
                    if stale >= _ATTEMPTS and not self._has_changed(record):
                        raise
                except DamageError:
                    # The draft holds its trees, so none of it is reaped before another step replaces it.
                    if not self._has_changed(record):
                        raise
                finally:
                    stored += stager.stored_bytes
                    if earlier is not None:
                        earlier.close(keep=False)
        except BaseException as error:
            keep = not isinstance(error, ArtfsError) or isinstance(error, BusyError | OutOfSpaceError | SourceError)
            raise
        finally:
            if stager is not None:
                stager.close(keep=keep)
        raise BusyError(f"the draft {self.id!r} keeps being changed by other processes", hint="try again")

    def _has_changed(self, before: DraftRecord) -> bool:
        """Return whether another process has changed the draft; raise `NotFoundError` if it has been ended."""
        return self.record().root != before.root

    def _become(
        self,
        stager: Stager,
        before: DraftRecord,
        stored: int,
        part: _Part | None,
        transaction: WriteTransaction,
        root: Ref,
        added: int,
    ) -> tuple[bool, int]:
        record = self.record_in(transaction)
        if record.root != before.root:
            raise _ChangedError("the draft has changed")
        new_bytes = stored + stager.stored_bytes + added
        changes = {} if part is None else part.joined(record)
        held = drafts.move_root(transaction, record, root.node, new_bytes, **changes)
        change_counts(transaction, dict.fromkeys(held - {root.node}, 1))
        return root.node in held, new_bytes

    # -- status and commit -----------------------------------------------------------------------------------------

    def status(self) -> Difference:
        """Return the difference between the draft's initial and its present content."""

        def changes(store: Store) -> Difference:
            with store.snapshot() as snapshot:
                record = self.record_in(snapshot.transaction)
            return compare(store, record.start, record.root)

        return self._store.confirmed(changes)

    def commit(self, **options: Unpack[VersionOptions]) -> Version:
        """Commit the draft as the artifact's next version, and end the draft.

        If the content equals the latest version, that is returned instead, unless ``new``; ``receipt.created`` tells
        which.  Raises what `Workspace.put` does; the draft stays open then.
        """
        return self.commit_as(Commit.checked(self.artifact, **options))

    def retime(self, request: Commit) -> _Retimed:
        """Give the content the times that it shows as the artifact's next version."""

        def step(stager: Stager, record: DraftRecord, attempt: int) -> tuple[Ref, _Retimed]:
            earlier = Earlier(self._store, request.name, share=not request.force)
            with self._store.snapshot() as snapshot:
                root = stager.known_tree(snapshot.form(record.root))
            stager.flush()
            shown = retimed(self._store, stager, root, earlier, record.start)
            if shown is not root:
                stager.withdraw(root)
            return shown, _Retimed(earlier, shown)

        earlier = Earlier(self._store, request.name)
        return _Retimed(earlier, None) if earlier.root() is None else self._step(step)[0]

    def commit_as(self, request: Commit) -> Version:
        """Commit as `commit` does, with fields that only programs set: the version's runs and included versions."""
        return commit_drafts(self._store, [(self, request)])[0]

    def abort(self) -> None:
        """Discard the draft: content that only the draft holds is moved to the deadlist."""
        with self._store.write() as transaction:
            record = drafts.find_open(transaction, self.id)
            if record is not None:
                drafts.end(transaction, record.draft)


def commit_drafts(store: Store, requests: Sequence[tuple[OpenDraft, Commit]]) -> list[Version]:
    """Commit several drafts in one transaction: all of them, or none.

    Raises what `OpenDraft.commit` does, and `InvalidInputError` if two are of one artifact; all drafts stay open then.
    """
    names = [request.name for _, request in requests]
    if len(set(names)) < len(names):
        raise InvalidInputError("two of the drafts belong to the same artifact", hint="commit them one after the other")
    commits: list[tuple[Committed, int]] = []
    while True:
        prepared = [(draft, request, draft.retime(request)) for draft, request in requests]
        try:
            with store.write() as transaction:
                for draft, request, retiming in prepared:
                    record = draft.record_in(transaction)
                    retiming.require(record, transaction)
                    commits.append(_commit_draft(store, transaction, record, request))
            break
        except RequirementError:  # another version was committed since, or a draft was changed
            commits.clear()
    silent = announce(store, [change for committed, _ in commits for change in committed.changes])
    return [version_of(store, PutResult(committed, new_bytes, silent)) for committed, new_bytes in commits]


def _commit_draft(
    store: Store, transaction: WriteTransaction, record: DraftRecord, request: Commit
) -> tuple[Committed, int]:
    view = tree_view(transaction, record.root)
    root = Ref(CLASS_TREE, view.form, view.digest)
    root.node = record.root
    request = replace(request, base=_base_name(transaction, record), draft=record.id)
    base = catalogue.recorded_version(transaction, record.base) if record.base else None
    if base is not None:
        load = partial(tree_view, transaction)
        mtime_ns = base.mtime_ns if same_names(load, record.start, record.root) else None
        request = replace(request, mtime_ns=mtime_ns, mode=base.mode)
    created, committed = commit(store, transaction, root, request, record.new_bytes)
    if created:
        change_counts(transaction, {record.root: 1})
    drafts.end(transaction, record.draft)
    return committed, record.new_bytes


def _joined(before: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    """Merge the fields given by several programs: mappings and lists are united, of other values the last wins."""
    joined = dict(before)
    for key, value in fields.items():
        present = joined.get(key)
        if isinstance(present, dict) and isinstance(value, Mapping):
            joined[key] = {**present, **value}
        elif isinstance(present, list) and isinstance(value, list):
            joined[key] = [*present, *(each for each in value if each not in present)]
        else:
            joined[key] = value
    return joined


def _base_name(transaction: ReadTransaction, record: DraftRecord) -> str | None:
    version = catalogue.recorded_version(transaction, record.base) if record.base else None
    return None if version is None else label(transaction, version)
