"""Opening what the user named."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from artstore.errors import InvalidInputError, NotFoundError, SourceChangedError, SourceError
from artstore.ingest.source import FileEntry, open_source
from messages import raises

Walked = Callable[..., dict[bytes, object]]


def test_a_single_file_is_one_entry_in_an_empty_folder(
    tmp_path: Path, walked: Walked, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file is put under its own name, wherever it is named from."""
    (tmp_path / "model.pt").write_bytes(b"weights")
    (tmp_path / "other").touch()
    (tmp_path / "model.pt").chmod(0o755)
    assert walked(tmp_path / "model.pt") == {b"model.pt": b"weights"}
    monkeypatch.chdir(tmp_path)
    assert walked("model.pt") == {b"model.pt": b"weights"}
    with open_source("model.pt") as source:
        assert source.is_file
        assert source.real_path == os.fsencode(tmp_path.resolve() / "model.pt")
        (entry,) = [event for event in source.walk() if isinstance(event, FileEntry)]
        assert entry.executable
        assert not entry.followed


def test_a_source_that_is_a_link_is_followed(tmp_path: Path, walked: Walked) -> None:
    """A link to a folder stands for the folder; a link to a file gives the file's content under the link's name."""
    (tmp_path / "real").mkdir()
    (tmp_path / "real/file").write_bytes(b"x")
    (tmp_path / "folder").symlink_to("real")
    (tmp_path / "current").symlink_to("real/file")
    assert walked(tmp_path / "folder") == {b"file": b"x"}
    assert walked(tmp_path / "current") == {b"current": b"x"}
    with open_source(tmp_path / "folder") as source:
        assert source.real_path == os.fsencode((tmp_path / "real").resolve())
        assert not source.is_file


def test_a_source_can_be_walked_again(tmp_path: Path) -> None:
    """Each walk is complete and sees the folder as it is then."""
    (tmp_path / "a").touch()
    with open_source(tmp_path) as source:
        assert len(list(source.walk())) == 3
        (tmp_path / "b").touch()
        assert len(list(source.walk())) == 4


def test_any_spelling_of_a_path_will_do(tmp_path: Path, walked: Walked, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes, text, paths, trailing slashes and the current folder are all accepted."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/file").write_bytes(b"x")
    monkeypatch.chdir(tmp_path / "sub")
    for path in (b".", "./", tmp_path / "sub", os.fsencode(tmp_path) + b"/sub//", "../sub"):
        assert walked(path) == {b"file": b"x"}


@pytest.mark.parametrize(
    ("path", "error", "names", "reason"),
    [
        ("missing", NotFoundError, ["missing"], "no such source"),
        ("dangling", NotFoundError, ["dangling"], "no such source"),
        ("file/below", SourceError, ["file/below", os.strerror(errno.ENOTDIR)], None),
        ("file/", SourceError, ["file", os.strerror(errno.ENOTDIR)], None),
        ("loop", SourceError, ["loop", os.strerror(errno.ELOOP)], None),
        ("", SourceError, [], "empty path"),
        ("a\0b", SourceError, [], "zero byte"),
        ("fifo", SourceError, ["fifo"], "named pipe"),
        ("n" * 300, SourceError, [os.strerror(errno.ENAMETOOLONG)], None),
        ("/dev/null", SourceError, ["null"], "device"),
    ],
)
def test_what_is_no_source_gets_one_sentence(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    error: type[Exception],
    names: list[str],
    reason: str | None,
) -> None:
    """A path that cannot be put is refused in one printable line, and nothing stays open."""
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    Path("dangling").symlink_to("nowhere")
    Path("loop").symlink_to("loop")
    os.mkfifo("fifo")
    before = len(os.listdir("/proc/self/fd"))
    with raises(error, names=names, reason=reason) as caught:
        open_source(path)
    assert str(caught.value).isprintable()
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_file_that_vanishes_or_changes_kind_is_named(tmp_path: Path) -> None:
    """The one file of a source, gone or no longer a file after it was opened, is reported as changed."""
    file = tmp_path / "file"
    file.touch()
    with open_source(file) as source:
        file.unlink()
        with raises(SourceChangedError, names=["file"], reason="vanished"):
            list(source.walk())


def test_an_unreadable_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """A file that the user may not read is refused when it is opened as a source."""
    file = tmp_path / "file"
    file.touch(mode=0o000)
    monkeypatch.chdir(tmp_path)
    request.getfixturevalue("as_nobody")
    with raises(SourceError, names=["file", os.strerror(errno.EACCES)]):
        open_source("file")


def test_malformed_globs_are_refused(tmp_path: Path) -> None:
    """``--exclude !`` is an error of usage."""
    with pytest.raises(InvalidInputError):
        open_source(tmp_path, exclude=["!"])


def test_pathspec_is_loaded_only_when_there_is_something_to_match(tmp_path: Path) -> None:
    """A put without ignore rules does not pay for the library that matches them."""
    code = (
        "import sys; from artstore.ingest.source import open_source; list(open_source(sys.argv[1]).walk());"
        "assert 'pathspec' not in sys.modules"
    )
    subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], check=True, env={"PYTHONPATH": os.pathsep.join(sys.path)}
    )
