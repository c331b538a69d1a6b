"""Versions that refer to files outside the store: make one, check its references, and fetch their content."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import IO, Final, NamedTuple, Unpack, cast

from artstore import beneath
from artstore.arguments import text
from artstore.changes.committing import Commit, VersionOptions
from artstore.drafting.editing import target_path
from artstore.drafting.gathering import Gathering
from artstore.errors import ArtfsError, ChangedError, NotFoundError
from artstore.names import unknown_path
from artstore.objects.locations import parse_location
from artstore.progress import Progress
from artstore.queries.resolving import base_version, resolve_version
from artstore.queries.versions import Version
from artstore.records.catalogue import VersionRecord
from artstore.records.references import ReferenceRecord
from artstore.records.trees import Kind
from artstore.references.failures import Failure
from artstore.references.pinning import PinOptions
from artstore.references.reading import Outside
from artstore.rows.catalogue import label
from artstore.rows.views import require_local
from artstore.store import Store
from artstore.temporaries import TemporaryFolder, remove_abandoned

__all__ = [
    "CheckedReference",
    "ReferOptions",
    "Reference",
    "check",
    "fetch",
    "include",
    "known_failures",
    "refer",
    "references",
]

_OWN: Final = "artfs://"
_AT_ONCE: Final = 16
_FETCHED_AT_ONCE: Final = 8
_WINDOW: Final = 8 * 1024 * 1024
_PAGE: Final = 10_000

OnProgress = Callable[[Progress], None]


class Reference(NamedTuple):
    """A file of a version whose bytes stay outside: its path, the id of its record, and the record."""

    path: bytes
    ident: bytes
    record: ReferenceRecord


class CheckedReference(NamedTuple):
    """The result of a check of a reference: ``state`` is ok, changed (or gone), or unknown; ``message`` has details."""

    reference: Reference
    state: str
    message: str


class ReferOptions(VersionOptions, PinOptions, total=False):
    """The options of a version, and how its references are pinned."""


def refer(
    store: Store, uri: str, name: str, *, base: str | None = None, to: str = "", **options: Unpack[ReferOptions]
) -> Version:
    """Commit references to the files at a URI as an artifact's next version, over ``base`` if given; copy nothing.

    ``artfs://NAME:v3[/path]`` includes another version, or a part of it.  Raises what `artstore.references.pinning.pin`
    and `artstore.changes.committing.commit` do.
    """
    text(uri, "the URI")
    pinning = {key: value for key, value in options.items() if key in PinOptions.__annotations__}
    described = {key: value for key, value in options.items() if key not in pinning}
    request = Commit.checked(name, **cast(VersionOptions, described))
    below = None if base is None else base_version(store, request.name, base)
    if below is not None:
        request = replace(request, base=below.name)
    record = None if below is None else below.record
    target_path(to)
    if uri.startswith(_OWN):
        version, inside = resolve_version(store, uri.removeprefix(_OWN))
        require_local(version.record, version.name)
        return include(store, version, inside, request, base=record, to=to)
    gathering = Gathering(store, request.name, record)
    try:
        gathering.refer(uri, to, **cast(PinOptions, pinning))
        return gathering.commit(request)
    finally:
        gathering.close(keep=False)


def include(
    store: Store, version: Version, inside: bytes, request: Commit, *, base: VersionRecord | None, to: str
) -> Version:
    """Make a version that contains another version, or a path of it; nothing is copied.

    The included content is at ``to``, or under its own name.  Raises what `Gathering.include` does.
    """
    own = os.fsdecode(inside).rpartition("/")[2] or version.artifact.rpartition("/")[2]
    gathering = Gathering(store, request.name, base)
    try:
        gathering.include(to or own, version.record, inside)
        return gathering.commit(replace(request, included=(version.record.serial,)))
    finally:
        gathering.close(keep=False)


def references(store: Store, version: VersionRecord, path: bytes = b"") -> Iterator[Reference]:
    """Yield the references at or below a path of a version; raise `NotFoundError` if nothing is there."""
    with store.snapshot() as snapshot:
        root = version.root
        entry = snapshot.resolve(root, path) if path else None
        if path and entry is None:
            raise unknown_path(label(snapshot.transaction, version), path)
        if entry is not None and entry.kind != Kind.DIRECTORY:
            entries = [(path, entry)]
        else:
            below = snapshot.walk(root if entry is None else entry.node, path + b"/" if path else b"")
            entries = [(each, inside) for each, inside in below if inside.kind == Kind.REFERENCE]
    for start in range(0, len(entries), _PAGE):
        with store.snapshot() as snapshot:
            page = [
                Reference(each, snapshot.identity(inside.node), snapshot.reference(inside.node))
                for each, inside in entries[start : start + _PAGE]
                if inside.kind == Kind.REFERENCE
            ]
        yield from page


def check(store: Store, to_check: Sequence[Reference], report: OnProgress | None = None) -> Iterator[CheckedReference]:
    """Check references in order: each file is requested, and files pinned by content are read."""
    outside = store.outside
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        for count, checked in enumerate(threads.map(partial(_check, outside), to_check), 1):
            if report is not None:
                report(Progress("checking", count, 0, len(to_check), None, os.fsdecode(checked.reference.path)))
            yield checked


def _check(outside: Outside, reference: Reference) -> CheckedReference:
    try:
        outside.check(reference.ident, reference.record)
    except ChangedError as error:
        return CheckedReference(reference, "changed", str(error))
    except ArtfsError as error:
        return CheckedReference(reference, "unknown", str(error))
    return CheckedReference(reference, "ok", "")


def known_failures(store: Store, version: VersionRecord) -> list[tuple[bytes, Failure]]:
    """Return (path, failure) of a version's references whose files readers have found changed or gone."""
    noted = {failure.ident: failure for failure in store.outside.failures.all()}
    if not noted:
        return []
    return [(each.path, noted[each.ident]) for each in references(store, version) if each.ident in noted]


def fetch(store: Store, version: Version, path: bytes = b"", report: OnProgress | None = None) -> Version:
    """Store the files that a version refers to, at or below a path, and commit a new version with them; return it.

    Raises `NotFoundError` if there is no reference, `ChangedError` if a file has changed since it was pinned.
    """
    pinned = list(references(store, version.record, path))
    if not pinned:
        place = f"{version.name}/{os.fsdecode(path)}" if path else version.name
        raise NotFoundError(f"{place} has no references", hint="its content is stored already")
    total = sum(each.record.size for each in pinned)
    request = Commit(version.artifact, base=version.name, metadata=version.metadata, description=version.description)
    gathering = Gathering(store, version.artifact, version.record)
    done = files = 0
    try:
        with (
            _copies(store) as folder,
            ThreadPoolExecutor(_FETCHED_AT_ONCE) as threads,
        ):
            for start in range(0, len(pinned), _FETCHED_AT_ONCE):
                part = pinned[start : start + _FETCHED_AT_ONCE]
                copies = threads.map(partial(_copy, store, folder), range(len(part)), part)
                for each, copy in zip(part, copies, strict=True):
                    gathering.add(copy, os.fsdecode(each.path), overwrite=True)
                    beneath.remove(folder, copy)
                    done, files = done + each.record.size, files + 1
                    if report is not None:
                        name = os.fsdecode(each.path)
                        report(Progress("fetching", files, done, len(pinned), total, name))
        return gathering.commit(request)
    finally:
        gathering.close()  # what was fetched need not be stored again


@contextmanager
def _copies(store: Store) -> Iterator[Path]:
    """Yield a folder in the cache for copies of files; it and they are removed at the end, or by the next call."""
    beneath.make_folders(store.path, "cache")
    with beneath.closing(beneath.open_folder(store.path, "cache")) as cache:
        remove_abandoned(cache)
        with TemporaryFolder(cache) as temporary:
            yield Path(f"/proc/self/fd/{temporary.fd}")  # the folder itself, whatever its path may lead to later


def _copy(store: Store, folder: Path, number: int, reference: Reference) -> Path:
    """Write the content of a reference into a new file; return its path."""
    copy = folder / str(number)
    with open(beneath.open_file(folder, copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb") as file:
        _write(store.outside, reference, file)
    return copy


def _write(outside: Outside, reference: Reference, file: IO[bytes]) -> None:
    record = reference.record
    if record.uri.startswith("file://"):
        for offset in range(0, record.size, _WINDOW):
            for piece in outside.read(reference.ident, record, offset, _WINDOW):
                file.write(piece)
        return
    for piece in outside.whole(reference.ident, record, parse_location(record.uri)):
        file.write(piece)
