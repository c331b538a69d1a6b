"""Directories and lists of every size, built from a stream, against a plain dict and plain bytes."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from artstore.changes.committing import Commit, commit
from artstore.errors import RefusedError
from artstore.ids import content_id
from artstore.ingest import staging
from artstore.ingest.batch import EntryDraft, Ref
from artstore.ingest.building import DirectoryBuilder, ListBuilder, directory_entry
from artstore.ingest.staging import Stager
from artstore.records.catalogue import VersionRecord
from artstore.records.trees import Kind
from artstore.rows import deadlist
from artstore.rows.trees import entries_from, lookup
from artstore.storage.codec import encode
from artstore.store import Store
from artstore.workspace import Workspace
from messages import raises
from store.oracle import assert_sound, digest, directory_records


@contextmanager
def staging_on(store: Store) -> Iterator[Stager]:
    stager = Stager(store, "test", "test")
    try:
        yield stager
    finally:
        stager.close()


def commit_root(store: Store, stager: Stager, root: Ref, name: str = "a") -> VersionRecord:
    asked = Commit(name, force=True)
    return stager.commit(root, lambda transaction, root, added: commit(store, transaction, root, asked, added)).version


def put_files(store: Store, names: list[bytes], *, flush: bool = True) -> VersionRecord:
    """Make a version with an empty file of each name (in order), handed over one by one."""
    with staging_on(store) as stager:
        builder = DirectoryBuilder(stager)
        for name in names:
            data = name[:1]
            ref = stager.chunk(content_id(data), len(data), encode(data))
            builder.add(EntryDraft(name, Kind.FILE, len(data), ref.id, ref, 0, 0o644))
            if flush:
                stager.flush_if_full()
        return commit_root(store, stager, builder.finish())


@pytest.mark.parametrize("count", [0, 1, 255, 256, 257, 1000, 10_000])
def test_a_directory_of_any_size(workspace: Workspace, count: int) -> None:
    """Every name is found, no other is, every position is where a sorted list has it, and the digest is the rule's."""
    store = workspace.store
    names = sorted({b"%x %d" % (number * 2654435761 % 2**32, number) for number in range(count)})
    record = put_files(store, names)
    rows = [(name, 0, 1, digest(name[:1])) for name in names]
    assert record.digest == digest(directory_records(rows)[-1])
    assert (record.files, record.bytes) == (count, count)
    with store.snapshot() as snapshot:
        load = snapshot.tree
        assert load(record.root).level == (0 if count <= 256 else 1)
        assert [entry.name for entry, _ in entries_from(load, record.root)] == names
        for name in names[:: max(1, count // 500)]:
            found = lookup(load, record.root, name)
            assert found is not None and (found[0].name, found[0].size, found[1]) == (name, 1, names.index(name))
        for missing in (b"", b"~", b"\0", b"8", *(name + b"!" for name in names[:: max(1, count // 100)])):
            assert lookup(load, record.root, missing) is None
        for position in sorted({0, 1, 63, 64, 255, 256, 257, count // 2, count - 1, count, count + 5}):
            if position >= 0:
                rest = [entry.name for entry, _ in entries_from(load, record.root, position)]
                assert rest == names[position:]
    assert_sound(store)


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(count=st.integers(0, 1200), batch=st.sampled_from([1, 7, 300, 1500]), seed=st.integers(0, 9))
def test_the_digest_does_not_depend_on_how_it_was_reached(
    workspace: Workspace, count: int, batch: int, seed: int
) -> None:
    """Whatever the batches, and whether parts were there before, equal directories are one node with one digest."""
    store = workspace.store
    names = sorted({b"%d" % number for number in random.Random(seed).sample(range(10**6), count)})
    first = put_files(store, names, flush=False)
    put_files(store, names[: count // 2])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(staging, "BATCH_NODES", batch)
        again = put_files(store, names)
    assert (again.digest, again.root) == (first.digest, first.root)
    assert_sound(store)


def test_empty_directories_inside_directories(workspace: Workspace) -> None:
    """They are entries like others, and the same node wherever they are."""
    with staging_on(workspace.store) as stager:
        outer = DirectoryBuilder(stager)
        for name in (b"a", b"b"):
            ref = DirectoryBuilder(stager).finish()
            outer.add(directory_entry(name, ref, 0, 0o755))
        record = commit_root(workspace.store, stager, outer.finish())
    with workspace.store.snapshot() as snapshot:
        entries = [entry for entry, _ in entries_from(snapshot.tree, record.root)]
    assert [(entry.name, entry.kind, entry.inodes) for entry in entries] == [
        (b"a", Kind.DIRECTORY, 1),
        (b"b", Kind.DIRECTORY, 1),
    ]
    assert entries[0].node == entries[1].node
    assert_sound(workspace.store)


def put_content(workspace: Workspace, chunks: list[bytes]) -> tuple[int, bytes]:
    """Make a version of one file from its chunks; return (its node, its bytes)."""
    data = b"".join(chunks)
    with staging_on(workspace.store) as stager:
        builder = ListBuilder(stager)
        for chunk in chunks:
            builder.add(stager.chunk(content_id(chunk), len(chunk), encode(chunk)), len(chunk))
            stager.flush_if_full()
        ref = builder.finish(content_id(data))
        directory = DirectoryBuilder(stager)
        directory.add(EntryDraft(b"file", Kind.FILE, len(data), ref.id, ref, 0, 0o644))
        commit_root(workspace.store, stager, directory.finish())
    return ref.node, data


@pytest.mark.parametrize("count", [0, 1, 2, 256, 257, 5000])
def test_a_list_of_any_length(workspace: Workspace, count: int) -> None:
    """Content of no, one and thousands of chunks reads back, whole and around every chunk's end."""
    chance = random.Random(count)
    chunks = [chance.randbytes(chance.randrange(1, 40)) for _ in range(count)]
    node, data = put_content(workspace, chunks)
    ends = [0]
    for chunk in chunks:
        ends.append(ends[-1] + len(chunk))
    with workspace.store.snapshot() as snapshot:
        info = snapshot.content(node)
        assert (info.id, info.size) == (content_id(data), len(data))
        assert snapshot.read(node, 0, len(data) + 1) == data
        step = max(1, count // 400)
        for end in ends[::step]:
            for start, size in ((end, 1), (max(0, end - 1), 2), (end, 300), (max(0, end - 30), 60)):
                assert snapshot.read(node, start, size) == data[start : start + size]
        assert snapshot.read(node, len(data), 10) == b""
        assert snapshot.read(node, len(data) + 99, 10) == b""
    assert_sound(workspace.store)


def test_repetition_is_one_chunk(workspace: Workspace) -> None:
    """A chunk that a file holds a thousand times is stored once and counted by every row."""
    node, data = put_content(workspace, [b"x" * 100] * 1000)
    with workspace.store.snapshot() as snapshot:
        assert snapshot.read(node, 0, len(data)) == data
    assert_sound(workspace.store)


def test_a_directory_given_up_leaves_counts_right(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Entries that were staged for a directory that is not built after all go to the deadlist with the commit."""
    monkeypatch.setattr(staging, "BATCH_NODES", 1)
    with staging_on(workspace.store) as stager:
        given_up = DirectoryBuilder(stager)
        for data in (b"one", b"two"):
            ref = stager.chunk(content_id(data), len(data), encode(data))
            given_up.add(EntryDraft(data, Kind.FILE, len(data), ref.id, ref, 0, 0o644))
            stager.flush_if_full()
        assert not given_up.split
        given_up.discard()
        root = DirectoryBuilder(stager)
        ref = stager.chunk(content_id(b"two"), 3, None)
        root.add(EntryDraft(b"kept", Kind.FILE, 3, ref.id, ref, 0, 0o644))
        commit_root(workspace.store, stager, root.finish())
    assert_sound(workspace.store)
    assert workspace.drafts.states() == []
    with workspace.store.snapshot() as snapshot:
        assert [len(entry.nodes) for entry in deadlist.entries(snapshot.transaction)] == [1]
    assert workspace.gc().freed_nodes == 1
    assert_sound(workspace.store)


def test_more_entries_than_inode_numbers_count_are_refused(workspace: Workspace) -> None:
    """A tree of 2**31 - 2 folders is stored, by 31 records; one level more is refused, and leaves nothing behind."""
    with staging_on(workspace.store) as stager:
        below = DirectoryBuilder(stager).finish()
        for _ in range(30):
            below = pair_of(stager, below)
        stager.flush()
        assert below.totals is not None
        assert below.totals.inodes == 2**31 - 2
        with raises(RefusedError, names=["2,147,483,647"]):
            commit_root(workspace.store, stager, pair_of(stager, below))
    assert workspace.artifacts() == []
    assert_sound(workspace.store)


def pair_of(stager: Stager, below: Ref) -> Ref:
    """Stage a directory that contains a directory twice."""
    builder = DirectoryBuilder(stager)
    builder.add(directory_entry(b"a", below, 0, 0o755))
    builder.add(directory_entry(b"b", stager.known_tree(below.id, below.digest), 0, 0o755))
    return builder.finish()
