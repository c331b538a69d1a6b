"""What a deletion gives back, and what it costs, to the byte: against brute force and against ``du``."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import permutations
from pathlib import Path
from unittest import mock

import pytest

from artstore.changes.committing import Commit, commit
from artstore.errors import DamageError, NotFoundError
from artstore.ingest.staging import Stager
from artstore.records.tables import Table
from artstore.rows.nodes import node_extent, node_payload
from artstore.storage.environment import Environment
from artstore.storage.manifest import ReadTransaction, WriteTransaction
from artstore.storage.packs import pack_path
from artstore.store import Store
from artstore.workspace import Workspace
from store.deletion_model import Tree, model_of_tree, stage
from store.oracle import Model, assert_sound, leftovers, model_of, usage_contradictions, write_folder

MB = 1_000_000
DOG, CAT, RAT = (random.Random(size).randbytes(size * MB) for size in (1, 2, 3))


def put(ws: Workspace, tree: Tree, name: str = "data", *, chunk: int = 3000) -> str:
    """Make the next version, its content in chunks of ``chunk`` bytes; return its name."""
    stager = Stager(ws.store, name, "test")
    try:
        asked = Commit(name, force=True)
        done = stager.commit(
            stage(stager, tree, chunk),
            lambda transaction, root, added: commit(ws.store, transaction, root, asked, stager.stored_bytes + added),
        )
        return f"{name}:v{done.version.number}"
    finally:
        stager.close()


def record_bytes(ws: Workspace, ref: str) -> int:
    """Return the stored bytes of a version's root record alone."""
    with ws.store.snapshot() as snapshot:
        return node_extent(node_payload(snapshot.transaction, ws.version(ref).record.root)).stored


def file_bytes(ws: Workspace, ref: str, path: bytes) -> int:
    """Return the stored bytes of a file: its chunks and its list."""
    with ws.store.snapshot() as snapshot:
        entry = snapshot.resolve(ws.version(ref).record.root, path)
        assert entry is not None
        return snapshot.stored_bytes(entry.node)


def pack_blocks(ws: Workspace) -> int:
    """Return the bytes that packs take on the disk."""
    return sum(path.stat().st_blocks * 512 for path in (ws.path / "packs").iterdir())


def assert_only_the_living(ws: Workspace) -> None:
    assert leftovers(ws) == []
    assert_sound(ws)
    assert usage_contradictions(ws) == []


# -- the documented example --------------------------------------------------------------------------------------------


@pytest.fixture
def pets(workspace: Workspace, tmp_path: Path) -> Workspace:
    """v0: a cat of 2 MB and a dog of 1 MB; v1: a rat of 3 MB as well."""
    model: Model = {b"cat": ("file", CAT), b"dog": ("file", DOG)}
    workspace.put(write_folder(tmp_path / "v0", model), "pets")
    workspace.put(write_folder(tmp_path / "v1", {**model, b"rat": ("file", RAT)}), "pets")
    return workspace


def test_the_second_version_tracks_six_and_occupies_three(pets: Workspace) -> None:
    """v1 refers to 6 MB and was the first to need 3 of them, each with its lists and its directory record."""
    cat, dog, rat = (file_bytes(pets, "pets:v1", name) for name in (b"cat", b"dog", b"rat"))
    assert [round(size / MB, 2) for size in (cat, dog, rat)] == [2, 1, 3]
    first, second = pets.usage_by_version("pets")
    root0, root1 = record_bytes(pets, "pets:v0"), record_bytes(pets, "pets:v1")
    assert (first.alone, first.unique, first.attributed) == (cat + dog + root0, root0, cat + dog + root0)
    assert (second.alone, second.unique, second.attributed) == (cat + dog + rat + root1, rat + root1, rat + root1)
    assert pets.usage().stored_bytes == cat + dog + rat + root0 + root1
    assert usage_contradictions(pets) == []


def test_deleting_the_second_gives_three_back(pets: Workspace) -> None:
    """Deleting v1 gives back the rat and v1's record, to the byte, and on the disk too; v0 stays what it was."""
    rat, root1 = file_bytes(pets, "pets:v1", b"rat"), record_bytes(pets, "pets:v1")
    before, blocks = pets.usage(), pack_blocks(pets)
    done = pets.delete("pets:v1", now=True)
    assert done.freed_bytes == done.reaped_bytes == rat + root1
    after = pets.usage()
    assert before.stored_bytes - after.stored_bytes == rat + root1
    assert 0 <= rat + root1 - (blocks - pack_blocks(pets)) <= 3 * 4096
    [first] = pets.usage_by_version("pets")
    assert first.unique == first.attributed == first.alone == after.stored_bytes
    assert pets.version("pets:v0").read_bytes("cat") == CAT
    assert_only_the_living(pets)


def test_deleting_the_first_gives_nothing_back(pets: Workspace) -> None:
    """Deleting v0 gives back its directory record only, and v1 costs all 6 MB from then on."""
    root0 = record_bytes(pets, "pets:v0")
    before = pets.usage().stored_bytes
    done = pets.delete("pets:v0", now=True)
    assert done.freed_bytes == done.reaped_bytes == root0 < 200
    [second] = pets.usage_by_version("pets")
    assert second.unique == second.attributed == second.alone == before - root0
    assert round(second.attributed / MB, 1) == 6.0
    assert_only_the_living(pets)


# -- what an artifact store got wrong ----------------------------------------------------------------------------------


def test_orphans_are_found_however_deep(workspace: Workspace) -> None:
    """What was deleted, and what a put left that died, is found and goes, however deep names and folders are."""
    deep: Tree = {b"a": {b"b": {b"c": {b"d": os.urandom(5000)}}}}
    put(workspace, deep, "one/two/three/four")
    stager = Stager(workspace.store, "one/two/three/five", "test")
    stage(stager, {b"x": {b"y": os.urandom(7000)}})
    stager._write(None, None)
    stager.close()
    workspace.delete("one/two/three/four", recursive=True)
    assert workspace.artifacts() == [] and not workspace.is_project("one")
    assert workspace.usage().stored_bytes > 0
    workspace.gc(now=True)
    usage = workspace.usage()
    assert (usage.stored_bytes, usage.deadlist_bytes, usage.deadlist_entries) == (0, 0, 0)
    assert list((workspace.path / "packs").iterdir()) == []
    assert list((workspace.path / "run" / "drafts").iterdir()) == []
    assert_only_the_living(workspace)


def test_what_another_shares_stays(workspace: Workspace) -> None:
    """Deleting one pipeline's artifacts leaves the files that another's share with it."""
    shared, own = os.urandom(9000), os.urandom(9000)
    put(workspace, {b"scaler": shared, b"model": own, b"both": {b"f": shared}}, "first/artifacts")
    kept: Tree = {b"scaler": shared, b"both": {b"f": shared}}
    put(workspace, kept, "second/artifacts")
    done = workspace.delete("first/artifacts", recursive=True, now=True)
    assert 9000 <= done.reaped_bytes < 9500
    version = workspace.version("second/artifacts:v0")
    assert model_of(workspace.store, version.record.root) == model_of_tree(kept)
    assert_only_the_living(workspace)


@pytest.mark.parametrize("name", ["data/A", "data/A-B", "data/AB"])
def test_deleting_a_leaves_b(workspace: Workspace, name: str) -> None:
    """Deleting all of one artifact takes nothing of those whose names begin like its own."""
    names = ["data/A", "data/A-B", "data/AB", "A"]
    for number, each in enumerate(names):
        for generation in range(2):
            put(workspace, {b"f": bytes([number, generation]) * 3000, b"same": b"same" * 1000}, each)
    workspace.delete(name, recursive=True, now=True)
    assert [artifact.name for artifact in workspace.artifacts()] == sorted(set(names) - {name})
    for number, each in enumerate(names):
        if each != name:
            assert workspace.version(f"{each}:v0").read_bytes("f") == bytes([number, 0]) * 3000
            assert workspace.version(f"{each}:v1").read_bytes("same") == b"same" * 1000
    assert_only_the_living(workspace)


@pytest.mark.parametrize("table", [Table.NODES, Table.COUNTS, Table.DEADLIST])
def test_an_unreadable_record_frees_nothing(workspace: Workspace, table: Table) -> None:
    """Where a record that a deletion depends on does not read, the reaper says so, and every byte stays."""
    put(workspace, {b"f": os.urandom(5000), b"g": os.urandom(5000)})
    put(workspace, {b"g": os.urandom(5000)})
    root = workspace.version("data:v0").record.root
    workspace.delete("data:v0")
    with workspace.store.write() as transaction:
        keys = {
            Table.NODES: root.to_bytes(8, "big"),
            Table.COUNTS: (root // 128).to_bytes(8, "big"),
            Table.DEADLIST: next(key for key, _ in transaction.rows(Table.DEADLIST)),
        }
        value = bytearray(transaction.raw.get(keys[table], db=transaction.handles[table]))
        value[1] ^= 1
        transaction.raw.put(keys[table], bytes(value), db=transaction.handles[table])
    before = (workspace.path / "packs" / "00000001.pack").read_bytes()
    with pytest.raises(DamageError):
        workspace.gc(now=True)
    assert (workspace.path / "packs" / "00000001.pack").read_bytes() == before
    with workspace.store.snapshot() as snapshot:
        counters = snapshot.usage_totals()
    assert (counters.condemned_bytes, counters.free_bytes, counters.deadlist_entries) == (0, 0, 1)


# -- content that disappears and comes back ----------------------------------------------------------------------------

BACK, ALWAYS = os.urandom(10_000), os.urandom(8_000)


@pytest.mark.parametrize("order", list(permutations((1, 2, 3))))
@pytest.mark.parametrize("at_once", [False, True])
def test_content_that_comes_back(workspace: Workspace, order: tuple[int, ...], at_once: bool) -> None:
    """Content is in v1, not in v2, and in v3 again: in whatever order they go, each frees what it alone still holds."""
    folder: Tree = {b"deep": {b"back": BACK}, b"x": ALWAYS[:100]}
    trees: dict[int, Tree] = {
        0: {b"other": b"v0"},
        1: {b"always": ALWAYS, b"back": BACK, b"folder": folder},
        2: {b"always": ALWAYS},
        3: {b"always": ALWAYS, b"back": BACK, b"folder": folder, b"new": os.urandom(4000)},
    }
    for number in range(4):
        put(workspace, trees[number])
    promised = 0
    before = workspace.usage().stored_bytes
    for position, number in enumerate(order):
        expected = {row.number: row.unique for row in workspace.usage_by_version("data")}[number]
        done = workspace.delete(f"data:v{number}", now=at_once)
        assert done.freed_bytes == expected
        promised += done.freed_bytes
        assert usage_contradictions(workspace) == []
        for left in (0, *order[position + 1 :]):
            version = workspace.version(f"data:v{left}")
            assert model_of(workspace.store, version.record.root) == model_of_tree(trees[left])
        with pytest.raises(NotFoundError):
            workspace.version(f"data:v{number}")
    report = workspace.gc(now=True)
    assert report.freed_bytes == (0 if at_once else promised)
    assert before - workspace.usage().stored_bytes == promised
    assert_only_the_living(workspace)


# -- what it costs -----------------------------------------------------------------------------------------------------


def test_small_chunks_give_their_space_back(store: Store) -> None:
    """Of 10,000 chunks of 3,000 bytes half go, scattered over a pack: 90 % of their bytes are free on disk."""
    ws = Workspace(store)
    files = {b"%05d" % number: os.urandom(3000) for number in range(10_000)}
    put(ws, files)
    kept = random.Random(1).sample(sorted(files), 5000)
    put(ws, {name: files[name] for name in kept})
    os.sync()
    before = pack_blocks(ws)
    ws.delete("data:v0")
    ws.gc(now=True)
    os.sync()
    assert before - pack_blocks(ws) >= 0.9 * 5000 * 3000
    for name in kept[::50]:
        assert ws.version("data:v1").read_bytes(name) == files[name]
    assert_only_the_living(ws)


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """Count the rows that transactions get and change, by table, inside the block."""
    rows: Counter[str] = Counter()

    def count(kind: type, name: str, word: str) -> mock._patch[Callable[..., object]]:
        real = getattr(kind, name)

        def call(self: object, table: object, *arguments: object) -> object:
            rows[f"{word} {table.name if isinstance(table, Table) else 'INDEX'}"] += 1
            return real(self, table, *arguments)

        return mock.patch.object(kind, name, call)

    with (
        count(ReadTransaction, "get", "get"),
        count(ReadTransaction, "get_numbered", "get"),
        count(ReadTransaction, "find", "get"),
        count(WriteTransaction, "put", "put"),
        count(WriteTransaction, "put_numbered", "put"),
        count(WriteTransaction, "put_index", "put"),
        count(WriteTransaction, "delete", "put"),
    ):
        yield rows


def many_files(count: int) -> dict[bytes, dict[bytes, bytes]]:
    """Return folders of 1000 files of 8 bytes each, all different."""
    return {
        b"%04d" % folder: {b"%04d" % file: b"%04d%04d" % (folder, file) for file in range(1000)}
        for folder in range(count // 1000)
    }


def test_deleting_touches_what_is_not_shared(workspace: Workspace) -> None:
    """Deleting a version that shares all but 10 files touches O(10 x depth x fan-out) records, however many it has."""
    touched = []
    for count in (10_000, 20_000):
        name = f"n{count}"
        tree = many_files(count)
        put(workspace, tree, name)
        folders = sorted(tree)
        for number in range(10):
            folder = folders[number * len(folders) // 10]
            tree[folder] = {**tree[folder], b"%04d" % (97 * number): b"changed %d %d" % (count, number)}
        ref = put(workspace, tree, name)
        with counted() as rows:
            workspace.delete(ref)
        with counted() as reaping:
            workspace.gc(now=True)
        assert rows["put NODES"] == rows["put COUNTS"] == 0
        # Ten files, the records of their folders at two levels, the root: no more nodes go, however many there are.
        assert reaping["put NODES"] <= 10 + 2 * 10 + 1 + 1
        touched.append(sum((rows + reaping).values()))
        assert touched[-1] <= 10 * 3 * 64
    assert touched[1] <= 1.5 * touched[0], touched
    assert_only_the_living(workspace)


def pages(path: Path) -> list[bytes]:
    data = path.read_bytes()
    return [data[start : start + 4096] for start in range(0, len(data), 4096)]


def test_deleting_is_one_small_transaction(workspace: Workspace) -> None:
    """Deleting writes the same rows, in one transaction, and as few pages of LMDB, for 10 files and for 10,000."""
    sizes = (10, 10_000)
    for files in sizes:
        put(workspace, {b"%05d" % number: b"%d" % number for number in range(files)}, f"n{files}")
        put(workspace, {b"one": b"one"}, f"n{files}")
    written: list[Counter[str]] = []
    changed = []
    data = Environment.of(workspace.store.path).folder / "data.mdb"
    for files in sizes:
        with workspace.store.snapshot() as snapshot:
            number = snapshot.number
        before = pages(data)
        with counted() as rows:
            workspace.delete(f"n{files}:v0")
        after = pages(data)
        with workspace.store.snapshot() as snapshot:
            assert snapshot.number == number + 1
        written.append(Counter({word: count for word, count in rows.items() if word.startswith("put")}))
        changed.append(sum(old != new for old, new in zip(before, after, strict=False)) + len(after) - len(before))
    terms = written[0].pop("put TERMS", 0)  # one for each value of its metadata and origin, whatever its files
    assert terms == written[1].pop("put TERMS", 0) <= 10, written
    assert written[0] == written[1] and sum(written[0].values()) <= 5, written
    assert max(changed) <= 20 and abs(changed[0] - changed[1]) <= 4, changed


# -- who uses how much -------------------------------------------------------------------------------------------------


def test_rows_sum_to_the_workspace(workspace: Workspace) -> None:
    """By project and by type, with what only drafts hold, the rows sum to the stored bytes at every stage."""
    shared = os.urandom(6000)
    for number, name in enumerate(["a", "team/b", "team/c", "team/deep/d"]):
        put(workspace, {b"own": os.urandom(3000 + number), b"shared": shared}, name)
        put(workspace, {b"own": os.urandom(2000), b"shared": shared}, name)
    workspace.set_type("team/b", "dataset")
    stager = Stager(workspace.store, "team/e", "test")
    stage(stager, {b"staged": os.urandom(2500)})
    stager._write(None, None)
    stages: list[Callable[[], object]] = [
        lambda: None,
        lambda: workspace.delete("a:v0"),
        lambda: workspace.delete("team/b:*"),
        lambda: workspace.gc(),
        lambda: workspace.undelete("team/b:v1"),
        lambda: workspace.gc(now=True),
        lambda: stager.close(),
        lambda: workspace.gc(now=True),
        lambda: workspace.delete("team/c", "team/deep/d", recursive=True, now=True),
    ]
    for change in stages:
        change()
        assert usage_contradictions(workspace) == []
        usage = workspace.usage()
        for group in ("project", "type"):
            rows = workspace.usage_by(group)
            assert sum(row.attributed for row in rows) == usage.stored_bytes
            assert sum(row.versions for row in rows) == usage.versions
            assert sum(row.logical for row in rows) == usage.logical_bytes
    assert_only_the_living(workspace)


def test_space_of_a_pack_that_is_gone_is_gone(workspace: Workspace) -> None:
    """Once nothing is left of a pack, its file, its gaps and its framing are gone as well."""
    put(workspace, {b"f": os.urandom(50_000)})
    assert pack_path(workspace.path, 1).exists()
    workspace.delete("data:v0", now=True)
    assert list((workspace.path / "packs").iterdir()) == []
    with workspace.store.snapshot() as snapshot:
        counters = snapshot.usage_totals()
    assert (counters.free_bytes, counters.framing_bytes, counters.condemned_bytes, counters.stored_bytes) == (
        0,
        0,
        0,
        0,
    )
    put(workspace, {b"g": b"again"})
    assert not pack_path(workspace.path, 1).exists()
    assert_only_the_living(workspace)
