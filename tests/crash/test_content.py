"""Content that is put reads back byte for byte, and the digest depends only on the content."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from artstore.queries.versions import Version
from artstore.workspace import Workspace, init_workspace
from corpora import folders
from corpora.folders import MIB, Content, content_of, content_of_file, entry_of
from crash.places import quick_folder
from crash.scenes import environment
from crash.states import content_of_version, faults


@pytest.fixture
def workspace(quick_dir: Path) -> Workspace:
    return init_workspace(quick_dir / "workspace")


def content_by_api(version: Version) -> Content:
    """Read a version the way a training script does."""
    found: Content = {}
    for above, directories, files in version.walk():
        kinds = {info.name: info for info in version.listdir(above)}
        assert sorted(kinds) == sorted(directories + files)
        for name, info in kinds.items():
            path = os.fsencode(f"{above}/{name}" if above else name)
            if info.kind == "directory":
                found[path] = folders.DIRECTORY
            elif info.kind == "link":
                text = os.fsencode(info.link_target or "")
                found[path] = folders.Entry("link", size=len(text), text=text)
            else:
                found[path] = entry_of(version.read_bytes(path), executable=info.executable)
                assert (info.size, info.digest) == (found[path].size, found[path].id)
    return found


@pytest.mark.parametrize("name", folders.GENERATORS)
def test_round_trip(workspace: Workspace, tmp_path: Path, name: str) -> None:
    """Every awkward folder reads back as it was put, by the store's own reader and by the Python API."""
    source = tmp_path / "source"
    source.mkdir()
    folders.GENERATORS[name](source)
    expected = content_of(source, folders.KEPT.get(name))
    version = workspace.put(source, "data")
    assert content_of_version(version) == expected
    assert content_by_api(version) == expected
    assert version.file_count == sum(1 for entry in expected.values() if entry.kind != "directory")
    assert version.size == sum(entry.size for entry in expected.values() if entry.kind == "file")
    again = workspace.put(source, "data")
    assert again.receipt is not None and not again.receipt.created and again.receipt.new_bytes == 0
    assert faults(workspace.path, {"data:v0": expected}) == []


def test_a_file_as_the_source(workspace: Workspace, tmp_path: Path) -> None:
    """A single file becomes a version that holds it, whatever its name, mode and size; a link to one is followed."""
    expected = {}
    for number, (name, size) in enumerate({"plain": 10, "new\nline": 0, "large": 9 * MIB, "\udcff": 70_000}.items()):
        file = tmp_path / name
        file.write_bytes(folders.random_bytes(size, number))
        file.chmod(0o700 if number % 2 else 0o600)
        expected[workspace.put(file, f"file-{number}").name] = content_of_file(file)
    (tmp_path / "link").symlink_to("plain")
    linked = workspace.put(tmp_path / "link", "linked")
    expected[linked.name] = {b"link": content_of_file(tmp_path / "plain")[b"plain"]}
    assert faults(workspace.path, expected) == []


def test_very_deep_folder(workspace: Workspace, tmp_path: Path) -> None:
    """A folder 1,000 deep has paths beyond PATH_MAX, and is put like any other."""
    source = tmp_path / "source"
    source.mkdir()
    try:
        folders.deep(source, 1000, b"a name of some length")
        expected = content_of(source)
        assert max(map(len, expected)) > 2 * 4096
        version = workspace.put(source, "deep")
        assert content_of_version(version) == expected
        assert version.read_bytes(max(expected, key=len)) == b"reached"
    finally:
        subprocess.run(["rm", "-rf", source], check=True)  # shutil's recursion does not go as deep


def test_crowded_folder(workspace: Workspace, tmp_path: Path) -> None:
    """20,000 files in one folder read back; a second put of ten changes adds little."""
    source = tmp_path / "source"
    source.mkdir()
    folders.crowd(source)
    version = workspace.put(source, "crowd")
    expected = content_of(source)
    assert content_of_version(version) == expected
    for path in sorted(source.iterdir())[::2000]:
        path.write_bytes(b"changed " + os.fsencode(path.name))
    second = workspace.put(source, "crowd")
    assert content_of_version(second) == content_of(source)
    assert second.receipt is not None and second.receipt.new_bytes < 200_000
    assert content_of_version(version) == expected


def test_same_digest_wherever_the_folder_lies(tmp_path: Path) -> None:
    """Another file system, another order of creation, other times, another workspace: the same digest."""
    source = tmp_path / "source"
    source.mkdir()
    for name in ("sizes", "names", "modes", "links", "empty_folders"):
        (source / name).mkdir()
        folders.GENERATORS[name](source / name)
    folders.crowd(source, 3000)
    (source / "links" / "absolute").unlink()  # absolute links would lead back to the first copy
    (source / "links" / "a" / "b" / "absolute").unlink()
    shutil.copytree(source, tmp_path / "copy", symlinks=True)
    with quick_folder(tmp_path / "otherwise") as memory:
        memory.mkdir(exist_ok=True)
        shuffled = memory / "shuffled"
        copy_in_random_order(source, shuffled)
        for path in shuffled.rglob("*"):
            os.utime(path, (1, 1), follow_symlinks=False)
        digests = {
            init_workspace(memory / f"workspace-{number}").put(folder, "data").digest
            for number, folder in enumerate((source, tmp_path / "copy", shuffled, source))
        }
    assert len(digests) == 1


def copy_in_random_order(source: Path, to: Path) -> None:
    """Copy a folder so that a listing without order gives other orders."""
    to.mkdir()
    names = os.listdir(source)
    random.Random(4).shuffle(names)
    for name in names:
        if (source / name).is_dir() and not (source / name).is_symlink():
            copy_in_random_order(source / name, to / name)
        else:
            shutil.copy2(source / name, to / name, follow_symlinks=False)


def test_memory_of_a_large_file(tmp_path: Path) -> None:
    """A put of 400 MB, half of it random, stays under 300 MB of memory."""
    source = tmp_path / "source"
    source.mkdir()
    peak = peak_of_put(source, tmp_path / "workspace", 400 * MIB)
    assert peak < 300e6


def peak_of_put(source: Path, workspace: Path, size: int) -> int:
    """Put a file of ``size`` bytes, half random and half holes, in a process of its own; return its peak memory."""
    piece = folders.random_bytes(16 * MIB, 8)
    with (source / "large").open("wb") as file:
        for offset in range(0, size, 32 * MIB):
            file.seek(offset)
            file.write(offset.to_bytes(8, "little") + piece[8:])
        file.truncate(size)
    code = (
        "import re, sys; from artstore.workspace import init_workspace;"
        "version = init_workspace(sys.argv[2]).put(sys.argv[1], 'large');"
        "assert version.size == int(sys.argv[3]);"
        "print(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])"
    )
    words = [sys.executable, "-c", code, str(source), str(workspace), str(size)]
    done = subprocess.run(words, env=environment(), capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return int(done.stdout) * 1024
