"""Large files that the latest version has already, and those that only look like it."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from artstore.errors import SourceChangedError
from artstore.ingest import large_files, pipeline, reading
from artstore.ingest.source import FileStamp
from artstore.workspace import Workspace
from messages import raises
from store.oracle import assert_sound

MIB = 1024 * 1024
NOISE = random.Random(9).randbytes(10 * MIB)


@pytest.fixture
def two(workspace: Workspace, tmp_path: Path) -> Callable[[bytes], Path]:
    """Put a large file as the first version; return a maker of another folder with a file of its name."""
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "large").write_bytes(NOISE)
    workspace.put(tmp_path / "one", "x")

    def second(data: bytes) -> Path:
        (tmp_path / "two").mkdir()
        (tmp_path / "two" / "large").write_bytes(data)
        (tmp_path / "two" / "small").write_bytes(b"new")
        return tmp_path / "two"

    return second


def test_what_the_latest_version_has_is_only_hashed(
    workspace: Workspace, two: Callable[[bytes], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of the same content at the same path is not cut."""
    folder = two(NOISE)
    monkeypatch.setattr(reading, "_submit_groups", None)
    version = workspace.put(folder, "x")
    assert version.number == 1 and version.read_bytes("large") == NOISE
    assert version.receipt is not None and version.receipt.new_bytes < 10_000
    assert_sound(workspace)


@pytest.mark.parametrize(
    "data",
    [
        NOISE[:-1] + b"!",
        NOISE[: 5 * MIB] + b"inserted" + NOISE[5 * MIB : -8],
        b"!" + NOISE[1:],
        NOISE + b"appended",
        NOISE[: 9 * MIB],
    ],
    ids=["end changed", "inserted", "beginning changed", "appended", "shortened"],
)
def test_what_only_looks_known_is_stored(workspace: Workspace, two: Callable[[bytes], Path], data: bytes) -> None:
    """Whatever differs, the new content is stored, and only what is new of it."""
    version = workspace.put(two(data), "x")
    assert version.read_bytes("large") == data
    assert version.receipt is not None and version.receipt.new_bytes < MIB
    assert workspace.version("x:v0").read_bytes("large") == NOISE
    assert_sound(workspace)


@pytest.mark.parametrize("times", [1, 10**9])
def test_one_that_changes_while_it_is_hashed(
    workspace: Workspace, two: Callable[[bytes], Path], monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    """It is read again, and named if it never holds still."""
    folder = two(NOISE)
    known, left = large_files.looks_known, [times]
    real = FileStamp.of_fd

    def of_fd(fd: int) -> FileStamp:
        if left[0] and os.fstat(fd).st_size > 8 * MIB:
            left[0] -= 1
            with (folder / "large").open("r+b") as file:
                file.seek(9 * MIB)
                file.write(b"%d" % left[0])
        return real(fd)

    def looks_known(*arguments: object) -> bool:
        answer = known(*arguments)  # type: ignore[arg-type]
        assert answer
        monkeypatch.setattr(FileStamp, "of_fd", of_fd)
        return answer

    monkeypatch.setattr(pipeline, "looks_known", looks_known)
    if times == 1:
        assert workspace.put(folder, "x").read_bytes("large") == (folder / "large").read_bytes() != NOISE
    else:
        with raises(SourceChangedError, names=["large"]):
            workspace.put(folder, "x")
    assert_sound(workspace)


def test_a_version_that_is_gone_is_no_hint(
    workspace: Workspace, two: Callable[[bytes], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The latest version may be deleted and reaped between two steps of a put."""
    folder = two(NOISE)
    known = large_files.looks_known

    def looks_known(*arguments: object) -> bool:
        workspace.delete("x:v0", now=True)
        return known(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(pipeline, "looks_known", looks_known)
    assert workspace.put(folder, "x").read_bytes("large") == NOISE
    assert_sound(workspace)
