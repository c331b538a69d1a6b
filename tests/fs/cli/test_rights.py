"""What root's commands do to the workspace of another user, and with whose rights."""

from __future__ import annotations

import ast
import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click
import pytest

from artfs.cli import rights
from artfs.cli.main import cli
from artfs.cli.rights import RIGHTS, Rights
from users import commands
from users.fixtures import Users

ROOT: Final = Path(__file__).parents[3]
SECRET: Final = "the canary's secret"
ALICE: Final = Users.uids["alice"]
COMMANDS: Final = (
    *("ls", "ls data:v0", "find --tag x", "show data", "log data", "diff data:v0 data:v1", "cat data:v0/a.txt"),
    *("warm data:v0", "usage", "metrics", "du data:v0", "why data:v0/a.txt", "status", "doctor", "config", "fsck"),
    *("lineage data", "cache info", "cache cleanup 1GB", "cache preload data", "artifact ls", "artifact cache info"),
    *("run ls", "artifact cache cleanup 1GB", "artifact cache preload data", "ref ls outside", "ref check outside"),
    *("ref pin outside", "run show train/one", "draft new data --id open --from latest", "draft ls"),
    *("draft status open", "draft mv open a.txt c.txt", "draft rm open b.txt", "draft commit open"),
    *("draft new data --id other", "draft abort other", "alias set data:v0 best", "alias ls data", "alias log data"),
    *(
        "alias rm data best",
        "tag add data:v0 x",
        "tag ls data:v0",
        "describe data:v0 text",
        "meta set data:v0 k=v",
        "meta log data:v0",
        "meta rm data:v0 k",
        "tag rm data:v0 x",
    ),
    *("artifact set-type plain file", "artifact rename plain simple", "artifact describe simple text"),
    *(
        "restore data:v0",
        "link data:v1 model",
        "retention set few --artifact data --keep-last 9",
        "retention show",
        "retention plan",
    ),
    "retention ls",
    *("registry ls", "registry show 0001:3:0", "registry find --fold 0", "registry folds 0001 3", "registry stats"),
    *("registry orphans", "registry purge wheat --yes", "library ls", "library show pls", "library rm pls --yes"),
    *("remote ls", "remote show disk", "remote rm disk"),
    *("retention apply", "retention rm few", "retention ttl data:v0 30d", "config undelete-window 7d"),
    *("rm data:v1 --force --cascade=orphan", "undelete data:v1", "gc", "gc --compact"),
    *("purge data:v0/a.txt --everywhere --reason x", "fsck --repair", "fsck --rebuild", "ls --json", "path data"),
)
"""Each command that becomes the owner; those that change something in an order in which all of them can succeed."""
PREPARE: Final = """
import sys
from pathlib import Path
from artstore.workspace import init_workspace
home = Path.cwd()
(home / "source").mkdir()
ws = init_workspace(home / "ws")
for text in ("one", "two"):
    for name in ("a.txt", "b.txt"):
        (home / "source" / name).write_text(text * 5000 + name)
    ws.put(home / "source", "data")
ws.put(home / "source" / "a.txt", "plain")
from artfs.registry import ArtifactRegistry, LibraryManager
LibraryManager(ws).save_template([1], "pls")
ArtifactRegistry(ws, "wheat", "0001_pls").register_with_chain([1], "s1.A>s3.B", "model", 3, fold_id=0)
(home / "bucket").mkdir()
ws.remotes.add("disk", (home / "bucket").as_uri())
record, lease = ws.runs.start("train", "one")
lease.close()
"""


def leaves(command: click.Command, name: str = "") -> Iterator[str]:
    if isinstance(command, click.Group):
        for each, inner in command.commands.items():
            yield from leaves(inner, f"{name} {each}".strip())
    else:
        yield name


def test_every_command_has_its_rights() -> None:
    assert list(RIGHTS) == list(leaves(cli))


def test_every_command_that_becomes_the_owner_is_tried() -> None:
    tried = {name for name in RIGHTS for words in COMMANDS if f"{words} ".startswith(f"{name} ")}
    assert {name for name, right in RIGHTS.items() if right is Rights.OWNER} - tried == set()


def test_what_functions_import_is_imported_before() -> None:
    """The owner may not be able to read what a function would import later."""
    import_all = (
        "import artfs.cli.main, sys; from artfs.cli.rights import import_all; import_all(); print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", import_all], check=True, capture_output=True, text=True)
    late = set()
    for file in [*(ROOT / "store/artstore").rglob("*.py"), *(ROOT / "fs/artfs").rglob("*.py")]:
        module = ".".join(file.relative_to(ROOT).with_suffix("").parts[1:]).removesuffix(".__init__")
        if not module.startswith(rights._NO_COMMAND):
            late |= {module, *imported_in_functions(ast.parse(file.read_text()))}
    optional = {"boto3", "numpy", "obstore.auth.boto3", "pandas"}  # parts of extras, which say that they are missing
    assert {name for name in late - set(done.stdout.split()) if not name.startswith(rights._NO_COMMAND)} == optional


def imported_in_functions(tree: ast.Module) -> set[str]:
    found: set[str] = set()
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            for node in ast.walk(function):
                if isinstance(node, ast.Import):
                    found |= {alias.name for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module is not None:
                    found.add(node.module)
    return found


# -- root, and the workspace of alice ----------------------------------------------------------------------------------


class Scene:
    """A workspace of alice's, and files of root's and bob's that no command may change."""

    def __init__(self, users: Users) -> None:
        self.users = users
        self.home = users.home("alice")
        self.workspace = self.home / "ws"
        users.python("alice", PREPARE)
        users.artfs("alice", "-w", self.workspace, "ref", "add", f"file://{self.home}/source/a.txt", "outside")
        self.canaries = []
        for owner in ("root", "bob"):
            for name in ("canary", "folder/1.json"):
                canary = users.home(owner) / name
                canary.parent.mkdir(exist_ok=True)
                canary.write_text(SECRET)
                canary.chmod(0o600)
                self.canaries += [canary, canary.parent]
                for path in (canary, canary.parent):
                    os.chown(path, Users.uids[owner], Users.uids[owner])

    def run(self, *lines: str) -> list[dict[str, Any]]:
        """Run commands as root."""
        request = {"workspace": str(self.workspace), "commands": [line.split() for line in lines]}
        script = Path(commands.__file__)
        done = self.users.run("root", sys.executable, "-P", script, json.dumps(request), timeout=280)
        return list(json.loads(done.stdout))

    def outside(self) -> dict[str, tuple[object, ...]]:
        """Return all that is outside, as it must stay."""
        found: dict[str, tuple[object, ...]] = {}
        for path in self.canaries:
            status = path.lstat()
            content = path.read_bytes() if stat.S_ISREG(status.st_mode) else sorted(os.listdir(path))
            found[str(path)] = (status.st_mode, status.st_uid, status.st_gid, status.st_mtime_ns, content)
        return found

    def not_of_alice(self) -> list[str]:
        """Return the paths in alice's home that do not belong to alice."""
        return [str(path) for path in self.home.rglob("*") if path.lstat().st_uid != ALICE]


@pytest.fixture
def scene(users: Users) -> Scene:
    return Scene(users)


def test_commands_become_the_owner(scene: Scene) -> None:
    """Each works with alice's rights, imports nothing afterwards, and what it leaves behind is alice's."""
    before = scene.outside()
    faults = []
    for line, done in zip(COMMANDS, scene.run(*COMMANDS), strict=True):
        if line == "path data":  # there is no mount that root can read
            assert done["code"] == 1
        elif done["code"] or done["uid"] != ALICE:
            faults.append(f"{line}: {done}")
        if done.get("imported"):
            faults.append(f"{line} imports {done['imported']}")
    assert faults == []
    assert scene.not_of_alice() == []
    assert scene.outside() == before


def test_what_is_not_split_is_refused(scene: Scene) -> None:
    """The sentence names the way out; nothing is read or written with root's rights."""
    out = scene.users.home("root") / "out"
    scene.run("draft new data --id open --from latest")
    lines = {
        "put": f"put {scene.home}/source data",
        "get": f"get data {out}",
        "draft add": f"draft add open {scene.home}/source",
        "ref add": f"ref add file://{scene.home}/source/a.txt data",
        "artifact put": f"artifact put --name data {scene.home}/source",
        "artifact get": f"artifact get data --root {out}",
        "remote add": f"remote add other file://{scene.home}/source",
        "remote check": "remote check disk",
        "push": "push data disk",
        "fetch": "fetch disk",
        "pull": "pull data disk",
        "registry trust": "registry trust 0001:3:0 --yes",
        "registry export": f"registry export {out}",
        "registry import": f"registry import {scene.home}/source/a.txt",
        "library save": f"library save fullrun new {scene.home}/source",
        "library load": f"library load pls {out}.json",
        "ui": "ui data --no-browser --port 0",
    }
    assert set(lines) == {name for name, right in RIGHTS.items() if right is Rights.REFUSED}
    for line, done in zip(lines.values(), scene.run(*lines.values()), strict=True):
        assert done["code"] == 4, (line, done)
        assert "sudo -u artalice artfs" in done["output"] and str(scene.workspace) in done["output"]
        assert len(done["output"].splitlines()) == 1
    assert not out.exists()
    assert scene.not_of_alice() == []


def test_a_race_leads_nowhere(scene: Scene) -> None:
    """Alice exchanges the files of the workspace for links, and back, while root's commands run."""
    before = scene.outside()
    exchange = """
import os, random, sys
from pathlib import Path
targets, ws = sys.argv[1:], Path("ws")
while True:
    try:
        places = [place for place in ws.rglob("*") if not place.is_symlink() and not place.name.endswith(".kept")]
        place = random.choice(places)
        kept = place.with_name(place.name + ".kept")
        place.rename(kept)
        place.symlink_to(random.choice(targets))
        os.replace(place, place.with_name("link.kept"))
        kept.rename(place)
    except OSError:
        pass
"""
    racer = scene.users.start("alice", sys.executable, "-c", exchange, *map(str, scene.canaries))
    try:
        lines = [line for line in COMMANDS if not line.startswith(("fsck --re", "doctor"))]
        done = scene.run(*lines, *lines[-20:], "ls")
    finally:
        racer.kill()
        racer.wait()
    assert [each for each in done if not 0 <= each["code"] <= 7 or "Traceback" in each["output"]] == []
    assert [each for each in done if SECRET in each["output"]] == []
    assert {each.get("uid") for each in done} == {ALICE}
    assert scene.outside() == before
    assert scene.not_of_alice() == []


def test_nothing_of_root_is_left(scene: Scene) -> None:
    """The process has neither root's groups, environment, descriptors nor folder, and its owner cannot trace it."""
    secret = scene.users.home("root") / "canary"
    code = f"""
import json, os, sys
os.environ["AWS_SECRET_ACCESS_KEY"] = os.environ["XDG_CONFIG_HOME"] = os.environ["ARTFS_REFERENCE_ROOTS"] = "/secret"
os.environ["ARTFS_DEBUG"] = "1"
opened = os.open({str(secret)!r}, os.O_RDONLY)
os.set_inheritable(opened, True)
os.chdir({str(secret.parent)!r})
from artfs.cli import rights
from artfs.cli.session import Session
from pathlib import Path
rights.become_owner(Session(is_process=True), Path({str(scene.workspace)!r}))
status = dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines())
mask = os.umask(0)
print(json.dumps({{
    "uid": status["Uid"].split(), "gid": status["Gid"].split(), "groups": sorted(os.getgroups()),
    "caps": [status[name] for name in ("CapPrm", "CapEff", "CapInh", "CapAmb")], "umask": mask,
    "environment": dict(os.environ), "cwd": os.getcwd(),
    "open": [number for number in range(3, 50) if os.path.exists(f"/proc/self/fd/{{number}}")],
    "traced_by": os.stat("/proc/self/environ").st_uid,
}}))
"""
    found = json.loads(scene.users.python("root", code).stdout)
    assert (found["uid"], found["gid"]) == ([str(ALICE)] * 4, [str(ALICE)] * 4)
    assert found["groups"] == [ALICE, Users.gid]
    assert set(found["caps"]) == {"0" * 16}
    assert found["umask"] == 0o077
    assert {"AWS_SECRET_ACCESS_KEY", "XDG_CONFIG_HOME", "ARTFS_REFERENCE_ROOTS"}.isdisjoint(found["environment"])
    environment = {name: found["environment"].get(name) for name in ("HOME", "USER", "XDG_RUNTIME_DIR", "ARTFS_DEBUG")}
    assert environment == {
        "HOME": str(scene.home),
        "USER": "artalice",
        "XDG_RUNTIME_DIR": f"/run/user/{ALICE}",
        "ARTFS_DEBUG": "1",
    }
    assert (found["cwd"], found["open"], found["traced_by"]) == ("/", [], 0)


def test_a_workspace_that_its_owner_cannot_reach(scene: Scene) -> None:
    hidden = scene.users.home("root") / "ws"
    scene.workspace.rename(hidden)
    scene.workspace = hidden
    (done,) = scene.run("ls")
    assert done["code"] == 4
    assert "cannot reach" in done["output"] and "artalice" in done["output"]


def test_python_as_root_is_refused(scene: Scene) -> None:
    code = f"""
import artfs
from artstore.store import Store
for open_it in (artfs.open_workspace, Store.open, Store):
    try:
        open_it({str(scene.workspace)!r})
    except artfs.errors.RefusedError as error:
        print(error, error.hint)
"""
    lines = scene.users.python("root", code).stdout.splitlines()
    assert len(lines) == 3
    assert all("belongs to artalice" in line and "sudo -u artalice artfs" in line for line in lines)
    assert scene.users.python("alice", code).stdout == ""


def test_however_the_workspace_is_selected(scene: Scene) -> None:
    """By a variable, by a relative path, and through a link in a folder that alice may not enter."""
    root = scene.users.home("root")
    (root / "link").symlink_to(scene.workspace)
    selected: list[tuple[list[str], dict[str, str], Path]] = [
        ([], {"ARTFS_WORKSPACE": str(scene.workspace)}, root),
        (["-w", "ws"], {}, scene.home),
        (["-w", "link"], {}, root),
    ]
    for words, variables, folder in selected:
        scene.users.artfs("root", *words, "tag", "add", "data:v0", "x", env=variables, cwd=folder)
        assert scene.not_of_alice() == []


def test_completion_becomes_the_owner(scene: Scene) -> None:
    line = f"artfs -w {scene.workspace} show da"
    done = scene.users.artfs("root", line, env={"_ARTFS_COMPLETE": "bash"})
    assert done.stdout.split() == ["open", "data"]
    assert scene.not_of_alice() == []


def test_a_workspace_made_for_a_user(users: Users) -> None:
    """Root makes it as that user; what root shares needs an owner, who is a member of the group."""
    place = users.common("place", "alice")
    shared = ("--shared", Users.group)
    refused = users.artfs("root", "init", place / "a", *shared, check=False)
    assert refused.returncode == 4 and "--owner USER" in refused.stderr
    users.artfs("root", "init", place / "a", *shared, "--owner", "artalice")
    users.artfs("root", "init", place / "b", "--owner", "artalice")
    made = {(path.stat().st_uid, path.stat().st_gid) for path in (place / "a").rglob("*")}
    assert made == {(ALICE, Users.gid)}
    assert {path.stat().st_uid for path in (place / "b").rglob("*")} == {ALICE}
    assert users.artfs("bob", "-w", place / "a", "ls").returncode == 0
    carol = users.common("carol", "carol")
    for owner, code, word in (("artcarol", 4, "usermod"), ("nosuchuser", 3, "nosuchuser")):
        done = users.artfs("root", "init", carol / "c", *shared, "--owner", owner, check=False)
        assert done.returncode == code and word in done.stderr
    assert users.artfs("alice", "init", place / "c", "--owner", "artbob", check=False).returncode == 4
    assert users.artfs("alice", "init", place / "c", "--owner", "artalice").returncode == 0
    assert os.listdir(carol) == []


def test_leftovers_of_others_are_not_taken_for_ones_own(users: Users) -> None:
    """Root finishes only what root has begun: a folder in /tmp may have any mode and group."""
    place = users.common("place", "root", mode=0o1777)
    users.run("alice", "sh", "-c", f"mkdir -p {place}/.artfs-move-x/packs; chmod 777 {place}/.artfs-move-x")
    users.run("alice", "sh", "-c", f"mkdir {place}/.artfs-init-x")
    done = users.artfs("root", "init", place, check=False)
    assert done.returncode == 4
    assert stat.S_IMODE(place.stat().st_mode) == 0o1777
    assert sorted(os.listdir(place)) == [".artfs-init-x", ".artfs-move-x"]
