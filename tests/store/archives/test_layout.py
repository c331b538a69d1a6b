"""The layout: a tar that any program unpacks to what a mount shows, with sums that any program checks."""

from __future__ import annotations

import subprocess
import tarfile
from pathlib import Path

import pytest
from blake3 import blake3

from artstore.archives.index import ArchivedEntry, ArchivedVersion
from artstore.archives.layout import members, sum_lines
from artstore.errors import ArchiveError
from store.archives.conftest import Archived


def test_tar_unpacks_what_was_put(archived: Archived, tmp_path: Path) -> None:
    """Names, contents, links, empty directories and executable bits: the tree has the version's digest."""
    subprocess.run(["tar", "-C", tmp_path, "-xf", archived.path], check=True, capture_output=True)
    for version, name in zip(archived.versions, ("team/x/v0", "empty/v0"), strict=True):
        again = archived.workspace.put(tmp_path / "artfs-archive" / "versions" / name, f"again/{version.artifact[-5:]}")
        assert again.digest == version.digest


def test_the_sums_are_those_of_the_files(archived: Archived, tmp_path: Path) -> None:
    """Each line is a digest and a file, escaped as `b3sum` does; no file has none."""
    subprocess.run(["tar", "-C", tmp_path, "-xf", archived.path], check=True, capture_output=True)
    top, names = tmp_path / "artfs-archive", set()
    for line in (top / "B3SUMS").read_bytes().splitlines():
        is_escaped = line.startswith(b"\\")
        digest, _, name = line.removeprefix(b"\\").partition(b"  ")
        if is_escaped:
            name = name.replace(b"\\\\", b"\0").replace(b"\\n", b"\n").replace(b"\0", b"\\")
        path = top / name.decode("utf-8", "surrogateescape")
        assert blake3(path.read_bytes()).hexdigest().encode() == digest
        names.add(path)
    assert names == {path for path in top.rglob("*") if path.is_file() and not path.is_symlink()} - {top / "B3SUMS"}


def test_a_content_stands_once(archived: Archived) -> None:
    """A file with the content of another is a hard link, unless one is executable."""
    with tarfile.open(archived.path) as archive:
        found = {member.name.rpartition("v0/")[2]: member for member in archive}
    assert found["sub/b"].islnk() and found["sub/b"].linkname.endswith("v0/a")
    assert found["a"].isfile() and found["run"].isfile() and found["run"].mode == 0o755


def test_two_sizes_of_one_content_are_refused() -> None:
    entries = (ArchivedEntry(b"a", b"1" * 32, 5), ArchivedEntry(b"b", b"1" * 32, 6))
    version = ArchivedVersion("a:v0", "0" * 64, None, "", {}, (), entries)
    with pytest.raises(ArchiveError, match="two sizes"):
        list(members([version]))
    assert len(list(sum_lines([version]))) == 2
