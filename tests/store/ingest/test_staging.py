"""Staging against the oracle: whatever is handed over, in whatever batches, every count is right after every batch."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from artstore.changes.committing import Commit, commit
from artstore.errors import BusyError
from artstore.ids import content_id
from artstore.ingest import content_cuts, staging
from artstore.ingest.batch import EntryDraft, Ref, StaleHintError
from artstore.ingest.building import DirectoryBuilder, ListBuilder, directory_entry
from artstore.ingest.staging import Stager
from artstore.records.packing import CLASS_CONTENT
from artstore.records.trees import Kind
from artstore.rows import space
from artstore.rows.nodes import content_record, find_node, read_count
from artstore.storage.codec import encode
from artstore.store import Store
from artstore.workspace import Workspace
from store.oracle import Model, assert_sound, canonical_digest, model_of, whole

CONTENTS = st.lists(st.integers(0, 4), max_size=6).map(lambda parts: b"".join(b"%d" % part * 70 for part in parts))
NAMES = st.sampled_from([b"a", b"b", b"c", b"d"])
FOLDERS = st.recursive(
    st.dictionaries(NAMES, CONTENTS, max_size=4),
    lambda below: st.dictionaries(NAMES, CONTENTS | below, max_size=4),
    max_leaves=14,
)
CHUNK = 70

NewWorkspace = Callable[[], AbstractContextManager[Workspace]]


@contextmanager
def staging_on(store: Store, name: str = "a") -> Iterator[Stager]:
    stager = Stager(store, name, "test")
    try:
        yield stager
    finally:
        stager.close()


def time_of(content: bytes) -> int:
    """Return a time for a file, of another second for other content, as versions must show it."""
    return int.from_bytes(content_id(content)[:4], "little") * 10**9


class Putter:
    """Put nested dictionaries, taking every way that the pipeline may take: hints, duplicates, directories given up."""

    def __init__(self, store: Store, chance: random.Random, *, give_up: bool = True) -> None:
        self._store = store
        self._chance = chance
        self._give_up = give_up

    def put(self, folder: dict[bytes, Any], name: str = "a", *, end: bool = True) -> bytes:
        with staging_on(self._store, name) as stager:
            root = self._directory(stager, folder)
            if end:
                asked = Commit(name, force=self._chance.random() < 0.5)
                stager.commit(
                    root, lambda transaction, root, added: commit(self._store, transaction, root, asked, added)
                )
            elif self._chance.random() < 0.5:
                stager.withdraw(root)
                stager._write(None, None)
        return root.digest

    def _chunk(self, stager: Stager, data: bytes) -> Ref:
        ident = content_id(data)
        with self._store.snapshot() as snapshot:
            known = snapshot.transaction.find(CLASS_CONTENT, ident) is not None
        return stager.chunk(ident, len(data), None if known and self._chance.random() < 0.7 else encode(data))

    def _content(self, stager: Stager, data: bytes) -> Ref | None:
        ident = content_id(data)
        with self._store.snapshot() as snapshot:
            if snapshot.transaction.find(CLASS_CONTENT, ident) is not None and self._chance.random() < 0.5:
                return None if self._chance.random() < 0.5 else stager.chunk(ident, 0, None)
        builder = ListBuilder(stager)
        for start in range(0, max(1, len(data)), CHUNK):
            piece = data[start : start + CHUNK]
            builder.add(self._chunk(stager, piece), len(piece))
            stager.flush_if_full()
        return builder.finish(ident)

    def _directory(self, stager: Stager, folder: dict[bytes, Any]) -> Ref:
        if self._give_up and self._chance.random() < 0.2:  # built twice, given up once
            given_up = DirectoryBuilder(stager)
            self._fill(stager, given_up, folder)
            if not given_up.split:
                given_up.discard()
        builder = DirectoryBuilder(stager)
        self._fill(stager, builder, folder)
        return builder.finish()

    def _fill(self, stager: Stager, builder: DirectoryBuilder, folder: dict[bytes, Any]) -> None:
        for name, value in sorted(folder.items()):
            if isinstance(value, dict):
                ref = self._directory(stager, value)
                builder.add(directory_entry(name, ref, 0, 0o755))
            else:
                content = self._content(stager, value)
                builder.add(EntryDraft(name, Kind.FILE, len(value), content_id(value), content, time_of(value), 0o644))
            stager.flush_if_full()


def model(folder: dict[bytes, Any], prefix: bytes = b"") -> Model:
    found: Model = {}
    for name, value in folder.items():
        if isinstance(value, dict):
            found[prefix + name] = ("dir", b"")
            found |= model(value, prefix + name + b"/")
        else:
            found[prefix + name] = ("file", value)
    return found


@pytest.mark.parametrize("fanout", [256, 2])
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    folders=st.lists(st.tuples(FOLDERS, st.booleans()), min_size=1, max_size=5),
    batch=st.sampled_from([1, 2, 5, 1500]),
    seed=st.integers(0, 2**32),
)
def test_counts_are_right_whatever_is_put(
    new_workspace: NewWorkspace,
    fanout: int,
    folders: list[tuple[dict[bytes, Any], bool]],
    batch: int,
    seed: int,
) -> None:
    """Overlapping content, duplicates, stale and sound hints, puts that stop halfway: content and counts are right."""
    with new_workspace() as workspace, pytest.MonkeyPatch.context() as patch:
        store = workspace.store
        patch.setattr(content_cuts, "FANOUT", fanout)
        patch.setattr(staging, "BATCH_NODES", batch)
        putter = Putter(store, random.Random(seed))
        for folder, end in folders:
            digest = putter.put(folder, end=end)
            assert_sound(store)
            if end:
                version = workspace.version("a")
                assert version.record.digest == digest
                assert model_of(store, version.record.root) == model(folder)
                if fanout == 256:
                    assert digest == canonical_digest(whole(model(folder)))


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    folders=st.lists(FOLDERS, min_size=1, max_size=3), batch=st.sampled_from([1, 2, 5, 1500]), seed=st.integers(0, 99)
)
def test_a_put_that_ends_leaves_no_draft(
    new_workspace: NewWorkspace, folders: list[dict[bytes, Any]], batch: int, seed: int
) -> None:
    """Everything that was handed over got its parents, also where equal directories came twice in one batch."""
    with new_workspace() as workspace, pytest.MonkeyPatch.context() as patch:
        patch.setattr(staging, "BATCH_NODES", batch)
        for folder in folders:
            Putter(workspace.store, random.Random(seed), give_up=False).put({b"once": folder, b"twice": folder})
            assert workspace.drafts.states() == []
        assert_sound(workspace)


def test_batches_by_bytes(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch is written as soon as its stored forms are large enough, and held by a draft that lives."""
    monkeypatch.setattr(staging, "BATCH_BYTES", 100)
    with staging_on(workspace.store) as stager:
        for number in range(4):
            data = bytes([number]) * 30
            stager.chunk(content_id(data), 30, encode(data))
            stager.flush_if_full()
        assert_sound(workspace.store)
        (draft,) = workspace.drafts.states()
        assert (draft.alive, draft.artifact, draft.staged_nodes) == (True, "a", 4)
    (draft,) = workspace.drafts.states()
    assert not draft.alive
    assert_sound(workspace.store)


def test_the_loser_of_a_race_frees_its_bytes(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A chunk that another writer stored between packing and the transaction is condemned, then free."""
    store = workspace.store
    data = b"contended"
    real = Stager._pack

    def packed_and_overtaken(stager: Stager, now_ns: int) -> None:
        real(stager, now_ns)
        monkeypatch.setattr(Stager, "_pack", real)
        with staging_on(store, "winner") as other:
            put_one(store, other, data, "winner")

    monkeypatch.setattr(Stager, "_pack", packed_and_overtaken)
    with staging_on(store, "loser") as stager:
        put_one(store, stager, data, "loser")
    with store.snapshot() as snapshot:
        counters = snapshot.usage_totals()
        node, _ = find_node(snapshot.transaction, CLASS_CONTENT, content_id(data)) or (0, b"")
        assert read_count(snapshot.transaction, node) == 1  # both versions have the one root, which counts it once
        rows = list(space.condemned(snapshot.transaction))
    assert len(rows) == 1 and rows[0].length == counters.condemned_bytes > 0
    assert workspace.gc().condemned_bytes == 0
    assert workspace.version("loser").digest == workspace.version("winner").digest
    assert workspace.version("loser").read_bytes("f") == data
    assert_sound(store)


def put_one(store: Store, stager: Stager, data: bytes, name: str) -> None:
    ref = stager.chunk(content_id(data), len(data), encode(data))
    builder = DirectoryBuilder(stager)
    builder.add(EntryDraft(b"f", Kind.FILE, len(data), ref.id, ref, 0, 0o644))
    asked = Commit(name)
    stager.commit(builder.finish(), lambda transaction, root, added: commit(store, transaction, root, asked, added))


@pytest.mark.parametrize("kind", ["chunk", "content", "tree", "entry"])
def test_a_stale_hint_is_told(workspace: Workspace, kind: str) -> None:
    """Content that is said to be there and is not: nothing is kept of the batch, and the error is `StaleHintError`."""
    store = workspace.store
    ident = content_id(b"never put")
    with staging_on(store) as stager:
        builder = DirectoryBuilder(stager)
        ref = stager.chunk(content_id(b"put"), 3, encode(b"put"))
        builder.add(EntryDraft(b"a", Kind.FILE, 3, ref.id, ref, 0, 0o644))
        if kind == "chunk" or kind == "content":
            builder.add(EntryDraft(b"b", Kind.FILE, 9, ident, stager.chunk(ident, 9, None), 0, 0o644))
        elif kind == "tree":
            builder.add(directory_entry(b"b", stager.known_tree(ident), 0, 0o755))
        else:
            builder.add(EntryDraft(b"b", Kind.FILE, 9, ident, None, 0, 0o644))
        root = builder.finish()
        with pytest.raises(StaleHintError) as caught:
            stager.commit(root, lambda *_: pytest.fail("the action must not run"))
    assert isinstance(caught.value, BusyError)
    assert workspace.artifacts() == [] and workspace.drafts.states() == []
    with store.snapshot() as snapshot:
        assert snapshot.usage_totals().next_node == 16
    assert_sound(store)
    with staging_on(store) as stager:
        put_one(store, stager, b"put", "a")
    assert_sound(store)


def test_a_failing_action_leaves_nothing(workspace: Workspace) -> None:
    """An error while the version is recorded takes the whole batch back; the draft's lock file goes with it."""
    store = workspace.store
    with staging_on(store) as stager:
        root = DirectoryBuilder(stager).finish()

        def fail(*_: object) -> tuple[bool, None]:
            raise KeyError

        with pytest.raises(KeyError):
            stager.commit(root, fail)
    assert workspace.drafts.states() == []
    assert list((store.run_dir / "drafts").iterdir()) == []
    assert_sound(store)


def test_a_root_that_no_version_wants_is_let_go(workspace: Workspace) -> None:
    """What was committed without a version goes to the deadlist, in one batch or in two."""
    store = workspace.store
    for data in (b"in one", b"in two"):
        with staging_on(store) as stager:
            ref = stager.chunk(content_id(data), len(data), encode(data))
            builder = DirectoryBuilder(stager)
            builder.add(EntryDraft(b"f", Kind.FILE, len(data), ref.id, ref, 0, 0o644))
            root = builder.finish()
            if data == b"in two":
                stager._write(None, None)
            stager.commit(root, lambda *_: (False, None))
        assert_sound(store)
    assert workspace.drafts.states() == []
    assert workspace.gc().freed_nodes == 4
    assert workspace.usage().stored_bytes == 0


def test_births_do_not_change(workspace: Workspace) -> None:
    """Content keeps the time at which it was first put, in every later directory; entries show their own times."""
    store = workspace.store
    births = []
    for name, mtime_ns in (("one", 10**9), ("two", 2 * 10**9)):
        with staging_on(store) as stager:
            ref = stager.chunk(content_id(b"same"), 4, encode(b"same"))
            builder = DirectoryBuilder(stager)
            builder.add(EntryDraft(name.encode(), Kind.FILE, 4, ref.id, ref, mtime_ns, 0o644))
            asked = Commit(name)
            stager.commit(builder.finish(), lambda tx, root, added, asked=asked: commit(store, tx, root, asked, added))
        with store.snapshot() as snapshot:
            births.append(content_record(snapshot.transaction, ref.node).birth_ns)
        assert workspace.version(name).stat(name).mtime == datetime.fromtimestamp(mtime_ns / 1e9, UTC)
    assert births[0] == births[1] > 2 * 10**9
