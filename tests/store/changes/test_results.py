"""The result of a change: announced after the commit, and only if something changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from artstore import daemon_requests
from artstore.changes.committing import Commit
from artstore.changes.results import PutResult, announce, commit_staged, version_of
from artstore.daemon_requests import Change
from artstore.errors import RefusedError
from artstore.ids import content_id
from artstore.ingest.batch import EntryDraft
from artstore.ingest.building import DirectoryBuilder
from artstore.ingest.staging import Stager
from artstore.records.trees import Kind
from artstore.storage.codec import encode
from artstore.workspace import Workspace
from store.fake_daemons import FakeDaemon, fake_daemons
from store.oracle import assert_sound


@pytest.fixture
def start(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., FakeDaemon]]:
    """Return what starts a daemon of the workspace; silent ones are waited for shortly."""
    monkeypatch.setattr(daemon_requests, "PATIENCE_SECONDS", 0.2)
    with fake_daemons(workspace.store.run_dir) as started:
        yield started


@contextmanager
def staged(workspace: Workspace, *contents: bytes) -> Iterator[Callable[[Commit], PutResult]]:
    """Stage a folder of files, one in each batch; yield what commits it."""
    stager = Stager(workspace.store, "data", "test")
    try:
        builder = DirectoryBuilder(stager)
        for content in contents:
            ref = stager.chunk(content_id(content), len(content), encode(content))
            builder.add(EntryDraft(content[:1], Kind.FILE, len(content), ref.id, ref, 0, 0o644))
            stager.flush()
        root = builder.finish()
        yield lambda request: commit_staged(workspace.store, stager, root, request)
    finally:
        stager.close()


def test_daemons_hear_of_a_version_that_exists(workspace: Workspace, start: Callable[..., FakeDaemon]) -> None:
    """When a daemon is asked to forget names, it finds the version in the store; it hears of it once."""
    listed: list[int] = []

    def answer(_: dict[str, Any]) -> dict[str, Any]:
        listed.append(workspace.version("p/data:latest").number)
        return {"ok": True}

    daemon = start("a", answer)
    with staged(workspace, b"1" * 100) as commit:
        result = commit(Commit("p/data", aliases=("best",)))
    assert listed == [0] and result.silent == []
    assert [message["op"] for message in daemon.heard] == ["invalidate"]
    assert daemon.heard[0]["changes"] == [["", ["p"]], ["p", ["data"]], ["p/data", ["v0", "latest", "best"]]]


def test_the_receipt_says_what_was_added(workspace: Workspace, start: Callable[..., FakeDaemon]) -> None:
    """Bytes of all batches, which usage shows too, and the mounts that did not answer."""
    start("a", None)
    start("b")
    before = workspace.usage().stored_bytes
    with staged(workspace, b"1" * 100, b"2" * 100) as commit:
        version = version_of(workspace.store, commit(Commit("data")))
    assert version == workspace.version("data:v0")
    assert version.receipt is not None
    assert (version.receipt.created, version.receipt.silent_daemons) == (True, ["/mnt/a"])
    added = workspace.usage().stored_bytes - before
    assert version.receipt.new_bytes == version.record.new_bytes == added
    assert version.receipt.reaped_bytes == 0
    assert_sound(workspace)


def test_equal_content_is_the_version_that_exists(workspace: Workspace, start: Callable[..., FakeDaemon]) -> None:
    """No daemon hears of it, and nothing is added."""
    with staged(workspace, b"1" * 100) as commit:
        first = version_of(workspace.store, commit(Commit("data")))
    daemon = start("a")
    with staged(workspace, b"1" * 100) as commit:
        again = version_of(workspace.store, commit(Commit("data")))
    assert again == first and again.receipt is not None
    assert (again.receipt.created, again.receipt.new_bytes) == (False, 0)
    assert daemon.heard == []


def test_a_refused_commit_is_not_announced(workspace: Workspace, start: Callable[..., FakeDaemon]) -> None:
    """Its error is that of the commit; no version is made, and what was staged is left to a draft."""
    with staged(workspace, b"1" * 100) as commit:
        commit(Commit("data", type="dataset"))
    daemon = start("a")
    with staged(workspace, b"2" * 100) as commit, pytest.raises(RefusedError):
        commit(Commit("data", type="model"))
    assert daemon.heard == []
    assert [version.number for version in workspace.versions("data")] == [0]
    assert_sound(workspace)


def test_without_changes_no_daemon_is_looked_for(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Most steps change nothing that a mount shows."""
    monkeypatch.setattr(daemon_requests, "live_daemons", lambda _: pytest.fail("daemons were looked for"))
    assert announce(workspace.store, []) == []


def test_those_that_did_not_hear_are_returned(workspace: Workspace, start: Callable[..., FakeDaemon]) -> None:
    """The others have heard of every change."""
    silent, heard = start("a", None), start("b")
    changes = [Change("", ["data"]), Change("data", ["v0", "latest"])]
    assert announce(workspace.store, changes) == [silent.info]
    assert heard.heard == [{"op": "invalidate", "changes": [["", ["data"]], ["data", ["v0", "latest"]]]}]
