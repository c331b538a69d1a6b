"""A run file is seen only while it is held, and a dead daemon's files are removed; its messages are kept."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path

from artfs.mount.runfile import RunFile, log_file, remove_dead
from artstore.daemons import DaemonInfo, daemons_folder, is_held, live_daemons, socket_path
from artstore.errors import RefusedError
from messages import raises


def info(name: str, address: Path) -> DaemonInfo:
    return DaemonInfo(name, 1, "/m", str(address), "0:1", 1.0, "fake", os.getuid(), os.getuid())


def test_the_lock_lasts_as_long_as_any_process_that_shares_it(tmp_path: Path) -> None:
    held = RunFile.create(tmp_path, info("a", tmp_path / "s"))
    other = os.dup(held.descriptor)
    os.close(held.descriptor)
    assert is_held(held.path)
    assert [daemon.id for daemon in live_daemons(tmp_path)] == ["a"]
    os.close(other)
    assert not is_held(held.path)
    assert live_daemons(tmp_path) == []


def make_socket(run_dir: Path, name: str) -> Path:
    """Make a socket where that of a daemon of this user belongs."""
    folder = run_dir / "artfs"
    folder.mkdir(mode=0o700, exist_ok=True)
    path = socket_path(folder, run_dir.parent, name)
    os.mknod(path, stat.S_IFSOCK | 0o600)
    return path


def test_no_file_is_removed_because_a_run_file_names_it(tmp_path: Path) -> None:
    """A run file is written by any user who may write to the workspace."""
    thesis = tmp_path / "thesis"
    thesis.touch()
    private = tmp_path / "artfs"
    private.mkdir(mode=0o700)
    by_rule = socket_path(private, tmp_path.parent, "file")  # the right name, and not a socket
    by_rule.touch()
    other = make_socket(tmp_path, "other's name")
    open_to_all = make_socket(tmp_path, "open")
    victims = {"thesis": thesis, "file": by_rule, "other": other}
    for name, path in victims.items():
        os.close(RunFile.create(tmp_path, info(name, path)).descriptor)
    remove_dead(tmp_path)
    assert list(daemons_folder(tmp_path).iterdir()) == []
    assert all(path.exists() for path in victims.values())
    os.close(RunFile.create(tmp_path, info("open", open_to_all)).descriptor)
    private.chmod(0o755)
    remove_dead(tmp_path)
    assert open_to_all.exists()


def test_the_folder_of_run_files_is_no_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    run_dir = tmp_path / "ws" / "run"
    run_dir.mkdir(parents=True)
    (run_dir / "daemons").symlink_to(tmp_path / "elsewhere")
    with raises(RefusedError, names=[str(run_dir / "daemons")], reason="through a link"):
        RunFile.create(run_dir, info("a", tmp_path / "s"))
    with raises(RefusedError, names=[str(run_dir / "daemons")], reason="through a link"):
        live_daemons(run_dir)
    with raises(RefusedError, names=[str(run_dir / "daemons")], reason="through a link"):
        remove_dead(run_dir)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_the_dead_are_cleared_away_and_the_living_left(tmp_path: Path) -> None:
    sockets = {name: make_socket(tmp_path, name) for name in ("alive", "dead", "told")}
    alive = RunFile.create(tmp_path, info("alive", sockets["alive"]))
    for name in ("dead", "told"):
        os.close(RunFile.create(tmp_path, info(name, sockets[name])).descriptor)
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
    assert [name for name, path in sockets.items() if path.exists()] == ["alive"]
    alive.remove()
    os.close(alive.descriptor)
