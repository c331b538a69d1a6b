"""A repair leaves running puts alone, and can be interrupted at any write."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable

import pytest

from artstore.ids import content_id
from artstore.ingest import staging
from artstore.ingest.staging import Stager
from artstore.records.nodes import (
    KIND_TREE,
)
from artstore.records.tables import Table, key64
from artstore.repairing.repair import repair
from artstore.rows.nodes import node_extent, node_payload
from artstore.storage import disk, journal
from artstore.storage.codec import encode
from artstore.storage.manifest import WriteTransaction
from artstore.workspace import Workspace
from crash.recount import all_nodes
from store.lived import catalogue_of
from store.oracle import assert_sound
from store.repairing.damage import (
    counts_spoilt,
    cut_in_half,
    entry_gone,
    flip_bit,
    gap_over_a_node,
    index_row_gone,
    node_at,
    rows_spoilt,
    spoil,
)


def test_a_put_may_run_meanwhile(lived: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a put has staged stays its own."""
    stager = Stager(lived.store, "x", "test")
    monkeypatch.setattr(staging, "BATCH_NODES", 1)
    data = os.urandom(5000)
    stager.chunk(content_id(data), len(data), encode(data))
    stager.flush_if_full()
    assert repair(lived.store) == []
    stager.close()
    assert_sound(lived)


def test_a_killed_repair_is_begun_again(lived: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ended at any call that writes or syncs, it leaves nothing worse; the next run does the rest."""
    before = catalogue_of(lived)
    nodes = [node_at(lived, "alone:v1", path) for path in (b"many/001", b"many/002")]
    with lived.store.write() as transaction:
        directories = [node for node, payload in all_nodes(transaction).items() if payload[0] == KIND_TREE]
        for damage in (counts_spoilt, index_row_gone, entry_gone, gap_over_a_node, rows_spoilt(Table.NUMBERS)):
            damage(lived, transaction)
        for node in nodes:
            spoil(transaction, Table.NODES, key64(node))
        extent = node_extent(node_payload(transaction, directories[-1]))
    flip_bit(lived, extent)
    cut_in_half(journal.journal_path(lived.path))
    shutil.rmtree(lived.path / "run" / "daemons")
    after = 0
    while _is_killed(lived, directories, after, monkeypatch):
        after += 1 + after // 3
    assert after > 15
    assert_sound(lived)
    assert catalogue_of(lived) == before
    assert repair(lived.store) == []


def _is_killed(ws: Workspace, damaged: list[int], after: int, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Repair, and end it at the call after some that write or sync; return whether it came so far."""
    calls = iter(range(after))

    def dying(real: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object) -> object:
            if next(calls, None) is None:
                raise KeyboardInterrupt
            return real(*args)

        return call

    with monkeypatch.context() as patched:
        for name in ("append", "sync_data", "write_file", "sync_folder"):
            patched.setattr(disk, name, dying(getattr(disk, name)))
        for name in ("put", "put_numbered", "save_state"):
            patched.setattr(WriteTransaction, name, dying(getattr(WriteTransaction, name)))
        try:
            repair(ws.store, damaged)
        except KeyboardInterrupt:
            return True
    return False
