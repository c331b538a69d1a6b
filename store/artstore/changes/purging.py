"""Purging: content is permanently removed from every version that holds it, and overwritten before its space is freed.

Versions keep their numbers and aliases.  Each gets a new root without the content, and so a new digest; its record
keeps what was removed, when and why, with the previous digest.  Each version takes one transaction: an interrupted
purge resumes when it is run again with the digest.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any, Self

from artstore import daemon_requests
from artstore.clock import utc
from artstore.daemon_requests import Change, PurgedEntry
from artstore.errors import BusyError, DamageError, InvalidInputError, NotFoundError, RefusedError
from artstore.ingest.batch import Ref, StaleHintError
from artstore.ingest.building import DirectoryBuilder, directory_entry
from artstore.ingest.staging import Stager, draft_of
from artstore.queries.resolving import is_digest, resolve_recorded
from artstore.reclaim.reaper import forget_references, reap
from artstore.records.catalogue import VersionRecord
from artstore.records.events import PurgeEvent
from artstore.records.packing import CLASS_CONTENT, CLASS_ROOT_LIST, PackedEntry
from artstore.records.tables import Table, number32, pack_end
from artstore.records.trees import Kind
from artstore.rows import catalogue, deadlist, drafts, space
from artstore.rows.catalogue import label
from artstore.rows.nodes import children_of, find_node, node_extent, node_payload, tree_view
from artstore.rows.planner import Plan
from artstore.rows.reachability import Holders, Place, Reach, below, find_holders, places
from artstore.rows.snapshot import Snapshot
from artstore.rows.trees import entries_from
from artstore.storage import journal
from artstore.storage.manifest import ReadTransaction, WriteTransaction
from artstore.storage.packs import pack_path, read_segments
from artstore.storage.reserve import with_reserve
from artstore.store import Store

__all__ = ["PurgeReport", "purge"]

_PURGED_ENTRIES = 1000
"""Largest number of paths in the record of one version; of further paths it keeps the count."""


@dataclass(frozen=True, slots=True)
class PurgeReport:
    """The result of a purge, or of its dry run.

    ``digests`` are the hex ids of the content, ``files`` the paths that it was removed from, as ``NAME:v3/path``, and
    ``versions`` the versions that held it.  Of its stored bytes, ``freed_bytes`` are freed, and ``shared_bytes`` stay,
    because other content has the same chunks; ``waiting`` means that a reader must end before the rest is overwritten.
    ``silent`` names mounts that did not answer and may show cached bytes until they end.
    """

    digests: list[str]
    files: list[str]
    versions: list[str]
    reason: str
    purged_at: datetime
    freed_bytes: int = 0
    shared_bytes: int = 0
    waiting: bool = False
    silent: list[str] = field(default_factory=list)
    dry_run: bool = False

    def __repr__(self) -> str:
        return f"<PurgeReport {len(self.files)} files of {len(self.versions)} versions, {self.freed_bytes} bytes freed>"


class _ChangedError(BusyError):
    """Raised if another process has changed a version since its content was looked up."""


@dataclass(frozen=True, slots=True)
class _Content:
    """The content of a purge: its nodes, their ids in hex, and the nodes below with their ids.

    Of its ``stored_bytes``, ``shared_bytes`` will stay, because other content has the same chunks.
    """

    nodes: list[int]
    digests: list[str]
    leaves: set[int]
    ids: set[bytes]
    stored_bytes: int
    shared_bytes: int


@dataclass
class _Held:
    """A version that holds the content, and the paths."""

    version: VersionRecord
    label: str
    places: list[Place]

    @property
    def artifact(self) -> str:
        return self.label.rpartition(":")[0]

    @property
    def number(self) -> str:
        return self.label.rpartition(":")[2]


@dataclass(frozen=True, slots=True)
class _Target:
    """The target of a purge: the content with an id, or the files at a path of a version."""

    ident: bytes = b""
    version: VersionRecord | None = None
    path: bytes = b""

    @classmethod
    def of(cls, store: Store, text: str) -> Self:
        """Return the target that a digest or ``NAME:v3/path`` names; raise `InvalidInputError` for a whole version."""
        if is_digest(text):
            return cls(bytes.fromhex(text))
        version, path = resolve_recorded(store, text)
        if not path:
            raise InvalidInputError(
                f"{text!r} names a whole version", hint="delete it with artfs rm, or name a path in it"
            )
        return cls(version=version, path=path)

    def nodes(self, snapshot: Snapshot) -> list[int]:
        """Return the nodes of the content."""
        if self.version is None:
            return [snapshot.content_node(self.ident)]
        return snapshot.files_at(self.version.root, self.path, label(snapshot.transaction, self.version))


def purge(store: Store, text: str, *, reason: str, everywhere: bool, dry_run: bool) -> PurgeReport:
    """Remove content, named by its digest or as ``NAME:v3/path``, from all versions.

    Raises `NotFoundError` if no version holds it, `RefusedError` if versions other than the named one do and
    ``everywhere`` is not set, `BusyError` while a put holds it.
    """
    if not reason.strip():
        raise InvalidInputError("a purge needs a reason; it is recorded with the versions")
    now_ns = time.time_ns()
    content, named, holders, held = store.confirmed(lambda store: _find(store, text))
    _refuse(store, holders, held, named, everywhere)
    report = PurgeReport(
        digests=content.digests,
        files=[f"{holder.label}/{os.fsdecode(place.path)}" for holder in held for place in holder.places],
        versions=[holder.label for holder in held],
        reason=reason,
        purged_at=utc(now_ns),
        freed_bytes=content.stored_bytes - content.shared_bytes,
        shared_bytes=content.shared_bytes,
        dry_run=dry_run,
    )
    if dry_run:
        return report
    loosened = with_reserve(store.path, partial(_loosen, store))
    held, entries = _purge_versions(store, content.nodes, held, reason, now_ns)
    gone = [
        PurgedEntry(one.version.mount, place.directory, place.ordinal, place.entry.name)
        for one in held
        for place in one.places
    ]
    silent = daemon_requests.notify_purged(store.run_dir, gone)
    silent += daemon_requests.notify(store.run_dir, [Change(one.artifact, [one.number]) for one in held])
    reaped = reap(store, now=True, only=frozenset([*loosened, *entries]))
    _overwrite_copies(store, content.ids)
    forget_references(store)  # even if a mount has already reaped them
    with store.snapshot() as snapshot:
        shared_bytes = _stored(snapshot.transaction, content.leaves)
    return replace(
        report,
        freed_bytes=content.stored_bytes - shared_bytes,
        shared_bytes=shared_bytes,
        waiting=reaped.more,
        silent=list(dict.fromkeys(daemon.mountpoint for daemon in silent)),
    )


def _find(store: Store, text: str) -> tuple[_Content, int | None, Holders, list[_Held]]:
    """Return the content that a purge names, the serial of the version named with it, and what holds the content."""
    target = _Target.of(store, text)
    with store.snapshot() as snapshot:
        nodes = list(dict.fromkeys(target.nodes(snapshot)))
        leaves = below(snapshot.transaction, nodes)
        ids = {snapshot.identity(node) for node in leaves}
        reach, holders, held = _holders(snapshot, nodes)
        staying = leaves - _released(snapshot.transaction, holders, reach)
        content = _Content(
            nodes,
            [snapshot.identity(node).hex() for node in nodes],
            leaves,
            ids,
            _stored(snapshot.transaction, leaves),
            _stored(snapshot.transaction, staying),
        )
    return content, None if target.version is None else target.version.serial, holders, held


def _holders(snapshot: Snapshot, nodes: Sequence[int]) -> tuple[Reach, Holders, list[_Held]]:
    transaction = snapshot.transaction
    reach = Reach(transaction, nodes, whole_files=True)
    holders = find_holders(transaction, reach)
    held = [
        _Held(version, label(transaction, version), list(places(transaction, version.root, reach)))
        for version in holders.versions
    ]
    return reach, holders, held


def _refuse(store: Store, holders: Holders, held: list[_Held], named: int | None, everywhere: bool) -> None:
    if not held:
        raise NotFoundError(
            "no version contains this content as a file", hint="it may already be deleted, see: artfs why DIGEST"
        )
    others = [holder.label for holder in held if holder.version.serial != named]
    if others and not everywhere and (named is not None or len(others) > 1):
        other = " other" if named is not None else ""
        count = f"1{other} version contains" if len(others) == 1 else f"{len(others)}{other} versions contain"
        named_others = ", ".join(others[:10])
        if len(others) > 10:
            named_others += " ..."
        raise RefusedError(
            f"nothing was purged: {count} this content: {named_others}",
            hint="--everywhere purges it from all of them",
        )
    with store.snapshot() as snapshot:
        alive = {
            draft.number: draft for draft in drafts.list_drafts(snapshot.transaction, store.run_dir) if draft.alive
        }
    for record in holders.drafts:
        draft = alive.get(record.draft)
        if draft is not None:
            raise BusyError(
                f"nothing was purged: {draft.title} contains this content",
                hint=f"remove it from the draft, or discard the draft: artfs draft abort {draft.id}"
                if draft.id
                else "try again when it has ended",
            )


def _loosen(store: Store) -> list[int]:
    """Make partly reaped entries and dead drafts due at once, to be overwritten; return the entries."""
    with store.write() as transaction:
        for number in drafts.dead_drafts(transaction, store.run_dir, time.time_ns()):
            drafts.end(transaction, number)
        loose = [entry for entry in deadlist.entries(transaction) if entry.started or not entry.serial]
        for entry in loose:
            deadlist.change_entry(transaction, entry._replace(purge=True))
    return [entry.number for entry in loose]


def _purge_versions(
    store: Store, nodes: Sequence[int], held: Sequence[_Held], reason: str, now_ns: int
) -> tuple[list[_Held], list[int]]:
    """Purge the content from versions; return these as they were then, and the deadlist entries of the old roots.

    What another process deletes or purges meanwhile is left out.
    """
    waiting, purged, entries = list(held), list[_Held](), list[int]()
    while waiting:
        content = {place.entry.node for one in waiting for place in one.places}
        try:
            purge_version = partial(_purge_version, store, waiting[0], content, reason, now_ns)
            entries.append(with_reserve(store.path, purge_version))
            purged.append(waiting.pop(0))
        except (_ChangedError, StaleHintError, DamageError) as error:
            serials = {one.version.serial for one in waiting}
            with store.snapshot() as snapshot:
                again = [one for one in _holders(snapshot, nodes)[2] if one.version.serial in serials]
            if not isinstance(error, _ChangedError) and again and again[0].version == waiting[0].version:
                raise  # nothing has changed
            waiting = again
    return purged, entries


def _purge_version(store: Store, held: _Held, content: set[int], reason: str, now_ns: int) -> int:
    """Give a version a root without the content; return the deadlist entry of the old root."""
    stager = Stager(store, held.artifact, f"purge of {held.label}", keep_free=0)  # it frees more than it adds
    try:
        with store.snapshot() as snapshot:
            leads = Reach(snapshot.transaction, content, whole_files=True).leads
            root = _without(snapshot, stager, held.version.root, leads)
        return stager.commit(
            root, lambda transaction, root, _: _replace_root(store, transaction, held, root, reason, now_ns)
        )
    finally:
        stager.close()


def _without(snapshot: Snapshot, stager: Stager, directory: int, leads: Callable[[int], bool]) -> Ref:
    """Copy a directory without the files that lead to the content."""
    builder = DirectoryBuilder(stager)
    for entry, _ in entries_from(snapshot.tree, directory):
        if not leads(entry.node):
            builder.add(draft_of(snapshot, entry))
        elif entry.kind == Kind.DIRECTORY:
            below = _without(snapshot, stager, entry.node, leads)
            builder.add(directory_entry(entry.name, below, entry.mtime_ns, entry.mode))
    return builder.finish()


def _replace_root(
    store: Store, transaction: WriteTransaction, held: _Held, root: Ref, reason: str, now_ns: int
) -> tuple[bool, int]:
    old = held.version
    current = catalogue.recorded_version(transaction, old.serial)
    if current is None or (current.root, current.state) != (old.root, old.state):
        raise _ChangedError(f"{held.label} changed while its content was being purged", hint="run the command again")
    purged = _record_of(transaction, held, reason, now_ns)
    totals = tree_view(transaction, root.node).totals
    changed = replace(
        current,
        root=root.node,
        digest=root.digest,
        form=root.id,
        mount=transaction.state.next_serial,
        files=totals.files,
        bytes=totals.bytes,
        purged=[*current.purged, *purged],
    )
    transaction.state.next_serial += 1
    catalogue.renumber_mount(transaction, old)
    catalogue.put_version(transaction, changed)
    entry = deadlist.find_entry(transaction, old.due_ns, old.entry) if old.state == "deleted" else None
    if entry is not None:
        deadlist.change_entry(transaction, entry._replace(nodes=(root.node,)))
    else:
        transaction.state.logical_bytes += changed.bytes - old.bytes
    journal.append(
        store.path,
        transaction,
        [
            PurgeEvent(
                name=held.artifact,
                version=old.number,
                serial=old.serial,
                digest=root.digest.hex(),
                form=root.id.hex(),
                mount=changed.mount,
                old_digest=old.digest.hex(),
                purged=purged,
            )
        ],
    )
    return True, deadlist.add_entry(transaction, [old.root], now_ns, purge=True).number


def _record_of(transaction: ReadTransaction, held: _Held, reason: str, now_ns: int) -> list[dict[str, Any]]:
    """Return the entry for a purge in the version's record."""
    digest = held.version.digest.hex()
    rows: list[dict[str, Any]] = [
        {
            "path": os.fsdecode(place.path),
            "id": node_payload(transaction, place.entry.node)[2:34].hex(),
            "reason": reason,
            "purged_ns": now_ns,
            "old_digest": digest,
        }
        for place in held.places[:_PURGED_ENTRIES]
    ]
    if len(held.places) > _PURGED_ENTRIES:
        rest = len(held.places) - _PURGED_ENTRIES
        rows.append({"more": rest, "reason": reason, "purged_ns": now_ns, "old_digest": digest})
    return rows


def _overwrite_copies(store: Store, ids: set[bytes]) -> None:
    """Overwrite remaining copies of the content, left by a pack that was copied or by two concurrent puts.

    The indexes of the packs locate these copies.  Chunks that other content needs are not touched.
    """
    with space.exclusive(store.path), store.snapshot() as snapshot:
        transaction = snapshot.transaction
        for key, end in transaction.rows(Table.PACKS):
            number = number32(key)
            path = pack_path(store.path, number)
            for segment in read_segments(path, pack_end(end)):
                for entry in segment:
                    if entry.id in ids and entry.stored and not _is_alive(transaction, number, entry):
                        space.overwrite_data(path, entry.offset, entry.stored)


def _is_alive(transaction: ReadTransaction, pack: int, entry: PackedEntry) -> bool:
    klass = CLASS_CONTENT if entry.klass == CLASS_ROOT_LIST else entry.klass
    row = find_node(transaction, klass, entry.id)
    return row is not None and node_extent(row[1])[:2] == (pack, entry.offset)


def _released(transaction: ReadTransaction, holders: Holders, reach: Reach) -> set[int]:
    """Return the nodes that are freed when all versions, dead drafts and loose entries drop the targets of ``reach``.

    A target that is also a chunk of another file keeps that reference.
    """
    dropped = [
        node for directory in reach.leading_directories() for node in children_of(node_payload(transaction, directory))
    ]
    dropped += [node for draft in holders.drafts for node in drafts.staged_nodes(transaction, draft.draft)]
    dropped += [node for entry in holders.entries if entry.started or not entry.serial for node in entry.nodes]
    return set(Plan(transaction).release([node for node in dropped if node in reach.targets]).nodes)


def _stored(transaction: ReadTransaction, nodes: Iterable[int]) -> int:
    """Return the stored bytes of those of some nodes that are there."""
    payloads = (transaction.get_numbered(Table.NODES, node) for node in nodes)
    return sum(node_extent(payload).stored for payload in payloads if payload)
