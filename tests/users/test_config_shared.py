"""``artfs config shared``: an existing workspace is shared with a group, and with nobody else again."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from users.fixtures import Users

pytestmark = pytest.mark.fuse

WRITER = """
import sys, artfs
workspace = artfs.open_workspace(sys.argv[1])
for line in sys.stdin:
    print(workspace.put(sys.argv[2], "data", new=True).name, flush=True)
"""


@pytest.fixture
def place(users: Users) -> Path:
    """Return alice's workspace with two versions, in a folder that all can reach."""
    users.run("alice", "mkdir", "-p", "source/sub")
    for name in ("a", "sub/b"):
        users.run("alice", "sh", "-c", f"echo {name} > source/{name}")
    place = users.common(f"shared-{os.urandom(4).hex()}", "alice") / "ws"
    users.artfs("alice", "init", place)
    for _ in range(2):
        users.artfs("alice", "-w", place, "put", "source", "data", "--new")
    return place


def modes(place: Path) -> set[tuple[str, int, int]]:
    """Return (kind, group, mode) of all that lies in a workspace, but for run files and what each member keeps."""
    found = set()
    for folder, _, names in os.walk(place):
        for path in [Path(folder), *(Path(folder, name) for name in names)]:
            status = path.lstat()
            inside = path.relative_to(place)
            if stat.S_ISSOCK(status.st_mode) or inside.parts[:2] in (("run", "daemons"), ("cache", "stat")):
                continue
            kind = "folder" if path.is_dir() else "file"
            found.add((kind, status.st_gid, stat.S_IMODE(status.st_mode) & ~stat.S_ISVTX))
    return found


def test_a_group_uses_what_was_one_users(users: Users, place: Path) -> None:
    """A member reads and writes all of it, also what a process of the owner makes that ran all the time."""
    assert users.artfs("bob", "-w", place, "ls", check=False).returncode == 4
    assert users.artfs("alice", "-w", place, "config", "shared").stdout == "none\n"
    command = [sys.executable, "-P", "-c", WRITER, place, "source"]
    writer = users.start("alice", *command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert writer.stdin is not None and writer.stdout is not None
    writer.stdin.write("\n")
    writer.stdin.flush()
    assert writer.stdout.readline() == "data:v2\n"
    shared = users.artfs("alice", "-w", place, "config", "shared", users.group, "--json")
    assert json.loads(shared.stdout)["group"] == users.group
    assert modes(place) == {("folder", users.gid, 0o2770), ("file", users.gid, 0o660)}
    assert stat.S_IMODE((place / "run").stat().st_mode) == 0o3770
    writer.stdin.write("\n")
    writer.stdin.flush()
    assert writer.stdout.readline() == "data:v3\n"
    writer.communicate()
    assert modes(place) == {("folder", users.gid, 0o2770), ("file", users.gid, 0o660)}
    for version in range(4):
        assert users.artfs("bob", "-w", place, "cat", f"data:v{version}/sub/b").stdout == "sub/b\n"
    users.run("bob", "sh", "-c", "mkdir -p mine && echo bob > mine/c")
    users.artfs("bob", "-w", place, "put", "mine", "data")
    assert users.artfs("alice", "-w", place, "cat", "data:v4/c").stdout == "bob\n"
    users.artfs("alice", "-w", place, "fsck", "--data")
    assert users.artfs("carol", "-w", place, "ls", check=False).returncode == 4


def test_it_is_one_users_again(users: Users, place: Path) -> None:
    """Files that other members have made are named and nothing is changed; without them nobody else reads any."""
    users.artfs("alice", "-w", place, "config", "shared", users.group)
    users.run("bob", "sh", "-c", "mkdir -p mine && echo bob > mine/c")
    users.artfs("bob", "-w", place, "put", "mine", "more", "--type", "x")
    before = modes(place)
    others = sorted(
        str(path.relative_to(place)) for path in place.rglob("*") if path.lstat().st_uid == users.uids["bob"]
    )
    assert others
    refused = users.artfs("alice", "-w", place, "config", "shared", "none", check=False)
    assert refused.returncode == 4 and others[0] in refused.stderr and "chown" in refused.stderr
    assert modes(place) == before
    users.run("root", "chown", "-R", str(users.uids["alice"]), place)
    users.artfs("alice", "-w", place, "config", "shared", "none")
    gid = users.uids["alice"]
    assert modes(place) == {("folder", gid, 0o700), ("file", gid, 0o600)}
    assert users.artfs("bob", "-w", place, "ls", check=False).returncode == 4
    assert users.artfs("alice", "-w", place, "cat", "more:v0/c").stdout == "bob\n"
    users.artfs("alice", "-w", place, "fsck", "--data")


def test_who_may_share(users: Users, place: Path) -> None:
    """Not a member that is not the owner, not with an unknown or a foreign group, and root names another owner."""
    users.artfs("alice", "-w", place, "config", "shared", users.group)
    before = modes(place)
    assert users.artfs("bob", "-w", place, "config", "shared", "none", check=False).returncode == 4
    assert users.artfs("alice", "-w", place, "config", "shared", "no-such-group", check=False).returncode == 3
    foreign = users.artfs("alice", "-w", place, "config", "shared", "root", check=False)
    assert foreign.returncode == 4 and "usermod" in foreign.stderr
    misplaced = users.artfs("alice", "-w", place, "config", "undelete-window", "1h", "--owner", "root", check=False)
    assert misplaced.returncode == 2
    assert modes(place) == before
    own = users.common(f"roots-{os.urandom(4).hex()}", "root") / "ws"
    users.artfs("root", "init", own)
    refused = users.artfs("root", "-w", own, "config", "shared", users.group, check=False)
    assert refused.returncode == 4 and "--owner" in refused.stderr
    users.run("root", "sh", "-c", "echo x > x")
    users.artfs("root", "-w", own, "put", "x", "x")
    alice = users.run("alice", "id", "-un").stdout.strip()
    users.artfs("root", "-w", own, "config", "shared", users.group, "--owner", alice)
    assert own.stat().st_uid == users.uids["alice"]
    assert modes(own) == {("folder", users.gid, 0o2770), ("file", users.gid, 0o660)}
    users.artfs("alice", "-w", own, "put", "source", "data")
    assert users.artfs("bob", "-w", own, "cat", "data:v0/a").stdout == "a\n"
    assert users.artfs("root", "-w", place, "config", "shared").stdout == f"{users.group}\n"
