"""Pushing, fetching and pulling: which versions, in which order, and what became of each.

Each version is pushed or pulled as a whole (`artstore.remotes.pushing`, `artstore.remotes.cloning`); a stop in between
leaves whole versions, and the same call goes on with the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from artstore.changes.version_ranges import select
from artstore.clock import utc
from artstore.creating import create_workspace
from artstore.errors import ExistsError, InvalidInputError, NotFoundError, OutsideError, WorkspaceNotFoundError
from artstore.ids import content_id
from artstore.names import LATEST, check_name, is_pending, parse_version_label, version_label
from artstore.objects.opening import address_of
from artstore.progress import Progress
from artstore.records.catalogue import ArtifactRecord, VersionRecord
from artstore.records.remotes import PENDING, Counterpart, RemoteRecord
from artstore.records.tables import Table
from artstore.records.uris import shown_uri
from artstore.remotes.adding import open_objects, open_remote
from artstore.remotes.alignment import align
from artstore.remotes.cloning import pull_version
from artstore.remotes.connecting import DEFAULT, choose, connect, join, note_position, require_writable
from artstore.remotes.connection import Connection
from artstore.remotes.following import Followed, follow
from artstore.remotes.lazy.cache import folder_of_user
from artstore.remotes.log.state import DELETED, LIVE, State, VersionRow
from artstore.remotes.pushing import plan_push, push_version
from artstore.remotes.showing import show
from artstore.rows import catalogue, lineage
from artstore.rows import remotes as rows
from artstore.rows.lineage import BASE, INCLUDED, LINKED, version_end
from artstore.rows.views import ONLY
from artstore.storage.manifest import ReadTransaction
from artstore.store import Store

__all__ = [
    "DeletedVersion",
    "Fetched",
    "Pulled",
    "Pushed",
    "RemoteArtifact",
    "Transferred",
    "clone",
    "fetch",
    "mounted_clone",
    "pull",
    "push",
]

_GLOB: Final = frozenset("*?[")


@dataclass(frozen=True, slots=True)
class Transferred:
    """A version that was pushed or pulled: its local name, and its name in the remote.

    ``is_new`` says that it was not there before; ``sent_bytes`` are the stored bytes of content that were sent for it.
    """

    name: str
    remote_name: str
    is_new: bool
    sent_bytes: int = 0


OnVersion = Callable[[Transferred], None]
OnProgress = Callable[[Progress], None]


class _Meter:
    """Add up the bytes of a version, for a progress bar."""

    def __init__(self, progress: OnProgress | None, phase: str, name: str, total: int | None, done: int = 0) -> None:
        self._progress = progress
        self._phase, self._name, self._total = phase, name, total
        self.done = done

    def add(self, length: int) -> None:
        """Add bytes, and report the sum."""
        self.done += length
        if self._progress is not None:
            self._progress(Progress(self._phase, 0, self.done, None, self._total, self._name))


@dataclass(slots=True)
class Pushed:
    """What was pushed to a remote; of a dry run the most bytes and objects that a push would send.

    ``lost`` has a sentence for each change of a name or alias that another machine was first to change.
    """

    remote: str
    versions: list[Transferred] = field(default_factory=list)
    sent_bytes: int = 0
    objects: int = 0
    dry_run: bool = False
    lost: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Pulled:
    """What was pulled from a remote; ``lost`` is that of `Pushed`."""

    remote: str
    versions: list[Transferred] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class RemoteArtifact:
    """An artifact of a remote: the numbers of its living versions, and of those that are local too."""

    name: str
    type: str | None
    versions: list[int]
    local: list[int]
    bytes: int


@dataclass(frozen=True, slots=True)
class DeletedVersion:
    """A version that was deleted in a remote: ``by`` whom (``user@host``), when, and by which retention rule, or "".

    It can be restored until it is collected, which is not before ``due_at``; None if there was no undelete window.
    """

    name: str
    by: str
    at: datetime
    reason: str
    due_at: datetime | None


@dataclass(frozen=True, slots=True)
class Fetched:
    """The artifacts of a remote by name, and the number of entries that its log has.

    ``deleted`` are the versions there that can be restored; ``followed`` is what became of their copies here.  ``lost``
    is that of `Pushed`.
    """

    remote: str
    url: str
    entries: int
    artifacts: list[RemoteArtifact]
    deleted: list[DeletedVersion] = field(default_factory=list)
    followed: Followed = field(default_factory=Followed)
    lost: list[str] = field(default_factory=list)


# -- clone -------------------------------------------------------------------------------------------------------------


def clone(url: str, path: Path, *, read_only: bool = False, anonymous: bool = False) -> Store:
    """Make a workspace at ``path`` that has the remote at ``url`` as ``origin`` and shows all that it has.

    No content is read, and the store is not probed: its remote says what its probe found.  A workspace without
    artifacts and remotes is taken: a clone that was killed leaves one.

    Raises `ExistsError` if the path is in use, `NotFoundError` if there is no remote, and what
    `artstore.remotes.adding.add` raises; nothing is made where the remote cannot be read.
    """
    objects, identity = open_remote(url, read_only=read_only, anonymous=anonymous)
    store = _new_workspace(path)
    join(store, DEFAULT, objects, identity, read_only=read_only, anonymous=anonymous)
    return store


def _new_workspace(path: Path) -> Store:
    """Make a workspace, or return the one at a path that nothing was put into yet."""
    try:
        return create_workspace(path)
    except ExistsError:
        with suppress(WorkspaceNotFoundError):
            store = Store.open(path)
            with store.snapshot() as snapshot:
                if not catalogue.all_artifacts(snapshot.transaction) and not rows.all_remotes(snapshot.transaction):
                    return store
        raise


def mounted_clone(url: str, *, anonymous: bool = False) -> Path:
    """Return the workspace of this user that shows the remote at ``url``, and nothing else; made at the first call.

    It lies in the cache folder of the user and takes no versions.  It shows what the log has now; if the remote cannot
    be reached, what it had when it was read last.  Raises what `clone` raises.
    """
    open_objects(url, read_only=True, anonymous=anonymous)
    name = content_id(address_of(url).encode()).hex()[:32]
    path = folder_of_user().with_name("mounts") / name
    try:
        store = Store.open(path)
        choose(store, None)
    except NotFoundError:  # there is none, or one whose clone was killed
        with suppress(ExistsError):  # another process makes it at this moment
            store = clone(url, path, read_only=True, anonymous=anonymous)
            with store.write() as transaction:
                transaction.put(Table.VIEWS, ONLY, shown_uri(url).encode())
        return path
    with suppress(OutsideError):
        fetch(store)
    return path


# -- push --------------------------------------------------------------------------------------------------------------


def push(
    store: Store,
    refs: Sequence[str],
    remote: str | None = None,
    *,
    every: bool = False,
    dry_run: bool = False,
    if_latest: str | None = None,
    adopt: bool = False,
    on_version: OnVersion | None = None,
    progress: OnProgress | None = None,
) -> Pushed:
    """Push versions with their aliases, in the order in which they were made; ``on_version`` is called for each.

    A reference is ``NAME`` or a glob of names (all living versions), or what `artstore.changes.version_ranges.select`
    takes; ``every`` selects all artifacts.  What these include, link to or are based on is pushed too.  A version that
    is there already is not sent again.  ``progress`` is called when an object was acknowledged.  With ``if_latest``
    (``v4``) nothing is pushed unless that is the latest version there; ``adopt`` appends to artifacts of the same name
    and another origin.

    Raises `NotFoundError` for an unknown remote or version, `RefusedError` for a remote that is read-only, and what
    `artstore.remotes.pushing.push_version` raises: the versions before that are pushed then.
    """
    uuid, record = choose(store, remote)
    require_writable(record)
    with store.snapshot() as snapshot:
        chosen = _with_sources(snapshot.transaction, _selected(snapshot.transaction, refs, every), uuid)
        expected = _expected(if_latest, chosen)
        there = {
            version.serial: rows.counterparts_of(snapshot.transaction, version.serial).get(uuid)
            for _, version in chosen
        }
    pushed = Pushed(record.name, dry_run=dry_run)
    pushes = _Pushes(store, uuid, record, pushed, expected, adopt, progress)
    try:
        for artifact, version in chosen:
            done = pushes.push(artifact, version, there[version.serial])
            pushed.versions.append(done)
            pushed.sent_bytes += done.sent_bytes
            if on_version is not None:
                on_version(done)
        if not dry_run:
            pushed.lost += align(store, pushes.opened(), push={artifact.number for artifact, _ in chosen})
    finally:
        if pushes.connection is not None and not dry_run:
            note_position(store, pushes.connection)
    return pushed


class _Pushes:
    """The pushes of one call, which connect when the first one needs it."""

    def __init__(
        self,
        store: Store,
        uuid: bytes,
        record: RemoteRecord,
        pushed: Pushed,
        expected: int | None,
        adopt: bool,
        progress: OnProgress | None,
    ) -> None:
        self.connection: Connection | None = None
        self._store, self._uuid, self._record = store, uuid, record
        self._pushed = pushed
        self._expected, self._adopt = expected, adopt
        self._progress = progress
        self._sent = 0

    def opened(self) -> Connection:
        """Return the remote, opened by the first call."""
        if self.connection is None:
            self.connection = connect(self._store, self._uuid, self._record)
        return self.connection

    def push(self, artifact: ArtifactRecord, version: VersionRecord, known: Counterpart | None) -> Transferred:
        """Push a version, or plan to; ``known`` is what it is in the remote as far as this workspace knows."""
        name = f"{artifact.name}:{version_label(version.number)}"
        if known is not None and known.way != PENDING and not is_pending(version.number):
            return Transferred(name, f"{artifact.name}:{version_label(known.number)}", is_new=False)
        connection, pushed = self.opened(), self._pushed
        if pushed.dry_run:
            planned = plan_push(self._store, connection, artifact, version)
            pushed.sent_bytes, pushed.objects = pushed.sent_bytes + planned.bytes, pushed.objects + planned.objects
            return Transferred(name, name, is_new=planned.objects > 0)
        meter = _Meter(self._progress, "sending", name, None, self._sent)
        result = push_version(
            self._store,
            connection,
            artifact,
            version,
            on_sent=meter.add,
            if_latest=self._expected,
            adopt=self._adopt,
        )
        self._sent = meter.done
        self._expected = None if self._expected is None else result.row.number
        title = connection.state.title(result.row.artifact, result.row.number)
        return Transferred(name, title, is_new=result.created, sent_bytes=result.sent)


def _expected(if_latest: str | None, chosen: Sequence[tuple[ArtifactRecord, VersionRecord]]) -> int | None:
    """Return the number of the version that has to be the latest one in the remote."""
    if if_latest is None:
        return None
    number = parse_version_label(if_latest)
    if number is None or is_pending(number):
        raise InvalidInputError(f"{if_latest!r} is not a version number", hint="such as v4")
    if len({artifact.number for artifact, _ in chosen}) > 1:
        raise InvalidInputError("a version to be the latest one can be given for a push of one artifact only")
    return number


def _with_sources(
    transaction: ReadTransaction, chosen: Sequence[tuple[ArtifactRecord, VersionRecord]], remote: bytes
) -> list[tuple[ArtifactRecord, VersionRecord]]:
    """Return versions, and what they include, link to or are based on and the remote lacks, in the order of serials."""
    found = {version.serial: (artifact, version) for artifact, version in chosen}
    waiting = list(found)
    while waiting:
        for edge, _ in lineage.edges_to(transaction, version_end(waiting.pop())):
            serial = edge.source.number
            if edge.kind not in (BASE, INCLUDED, LINKED) or serial in found:
                continue
            version, there = catalogue.version(transaction, serial), rows.counterparts_of(transaction, serial)
            artifact = None if version is None else catalogue.artifact(transaction, version.artifact)
            if version is None or artifact is None or (remote in there and there[remote].way != PENDING):
                continue
            found[serial] = (artifact, version)
            waiting.append(serial)
    return [found[serial] for serial in sorted(found)]


def _selected(
    transaction: ReadTransaction, refs: Sequence[str], every: bool
) -> list[tuple[ArtifactRecord, VersionRecord]]:
    """Return the living versions that references select, each once, in the order in which they were made."""
    artifacts = catalogue.all_artifacts(transaction)
    chosen: dict[int, tuple[ArtifactRecord, VersionRecord]] = {}

    def take(names: list[ArtifactRecord]) -> None:
        for artifact in names:
            chosen.update({one.serial: (artifact, one) for one in catalogue.versions_of(transaction, artifact.number)})

    if every:
        take(artifacts)
    for ref in refs:
        name, colon, _ = ref.partition(":")
        if colon:
            chosen.update({version.serial: (artifact, version) for artifact, version in select(transaction, [ref])})
        elif _GLOB & set(name):
            matching = [artifact for artifact in artifacts if fnmatchcase(artifact.name, name)]
            if not matching:
                raise NotFoundError(f"no artifact matches {name!r}", hint="list them: artfs ls")
            take(matching)
        else:
            chosen.update({one.serial: (each, one) for each, one in select(transaction, [ref], recursive=True)})
    return [chosen[serial] for serial in sorted(chosen)]


# -- fetch and pull ----------------------------------------------------------------------------------------------------


def fetch(store: Store, remote: str | None = None) -> Fetched:
    """Read a remote's log on; return what is there.  No content is read."""
    uuid, record = choose(store, remote)
    connection = connect(store, uuid, record)
    note_position(store, connection)
    followed = follow(store, connection)
    lost = align(store, connection)
    with store.snapshot() as snapshot:
        told = rows.read_tracking(snapshot.transaction).versions
    local = {there.uuid for (_, known), there in told.items() if known == uuid and there.way != PENDING}
    state = connection.state
    artifacts = []
    for artifact in sorted(state.artifacts.values(), key=lambda row: row.name):
        living = [row for row in _living(state) if row.artifact == artifact.uuid]
        if living:
            artifacts.append(
                RemoteArtifact(
                    artifact.name,
                    artifact.type or None,
                    [row.number for row in living],
                    [row.number for row in living if row.uuid in local],
                    sum(row.bytes for row in living),
                )
            )
    return Fetched(record.name, record.url, state.number, artifacts, list(_deleted(state)), followed, lost)


def _deleted(state: State) -> Iterator[DeletedVersion]:
    """Yield the versions of the log that are deleted and not collected, by name and number."""
    deleted = [row for row in state.versions.values() if row.state == DELETED]
    for row in sorted(deleted, key=lambda row: (state.artifacts[row.artifact].name, row.number)):
        machine = state.machines.get(row.changed.machine)
        by = machine.by if machine is not None and machine.by else f"machine {row.changed.machine.hex()[:8]}"
        due_at = utc(row.due_ns) if row.due_ns else None
        title = state.title(row.artifact, row.number)
        yield DeletedVersion(title, by, utc(row.changed.at_ns), row.reason, due_at)


def pull(
    store: Store,
    refs: Sequence[str],
    remote: str | None = None,
    *,
    every: bool = False,
    on_version: OnVersion | None = None,
    progress: OnProgress | None = None,
) -> Pulled:
    """Make versions of a remote local for good, in the log's order; ``on_version`` is called for each.

    A reference is ``NAME`` (the latest version), ``NAME:v3``, ``NAME:ALIAS`` or ``NAME:GLOB``; ``every`` selects all
    living versions.  Raises `NotFoundError` for an unknown remote or version, and what
    `artstore.remotes.cloning.pull_version` raises: the versions before that are local then.
    """
    uuid, record = choose(store, remote)
    connection = connect(store, uuid, record)
    note_position(store, connection)
    follow(store, connection)
    lost = align(store, connection)
    state = connection.state
    wanted = {row.uuid: row for row in (_living(state) if every else ())}
    for ref in refs:
        wanted.update({row.uuid: row for row in _matching(state, ref, record.name)})
    with store.snapshot() as snapshot:
        tracked = rows.read_tracking(snapshot.transaction).versions
    local = {there.uuid for (_, known), there in tracked.items() if known == uuid}
    pulled = Pulled(record.name, lost=lost)
    for row in sorted(wanted.values(), key=lambda row: row.place):
        title = state.title(row.artifact, row.number)
        is_new = row.uuid not in local
        meter = _Meter(progress, "fetching", title, row.bytes)
        version = pull_version(store, connection, row, on_bytes=meter.add)
        with store.snapshot() as snapshot:
            done = Transferred(catalogue.label(snapshot.transaction, version), title, is_new=is_new)
        pulled.versions.append(done)
        if on_version is not None:
            on_version(done)
    pulled.lost += [sentence for sentence in align(store, connection) if sentence not in pulled.lost]
    show(store, connection)
    return pulled


def _living(state: State) -> Iterator[VersionRow]:
    for _, row in sorted(state.versions.items()):
        if row.state == LIVE:
            yield row


def _matching(state: State, ref: str, remote: str) -> list[VersionRow]:
    """Return the living versions of the log that a reference selects."""
    name, colon, selector = ref.partition(":")
    artifact = state.artifact(check_name(name))
    living = [row for row in _living(state) if artifact is not None and row.artifact == artifact.uuid]
    hint = f"list what is there: artfs fetch {remote}"
    if artifact is None or not living:
        raise NotFoundError(f"the remote {remote!r} has no artifact {name!r}", hint=hint)
    if not colon or selector == LATEST:
        return living[-1:]
    number = parse_version_label(selector)
    found = [
        row
        for row in living
        if row.number == number
        or any(
            fnmatchcase(label, selector) if _GLOB & set(selector) else label == selector
            for label in (version_label(row.number), *state.aliases_of(artifact.uuid, row.number))
        )
    ]
    if not found:
        raise NotFoundError(f"the remote {remote!r} has no {ref}", hint=hint)
    return found
