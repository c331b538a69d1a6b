"""Two members work with one workspace: what one has open stays exact whatever the other deletes, and is freed later."""

from __future__ import annotations

import errno
import hashlib
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from messages import missing
from users.fixtures import Users, _packages
from users.shared import MEMBERS, Holder, Shared

pytestmark = pytest.mark.fuse

SIZE = 400_000


class Work:
    """A shared workspace that both members have mounted, and the content of what they put."""

    def __init__(self, users: Users) -> None:
        self.users = users
        self.shared = Shared(users)
        self.random = random.Random(1)
        self.mounts: dict[str, Path] = {}
        self.digests: dict[str, str] = {}
        self.env: dict[str, str] = {}
        """What the commands of those who delete have in their environment."""

    def mount(self, user: str) -> None:
        self.mounts[user] = self.shared.mount(user)

    def put(self, user: str, name: str) -> None:
        """Put a version of one file, as the next of an artifact."""
        content = self.random.randbytes(SIZE)
        source = self.users.home(user) / name
        source.mkdir(exist_ok=True)
        (source / "x").write_bytes(content)
        os.chown(source / "x", self.users.uids[user], -1)
        (source / "x").chmod(0o644)
        version = f"{name}:{self.shared.does(user, 'put', str(source), name)['version']}"
        self.digests[version] = hashlib.sha256(content).hexdigest()

    def file(self, user: str, version: str) -> Path:
        return self.mounts[user] / version.replace(":", "/") / "x"

    def reads(self, user: str, version: str) -> str:
        """Return the digest of a file as a user reads it under the user's mount."""
        return self.users.run(user, "sha256sum", self.file(user, version)).stdout.split()[0]

    def deletes(self, user: str, version: str) -> Any:
        return self.shared.does(user, "rm", "--now", "--force", version, env=self.env)

    def collects(self, user: str) -> Any:
        return self.shared.does(user, "gc", "--now", env=self.env)

    def begin(self, holder: Holder, user: str, version: str) -> None:
        """Have a file open, which both members have read."""
        for member in MEMBERS:
            assert self.reads(member, version) == self.digests[version]
        assert holder.does(f"take({str(self.file(user, version))!r})") is None

    def is_exact(self, holder: Holder, version: str) -> bool:
        return bool(holder.does("content()") == self.digests[version])


@pytest.fixture
def work(users: Users) -> Iterator[Work]:
    made = Work(users)
    for user in MEMBERS:
        made.mount(user)
    yield made
    for user in MEMBERS:
        made.shared.signal(user, signal.SIGCONT)


def ends_within(seconds: float, call: Callable[[], Any]) -> Any:
    begun = time.monotonic()
    result = call()
    assert time.monotonic() - begun < seconds
    return result


def test_what_a_member_has_open_outlives_every_deletion(work: Work) -> None:
    """In every order of who put it, who has it open, who deletes it and who collects."""
    for number, (author, reader, deleter, collector) in enumerate(product(MEMBERS, repeat=4)):
        name = f"d{number}"
        version = f"{name}:v0"
        work.put(author, name)
        with work.shared.holder(reader) as holder:
            work.begin(holder, reader, version)
            deletion = work.deletes(deleter, version)
            assert deletion["reaped_bytes"] == 0
            (sentence,) = deletion["in_use"]
            assert not missing(sentence, [version, str(work.mounts[reader])])
            assert reader == deleter or not missing(sentence, [f"art{reader}"])
            report = work.collects(collector)
            assert report["freed_bytes"] == 0 and len(report["in_use"]) == 1
            assert work.is_exact(holder, version)
            if number % 2:
                holder.does("drop()")
            else:
                holder.end()
            report = work.collects(collector)
            assert report["in_use"] == [] and report["deadlist_entries"] == 0
        for user in MEMBERS:
            assert work.users.run(user, "cat", work.file(user, version), check=False).returncode != 0
    assert work.shared.does("alice", "usage")["stored_bytes"] == 0


@pytest.mark.parametrize("stopped", MEMBERS)
def test_a_suspended_daemon_keeps_what_it_has_and_nothing_else(work: Work, stopped: str) -> None:
    """Whoever deletes: the wait is bounded, and ends with the process, the user and the mount."""
    other = MEMBERS[1 - MEMBERS.index(stopped)]
    for name in ("open", "seen", "unseen"):
        work.put("alice", name)
    with work.shared.holder(stopped) as holder:
        work.begin(holder, stopped, "open:v0")
        assert work.reads(stopped, "seen:v0") == work.digests["seen:v0"]
        pids = work.shared.pids(stopped)
        work.shared.signal(stopped, signal.SIGSTOP)
        (sentence,) = ends_within(15, lambda: work.deletes(other, "open:v0"))["in_use"]
        assert not missing(sentence, [f"process {pids[0]}", f"art{stopped}", str(work.mounts[stopped]), "suspended"])
        assert len(ends_within(15, lambda: work.deletes(other, "seen:v0"))["in_use"]) == 1
        assert ends_within(15, lambda: work.deletes(other, "unseen:v0"))["in_use"] == []
        report = ends_within(15, lambda: work.collects(other))
        assert (len(report["in_use"]), report["deadlist_entries"]) == (2, 2)
        work.shared.signal(stopped, signal.SIGCONT)
        assert work.is_exact(holder, "open:v0")
        assert [line.split(": ")[0] for line in work.collects(other)["in_use"]] == ["open:v0"]
        holder.does("drop()")
        assert work.collects(other)["deadlist_entries"] == 0


def test_a_killed_daemon_holds_nothing_and_a_killed_worker_changes_nothing(work: Work) -> None:
    for name in ("a", "b"):
        work.put("alice", name)
    with work.shared.holder("bob") as one, work.shared.holder("bob") as two:
        work.begin(one, "bob", "a:v0")
        work.begin(two, "bob", "b:v0")
        zygote = work.shared.status("alice", "bob")["pid"]
        for worker in work.shared.status("alice", "bob")["workers"]:
            os.kill(worker["pid"], signal.SIGKILL)
        assert len(work.deletes("alice", "a:v0")["in_use"]) == 1
        assert work.is_exact(one, "a:v0")
        os.kill(zygote, signal.SIGKILL)
        while zygote in work.shared.pids("bob"):
            time.sleep(0.01)
        assert work.deletes("alice", "b:v0")["in_use"] == []
        assert work.collects("alice")["deadlist_entries"] == 0
    assert work.shared.does("alice", "usage")["stored_bytes"] == 0


def test_a_file_that_is_open_through_the_python_api_is_kept(work: Work) -> None:
    code = (
        "import hashlib, sys, artfs\n"
        "with artfs.open_workspace(sys.argv[1]).version(sys.argv[2]).open('x') as file:\n"
        "    print('open', flush=True); sys.stdin.readline()\n"
        "    print(hashlib.sha256(file.read()).hexdigest(), flush=True); sys.stdin.readline()\n"
    )
    for reader, deleter in (("bob", "alice"), ("alice", "bob")):
        work.put("alice", reader)
        version = f"{reader}:v0"
        command = [sys.executable, "-P", "-c", code, work.shared.path, version]
        process = work.users.start(reader, *command, stdin=-1, stdout=-1)
        assert process.stdin is not None and process.stdout is not None
        assert process.stdout.readline() == "open\n"
        assert len(work.deletes(deleter, version)["in_use"]) == 1
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline().strip() == work.digests[version]
        process.communicate("\n")
    assert work.collects("alice")["deadlist_entries"] == 0


EVICTORS = ["root", "alice", "bob"]
"""Who may evict bob's mount: root, the owner of the workspace, and bob."""


@pytest.mark.parametrize("evictor", EVICTORS)
def test_an_evicted_mount_keeps_nothing_and_shows_no_wrong_byte(work: Work, evictor: str) -> None:
    for name in ("one", "two"):
        work.put("alice", name)
    with work.shared.holder("bob") as evicted, work.shared.holder("alice") as kept:
        work.begin(evicted, "bob", "one:v0")
        work.begin(kept, "alice", "two:v0")
        work.shared.signal("bob", signal.SIGSTOP)
        for version in ("one:v0", "two:v0"):
            work.deletes("alice", version)
        report = work.shared.does(evictor, "gc", "--now", "--evict", str(work.mounts["bob"]))
        assert [line.split(": ")[0] for line in report["in_use"]] == ["two:v0"]
        work.shared.signal("bob", signal.SIGCONT)
        assert evicted.does("content()") in ({"errno": errno.ESTALE}, {"errno": errno.EIO})
        assert work.is_exact(kept, "two:v0")


def test_no_member_evicts_the_mount_of_another(work: Work) -> None:
    refused = work.shared.users.artfs("bob", "-w", work.shared.path, "gc", "--evict", work.mounts["alice"], check=False)
    assert refused.returncode == 4 and not missing(refused.stderr, ["artalice", str(work.mounts["alice"])])
    nowhere = work.shared.users.artfs("alice", "-w", work.shared.path, "gc", "--evict", "/nowhere", check=False)
    assert nowhere.returncode == 3


BUGS = {
    "no leases": "import artstore.daemon_requests as m; m._leases = lambda *_: {}",
    "own only": (
        "import os, artstore.daemon_requests as m\n"
        "all_files = m.run_files\n"
        "m.run_files = lambda folder: [p for p in all_files(folder) if p.stat().st_uid == os.geteuid()]\n"
    ),
}


@pytest.mark.parametrize("bug", BUGS)
def test_a_seeded_bug_is_found(work: Work, bug: str) -> None:
    """A reaper that passes over leases, or over those of other users, loses what is open."""
    folder = work.users.common("bug", "root")
    (folder / "sitecustomize.py").write_text(BUGS[bug])
    (folder / "sitecustomize.py").chmod(0o644)
    work.put("alice", "data")
    with work.shared.holder("bob") as holder:
        work.begin(holder, "bob", "data:v0")
        work.env = {"PYTHONPATH": f"{folder}{os.pathsep}{_packages()}"}
        assert work.deletes("alice", "data:v0")["in_use"] == []
        assert not work.is_exact(holder, "data:v0")
