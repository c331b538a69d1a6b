"""What a remote takes: the numbers are the sum of what its store lists."""

from __future__ import annotations

from pathlib import Path

import pytest

from artstore.remotes.collecting import WAIT_SECONDS
from artstore.remotes.usage import RemoteUsage, remote_usage
from artstore.workspace import Workspace
from store.remotes.shared_bucket import SharedBucket
from store.remotes.test_collecting import WINDOW, collect, put


@pytest.fixture
def shared(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> SharedBucket:
    """Return a remote that a workspace knows."""
    shared = SharedBucket(monkeypatch)
    shared.join(workspace)
    return shared


def assert_equal_to_the_list(shared: SharedBucket, usage: RemoteUsage) -> None:
    sizes = {name: len(body) for name, (body, _) in shared.bucket.objects.items()}
    assert (usage.bytes, usage.objects) == (sum(sizes.values()), len(sizes))
    kinds = (usage.living_bytes, usage.deleted_bytes, usage.condemned_bytes, usage.unused_bytes)
    assert sum(kinds) + usage.log_bytes + usage.other_bytes == usage.bytes


def test_usage_is_the_sum_of_the_list(workspace: Workspace, shared: SharedBucket, tmp_path: Path) -> None:
    """In every state of a version; alone and shared by artifact; and when what is waiting is due."""
    put(workspace, tmp_path, "a", 1, 2)
    put(workspace, tmp_path, "b", 2, 3)
    put(workspace, tmp_path, "c", 4)
    shared.store.create(f"d/ab/{'ab' * 16}", b"left")
    shared.store.create("d/foreign", b"foreign")
    usage = remote_usage(workspace.store)
    assert_equal_to_the_list(shared, usage)
    by_name = {each.name: each for each in usage.artifacts}
    assert by_name["a"].alone == 0 and by_name["b"].shared == by_name["a"].shared > 6000
    assert by_name["b"].alone > 3000 and by_name["c"].shared == 0 and by_name["c"].logical == 3000
    assert usage.living_bytes == by_name["a"].shared + by_name["b"].alone + by_name["c"].alone
    assert (usage.unused_bytes, usage.other_bytes, usage.deleted_bytes) == (4, 7, 0)
    before = shared.bucket.now
    workspace.delete("c:v0")
    usage = remote_usage(workspace.store)
    assert usage.deleted_bytes == by_name["c"].alone and usage.deleted_due is not None
    assert WINDOW <= usage.deleted_due.timestamp() - before < WINDOW + 60
    assert_equal_to_the_list(shared, usage)
    shared.bucket.now += WINDOW + 100
    collect(workspace)
    usage = remote_usage(workspace.store)
    assert_equal_to_the_list(shared, usage)
    assert (usage.condemned_bytes, usage.deleted_bytes) == (by_name["c"].alone, 0)
    assert usage.condemned_due is not None and abs(usage.condemned_due.timestamp() - shared.bucket.now - WINDOW) < 60
    shared.bucket.now += WAIT_SECONDS + 1
    collect(workspace)
    usage = remote_usage(workspace.store)
    assert_equal_to_the_list(shared, usage)
    assert (usage.condemned_bytes, usage.condemned_due) == (0, None)
