"""Copies of a version, by whatever program, are the source: contents, modes and times, and no attributes of ours."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from artstore.workspace import Workspace, init_workspace
from mount.conftest import Mounts, environment
from mount.inventory import differences

SECOND_NS = 1_000_000_000
DAY_NS = 86_400 * SECOND_NS


def build(source: Path) -> None:
    """Make a folder with modes of every kind, times from 1930 to 2200, and a folder of several records."""
    numbers = random.Random(7)
    for name in ("open", "closed/deep", "empty", "many"):
        (source / name).mkdir(parents=True)
    for number in range(300):
        (source / "many" / f"{number:03}").write_bytes(b"%d" % (number % 5) * 10)
    for number, mode in enumerate((0o644, 0o600, 0o640, 0o664, 0o444, 0o400, 0o755, 0o700, 0o711, 0o500, 0o666, 0o777)):
        for folder in ("open", "closed", "closed/deep"):
            path = source / folder / f"{mode:o}"
            path.write_bytes(numbers.randbytes(number * 100))
            path.chmod(mode)
    (source / "open" / "link").symlink_to("../closed/deep/644")
    (source / "open" / "dangling").symlink_to("absent")
    (source / "open" / "large").write_bytes(numbers.randbytes(3_000_000))
    with (source / "open" / "sparse").open("wb") as file:
        file.truncate(2_000_000)
    for path in sorted(source.rglob("*"), reverse=True):
        moment = numbers.randrange(-40 * 365 * DAY_NS, 230 * 365 * DAY_NS)
        os.utime(path, ns=(moment, moment), follow_symlinks=False)
    for folder, mode in (("closed/deep", 0o700), ("closed", 0o750), ("many", 0o555), ("empty", 0o777)):
        (source / folder).chmod(mode)
    source.chmod(0o775)
    os.utime(source, ns=(SECOND_NS + 1, SECOND_NS + 1))


class Published:
    """A source, its workspace, and its version under a mount."""

    def __init__(self, source: Path, workspace: Workspace, artifact: Path) -> None:
        self.source = source
        self.workspace = workspace
        self.artifact = artifact

    @property
    def latest(self) -> Path:
        return self.artifact / os.readlink(self.artifact / "latest")


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory, transport: str) -> Iterator[Published]:
    folder = tmp_path_factory.mktemp("copies")
    build(folder / "source")
    workspace = init_workspace(folder / "ws")
    workspace.put(folder / "source", "a")
    mounts = Mounts(workspace.path, folder, transport)
    yield Published(folder / "source", workspace, mounts().directory / "a")
    mounts.end()


def shell(command: str) -> Callable[[Published, Path], object]:
    """Return a copier that runs a command, with the version's folder as $0 and the copy as $1."""
    return lambda published, copy: subprocess.run(["sh", "-ec", command, published.latest, copy], check=True)


def by_get(published: Published, copy: Path) -> None:
    published.workspace.get(f"a:{published.latest.name}", copy)


def by_command(published: Published, copy: Path) -> None:
    command = [sys.executable, "-m", "artfs", "-w", published.workspace.path, "get", "a", copy]
    subprocess.run(list(map(str, command)), check=True, env=environment(), capture_output=True)


def by_copytree(published: Published, copy: Path) -> None:
    shutil.copytree(published.latest, copy, symlinks=True)


COPIERS: dict[str, Callable[[Published, Path], object]] = {
    "cp -a": shell('cp -a "$0" "$1"'),
    "cp -a --sparse": shell('cp -a --sparse=always --reflink=auto "$0" "$1"'),
    "rsync -aHAX": shell('rsync -aHAX "$0/" "$1"'),
    "tar": shell('mkdir "$1"; tar --format=pax -C "$0" -cf - . | tar -C "$1" -xpf -'),
    "tar --xattrs": shell('mkdir "$1"; tar --format=pax --xattrs --acls -C "$0" -cf - . | tar --xattrs -C "$1" -xpf -'),
    "shutil.copytree": by_copytree,
    "Workspace.get": by_get,
    "artfs get": by_command,
}


@pytest.mark.parametrize("name", COPIERS)
def test_a_copy_is_the_source(published: Published, tmp_path: Path, name: str) -> None:
    """It has no difference, and put as another artifact it has the same digest, times and modes."""
    copy = tmp_path / "copy"
    COPIERS[name](published, copy)
    assert differences(copy, published.source) == {}
    for path in (copy, *copy.rglob("*")):
        assert [name for name in os.listxattr(path, follow_symlinks=False) if "artfs" in name] == []
    again = published.workspace.put(copy, f"again/{name.replace(' ', '')}").record
    first = published.workspace.version("a:v0").record
    assert (again.form, again.mtime_ns, again.mode) == (first.form, first.mtime_ns, first.mode)


def test_nothing_differs_for_rsync(published: Published) -> None:
    """Neither from the source to the version nor back, compared by checksum, mode and time."""
    for command in ("-acn", "-an"):
        for one, other in ((published.source, published.latest), (published.latest, published.source)):
            options = [command, "--itemize-changes", "--delete", f"{one}/", f"{other}/"]
            done = subprocess.run(["rsync", *options], capture_output=True, text=True, check=True)
            assert done.stdout == ""


def test_a_later_version_is_its_source_too(workspace: Workspace, mounts: Any, tmp_path: Path) -> None:
    """Edits, new modes, and files that come and go, put again and again: each version is the source of its time."""
    source, top = tmp_path / "source", mounts().directory
    build(source)
    (source / "many").chmod(0o755)
    (source / "open" / "644").chmod(0o600)
    workspace.put(source, "a")
    for number in range(1, 4):
        (source / "many" / f"{number:03}").write_text("edited")
        (source / "many" / f"{number + 100:03}").unlink()
        (source / "open" / "644").chmod(0o600 + number)
        (source / "open" / f"new{number}").write_text("new")
        (source / "open" / f"new{number}").chmod(0o640)
        workspace.put(source, "a")
        assert differences(top / f"a/v{number}", source) == {}
        workspace.get("a", tmp_path / f"copy{number}")
        assert differences(tmp_path / f"copy{number}", source) == {}


def test_an_ordinary_user_removes_copies(as_ordinary_user: Callable[..., dict[str, Any]], transport: str) -> None:
    """Folders that their owner may write are folders that the owner of a copy may write."""
    found = as_ordinary_user(
        f"""
import shutil, subprocess
from artfs.mount.control import mount, unmount
from artstore.workspace import init_workspace
workspace = init_workspace(folder / "ws")
for name in ("source/deep/er", "m"):
    (folder / name).mkdir(parents=True)
(folder / "source/deep/er/x").write_text("content")
handle = mount(workspace.path, folder / "m", transport={transport!r})
version = handle.path(workspace.put(folder / "source", "a"))
"""
        + """
for name, command in {"cp": ["cp", "-r"], "cp -a": ["cp", "-a"], "rsync": ["rsync", "-a"]}.items():
    subprocess.run([*command, version, folder / "copy"], check=True)
    subprocess.run(["rm", "-r", folder / "copy"], check=True, stdin=subprocess.DEVNULL)
    result[name] = (folder / "copy").exists()
shutil.copytree(version, folder / "copy")
(folder / "copy/deep/er/y").write_text("another")
shutil.rmtree(folder / "copy")
workspace.get("a", folder / "copy")
shutil.rmtree(folder / "copy")
result["get"] = (folder / "copy").exists()
unmount(folder / "m")
"""
    )
    assert found == dict.fromkeys(("cp", "cp -a", "rsync", "get"), False)
