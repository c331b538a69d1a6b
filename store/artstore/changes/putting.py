"""`put`: a folder, a file, or a path on a mount of the workspace becomes the next version of an artifact."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import closing, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Final

from artstore.arguments import raw_path, texts
from artstore.changes.committing import Commit, is_latest
from artstore.changes.results import PutResult, commit_staged, version_of
from artstore.errors import InvalidInputError, NotFoundError
from artstore.ingest.batch import Ref, StaleHintError
from artstore.ingest.building import DirectoryBuilder
from artstore.ingest.earlier import Earlier
from artstore.ingest.overlay import Overlay
from artstore.ingest.pipeline import Ingest
from artstore.ingest.reporting import reporter
from artstore.ingest.source import Links, Source, open_source
from artstore.ingest.source.forbidden import forbidden_folders
from artstore.ingest.staging import Stager, draft_of
from artstore.ingest.statcache import StatCache
from artstore.names import version_label
from artstore.origins import RepositoryState
from artstore.progress import Progress
from artstore.queries.mounted import MountedPath, mounted_path
from artstore.queries.resolving import base_version
from artstore.queries.versions import Version
from artstore.reclaim.space import with_room
from artstore.records.catalogue import VersionRecord
from artstore.records.trees import Kind
from artstore.rows.settings import read_settings
from artstore.rows.views import require_local
from artstore.store import Store
from artstore.values import value_class

__all__ = [
    "ATTEMPTS",
    "PutOptions",
    "checked_options",
    "ingest_of",
    "put",
    "put_version",
]

ATTEMPTS: Final = 3
"""How often a put is tried while other processes reap what it found."""


@value_class
class PutOptions:
    """How a put reads its source; ``base`` is the version that the source is laid over.

    ``links`` is what happens to symlinks that lead out of it.  ``repository`` is the git repository that it is in.
    """

    exclude: Sequence[str] = ()
    remove: Sequence[str] = ()
    base: VersionRecord | None = None
    links: Links = Links.FOLLOW
    progress: Callable[[Progress], None] | None = None
    repository: RepositoryState | None = None


def put(store: Store, path: Path, request: Commit, options: PutOptions) -> PutResult:
    """Store the content at ``path`` and make it a version.

    Streams: memory grows with the entries of the largest folder, not with files or the number of folders.  If an
    exception ends it, the stored part is kept in a dead draft, so that the next put of the same content stores only the
    rest.  If the disk is full, deleted content on the deadlist is reaped, the oldest first.  Raises `SourceError` for
    files that cannot be stored, `OutOfSpaceError` if the disk is still full after that, and the errors of `commit`.
    """
    result, reaped = with_room(store, lambda: _put(store, path, request, options))
    return replace(result, reaped_bytes=reaped)


def put_version(
    store: Store,
    path: str | os.PathLike[str],
    request: Commit,
    *,
    base: str | None = None,
    exclude: Sequence[str] = (),
    remove: Sequence[str] = (),
    links: str = Links.FOLLOW,
    progress: Callable[[Progress], None] | None = None,
) -> Version:
    """Do as `put`; ``base`` is ``v3``, an alias or ``NAME:v3``.  Return the version, with the receipt for it."""
    request, options = checked_options(
        store, path, request, base=base, exclude=exclude, remove=remove, links=links, progress=progress
    )
    with store.snapshot() as snapshot:
        is_recorded = read_settings(snapshot.transaction).record_origin
    with closing(RepositoryState(Path(path))) if is_recorded else nullcontext() as repository:
        return version_of(store, put(store, Path(path), request, replace(options, repository=repository)))


def checked_options(
    store: Store,
    path: str | os.PathLike[str],
    request: Commit,
    *,
    base: str | None,
    exclude: Sequence[str],
    remove: Sequence[str],
    links: str,
    progress: Callable[[Progress], None] | None,
) -> tuple[Commit, PutOptions]:
    """Return the request and the options of a put as its caller gave them; raise the errors of wrong ones."""
    raw_path(path)
    if not os.fspath(path):
        raise InvalidInputError("the path to put is empty")  # Path("") would mean the current folder
    exclude, remove = texts(exclude, "exclude"), texts(remove, "remove")
    if remove and base is None:
        raise InvalidInputError("--remove needs --base")
    followed = Links.of(links)
    below = None if base is None else base_version(store, request.name, base)
    if below is not None:
        request = replace(request, base=below.name)
    record = None if below is None else below.record
    return request, PutOptions(exclude=exclude, remove=remove, base=record, links=followed, progress=progress)


def _put(store: Store, path: Path, request: Commit, options: PutOptions) -> PutResult:
    whole = options.base is None and not options.exclude and not options.remove
    mounted = mounted_path(store, path) if whole else None
    for attempt in range(ATTEMPTS):
        stager = Stager(store, request.name, os.fspath(path))
        try:
            if mounted is not None:
                root, request, origin = _take_mounted(store, stager, mounted, request)
                return commit_staged(store, stager, root, request, base=origin)
            return _put_source(store, stager, path, request, options, attempt)
        except StaleHintError:
            if attempt == ATTEMPTS - 1:
                raise
        finally:
            stager.close()
    raise AssertionError("the last attempt returns or raises")


def _put_source(
    store: Store, stager: Stager, path: Path, request: Commit, options: PutOptions, attempt: int
) -> PutResult:
    """Store a folder or file; a second attempt reads every file, a third also ignores all hints."""
    with open_source(path, exclude=options.exclude, forbidden=forbidden_folders(store), links=options.links) as source:
        report = reporter(source, options.progress)
        with StatCache.open(store.path / "cache" / "stat", source.real_path, source.identity) as cache:
            ingest, earlier = ingest_of(store, stager, source, cache, request, options, attempt, report)
            root = ingest.run()
            request = replace(request, mtime_ns=ingest.mtime_ns, mode=ingest.mode)
            if options.repository is not None and not is_latest(store, root, request):
                request = replace(request, origin={**request.origin, **options.repository.result()})
            base = None if options.base is None else options.base.root
            result = commit_staged(store, stager, root, request, earlier=earlier, base=base)
            if options.base is None and not attempt:
                cache.commit()
    return replace(
        result,
        private=ingest.private,
        special=ingest.special,
        followed=source.followed,
        ignored=source.ignored,
        temporary=source.temporary,
    )


def ingest_of(
    store: Store,
    stager: Stager,
    source: Source,
    cache: StatCache,
    request: Commit,
    options: PutOptions,
    attempt: int,
    report: Callable[[int, int, bytes], None] | None,
) -> tuple[Ingest, Earlier | None]:
    """Return what brings a source into the store, and the earlier versions that it looks at.

    These are None with a base: at the commit it is known which files the base provides.
    """
    overlay = None
    earlier: Earlier | None = Earlier(store, request.name, share=not request.force)
    if options.base is not None:
        stager.hold_base(options.base.serial, options.base.root)
        overlay = Overlay(store, stager, options.base.root, options.remove)
        earlier = None
    ingest = Ingest(
        store,
        stager,
        source,
        None if attempt else cache,
        overlay=overlay,
        earlier=earlier,
        hints=attempt < ATTEMPTS - 1,
        progress=report,
        on_read=None if options.repository is None else options.repository.expect,
    )
    return ingest, earlier


def _take_mounted(store: Store, stager: Stager, place: MountedPath, request: Commit) -> tuple[Ref, Commit, int]:
    """Return the root for a path on a mount: the node of the directory, or a new root that contains the file.

    The commit gets the directory's time and mode.  Also returns the node of the directory that gives the entries.
    """
    with store.snapshot() as snapshot:
        number = snapshot.name_number(place.name)
        version = snapshot.version_or_link(number[0], place.number) if number else None
        if version is None:
            raise NotFoundError(f"{place.name}:{version_label(place.number)} no longer exists")
        require_local(version, f"{place.name}:{version_label(place.number)}")
        if not place.path:
            request = replace(request, mtime_ns=version.mtime_ns, mode=version.mode)
            return stager.known_tree(version.form, version.digest), request, version.root
        entry = snapshot.resolve(version.root, place.path)
        if entry is None:
            raise NotFoundError(f"{place.name}:{version_label(place.number)} has no {os.fsdecode(place.path)!r}")
        draft = draft_of(snapshot, entry)
        above = place.path.rpartition(b"/")[0]
        folder = snapshot.resolve(version.root, above) if above else None
    if draft.kind is Kind.DIRECTORY:
        request = replace(request, mtime_ns=draft.mtime_ns, mode=draft.mode)
        return stager.known_tree(draft.form, draft.id), request, entry.node
    builder = DirectoryBuilder(stager)
    builder.add(draft)
    return builder.finish(), request, version.root if folder is None else folder.node
