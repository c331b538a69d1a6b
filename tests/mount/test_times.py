"""Programs that recognise a file by size and time see every change between versions, and nothing else."""

from __future__ import annotations

import functools
import http.client
import http.server
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from artstore.workspace import Workspace, init_workspace
from mount.conftest import Mounts

SECOND_NS = 1_000_000_000
LONG_AGO = 1_600_000_000


def write(path: Path, text: str, seconds: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (seconds, seconds))


def swap(one: Path, other: Path) -> None:
    one.rename(one.with_name("between"))
    other.rename(one)
    one.with_name("between").rename(other)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def seconds_of(path: Path) -> int:
    return path.stat().st_mtime_ns // SECOND_NS


def run(*command: object) -> None:
    subprocess.run(list(map(str, command)), check=True)


class Relabelled:
    """An artifact whose versions differ by moves: v1 swaps two files of v0, v2 three, v3 is v1 again."""

    def __init__(self, artifact: Path, expected: list[dict[str, bytes]]) -> None:
        self.artifact = artifact
        self.expected = expected

    def version(self, number: int) -> Path:
        return self.artifact / f"v{number}"


@pytest.fixture(scope="module")
def mounts_of_module(tmp_path_factory: pytest.TempPathFactory, transport: str) -> Iterator[tuple[Workspace, Path]]:
    """Return a workspace, and a folder where it is mounted."""
    folder = tmp_path_factory.mktemp("times")
    workspace = init_workspace(folder / "ws")
    mounts = Mounts(workspace.path, folder, transport)
    yield workspace, mounts().directory
    mounts.end()


@pytest.fixture(scope="module")
def relabelled(mounts_of_module: tuple[Workspace, Path], tmp_path_factory: pytest.TempPathFactory) -> Relabelled:
    workspace, mounted = mounts_of_module
    source = tmp_path_factory.mktemp("relabelled")
    for folder in ("cats", "dogs"):
        for name in ("a.npy", "b.npy", "c.npy"):
            write(source / folder / name, f"{folder} {name}", LONG_AGO)
    expected = []
    cats, dogs = source / "cats", source / "dogs"
    for number in range(4):
        if number in (1, 3):
            swap(cats / "a.npy", cats / "b.npy")
            swap(cats / "c.npy", dogs / "c.npy")
        if number in (2, 3):
            swap(cats / "b.npy", dogs / "b.npy")
            swap(cats / "c.npy", dogs / "c.npy")
        version = workspace.put(source, "relabelled")
        assert version.number == number
        expected.append(contents(source))
    return Relabelled(mounted / "relabelled", expected)


@pytest.mark.parametrize("options", [["-a"], ["-a", "--checksum"], ["-rt", "--inplace"]], ids=" ".join)
def test_rsync_sees_moved_files(relabelled: Relabelled, tmp_path: Path, options: list[str]) -> None:
    """Files of one size and time that were moved into each other's place are copied, from version to version."""
    for number, expected in enumerate(relabelled.expected):
        run("rsync", *options, "--delete", f"{relabelled.version(number)}/", f"{tmp_path}/copy/")
        assert contents(tmp_path / "copy") == expected == contents(relabelled.version(number))
    for number in (0, 2, 1, 3, 0):
        run("rsync", "-a", f"{relabelled.version(number)}/", f"{tmp_path}/copy/")
        assert contents(tmp_path / "copy") == relabelled.expected[number]


def test_rsync_sees_moved_files_as_newer(relabelled: Relabelled, tmp_path: Path) -> None:
    """What was moved into another file's place is newer than what the first version shows there."""
    for number in range(1, 4):
        copy = tmp_path / str(number)
        run("rsync", "-a", f"{relabelled.version(0)}/", copy)
        run("rsync", "-au", f"{relabelled.version(number)}/", copy)
        assert contents(copy) == relabelled.expected[number]


def test_rsync_copies_only_what_differs(relabelled: Relabelled, tmp_path: Path) -> None:
    """Files that are equal at their path in two versions have the same time, and are not copied again."""
    run("rsync", "-a", f"{relabelled.version(0)}/", f"{tmp_path}/copy/")
    command = ["rsync", "-a", "--out-format=%n", f"{relabelled.version(1)}/", f"{tmp_path}/copy/"]
    named = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    changed = {"cats/a.npy", "cats/b.npy", "cats/c.npy", "dogs/c.npy"}
    assert {name for name in named if not name.endswith("/")} == changed
    command[-2] = command[-1]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == ""


Restore = Callable[[Workspace, Path, Path], object]


def by_path(workspace: Workspace, artifact: Path, source: Path) -> None:
    workspace.put(artifact / "v0", artifact.name)


def by_base(workspace: Workspace, artifact: Path, source: Path) -> None:
    (source / "empty").mkdir()
    workspace.put(source / "empty", artifact.name, base="v0")


def by_draft(workspace: Workspace, artifact: Path, source: Path) -> None:
    workspace.drafts.new(artifact.name, base="v0").commit()


RESTORES: dict[str, Restore] = {"path": by_path, "base": by_base, "draft": by_draft}


class Restored:
    """An artifact whose v2 is v0 again, and a copy of it that followed to v1."""

    def __init__(self, workspace: Workspace, mounted: Path, folder: Path, way: str) -> None:
        self.artifact = mounted / f"restored-{way}-{folder.name}"
        self.mounted = self.artifact / "latest"
        self.source = folder / "source"
        self._workspace, self._way, self._folder = workspace, way, folder
        write(self.source / "x", "older", LONG_AGO)
        write(self.source / "sub/y", "older too", LONG_AGO)
        write(self.source / "same", "unchanged", LONG_AGO)
        workspace.put(self.source, self.artifact.name)

    def change(self) -> None:
        write(self.source / "x", "newer", LONG_AGO + 1000)
        write(self.source / "sub/y", "newer, longer", LONG_AGO + 1000)
        self._workspace.put(self.source, self.artifact.name)

    def restore(self) -> None:
        RESTORES[self._way](self._workspace, self.artifact, self._folder)
        assert os.readlink(self.mounted) == "v2"
        assert contents(self.mounted) == contents(self.artifact / "v0")


@pytest.fixture(params=RESTORES)
def restored(mounts_of_module: tuple[Workspace, Path], tmp_path: Path, request: pytest.FixtureRequest) -> Restored:
    workspace, mounted = mounts_of_module
    return Restored(workspace, mounted, tmp_path, request.param)


@pytest.mark.parametrize("command", [["cp", "-ru"], ["cp", "-pru"], ["rsync", "-au"], ["rsync", "-ru"]], ids=" ".join)
def test_a_restored_version_is_newer(restored: Restored, tmp_path: Path, command: list[str]) -> None:
    """What copies only newer files copies those of a restored version over those of the version between."""
    copy = tmp_path / "copy"
    copy.mkdir()

    def follow(seconds: int) -> None:
        """Copy the latest version; copies that have the time of copying were made some time ago."""
        run(*command, f"{restored.mounted}/.", copy)
        for path in copy.rglob("*") if command[-1] == "-ru" else ():
            os.utime(path, (seconds, seconds))

    follow(LONG_AGO + 500)
    restored.change()
    follow(LONG_AGO + 1500)
    assert (copy / "x").read_text() == "newer"
    restored.restore()
    follow(LONG_AGO + 2500)
    assert contents(copy) == contents(restored.artifact / "v0")
    assert (restored.mounted / "same").stat().st_mtime == LONG_AGO, "what is unchanged in the latest keeps its time"


def test_a_restored_file_is_newer(mounts_of_module: tuple[Workspace, Path], tmp_path: Path) -> None:
    """A single file that is put by its path in an older version is newer than what is there in the latest."""
    workspace, mounted = mounts_of_module
    for number, text in enumerate(("older", "newer")):
        write(tmp_path / "source/sub/y", text, LONG_AGO + number)
        workspace.put(tmp_path / "source/sub/y", "file")
        workspace.put(tmp_path / "source", "folder")
    for path in ("file/v0/y", "folder/v0/sub/y"):
        workspace.put(mounted / "file/v1/y", "file")
        before = (mounted / "file/latest/y").stat().st_mtime_ns
        workspace.put(mounted / path, "file")
        assert (mounted / "file/latest/y").read_text() == "older"
        assert (mounted / "file/latest/y").stat().st_mtime_ns > before


def test_make_follows_the_times_of_the_source(mounts_of_module: tuple[Workspace, Path], tmp_path: Path) -> None:
    """A target is as old or new against its prerequisites as in the source; so is an index against its data."""
    workspace, mounted = mounts_of_module
    source = tmp_path / "source"
    write(source / "Makefile", "target: prerequisite\n\tfalse\n", LONG_AGO)
    write(source / "reads.bam", "data", LONG_AGO)
    write(source / "reads.bam.bai", "index", LONG_AGO + 1)
    expected = []
    for number, (target, prerequisite) in enumerate([(1, 0), (0, 1), (2, 1), (1, 2)]):
        write(source / "target", f"made {number}", LONG_AGO + 10 * number + target)
        write(source / "prerequisite", f"written {number}", LONG_AGO + 10 * number + prerequisite)
        workspace.put(source, "made")
        expected.append(subprocess.run(["make", "-q", "-C", source], capture_output=True, check=False).returncode)
    assert expected == [0, 1, 0, 1]
    for number in range(4):
        version = mounted / "made" / f"v{number}"
        shown = subprocess.run(["make", "-q", "-C", version], capture_output=True, check=False).returncode
        assert shown == expected[number]
        assert (version / "reads.bam.bai").stat().st_mtime > (version / "reads.bam").stat().st_mtime


@pytest.fixture
def server(mounts_of_module: tuple[Workspace, Path]) -> Iterator[tuple[str, int]]:
    """Return the address of an HTTP server of everything under the mount."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *values: Any) -> None:
            pass

    handler = functools.partial(Handler, directory=str(mounts_of_module[1]))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as serving:
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        yield serving.server_address[0], serving.server_port
        serving.shutdown()
        thread.join()


def fetch(server: tuple[str, int], path: str, since: str | None) -> tuple[int, str, bytes]:
    """Return (status, Last-Modified, body)."""
    connection = http.client.HTTPConnection(*server, timeout=20)
    connection.request("GET", path, headers={} if since is None else {"If-Modified-Since": since})
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response.status, response.getheader("Last-Modified", ""), body


def test_if_modified_since(restored: Restored, server: tuple[str, int]) -> None:
    """A client that has a version's file is given the next version's, also if that is the content of an older one."""
    path = f"/{restored.artifact.name}/latest/x"
    _, first, body = fetch(server, path, None)
    assert body == b"older"
    assert fetch(server, path, first)[0] == 304
    restored.change()
    status, second, body = fetch(server, path, first)
    assert (status, body) == (200, b"newer")
    assert fetch(server, path, second)[0] == 304
    restored.restore()
    status, third, body = fetch(server, path, second)
    assert (status, body) == (200, b"older")
    assert fetch(server, path, third)[0] == 304


def fingerprint(path: Path) -> tuple[str, str]:
    """Return what Hugging Face's datasets recognises a local data file by: its path and ``str`` of its ``mtime``."""
    return str(path), str(fsspec.filesystem("file").info(str(path))["mtime"])


def test_a_fingerprint_of_path_and_time(
    restored: Restored, relabelled: Relabelled, mounts_of_module: tuple[Workspace, Path]
) -> None:
    """Two contents at one path (through ``latest``) never have one fingerprint; unchanged files keep theirs."""
    prints = [fingerprint(restored.mounted / "x")]
    unchanged = fingerprint(restored.mounted / "same")
    restored.change()
    prints.append(fingerprint(restored.mounted / "x"))
    restored.restore()
    prints.append(fingerprint(restored.mounted / "x"))
    assert len(set(prints)) == 3
    assert fingerprint(restored.mounted / "same") == unchanged
    shown: dict[tuple[str, str], bytes] = {}
    for number, expected in enumerate(relabelled.expected):
        for name, content in expected.items():
            seconds = str(seconds_of(relabelled.version(number) / name))
            assert shown.setdefault((name, seconds), content) == content


def test_edits_within_one_second(mounts_of_module: tuple[Workspace, Path], tmp_path: Path) -> None:
    """Edits of one size that follow each other within a second differ in their seconds under the mount."""
    workspace, mounted = mounts_of_module
    (tmp_path / "source").mkdir()
    for number in range(6):
        (tmp_path / "source/x").write_text(str(number))
        workspace.put(tmp_path / "source", "edits")
    files = [mounted / "edits" / f"v{number}" / "x" for number in range(6)]
    assert len({seconds_of(file) for file in files}) == 6
    for number, file in enumerate(files):
        run("rsync", "-a", file, tmp_path / "copy")
        assert (tmp_path / "copy").read_text() == str(number)


def test_an_old_archive_is_unpacked(mounts_of_module: tuple[Workspace, Path], tmp_path: Path) -> None:
    """Times that go back with other content of one size, in one second of an older version, are moved."""
    workspace, mounted = mounts_of_module
    source = tmp_path / "source"
    write(source / "x", "archived 0", LONG_AGO)
    run("tar", "-cf", tmp_path / "archive.tar", "-C", source, "x")
    write(source / "x", "archived 1", LONG_AGO)
    workspace.put(source, "archive")
    write(source / "x", "edited now", LONG_AGO + 1000)
    workspace.put(source, "archive")
    run("tar", "-xpf", tmp_path / "archive.tar", "-C", source)
    assert (source / "x").stat().st_mtime == LONG_AGO
    version = workspace.put(source, "archive")
    assert 0 <= version.record.created_ns - (mounted / "archive/v2/x").stat().st_mtime_ns < 60 * SECOND_NS
    shutil.copytree(mounted / "archive/v0", tmp_path / "copy")
    run("rsync", "-a", f"{mounted}/archive/v2/", f"{tmp_path}/copy/")
    assert (tmp_path / "copy/x").read_text() == "archived 0"
