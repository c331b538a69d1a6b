"""Who may mount, and as whom a daemon works."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from artfs.mount.control import unmount
from artstore.workspace import init_workspace
from mount.conftest import Mounts
from reasons import has_reason
from users.fixtures import Users

AsUser = Callable[..., dict[str, Any]]

MAKE = """
import time
from artfs.mount.control import mount, status, unmount
from artfs.mount.table import at
from artstore.errors import ArtfsError
from artstore.workspace import init_workspace
workspace = init_workspace(folder / "ws")
(folder / "source").mkdir()
(folder / "source" / "x").write_text("content")
(folder / "m").mkdir()
version = workspace.put(folder / "source", "team/data")
def sentence(call, *args, **options):
    try:
        call(*args, **options)
    except ArtfsError as error:
        return f"{type(error).__name__}: {error}"
    return ""
def eventually(ask, wanted):
    for _ in range(250):
        answer = ask()
        if answer == wanted:
            break
        time.sleep(0.02)
    return answer
"""


def test_an_ordinary_user_mounts(as_ordinary_user: AsUser, transport: str) -> None:
    """Through fusermount3 everything works as for root: reading, changes, status, unmounting, the death of a worker."""
    found = as_ordinary_user(
        MAKE
        + f"""
import functools, signal
mount = functools.partial(mount, transport={transport!r})
"""
        + """
handle = mount(workspace.path, folder / "m")
x = Path(handle.path(version)) / "x"
result["uid"] = os.getuid()
result["content"] = x.read_text()
result["owner"] = x.stat().st_uid
point = at(folder / "m")
result["type"], result["source"] = point.fstype, point.source
(folder / "source" / "x").write_text("changed")
workspace.put(folder / "source", "team/data")
result["changed"] = (folder / "m/team/data/latest/x").read_text()
one, = status(workspace.path)
result["state"] = one.state
os.kill(one.workers[0].pid, signal.SIGKILL)
os.kill(one.workers[1].pid, signal.SIGKILL)
result["after"] = [(folder / "m/team/data/v0/x").read_text() for _ in range(3)]
def restarts():
    one, = status(workspace.path)
    return sum(worker.restarts for worker in one.workers)
result["restarts"] = eventually(restarts, 2)
with x.open() as opened:
    result["busy"] = sentence(unmount, folder / "m")
unmount(folder / "m")
result["left"] = [entry.name for entry in (workspace.path / "run/daemons").iterdir() if entry.stat().st_size == 0]
result["mounted"] = at(folder / "m") is not None
handle = mount(workspace.path, folder / "m")
os.kill(handle.pid, signal.SIGKILL)
handle._daemon.wait(30)
# The kernel ends the other processes a moment after their parent; until then they hold the run file.
result["dead"] = eventually(lambda: [one.state for one in status(workspace.path)], ["dead"])
handle = mount(workspace.path, folder / "m")
result["again"] = x.read_text()
os.kill(handle.pid, signal.SIGTERM)
result["code"] = handle._daemon.wait(30)
"""
    )
    uid = found["uid"]
    assert uid != 0
    assert (found["content"], found["owner"], found["changed"]) == ("content", uid, "changed")
    assert found["type"] == "fuse.artfs"
    assert found["source"].endswith("/ws")
    assert (found["state"], found["after"]) == ("live", ["content"] * 3)
    assert found["restarts"] == 2
    assert found["busy"].startswith("BusyError: ")
    assert has_reason(found["busy"], "in use") and "python" in found["busy"]
    assert (found["left"], found["mounted"], found["dead"]) == ([], False, ["dead"])
    assert (found["again"], found["code"]) == ("content", 0)


def test_what_an_ordinary_user_may_not(as_ordinary_user: AsUser) -> None:
    found = as_ordinary_user(
        MAKE
        + """
(folder / "closed").mkdir(mode=0o555)
result["other"] = sentence(mount, workspace.path, folder / "m", allow_other=True)
result["place"] = sentence(mount, workspace.path, folder / "closed")
os.environ["PATH"] = str(folder)
result["program"] = sentence(mount, workspace.path, folder / "m")
"""
    )
    assert "user_allow_other" in found["other"]
    assert has_reason(found["place"], "not writable") and "/closed" in found["place"]
    assert has_reason(found["program"], "not installed") and "fusermount3" in found["program"]


def test_an_ordinary_user_may_let_others_in_where_that_is_allowed(as_ordinary_user: AsUser) -> None:
    found = as_ordinary_user(
        MAKE
        + """
handle = mount(workspace.path, folder / "m", allow_other=True)
result["options"] = "allow_other" in at(folder / "m").options
unmount(folder / "m")
""",
        fuse_conf="user_allow_other\n",
    )
    assert found["options"]


@pytest.fixture
def open_folder() -> Any:
    """Return a folder that every user can reach."""
    folder = Path(tempfile.mkdtemp(prefix="art-open-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can mount for another user")
def test_root_mounts_the_workspace_of_another_user(open_folder: Path, transport: str) -> None:
    """The daemon becomes the owner: it reads what the owner may, leaves files that are the owner's, and root reads."""
    user = 64321
    workspace = init_workspace(open_folder / "ws")
    source = open_folder / "source"
    source.mkdir()
    (source / "x").write_text("theirs")
    version = workspace.put(source, "a")
    for path in [workspace.path, *workspace.path.rglob("*")]:
        os.chown(path, user, user + 1)
    (open_folder / "m").mkdir()
    theirs = Mounts(workspace.path, open_folder, transport)
    try:
        handle = theirs(open_folder / "m")
        shown = Path(handle.path(version), "x")
        assert shown.read_text() == "theirs"
        assert (shown.stat().st_uid, shown.stat().st_gid) == (user, user + 1)
        assert (handle.directory.stat().st_uid, handle.directory.stat().st_gid) == (user, user + 1)
        found = theirs.status(handle)
        assert found.uid == user
        processes = [handle.pid, *(worker.pid for worker in found.workers)]
        uids = [Path(f"/proc/{pid}/status").read_text().split("Uid:")[1].split()[:4] for pid in processes]
        assert uids == [["0"] * 4, *([[str(user)] * 4] * len(found.workers))]
        (source / "x").write_text("changed")
        workspace.put(source, "a")
        assert (open_folder / "m/a/latest/x").read_text() == "changed"
        assert {path.stat().st_uid for path in (workspace.path / "run/daemons").glob("*.json")} == {user}
        child = os.fork()
        if child == 0:
            try:
                os.setresgid(user, user, user)
                os.setresuid(user, user, user)
                unmount(handle.directory)
                os._exit(0)
            finally:
                os._exit(1)
        assert os.waitpid(child, 0)[1] == 0, "the owner may unmount it, although root has mounted it"
        assert handle._daemon.wait(30) == 0
    finally:
        theirs.end()


def belongs_to_others(folder: Path, uid: int) -> list[str]:
    return [str(path) for path in folder.rglob("*") if path.lstat().st_uid != uid]


def workspace_of_alice(users: Users) -> Path:
    """Return alice's home, with a workspace ``ws`` and a folder ``m``."""
    home = users.home("alice")
    users.run("alice", "sh", "-c", "mkdir m source; echo theirs > source/x")
    users.artfs("alice", "init", home / "ws")
    users.artfs("alice", "-w", home / "ws", "put", home / "source", "data")
    return home


def test_root_mounts_by_the_command(users: Users, transport: str) -> None:
    """What lies in the workspace is made and removed by its owner, who may unmount; only one process stays root's."""
    home, alice = workspace_of_alice(users), Users.uids["alice"]
    mount = ("-w", home / "ws", "mount", home / "m", "--transport", transport)
    for unmounting in ("alice", "root"):
        users.artfs("root", *mount)
        assert users.run("root", "cat", home / "m/data/v0/x").stdout == "theirs\n"
        assert users.run("alice", "cat", home / "m/data/v0/x", check=False).returncode != 0
        (one,) = json.loads(users.artfs("root", "-w", home / "ws", "status", "--json").stdout)["mounts"]
        assert one["state"] == "live"
        processes = users.processes()
        status = [Path(f"/proc/{pid}/status").read_text().split("Uid:")[1].split()[:4] for pid in processes]
        assert sorted(status) == sorted([["0"] * 4] + [[str(alice)] * 4] * (len(processes) - 1))
        assert users.artfs("root", "-w", home / "ws", "path", "data").stdout == f"{home}/m/data/v0\n"
        assert belongs_to_others(home / "ws", alice) == []
        users.artfs(unmounting, "umount", home / "m")
        assert os.listdir(home / "ws/run/daemons") == []
    assert belongs_to_others(home, alice) == []


@pytest.mark.one_transport
def test_root_mounts_while_the_owner_exchanges_folders(users: Users, transport: str) -> None:
    """Nothing is made, removed or given away elsewhere, whatever lies in the place of run files and logs."""
    home = workspace_of_alice(users)
    outside = users.common("outside", "root")
    (outside / "run/daemons").mkdir(parents=True)
    (outside / "run/daemons/dead.json").write_text('{"id": "dead"}')
    before = {path: path.lstat() for path in (outside, *outside.rglob("*"))}
    exchange = f"""
import os
while True:
    for name in ("ws/run/daemons", "ws/run", "ws"):
        try:
            os.rename(name, "kept")
            os.symlink({str(outside)!r} + name[2:], name)
            os.unlink(name)
            os.rename("kept", name)
        except OSError:
            pass
"""
    racer = users.start("alice", sys.executable, "-c", exchange)
    codes = set()
    for _ in range(6):
        done = users.artfs("root", "-w", home / "ws", "mount", home / "m", "--transport", transport, check=False)
        codes.add(done.returncode)
        assert len(done.stderr.splitlines()) == 1, done.stderr
        users.artfs("root", "umount", "--lazy", home / "m", check=False)
    racer.kill()
    assert codes <= {0, 1, 3, 4, 5}
    assert {path: path.lstat() for path in (outside, *outside.rglob("*"))} == before
    assert belongs_to_others(home, Users.uids["alice"]) == []


def test_a_child_that_the_owner_stops_is_given_up(users: Users) -> None:
    """The owner can send signals to the child that works as the owner; the wait for it is bounded."""
    code = """
import os, signal
from artfs.mount import ownership
from artstore.errors import NotFoundError
from artstore.privileges import Owner
ownership._MOST_SECONDS = 0.5
owner = Owner.named("artalice")
for task in (lambda: os.kill(os.getpid(), signal.SIGSTOP), lambda: os._exit(3)):
    try:
        ownership.run_as(owner, task)
    except OSError as error:
        print(type(error).__name__)
def refuse():
    raise NotFoundError("there is none", hint="make one")
try:
    ownership.run_as(owner, refuse)
except NotFoundError as error:
    print(error, error.hint)
read, write = os.pipe()
def task():
    return [os.geteuid(), os.path.exists(f"/proc/self/fd/{write}")], os.pipe()[:1]
value, (passed,) = ownership.run_as(owner, task)
os.fstat(passed)
print(value)
try:
    os.waitpid(-1, os.WNOHANG)
except ChildProcessError:
    print("none is left")
"""
    said = users.python("root", code).stdout.splitlines()
    assert said == ["TimeoutError", "ChildProcessError", "there is none make one", "[61001, False]", "none is left"]


@pytest.mark.parametrize("words", [("link",), ("inside", "m"), ("link", "..", "m")], ids="/".join)
def test_root_mounts_where_a_link_of_another_leads_only_if_named(users: Users, words: tuple[str, ...]) -> None:
    """A link of alice's would decide which folder of root's shows the files of alice."""
    home = workspace_of_alice(users)
    target = users.common("target", "root")
    (target / "m").mkdir()
    users.run("alice", "sh", "-c", f"ln -s {target}/m link; ln -s {target} inside")
    mount = ("-w", home / "ws", "mount")
    done = users.artfs("root", *mount, f"{home}/{'/'.join(words)}", check=False)
    if ".." in words:  # which the path alone decides
        assert done.returncode == 0
        users.artfs("root", "umount", home / "m")
        return
    assert done.returncode == 4
    assert str(home / words[0]) in done.stderr and f"name the folder itself: {target}/m" in done.stderr
    (target / "own").symlink_to("m")
    users.artfs("root", *mount, target / "own")
    assert users.run("root", "cat", target / "m/data/v0/x").stdout == "theirs\n"
    users.artfs("root", "umount", target / "own")


@pytest.mark.one_transport
def test_root_mounts_while_the_owner_exchanges_the_mount_point(users: Users, transport: str) -> None:
    """What was a folder when the path was resolved, and is a link when the mount is made, is refused."""
    home = workspace_of_alice(users)
    target = users.common("target", "root")
    code = f"""
import os
from artfs.mount import checks, control, kernel
from artstore.errors import ArtfsError
attach = kernel.attach
def exchange(*args, **options):
    os.rename("m", "kept")
    os.symlink({str(target)!r}, "m")
    return attach(*args, **options)
kernel.attach = exchange
os.chdir({str(home)!r})
try:
    control.mount("ws", "m", forked=True, transport={transport!r})
except ArtfsError as error:
    print(type(error).__name__)
print(any({str(users.folder)!r} in line for line in open("/proc/self/mountinfo") if " - fuse.artfs " in line))
"""
    assert users.python("root", code).stdout.split() == ["MountError", "False"]
    assert not os.path.ismount(target)
