"""What a put would change, and how a folder of the disk differs from a version; nothing is stored."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from artstore.changes.committing import Commit, is_latest, next_number, require_committable
from artstore.changes.putting import ATTEMPTS, PutOptions, checked_options, ingest_of
from artstore.changes.results import receipt_of
from artstore.errors import NotFolderError
from artstore.ingest.batch import StaleHintError
from artstore.ingest.building import DirectoryBuilder
from artstore.ingest.pipeline import Ingest
from artstore.ingest.reading import without_bytes
from artstore.ingest.reporting import reporter
from artstore.ingest.source import Source, open_source
from artstore.ingest.source.forbidden import forbidden_folders
from artstore.ingest.statcache import StatCache
from artstore.ingest.trial import FIRST_NODE, TrialStager
from artstore.progress import Progress
from artstore.queries.difference import Difference, compare_trees
from artstore.queries.resolving import is_folder, tree_of
from artstore.queries.versions import PutReceipt
from artstore.records.lazy_nodes import LAZY
from artstore.rows import catalogue
from artstore.rows.settings import refuse_protected
from artstore.rows.snapshot import Snapshot
from artstore.store import Store

__all__ = ["PutPreview", "compare_folders", "preview_put"]


@dataclass(frozen=True, slots=True)
class PutPreview:
    """What a put would do: the version that it would lead to, which is new if ``receipt.created``.

    The ``number`` is that of a pending version if the log of a remote gives the artifact's numbers.  ``difference``
    leads from the ``latest`` version (its number, None if there is none) to it.  With a base, ``receipt.new_bytes`` can
    be a few more or less than the put's, because the records of folders get other times.
    """

    artifact: str
    number: int
    latest: int | None
    digest: str
    files: int
    bytes: int
    difference: Difference
    receipt: PutReceipt


def preview_put(
    store: Store,
    path: str | os.PathLike[str],
    request: Commit,
    *,
    base: str | None = None,
    exclude: Sequence[str] = (),
    remove: Sequence[str] = (),
    links: str,
    progress: Callable[[Progress], None] | None = None,
) -> PutPreview:
    """Return what `put_version` would do now; raise what it would raise before it writes.

    Reads, cuts and compresses as the put would, so the time is about that of the put.
    """
    request, options = checked_options(
        store, path, request, base=base, exclude=exclude, remove=remove, links=links, progress=progress
    )
    with store.snapshot() as snapshot:
        require_committable(snapshot.transaction, request)
    for attempt in range(ATTEMPTS):
        with closing(TrialStager(store, request.name)) as stager:
            try:
                return _previewed(store, stager, Path(path), request, options, attempt)
            except StaleHintError:
                if attempt == ATTEMPTS - 1:
                    raise
    raise AssertionError("the last attempt returns or raises")


def _previewed(
    store: Store, stager: TrialStager, path: Path, request: Commit, options: PutOptions, attempt: int
) -> PutPreview:
    with _opened(store, path, options) as source, _cache_of(store, source) as cache:
        report = reporter(source, options.progress)
        ingest, earlier = ingest_of(store, stager, source, cache, request, options, attempt, report)
        root = ingest.run()
    created = not is_latest(store, root, request)
    with store.snapshot() as snapshot:
        artifact = catalogue.find_name(snapshot.transaction, request.name)
        shown = artifact or snapshot.find_name(request.name)  # in a remote only
        latest = None if artifact is None else catalogue.newest(snapshot.transaction, artifact.number)
        latest = latest or (None if shown is None else snapshot.latest(shown.number))
    after, new_bytes = stager.root(root), stager.stored_bytes
    before = _empty(stager) if latest is None else latest.root
    with store.snapshot() as snapshot:
        load = stager.loader(snapshot)
        totals = load(after).totals
        number = next_number(snapshot.transaction, request.name) if latest is None or created else latest.number
        if artifact is not None:
            refuse_protected(snapshot.transaction, artifact, number, request.aliases)
        difference = _compared(stager, snapshot, before, after)
    receipt = receipt_of(
        created=created,
        new_bytes=new_bytes if created else 0,
        silent_daemons=[],
        differing_paths=0 if created or earlier is None else earlier.differing,
        private_files=ingest.private,
        special_modes=ingest.special,
        followed=source.followed,
        ignored=source.ignored,
        temporary=source.temporary,
    )
    before_number = None if latest is None else latest.number
    digest = root.digest.hex()
    return PutPreview(request.name, number, before_number, digest, totals.files, totals.bytes, difference, receipt)


def compare_folders(store: Store, a: str, b: str, progress: Callable[[Progress], None] | None = None) -> Difference:
    """Compare two trees, of which at least one is a folder of the disk (`is_folder`), as if it were put.

    Files that the cache of an earlier put knows are not read.  Raises `SourceError` for what a put could not store.
    """
    for attempt in range(ATTEMPTS):
        with closing(TrialStager(store, "")) as stager:
            try:
                roots = [
                    _root_of_folder(store, stager, ref, attempt, progress)
                    if is_folder(store, ref)
                    else tree_of(store, ref)
                    for ref in (a, b)
                ]
                with store.snapshot() as snapshot:
                    return _compared(stager, snapshot, *roots)
            except StaleHintError:
                if attempt == ATTEMPTS - 1:
                    raise
    raise AssertionError("the last attempt returns or raises")


def _root_of_folder(
    store: Store, stager: TrialStager, ref: str, attempt: int, progress: Callable[[Progress], None] | None
) -> int:
    options = PutOptions()
    with _opened(store, Path(os.path.expanduser(ref)), options) as source, _cache_of(store, source) as cache:
        if source.is_file:
            raise NotFolderError(f"{ref!r} is not a folder", hint="compare versions or folders")
        ingest = Ingest(
            store,
            stager,
            source,
            None if attempt else cache,
            hints=attempt < ATTEMPTS - 1,
            progress=reporter(source, progress),
            encode=without_bytes,
        )
        return stager.root(ingest.run())


def _compared(stager: TrialStager, snapshot: Snapshot, old: int, new: int) -> Difference:
    in_remote = any(LAZY <= root < FIRST_NODE for root in (old, new))
    return compare_trees(stager.loader(snapshot), old, new, stager.identity(snapshot) if in_remote else None)


def _opened(store: Store, path: Path, options: PutOptions) -> Source:
    return open_source(path, exclude=options.exclude, forbidden=forbidden_folders(store), links=options.links)


def _cache_of(store: Store, source: Source) -> StatCache:
    """Return the stat cache of a source, which is left as it is: what is not stored must be read by the next put."""
    return StatCache.open(store.path / "cache" / "stat", source.real_path, source.identity, writes=False)


def _empty(stager: TrialStager) -> int:
    return stager.root(DirectoryBuilder(stager).finish())
