"""The users of the tests are what the tests take them for, and nothing of them stays."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from users.fixtures import Users


def test_each_is_a_user_of_the_group_that_a_test_expects(users: Users) -> None:
    code = "import os, pwd; u = pwd.getpwuid(os.geteuid()); print(*os.getresuid(), u.pw_name, *sorted(os.getgroups()))"
    said = {user: users.python(user, code).stdout.split() for user in Users.uids}
    uids = {user: [str(number)] * 3 for user, number in Users.uids.items()}
    assert {user: words[:3] for user, words in said.items()} == uids
    assert said["alice"][3:] == ["artalice", "61001", "62000"]
    assert said["bob"][3:] == ["artbob", "61002", "62000"]
    assert said["carol"][3:] == ["artcarol", "61003"]


def test_homes_are_closed_to_others(users: Users) -> None:
    users.run("alice", "sh", "-c", "echo secret > note")
    assert (users.home("alice") / "note").stat().st_uid == Users.uids["alice"]
    for other in ("bob", "carol"):
        assert users.run(other, "cat", users.home("alice") / "note", check=False).returncode != 0
    assert users.run("root", "cat", users.home("alice") / "note").stdout == "secret\n"
    assert users.run("carol", "sh", "-c", "exec 2>&1; : > /etc/passwd", check=False).returncode != 0


@pytest.mark.fuse
def test_two_users_work_with_a_shared_workspace(users: Users) -> None:
    """Each mounts it and reads what the other put, and neither sees the other's mount."""
    shared = users.common("shared", "alice")
    users.artfs("alice", "init", shared / "ws", "--shared", Users.group)
    for user in ("alice", "bob"):
        source, mount = users.home(user) / "source", users.home(user) / "m"
        users.run(user, "sh", "-c", f"umask 022; mkdir {source} {mount}; echo {user} > {source}/name")
        users.artfs(user, "-w", shared / "ws", "put", source, f"of-{user}")
        users.artfs(user, "-w", shared / "ws", "mount", mount)
    for user, other in (("alice", "bob"), ("bob", "alice")):
        assert users.run(user, "cat", f"{users.home(user)}/m/of-{other}/v0/name").stdout == f"{other}\n"
        assert users.run("root", "cat", f"{users.home(user)}/m/of-{other}/v0/name", check=False).returncode != 0
    assert users.artfs("carol", "-w", shared / "ws", "ls", check=False).returncode != 0
    users.artfs("alice", "umount", users.home("alice") / "m")


@pytest.mark.fuse
def test_nothing_stays(users: Users) -> None:
    """Processes end, also stopped ones and daemons; mounts and folders are gone, and the machine saw none of them."""
    accounts = Path("/etc/passwd").read_text(), Path("/etc/group").read_text()
    users.run("alice", "sh", "-c", "mkdir m source; echo x > source/x")
    workspace = users.home("alice") / "ws"
    users.artfs("alice", "init", workspace)
    users.artfs("alice", "-w", workspace, "put", users.home("alice") / "source", "data")
    users.artfs("alice", "-w", workspace, "mount", users.home("alice") / "m")
    sleeper = users.start("bob", "sh", "-c", "echo; kill -STOP $$", stdout=subprocess.PIPE)
    assert sleeper.stdout is not None
    with sleeper.stdout:
        sleeper.stdout.readline()
    running = users.processes()
    assert sleeper.pid in running and len(running) >= 4
    assert not os.listdir(users.home("alice") / "m")
    users.close()
    assert sleeper.returncode is not None
    assert not [pid for pid in running if _runs(pid)]
    assert not users.folder.exists()
    assert (Path("/etc/passwd").read_text(), Path("/etc/group").read_text()) == accounts
    assert str(users.folder) not in Path("/proc/self/mountinfo").read_text()


def _runs(pid: int) -> bool:
    """Return whether a process runs; one whose parent has ended may wait for a while to be forgotten."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
