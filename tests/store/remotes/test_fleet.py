"""Three workspaces on one remote against a model; and the bugs that the model must find."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from artstore.remotes import collecting, holdings
from artstore.remotes.log.state import LIVE
from store.remotes.fleet import FleetError, run

Patch = pytest.MonkeyPatch


@pytest.mark.parametrize("seed", range(12))
def test_a_fleet_loses_nothing(seed: int, tmp_path: Path) -> None:
    """Examples of 40 steps; ``scripts/soak remotes`` runs thousands."""
    run(tmp_path / "fleet", seed)


def deletes_at_once(patch: Patch) -> None:
    patch.setattr(collecting, "WAIT_SECONDS", 0)


def asks_the_local_clock(patch: Patch) -> None:
    patch.setattr(collecting, "store_time", lambda _: time.time_ns())


def forgets_the_window(patch: Patch) -> None:
    patch.setattr(collecting, "is_kept", lambda state, row, now_ns: row.state == LIVE)
    patch.setattr(holdings, "is_kept", lambda state, row, now_ns: row.state == LIVE)


@pytest.mark.parametrize("bug", [deletes_at_once, asks_the_local_clock, forgets_the_window])
def test_a_bug_is_found(bug: Callable[[Patch], None], tmp_path: Path) -> None:
    """In few examples; bugs that need one moment of a race are found by the tests of `test_collecting`."""
    with pytest.MonkeyPatch.context() as patch, pytest.raises(FleetError):
        bug(patch)
        for seed in range(30):
            run(tmp_path / str(seed), seed)
