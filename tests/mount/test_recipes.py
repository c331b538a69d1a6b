"""The recipes of docs/mount.md: their code runs as it stands there, and does what the text around it says."""

from __future__ import annotations

import os
import re
import selectors
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lmdb
import numpy as np
import pytest

from artstore.workspace import Workspace
from mount import libc
from mount.conftest import Mounts, environment

DOCUMENT = Path(__file__).parents[2] / "docs" / "mount.md"
OTHER_USER = 64321


def recipe(word: str, language: str = "sh") -> str:
    """Return the code block of the document that has ``word`` in it."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
    (block,) = [block for block in blocks if word in block]
    return str(block)


@pytest.fixture
def variables(workspace: Workspace, tmp_path: Path) -> dict[str, str]:
    """Return the environment of a user's shell."""
    inherited = {name: value for name, value in environment().items() if not name.startswith("PYTHONDONT")}
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {**inherited, "PATH": path, "HOME": str(tmp_path), "ARTFS_WORKSPACE": str(workspace.path)}


@pytest.fixture
def shell(variables: dict[str, str], tmp_path: Path) -> Callable[[str], str]:
    """Return a function that runs commands in the folder in which ``art`` is."""

    def run(code: str) -> str:
        command = ["sh", "-euc", code]
        return subprocess.run(
            command, cwd=tmp_path, env=variables, check=True, stdout=subprocess.PIPE, text=True, timeout=60
        ).stdout

    return run


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    (folder / "train").mkdir(parents=True)
    (folder / "train" / "0.jpg").write_bytes(b"image" * 5000)
    (folder / "labels.csv").write_text("first\n")
    return folder


@pytest.fixture
def art(mounts: Mounts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the mount ``art``, as the document calls it, in the current folder."""
    (tmp_path / "art").mkdir()
    monkeypatch.chdir(tmp_path)
    return mounts(tmp_path / "art").directory


@pytest.mark.one_transport
def test_first_look(workspace: Workspace, source: Path, shell: Callable[[str], str]) -> None:
    """A mount shows each version as a folder, and the latest as a link."""
    put_v3(workspace, source, "imagenet")
    try:
        assert re.search(r"latest -> v3$", shell(recipe("mkdir art")), re.MULTILINE)
    finally:
        shell("artfs umount art")


def put_v3(workspace: Workspace, folder: Path, name: str) -> None:
    """Put a folder so that it is v3, as in the document."""
    for _ in range(4):
        workspace.put(folder, name, new=True)


@pytest.fixture
def overlay(tmp_path: Path) -> Iterator[None]:
    """Skip the test where the kernel mounts no overlay over a plain folder; take away the view at the end."""
    names = ("lower", "probe-changes", "probe-work", "probe")
    for name in names:
        (tmp_path / name).mkdir()
    lower, changes, work, probe = (str(tmp_path / name) for name in names)
    options = f"lowerdir={lower},upperdir={changes},workdir={work}"
    done = subprocess.run(
        ["mount", "-t", "overlay", "overlay", "-o", options, probe], check=False, capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"no overlay can be mounted here: {done.stderr.strip()}")
    subprocess.run(["umount", probe], check=True)
    yield
    subprocess.run(["umount", "-l", tmp_path / "view"], check=False, capture_output=True)


@pytest.mark.usefixtures("overlay")
def test_a_writable_view(workspace: Workspace, art: Path, source: Path, shell: Callable[[str], str]) -> None:
    """What is changed in the view becomes the next version; the version below stays as it is."""
    put_v3(workspace, source, "imagenet")
    copied = shell(recipe("artfs put view").replace("umount", "ls changes; umount"))
    assert "train" not in copied and "labels.csv" in copied
    assert (art / "imagenet/v3/labels.csv").read_text() == "first\n"
    assert (art / "imagenet/v4/labels.csv").read_text() == "first\nextra\n"
    assert [change.path for change in workspace.diff("imagenet:v3", "imagenet:v4")] == ["labels.csv"]
    assert not any((source.parent / "view").iterdir())


@pytest.mark.one_transport
def test_a_writable_view_of_an_ordinary_user(as_ordinary_user: Callable[..., dict[str, Any]], transport: str) -> None:
    found = as_ordinary_user(
        f"recipe, transport = {recipe('unshare')!r}, {transport!r}\n"
        + """
import subprocess
from artfs.mount.control import mount, unmount
from artstore.workspace import init_workspace
workspace = init_workspace(folder / "ws")
(folder / "source").mkdir()
(folder / "source" / "labels.csv").write_text("first\\n")
(folder / "art").mkdir()
for _ in range(4):
    version = workspace.put(folder / "source", "imagenet", new=True)
mount(workspace.path, folder / "art", transport=transport)
(folder / "l").mkdir(), (folder / "u").mkdir(), (folder / "w").mkdir(), (folder / "v").mkdir()
plain = "mount -t overlay overlay -o userxattr,lowerdir=l,upperdir=u,workdir=w v"
result["possible"] = not subprocess.run(["unshare", "-Urm", "sh", "-c", plain], cwd=folder).returncode
if result["possible"]:
    result["lines"] = subprocess.run(["sh", "-euc", recipe], cwd=folder, capture_output=True, text=True).stdout
result["below"] = (folder / "art/imagenet/v3/labels.csv").read_text()
unmount(folder / "art")
"""
    )
    if not found["possible"]:
        pytest.skip("an ordinary user cannot mount an overlay here")
    assert (found["lines"], found["below"]) == ("2 view/labels.csv\n", "first\n")


def rows_of(address: str) -> int:
    """Return the number of rows in the table ``runs`` of an SQLite database, given as a path or an address."""
    database = sqlite3.connect(address, uri=True)
    try:
        return int(database.execute("select count(*) from runs").fetchone()[0])
    finally:
        database.close()


@pytest.mark.one_transport
def test_databases(workspace: Workspace, art: Path, source: Path, shell: Callable[[str], str]) -> None:
    """SQLite opens files in its default mode; WAL mode needs ``immutable``, which passes over what is in the log."""
    writers = []
    for name, mode in (("runs.db", "wal"), ("plain.db", "delete"), ("live.db", "wal")):
        writer = sqlite3.connect(source / name)
        writer.execute(f"pragma journal_mode={mode}")
        writer.execute("create table runs (number)")
        writer.execute("pragma wal_checkpoint")
        writer.execute("insert into runs values (1)")
        writer.commit()
        if name == "live.db":
            writer.execute("vacuum into ?", [str(source / "copy.db")])
            writers.append(writer)
        else:
            writer.close()
    with lmdb.open(str(source / "lmdb"), map_size=1 << 20) as database, database.begin(write=True) as rows:
        rows.put(b"key", b"value")
    put_v3(workspace, source, "measurements")
    for writer in writers:
        writer.close()
    folder = art / "measurements" / "v3"
    assert rows_of(str(folder / "plain.db")) == rows_of(str(folder / "copy.db")) == 1
    with pytest.raises(sqlite3.OperationalError):
        rows_of(str(folder / "runs.db"))
    reader = eval(recipe("sqlite3.connect", "python"), {"sqlite3": sqlite3})
    assert reader.execute("select count(*) from runs").fetchone() == (1,)
    reader.close()
    assert shell(recipe("sqlite3 ")) == "1\n"
    assert rows_of(f"file:{folder / 'live.db'}?immutable=1") == 0
    with lmdb.open(str(folder / "lmdb"), readonly=True) as database, database.begin() as rows:
        assert rows.get(b"key") == b"value"


@pytest.mark.one_transport
def test_memory_maps(workspace: Workspace, art: Path, source: Path) -> None:
    np.save(source / "a.npy", np.arange(5))
    path = Path(art, workspace.put(source, "arrays").name.replace(":", "/"), "a.npy")
    for mode in ("r", "c"):
        assert np.load(path, mmap_mode=mode).sum() == 10
    with pytest.raises(OSError, match="Read-only file system"):
        np.load(path, mmap_mode="r+")


@pytest.mark.one_transport
def test_compiled_modules(
    workspace: Workspace, art: Path, tmp_path: Path, variables: dict[str, str], shell: Callable[[str], str]
) -> None:
    """They are kept elsewhere, or come with the version, in which Python takes them for current."""
    source = tmp_path / "source"
    (source / "package").mkdir(parents=True)
    (source / "package" / "__init__.py").write_text("X = 1\n")
    put_v3(workspace, source, "code")
    code = recipe("PYTHONPYCACHEPREFIX")
    shell(code)
    kept = [path.relative_to(tmp_path / ".cache/pycache") for path in (tmp_path / ".cache").rglob("__init__.*.pyc")]
    assert Path(str(art / "code/v3/package").removeprefix("/")) in {path.parent for path in kept}
    lines = shell(code.rstrip().replace("python -c", "python -v -c") + " 2>&1").splitlines()
    assert [line for line in lines if ".cache/pycache" in line and "matches" in line]
    shell("python -m compileall -q source")
    put_v3(workspace, source, "code")
    del variables["PYTHONPATH"]
    lines = shell("PYTHONPATH=art/code/latest python -v -c 'import package' 2>&1").splitlines()
    assert [line for line in lines if "latest/package/__pycache__" in line and "matches" in line]


@pytest.mark.one_transport
def test_watching_for_new_versions(workspace: Workspace, art: Path, source: Path, variables: dict[str, str]) -> None:
    """The loop of the document sees a new version; inotify reports none."""
    put_v3(workspace, source, "imagenet")
    created = 0x100  # IN_CREATE
    watching = libc.inotify(os.fsencode(art / "imagenet"), created)
    os.set_blocking(watching, False)
    loop = subprocess.Popen(
        ["sh", "-c", recipe("readlink").replace("sleep 5", "sleep 0.05")],
        cwd=art.parent,
        env=variables,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert loop.stdout is not None
        with selectors.DefaultSelector() as waiting:
            waiting.register(loop.stdout, selectors.EVENT_READ)
            while not waiting.select(1):  # a version that was put before the loop began is not new to it
                latest = workspace.put(source, "imagenet", new=True)
            assert loop.stdout.readline() == f"new: {latest.name}\n"
        with pytest.raises(BlockingIOError):
            os.read(watching, 4096)
    finally:
        loop.kill()
        loop.communicate()
        os.close(watching)


@pytest.mark.one_transport
@pytest.mark.usefixtures("art")
def test_extended_attributes_by_name(workspace: Workspace, source: Path, shell: Callable[[str], str]) -> None:
    put_v3(workspace, source, "imagenet")
    (line,) = [line for line in recipe("getxattr").splitlines() if line.startswith("python")]
    assert shell(line).strip() == workspace.version("imagenet:v3").stat("train/0.jpg").digest


OTHER = f"""
import os, sys
user, folder = {OTHER_USER}, os.open(sys.argv[1], os.O_RDONLY)
os.setgroups([]); os.setresgid(user, user, user); os.setresuid(user, user, user)
print(os.read(os.open("labels.csv", os.O_RDONLY, dir_fd=folder), 100).decode())
"""


@pytest.mark.one_transport
@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_other_users(workspace: Workspace, mounts: Mounts, source: Path) -> None:
    """They read what the permission bits allow; --readable allows all, and --uid makes a file theirs."""
    (source / "labels.csv").chmod(0o600)
    version = workspace.put(source, "imagenet")

    def reads(**options: Any) -> bool:
        folder = mounts(**options).path(version)
        done = subprocess.run([sys.executable, "-c", OTHER, folder], check=False, capture_output=True, text=True)
        assert done.stdout == "first\n\n" or "Permission denied" in done.stderr
        return done.returncode == 0

    assert not reads(readable=True)
    assert not reads(allow_other=True)
    assert reads(allow_other=True, readable=True)
    assert reads(allow_other=True, uid=OTHER_USER)
    assert not reads(allow_other=True, uid=OTHER_USER, umask=0o400)
