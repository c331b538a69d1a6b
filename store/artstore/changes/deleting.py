"""Deleting versions, and undeleting them during the undelete window.

Deleting a version is one transaction of constant size: its record is marked as deleted, its root is added to the
deadlist with the end of the undelete window, and its aliases are released.  No node and no count changes, because the
deadlist takes over the reference that the version held.  Undeleting returns it to the version.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from artstore import daemon_requests
from artstore.changes.version_ranges import select
from artstore.clock import utc
from artstore.daemon_requests import Change, parent_changes
from artstore.errors import InvalidInputError, NotFoundError, RefusedError
from artstore.names import parse_reference, parse_version_label, version_label
from artstore.queries.versions import Version
from artstore.records.catalogue import ArtifactRecord, VersionRecord
from artstore.records.deadlist import DeadEntry
from artstore.records.events import AliasEvent, DeleteEvent, Event, TtlEvent, UndeleteEvent
from artstore.rows import catalogue, deadlist, drafts, lineage
from artstore.rows.catalogue import label
from artstore.rows.planner import Plan, plan_after_backlog
from artstore.rows.settings import read_settings
from artstore.storage import journal
from artstore.storage.manifest import ReadTransaction, WriteTransaction
from artstore.storage.reserve import with_reserve
from artstore.store import Store

if TYPE_CHECKING:
    from artstore.reclaim.reaper import InUse

__all__ = ["Cascade", "Deletion", "RemoteDeletion", "Undeletion", "delete", "undelete"]

_BATCH: Final = 1000
"""Versions that one transaction deletes."""
_MOST_NAMED: Final = 20

Cascade = Literal["no", "delete", "orphan"]
"""The treatment of versions made from the deleted ones: they prevent the deletion, are deleted too, or are kept."""


@dataclass(frozen=True, slots=True)
class RemoteDeletion:
    """The part of a deletion in a remote: the versions by their names there, which can be undeleted until ``due_at``.

    A dry run has the bytes that a collection there frees then, once no other version needs them; else it is None.
    """

    remote: str
    versions: list[str]
    due_at: datetime | None = None
    freed_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Deletion:
    """The result of a deletion, or of its dry run.

    ``versions`` and released ``aliases`` are written ``NAME:v3`` and ``NAME:ALIAS``.  ``freed_bytes`` are the stored
    bytes that are freed once all versions are reaped, ``reaped_bytes`` those that are freed before the call returns.
    The versions can be
    undeleted until ``due_at``; None if they cannot.  ``in_use`` names the users that prevent a version from being
    reaped, and ``silent`` the mounts that did not answer.  ``remotes`` has what was deleted in remotes.
    """

    versions: list[str]
    freed_bytes: int
    aliases: list[str] = field(default_factory=list)
    due_at: datetime | None = None
    reaped_bytes: int = 0
    in_use: list[str] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)
    dry_run: bool = False
    remotes: list[RemoteDeletion] = field(default_factory=list)

    def __repr__(self) -> str:
        return f"<Deletion of {_shortened(self.versions)}, {self.freed_bytes} bytes>"


@dataclass(frozen=True, slots=True)
class Undeletion:
    """An undeleted version, its restored ``aliases``, and those ``skipped`` because they name other versions now.

    ``silent`` are the mounts that did not answer.
    """

    version: Version
    aliases: list[str]
    skipped_aliases: list[str]
    silent: list[str]


def _shortened(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


class _Doomed(NamedTuple):
    artifact: ArtifactRecord
    version: VersionRecord

    @property
    def name(self) -> str:
        return f"{self.artifact.name}:{version_label(self.version.number)}"


def delete(
    store: Store,
    refs: Sequence[str],
    *,
    force: bool,
    now: bool,
    dry_run: bool,
    recursive: bool,
    cascade: Cascade = "no",
    reasons: Mapping[int, str] | None = None,
) -> Deletion:
    """Delete versions, all or none; see `Workspace.delete`.  ``reasons``, by serial, are recorded."""
    with store.snapshot() as snapshot:
        transaction = snapshot.transaction
        doomed = [_Doomed(*pair) for pair in select(transaction, refs, recursive=recursive)]
        if cascade == "delete":
            doomed = _with_dependants(transaction, doomed)
        aliases = _released(transaction, store.run_dir, doomed, force, cascade)
        window = read_settings(transaction).undelete_seconds
        plan = _plan_of(store, transaction)
        freed = sum(plan.release([target.version.root]).bytes for target in doomed)
        planned_in = snapshot.number
    due_ns = time.time_ns() + (0 if now else int(window * 1e9))
    due_at = utc(due_ns) if window and not now else None
    names = [target.name for target in doomed]
    if dry_run:
        reaped_bytes, in_use = _reaped_at_once(store, doomed) if now else (0, [])
        return Deletion(names, freed, aliases, due_at, reaped_bytes, in_use, dry_run=True)
    entries: list[DeadEntry] = []
    changes: list[Change] = []
    last = planned_in
    together = frozenset(target.version.serial for target in doomed)

    def commit(batch: Sequence[_Doomed]) -> int:
        told: list[Change] = []
        with store.write() as transaction:
            added = _delete_batch(store, transaction, batch, force, cascade, together, due_ns, told, reasons or {})
            number = transaction.number
        entries.extend(added)  # only now: a batch that meets a full disk is committed again
        changes.extend(told)
        return number

    for start in range(0, len(doomed), _BATCH):
        last = with_reserve(store.path, partial(commit, doomed[start : start + _BATCH]))
    if last == planned_in + -(-len(doomed) // _BATCH):
        _plans[store.path] = (store.folder_identity, last, plan)
    silent = [daemon.mountpoint for daemon in daemon_requests.notify(store.run_dir, changes)]
    deletion = Deletion(names, freed, aliases, due_at, silent=silent)
    if now:
        from artstore.reclaim.reaper import reap

        reaped = reap(store, now=True, only=frozenset(entry.number for entry in entries))
        in_use = [f"{_name_in(doomed, use)}: {use.by}" for use in reaped.in_use]
        deletion = replace(deletion, reaped_bytes=reaped.freed_bytes, in_use=in_use)
    return deletion


def _reaped_at_once(store: Store, doomed: Sequence[_Doomed]) -> tuple[int, list[str]]:
    """Return what reaping versions at once frees while other deleted versions keep theirs, and who uses some of them.

    Files that are open under a mount are found by the deletion only: until then every look-up leads to them.
    """
    from artstore.reclaim import leases
    from artstore.reclaim.reaper import OPEN_IN_PYTHON

    held = {target.version.serial for target in doomed if leases.is_held(store, target.version.serial)}
    with store.snapshot() as snapshot:
        plan = Plan(snapshot.transaction)
        roots = [target.version.root for target in doomed if target.version.serial not in held]
        in_use = [f"{target.name}: {OPEN_IN_PYTHON}" for target in doomed if target.version.serial in held]
        return plan.release(roots).bytes, in_use


def _name_in(doomed: list[_Doomed], use: InUse) -> str:
    return next(target.name for target in doomed if target.version.serial == use.serial)


_plans: dict[Path, tuple[tuple[int, int], int, Plan]] = {}
"""By workspace: its folder, a transaction, and the plan of all deleted content as of it, for a series of deletions."""


def _plan_of(store: Store, transaction: ReadTransaction) -> Plan:
    """Return a plan that has already released everything on the deadlist."""
    kept = _plans.pop(store.path, None)
    if kept is not None and kept[:2] == (store.folder_identity, transaction.number):
        kept[2].move_to(transaction)
        return kept[2]
    return plan_after_backlog(transaction)[0]


def _with_dependants(transaction: ReadTransaction, doomed: Sequence[_Doomed]) -> list[_Doomed]:
    """Return versions, followed by all living versions made from them, directly or indirectly."""
    targets = {target.version.serial: target for target in doomed}
    waiting = list(doomed)
    while waiting:
        for version, _ in lineage.dependants(transaction, waiting.pop().version):
            artifact = catalogue.artifact(transaction, version.artifact)
            if version.serial not in targets and artifact is not None:
                targets[version.serial] = _Doomed(artifact, version)
                waiting.append(targets[version.serial])
    return list(targets.values())


def _dependants(transaction: ReadTransaction, doomed: Sequence[_Doomed], together: Collection[int]) -> list[str]:
    """Return a phrase for each living version that was made from a deleted one and is not deleted with it."""
    return [
        f"{label(transaction, version)} {how.replace(' it', f' {target.name}')}"
        for target in doomed
        for version, how in lineage.dependants(transaction, target.version)
        if version.serial not in together
    ]


def _released(
    transaction: ReadTransaction,
    run_dir: Path,
    doomed: Sequence[_Doomed],
    force: bool,
    cascade: Cascade,
    together: Collection[int] | None = None,
) -> list[str]:
    """Return the aliases that are released with versions; raise `RefusedError` naming all obstacles to the deletion.

    ``deleted`` are the serials of all versions of the deletion, of which these may be a part.
    """
    aliases_by_version = _aliases(transaction, doomed)
    aliases = [
        (target, name)
        for target in doomed
        for name in aliases_by_version.get((target.artifact.number, target.version.number), [])
        if parse_version_label(name) is None  # a pending version that has landed left it
    ]
    settings = read_settings(transaction)
    protected = [
        f"{target.name} has the protected alias {name!r}" for target, name in aliases if settings.protects(name)
    ]
    if protected:
        raise RefusedError(
            f"nothing was deleted: {'; '.join(protected)}",
            hint="remove the alias first: artfs alias rm --force",
        )
    serials = {target.version.serial: target for target in doomed}
    depending = _dependants(transaction, doomed, together or serials) if cascade != "orphan" else []
    if depending:
        more = f"; and {len(depending) - _MOST_NAMED} more" if len(depending) > _MOST_NAMED else ""
        raise RefusedError(
            f"nothing was deleted: {'; '.join(depending[:_MOST_NAMED])}{more}",
            hint="--cascade also deletes those; --cascade=orphan keeps them without their inputs",
        )
    if force:
        return [f"{target.artifact.name}:{name}" for target, name in aliases]
    refusals = [f"{target.name} has the alias {name!r}" for target, name in aliases]
    refusals += [
        f"{serials[draft.base].name} is the base of {draft.title}"
        for draft in drafts.list_drafts(transaction, run_dir)
        if draft.alive and draft.base in serials
    ]
    if refusals:
        raise RefusedError(
            f"nothing was deleted: {'; '.join(refusals)}",
            hint="--force deletes them anyway; to move an alias: artfs alias set",
        )
    return []


def _aliases(transaction: ReadTransaction, doomed: Sequence[_Doomed]) -> dict[tuple[int, int], list[str]]:
    """Return the aliases of all affected artifacts, by artifact and version number."""
    names: dict[tuple[int, int], list[str]] = {}
    for artifact in {target.artifact.number for target in doomed}:
        for alias in catalogue.aliases_of(transaction, artifact):
            names.setdefault((artifact, alias.version), []).append(alias.name)
    return names


def _delete_batch(
    store: Store,
    transaction: WriteTransaction,
    doomed: Sequence[_Doomed],
    force: bool,
    cascade: Cascade,
    together: Collection[int],
    due_ns: int,
    changes: list[Change],
    reasons: Mapping[int, str],
) -> list[DeadEntry]:
    """Delete some versions in one transaction, unless an obstacle has appeared; note what mounts have to invalidate."""
    _released(transaction, store.run_dir, doomed, force, cascade, together)
    aliases = _aliases(transaction, doomed)
    entries, events = [], []
    by_artifact: dict[int, tuple[ArtifactRecord, list[str]]] = {}
    for artifact, version in doomed:
        current = catalogue.version(transaction, version.serial)
        if current is None:
            raise NotFoundError(f"{artifact.name}:{version_label(version.number)} has been deleted in the meantime")
        current = replace(current, reason=reasons.get(version.serial, ""))
        entry, event, names = _delete_one(transaction, artifact, current, due_ns, aliases)
        entries.append(entry)
        events.append(event)
        by_artifact.setdefault(artifact.number, (artifact, ["latest"]))[1].extend(names)
    for artifact, names in by_artifact.values():
        changes.append(Change(artifact.name, names))
        if catalogue.newest(transaction, artifact.number) is None:
            for retired in catalogue.retire(transaction, artifact):
                above, _, component = retired.rpartition("/")
                changes.append(Change(above, [component]))
    journal.append(store.path, transaction, events)
    return entries


def _delete_one(
    transaction: WriteTransaction,
    artifact: ArtifactRecord,
    version: VersionRecord,
    due_ns: int,
    aliases_by_version: dict[tuple[int, int], list[str]],
) -> tuple[DeadEntry, DeleteEvent, list[str]]:
    """Delete one version; return its entry, the journal's event, and the removed names."""
    aliases = aliases_by_version.get((artifact.number, version.number), [])
    for alias in aliases:
        catalogue.remove_alias(transaction, artifact.number, alias)
    entry = deadlist.add_entry(
        transaction,
        [version.root],
        due_ns,
        serial=version.serial,
        artifact=artifact.number,
        version=version.number,
    )
    deleted = replace(
        version,
        state="deleted",
        deleted_ns=entry.added_ns,
        due_ns=due_ns,
        entry=entry.number,
        released_aliases=aliases,
    )
    catalogue.put_version(transaction, deleted)
    transaction.state.versions -= 1
    transaction.state.logical_bytes -= version.bytes
    event = DeleteEvent(
        name=artifact.name,
        version=version.number,
        serial=version.serial,
        due_ns=due_ns,
        aliases=aliases,
        reason=version.reason,
    )
    return entry, event, [version_label(version.number), *aliases]


def undelete(store: Store, refs: Sequence[str]) -> list[Undeletion]:
    """Undelete versions ``NAME:v3``, all or none, with those of their aliases that no other version has now.

    An expiry time that has passed is removed.  Raises `NotFoundError` if one never existed or is being reaped,
    `RefusedError` if it is not deleted, and `InvalidInputError` if a reference has no version's number or its name has
    become a project.
    """
    references = [_numbered(ref) for ref in dict.fromkeys(refs)]
    restored, changes = with_reserve(store.path, partial(_restore_all, store, references))
    silent = [daemon.mountpoint for daemon in daemon_requests.notify(store.run_dir, changes)] if changes else []
    return [
        Undeletion(Version(store, artifact.name, version, artifact.type), free, taken, silent)
        for artifact, version, free, taken in restored
    ]


def _restore_all(store: Store, references: Sequence[tuple[str, int]]) -> tuple[list[_Restored], list[Change]]:
    changes: list[Change] = []
    with store.write() as transaction:
        return [_restore(store, transaction, name, number, changes) for name, number in references], changes


def _numbered(ref: str) -> tuple[str, int]:
    reference = parse_reference(ref)
    if reference.version is None or reference.path:
        raise InvalidInputError(
            f"{ref!r} does not name a version by number",
            hint=f"write {reference.name}:v3; 'artfs log {reference.name}' lists them",
        )
    return reference.name, reference.version


class _Restored(NamedTuple):
    artifact: ArtifactRecord
    version: VersionRecord
    free: list[str]
    taken: list[str]


def _restore(store: Store, transaction: WriteTransaction, name: str, number: int, changes: list[Change]) -> _Restored:
    """Undelete one version; add the listings of a mount that change."""
    artifact = catalogue.find_name(transaction, name) or catalogue.find_retired(transaction, name)
    if artifact is None or not artifact.is_artifact:
        raise NotFoundError(
            f"there is no artifact {name!r}, and no deleted one that can be restored", hint="list what exists: artfs ls"
        )
    was_retired = catalogue.find_name(transaction, name) is None
    artifact = catalogue.ensure_artifact(transaction, name, time.time_ns())
    version, entry = _deleted_version(transaction, artifact, number, f"{name}:{version_label(number)}")
    deadlist.remove_entry(transaction, entry)
    ended = 0 < version.expires_ns <= time.time_ns()
    restored = replace(
        version,
        state="live",
        deleted_ns=0,
        due_ns=0,
        entry=0,
        released_aliases=[],
        reason="",
        expires_ns=0 if ended else version.expires_ns,
    )
    catalogue.put_version(transaction, restored)
    transaction.state.versions += 1
    transaction.state.logical_bytes += version.bytes
    taken = [
        alias
        for alias in version.released_aliases
        if catalogue.alias_by_name(transaction, artifact.number, alias) is not None
    ]
    free = [alias for alias in version.released_aliases if alias not in taken]
    catalogue.set_aliases(transaction, artifact.number, number, free, time.time_ns())
    events: list[Event] = [UndeleteEvent(name=name, version=number)]
    if ended:
        events.append(TtlEvent(name=name, version=number, expires_ns=0))
    events += [AliasEvent(name=name, alias=alias, version=number) for alias in free]
    journal.append(store.path, transaction, events)
    changes.append(Change(name, [version_label(number), "latest", *free]))
    if was_retired:
        changes += parent_changes(name)
    return _Restored(artifact, restored, free, taken)


def _deleted_version(
    transaction: WriteTransaction, artifact: ArtifactRecord, number: int, label: str
) -> tuple[VersionRecord, DeadEntry]:
    record = catalogue.recorded_by_number(transaction, artifact.number, number)
    if record is None:
        if artifact.has_given(number):
            raise NotFoundError(f"{label} can no longer be restored: its space has been freed or is being freed")
        raise NotFoundError(f"{label} never existed", hint=f"list the versions: artfs log {label.partition(':')[0]}")
    if record.state == "live":
        raise RefusedError(f"{label} is not deleted", hint=f"see its history: artfs log {label.partition(':')[0]}")
    entry = deadlist.find_entry(transaction, record.due_ns, record.entry)
    if entry is None or entry.started:
        raise NotFoundError(f"{label} can no longer be restored: its space is being freed")
    return record, entry
