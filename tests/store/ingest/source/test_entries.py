"""Handles, stamps, and paths in messages."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artstore.errors import SourceChangedError, SourceError
from artstore.ingest.source import DirectoryHandle, FileStamp, display
from messages import raises


@given(st.binary())
def test_any_path_is_shown_in_one_line(path: bytes) -> None:
    """Whatever the bytes, what is shown is printable, not empty, and bounded."""
    shown = display(path)
    assert shown
    assert shown.isprintable()
    assert len(shown) < 1000


def test_paths_that_are_text_are_shown_as_they_are() -> None:
    """Ordinary names are not escaped, odd bytes and newlines are."""
    assert display("größe/数 据.txt".encode()) == "größe/数 据.txt"
    assert display(b"a\nb\xff") == "a\\nb\\xff"
    assert display(b"") == "."


def test_a_stamp_changes_with_the_file(tmp_path: Path) -> None:
    """The stamp of an open file equals that of its entry until size, times or identity change."""
    file = tmp_path / "file"
    file.write_bytes(b"one")
    with file.open("rb") as opened:
        stamp = FileStamp.of(file.lstat())
        assert FileStamp.of_fd(opened.fileno()) == stamp
        os.utime(file, ns=(1, 1))
        assert FileStamp.of_fd(opened.fileno()) != stamp
        other = tmp_path / "other"
        other.write_bytes(b"one")
        os.utime(other, ns=(1, 1))
        assert FileStamp.of(other.lstat()) != FileStamp.of_fd(opened.fileno())


def test_a_handle_opens_regular_files_only(tmp_path: Path) -> None:
    """A file that became another kind of entry is reported as changed, without blocking."""
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    with DirectoryHandle(os.open(tmp_path, os.O_RDONLY), b"sub") as handle:
        os.close(handle.open_file(b"file"))
        os.close(handle.open_file(b"link", follow=True))
        for name in (b"link", b"folder", b"fifo", b"missing", b"file/x"):
            with pytest.raises(SourceChangedError) as caught:
                handle.open_file(name)
            assert caught.value.paths == [b"sub/" + name]
    assert handle.fd == -1


def test_a_file_that_may_not_be_read_is_no_change(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """A refusal by the system keeps its own words."""
    (tmp_path / "file").touch(mode=0o000)
    handle = DirectoryHandle(os.open(tmp_path, os.O_RDONLY), b"")
    request.getfixturevalue("as_nobody")
    with handle, raises(SourceError, names=["file", os.strerror(errno.EACCES)]) as caught:
        handle.open_file(b"file")
    assert not isinstance(caught.value, SourceChangedError)
