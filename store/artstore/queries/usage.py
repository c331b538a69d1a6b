"""Disk usage: of the workspace on its disk, and of versions in the packs.

The workspace's terms count every byte on the disk exactly once:

    disk = stored + manifest + deadlist + condemned + free + other

The manifest counts stored and free bytes and the framing of packs, and stores the end of each pack; the rest comes
from the allocated blocks of the files.  Each term is measured independently and none is the remainder of the others,
so a sum that does not hold reveals a wrong counter.

*Logical* bytes are those of files, as a reader sees them.  Otherwise a version is measured in stored bytes, the size of
its nodes in packs: *alone* counts each node that it reaches, once, as if there were no other version; *unique* would be
freed if only this version were deleted; *attributed* counts the nodes that no earlier version reaches.  Attributed
bytes sum to the stored bytes, except for nodes that only drafts hold.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from artstore import beneath
from artstore.arguments import shown_value
from artstore.errors import BusyError, DamageError, InvalidInputError, NotFoundError
from artstore.names import check_name, version_label
from artstore.queries.figures import Figures
from artstore.queries.resolving import find_artifact
from artstore.records.catalogue import ArtifactRecord, VersionRecord
from artstore.records.tables import Table, number32, pack_end
from artstore.rows import catalogue, deadlist, space
from artstore.rows.interrupted import interrupted
from artstore.rows.nodes import children_of, node_extent, node_payload
from artstore.rows.planner import Plan, plan_after_backlog
from artstore.storage.manifest import ReadTransaction
from artstore.storage.manifest_folders import numbered_folders
from artstore.storage.packs import pack_path
from artstore.store import Store

__all__ = [
    "DRAFTS",
    "ArtifactUsage",
    "DiskUse",
    "GroupUsage",
    "Usage",
    "VersionUsage",
    "artifact_usage",
    "artifact_usages",
    "by_project",
    "by_type",
    "disk_use",
    "most_unique",
    "usage_by",
    "version_usage",
    "workspace_usage",
]

DRAFTS: Final = "[drafts]"
"""The name of the group of bytes that no version holds; no project can be called so."""
_BLOCK: Final = 512
_OVERDUE_NS: Final = 3600 * 10**9


@dataclass(frozen=True, slots=True)
class Usage:
    """The contents and disk usage of a workspace, in bytes; ``versions`` counts the live ones.

    ``logical_bytes`` is the size of the versions' files as copies.  The terms of the disk: ``stored_bytes`` of content
    and directory records that versions and drafts hold; ``manifest_bytes`` of the LMDB files and the journal;
    ``deadlist_bytes`` of deleted nodes that only the ``deadlist_entries`` entries hold; ``condemned_bytes`` of reaped
    extents that may still be read; ``free_bytes`` of gaps in packs that still occupy blocks; ``other_bytes``: framing
    and block edges of packs, folders, the reserve, caches and run-time files.  ``disk_bytes`` is their sum, and equals
    the output of ``du --block-size=1``.

    Of the stored bytes, ``interrupted_bytes`` are what ``interrupted_puts`` left, kept for another put to reuse, the
    first until ``interrupted_until_ns``.

    Of the deadlist, ``due_entries`` may be reaped now; ``oldest_ns`` is when the oldest entry was added, and
    ``oldest_due_ns`` when the first was or will be due (nanoseconds since 1970).
    """

    logical_bytes: int
    stored_bytes: int
    manifest_bytes: int
    deadlist_bytes: int
    deadlist_entries: int
    condemned_bytes: int
    free_bytes: int
    other_bytes: int
    disk_bytes: int
    versions: int
    due_entries: int = 0
    oldest_ns: int | None = None
    oldest_due_ns: int | None = None
    interrupted_puts: int = 0
    interrupted_bytes: int = 0
    interrupted_until_ns: int | None = None

    def __repr__(self) -> str:
        return f"<Usage {self.versions} versions, {self.stored_bytes} bytes stored, {self.disk_bytes} on disk>"

    @property
    def overdue(self) -> bool:
        """Whether an entry has been due for over an hour: no reaper runs, or deleted content is in use."""
        return self.oldest_due_ns is not None and self.oldest_due_ns < time.time_ns() - _OVERDUE_NS


class VersionUsage(NamedTuple):
    """The bytes of a version's files (``logical``), and its size in stored bytes: alone, unique and attributed."""

    number: int
    serial: int
    logical: int
    alone: int
    unique: int
    attributed: int

    @property
    def version(self) -> str:
        """The version's label, as in ``v3``."""
        return version_label(self.number)


class DiskUse(NamedTuple):
    """The usage of a version as in `VersionUsage`, and its ``files`` and their ``bytes``: the logical ones."""

    number: int
    serial: int
    logical: int
    alone: int
    unique: int
    attributed: int
    files: int
    bytes: int

    @property
    def version(self) -> str:
        """The version's label, as in ``v3``."""
        return version_label(self.number)


class ArtifactUsage(NamedTuple):
    """The living versions of an artifact together, in stored bytes.

    ``alone`` is what they would take if there were no other artifact, ``unique`` what is freed if all of them are
    deleted; the rest of ``alone`` is shared with other artifacts.
    """

    name: str
    alone: int
    unique: int

    @property
    def shared(self) -> int:
        """The bytes that other artifacts, or drafts, hold too."""
        return self.alone - self.unique


class GroupUsage(NamedTuple):
    """The living versions of a project or type: how many, their apparent bytes, and the stored bytes attributed."""

    name: str
    versions: int
    logical: int
    attributed: int


# -- the workspace on its disk -----------------------------------------------------------------------------------------


def workspace_usage(store: Store) -> Usage:
    """Return the workspace's disk usage, by one walk over its files: time proportional to their number."""
    with _at_rest(store), store.snapshot() as snapshot:
        return _measure(store, snapshot.transaction)


@contextmanager
def _at_rest(store: Store) -> Iterator[None]:
    """Keep reapers from freeing space during the measurement, if this process may take their lock."""
    with ExitStack() as stack:
        with suppress(BusyError, OSError):
            stack.enter_context(space.exclusive(store.path, seconds=1))
        yield


def _measure(store: Store, transaction: ReadTransaction) -> Usage:
    counters = transaction.counters()
    ends = {pack_path(store.path, number32(key)): pack_end(value) for key, value in transaction.rows(Table.PACKS)}
    waiting = list(deadlist.entries(transaction))
    plan = Plan(transaction)
    dead = plan.release_entries(waiting)
    puts = interrupted(transaction, store.run_dir, plan)
    holes = sum(gap.punched for gap in space.free_extents(transaction))
    now_ns = time.time_ns()
    manifest = disk = 0
    other = counters.framing_bytes + holes
    kept_there = {*numbered_folders(store.path).values(), store.path / "journal"}
    for path, allocated in _allocations(store.path):
        disk += allocated
        if path in ends:
            other += allocated - ends.pop(path)  # holes, which were added, block edges, torn tails
        elif path.parent in kept_there:
            manifest += allocated
        else:
            other += allocated
    if ends and (missing := _lost(store, ends)):
        raise DamageError(f"the pack {min(missing)} is missing")
    return Usage(
        logical_bytes=counters.logical_bytes,
        stored_bytes=counters.stored_bytes - dead,
        manifest_bytes=manifest,
        deadlist_bytes=dead,
        deadlist_entries=len(waiting),
        condemned_bytes=counters.condemned_bytes,
        free_bytes=counters.free_bytes,
        other_bytes=other,
        disk_bytes=disk,
        versions=counters.versions,
        due_entries=sum(entry.due_ns <= now_ns for entry in waiting),
        oldest_ns=min((entry.added_ns for entry in waiting), default=None),
        oldest_due_ns=waiting[0].due_ns if waiting else None,
        interrupted_puts=len(puts),
        interrupted_bytes=sum(put.bytes for put in puts),
        interrupted_until_ns=min((put.until_ns for put in puts), default=None),
    )


def _lost(store: Store, packs: Iterable[Path]) -> list[Path]:
    """Return those of some missing packs that the manifest still has: an empty pack may be removed meanwhile."""
    with store.snapshot() as snapshot:
        recorded = {int.from_bytes(key, "big") for key, _ in snapshot.transaction.rows(Table.PACKS)}
    return [path for path in packs if int(path.stem) in recorded]


def _allocations(folder: Path) -> Iterator[tuple[Path, int]]:
    """Yield (path, bytes of its blocks) of a folder and all below it, each inode once; links are not followed."""
    status = folder.stat()
    seen = {(status.st_dev, status.st_ino)}
    yield folder, status.st_blocks * _BLOCK
    for name, status in beneath.walk(folder):
        if (status.st_dev, status.st_ino) not in seen:
            seen.add((status.st_dev, status.st_ino))
            yield folder / name, status.st_blocks * _BLOCK


# -- versions in the packs ---------------------------------------------------------------------------------------------


_DENSE: Final = 1 << 24
_SPARSE: Final = 256
"""Node numbers up to which counts are in an array, or how many there may be for each node that exists."""


class _Reach:
    """The nodes that a set of roots reaches, and the sum of their stored bytes.

    Each node counts the references from reached nodes, so that adding or removing a root visits only changed nodes:
    stepping from one version to the next takes time proportional to their difference.
    """

    def __init__(self, transaction: ReadTransaction) -> None:
        self._transaction = transaction
        numbers = transaction.counters().next_node
        self._counts: memoryview[int] | defaultdict[int, int]
        if numbers <= max(_DENSE, _SPARSE * transaction.raw.stat(transaction.handles[Table.NODES])["entries"]):
            # Pages of a zeroed bytearray that are never touched take no memory: four bytes for each node reached.
            self._counts = memoryview(bytearray(4 * numbers)).cast("I")
        else:  # not believed: the counter may be wrong
            self._counts = defaultdict(int)
        self.bytes = 0

    def add(self, root: int) -> int:
        """Add a root and all nodes below it; return the bytes of the nodes that were not reached before."""
        before = self.bytes
        counts = self._counts
        stack = [root]
        while stack:
            node = stack.pop()
            try:
                counts[node] += 1
            except (IndexError, ValueError):  # a number that was never given, or 2^32 references
                raise DamageError(f"node {node} is missing from the manifest, or has too many references") from None
            if counts[node] == 1:
                self._enter(node, stack, 1)
        return self.bytes - before

    def remove(self, root: int) -> None:
        """Undo one `add` of a root."""
        counts = self._counts
        stack = [root]
        while stack:
            node = stack.pop()
            counts[node] -= 1
            if not counts[node]:
                self._enter(node, stack, -1)

    def _enter(self, node: int, stack: list[int], sign: int) -> None:
        payload = node_payload(self._transaction, node)
        self.bytes += sign * node_extent(payload).stored
        stack.extend(reversed(children_of(payload)))


def _living(transaction: ReadTransaction) -> Iterator[VersionRecord]:
    """Yield the living versions of all artifacts in the order in which they were committed."""
    for _, payload in transaction.rows(Table.VERSIONS):
        record = VersionRecord.decode(payload)
        if record.state == "live":
            yield record


def _attributed(transaction: ReadTransaction, living: list[VersionRecord], figures: Figures) -> dict[int, int]:
    """Return the attributed bytes of the living versions by serial; unless they are known, by a walk over all nodes."""
    if figures.attributed is None:
        reach = _Reach(transaction)
        figures.keep_attributed({record.serial: reach.add(record.root) for record in living})
    return figures.attributed or {}


def _alone(transaction: ReadTransaction, records: list[VersionRecord], figures: Figures) -> dict[int, int]:
    """Return what versions would take alone by root; those not known by a walk from each to the next."""
    unknown = [record.root for record in records if record.root not in figures.alone]
    reach = _Reach(transaction)
    for position, root in enumerate(unknown):
        reach.add(root)
        if position:
            reach.remove(unknown[position - 1])
        figures.keep_alone(root, reach.bytes)
    return figures.alone


def version_usage(store: Store, artifact_number: int) -> list[VersionUsage]:
    """Return the usage of each living version of an artifact, by number.

    Takes time proportional to the unique nodes, plus one pass over the nodes of versions that were added, or over the
    live ones if they changed, since the last call.
    """
    with store.snapshot() as snapshot:
        transaction = snapshot.transaction
        records = catalogue.versions_of(transaction, artifact_number)
        living = list(_living(transaction))
        figures = Figures(store, transaction, living)
        attributed = _attributed(transaction, living, figures)
        alone = _alone(transaction, records, figures)
        plan, _ = plan_after_backlog(transaction)
        rows = [
            VersionUsage(
                record.number,
                record.serial,
                record.bytes,
                alone[record.root],
                plan.unique(record.root),
                attributed[record.serial],
            )
            for record in records
        ]
    figures.save()
    return rows


def disk_use(store: Store, serial: int) -> DiskUse:
    """Return the usage of the living version with a serial; raise `NotFoundError` if there is none."""
    with store.snapshot() as snapshot:
        transaction = snapshot.transaction
        record = catalogue.version(transaction, serial)
        if record is None:
            raise NotFoundError(f"there is no version with the serial {serial}")
        living = list(_living(transaction))
        figures = Figures(store, transaction, living)
        alone = _alone(transaction, [record], figures)[record.root]
        unique = plan_after_backlog(transaction)[0].unique(record.root)
        attributed = _attributed(transaction, living, figures)[serial]
    figures.save()
    return DiskUse(record.number, serial, record.bytes, alone, unique, attributed, record.files, record.bytes)


def artifact_usage(store: Store, name: str) -> list[VersionUsage]:
    """Return the usage of each living version of the artifact with a full name, by number."""
    with store.snapshot() as snapshot:
        artifact = find_artifact(snapshot, check_name(name))
    return version_usage(store, artifact.number)


def artifact_usages(store: Store, names: Sequence[str]) -> list[ArtifactUsage]:
    """Return what artifacts take, in the order of their full names given; raise `NotFoundError` for one without.

    Takes time proportional to the nodes of their versions.
    """
    rows: list[ArtifactUsage] = []
    with store.snapshot() as snapshot:
        plan, _ = plan_after_backlog(snapshot.transaction)
        for name in names:
            artifact = find_artifact(snapshot, check_name(name))
            roots = [record.root for record in catalogue.versions_of(snapshot.transaction, artifact.number)]
            reach = _Reach(snapshot.transaction)
            for root in roots:
                reach.add(root)
            rows.append(ArtifactUsage(artifact.name, reach.bytes, plan.unique(*roots)))
    return rows


def usage_by(store: Store, group: str) -> list[GroupUsage]:
    """Return attributed bytes by ``project``, ``type`` or ``artifact``; raise `InvalidInputError` for another group."""
    if group not in ("project", "type", "artifact"):
        raise InvalidInputError(f"usage can be grouped by project, type or artifact, not by {shown_value(group)}")
    if group == "artifact":
        return _grouped(store, lambda artifact: artifact.name)
    return by_project(store) if group == "project" else by_type(store)


def most_unique(store: Store, most: int) -> list[tuple[str, VersionUsage]]:
    """Return (name, usage) of the living versions whose deletion alone frees the most, the most first.

    What deleting a version frees is part of what is attributed to it.  So versions are asked in the order of their
    attributed bytes, only until none that is left can free more.
    """
    with store.snapshot() as snapshot:
        transaction = snapshot.transaction
        living = list(_living(transaction))
        figures = Figures(store, transaction, living)
        attributed = _attributed(transaction, living, figures)
        plan, _ = plan_after_backlog(transaction)
        found: list[tuple[int, int, VersionRecord]] = []
        for record in sorted(living, key=lambda record: attributed[record.serial], reverse=True):
            if len(found) == most and attributed[record.serial] <= found[-1][0]:
                break
            found = sorted([*found, (plan.unique(record.root), -record.serial, record)], reverse=True)[:most]
        records = [record for _, _, record in found]
        alone = _alone(transaction, records, figures)
        usages = [
            VersionUsage(
                record.number, record.serial, record.bytes, alone[record.root], unique, attributed[record.serial]
            )
            for unique, _, record in found
        ]
        names = [catalogue.label(transaction, record) for record in records]
    figures.save()
    return list(zip(names, usages, strict=True))


def by_project(store: Store) -> list[GroupUsage]:
    """Return the usage of each project ("" for the top level), by name; the attributed bytes sum to the stored ones.

    The last row, `DRAFTS`, holds the bytes of no version.
    """
    return _grouped(store, lambda artifact: artifact.name.rpartition("/")[0])


def by_type(store: Store) -> list[GroupUsage]:
    """Return the usage of each type ("" for artifacts without), by name; see `by_project`."""
    return _grouped(store, lambda artifact: artifact.type or "")


def _grouped(store: Store, group_of: Callable[[ArtifactRecord], str]) -> list[GroupUsage]:
    groups: dict[str, GroupUsage] = {}
    names: dict[int, str] = {}
    with store.snapshot() as snapshot:
        transaction = snapshot.transaction
        living = list(_living(transaction))
        figures = Figures(store, transaction, living)
        attributed = _attributed(transaction, living, figures)
        for record in living:
            name = names.get(record.artifact)
            if name is None:
                artifact = catalogue.artifact(transaction, record.artifact)
                if artifact is None:
                    raise DamageError(f"the record of artifact number {record.artifact} is missing")
                name = names[record.artifact] = group_of(artifact)
            _, versions, logical, stored = groups.get(name, GroupUsage(name, 0, 0, 0))
            groups[name] = GroupUsage(name, versions + 1, logical + record.bytes, stored + attributed[record.serial])
        stored = transaction.counters().stored_bytes - plan_after_backlog(transaction)[1]
        held = stored - sum(attributed.values())
    figures.save()
    rows = sorted(groups.values())
    return [*rows, GroupUsage(DRAFTS, 0, 0, held)]
