"""A recount of everything: a check that a workspace's manifest, packs and journal agree with each other.

By brute force, from the invariants in `artstore.records.tables` and `docs/format.md`, not from the code that maintains
them.
"""

from __future__ import annotations

import base64
import errno
import json
import os
import struct
from collections import Counter
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from xxhash import xxh3_64_intdigest

from artstore.errors import DamageError
from artstore.records.catalogue import AliasRecord, ArtifactRecord, VersionRecord
from artstore.records.deadlist import Condemned, DeadEntry, Free, decode_condemned, decode_entry, decode_free
from artstore.records.nodes import KIND_LOST, KIND_TREE, decode_lost
from artstore.records.packing import CLASS_CONTENT, CLASS_LIST, CLASS_LOST, CLASS_TREE, HEADER_LENGTH
from artstore.records.tables import Table
from artstore.records.terms import terms_of
from artstore.retention.rules import read_rules
from artstore.rows.drafts import find_open, list_drafts
from artstore.rows.nodes import children_of, node_extent
from artstore.storage import journal, manifest
from artstore.storage.manifest import ReadTransaction
from artstore.storage.packs import pack_path, read_segments

_DENSE = struct.Struct("<128I")
_PAIR = struct.Struct("<BI")
_EVENT = struct.Struct("<IQ")


class Records:
    """All records of a snapshot, each table read once."""

    def __init__(self, transaction: ReadTransaction) -> None:
        self.transaction = transaction
        self.state = transaction.counters()

    @cached_property
    def nodes(self) -> dict[int, bytes]:
        """The records of all nodes."""
        return all_nodes(self.transaction)

    @cached_property
    def versions(self) -> list[VersionRecord]:
        """All versions that are recorded, in the order in which they were committed."""
        return [VersionRecord.decode(payload) for _, payload in self.transaction.rows(Table.VERSIONS)]

    @property
    def live(self) -> list[VersionRecord]:
        """The living versions."""
        return [version for version in self.versions if version.state == "live"]

    @property
    def deleted(self) -> list[VersionRecord]:
        """The deleted versions that can still be undeleted."""
        return [version for version in self.versions if version.state == "deleted"]

    @cached_property
    def staged(self) -> list[tuple[int, int]]:
        """(draft, node) of every reference that a draft holds."""
        with self.transaction.raw.cursor(self.transaction.handles[Table.STAGED]) as cursor:
            keys = [bytes(key) for key in cursor.iternext(values=False)]
        return [(int.from_bytes(key[:8], "big"), int.from_bytes(key[8:], "big")) for key in keys]

    @cached_property
    def entries(self) -> list[DeadEntry]:
        """The deadlist."""
        return [decode_entry(key, payload) for key, payload in self.transaction.rows(Table.DEADLIST)]

    @cached_property
    def condemned(self) -> list[Condemned]:
        """The condemned extents, which wait for readers to end."""
        return [decode_condemned(key, payload) for key, payload in self.transaction.rows(Table.CONDEMNED)]

    @cached_property
    def free(self) -> list[Free]:
        """The gaps in packs."""
        return [decode_free(key, payload) for key, payload in self.transaction.rows(Table.FREE)]

    @cached_property
    def ends(self) -> dict[int, int]:
        """The end offset of each pack."""
        rows = self.transaction.rows(Table.PACKS)
        return {int.from_bytes(key, "big"): int.from_bytes(value, "little") for key, value in rows}

    @cached_property
    def artifacts(self) -> dict[int, ArtifactRecord]:
        """Artifacts, living and retired, and projects, by number."""
        rows = self.transaction.numbered_rows(Table.ARTIFACTS)
        return {number: ArtifactRecord.decode(payload) for number, payload in rows}

    @cached_property
    def aliases(self) -> list[AliasRecord]:
        """All aliases."""
        return [AliasRecord.decode(payload) for _, payload in self.transaction.rows(Table.ALIASES)]

    @property
    def held(self) -> list[int]:
        """The nodes that living versions and drafts refer to."""
        return [*(version.root for version in self.live), *(node for _, node in self.staged)]

    @property
    def waiting(self) -> list[int]:
        """The nodes that the deadlist refers to."""
        return [node for entry in self.entries for node in entry.nodes]


def contradictions(workspace: Path, records: Records | None = None) -> list[str]:
    """Return one sentence for each inconsistency; none for a sound workspace."""
    if records is None:
        with manifest.read(workspace) as transaction:
            return contradictions(workspace, Records(transaction))
    try:
        return [
            *_counts(records),
            *_bytes(workspace, records),
            *_deadlist(records),
            *_catalogue(records),
            *_names(records),
            *_journal(workspace, records),
            *_drafts(workspace, records),
        ]
    except DamageError as error:
        return [f"a record does not read: {error}"]


def all_nodes(transaction: ReadTransaction) -> dict[int, bytes]:
    """Return the records of all nodes."""
    return dict(transaction.numbered_rows(Table.NODES))


def stray_packs(workspace: Path, records: Records | None = None) -> list[str]:
    """Return the files among the packs that the manifest does not know; once gc has run there are none."""
    if records is None:
        with manifest.read(workspace) as transaction:
            return stray_packs(workspace, Records(transaction))
    known = {pack_path(workspace, number).name for number in records.ends}
    return sorted(set(os.listdir(workspace / "packs")) - known)


# -- counts ------------------------------------------------------------------------------------------------------------


def _counts(records: Records) -> list[str]:
    """Compare each node's count with the existing references, and the index with the nodes."""
    transaction, nodes = records.transaction, records.nodes
    wanted: Counter[int] = Counter([*records.held, *records.waiting])
    for payload in nodes.values():
        wanted.update(children_of(payload))
    found, wrong = _written_counts(transaction)
    wrong += [
        f"node {node} has the count {found.get(node, 0)}, and {wanted[node]} references"
        for node in sorted(wanted.keys() | found.keys())
        if wanted[node] != found.get(node, 0)
    ]
    wrong += [f"node {node} is referred to and missing" for node in sorted(wanted.keys() - nodes.keys())]
    wrong += [f"node {node} has no references" for node in sorted(nodes.keys() - wanted.keys())]
    with transaction.raw.cursor(transaction.handles[Table.INDEX]) as cursor:
        index = {bytes(key): int.from_bytes(value, "big") for key, value in cursor}
    if sorted(index.values()) != sorted(nodes):
        wrong.append(f"{len(index)} rows of the index for {len(nodes)} nodes")
    for key, node in index.items():
        if node in nodes and (nodes[node][2:34] != key[1:] or key[0] not in _classes(nodes[node])):
            wrong.append(f"the index leads from {key.hex()} to node {node}, which is something else")
    if nodes and max(nodes) >= records.state.next_node:
        wrong.append("a node has a number that is still to be given out")
    return wrong


def _classes(payload: bytes) -> list[int]:
    """Return the index classes under which a node may be found."""
    if payload[0] == KIND_LOST:
        return [CLASS_LOST + decode_lost(payload).klass]
    return [CLASS_TREE] if payload[0] == KIND_TREE else [CLASS_CONTENT, CLASS_LIST]


def _written_counts(transaction: ReadTransaction) -> tuple[dict[int, int], list[str]]:
    """Return the counts that are not zero, and the faults in the form of their rows."""
    found: dict[int, int] = {}
    wrong = []
    for block, payload in transaction.numbered_rows(Table.COUNTS):
        if len(payload) == _DENSE.size:
            pairs = [(index, count) for index, count in enumerate(_DENSE.unpack(payload)) if count]
        else:
            pairs = list(_PAIR.iter_unpack(payload))
            indexes = [index for index, _ in pairs]
            if (
                len(pairs) > 24
                or indexes != sorted(set(indexes))
                or max(indexes) > 127
                or not all(dict(pairs).values())
            ):
                wrong.append(f"the counts of block {block} are not as they are written: {pairs}")
        if not pairs:
            wrong.append(f"the counts of block {block} have a row, and all are 0")
        found.update((block * 128 + index, count) for index, count in pairs)
    return found, wrong


# -- packs -------------------------------------------------------------------------------------------------------------


def _bytes(workspace: Path, records: Records) -> list[str]:
    """Compare extents with packs: nothing overlaps, all is inside, sums equal the counters."""
    ends, free, condemned, state = records.ends, records.free, records.condemned, records.state
    used = []
    ids = {}
    for payload in records.nodes.values():
        extent = node_extent(payload)
        ids[extent.pack, extent.offset, extent.stored] = payload[2:34]
        if extent.stored:
            used.append((extent.pack, extent.offset, extent.stored))
    parts = used + [(gap.pack, gap.offset, gap.length) for gap in [*free, *condemned]]
    wrong = []
    position = (0, 0)
    for pack, offset, length in sorted(parts):
        if (pack, offset) < position:
            wrong.append(f"bytes at {offset} of pack {pack} belong to two")
        position = (pack, offset + length)
        if offset < HEADER_LENGTH or offset + length > ends.get(pack, 0) or not length:
            wrong.append(f"bytes at {offset} of pack {pack} lie outside of it")
    for pack, end in ends.items():
        wrong += _pack(workspace, pack, end, ids, [gap for gap in free if gap.pack == pack])
    sums = {
        "stored_bytes": (state.stored_bytes, sum(stored for _, _, stored in used)),
        "free_bytes": (state.free_bytes, sum(gap.length - gap.punched for gap in free)),
        "condemned_bytes": (state.condemned_bytes, sum(gap.length for gap in condemned)),
        "framing_bytes": (state.framing_bytes, sum(ends.values()) - sum(length for *_, length in parts)),
    }
    wrong += [f"{name} is {kept}, recounted {counted}" for name, (kept, counted) in sums.items() if kept != counted]
    if ends and max(ends) >= state.next_pack:
        wrong.append("a pack has a number that is still to be given out")
    if any(gap.transaction > records.transaction.number for gap in condemned):
        wrong.append("an extent was condemned by a transaction that is still to come")
    return wrong


def _pack(workspace: Path, pack: int, end: int, ids: dict[tuple[int, int, int], bytes], free: list[Free]) -> list[str]:
    """Check that a pack's indexes name every node stored in it, as a rebuild needs, and that its holes are punched."""
    path = pack_path(workspace, pack)
    if not path.exists() or path.stat().st_size < end:
        return [f"pack {pack} is shorter than its {end} acknowledged bytes"]
    packed = {
        (pack, entry.offset, entry.stored): entry.klass for segment in read_segments(path, end) for entry in segment
    }
    wrong = [
        f"the indexes of pack {pack} do not name the node at {place[1]}"
        for place in ids
        if place[0] == pack and place not in packed
    ]
    with path.open("rb") as file:
        for gap in free:
            holes = holes_between(file.fileno(), gap.offset, gap.end) if gap.punched else 0
            if holes < gap.punched:
                wrong.append(f"the gap at {gap.offset} of pack {pack} has {holes} bytes of holes, not {gap.punched}")
    return wrong


def holes_between(fd: int, start: int, end: int) -> int:
    """Return how many bytes of a file's range are holes."""
    holes, position = 0, start
    while position < end:
        try:
            data = min(end, os.lseek(fd, position, os.SEEK_DATA))
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            data = end  # a hole up to the end of the file
        holes += data - position
        position = min(end, os.lseek(fd, data, os.SEEK_HOLE)) if data < end else end
    return holes


# -- the deadlist and the catalogue ------------------------------------------------------------------------------------


def _deadlist(records: Records) -> list[str]:
    """Compare the deadlist with its counters, and with the versions that wait in it."""
    entries, state = records.entries, records.state
    wrong = []
    if state.deadlist_entries != len(entries):
        wrong.append(f"the counters tell of {state.deadlist_entries} dead entries, and there are {len(entries)}")
    if len({entry.number for entry in entries}) != len(entries):
        wrong.append("two entries of the deadlist have one number")
    newest = records.transaction.number
    if any(entry.number >= state.next_entry or entry.transaction > newest for entry in entries):
        wrong.append("an entry of the deadlist has a number that is still to be given out")
    waiting = {entry.serial: entry for entry in entries if entry.serial and not entry.started}
    deleted = {version.serial: version for version in records.deleted}
    if waiting.keys() != deleted.keys():
        wrong.append(f"the deadlist holds the serials {sorted(waiting)}, and {sorted(deleted)} are deleted")
    for serial in waiting.keys() & deleted.keys():
        entry, version = waiting[serial], deleted[serial]
        recorded = (version.due_ns, version.entry, version.artifact, version.number, (version.root,))
        if (entry.due_ns, entry.number, entry.artifact, entry.version, entry.nodes) != recorded:
            wrong.append(f"the version with serial {serial} and its entry {entry.number} say different things")
    recorded = {version.serial for version in records.versions}
    wrong += [
        f"entry {entry.number} is being reaped, and its version is still recorded"
        for entry in entries
        if entry.started and entry.serial in recorded
    ]
    return wrong


def _catalogue(records: Records) -> list[str]:
    """Compare numbers and aliases with the existing versions, and those with the counters."""
    live, state, transaction = records.live, records.state, records.transaction
    wrong = []
    if state.versions != len(live) or state.logical_bytes != sum(version.bytes for version in live):
        wrong.append(f"the counters tell of {state.versions} versions, and {len(live)} are there")
    if len(live) + len(records.deleted) != len(records.versions):
        wrong.append("a version is neither alive nor deleted")
    numbers = {
        (int.from_bytes(key[:8], "big"), int.from_bytes(key[8:], "big")): int.from_bytes(value, "big")
        for key, value in transaction.rows(Table.NUMBERS)
    }
    if numbers != {(version.artifact, version.number): version.serial for version in records.versions}:
        wrong.append("the numbers of versions do not lead to the versions")
    for version in records.versions:
        artifact = records.artifacts.get(version.artifact)
        given = artifact is not None and (
            version.number < artifact.next_version or 0 < version.number - 2**30 < artifact.next_pending
        )
        if not given or version.serial >= state.next_serial:
            wrong.append(f"version {version.number} of artifact {version.artifact} has a number still to be given out")
    mounts = {int.from_bytes(key, "big"): int.from_bytes(value, "big") for key, value in transaction.rows(Table.MOUNTS)}
    if mounts != {version.mount: version.serial for version in records.versions if version.mount != version.serial}:
        wrong.append(f"the mount serials {mounts} do not lead to the versions that have them")
    if len({version.mount for version in records.versions}) != len(records.versions):
        wrong.append("two versions have one mount serial")
    if any(version.mount >= state.next_serial for version in records.versions):
        wrong.append("a mount serial is still to be given out")
    with transaction.raw.cursor(transaction.handles[Table.TERMS]) as cursor:
        terms = {bytes(key) for key in cursor.iternext(values=False)}
    if terms != {key for version in live for key in terms_of(version)}:
        wrong.append("the index of metadata does not have the terms of the living versions, and no others")
    living = {(version.artifact, version.number) for version in live}
    wrong += [
        f"alias {alias.name} of artifact {alias.artifact} names no living version"
        for alias in records.aliases
        if (alias.artifact, alias.version) not in living
    ]
    serials = {int.from_bytes(key, "big"): value for key, value in transaction.rows(Table.ALIAS_SERIALS)}
    if serials != {alias.serial: alias.artifact.to_bytes(8, "big") + alias.name.encode() for alias in records.aliases}:
        wrong.append("the serials of aliases do not lead to the aliases")
    return wrong


def _names(records: Records) -> list[str]:
    """Check that names lead to artifacts with living versions and to the projects above them, and nowhere else."""
    names = {key: int.from_bytes(value, "big") for key, value in records.transaction.rows(Table.NAMES)}
    living = {version.artifact for version in records.live}
    wanted, projects, recorded = {}, set(), set()
    for number, artifact in records.artifacts.items():
        if not artifact.is_artifact:
            wanted[artifact.name.encode()] = number
            recorded.add(artifact.name)
        elif number in living:
            wanted[artifact.name.encode()] = number
            components = artifact.name.split("/")
            projects |= {"/".join(components[:depth]) for depth in range(1, len(components))}
        else:
            wanted[b"\0" + artifact.name.encode()] = number
    wrong = []
    if names != wanted:
        wrong.append(f"the names are {sorted(names.items())}, and should be {sorted(wanted.items())}")
    if recorded != projects:
        wrong.append(f"the projects above living artifacts are {sorted(projects)}, and {sorted(recorded)} are recorded")
    return wrong


# -- the journal -------------------------------------------------------------------------------------------------------


class _Told(NamedTuple):
    """What the journal tells of a version's root, its times, its mount serial, and what describes it."""

    digest: str
    form: str
    mtime_ns: object
    mode: object
    newest_ns: object
    mount: object
    description: object
    metadata: object
    origin: object


class _Replay:
    """The catalogue that results from the acknowledged part of the journal."""

    def __init__(self) -> None:
        self.versions: dict[tuple[str, int], _Told] = {}
        self.deleted: dict[tuple[str, int], _Told] = {}
        self.aliases: dict[tuple[str, str], int] = {}
        self.next: dict[str, tuple[int, int]] = {}
        self.ends: dict[tuple[str, int], object] = {}
        self.rules: object = []
        self.runs: dict[int, object] = {}
        self.blocks: dict[tuple[int, int], str] = {}
        self.edges: dict[tuple[str, str, str], object] = {}
        self.remotes: dict[str, tuple[object, ...]] = {}
        self.tracks: dict[tuple[str, str], str] = {}
        self.there: dict[tuple[str, int, str], tuple[object, ...]] = {}

    def apply(self, event: dict[str, object]) -> None:
        """Apply one event; an event that contradicts earlier ones raises `KeyError`."""
        if event["event"] == "retention":
            self.rules = event["rules"]
            return
        if event["event"] == "run":
            record = event["record"]
            assert isinstance(record, dict)
            self.runs[record["number"]] = record
            return
        if event["event"] == "metrics":
            self.blocks[int(str(event["run"])), int(str(event["block"]))] = str(event["data"])
            return
        if event["event"] == "edge":
            self.edges.setdefault((str(event["from"]), str(event["kind"]), str(event["to"])), event["record"])
            return
        if event["event"] in ("remote", "track", "counterpart"):
            self._apply_of_remotes(event)
            return
        kind, name = event["event"], str(event["name"])
        if kind == "rename":
            self._rename(name, str(event["to"]))
            return
        number = event.get("number", event.get("version"))
        place = (name, number if isinstance(number, int) else -1)
        match kind:
            case "artifact":
                self.next[name] = int(str(event["next_version"])), int(str(event.get("next_pending", 0)))
            case "version":
                self.versions[place] = _Told(
                    str(event["digest"]),
                    str(event["form"]),
                    *(event[field] for field in ("mtime_ns", "mode", "newest_ns", "serial")),
                    *(event[field] for field in ("description", "metadata")),
                    event.get("origin", {}),
                )
                self._take(name, place[1])
            case "number":
                self._renumber(name, int(str(event["version"])), place[1])
            case "delete":
                self.deleted[place] = self.versions.pop(place)
                for alias in [key for key, version in self.aliases.items() if (key[0], version) == place]:
                    del self.aliases[alias]
            case "undelete":
                self.versions[place] = self.deleted.pop(place)
            case "ttl":
                self.ends[place] = event["expires_ns"]
            case "purge":
                table = self.deleted if place in self.deleted else self.versions
                table[place] = table[place]._replace(
                    digest=str(event["digest"]), form=str(event["form"]), mount=event["mount"]
                )
            case "revision":
                self.versions[place] = self.versions[place]._replace(
                    description=event["description"], metadata=event["metadata"]
                )
            case "alias" if number is None:
                del self.aliases[name, str(event["alias"])]
            case "alias":
                self.aliases[name, str(event["alias"])] = place[1]

    def _take(self, name: str, number: int) -> None:
        following, pending = self.next.get(name, (0, 0))
        is_pending = number >= 2**30
        self.next[name] = (
            following if is_pending else max(following, number + 1),
            max(pending, number + 1 - 2**30) if is_pending else pending,
        )

    def _renumber(self, name: str, before: int, number: int) -> None:
        self.versions[name, number] = self.versions.pop((name, before))
        if (name, before) in self.ends:
            self.ends[name, number] = self.ends.pop((name, before))
        for there in [there for there in self.there if there[:2] == (name, before)]:
            self.there[name, number, there[2]] = self.there.pop(there)
        for key in [key for key, version in self.aliases.items() if (key[0], version) == (name, before)]:
            self.aliases[key] = number
        if before >= 2**30:
            self.aliases[name, f"p{before - 2**30}"] = number
        self._take(name, number)

    def _rename(self, name: str, to: str) -> None:
        for table in (self.versions, self.deleted, self.aliases, self.ends):
            for place in [place for place in table if place[0] == name]:
                table[to, place[1]] = table.pop(place)  # type: ignore[index]  # keyed by number or by alias
        self.next[to] = self.next.pop(name)
        for track in [track for track in self.tracks if track[0] == name]:
            self.tracks[to, track[1]] = self.tracks.pop(track)
        for there in [there for there in self.there if there[0] == name]:
            self.there[to, *there[1:]] = self.there.pop(there)

    def _apply_of_remotes(self, event: dict[str, object]) -> None:
        if event["event"] == "track":
            self.tracks[str(event["name"]), str(event["remote"])] = str(event["artifact"])
            return
        uuid = str(event["uuid"])
        if event["event"] == "counterpart":
            place = (str(event["name"]), int(str(event["version"])), str(event["remote"]))
            self.there[place] = (uuid, event["number"], event["way"])
            if event["way"] == "none":
                del self.there[place]
        elif event["name"] is not None:
            self.remotes[uuid] = (event["name"], event["url"], event.get("access", "write") != "write")
        else:
            del self.remotes[uuid]
            self.tracks = {place: track for place, track in self.tracks.items() if place[1] != uuid}
            self.there = {place: there for place, there in self.there.items() if place[2] != uuid}


def _journal(workspace: Path, records: Records) -> list[str]:
    """Compare the catalogue with a replay of the journal."""
    artifacts, state = records.artifacts, records.state
    acknowledged = journal.journal_path(workspace, state.journal_generation).read_bytes()[: state.journal_end]
    if len(acknowledged) < state.journal_end:
        return [f"the journal ends at {len(acknowledged)}, before its acknowledged end {state.journal_end}"]
    replayed = _Replay()
    for event in _events(acknowledged):
        try:
            replayed.apply(event)
        except KeyError:
            return [f"the journal says {event}, which cannot be"]

    def named(versions: list[VersionRecord]) -> dict[tuple[str, int], _Told]:
        return {
            (artifacts[version.artifact].name, version.number): _Told(
                version.digest.hex(),
                version.form.hex(),
                *(version.mtime_ns, version.mode, version.newest_ns, version.mount),
                *(version.description, version.metadata, version.origin),
            )
            for version in versions
        }

    live, deleted = named(records.live), named(records.deleted)
    wrong = []
    if replayed.versions != live:
        wrong.append(f"the journal tells of the versions {sorted(replayed.versions)}, and {sorted(live)} are there")
    if any(replayed.deleted.get(place) != version for place, version in deleted.items()):
        wrong.append(
            f"the journal tells of the deleted versions {sorted(replayed.deleted)}, and {sorted(deleted)} wait"
        )
    aliases = {(artifacts[alias.artifact].name, alias.name): alias.version for alias in records.aliases}
    if replayed.aliases != aliases:
        wrong.append(f"the journal tells of the aliases {replayed.aliases}, and {aliases} are there")
    ends = {(artifacts[version.artifact].name, version.number): version.expires_ns for version in records.live}
    if ends != {place: replayed.ends.get(place, 0) for place in ends}:
        wrong.append(f"the journal tells of the ends {replayed.ends}, and they are {ends}")
    if replayed.rules != [rule.record() for rule in read_rules(records.transaction).rules]:
        wrong.append(f"the journal tells of the retention rules {replayed.rules}")
    wrong += _run_faults(records, replayed)
    wrong += _remote_faults(records, artifacts, replayed)
    following = {
        artifact.name: (artifact.next_version, artifact.next_pending)
        for artifact in artifacts.values()
        if artifact.is_artifact
    }
    if replayed.next != following:
        wrong.append(f"the journal tells that the next versions are {replayed.next}, and they are {following}")
    return wrong


def _run_faults(records: Records, replayed: _Replay) -> list[str]:
    """Compare runs, their logged rows, and lineage; each edge is two rows, and dangles only where it must."""
    read = records.transaction
    wrong = []
    runs = {int.from_bytes(key, "big"): json.loads(payload) for key, payload in read.rows(Table.RUNS)}
    if runs != replayed.runs:
        wrong.append(f"the journal tells of the runs {replayed.runs}, and {runs} are there")
    ids = {key: int.from_bytes(payload, "big") for key, payload in read.rows(Table.RUN_IDS)}
    if ids != {f"{run['project']}\0{run['id']}".encode(): number for number, run in runs.items()}:
        wrong.append(f"the ids {ids} do not lead to the runs {sorted(runs)}")
    blocks = {
        (int.from_bytes(key[:8], "big"), int.from_bytes(key[8:], "big")): base64.b64encode(data).decode()
        for key, data in read.rows(Table.METRICS)
    }
    if blocks != replayed.blocks:
        wrong.append(f"the journal tells of the blocks {sorted(replayed.blocks)}, and {sorted(blocks)} are there")
    if sorted(blocks) != [(number, block) for number in sorted(runs) for block in range(runs[number]["blocks"])]:
        wrong.append(f"the runs have other blocks than {sorted(blocks)}")
    ahead, back = {}, set()
    for key, payload in read.rows(Table.LINEAGE):
        here, there = (f"{chr(end[0])}{int.from_bytes(end[1:], 'big')}" for end in (key[:9], key[11:]))
        if key[9:10] == b">":
            ahead[here, chr(key[10]), there] = json.loads(payload)
        else:
            back.add((there, chr(key[10]), here))
    if back != ahead.keys():
        wrong.append(f"the edges {sorted(ahead)} are {sorted(back)} from their other ends")
    recorded = {f"v{version.serial}" for version in records.versions} | {f"r{number}" for number in runs}
    wanted = dict(replayed.edges)
    while loose := [edge for edge in wanted if edge[2] not in recorded | {source for source, _, _ in wanted}]:
        for edge in loose:
            del wanted[edge]
    if wanted != ahead:
        wrong.append(f"the journal tells of the edges {sorted(wanted)}, and {sorted(ahead)} are there")
    return wrong


def _remote_faults(records: Records, artifacts: dict[int, ArtifactRecord], replayed: _Replay) -> list[str]:
    """Compare remotes, and what tracks them; a version that was reaped is in no table."""
    read = records.transaction
    named = {key.hex(): json.loads(payload) for key, payload in read.rows(Table.REMOTES)}
    remotes = {uuid: (record["name"], record["url"], record["read_only"]) for uuid, record in named.items()}
    tracks = {
        (artifacts[int.from_bytes(key[:8], "big")].name, key[8:].hex()): payload.hex()
        for key, payload in read.rows(Table.TRACKED)
    }
    places = {version.serial: (artifacts[version.artifact].name, version.number) for version in records.versions}
    there = {
        (*places[int.from_bytes(key[:4], "big")], key[4:].hex()): (
            payload[:16].hex(),
            int.from_bytes(payload[16:20], "little"),
            {1: "pushed", 2: "pulled"}[payload[20]],
        )
        for key, payload in read.rows(Table.COUNTERPARTS)
        if payload[20]
    }
    wanted = {place: row for place, row in replayed.there.items() if place[:2] in places.values()}
    wrong = []
    if (remotes, tracks, there) != (replayed.remotes, replayed.tracks, wanted):
        wrong.append(
            f"the journal tells of the remotes {replayed.remotes}, {replayed.tracks} and {wanted}, "
            f"and {remotes}, {tracks} and {there} are there"
        )
    loose = {key.hex() for table in (Table.PLACES, Table.PUSHES) for key, _ in read.rows(table)}
    wrong += [f"the row {key} belongs to no remote" for key in sorted(loose) if key[:32] not in remotes]
    return wrong


def _events(data: bytes) -> Iterator[dict[str, object]]:
    """Yield the events of a journal, which is whole."""
    position = 0
    while position < len(data):
        length, checksum = _EVENT.unpack_from(data, position)
        payload = data[position + _EVENT.size : position + _EVENT.size + length]
        if len(payload) != length or xxh3_64_intdigest(payload) != checksum:
            raise DamageError(f"the journal is damaged at {position}")
        yield json.loads(payload)
        position += _EVENT.size + length


def _drafts(workspace: Path, records: Records) -> list[str]:
    """Check that every draft that holds nodes is listed; one that ended between two batches may hold none.

    A named draft holds its initial tree and its current tree, and nothing else.
    """
    listed = {draft.number: draft for draft in list_drafts(records.transaction, workspace / "run")}
    holding: dict[int, set[int]] = {}
    for draft, node in records.staged:
        holding.setdefault(draft, set()).add(node)
    wrong = [f"draft {number} holds nodes and is not listed" for number in sorted(holding.keys() - listed.keys())]
    for draft in listed.values():
        record = find_open(records.transaction, draft.id) if draft.id else None
        wanted = set() if record is None else {record.start, record.root} | {part["node"] for part in record.parts}
        if record is not None and holding.get(record.draft) != wanted:
            wrong.append(f"{draft.title} holds {holding.get(record.draft)}, not {wanted}")
    return wrong
