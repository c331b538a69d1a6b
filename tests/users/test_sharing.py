"""Members of a shared workspace know of each other's mounts, and none can end another's."""

from __future__ import annotations

import os
import signal
import time

import pytest

from users.fixtures import Users
from users.shared import MEMBERS, Shared

pytestmark = pytest.mark.fuse


@pytest.fixture
def shared(users: Users) -> Shared:
    return Shared(users)


def test_the_status_of_another_members_mount_is_the_truth(shared: Shared) -> None:
    shared.put("alice", "data", "one")
    folder = shared.mount("bob")
    seen = shared.status("alice", "bob")
    assert (seen["state"], seen["stopped"], seen["directory"]) == ("live", False, str(folder))
    assert len(seen["workers"]) == 2
    text = shared.users.artfs("alice", "-w", shared.path, "status").stdout
    assert f"process {seen['pid']} of artbob" in text
    shared.signal("bob", signal.SIGSTOP)
    seen = shared.status("alice", "bob")
    assert (seen["state"], seen["stopped"]) == ("silent", True)
    text = shared.users.artfs("alice", "-w", shared.path, "status").stdout
    assert f"kill -CONT {seen['pid']}" in text
    shared.signal("bob", signal.SIGCONT)
    assert shared.status("alice", "bob")["state"] == "live"
    os.kill(seen["pid"], signal.SIGKILL)
    for _ in range(100):
        if not shared.pids("bob"):
            break
        time.sleep(0.05)
    seen = shared.status("alice", "bob")
    assert (seen["state"], seen["pid"]) == ("dead", None)


def test_a_change_is_seen_in_every_members_mount_at_once(shared: Shared) -> None:
    """Names that a kernel may cache for a second are dropped before a member's command returns."""
    shared.put("alice", "data", "0")
    folders = {user: shared.mount(user) for user in MEMBERS}
    for number in range(1, 7):
        user, other = MEMBERS[number % 2], MEMBERS[1 - number % 2]
        listing = ["sh", "-c", f"ls {folders[other]}/data; readlink {folders[other]}/data/latest"]
        assert f"v{number}" not in shared.users.run(other, *listing).stdout
        shared.put(user, "data", str(number))
        assert shared.users.run(other, *listing).stdout.split()[-2:] == [f"v{number}", f"v{number}"]
        assert shared.users.run(other, "cat", folders[other] / "data" / "latest" / "x").stdout == str(number)


def test_no_member_unmounts_what_another_mounted(shared: Shared) -> None:
    shared.put("alice", "data", "one")
    folder = shared.mount("bob")
    refused = shared.users.artfs("alice", "umount", folder, check=False)
    assert refused.returncode != 0 and "another user" in refused.stderr
    request = (
        "import sys\nfrom pathlib import Path\nfrom artstore.daemons import live_daemons\n"
        "from artstore.daemon_requests import request\n"
        "(daemon,) = live_daemons(Path(sys.argv[1]) / 'run')\n"
        "print(request(daemon, {'op': 'unmount', 'lazy': True}, timeout=5)['errno'])\n"
    )
    assert shared.users.python("alice", request, shared.path).stdout == "1\n"
    assert shared.users.run("bob", "cat", folder / "data" / "v0" / "x").stdout == "one"
    shared.users.artfs("root", "umount", folder)
    assert shared.pids("bob") == []


def test_no_member_removes_or_replaces_what_shows_anothers_mount(shared: Shared) -> None:
    shared.mount("bob")
    folder = shared.path / "run" / "daemons"
    (run_file,) = folder.glob("*.json")
    for other in (run_file, run_file.with_suffix(".sock")):
        assert (other.stat().st_uid, other.stat().st_gid) == (shared.users.uids["bob"], shared.users.gid)
    shared.mount("alice")
    (of_alice,) = (path for path in folder.glob("*.json") if path != run_file)
    for path in (of_alice, of_alice.with_suffix(".sock")):
        for attempt in (["rm", "-f", path], ["mv", path, folder / "other"]):
            assert shared.users.run("bob", *attempt, check=False).returncode != 0
            assert path.exists()
    assert shared.users.run("bob", "mv", folder, shared.path / "run" / "other", check=False).returncode != 0
