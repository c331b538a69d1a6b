"""Collections that are killed at every request, and bugs that the tests of races must find."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from artstore.errors import ArtfsError, DamageError
from artstore.remotes import collecting, pushing, sending
from artstore.remotes.collecting import LEFT_SECONDS, WAIT_SECONDS
from artstore.remotes.log.state import LIVE, REAPED
from artstore.remotes.usage import remote_usage
from artstore.workspace import Workspace
from store.objects.model_store import ModelStore
from store.oracle import assert_sound
from store.remotes import test_collecting
from store.remotes.shared_bucket import SharedBucket
from store.remotes.test_collecting import WINDOW, assert_whole, collect, put

NewWorkspace = Callable[[], AbstractContextManager[Workspace]]


@pytest.fixture
def shared(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> SharedBucket:
    """Return a remote that a workspace knows."""
    shared = SharedBucket(monkeypatch)
    shared.join(workspace)
    return shared


class Killed(BaseException):
    """Ends a collection at a request, as a signal does."""


class _Killing(ModelStore):
    """Kill the caller before a request, or after a write."""

    def __init__(self, shared: SharedBucket, left: int, *, after: bool) -> None:
        super().__init__(shared.bucket, step=lambda kind: None if after else self._count())
        self._left = left
        self._after = after

    def _count(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise Killed

    def create(self, name: str, body: bytes) -> bool:
        found = super().create(name, body)
        if self._after:
            self._count()
        return found

    def delete(self, names: Iterable[str]) -> None:
        for name in names:
            super().delete([name])
            if self._after:
                self._count()


@pytest.mark.parametrize("after", [False, True])
def test_a_collection_that_is_killed_at_any_request_is_continued(
    after: bool, workspace: Workspace, new_workspace: NewWorkspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By another machine: the same objects are deleted in the end, and no others; half of them may be gone before."""
    points = 0
    for point in range(200):
        shared = SharedBucket(monkeypatch)
        with new_workspace() as here, new_workspace() as there:
            shared.join(here)
            shared.join(there)
            put(here, tmp_path, "a", 1)
            put(here, tmp_path, "a", 1, 2)
            put(here, tmp_path, "kept", 2, 3)
            here.delete("a:v0", "a:v1")
            shared.bucket.now += WINDOW + 100
            shared.store = _Killing(shared, point, after=after)
            killed = False
            try:
                collect(here)
                shared.bucket.now += WAIT_SECONDS + 1
                collect(here)
            except Killed:
                killed = True
            shared.store = ModelStore(shared.bucket)
            if not killed:
                break
            points += 1
            for _ in range(2):
                collect(there)
                shared.bucket.now += WAIT_SECONDS + 1
            collect(there)
            state = shared.connection(there).state
            assert [row.state for row in sorted(state.versions.values(), key=lambda row: row.place)] == [
                REAPED,
                REAPED,
                LIVE,
            ]
            usage = remote_usage(there.store)
            assert (usage.condemned_bytes, usage.artifacts[0].name) == (0, "kept")
            assert_whole(shared, new_workspace, "kept:v0")
            if point % 5:
                continue
            shared.bucket.now += LEFT_SECONDS
            collect(there)
            shared.bucket.now += WAIT_SECONDS + 1
            collect(there)
            assert remote_usage(there.store).unused_bytes == 0
            assert_sound(there)
    assert points >= (3 if after else 15)


# -- bugs --------------------------------------------------------------------------------------------------------------


def looks_once(patch: pytest.MonkeyPatch) -> None:
    """A collector that does not look again after another entry was first (R2)."""
    plan = collecting._Collector._plan

    def planned(self: collecting._Collector, state: Any) -> Any:
        kept = getattr(type(self), "kept", None)
        if kept is None or kept[0] is not self:
            kept = self, plan(self, state)
            type(self).kept = kept  # type: ignore[attr-defined]
        return kept[1]

    patch.setattr(collecting._Collector, "kept", None, raising=False)
    patch.setattr(collecting._Collector, "_plan", planned)


def uses_what_was_given_up(patch: pytest.MonkeyPatch) -> None:
    """A pusher that does not compare its packs with what was given up (R1)."""
    known = sending._known
    patch.setattr(pushing._Push, "_check_packs", lambda *_: None)
    patch.setattr(sending, "_known", lambda store, remote, _, *more: known(store, remote, frozenset(), *more))


def test_a_collector_that_looks_once_is_found(
    workspace: Workspace,
    shared: SharedBucket,
    new_workspace: NewWorkspace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By the test of what is pushed meanwhile: it gives up what that push has used."""
    looks_once(monkeypatch)
    with pytest.raises((AssertionError, DamageError)):
        test_collecting.test_a_push_while_a_collection_looks_is_seen(workspace, shared, new_workspace, tmp_path)


def test_a_pusher_that_uses_what_was_given_up_is_found(
    shared: SharedBucket, new_workspace: NewWorkspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the test of a collection beside a push: the version cannot be read once the objects are deleted."""
    uses_what_was_given_up(monkeypatch)
    with pytest.raises((AssertionError, ArtfsError)):
        test_collecting.test_a_push_that_was_about_to_use_what_is_given_up_sends_it_again(
            shared, new_workspace, tmp_path
        )
