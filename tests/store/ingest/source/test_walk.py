"""Walking folders: order, depth, symlinks, what is refused, and what happens while things change."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from artstore.errors import RefusedError, SourceChangedError, SourceError
from artstore.ingest.source import EnterDirectory, FileEntry, LeaveDirectory, LinkEntry, open_source
from artstore.ingest.source import walk as walk_module
from artstore.ingest.source.problems import PROBLEMS_MAX
from messages import missing, raises

Walked = Callable[..., dict[bytes, object]]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """An empty source folder with room beside it."""
    folder = tmp_path / "source"
    folder.mkdir()
    yield folder
    subprocess.run(["rm", "-rf", folder], check=True)  # pytest's own cleaning recurses, and some trees are deep


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_every_kind_of_entry_in_order(folder: Path) -> None:
    """Entries come by the bytes of their names, subfolders in their place, each with what a put needs to know."""
    (folder / "b").mkdir()
    (folder / "b" / "inner").write_bytes(b"abc")
    (folder / "B").write_bytes(b"")
    (folder / "b.sh").write_bytes(b"#!")
    (folder / "b.sh").chmod(0o700)
    (folder / "b-").symlink_to("b/inner")
    (folder / "z").mkdir()
    with open_source(folder) as source:
        events = list(source.walk())
        status = os.stat(folder)
        assert source.identity == (status.st_dev, status.st_ino)
    kinds = [(type(event), event.path) for event in events]
    assert kinds == [
        (EnterDirectory, b""),
        (FileEntry, b"B"),
        (EnterDirectory, b"b"),
        (FileEntry, b"b/inner"),
        (LeaveDirectory, b"b"),
        (LinkEntry, b"b-"),
        (FileEntry, b"b.sh"),
        (EnterDirectory, b"z"),
        (LeaveDirectory, b"z"),
        (LeaveDirectory, b""),
    ]
    inner, script = events[3], events[6]
    assert isinstance(inner, FileEntry)
    assert isinstance(script, FileEntry)
    assert (inner.name, inner.size, inner.executable) == (b"inner", 3, False)
    assert script.executable
    expected = os.stat(folder / "b/inner")
    assert inner.stamp == (3, expected.st_mtime_ns, expected.st_ctime_ns, expected.st_ino, expected.st_dev)


def test_only_the_owners_bit_makes_a_file_executable(folder: Path) -> None:
    """Execute permission of group and others does not count."""
    for name, mode in (("owner", 0o744), ("others", 0o655)):
        (folder / name).touch()
        (folder / name).chmod(mode)
    with open_source(folder) as source:
        assert [e.executable for e in source.walk() if isinstance(e, FileEntry)] == [False, True]


_names = st.binary(min_size=1, max_size=40).filter(
    lambda n: n not in (b".", b"..", b".artfsignore") and not set(n) & {0, 47}
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    tree=st.recursive(st.binary(max_size=5), lambda inner: st.dictionaries(_names, inner, max_size=5), max_leaves=20)
)
def test_any_tree_is_walked_whole(tmp_path_factory: pytest.TempPathFactory, walked: Walked, tree: object) -> None:
    """Whatever the names, the walk gives exactly the files and folders that are there, and leaves nothing open."""
    folder = os.fsencode(tmp_path_factory.mktemp("tree"))
    expected: dict[bytes, object] = {}

    def make(node: object, path: bytes) -> None:
        for name, value in node.items() if isinstance(node, dict) else {b"file": node}.items():
            inside = os.path.join(path, name)
            if isinstance(value, dict):
                expected[inside] = None
                os.mkdir(os.path.join(folder, inside))
                make(value, inside)
            else:
                expected[inside] = value
                with open(os.path.join(folder, inside), "wb") as file:
                    file.write(value)

    make(tree, b"")
    before = _descriptors()
    assert walked(folder) == expected
    assert _descriptors() == before


@pytest.mark.parametrize("depth", [walk_module.OPEN_DIRECTORIES, 200, 1000])
def test_depth_is_not_limited_by_paths_or_descriptors(folder: Path, depth: int) -> None:
    """Far below PATH_MAX, files are found before and after each subfolder, with few folders open at any time."""
    fd = os.open(folder, os.O_RDONLY)
    for _ in range(depth):
        for name in (b"a", b"z"):
            os.close(os.open(name, os.O_CREAT | os.O_WRONLY, dir_fd=fd))
        os.symlink("a", "l", dir_fd=fd)
        os.mkdir(b"m" * 10, dir_fd=fd)
        below = os.open(b"m" * 10, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)
    before = _descriptors()
    files = links = deepest = most_open = 0
    with open_source(folder) as source:
        for event in source.walk():
            deepest = max(deepest, event.path.count(b"m" * 10))
            if isinstance(event, FileEntry):
                files += 1
                os.close(event.open())
                if files % 100 == 0:
                    most_open = max(most_open, _descriptors() - before)
            links += isinstance(event, LinkEntry)
    assert (files, links, deepest) == (2 * depth, depth, depth)
    assert most_open <= walk_module.OPEN_DIRECTORIES + 5
    assert _descriptors() == before


def test_a_folder_that_is_moved_during_a_deep_walk_is_noticed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the way back up, a parent that was replaced is reported, and the walk does not continue in it."""
    monkeypatch.setattr(walk_module, "OPEN_DIRECTORIES", 2)
    (folder / "a/b/c/d").mkdir(parents=True)
    (folder / "elsewhere").mkdir()
    with open_source(folder) as source, raises(SourceChangedError, names=["a"], reason="moved"):
        for event in source.walk():
            if event == LeaveDirectory(b"a/b/c/d"):
                (folder / "a/b").rename(folder / "elsewhere/b")


def test_handles_outlive_the_walk(folder: Path) -> None:
    """A consumer that acquired a directory can open its files after the walk has ended and the source is closed."""
    (folder / "sub").mkdir()
    (folder / "sub/file").write_bytes(b"content")
    before = _descriptors()
    with open_source(folder) as source:
        entries = [(e, e.directory.acquire()) for e in source.walk() if isinstance(e, FileEntry)]
    (entry, handle), *_ = entries
    with handle, open(entry.open(), "rb") as file:
        assert file.read() == b"content"
    assert _descriptors() == before
    with pytest.raises(RuntimeError):
        handle.acquire()


def test_an_unfinished_walk_closes_its_folders(folder: Path) -> None:
    """A consumer that stops early leaves nothing open."""
    (folder / "a/b").mkdir(parents=True)
    before = _descriptors()
    with open_source(folder) as source:
        events = source.walk()
        for _ in range(3):
            next(events)
        events.close()
    assert _descriptors() == before


def test_links_are_kept_or_followed(folder: Path, walked: Walked) -> None:
    """Links inside stay links, absolute ones relative; links that leave become files and folders of their own."""
    outside = folder.parent / "outside"
    (outside / "dir").mkdir(parents=True)
    (outside / "file").write_bytes(b"outside")
    (outside / "dir/inner").write_bytes(b"inner")
    (outside / "dir/near").symlink_to("inner")
    (outside / "dir/far").symlink_to("../file")
    (outside / "dir/own").symlink_to(outside / "dir" / "inner")
    (folder / "sub").mkdir()
    (folder / "sub/relative").symlink_to("../kept")
    (folder / "sub/absolute").symlink_to(folder / "kept")
    (folder / "sub/file").symlink_to("../../outside/file")
    (folder / "sub/dir").symlink_to(outside / "dir")
    (folder / "sub/twice").symlink_to(folder.parent / "hop")
    (folder.parent / "hop").symlink_to("outside/file")
    assert walked(folder) == {
        b"sub": None,
        b"sub/absolute": "../kept",
        b"sub/dir": None,
        b"sub/dir/far": b"outside",
        b"sub/dir/inner": b"inner",
        b"sub/dir/near": "inner",
        b"sub/dir/own": "inner",
        b"sub/file": b"outside",
        b"sub/relative": "../kept",
        b"sub/twice": b"outside",
    }


def test_a_followed_link_carries_its_targets_stamp(folder: Path) -> None:
    """What is stored is the target, so its size, times and executable bit are given; and it opens as the target."""
    target = folder.parent / "target"
    target.write_bytes(b"12345")
    target.chmod(0o755)
    (folder / "link").symlink_to(target)
    with open_source(folder) as source:
        (entry,) = [(e, os.close(e.open())) for e in source.walk() if isinstance(e, FileEntry)]
    assert entry[0].followed
    assert entry[0].executable
    assert entry[0].stamp.inode == os.stat(target).st_ino
    assert entry[0].size == 5


@pytest.mark.parametrize(
    ("name", "make", "reason"),
    [
        ("fifo", lambda path: os.mkfifo(path), "named pipe"),
        ("link", lambda path: path.symlink_to("../../nowhere"), "dangling link"),
        ("link", lambda path: path.symlink_to("/nowhere/at all\n"), "dangling link"),
        ("loop", lambda path: path.symlink_to("loop"), "symlink loop"),
        ("up", lambda path: path.symlink_to("../.."), "link to an outer folder"),
        ("up", lambda path: path.symlink_to("/"), "link to an outer folder"),
        ("null", lambda path: path.symlink_to("/dev/null"), "link to a device"),
    ],
)
def test_what_cannot_be_stored_is_refused_by_name(
    folder: Path, walked: Walked, name: str, make: Callable[[Path], None], reason: str
) -> None:
    """One bad entry among good ones is named, with what it is, in one line, and is in the error's paths."""
    (folder / "good").touch()
    (folder / "sub").mkdir()
    make(folder / "sub" / name)
    with raises(SourceError, names=[f"sub/{name}"], reason=reason) as caught:
        walked(folder)
    error = caught.value
    assert str(error).isprintable()
    assert error.hint
    assert error.paths[0] == f"sub/{name}".encode()
    assert not isinstance(error, SourceChangedError)


def test_a_socket_is_refused(folder: Path, walked: Walked, monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket is named as one."""
    monkeypatch.chdir(folder)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s")
        with raises(SourceError, names=["s"], reason="socket"):
            walked(folder)


def test_all_problems_are_named_after_a_complete_walk(folder: Path) -> None:
    """The walk gives everything that can be stored first, then raises one error with all paths."""
    for index in range(5):
        os.mkfifo(folder / f"{index}-fifo")
        (folder / f"{index}-good").touch()
    events: list[object] = []
    with open_source(folder) as source, raises(SourceError, names=["5 entries", "2 more"]) as caught:
        events.extend(source.walk())
    assert caught.value.paths == [b"%d-fifo" % index for index in range(5)]


def test_the_walk_ends_after_many_problems(folder: Path, walked: Walked) -> None:
    """A folder full of what cannot be stored is not walked to its end."""
    for index in range(PROBLEMS_MAX + 20):
        os.mkfifo(folder / str(index))
    with raises(SourceError, names=["100 entries"]) as caught:
        walked(folder)
    assert len(caught.value.paths) == PROBLEMS_MAX


def test_unreadable_entries_are_refused_by_name(tmp_path: Path, walked: Walked, request: pytest.FixtureRequest) -> None:
    """Files and folders that the user may not read are all named before anything is opened."""
    folder = Path("/tmp") / f"artfs-test-{os.getpid()}-{tmp_path.name}"  # where no one may go, unlike pytest's own
    folder.mkdir(mode=0o755)
    try:
        for name, mode in (("closed", 0o000), ("open", 0o444), ("others", 0o044)):
            (folder / name).touch()
            (folder / name).chmod(mode)
        (folder / "folder").mkdir(mode=0o000)
        (folder / "listed-only").mkdir(mode=0o755)
        (folder / "listed-only/x").touch()
        (folder / "listed-only").chmod(0o444)
        request.getfixturevalue("as_nobody")
        with pytest.raises(SourceError) as caught:
            walked(folder)
        expected = {b"closed", b"folder", b"listed-only/x"}
        if os.stat(folder).st_uid == os.geteuid():
            expected.add(b"others")
        assert set(caught.value.paths) == expected
        assert not missing(str(caught.value), [os.strerror(errno.EACCES)])
    finally:
        if os.getuid() == 0:
            os.seteuid(0)
        for name in ("folder", "listed-only"):
            (folder / name).chmod(0o755)
        for path in sorted(folder.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        folder.rmdir()


def test_what_vanishes_is_named_as_change(folder: Path) -> None:
    """An entry that is gone between the listing and its turn ends in SourceChangedError with its path."""
    for name in ("a", "b", "c"):
        (folder / name).touch()
    (folder / "d").mkdir()
    with open_source(folder) as source, raises(SourceChangedError, names=["b"], reason="vanished") as caught:
        for event in source.walk():
            if event.path == b"a":
                (folder / "b").unlink()
                (folder / "d").rmdir()
    assert caught.value.paths == [b"b", b"d"]


def test_a_forbidden_folder_is_refused_at_once(folder: Path, walked: Walked) -> None:
    """A folder that must not be entered ends the walk with its sentence, on whatever way it is reached."""
    workspace = folder / "sub/workspace"
    workspace.mkdir(parents=True)
    status = workspace.stat()
    forbidden = {(status.st_dev, status.st_ino): "the workspace lies inside"}
    with raises(RefusedError, names=["the workspace lies inside"]) as caught:
        walked(folder, forbidden=forbidden)
    assert "sub/workspace" in caught.value.hint
    with pytest.raises(RefusedError):
        walked(workspace, forbidden=forbidden)
    assert walked(folder, forbidden=forbidden, exclude=["workspace/"]) == {b"sub": None}
    other = folder.parent / "other"
    other.mkdir()
    (other / "link").symlink_to(workspace)
    with pytest.raises(RefusedError):
        walked(other, forbidden=forbidden)


def test_ignore_files_hold_below_them(folder: Path, walked: Walked) -> None:
    """Patterns leave entries out, sockets and unreadable things included; the ignore file itself is content."""
    (folder / ".artfsignore").write_text("*.log\n/build/\n")
    (folder / "build").mkdir()
    os.mkfifo(folder / "build/fifo")
    (folder / "x.log").mkdir()
    (folder / "sub/build").mkdir(parents=True)
    (folder / "sub/.artfsignore").write_text("!keep.log\nfifo\n")
    (folder / "sub/keep.log").write_bytes(b"kept")
    (folder / "sub/other.log").touch()
    os.mkfifo(folder / "sub/fifo")
    (folder / "y.tmp").touch()
    assert walked(folder, exclude=["*.tmp"]) == {
        b".artfsignore": b"*.log\n/build/\n",
        b"sub": None,
        b"sub/.artfsignore": b"!keep.log\nfifo\n",
        b"sub/build": None,
        b"sub/keep.log": b"kept",
    }


def test_an_ignore_file_that_cannot_be_used_is_a_problem(folder: Path, walked: Walked) -> None:
    """What a broken list of patterns would leave out is not taken unasked; a folder of that name is just content."""
    (folder / "sub/.artfsignore").mkdir(parents=True)
    assert walked(folder) == {b"sub": None, b"sub/.artfsignore": None}
    (folder / ".artfsignore").write_text("!\n")
    with raises(SourceError, names=[".artfsignore"], reason="malformed ignore file"):
        walked(folder)
    (folder / ".artfsignore").write_bytes(b"#" * ((1 << 20) + 1))
    with raises(SourceError, names=[".artfsignore", "1 MiB"]):
        walked(folder)


def test_links_out_of_links_end(folder: Path, walked: Walked) -> None:
    """Folders that only link on to further folders are not followed for ever."""
    for index in range(60):
        (folder.parent / f"o{index}").mkdir()
        (folder.parent / f"o{index}/next").symlink_to(f"../o{index + 1}")
    (folder.parent / "o60").mkdir()
    (folder / "next").symlink_to("../o0")
    with raises(SourceError, reason="too many links"):
        walked(folder)


def test_folders_that_link_to_each_other(folder: Path, walked: Walked) -> None:
    """A followed folder that leads back into the source, or to what holds itself, is a loop, not an endless tree."""
    outside = folder.parent / "outer/outside"
    outside.mkdir(parents=True)
    (folder / "there").symlink_to(outside)
    (outside / "back").symlink_to(folder)
    (outside / "up").symlink_to("..")
    with raises(SourceError, names=["2 entries"]) as caught:
        walked(folder)
    assert caught.value.paths == [b"there/back", b"there/up"]


def test_many_links_into_one_outside_folder(folder: Path, walked: Walked) -> None:
    """A farm of absolute links is stored as the files that it shows."""
    outside = folder.parent / "outside"
    outside.mkdir()
    expected: dict[bytes, object] = {}
    for index in range(50):
        (outside / str(index)).write_bytes(b"%d" % index)
        (folder / str(index)).symlink_to(outside / str(index))
        expected[b"%d" % index] = b"%d" % index
    assert walked(folder) == expected
