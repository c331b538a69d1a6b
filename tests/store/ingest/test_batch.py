"""A batch inside its transaction: hints are looked up again, and every record counts its children and adds them up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from artstore.ids import content_id
from artstore.ingest.batch import (
    Batch,
    EntryDraft,
    KnownNode,
    NewChunk,
    NewIndex,
    NewList,
    NewTree,
    Operation,
    Ref,
    StaleHintError,
)
from artstore.ingest.building import directory_entry
from artstore.records.nodes import Extent, LostRecord, decode_chunk, decode_list
from artstore.records.packing import CLASS_CONTENT, CLASS_LIST, CLASS_TREE
from artstore.records.trees import Kind, TreeTotals, TreeView
from artstore.rows.nodes import find_lost, find_node, node_extent, node_payload, put_lost
from artstore.storage.codec import encode
from artstore.store import Store
from store.conftest import CommitTree, time_of

NOW_NS = 1_700_000_000_000_000_000
EXTENT = Extent(1, 4096, 50, 0)


class UndoneError(Exception):
    """Ends a transaction without a commit."""


@contextmanager
def batch_on(store: Store) -> Iterator[Batch]:
    """Yield a batch in a transaction that is not committed: the extents of these tests are of no pack."""
    with pytest.raises(UndoneError), store.write() as transaction:
        yield Batch(transaction, NOW_NS)
        raise UndoneError


def chunk(data: bytes, offset: int | None = 4096) -> NewChunk:
    """Return a chunk whose stored form is at an offset of pack 1, or in no pack."""
    encoded = encode(data)
    operation = NewChunk(Ref(CLASS_CONTENT, content_id(data)), encoded, len(data))
    operation.extent = None if offset is None else Extent(1, offset, len(encoded.data), encoded.codec)
    return operation


def stored(batch: Batch, operation: Operation) -> Ref:
    """Apply an operation and return its node's ref."""
    operation.extent = operation.extent or EXTENT
    batch.apply(operation)
    return operation.ref


def tree(batch: Batch, *entries: EntryDraft) -> Ref:
    return stored(batch, NewTree(Ref(CLASS_TREE, content_id(repr(entries).encode())), b"record", entries))


def test_a_new_chunk_gets_the_next_number(store: Store) -> None:
    """It is found by its id, born now, and its stored bytes are added; nothing refers to it yet."""
    with batch_on(store) as batch:
        following = batch.transaction.state.next_node
        operations = [chunk(b"one"), chunk(b"three", 8192)]
        for operation in operations:
            batch.apply(operation)
        assert [operation.ref.node for operation in operations] == [following, following + 1] == batch.created
        assert (batch.stored, batch.lost, batch.changes) == (3 + 5, [], {})
        assert batch.transaction.state.next_node == following + 2
        for operation in operations:
            found = find_node(batch.transaction, CLASS_CONTENT, operation.ref.id)
            assert found is not None and found[0] == operation.ref.node
            record = decode_chunk(found[1])
            assert (record.id, record.birth_ns, record.extent) == (operation.ref.id, NOW_NS, operation.extent)


def test_a_chunk_that_another_put_brought_first_is_that_one(store: Store, commit_tree: CommitTree) -> None:
    """Its number and birth are kept; a stored form that was written in vain is given back, and nothing is added."""
    commit_tree({b"file": b"content"})
    with batch_on(store) as batch:
        found = find_node(batch.transaction, CLASS_CONTENT, content_id(b"content"))
        assert found is not None
        in_vain, not_written = chunk(b"content"), chunk(b"content", None)
        for operation in (in_vain, not_written):
            batch.apply(operation)
            assert operation.ref.node == found[0]
            assert operation.ref.birth_ns == decode_chunk(found[1]).birth_ns != NOW_NS
        assert batch.lost == [in_vain.extent]
        assert (batch.created, batch.stored) == ([], 0)


def test_a_hint_that_holds_is_the_node(store: Store, commit_tree: CommitTree) -> None:
    """Content has its birth, a directory its totals; neither is counted before a parent takes it."""
    version = commit_tree({b"a": b"1" * 10, b"sub": {b"b": b"2" * 20}})
    newest_ns = max(time_of(content_id(data)) for data in (b"1" * 10, b"2" * 20))
    with batch_on(store) as batch:
        content = KnownNode(Ref(CLASS_CONTENT, content_id(b"1" * 10)), None)
        directory = KnownNode(Ref(CLASS_TREE, version.form), None)
        batch.apply(content)
        batch.apply(directory)
        assert content.ref.birth_ns and directory.ref.node == version.root
        assert directory.ref.digest == version.digest
        assert batch.totals(directory.ref) == TreeTotals(
            entries=2, files=2, directories=1, bytes=30, newest_ns=newest_ns
        )
        assert (batch.created, batch.changes, batch.stored) == ([], {}, 0)


@pytest.mark.parametrize("klass", [CLASS_CONTENT, CLASS_TREE, CLASS_LIST])
def test_a_hint_that_fails_is_stale(store: Store, klass: int) -> None:
    """Nothing is made for content that has been reaped, however often it is asked for."""
    with batch_on(store) as batch:
        before = batch.transaction.state.next_node
        for _ in range(2):
            with pytest.raises(StaleHintError):
                batch.apply(KnownNode(Ref(klass, bytes(32)), None))
            with pytest.raises(StaleHintError):
                batch.known(klass, bytes(32))
        with pytest.raises(StaleHintError):
            batch.apply(chunk(b"the store had it when the segment was written", None))
        assert batch.transaction.state.next_node == before and batch.created == []


def test_what_is_known_is_looked_up_once(store: Store, commit_tree: CommitTree) -> None:
    """One id is one ref, whose class is part of it."""
    version = commit_tree({b"a": b"1"})
    with batch_on(store) as batch:
        assert batch.known(CLASS_TREE, version.form) is batch.known(CLASS_TREE, version.form)
        assert batch.known(CLASS_TREE, version.form).node == version.root
        for klass, ident in ((CLASS_CONTENT, version.form), (CLASS_TREE, version.digest)):
            with pytest.raises(StaleHintError):
                batch.known(klass, ident)


def test_references_are_added_up(store: Store) -> None:
    """Each parent counts once for each place that it has a child in; a withdrawn one is subtracted."""
    with batch_on(store) as batch:
        ref = stored(batch, chunk(b"one"))
        entry = EntryDraft(b"a", Kind.FILE, 3, ref.id, ref, 0, 0o644)
        tree(batch, entry, entry._replace(name=b"b"))
        stored(batch, NewList(Ref(CLASS_LIST, bytes(32)), b"list", 0, [(ref, 3)] * 3))
        assert batch.changes == {ref.node: 5}
        batch.count(ref.node, -5)
        batch.count(7)
        assert batch.changes == {ref.node: 0, 7: 1}


def test_a_list_ends_where_its_parts_end(store: Store) -> None:
    """Its rows are the ends of its children, the last one is its size."""
    with batch_on(store) as batch:
        parts = [(stored(batch, chunk(data)), len(data)) for data in (b"1", b"22", b"4444")]
        ref = stored(batch, NewList(Ref(CLASS_CONTENT, content_id(b"1224444")), b"list", 0, parts))
        record = decode_list(node_payload(batch.transaction, ref.node))
        assert [(child.node, child.end) for child in record.children] == [
            (child.node, end) for (child, _), end in zip(parts, (1, 3, 7), strict=True)
        ]
        assert (record.size, record.level, record.birth_ns, record.id) == (7, 0, NOW_NS, ref.id)
        operation = NewList(Ref(CLASS_LIST, bytes(32)), b"list", 0, parts)
        assert operation.consumed() == [child for child, _ in parts]


def test_a_directory_adds_up_what_is_below(store: Store) -> None:
    """Files and links are files, a link's text is no content, a folder counts itself and those in it.

    Each entry has its attributes, and the newest of all times at any depth is known.
    """
    with batch_on(store) as batch:
        ref = stored(batch, chunk(b"content"))
        files = [
            EntryDraft(b"exec", Kind.EXECUTABLE, 7, ref.id, ref, -5, 0o700),
            EntryDraft(b"file", Kind.FILE, 7, ref.id, ref, -7, 0o640),
            EntryDraft(b"link", Kind.LINK, 7, ref.id, ref, -9, 0o777),
            EntryDraft(b"outside", Kind.REFERENCE, 1000, ref.id, ref, -6, 0o644),
        ]
        inner = tree(batch, *files)
        assert batch.totals(inner) == TreeTotals(entries=4, files=4, directories=0, bytes=1014, newest_ns=-5)
        view = TreeView(node_payload(batch.transaction, inner.node))
        assert [(entry.mtime_ns, entry.mode) for entry in view.entries()] == [
            (entry.mtime_ns, entry.mode) for entry in files
        ]
        folder = directory_entry(b"a", inner, -8, 0o750)
        outer = tree(batch, folder, folder._replace(name=b"b"), files[1])
        assert batch.totals(outer) == TreeTotals(entries=3, files=9, directories=2, bytes=2035, newest_ns=-5)
        top = tree(batch, directory_entry(b"top", outer, 3, 0o755), folder._replace(name=b"z"))
        view = TreeView(node_payload(batch.transaction, top.node))
        assert (
            view.totals == batch.totals(top) == TreeTotals(entries=2, files=13, directories=4, bytes=3049, newest_ns=3)
        )
        assert [(entry.inodes, entry.inodes_before) for entry in view.entries()] == [(12, 0), (5, 12)]


def test_entries_may_be_known_by_their_ids(store: Store, commit_tree: CommitTree) -> None:
    """A file or folder that no operation brings is the one in the store, found by its form, and is no longer owed."""
    version = commit_tree({b"a": b"content"})
    newest_ns = time_of(content_id(b"content"))
    with batch_on(store) as batch:
        content = batch.known(CLASS_CONTENT, content_id(b"content"))
        entries = (
            EntryDraft(b"again", Kind.FILE, 7, content_id(b"content"), None, 1, 0o644),
            EntryDraft(b"folder", Kind.DIRECTORY, 0, version.digest, None, 2, 0o755, version.form),
        )
        ref = tree(batch, *entries)
        assert batch.changes == {content.node: 1, version.root: 1}
        assert batch.totals(ref) == TreeTotals(entries=2, files=2, directories=1, bytes=14, newest_ns=newest_ns)
        view = TreeView(node_payload(batch.transaction, ref.node))
        assert [entry.node for entry in view.entries()] == [content.node, version.root]
        assert NewTree(ref, b"", entries).consumed() == []
        for form in (content_id(b"content"), version.digest):
            with pytest.raises(StaleHintError):
                tree(batch, EntryDraft(b"gone", Kind.DIRECTORY, 0, version.digest, None, 0, 0o755, form))


def test_an_index_adds_up_its_parts(store: Store) -> None:
    """Positions and inodes before each part are the sums of those before it; the index itself is no folder."""
    with batch_on(store) as batch:
        ref = stored(batch, chunk(b"content"))
        empty = tree(batch)
        parts = [
            tree(
                batch,
                directory_entry(b"a", empty, 1, 0o755),
                EntryDraft(b"b", Kind.FILE, 7, ref.id, ref, 4, 0o644),
            ),
            tree(batch, directory_entry(b"c", empty, 2, 0o755)),
            tree(batch, EntryDraft(b"d", Kind.FILE, 7, ref.id, ref, 3, 0o644)),
        ]
        index = NewIndex(Ref(CLASS_TREE, bytes(32)), b"index", 1, list(zip((b"b", b"c", b"d"), parts, strict=True)))
        top = stored(batch, index)
        assert batch.totals(top) == TreeTotals(entries=4, files=2, directories=2, bytes=14, newest_ns=4)
        assert [batch.changes[part.node] for part in parts] == [1, 1, 1] and index.consumed() == parts
        view = TreeView(node_payload(batch.transaction, top.node))
        assert view.level == 1
        assert [(child.entries_before, child.inodes_before) for child in view.children()] == [(0, 0), (2, 2), (3, 3)]


def lose(batch: Batch, ident: bytes) -> int:
    """Mark the node of a content as lost, as a repair does; return its number."""
    found = find_node(batch.transaction, CLASS_CONTENT, ident)
    assert found is not None
    record = decode_chunk(found[1])
    put_lost(batch.transaction, found[0], LostRecord(CLASS_CONTENT, ident, record.birth_ns, record.size))
    return found[0]


def test_content_that_was_lost_is_healed_in_place(store: Store, commit_tree: CommitTree) -> None:
    """The same node has a stored form again, for all that refer to it; its birth stays, and no other node is made."""
    commit_tree({b"a": b"content"})
    ident = content_id(b"content")
    with batch_on(store) as batch:
        born = batch.known(CLASS_CONTENT, ident).birth_ns
        node = lose(batch, ident)
        later = Batch(batch.transaction, NOW_NS)
        operation = chunk(b"content")
        later.apply(operation)
        assert (operation.ref.node, operation.ref.birth_ns) == (node, born)
        assert (later.created, later.lost, later.stored) == ([], [], 7)
        found = find_node(batch.transaction, CLASS_CONTENT, ident)
        assert found is not None and found[0] == node
        assert node_extent(found[1]) == operation.extent
        assert find_lost(batch.transaction, CLASS_CONTENT, ident) is None


def test_a_lost_file_may_be_adopted_but_a_hint_at_it_is_stale(store: Store, commit_tree: CommitTree) -> None:
    """A version made from another one is as damaged as that one; content that is put must be read again."""
    commit_tree({b"a": b"content"})
    ident = content_id(b"content")
    with batch_on(store) as batch:
        born = batch.known(CLASS_CONTENT, ident).birth_ns
        node = lose(batch, ident)
        later = Batch(batch.transaction, NOW_NS)
        ref = later.known(CLASS_CONTENT, ident)
        assert (ref.node, ref.birth_ns) == (node, born)
        with pytest.raises(StaleHintError):
            later.apply(KnownNode(Ref(CLASS_CONTENT, ident), None))
