"""`why`: the reasons that keep a version, a content or a file of the workspace, or that delay its deletion."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Final

from artstore import daemon_requests
from artstore.arguments import raw_path, text
from artstore.errors import NotFoundError
from artstore.mount_leases import DeletedVersion
from artstore.names import unknown_path
from artstore.queries.resolving import is_digest, resolve_recorded
from artstore.reclaim import leases
from artstore.records.catalogue import VersionRecord
from artstore.records.deadlist import DeadEntry
from artstore.records.nodes import KIND_TREE
from artstore.records.packing import CLASS_CONTENT, CLASS_LIST
from artstore.records.tables import Table, key64, pack_end
from artstore.records.trees import TreeView
from artstore.rows import deadlist, drafts, space
from artstore.rows.catalogue import label
from artstore.rows.drafts import DraftInfo
from artstore.rows.nodes import find_node, node_extent, node_payload, read_count
from artstore.rows.reachability import Reach, below, find_holders, places
from artstore.rows.snapshot import Snapshot
from artstore.storage.manifest import ReadTransaction
from artstore.store import Store

__all__ = ["Explanation", "explain", "explain_digest", "explain_file", "explain_node", "explain_version"]

_SHOWN: Final = 20


@dataclass(repr=False)
class Explanation:
    """An object's description and the reasons why it exists.

    ``what`` is one sentence.  ``state`` is ``live``, ``waiting`` (deleted, not yet reaped), or ``file`` (of the
    workspace folder).  ``versions`` (``NAME:v3``, or ``NAME:v3/path``), ``drafts``, ``deleted`` and ``users`` name the
    holders, a sentence each; ``more`` counts further versions.  ``counted_in`` is the term of ``usage`` that counts it,
    ``stored_bytes`` its size in packs if that applies, ``advice`` a recommendation.
    """

    target: str
    what: str
    state: str
    stored_bytes: int | None = None
    versions: list[str] = field(default_factory=list)
    more: int = 0
    drafts: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    users: list[str] = field(default_factory=list)
    counted_in: str = ""
    advice: str = ""

    def __repr__(self) -> str:
        return f"<Explanation of {self.target}: {self.state}, {len(self.versions) + self.more} versions>"

    @property
    def reasons(self) -> list[str]:
        """All sentences of the explanation except the description."""
        reasons = [f"held by {place}" for place in self.versions]
        if self.more:
            reasons.append(f"and by {self.more} more versions")
        reasons += [*self.drafts, *self.deleted, *self.users]
        if self.counted_in:
            reasons.append(f"counted in '{self.counted_in}' of artfs usage")
        if self.advice:
            reasons.append(self.advice)
        return reasons


def explain(store: Store, target: str) -> Explanation:
    """Explain what keeps a version (also a deleted one), a path in one, a digest, or a file of the workspace's folder.

    Raises `NotFoundError` if there is no such thing.
    """
    raw_path(text(target, "what is asked about"))
    if is_digest(target):
        return explain_digest(store, target, bytes.fromhex(target))
    real = Path(os.path.realpath(target))
    if os.path.lexists(target) and real.is_relative_to(store.path):
        return explain_file(store, target, real)
    version, path = resolve_recorded(store, target)
    if not path:
        return explain_version(store, target, version)
    with store.snapshot() as snapshot:
        entry = snapshot.resolve(version.root, path)
        if entry is None:
            raise unknown_path(label(snapshot.transaction, version), path)
    return explain_node(store, target, "a directory" if entry.is_directory else "a file", [entry.node])


def explain_version(store: Store, target: str, version: VersionRecord) -> Explanation:
    """Explain what keeps a recorded version, or what a deleted one waits for."""
    with store.snapshot() as snapshot:
        name = label(snapshot.transaction, version)
        aliases = [alias.name for alias in snapshot.aliases_of(version.artifact) if alias.version == version.number]
        entry = None
        if version.state == "deleted":
            entry = _entry_of(snapshot, version)
    if entry is None:
        named = f" with the aliases {', '.join(aliases)}" if aliases else ""
        return Explanation(
            target,
            f"{name} is a living version{named}",
            "live",
            counted_in="stored",
            advice=f"delete it with: artfs rm {name}",
        )
    users = _users(store, version, entry)
    return Explanation(
        target,
        f"{name} has been deleted and waits to be reaped",
        "waiting",
        deleted=[_waits(name, entry, bool(users))],
        users=users,
        counted_in="deadlist",
        advice=f"restore it with: artfs undelete {name}",
    )


def _entry_of(snapshot: Snapshot, version: VersionRecord) -> DeadEntry | None:
    return deadlist.find_entry(snapshot.transaction, version.due_ns, version.entry)


def _waits(name: str, entry: DeadEntry, in_use: bool) -> str:
    due = datetime.fromtimestamp(entry.due_ns / 1e9, UTC)
    when = f"{due:%Y-%m-%d %H:%M:%S}Z"
    if entry.due_ns > time.time_ns():
        return f"{name} can be undeleted at least until {when}"
    if entry.started:
        return f"{name} is being reaped"
    return f"{name} has been due since {when}; {'it is in use' if in_use else 'the next gc or a daemon reaps it'}"


def _holds(draft: DraftInfo) -> str:
    if draft.id:
        state = "artfs draft abort discards it" if draft.alive else "it has expired, and waits for gc"
        return f"{draft.title}: {state}"
    state = "is running" if draft.alive else "has died, and waits for gc"
    return f"a put to {draft.artifact!r} by process {draft.pid}, which {state}"


def _users(store: Store, version: VersionRecord, entry: DeadEntry) -> list[str]:
    """Return the processes that have files of a deleted version open, a sentence each."""
    users = []
    if leases.is_held(store, version.serial):
        users.append("a file of it is open through the Python API")
    leased = [DeletedVersion(version.artifact, number, version.serial) for number in version.numbers]
    mounts = daemon_requests.in_use(store.run_dir, leased)
    users += [f"in use under a mount: {mountpoint}" for mountpoint in mounts.values()]
    return users


def explain_node(store: Store, target: str, what: str, nodes: Sequence[int]) -> Explanation:
    """Explain what holds some nodes: versions with paths, drafts, and entries of the deadlist."""
    with store.snapshot() as snapshot:
        transaction = snapshot.transaction
        reach = Reach(transaction, nodes)
        holders = find_holders(transaction, reach)
        explanation = Explanation(target, what, "live")
        explanation.stored_bytes = sum(
            node_extent(node_payload(transaction, node)).stored for node in below(transaction, nodes)
        )
        living = [version for version in holders.versions if version.state == "live"]
        for version in living[:_SHOWN]:
            name = label(transaction, version)
            paths = [place.path for place in islice(places(transaction, version.root, reach), 3)]
            explanation.versions += [f"{name}/{os.fsdecode(path)}" for path in paths] or [name]
        explanation.more = max(0, len(living) - _SHOWN)
        known = {state.number: state for state in drafts.list_drafts(transaction, store.run_dir)}
        explanation.drafts += [_holds(known[draft.draft]) for draft in holders.drafts]
        records = {version.serial: version for version in holders.versions}
        waiting = [(entry, records.get(entry.serial)) for entry in holders.entries]
        names = {record.serial: label(transaction, record) for _, record in waiting if record is not None}
    for entry, record in waiting:
        users = _users(store, record, entry) if record is not None else []
        name = names[record.serial] if record is not None else "left over from a draft, a purge or a reaped version"
        explanation.deleted.append(_waits(name, entry, bool(users)))
        explanation.users += users
    if not living and not holders.drafts:
        explanation.state = "waiting"
    explanation.counted_in = "deadlist" if explanation.state == "waiting" else "stored"
    return explanation


def explain_digest(store: Store, target: str, ident: bytes) -> Explanation:
    """Explain what holds the content, directory or version with a digest; raise `NotFoundError` if none has it."""
    kinds = {CLASS_CONTENT: "content", CLASS_LIST: "part of the list of a large file"}
    with store.snapshot() as snapshot:
        transaction = snapshot.transaction
        kind, nodes = "", list[int]()
        for klass in kinds:
            row = find_node(transaction, klass, ident)
            if row is not None:
                kind, nodes = kinds[klass], [row[0]]
                break
        else:
            kind, nodes = "a directory", _directories(transaction, ident)
        if not nodes:
            raise NotFoundError(f"nothing in the store has the digest {target}", hint="reaped content leaves no trace")
        count = sum(read_count(transaction, node) for node in nodes)
    what = f"{kind} with {count} {'reference' if count == 1 else 'references'} to it"
    return explain_node(store, target, what, nodes)


def _directories(transaction: ReadTransaction, digest: bytes) -> list[int]:
    """Return the nodes of the directories with a digest, which the index does not have: all nodes are read."""
    return [
        node
        for node, payload in transaction.numbered_rows(Table.NODES)
        if payload[0] == KIND_TREE and TreeView(payload).digest == digest
    ]


def explain_file(store: Store, target: str, path: Path) -> Explanation:
    """Explain a file or folder of the workspace, and name the term of `usage` that counts it."""
    inside = path.relative_to(store.path)
    parts = inside.parts
    for what, counted_in, names in _files(store, parts):
        if names:
            is_cache = counted_in == "cache"
            term = "other" if is_cache else counted_in
            return Explanation(target, what, "file", counted_in=term, advice=_ADVICE[is_cache])
    return Explanation(
        target,
        f"{inside} is not a file of artfs",
        "file",
        counted_in="other",
        advice="it can be removed; artfs does not use it",
    )


_ADVICE: Final = (
    "do not change or delete it by hand: to free space, use artfs rm and artfs gc",
    "it may be deleted at any time: the next put rebuilds it, and is slower",
)


def _files(store: Store, parts: tuple[str, ...]) -> Iterator[tuple[str, str, bool]]:
    """Yield (description, the term that counts it, whether the path matches) for each kind of workspace file."""
    top = parts[0] if parts else ""
    name = parts[-1] if parts else ""
    yield "the workspace itself", "disk", not parts
    yield "the workspace's identity: format, uuid, when it was made", "other", parts == ("artfs.json",)
    yield "which LMDB environment is in use", "other", parts == ("current",)
    yield "reserved blocks, so that space can be freed on a full disk", "other", parts == ("reserve",)
    manifest = top.startswith("manifest.")
    yield "the folder of an LMDB environment", "manifest", manifest and len(parts) == 1
    yield "names, records and reference counts (LMDB)", "manifest", manifest and name == "data.mdb"
    yield "the lock and the readers' table of LMDB", "manifest", manifest and name == "lock.mdb"
    yield "the lock held by processes that use this LMDB environment", "manifest", manifest and name == "lease"
    yield "damaged data that a rebuild set aside", "other", top.startswith("damaged-manifest.")
    yield "damaged data that a rebuild set aside", "manifest", top == "journal" and name.endswith(".damaged")
    yield "the folder of packs", "other", parts == ("packs",)
    yield _pack(store, name), "stored", top == "packs" and name.endswith(".pack")
    yield "the journal of the catalogue, for a rebuild", "manifest", top == "journal" and name.endswith(".journal")
    yield "the folder of the journal", "other", parts == ("journal",)
    yield "put's cache of the state of folders", "cache", top == "cache"
    yield _draft(store, name), "other", top == "run" and len(parts) == 3 and parts[1] == "drafts"
    yield "the description or the log of a mount's daemon", "other", top == "run" and len(parts) == 3
    yield "versions open through the Python API", "other", parts == ("run", "leases")
    yield "active runs", "other", parts == ("run", "runs")
    yield "the lock of the process that frees space", "other", parts == ("run", "reaper")
    yield "files of running processes", "other", top == "run"


def _pack(store: Store, name: str) -> str:
    stem = name.partition(".")[0]
    if not stem.isdigit():
        return "a file that is not a pack"
    with store.snapshot() as snapshot:
        end = snapshot.transaction.get(Table.PACKS, int(stem).to_bytes(4, "big"))
        gaps = sum(gap.length for gap in space.free_extents(snapshot.transaction, int(stem)))
    if end is None:
        return "a pack that nothing refers to; the next gc removes it"
    size = pack_end(end)
    return f"a pack: {size:,} bytes of compressed content and records, {gaps:,} of which are gaps"


def _draft(store: Store, name: str) -> str:
    if not name.isdigit():
        return "files of running processes"
    with store.snapshot() as snapshot:
        known = snapshot.transaction.get(Table.DRAFTS, key64(int(name))) is not None
    return "the lock of a put" if known else "the lock of a put that has ended"
