"""Accounting: the disk's terms against ``du``, and versions against a recount of every node."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from artstore.errors import DamageError, NotFoundError
from artstore.ids import content_id
from artstore.ingest.staging import Stager
from artstore.queries import usage as usage_module
from artstore.queries.usage import (
    DRAFTS,
    GroupUsage,
    Usage,
    VersionUsage,
    by_project,
    by_type,
    disk_use,
    version_usage,
    workspace_usage,
)
from artstore.records.catalogue import VersionRecord
from artstore.records.packing import HEADER_LENGTH
from artstore.records.tables import Table
from artstore.rows.nodes import children_of, node_extent, node_payload
from artstore.storage.codec import encode
from artstore.storage.manifest import ReadTransaction
from artstore.storage.packs import pack_path, read_segments
from artstore.storage.reserve import RESERVE
from artstore.store import Store
from artstore.workspace import Workspace
from forgery import forge_node
from messages import raises

CommitTree = Callable[..., Any]

NAMES = st.sampled_from([b"a", b"b", b"c"])
CONTENTS = st.integers(0, 4).map(lambda size: bytes(range(1, 1 + size)) * 700)
TREES = st.recursive(
    st.dictionaries(NAMES, CONTENTS, max_size=3),
    lambda below: st.dictionaries(NAMES, CONTENTS | below, max_size=3),
    max_leaves=8,
)
MB = 1_000_000


def measured(store: Store) -> int:
    """Return what ``du`` says of a workspace."""
    return int(subprocess.check_output(["du", "-s", "--block-size=1", store.path]).split()[0])


def assert_identity(store: Store) -> Usage:
    usage = workspace_usage(store)
    terms = (
        usage.stored_bytes,
        usage.manifest_bytes,
        usage.deadlist_bytes,
        usage.condemned_bytes,
        usage.free_bytes,
        usage.other_bytes,
    )
    assert usage.disk_bytes == sum(terms)
    return usage


def reached(transaction: ReadTransaction, root: int) -> dict[int, int]:
    """Return the stored bytes of every node that a root reaches, by node."""
    found: dict[int, int] = {}
    stack = [root]
    while stack:
        node = stack.pop()
        if node not in found:
            payload = node_payload(transaction, node)
            found[node] = node_extent(payload).stored
            stack += children_of(payload)
    return found


def stage_and_leave(store: Store, data: bytes) -> int:
    """Leave a dead draft that holds one chunk; return the chunk's stored bytes."""
    stager = Stager(store, "unfinished", "test")
    stager.chunk(content_id(data), len(data), encode(data))
    stager._write(None, None)
    stager.close(keep=True)
    return stager.stored_bytes


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "files"
    folder.mkdir()
    yield folder


def test_the_disk_is_the_sum_of_its_terms(store: Store, files: Path) -> None:
    """At every stage of a workspace's life the terms sum to the byte to what ``du`` says."""
    ws = Workspace(store)
    assert assert_identity(store).disk_bytes == measured(store)
    for number in range(4):
        (files / f"{number}").write_bytes(os.urandom(300_000) + bytes(500_000))
        (files / "small").write_bytes(b"%d" % number)
        ws.put(files, "team/data", aliases=["a"])
        usage = assert_identity(store)
        assert usage.disk_bytes == measured(store)
        assert usage.versions == number + 1
    assert usage.logical_bytes == sum(version.size for version in ws.versions("team/data"))
    assert usage.stored_bytes >= 4 * 300_000
    assert (usage.free_bytes, usage.deadlist_bytes, usage.deadlist_entries, usage.condemned_bytes) == (0, 0, 0, 0)


def test_other_is_bounded(store: Store, commit_tree: CommitTree) -> None:
    """What is neither content nor manifest is the reserve, a block for each file and folder, and the packs' framing."""
    commit_tree({b"%d" % number: b"%d" % number * 1000 for number in range(500)})
    other = assert_identity(store).other_bytes
    entries = sum(1 for _ in store.path.rglob("*")) + 1
    assert RESERVE <= other <= RESERVE + 4096 * entries + 120 * 600


def test_torn_tails_garbage_and_holes_are_other(store: Store, commit_tree: CommitTree) -> None:
    """A pack's bytes past its recorded end, a stranger's file and a second link are counted once, where ``du`` does."""
    commit_tree({b"a": os.urandom(5000)})
    before = assert_identity(store)
    with pack_path(store.path, 1).open("ab") as pack:
        pack.write(b"torn" * 5000)
    (store.path / "packs" / "stranger").write_bytes(b"?" * 10_000)
    (store.path / "cache" / "link").hardlink_to(store.path / "packs" / "stranger")
    (store.path / "run" / "symlink").symlink_to("/usr")
    with (store.path / "cache" / "sparse").open("wb") as sparse:
        sparse.truncate(1 << 30)
    os.sync()
    after = assert_identity(store)
    assert after.disk_bytes == measured(store)
    assert after.other_bytes - before.other_bytes == after.disk_bytes - before.disk_bytes >= 30_000


def test_framing_is_what_packs_hold_beside_nodes(store: Store, commit_tree: CommitTree) -> None:
    """The framing counter equals the headers, heads and indexes found in the packs themselves."""
    for number in range(3):
        commit_tree({b"%d" % index: b"%d %d" % (index, number) * 100 for index in range(100)})
    with store.snapshot() as snapshot:
        counters = snapshot.transaction.counters()
        ends = dict(snapshot.transaction.rows(Table.PACKS))
    stored = total = 0
    for key, end in ends.items():
        path = pack_path(store.path, int.from_bytes(key, "big"))
        total += int.from_bytes(end, "little")
        stored += sum(entry.stored for segment in read_segments(path) for entry in segment)
    assert counters.framing_bytes == total - stored > HEADER_LENGTH
    assert stored == counters.stored_bytes + counters.free_bytes


def test_bytes_that_lost_a_race_are_condemned(store: Store) -> None:
    """Content that another put brought while this one was staging is given back, and the identity holds."""
    data = os.urandom(10_000)
    first, second = (Stager(store, "a", "test") for _ in range(2))
    for stager in (first, second):
        stager.chunk(content_id(data), len(data), encode(data))
    second._pack(time.time_ns())
    first.commit(first.tree([]), lambda transaction, root, added: (False, None))
    second._pack = lambda now_ns: None  # type: ignore[method-assign]
    second.commit(second.tree([]), lambda transaction, root, added: (False, None))
    for stager in (first, second):
        stager.close()
    usage = assert_identity(store)
    assert usage.condemned_bytes == 10_000
    assert usage.disk_bytes == measured(store)
    assert Workspace(store).gc().freed_bytes == 10_004  # of nodes: the chunk and its empty directory
    assert assert_identity(store).condemned_bytes == 0


def test_figures_are_worked_out_once(store: Store, commit_tree: CommitTree, monkeypatch: pytest.MonkeyPatch) -> None:
    """What took a walk is known the next time, until versions come or go; a lost or damaged file costs time alone."""
    artifact = commit_tree({b"a": os.urandom(500), b"b": os.urandom(300)}, "x").artifact
    commit_tree({b"a": os.urandom(400)}, "x")
    first = version_usage(store, artifact)
    assert [row.attributed for row in first] == [row.alone for row in first]
    with monkeypatch.context() as forbidden:
        forbidden.setattr(usage_module._Reach, "add", None)
        assert version_usage(store, artifact) == first
    Workspace(store).delete("x:v0", now=True)
    last = first[1]
    assert version_usage(store, artifact) == [last]
    kept = store.path / "cache" / "figures.json"
    for damage in (b"", b"[]", b'{"format": 1}', kept.read_bytes().replace(str(last.alone).encode(), b'"?"')):
        kept.write_bytes(damage)
        assert version_usage(store, artifact) == [last]


def test_a_missing_pack_is_damage(store: Store, commit_tree: CommitTree) -> None:
    """Usage does not report a workspace that has lost a pack as if it had none."""
    commit_tree({b"a": b"b"})
    pack_path(store.path, 1).unlink()
    with raises(DamageError, names=[str(pack_path(store.path, 1))], reason="missing"):
        workspace_usage(store)


def test_the_documented_example_of_weights_and_biases(store: Store, files: Path) -> None:
    """Version 0 has a cat of 2 MB and a dog of 1 MB, version 1 a rat of 3 MB as well.

    Version 1 refers to 6 MB and was the first to need 3 of them; deleting it alone would give those back, deleting
    version 0 alone nothing but its directory record.
    """
    ws = Workspace(store)
    (files / "cat").write_bytes(os.urandom(2 * MB))
    (files / "dog").write_bytes(os.urandom(1 * MB))
    ws.put(files, "pets")
    (files / "rat").write_bytes(os.urandom(3 * MB))
    ws.put(files, "pets")
    first, second = ws.usage_by_version("pets")
    records = 2000
    assert 3 * MB < first.alone < 3 * MB + records and 6 * MB < second.alone < 6 * MB + records
    assert first.unique < records and 3 * MB < second.unique < 3 * MB + records
    assert first.attributed == first.alone and 3 * MB < second.attributed < 3 * MB + records
    usage = assert_identity(store)
    assert first.attributed + second.attributed == usage.stored_bytes
    assert usage.logical_bytes == 9 * MB


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(trees=st.lists(TREES, min_size=1, max_size=5))
def test_versions_against_a_recount(store: Store, commit_tree: CommitTree, trees: list[Any]) -> None:
    """Logical, unique and attributed bytes are those that a recount over all nodes of all living versions gives."""
    names = ["x", "y"]
    records = [commit_tree(tree, names[index % 2]) for index, tree in enumerate(trees)]
    with store.snapshot() as snapshot:
        transaction = snapshot.transaction
        living = [VersionRecord.decode(payload) for _, payload in transaction.rows(Table.VERSIONS)]
        of_version = {record.serial: reached(transaction, record.root) for record in living}
        stored_bytes = snapshot.usage_totals().stored_bytes
    for record in records[:2]:
        for row in version_usage(store, record.artifact):
            mine = of_version[row.serial]
            others = {node for serial, nodes in of_version.items() if serial != row.serial for node in nodes}
            earlier = {node for serial, nodes in of_version.items() if serial < row.serial for node in nodes}
            assert row.alone == sum(mine.values())
            assert row.unique == sum(size for node, size in mine.items() if node not in others)
            assert row.attributed == sum(size for node, size in mine.items() if node not in earlier)
            use = disk_use(store, row.serial)
            assert VersionUsage(*use[:6]) == row
            assert use.version == row.version == f"v{row.number}"
    assert sum(group.attributed for group in by_project(store)) == stored_bytes


def test_use_of_one_version_has_its_files(store: Store, commit_tree: CommitTree) -> None:
    """Beside the stored bytes, the use of one version has its files and their apparent bytes."""
    record = commit_tree({b"a": b"x" * 5000, b"b": {b"c": b"x" * 5000}, b"empty": {}})
    use = disk_use(store, record.serial)
    assert (use.files, use.bytes) == (2, 10_000)
    assert use.alone == use.unique == use.attributed < 5000
    with pytest.raises(NotFoundError):
        disk_use(store, record.serial + 1)


def test_groups_sum_to_the_stored_bytes(store: Store, commit_tree: CommitTree) -> None:
    """Rows by project and by type sum to what is stored; what only drafts hold has a row of its own."""
    commit_tree({b"a": os.urandom(500)}, "top")
    commit_tree({b"a": os.urandom(600)}, "team/vision/x", type="dataset")
    commit_tree({b"a": os.urandom(700)}, "team/vision/y", type="model")
    commit_tree({b"a": os.urandom(800)}, "team/vision/y")
    assert sum(row.attributed for row in by_project(store)) == workspace_usage(store).stored_bytes
    held = stage_and_leave(store, os.urandom(900))
    projects, types = by_project(store), by_type(store)
    assert [row[:3] for row in projects] == [("", 1, 500), ("team/vision", 3, 2100), (DRAFTS, 0, 0)]
    assert [row[:3] for row in types] == [("", 1, 500), ("dataset", 1, 600), ("model", 2, 1500), (DRAFTS, 0, 0)]
    assert projects[-1] == types[-1] == GroupUsage(DRAFTS, 0, 0, held)
    usage = assert_identity(store)
    assert sum(row.attributed for row in projects) == sum(row.attributed for row in types) == usage.stored_bytes
    assert sum(row.logical for row in projects) == usage.logical_bytes
    assert usage.disk_bytes == measured(store)


def test_a_counter_of_nodes_is_not_believed(workspace: Workspace, tmp_path: Path) -> None:
    """Nothing is allocated for nodes that are only counted, and a number that was never given is damage."""
    (tmp_path / "file").write_bytes(b"content")
    version = workspace.put(tmp_path, "x")
    expected = version_usage(workspace.store, version.record.artifact)
    for number in (1 << 30, 1 << 48, (1 << 63) - 1):
        with workspace.store.write() as transaction:
            transaction.state.next_node = number
        (workspace.path / "cache" / "figures.json").unlink(missing_ok=True)
        assert version_usage(workspace.store, version.record.artifact) == expected
    with workspace.store.write() as transaction:
        transaction.state.next_node = 20
    (workspace.path / "cache" / "figures.json").unlink(missing_ok=True)
    forge_node(
        workspace, version.record.root, lambda payload: payload[:-36] + (1 << 40).to_bytes(8, "little") + payload[-28:]
    )
    with raises(DamageError, names=[str(1 << 40)]):
        version_usage(workspace.store, version.record.artifact)
