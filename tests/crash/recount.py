"""Counting everything anew: what a workspace's manifest, packs and journal must say of each other.

Brute force, from the invariants that `artstore.manifest` and `docs/format.md` state, not from the code that keeps them.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

from artstore import journal, manifest
from artstore.drafts import list_drafts
from artstore.manifest import ReadTransaction, Table
from artstore.nodes import all_counts, children_of, node_extent
from artstore.packs import pack_path, read_segments
from artstore.records.catalogue import AliasRecord, ArtifactRecord, VersionRecord
from artstore.records.packing import CLASS_CONTENT, CLASS_LIST, CLASS_TREE, HEADER_LENGTH


def contradictions(workspace: Path) -> list[str]:
    """Return one sentence for each thing that does not add up; none for a sound workspace."""
    with manifest.read(workspace) as transaction:
        return [
            *_counts(transaction),
            *_bytes(workspace, transaction),
            *_catalogue(workspace, transaction),
            *_drafts(workspace, transaction),
        ]


def _versions(transaction: ReadTransaction) -> list[VersionRecord]:
    return [VersionRecord.decode(payload) for _, payload in transaction.rows(Table.VERSIONS)]


def _staged(transaction: ReadTransaction) -> list[tuple[int, int]]:
    with transaction.raw.cursor(transaction.handles[Table.STAGED]) as cursor:
        keys = [bytes(key) for key in cursor.iternext(values=False)]
    return [(int.from_bytes(key[:8], "big"), int.from_bytes(key[8:], "big")) for key in keys]


def _counts(transaction: ReadTransaction) -> list[str]:
    """Compare each node's count with the references that there are, and the index with the nodes."""
    wanted: Counter[int] = Counter(node for _, node in _staged(transaction))
    wanted.update(version.root for version in _versions(transaction) if version.state == "live")
    nodes: dict[int, bytes] = {}
    for node, payload in transaction.numbered_rows(Table.NODES):
        nodes[node] = payload
        wanted.update(children_of(payload))
    found = dict(all_counts(transaction))
    wrong = [
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
        if node in nodes and (nodes[node][2:34] != key[1:] or key[0] not in (CLASS_CONTENT, CLASS_LIST, CLASS_TREE)):
            wrong.append(f"the index leads from {key.hex()} to node {node}, which is something else")
    if nodes and max(nodes) >= transaction.counters().next_node:
        wrong.append("a node has a number that is still to be given out")
    return wrong


def _bytes(workspace: Path, transaction: ReadTransaction) -> list[str]:
    """Compare extents with packs: nothing overlaps, all is inside, sums are what the counters say."""
    ends = {int.from_bytes(key, "big"): int.from_bytes(value, "little") for key, value in transaction.rows(Table.PACKS)}
    free = [
        (int.from_bytes(key[:4], "big"), int.from_bytes(key[4:], "big"), int.from_bytes(value, "little"))
        for key, value in transaction.rows(Table.FREE)
    ]
    used = []
    ids = {}
    for _, payload in transaction.numbered_rows(Table.NODES):
        extent = node_extent(payload)
        ids[extent.pack, extent.offset, extent.stored] = payload[2:34]
        if extent.stored:
            used.append((extent.pack, extent.offset, extent.stored))
    wrong = []
    position = (0, 0)
    for pack, offset, stored in sorted(used + free):
        if (pack, offset) < position:
            wrong.append(f"bytes at {offset} of pack {pack} belong to two")
        position = (pack, offset + stored)
        if offset < HEADER_LENGTH or offset + stored > ends.get(pack, 0):
            wrong.append(f"bytes at {offset} of pack {pack} lie outside of it")
    for pack, end in ends.items():
        wrong += _pack(workspace, pack, end, ids)
    state = transaction.counters()
    sums = {
        "stored_bytes": (state.stored_bytes, sum(stored for _, _, stored in used)),
        "free_bytes": (state.free_bytes, sum(length for _, _, length in free)),
        "framing_bytes": (state.framing_bytes, sum(ends.values()) - sum(length for *_, length in used + free)),
    }
    wrong += [f"{name} is {kept}, recounted {counted}" for name, (kept, counted) in sums.items() if kept != counted]
    if ends and max(ends) >= state.next_pack:
        wrong.append("a pack has a number that is still to be given out")
    return wrong


def _pack(workspace: Path, pack: int, end: int, ids: dict[tuple[int, int, int], bytes]) -> list[str]:
    """Check that a pack's own indexes name every node that lies in it, as a rebuild needs."""
    path = pack_path(workspace, pack)
    if not path.exists() or path.stat().st_size < end:
        return [f"pack {pack} is shorter than its {end} acknowledged bytes"]
    packed = {
        (pack, entry.offset, entry.stored): entry.klass for segment in read_segments(path, end) for entry in segment
    }
    return [
        f"the indexes of pack {pack} do not name the node at {place[1]}"
        for place in ids
        if place[0] == pack and place not in packed
    ]


def _catalogue(workspace: Path, transaction: ReadTransaction) -> list[str]:
    """Compare the catalogue with its counters, and with what replaying the journal gives."""
    artifacts = {
        number: ArtifactRecord.decode(payload) for number, payload in transaction.numbered_rows(Table.ARTIFACTS)
    }
    versions = _versions(transaction)
    live = [version for version in versions if version.state == "live"]
    state = transaction.counters()
    wrong = []
    if state.versions != len(live) or state.logical_bytes != sum(version.bytes for version in live):
        wrong.append(f"the counters tell of {state.versions} versions, and {len(live)} are there")
    for artifact in artifacts.values():
        numbers = sorted(version.number for version in versions if version.artifact == artifact.number)
        if numbers != list(range(artifact.next_version)):
            wrong.append(f"{artifact.name} has the versions {numbers}, and the next is {artifact.next_version}")
    path = journal.journal_path(workspace)
    length = path.stat().st_size
    if length < state.journal_end:
        return [*wrong, f"the journal ends at {length}, before its acknowledged end {state.journal_end}"]
    told_versions, told_aliases = _replayed(path, state.journal_end)
    have = {(artifacts[version.artifact].name, version.number): version.digest.hex() for version in versions}
    if told_versions != have:
        wrong.append(f"the journal tells of the versions {sorted(told_versions)}, and {sorted(have)} are there")
    aliases = {
        (artifacts[alias.artifact].name, alias.name): alias.version
        for alias in (AliasRecord.decode(payload) for _, payload in transaction.rows(Table.ALIASES))
    }
    if told_aliases != aliases:
        wrong.append(f"the journal tells of the aliases {told_aliases}, and {aliases} are there")
    return wrong


def _replayed(path: Path, end: int) -> tuple[dict[tuple[str, int], str], dict[tuple[str, str], int]]:
    """Return the versions and aliases that the acknowledged part of the journal leads to."""
    versions: dict[tuple[str, int], str] = {}
    aliases: dict[tuple[str, str], int] = {}
    with tempfile.NamedTemporaryFile() as acknowledged:
        acknowledged.write(path.read_bytes()[:end])
        acknowledged.flush()
        for event in journal.replay(Path(acknowledged.name)):
            if event["event"] == "version":
                versions[event["name"], event["number"]] = event["digest"]
            elif event["event"] == "alias" and event["version"] is None:
                aliases.pop((event["name"], event["alias"]))
            elif event["event"] == "alias":
                aliases[event["name"], event["alias"]] = event["version"]
    return versions, aliases


def _drafts(workspace: Path, transaction: ReadTransaction) -> list[str]:
    """Check that every draft that holds something is listed; one that ended between two batches may hold nothing."""
    listed = {draft.number: draft for draft in list_drafts(transaction, workspace / "run")}
    holding = {draft for draft, _ in _staged(transaction)}
    return [f"draft {number} holds nodes and is not listed" for number in sorted(holding - listed.keys())]
