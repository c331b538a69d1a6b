"""The daemon's retention: it applies the rules again and again, and reports once the error that prevents it."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import trio

from artfs.mount import retaining
from artfs.mount.retaining import Retaining
from artstore.retention.applying import Retired
from artstore.store import Store
from artstore.workspace import Workspace, init_workspace
from messages import missing


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    workspace = init_workspace(tmp_path / "ws")
    for number in range(3):
        (tmp_path / "file").write_text(str(number))
        workspace.put(tmp_path / "file", "a")
    return workspace


async def run_for(seconds: float, store: Store) -> None:
    with trio.move_on_after(seconds):
        await Retaining(store, every_seconds=0.02, first_seconds=0.0).run()


@pytest.mark.trio
async def test_it_applies_the_rules_that_are_set_meanwhile(
    workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_for, 2.0, workspace.store)
        await trio.sleep(0.1)
        assert len(workspace.versions("a")) == 3
        workspace.retention.set("r", last=2)
        while len(workspace.versions("a")) == 3:
            await trio.sleep(0.02)
        nursery.cancel_scope.cancel()
    assert [sentence for sentence in caplog.messages if not missing(sentence, ["a:v0"])]


@pytest.mark.trio
async def test_it_goes_on_whatever_goes_wrong(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An error is logged once, and again when it has been another thing between."""
    outcomes = iter([OSError("no disk"), OSError("no disk"), ValueError("a bug"), Retired(), OSError("no disk")])
    seen = []

    def apply(store: Store) -> Retired:
        outcome = next(outcomes, Retired())
        seen.append(outcome)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr(retaining, "retire", apply)
    with trio.move_on_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run_for, 5.0, workspace.store)
            while len(seen) < 6:
                await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
    assert ["no disk" in sentence for sentence in caplog.messages] == [True, False, True]
    assert [record.exc_info is not None for record in caplog.records] == [False, True, False]
