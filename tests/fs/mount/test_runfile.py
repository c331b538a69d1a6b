"""A run file is seen only while it is held, and a dead daemon's files are removed; its messages are kept."""

from __future__ import annotations

import os
import time
from pathlib import Path

from artfs.mount.ownership import Owner
from artfs.mount.runfile import RunFile, log_file, remove_dead
from artstore.daemons import DaemonInfo, daemons_folder, is_held, live_daemons


def info(name: str, socket: Path) -> DaemonInfo:
    return DaemonInfo(name, 1, "/m", str(socket), "0:1", 1.0, "fake", os.getuid(), os.getuid())


def me() -> Owner:
    return Owner(os.geteuid(), os.getegid(), ())


def test_the_lock_lasts_as_long_as_any_process_that_shares_it(tmp_path: Path) -> None:
    held = RunFile.create(tmp_path, info("a", tmp_path / "s"), me())
    other = os.dup(held.descriptor)
    os.close(held.descriptor)
    assert is_held(held.path)
    assert [daemon.id for daemon in live_daemons(tmp_path)] == ["a"]
    os.close(other)
    assert not is_held(held.path)
    assert live_daemons(tmp_path) == []


def test_the_dead_are_cleared_away_and_the_living_left(tmp_path: Path) -> None:
    for name in ("alive", "dead", "told"):
        (tmp_path / f"{name}.sock").touch()
    alive = RunFile.create(tmp_path, info("alive", tmp_path / "alive.sock"), me())
    for name in ("dead", "told"):
        os.close(RunFile.create(tmp_path, info(name, tmp_path / f"{name}.sock"), me()).descriptor)
    for name in ("alive", "dead", "starting"):
        log_file(tmp_path, name).touch()
    log_file(tmp_path, "told").write_text("why it died\n")
    log_file(tmp_path, "old").write_text("why another died\n")
    os.utime(log_file(tmp_path, "old"), (1, time.time() - 8 * 86400))
    remove_dead(tmp_path)
    assert sorted(path.name for path in daemons_folder(tmp_path).iterdir()) == [
        "alive.json",
        "alive.log",
        "starting.log",
        "told.log",
    ]
    assert [path.name for path in tmp_path.glob("*.sock")] == ["alive.sock"]
    alive.remove()
    os.close(alive.descriptor)
