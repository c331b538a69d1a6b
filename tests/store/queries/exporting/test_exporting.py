"""Copying out: what arrives, what is left alone, and what is refused before anything is written."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from artstore.errors import DamageError, ExistsError, NotFolderError, NotFoundError, OutOfSpaceError
from artstore.ids import content_id
from artstore.ingest.batch import EntryDraft
from artstore.ingest.staging import Stager
from artstore.progress import Progress
from artstore.queries.exporting import GetReceipt, export, export_version
from artstore.queries.exporting.selection import Page, Selection
from artstore.queries.exporting.writing import Writing
from artstore.records.trees import Kind
from artstore.storage import disk
from artstore.storage.codec import encode
from artstore.storage.packs import pack_path
from artstore.store import Store
from artstore.workspace import Workspace
from messages import raises

CommitTree = Callable[..., Any]

TREE: dict[bytes, Any] = {
    b"big": os.urandom(5000) * 2000,
    b"dir": {b"a": b"A" * 3000, b"sub": {b"deep \xff\n name": b"bytes"}},
    b"empty": {b"inner": {}},
    b"img": {b"1": b"one"},
    b"img2": {b"2": b"two"},
    b"link": (Kind.LINK, b"dir/a"),
    b"nothing": b"",
    b"run.sh": (Kind.EXECUTABLE, b"#!/bin/sh\n"),
    b"x" * 255: b"long",
}
FILES = 9
BYTES = 10_000_000 + 3000 + 5 + 3 + 3 + 10 + 4


def contents(folder: Path | bytes) -> dict[bytes, Any]:
    """Return what a folder holds in the form of `TREE`."""
    found: dict[bytes, Any] = {}
    with os.scandir(os.fsencode(folder)) as entries:
        for entry in entries:
            if entry.is_symlink():
                found[entry.name] = (Kind.LINK, os.readlink(entry.path))
            elif entry.is_dir():
                found[entry.name] = contents(entry.path)
            else:
                with open(entry.path, "rb") as file:
                    data = file.read()
                found[entry.name] = (Kind.EXECUTABLE, data) if entry.stat().st_mode & 0o100 else data
    return found


@pytest.fixture
def dest(tmp_path: Path) -> Path:
    return tmp_path / "new" / "dest"


@pytest.fixture
def root(commit_tree: CommitTree) -> int:
    return int(commit_tree(TREE).root)


def test_everything_arrives(store: Store, root: int, dest: Path) -> None:
    """Files of any name and size, executable bits, links and empty folders arrive as they were put."""
    assert export(store, root, dest) == GetReceipt(FILES, BYTES, 0)
    assert contents(dest) == TREE


def test_modes_and_times_are_those_of_the_source(workspace: Workspace, dest: Path, tmp_path: Path) -> None:
    """The umask does not count; times are exact to the nanosecond, those of links and of the version itself too."""
    folder = tmp_path / "source"
    (folder / "dir" / "sub").mkdir(parents=True)
    for name, mode in (("run", 0o755), ("dir/own", 0o600), ("dir/sub/shown", 0o444), ("before", 0o666)):
        (folder / name).write_bytes(b"content")
        (folder / name).chmod(mode)
    (folder / "link").symlink_to("run")
    for name, mode in (("dir/sub", 0o555), ("dir", 0o700), ("", 0o750)):
        (folder / name).chmod(mode)
    for number, path in enumerate([*sorted(folder.rglob("*")), folder]):
        os.utime(path, ns=(0, (number - 3) * 10**18 + number), follow_symlinks=False)
    version = workspace.put(folder, "a")
    before = os.umask(0o027)
    try:
        assert export_version(workspace.store, "a:v0", dest).files == 5
        assert attributes_below(dest) == attributes_below(folder)
        for name in ("dir/sub", "dir"):
            (dest / name).chmod(0o700)
        shutil.rmtree(dest)
        assert export(workspace.store, version.record.root, dest, prefix=b"dir").files == 2
        assert attributes_below(dest / "dir") == attributes_below(folder / "dir")
        assert stat.S_IMODE(dest.stat().st_mode) == 0o750  # it is of no version
    finally:
        os.umask(before)
        (folder / "dir" / "sub").chmod(0o700)


def attributes_below(folder: Path) -> dict[str, tuple[int, int]]:
    """Return the mode and time of a folder and of everything in it."""
    paths = [folder, *folder.rglob("*")]
    return {str(path.relative_to(folder)): (path.lstat().st_mode, path.lstat().st_mtime_ns) for path in paths}


def test_what_is_there_and_equal_is_left_alone(store: Store, root: int, dest: Path) -> None:
    """A second copy writes nothing; a missing file is written again, and files of the user's own are kept."""
    export(store, root, dest)
    (dest / "dir" / "a").unlink()
    (dest / "mine").write_bytes(b"mine")
    os.utime(dest / "big", ns=(1, 1))
    inodes = {name: os.lstat(dest / name).st_ino for name in ("big", "link", "run.sh")}
    for overwrite in (False, True):
        receipt = export(store, root, dest, overwrite=overwrite)
        assert receipt == (GetReceipt(1, 3000, FILES - 1) if not overwrite else GetReceipt(0, 0, FILES))
    assert {name: os.lstat(dest / name).st_ino for name in inodes} == inodes
    assert os.lstat(dest / "big").st_mtime_ns == 1
    assert contents(dest) == TREE | {b"mine": b"mine"}


@pytest.mark.parametrize(
    ("prefix", "expected", "files"),
    [
        (b"img", {b"img": TREE[b"img"]}, 1),
        (b"dir/", {b"dir": TREE[b"dir"]}, 2),
        (b"dir/sub", {b"dir": {b"sub": TREE[b"dir"][b"sub"]}}, 1),
        (b"dir/a", {b"dir": {b"a": TREE[b"dir"][b"a"]}}, 1),
        (b"link", {b"link": TREE[b"link"]}, 1),
        (b"empty", {b"empty": TREE[b"empty"]}, 0),
        (b"", TREE, FILES),
    ],
)
def test_a_prefix_is_whole_components(
    store: Store, root: int, dest: Path, prefix: bytes, expected: dict[bytes, Any], files: int
) -> None:
    """A prefix selects a directory or a file by its whole path, which is kept; progress counts up to its totals."""
    seen: list[Progress] = []
    assert export(store, root, dest, prefix=prefix, progress=seen.append).files == files
    assert contents(dest) == expected
    last = seen[-1]
    assert (last.phase, last.files_done, last.bytes_done) == ("get", last.files_total, last.bytes_total)
    assert last.files_total == files


@pytest.mark.parametrize("prefix", [b"im", b"img/1/x", b"../img", b"dir//a", b"."])
def test_a_prefix_that_is_not_there(store: Store, root: int, dest: Path, prefix: bytes) -> None:
    """A prefix that names nothing is not found, and nothing is made."""
    with raises(NotFoundError, names=[repr(prefix.decode())]):
        export(store, root, dest, prefix=prefix)
    assert not dest.parent.exists()


def test_all_that_differs_is_refused_before_anything_is_written(store: Store, root: int, dest: Path) -> None:
    """Other bytes of equal size, another size, mode or kind, other links: all are named, and nothing is written."""
    dest.mkdir(parents=True)
    (dest / "big").write_bytes(bytes(10_000_000))
    (dest / "dir").symlink_to("/tmp")
    (dest / "img").write_bytes(b"a file")
    (dest / "link").symlink_to("elsewhere")
    (dest / "nothing").write_bytes(b"something")
    (dest / "run.sh").write_bytes(b"#!/bin/sh\n")
    before = contents_without_following(dest)
    with raises(ExistsError, names=["'big'", "'dir'", "'img'", "3 more", "6"]) as caught:
        export(store, root, dest)
    assert caught.value.paths == [b"big", b"dir", b"img", b"link", b"nothing", b"run.sh"]
    assert "--overwrite" in caught.value.hint
    assert contents_without_following(dest) == before
    assert export(store, root, dest, overwrite=True) == GetReceipt(FILES, BYTES, 0)
    assert contents(dest) == TREE


def contents_without_following(folder: Path) -> dict[str, tuple[int, int]]:
    return {path.name: (path.lstat().st_mode, path.lstat().st_ino) for path in folder.iterdir()}


def test_a_folder_in_the_place_of_a_file_is_never_deleted(store: Store, root: int, dest: Path) -> None:
    """A folder is refused in one sentence even with overwrite, an empty one and one in the place of a link too."""
    (dest / "dir" / "a").mkdir(parents=True)
    (dest / "link").mkdir()
    with raises(ExistsError, names=["'dir/a'", "'link'"]) as caught:
        export(store, root, dest, overwrite=True)
    assert caught.value.paths == [b"dir/a", b"link"] and "--overwrite" not in caught.value.hint
    assert contents(dest) == {b"dir": {b"a": {}}, b"link": {}}


def test_nothing_is_written_through_a_link(store: Store, root: int, dest: Path, tmp_path: Path) -> None:
    """A linked folder or file is a difference; when it is replaced, what the link led to stays as it was."""
    outside = tmp_path / "outside"
    (outside / "sub").mkdir(parents=True)
    (outside / "file").write_bytes(b"mine")
    dest.mkdir(parents=True)
    (dest / "dir").symlink_to(outside)
    (dest / "nothing").symlink_to(outside / "file")
    with raises(ExistsError, names=["'dir'", "'nothing'"]) as caught:
        export(store, root, dest, prefix=b"")
    assert "--overwrite" in caught.value.hint
    export(store, root, dest, overwrite=True)
    assert contents(outside) == {b"file": b"mine", b"sub": {}}
    assert contents(dest) == TREE


def test_a_link_that_appears_meanwhile_is_not_followed(
    store: Store, root: int, dest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that is swapped for a link between the survey and the writing ends the copy; nothing leaves."""
    outside = tmp_path / "outside"
    outside.mkdir()
    pages = Selection.pages

    def swapped(self: Selection, enter: Callable[[bytes], bool]) -> Iterator[Page]:
        for page in pages(self, enter):
            yield page
            if not page.path:
                (dest / "dir").rmdir()
                (dest / "dir").symlink_to(outside)

    monkeypatch.setattr(Selection, "pages", swapped)
    with pytest.raises(NotADirectoryError):
        export(store, root, dest)
    assert contents(outside) == {}


def test_the_destination_itself_may_be_a_link(store: Store, root: int, tmp_path: Path) -> None:
    """The user names the destination, so a link to a folder is taken as that folder."""
    (tmp_path / "real").mkdir()
    (tmp_path / "dest").symlink_to("real")
    export(store, root, tmp_path / "dest", prefix=b"img")
    assert contents(tmp_path / "real") == {b"img": TREE[b"img"]}


def test_the_destination_is_a_file(store: Store, root: int, tmp_path: Path) -> None:
    """A file is no place to copy to."""
    (tmp_path / "dest").write_bytes(b"")
    with raises(NotFolderError, names=[str(tmp_path / "dest")], reason="not a folder"):
        export(store, root, tmp_path / "dest", overwrite=True)


def temporary_files(dest: Path) -> list[str]:
    return [name for _, _, names in os.walk(dest) for name in names if name.startswith(".artfs-get-")]


def test_damage_is_named_and_not_copied(store: Store, root: int, dest: Path) -> None:
    """A flipped byte in a pack stops the copy with the file's name; the file does not appear."""
    with store.snapshot() as snapshot:
        entry = snapshot.resolve(root, b"dir/sub/deep \xff\n name")
        assert entry is not None
    path = pack_path(store.path, 1)
    data = bytearray(path.read_bytes())
    data[data.index(b"bytes")] ^= 1
    path.write_bytes(data)
    with raises(DamageError, names=["deep", "pack 1"], reason="damaged"):
        export(store, root, dest)
    assert b"sub" not in contents(dest)[b"dir"] or not contents(dest)[b"dir"][b"sub"]
    assert not temporary_files(dest)


def test_content_is_compared_with_its_id(store: Store, dest: Path) -> None:
    """Bytes that pass the store's checksums and yet are not the content that was put are not copied."""
    stager = Stager(store, "a", "test")
    ident = content_id(b"what was put")
    chunk = stager.chunk(ident, 12, encode(b"what we have"))
    root = stager.tree([EntryDraft(b"name", Kind.FILE, 12, ident, chunk, 0, 0o644)])
    node = stager.commit(root, lambda transaction, root, added: (True, root.node))
    stager.close()
    with raises(DamageError, names=["name", ident.hex()], reason="wrong content"):
        export(store, node, dest)
    assert contents(dest) == {}


def test_a_full_disk_leaves_no_temporary_files(
    store: Store, root: int, dest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the destination's disk fills up the half-written file goes, and the next copy takes the rest."""
    append = disk.append

    def full(fd: int, buffers: list[Any], offset: int) -> int:
        if offset + len(buffers[0]) > 4_000_000:
            append(fd, [buffers[0][:100]], offset)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return append(fd, buffers, offset)

    with monkeypatch.context() as patch:
        patch.setattr(disk, "append", full)
        with raises(OutOfSpaceError, names=[str(dest)]):
            export(store, root, dest)
    assert not temporary_files(dest) and b"big" not in contents(dest)
    assert export(store, root, dest).files > 0
    assert contents(dest) == TREE


@pytest.mark.parametrize("phase", ["check", "get"])
def test_an_interrupt_leaves_no_temporary_files(store: Store, commit_tree: CommitTree, dest: Path, phase: str) -> None:
    """Ctrl-C in the middle, here raised by the progress callback, leaves whole files only."""
    tree = {b"%d" % number: bytes([number]) * 9_000_000 for number in range(20)}
    root = commit_tree(tree).root
    if phase == "check":
        export(store, root, dest)

    def interrupt(progress: Progress) -> None:
        if progress.phase == phase and progress.bytes_done > 9_000_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(store, root, dest, progress=interrupt)
    assert not temporary_files(dest)
    found = contents(dest)
    assert found.items() <= tree.items() and (len(found) < 20) == (phase == "get")


def test_a_directory_that_cannot_be_written_is_named(
    store: Store, root: int, dest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of the system names the file's place, not the temporary one."""

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), ".artfs-get-1")

    monkeypatch.setattr(Writing, "_write_file", refuse)
    with pytest.raises(PermissionError) as caught:
        export(store, root, dest, prefix=b"dir/a")
    assert caught.value.filename == str(dest / "dir" / "a")


def test_zeros_become_holes(store: Store, commit_tree: CommitTree, dest: Path) -> None:
    """Long runs of zeros take no blocks, wherever they lie, and read as they were put."""
    data = bytes(1_000_000) + b"x" + bytes(5_000_000) + b"y" * 100_000 + bytes(1_000_001)
    export(store, commit_tree({b"sparse": data, b"zeros": bytes(200_000)}).root, dest)
    assert contents(dest) == {b"sparse": data, b"zeros": bytes(200_000)}
    assert (dest / "sparse").stat().st_blocks * 512 < 1_000_000


def test_directories_of_many_pages(store: Store, commit_tree: CommitTree, dest: Path) -> None:
    """Large directories are copied and compared page by page: only what lacks is written."""
    tree = {b"d": {b"%04d" % number: b"%d" % number for number in range(2000)}}
    root = commit_tree(tree).root
    assert export(store, root, dest).files == 2000
    for number in range(0, 2000, 7):
        (dest / "d" / f"{number:04}").unlink()
    assert export(store, root, dest)[::2] == (286, 2000 - 286)
    assert contents(dest) == tree


def test_paths_longer_than_the_system_takes(store: Store, commit_tree: CommitTree, dest: Path) -> None:
    """A tree 60 directories deep with names of 200 bytes is written and compared, though no path names its bottom."""
    tree: dict[bytes, Any] = {b"bottom": b"here"}
    for _ in range(60):
        tree = {b"n" * 200: tree}
    root = commit_tree(tree).root
    assert export(store, root, dest) == GetReceipt(1, 4, 0)
    assert export(store, root, dest) == GetReceipt(0, 0, 1)
    fd = os.open(dest, os.O_RDONLY)
    for _ in range(60):
        below = os.open("n" * 200, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    with open(os.open("bottom", os.O_RDONLY, dir_fd=fd), "rb") as file:
        assert file.read() == b"here"
    os.close(fd)


def test_an_empty_version(store: Store, commit_tree: CommitTree, dest: Path) -> None:
    """A version that holds nothing makes the destination and nothing in it."""
    assert export(store, commit_tree({}).root, dest) == GetReceipt(0, 0, 0)
    assert contents(dest) == {}
