"""Making a version from a stored root: one transaction that checks, records, and writes the journal.

The same checks apply to every source of a root.  They run inside the transaction, so that two processes that put to one
artifact get consecutive numbers, and a name cannot become a project and an artifact at once.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field, replace
from typing import Any, Self, TypedDict

from artstore.arguments import Duration, seconds_of, texts
from artstore.daemon_requests import Change, parent_changes
from artstore.errors import BusyError, NotFoundError, RefusedError
from artstore.ingest.batch import Ref
from artstore.metadata import equal_metadata, given
from artstore.names import (
    PENDING,
    check_name,
    check_new_alias,
    check_new_name,
    check_type,
    is_pending,
    parse_reference,
    parse_version_label,
    version_label,
)
from artstore.origins import process_origin
from artstore.records.catalogue import (
    ArtifactRecord,
    EdgeRecord,
    Metadata,
    VersionRecord,
    checked_metadata,
    end_after,
    refuse_reserved,
)
from artstore.records.events import (
    AliasEvent,
    EdgeEvent,
    Event,
    TagsEvent,
    TrackEvent,
    TtlEvent,
    TypeEvent,
    VersionEvent,
)
from artstore.records.terms import stems_of
from artstore.records.trees import EARLIEST_NS
from artstore.rows import catalogue, lineage, terms
from artstore.rows.lineage import Edge, End, edge_event, end_title, run_end, version_end
from artstore.rows.nodes import tree_view
from artstore.rows.pending import is_tracked
from artstore.rows.remotes import put_tracked
from artstore.rows.settings import read_settings, refuse_protected
from artstore.rows.views import views_of
from artstore.storage import journal
from artstore.storage.manifest import ReadTransaction, WriteTransaction
from artstore.store import Store
from artstore.values import value_class

__all__ = [
    "Commit",
    "Committed",
    "VersionOptions",
    "commit",
    "is_latest",
    "next_number",
    "record_version",
    "require_committable",
]


class VersionOptions(TypedDict, total=False):
    """Options of a new version that a caller can set.

    ``type`` is the type of the artifact, fixed by the first version that has one.  ``aliases`` are set to the version,
    and ``metadata`` must be valid as JSON.  The version expires after ``ttl``: seconds, ``"30d"`` or a timedelta.
    Without ``new``, no version is made if the content, and the metadata and description if given, equal those of the
    latest version; metadata that artfs itself writes do not count.
    """

    type: str | None
    aliases: Sequence[str]
    description: str | None
    metadata: Mapping[str, Any] | None
    ttl: Duration | None
    new: bool


@value_class
class Commit:
    """The options and sources of a new version; None means not given.  ``ttl`` is in seconds.

    ``runs`` are the numbers of the runs that make it; ``included`` are the serials of versions whose content it
    includes, ``linked`` the serial of the version that it links to.  ``draft`` is the open draft that it is made from.
    ``mtime_ns`` (None: the time of the commit) and ``mode`` are those of the root directory.  A version that comes from
    a remote has its ``number``, ``created_ns`` and ``tags`` from there; else they are None, 0 and none.  ``origin`` is
    where the version comes from; a commit that differs from the latest version only in that makes no version.
    ``latest`` is the serial of the version that must be the latest one when this is committed, 0 for none.  ``stems``
    are those of the metadata, if they were computed before the transaction.
    """

    name: str
    type: str | None = None
    aliases: Sequence[str] = ()
    description: str | None = None
    metadata: dict[str, Any] | None = None
    base: str | None = None
    force: bool = False
    ttl: float | None = None
    runs: Sequence[int] = ()
    included: Sequence[int] = ()
    linked: int = 0
    draft: str = ""
    mtime_ns: int | None = None
    mode: int = 0o755
    number: int | None = None
    created_ns: int = 0
    tags: Sequence[str] = ()
    origin: dict[str, Any] = field(default_factory=process_origin)
    latest: int | None = None
    stems: frozenset[bytes] | None = None

    @classmethod
    def checked(
        cls,
        name: str,
        *,
        type: str | None = None,
        aliases: Sequence[str] = (),
        description: str | None = None,
        metadata: Metadata | None = None,
        ttl: Duration | None = None,
        new: bool = False,
    ) -> Self:
        """Return the commit for an artifact's name and `VersionOptions`; raise `InvalidInputError` for invalid ones."""
        values = None if metadata is None else checked_metadata(metadata)
        refuse_reserved(values or {}, {})
        seconds = None if ttl is None else seconds_of(ttl, "ttl")
        if seconds is not None:
            end_after(seconds)
        return cls(
            name=check_name(name),
            type=None if type is None else check_type(type),
            aliases=[check_new_alias(alias) for alias in texts(aliases, "aliases")],
            description=description,
            metadata=values,
            force=new,
            ttl=seconds,
        )


@value_class
class Committed:
    """The version that a commit led to, whether it is new, and the directories of a mount whose listings changed."""

    artifact: ArtifactRecord
    version: VersionRecord
    created: bool
    changes: list[Change] = field(default_factory=list)


def commit(
    store: Store, transaction: WriteTransaction, root: Ref, request: Commit, new_bytes: int
) -> tuple[bool, Committed]:
    """Record a version of ``root`` unless it equals the current latest; return (whether it is new, the result).

    ``new_bytes`` are the bytes that storing the root has added.  Raises `RefusedError` for a type that differs from the
    artifact's, `InvalidInputError` if the name cannot be an artifact, `BusyError` if another version than
    ``request.latest`` is the latest one.
    """
    events: list[Event] = []
    rows: list[bytes] = []
    committed = record_version(transaction, root, request, new_bytes, events, rows)
    terms.add(transaction, rows)
    if events:
        journal.append(store.path, transaction, events)
    return committed.created, committed


def record_version(
    transaction: WriteTransaction, root: Ref, request: Commit, new_bytes: int, events: list[Event], rows: list[bytes]
) -> Committed:
    """Do as `commit`, but add the events and the rows of the index of terms to lists.

    The caller appends the events to the journal, and adds the rows, in this transaction.
    """
    if request.linked and catalogue.version(transaction, request.linked) is None:
        raise NotFoundError("the version to link has been deleted")
    now_ns = time.time_ns()
    later: list[Event] = []
    is_new = catalogue.find_name(transaction, request.name) is None
    artifact = catalogue.ensure_artifact(transaction, request.name, now_ns)
    if is_new and not artifact.next_version:
        check_new_name(request.name)
        artifact = _as_shown(transaction, artifact, request, later)
    typed = _with_type(artifact, request.type)
    if typed is not artifact:
        events.append(TypeEvent(name=request.name, type=typed.type))
    artifact = typed
    latest = catalogue.newest(transaction, artifact.number)
    if request.latest is not None and request.latest != (0 if latest is None else latest.serial):
        raise BusyError(
            f"another version of {request.name!r} was committed or deleted at the same time", hint="try again"
        )
    if latest is not None and not request.force and _same(latest, root, request):
        version, created = latest, False
    else:
        highest = next(catalogue.recorded_descending(transaction, artifact.number), None)
        newest_ns = EARLIEST_NS if highest is None else highest.newest_ns
        _refuse_taken(transaction, artifact, request.number)
        artifact, number = _numbered(transaction, artifact, request.number)
        version, created = _record(transaction, artifact, number, root, request, new_bytes, now_ns, newest_ns), True
        stems = stems_of(version.metadata) if request.stems is None else request.stems
        rows += catalogue.add_version(transaction, version, stems)
        events += [VersionEvent.of(request.name, version), *later]
        if request.tags:
            version = replace(version, tags=sorted(set(request.tags)))
            catalogue.put_version(transaction, version)
            events.append(TagsEvent(name=request.name, version=version.number, tags=version.tags))
    if request.ttl is not None:
        version = replace(version, expires_ns=end_after(request.ttl))
        catalogue.put_version(transaction, version)
        events.append(TtlEvent(name=request.name, version=version.number, expires_ns=version.expires_ns))
    catalogue.put_artifact(transaction, artifact)
    refuse_protected(transaction, artifact, version.number, request.aliases)
    moved = catalogue.set_aliases(transaction, artifact.number, version.number, request.aliases, now_ns)
    events += [AliasEvent(name=request.name, alias=alias, version=version.number) for alias in moved]
    before = latest if created and is_pending(version.number) else None
    sources = [*_sources(transaction, request, version, created), *_base_of_pending(request, before)]
    events += _add_edges(transaction, sources, artifact, version, now_ns)
    names = [version_label(version.number), "latest", *moved] if created else moved
    changes = parent_changes(request.name) if is_new else []
    if names:
        changes.append(Change(request.name, names))
    return Committed(artifact, version, created, changes)


def _as_shown(
    transaction: WriteTransaction, artifact: ArtifactRecord, request: Commit, later: list[Event]
) -> ArtifactRecord:
    """Let a new artifact track the one of its name that a remote has, if the workspace shows one; return its record.

    So its first version here is the next one there.  A version that comes from a remote is tracked by what pulls it.
    It has the type that it has there.  ``later`` gets the events that follow the artifact's first version.
    """
    views = None if request.number is not None else views_of(transaction)
    shown = None if views is None else views.find_name(request.name)
    owner = None if views is None or shown is None else views.owner_of(shown.number)
    if shown is None or owner is None:
        return artifact
    put_tracked(transaction, artifact.number, *owner)
    later.append(TrackEvent(name=request.name, remote=owner[0].hex(), artifact=owner[1].hex()))
    if shown.type is None:
        return artifact
    later.append(TypeEvent(name=request.name, type=shown.type))
    return replace(artifact, type=shown.type)


def _numbered(transaction: ReadTransaction, artifact: ArtifactRecord, number: int | None) -> tuple[ArtifactRecord, int]:
    """Return an artifact that has given a number, and the number: ``number``, or the next one.

    Where the log of a remote gives the numbers, the next one is that of a pending version.
    """
    if number is None and is_tracked(transaction, artifact.number):
        names = (alias.name for alias in catalogue.aliases_of(transaction, artifact.number))
        taken = [each - PENDING for each in map(parse_version_label, names) if each is not None and is_pending(each)]
        pending = max([artifact.next_pending, *(each + 1 for each in taken), 1])  # also after aliases of that form
        return replace(artifact, next_pending=pending + 1), PENDING + pending
    number = artifact.next_version if number is None else number
    return replace(artifact, next_version=max(artifact.next_version, number + 1)), number


def _base_of_pending(request: Commit, before: VersionRecord | None) -> Iterator[tuple[str, End]]:
    """Yield what a pending version is based on, for the log: the version before, unless another one was given."""
    if before is not None and request.base is None:
        yield lineage.BASE, version_end(before.serial)


def _refuse_taken(transaction: ReadTransaction, artifact: ArtifactRecord, number: int | None) -> None:
    if number is not None and catalogue.serial_of(transaction, artifact.number, number) is not None:
        raise RefusedError(
            f"{artifact.name}:{version_label(number)} is or was another version here",
            hint="use another workspace for it",
        )


def require_committable(transaction: ReadTransaction, request: Commit) -> None:
    """Raise what `commit` would raise for the artifact's name and type."""
    artifact = catalogue.possible_artifact(transaction, request.name)
    recorded = artifact or catalogue.find_retired(transaction, request.name)
    if recorded is None or (artifact is None and not recorded.next_version):
        check_new_name(request.name)
    if recorded is not None:
        _with_type(recorded, request.type)


def next_number(transaction: ReadTransaction, name: str) -> int:
    """Return the number that the next version of an artifact gets here, pending if the log of a remote gives others."""
    artifact = catalogue.find_name(transaction, name) or catalogue.find_retired(transaction, name)
    if artifact is None:
        views = views_of(transaction)
        shown = None if views is None else views.find_name(name)
        return 0 if shown is None else PENDING + 1
    return _numbered(transaction, artifact, None)[1]


def is_latest(store: Store, root: Ref, request: Commit) -> bool:
    """Return whether a commit of ``root`` would make no version, because it equals the latest one."""
    with store.snapshot() as snapshot:
        artifact = catalogue.find_name(snapshot.transaction, request.name)
        latest = None if artifact is None else catalogue.newest(snapshot.transaction, artifact.number)
    return latest is not None and not request.force and _same(latest, root, request)


def _sources(
    transaction: ReadTransaction, request: Commit, version: VersionRecord, created: bool
) -> Iterator[tuple[str, End]]:
    """Yield (kind, end) of the declared sources of a version."""
    for number in dict.fromkeys(request.runs):
        yield lineage.LOGGED, run_end(number)
    if not created:
        return
    if request.linked:
        yield lineage.LINKED, version_end(request.linked)
    for serial in dict.fromkeys(request.included):
        yield lineage.INCLUDED, version_end(serial)
    if request.base is not None:
        reference = parse_reference(request.base)
        artifact = catalogue.find_name(transaction, reference.name)
        if artifact is not None and reference.version is not None:
            base = catalogue.serial_of(transaction, artifact.number, reference.version)
            if base is not None:
                yield lineage.BASE, version_end(base)


def _add_edges(
    transaction: WriteTransaction,
    sources: Iterable[tuple[str, End]],
    artifact: ArtifactRecord,
    version: VersionRecord,
    now_ns: int,
) -> list[EdgeEvent]:
    """Record the sources of a version, as (kind, end); return the events for the journal.

    Raises `NotFoundError` if a run or version does not exist.
    """
    target = f"{artifact.name}:{version_label(version.number)}"
    events = []
    for kind, source in sources:
        edge = Edge(source, kind, version_end(version.serial))
        record = EdgeRecord(now_ns, end_title(transaction, source), target)
        if lineage.put_edge(transaction, edge, record):
            events.append(edge_event(edge, record))
    return events


def _with_type(artifact: ArtifactRecord, request: str | None) -> ArtifactRecord:
    if request is None or request == artifact.type:
        return artifact
    if artifact.type is not None:
        raise RefusedError(
            f"{artifact.name!r} has the type {artifact.type!r}, not {request!r}",
            hint=f"omit --type, or change it for all versions: artfs artifact set-type {artifact.name} {request}",
        )
    return replace(artifact, type=request)


def _same(latest: VersionRecord, root: Ref, request: Commit) -> bool:
    return (
        latest.digest == root.digest
        and (request.metadata is None or equal_metadata(given(request.metadata), given(latest.metadata)))
        and (request.description is None or request.description == latest.description)
    )


def _record(
    transaction: WriteTransaction,
    artifact: ArtifactRecord,
    number: int,
    root: Ref,
    request: Commit,
    new_bytes: int,
    now_ns: int,
    newest_ns: int,
) -> VersionRecord:
    state = transaction.state
    view = tree_view(transaction, root.node)
    mtime_ns = now_ns if request.mtime_ns is None else request.mtime_ns
    version = VersionRecord(
        serial=state.next_serial,
        artifact=artifact.number,
        number=number,
        root=root.node,
        digest=view.digest,
        form=view.form,
        created_ns=request.created_ns or now_ns,
        mtime_ns=mtime_ns,
        mode=request.mode,
        newest_ns=max(newest_ns, view.totals.newest_ns, mtime_ns, now_ns),
        files=view.total_files,
        bytes=view.total_bytes,
        mount=state.next_serial,
        new_bytes=new_bytes,
        description=request.description or "",
        metadata=request.metadata or {},
        base=request.base,
        draft=request.draft,
        origin=request.origin if read_settings(transaction).record_origin else {},
    )
    state.next_serial += 1
    state.versions += 1
    state.logical_bytes += version.bytes
    return version
