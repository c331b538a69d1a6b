"""The daemon's following of remotes: what is pushed elsewhere appears, and an error is logged once and goes."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import trio

from artfs.mount.following import Following
from artstore.objects import probing
from artstore.remotes import adding
from artstore.remotes.exchanging import clone
from artstore.workspace import Workspace, init_workspace
from messages import missing


@pytest.fixture
def pushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setattr(adding, "probe", partial(probing.probe, threads=4, rounds=1))
    workspace = init_workspace(tmp_path / "ws")
    (tmp_path / "bucket").mkdir()
    workspace.remotes.add("origin", (tmp_path / "bucket").as_uri())
    push(workspace, tmp_path, "first")
    return workspace


@pytest.fixture
def cloned(pushed: Workspace, tmp_path: Path) -> Iterator[Workspace]:
    with Workspace(clone((tmp_path / "bucket").as_uri(), tmp_path / "clone")) as made:
        yield made


def push(workspace: Workspace, tmp_path: Path, text: str) -> None:
    (tmp_path / "file").write_text(text)
    workspace.put(tmp_path / "file", "a")
    workspace.remotes.push("a")


@pytest.mark.trio
async def test_what_is_pushed_elsewhere_appears(
    pushed: Workspace, cloned: Workspace, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A remote that cannot be reached is logged once, stands in the status, and is read again when it is back."""
    caplog.set_level(logging.INFO)
    following = Following(cloned.store, every_seconds=0.02, first_seconds=0.0)
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(following.run)
            await trio.to_thread.run_sync(push, pushed, tmp_path, "second")
            while len(cloned.versions("a")) < 2:
                await trio.sleep(0.02)
            (tmp_path / "bucket").rename(tmp_path / "away")
            while not following.status()[0]["error"]:
                await trio.sleep(0.02)
            await trio.sleep(0.2)
            (tmp_path / "away").rename(tmp_path / "bucket")
            while following.status()[0]["error"]:
                await trio.sleep(0.02)
            await trio.to_thread.run_sync(push, pushed, tmp_path, "third")
            while len(cloned.versions("a")) < 3:
                await trio.sleep(0.02)
            cloned.remotes.remove("origin", keep_local=True)
            while following.status():
                await trio.sleep(0.02)
            nursery.cancel_scope.cancel()
    assert cloned.artifacts() == []
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1 and not missing(warnings[0], ["origin"])
