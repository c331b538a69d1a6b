"""A push sends what the remote lacks, once, in few objects; and nothing that is not what the version has."""

from __future__ import annotations

import random
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import pytest

from artstore.errors import DamageError
from artstore.records.catalogue import VersionRecord
from artstore.records.nodes import LostRecord
from artstore.records.packing import CLASS_CONTENT
from artstore.records.tables import Table
from artstore.remotes.packs.containers import CHUNK, RECORD, SET, SPAN, FormEntry, PackObject, parse_pack
from artstore.remotes.packs.manifests import decode_manifest
from artstore.remotes.packs.output import PackOutput
from artstore.remotes.packs.pack_sets import packs_of
from artstore.remotes.packs.places import DATA, TREES, Pack, parse_object_name
from artstore.remotes.packs.writing import WrittenVersion, write_version
from artstore.rows.nodes import content_record, put_lost
from artstore.storage.packs import pack_path
from artstore.store import Store
from store.conftest import CommitTree
from store.remotes.packs.memory_remote import MemoryRemote
from store.remotes.packs.test_reading import everything

NOISE = random.Random(9).randbytes(300_000)


def folders(count: int, files: int, length: int = 300) -> dict[bytes, Any]:
    """Return a tree of folders whose files differ."""
    return {
        b"%03d" % folder: {b"%03d" % file: NOISE[97 * folder + file :][:length] for file in range(files)}
        for folder in range(count)
    }


def forms(remote: MemoryRemote, klass: int, names: set[str] | None = None) -> list[FormEntry]:
    """Return the entries of a class in all objects, or in some."""
    return [
        entry
        for name, data in remote.objects.items()
        if names is None or name in names
        for entry in parse_pack(data, parse_object_name(name))
        if entry.klass == klass
    ]


def set_of(remote: MemoryRemote, written: WrittenVersion) -> set[Pack]:
    tree = remote.tree(written)
    packs = list(packs_of(tree.form(written.packs), tree.form))
    assert len(packs) == written.total
    return set(packs)


def reachable(remote: MemoryRemote, written: WrittenVersion) -> set[str]:
    """Return the objects that reading all of a version asks for, and the manifest's."""
    remote.requests.clear()
    everything(remote.tree(written))
    return {name for name, _, _ in remote.requests} | {written.manifest.place.pack.object_name}


def test_a_small_push_is_one_object(store: Store, commit_tree: CommitTree) -> None:
    """Chunks, spans, set and manifest: so that with its entry it takes two requests."""
    remote = MemoryRemote()
    written = remote.push(store, commit_tree({b"a": b"x" * 900, b"d": {b"b": NOISE[:900]}}))
    assert [pack.folder for pack in remote.noted] == [TREES]
    assert len(forms(remote, CHUNK)) == 2
    assert everything(remote.tree(written))[b"d/b"][1] == NOISE[:900]
    assert set_of(remote, written) == {remote.noted[0]}


def test_chunks_lie_in_the_order_of_the_tree(store: Store, commit_tree: CommitTree) -> None:
    """Whoever reads a version in order reads its data packs in order, as the workspace stored the chunks."""
    remote, record = MemoryRemote(), commit_tree({**folders(20, 20), b"large": NOISE, b"text": b"abc" * 5000})
    written = remote.push(store, record, data_target=100_000)
    found = everything(remote.tree(written))
    offsets = [request for request in remote.requests if request[0][0] == "d"]
    assert all(one[1] < other[1] for one, other in pairwise(offsets) if one[0] == other[0])
    assert [added.pack.folder for added in written.objects] == [DATA] * (len(written.objects) - 1) + [TREES]
    for added in written.objects:
        data = remote.objects[added.pack.object_name]
        assert len(data) == added.length and len(data) < 150_000
    assert found[b"text"][1] == b"abc" * 5000
    assert any(entry.codec == 1 for entry in forms(remote, CHUNK))


def test_the_manifest_names_what_was_sent(store: Store, commit_tree: CommitTree) -> None:
    """Every object but its own, with length and hash; and the set has what the version needs."""
    remote = MemoryRemote()
    written = remote.push(store, commit_tree(folders(20, 20)), data_target=50_000, trees_target=5000, span_target=900)
    manifest = decode_manifest(remote.tree(written).form(written.manifest))
    own = written.manifest.place.pack
    assert written.objects[-1].pack == own
    assert set(manifest.objects) == set(written.objects[:-1])
    assert manifest.packs == written.packs and manifest.total == written.total == len(remote.objects)
    assert {pack.object_name for pack in set_of(remote, written)} == set(remote.objects) == reachable(remote, written)


def test_records_go_along(store: Store, commit_tree: CommitTree) -> None:
    remote, record = MemoryRemote(), commit_tree({b"a": b"a"})
    output = PackOutput(remote)
    written = write_version(store, record.root, "a:v1", output, find=remote.find, records=[b"{}", b"metadata" * 99])
    assert [remote.tree(written).form(form) for form in written.records] == [b"{}", b"metadata" * 99]
    assert len(forms(remote, RECORD)) == 2


def test_spans_have_the_length_that_is_asked_for(store: Store, commit_tree: CommitTree) -> None:
    """Within a third, but for the last one, whatever the names and how they compress."""
    remote = MemoryRemote()
    remote.push(store, commit_tree(folders(40, 60)), span_target=10_000)
    lengths = [entry.stored for entry in forms(remote, SPAN)]
    assert len(lengths) > 6 and all(6500 < length < 13_500 for length in lengths[:-1])


def change(tree: Mapping[bytes, Any], folder: bytes, name: bytes, value: object) -> dict[bytes, Any]:
    return {**tree, folder: {**tree[folder], name: value}}


@pytest.mark.parametrize("known", [True, False])
def test_a_push_on_a_base_sends_and_reads_what_changed(store: Store, commit_tree: CommitTree, known: bool) -> None:
    """One file of 1,800, even if this machine's table is lost: one object, a few spans read, the version whole."""
    tree = folders(30, 60)
    remote, first = MemoryRemote(), commit_tree(tree)
    base = remote.push(store, first, span_target=10_000)
    before = set(remote.objects)
    second = commit_tree(change(tree, b"020", b"050", b"other"))
    remote.requests.clear()
    written = remote.push(store, second, base=base, find=None if known else lambda *_: None)
    new = set(remote.objects) - before
    assert len(new) == 1 and sum(len(remote.objects[name]) for name in new) < 12_000
    assert [entry.size for entry in forms(remote, CHUNK, new)] == [5]
    assert len(remote.requests) <= 3
    assert {pack.object_name for pack in set_of(remote, written)} == set(remote.objects) >= reachable(remote, written)
    found = everything(remote.tree(written))
    assert found[b"020/050"][1] == b"other" and len(found) == 1830
    assert found[b"029/059"][1] == tree[b"029"][b"059"]


def test_a_push_on_an_equal_base_sends_no_trees(store: Store, commit_tree: CommitTree) -> None:
    tree = folders(5, 5)
    remote = MemoryRemote()
    base = remote.push(store, commit_tree(tree))
    before = set(remote.objects)
    written = remote.push(store, commit_tree(tree), base=base)
    assert written.root == base.root
    assert forms(remote, SPAN, set(remote.objects) - before) == []
    assert set_of(remote, written) > set_of(remote, base)


@pytest.mark.parametrize(
    "step",
    [
        lambda tree: {**tree, b"crowd": {b"%05d" % number: b"%d" % number for number in range(2, 900)}},
        lambda tree: {**tree, b"crowd": {b"%05d" % number: b"%d" % number for number in range(200)}},
        lambda tree: {**tree, b"crowd": b"a file now"},
        lambda tree: {**tree, b"000": tree[b"crowd"], b"new": tree[b"001"]},
        lambda tree: {b"only": tree},
        lambda tree: {b"000": tree[b"000"]},
        lambda tree: {**tree, b"001": NOISE[:50_000]},
        lambda tree: {},
    ],
)
def test_any_change_on_a_base_comes_out_right(store: Store, commit_tree: CommitTree, step: Any) -> None:
    """Directories that grow, shrink, move, or become files: what is read back is what was put."""
    tree: dict[bytes, Any] = {
        **folders(3, 5),
        b"crowd": {b"%05d" % number: b"%d" % number for number in range(900)},
        b"large": NOISE[:30_000],
    }
    remote, first = MemoryRemote(), commit_tree(tree)
    base = remote.push(store, first, span_target=3000)
    second = commit_tree(step(tree))
    assert_same(remote, remote.push(store, second, base=base), store, second)
    without = MemoryRemote()
    assert_same(without, without.push(store, second), store, second)


def assert_same(remote: MemoryRemote, written: WrittenVersion, store: Store, record: VersionRecord) -> None:
    """Assert that a version reads from the remote as it does here."""
    found = everything(remote.tree(written))
    with store.snapshot() as snapshot:
        here = list(snapshot.walk(record.root))
        assert [path for path, _ in here] == list(found)
        for path, entry in here:
            if not entry.is_directory:
                assert found[path][1] == snapshot.read(entry.node, 0, entry.size)
    assert written.root.digest == record.digest
    assert {pack.object_name for pack in set_of(remote, written)} >= reachable(remote, written)


def test_a_version_of_many_small_pushes_is_written_again(store: Store, commit_tree: CommitTree) -> None:
    """Each of 60 pushes changes one folder, and one has a list: its records lie in few objects all the same.

    What a push reads and sends stays small but for those that write everything again, and nothing is sent twice.
    """
    tree = {**folders(60, 5), b"large": {b"list": NOISE[:30_000]}}
    remote = MemoryRemote()
    written = remote.push(store, commit_tree(tree))
    rewritten = 0
    for number in range(60):
        tree = change(tree, b"%03d" % number, b"new", b"%d" % number)
        record, before = commit_tree(tree), set_of(remote, written)
        written = remote.push(store, record, base=written)
        rewritten += not set_of(remote, written) > before
        assert written.sent == len(b"%d" % number)
        assert len(remote.tree(written).packs_below_root) <= 25
    assert rewritten == 2, "the packs of records that were replaced have left the set"
    assert_same(remote, written, store, record)


def test_content_that_the_table_knows_is_not_sent(store: Store, commit_tree: CommitTree) -> None:
    """Of another artifact, without a base; its packs are in the set."""
    remote = MemoryRemote()
    first = remote.push(store, commit_tree({b"a": NOISE[:900], b"large": NOISE}), data_target=50_000)
    second = remote.push(store, commit_tree({b"x": {b"y": NOISE[:900], b"z": NOISE}, b"new": b"n"}, "b"))
    assert second.sent == 1
    assert {added.pack for added in first.objects if added.pack.folder == DATA} <= set_of(remote, second)


def test_what_a_version_has_twice_is_sent_once(store: Store, commit_tree: CommitTree) -> None:
    """Files, also in one window, and folders, whose records are not written again either."""
    folder = folders(1, 50)[b"000"]
    tree = {b"a": folder, b"b": folder, b"c": {b"d": folder}, b"e": NOISE[97:397], b"f": b"same", b"g": b"same"}
    remote = MemoryRemote()
    record = commit_tree(tree)
    written = remote.push(store, record)
    ids = [entry.id for entry in forms(remote, CHUNK)]
    assert len(ids) == len(set(ids)) == 52
    assert_same(remote, written, store, record)
    assert sum(entry.size for entry in forms(remote, SPAN)) < 8000


class _Failing(MemoryRemote):
    """Take some objects, and fail at the next one: before it is stored, or after."""

    def __init__(self, count: int, *, stored: bool) -> None:
        super().__init__()
        self.count = count
        self.stored = stored

    def put(self, item: PackObject) -> None:
        self.count -= 1
        if self.count >= 0:
            super().put(item)
            return
        if self.stored:
            table = dict(self.table)
            super().put(item)
            self.table = table
        raise OSError("the network is gone")


@pytest.mark.parametrize("stored", [False, True])
def test_a_push_that_was_cut_goes_on(store: Store, commit_tree: CommitTree, stored: bool) -> None:
    """At each object: every id is noted first, and the next push sends only what had not been acknowledged."""
    record = commit_tree(folders(20, 20))
    whole = MemoryRemote()
    total = whole.push(store, record, data_target=20_000, trees_target=5000, span_target=900).sent
    for count in range(len(whole.objects)):
        remote = _Failing(count, stored=stored)
        with pytest.raises(OSError, match="network"):
            remote.push(store, record, data_target=20_000, trees_target=5000, span_target=900)
        assert {pack.object_name for pack in remote.noted} >= set(remote.objects)
        acknowledged = sum(chunk.place.stored for chunk in remote.table.values())
        remote.count = 1000
        written = remote.push(store, record)
        assert written.sent == total - acknowledged
        assert written.root.digest == record.digest
        assert {pack.object_name for pack in set_of(remote, written)} >= reachable(remote, written)


def test_a_table_that_is_wrong_about_lengths_is_not_believed(store: Store, commit_tree: CommitTree) -> None:
    remote, record = MemoryRemote(), commit_tree({b"a": b"a" * 500})
    remote.push(store, record)
    (chunk,) = remote.table.values()
    written = remote.push(store, record, find=lambda *_: chunk._replace(size=499))
    assert written.sent > 0
    assert_same(remote, written, store, record)


def node_of(store: Store, record: VersionRecord, path: bytes) -> int:
    with store.snapshot() as snapshot:
        entry = snapshot.resolve(record.root, path)
        assert entry is not None
        return entry.node


@pytest.mark.parametrize("path", [b"d/small", b"d/large"])
def test_damaged_content_is_not_sent(store: Store, commit_tree: CommitTree, path: bytes) -> None:
    """The stored form is compared with its checksums while it is copied; the message has the path."""
    record = commit_tree({b"d": {b"small": NOISE[:700], b"large": NOISE[:9000]}})
    with store.snapshot() as snapshot:
        chunk = content_record(snapshot.transaction, node_of(store, record, path))
        if path == b"d/large":
            chunk = content_record(snapshot.transaction, chunk.nodes[3])  # type: ignore[union-attr]
    with open(pack_path(store.path, chunk.extent.pack), "r+b") as file:
        file.seek(chunk.extent.offset)
        byte = file.read(1)[0]
        file.seek(chunk.extent.offset)
        file.write(bytes([byte ^ 1]))
    remote = MemoryRemote()
    with pytest.raises(DamageError, match=f"^a:v1/{path.decode()} is damaged"):
        remote.push(store, record)
    assert not remote.objects


def test_a_damaged_record_is_not_sent(store: Store, commit_tree: CommitTree) -> None:
    """A record whose rows are not those of its ids, which its seal does not show."""
    record = commit_tree({b"d": {b"a": b"a", b"b": b"b"}})
    node = node_of(store, record, b"d")
    with store.write() as transaction:
        payload = transaction.get_numbered(Table.NODES, node)
        assert payload is not None and payload.endswith(b"ab")
        transaction.put_numbered(Table.NODES, node, payload[:-1] + b"c")
    remote = MemoryRemote()
    with pytest.raises(DamageError, match="record of the directory a:v1/d"):
        remote.push(store, record)


def test_a_large_set_of_a_base_is_kept_in_parts(store: Store, commit_tree: CommitTree) -> None:
    """A version on a base with many packs writes the part that its new pack falls into, and not the others."""
    folder = {b"f": b"f"}
    remote, record = MemoryRemote(), commit_tree({b"a": b"a", b"d": folder})
    base = remote.push(store, record)
    chance = random.Random(1)
    many = [Pack(DATA, chance.randbytes(16)) for _ in range(3000)]
    output = PackOutput(remote)
    output.packs.update(many)
    crowded = write_version(store, record.root, "a:v1", output, find=remote.find)
    assert crowded.total == 3002
    before = set(remote.objects)
    written = remote.push(store, commit_tree({b"b": b"b", b"d": folder}), base=base._replace(packs=crowded.packs))
    new = forms(remote, SET, set(remote.objects) - before)
    assert len(new) == 2 and written.total == 3003
    assert set_of(remote, written) >= set(many)


def test_lost_content_is_not_sent(store: Store, commit_tree: CommitTree) -> None:
    record = commit_tree({b"d": {b"a": b"a" * 50}})
    node = node_of(store, record, b"d/a")
    with store.write() as transaction:
        chunk = content_record(transaction, node)
        put_lost(transaction, node, LostRecord(CLASS_CONTENT, chunk.id, chunk.birth_ns, chunk.size))
    with pytest.raises(DamageError, match=r"^a:v1/d/a was damaged and is lost"):
        MemoryRemote().push(store, record)
