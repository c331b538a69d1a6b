"""Listings with attributes in one pass: the same bytes as line by line, also if they were made before any request,
and never those of a deleted version."""

from __future__ import annotations

from pathlib import Path

import pytest

from artfs.mount import inodes
from artfs.mount.attributes import Contents
from artfs.mount.counters import Counters, Epoch
from artfs.mount.transports.direct import Dispatcher
from artfs.mount.transports.protocol import Opcode, Owner
from artfs.mount.tree import Tree
from artstore.errors import DamageError
from artstore.workspace import Workspace, init_workspace
from fs.mount.wire import DirentPlus, listed, parsed, read_body, request

FOLDERS = 5
UNIQUE = 2


class Walk:
    """Ask for the listings of one version, as a kernel does for a program that walks it."""

    def __init__(self, workspace: Workspace) -> None:
        self.epoch = Epoch()
        self.made: list[int] = []
        self.tree = Tree(workspace.store, self.epoch)
        self.dispatcher = Dispatcher(self.tree, Counters(1).slot(0), uid=7, gid=8, later=lambda *_: None)
        contents = self.tree.contents

        def noted(inode: int, cookie: int) -> Contents | None:
            self.made.append(inode)
            return contents(inode, cookie)

        self.tree.contents = noted  # type: ignore[method-assign]

    def ask(self, inode: int, cookie: int = 0, size: int = 32768) -> bytes:
        message = request(Opcode.READDIRPLUS, read_body(cookie, size), nodeid=inode, unique=UNIQUE)
        answer = parsed(self.dispatcher.answer(memoryview(bytearray(message))))
        self.dispatcher.look_ahead()
        if answer.number:
            raise OSError(answer.number, "")
        return answer.body

    def whole(self, inode: int, size: int) -> bytes:
        """Return all of a listing, asked for in pieces of ``size`` bytes."""
        body = b""
        cookie = 0
        while piece := self.ask(inode, cookie, size):
            assert len(piece) <= size
            body += piece
            cookie = listed(DirentPlus, piece)[-1][1].dirent.off
        return body


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    source = tmp_path / "source"
    for folder in range(FOLDERS):
        place = source / f"folder{folder}"
        place.mkdir(parents=True)
        for number in range(40):
            file = place / ("n" * (1 + number * 6) + str(folder))
            file.write_bytes(bytes(number * 100 * folder))
            file.chmod(0o755 if number % 3 else 0o644)
        (place / "link").symlink_to("n" * (folder + 1))
    (source / "nothing").mkdir()
    workspace = init_workspace(tmp_path / "ws")
    workspace.put(source, "data")
    for folder in range(FOLDERS):
        (source / f"folder{folder}" / "later").write_text(f"born later {folder}")
    workspace.put(source, "data")
    return workspace


@pytest.fixture
def walk(workspace: Workspace) -> Walk:
    return Walk(workspace)


def serial(workspace: Workspace) -> int:
    with workspace.store.snapshot() as snapshot:
        artifact = snapshot.name_number("data")
        assert artifact is not None
        version = snapshot.version_by_number(artifact[0], 1)
        assert version is not None
        return version.serial


def directories(workspace: Workspace) -> list[int]:
    """Return the inodes of the folders in data:v1, in the order in which they are walked through.

    Each comes right after the 42 entries of the one before: 40 files, a link, and the file that was added.
    """
    return [inodes.entry(serial(workspace), 1 + 43 * number) for number in range(FOLDERS + 1)]


@pytest.mark.parametrize("size", [500, 4096, 32768])
def test_the_bytes_are_those_of_entry_by_entry(workspace: Workspace, walk: Walk, size: int) -> None:
    owner = Owner(7, 8)
    for inode in directories(workspace):
        expected = b"".join(owner.listed(*entry) for entry in walk.tree.page(inode, 0))
        assert walk.whole(inode, size) == expected
    assert len(expected) > 2 * 150, "the empty folder has its dots"


def test_nothing_is_listed_where_there_is_no_room(workspace: Workspace, walk: Walk) -> None:
    inode = directories(workspace)[0]
    assert walk.ask(inode, 0, 100) == walk.ask(inode, 0, 200) == walk.ask(inode, 5, 100) == b""


def test_a_folder_with_folders_is_listed_line_by_line(workspace: Workspace, walk: Walk) -> None:
    root = inodes.entry(serial(workspace), 0)
    assert walk.tree.contents(root, 0) is None and walk.tree.contents(inodes.ROOT, 0) is None
    assert [name for name, _ in listed(DirentPlus, walk.whole(root, 32768))][2:] == [
        *(b"folder%d" % number for number in range(FOLDERS)),
        b"nothing",
    ]


def test_the_next_folder_is_made_ahead(workspace: Workspace, walk: Walk) -> None:
    """From the second of a row on, and each once."""
    row = directories(workspace)
    for position, inode in enumerate(row):
        walk.ask(inode)
        assert walk.made == row[: position + 2 if position else 1] + [row[-1] + 1] * (position == len(row) - 1)


def test_a_walk_from_the_top_is_made_ahead(workspace: Workspace, walk: Walk) -> None:
    """After a folder with folders comes the first of these."""
    root, first, second, third = inodes.entry(serial(workspace), 0), *directories(workspace)[:3]
    walk.ask(root)
    assert walk.made == [root]
    walk.ask(first)
    assert walk.made == [root, first, second]
    walk.ask(second)
    assert walk.made == [root, first, second, third]


def test_what_is_not_walked_through_is_not_made_ahead(workspace: Workspace, walk: Walk) -> None:
    row = directories(workspace)
    for inode in (row[3], row[1], row[4], row[4]):
        walk.ask(inode)
        walk.ask(inode, 45)
    assert walk.made == [row[3], row[3], row[1], row[1], row[4], row[4], row[4], row[4]]


def test_what_was_made_ahead_is_gone_with_its_version(workspace: Workspace, walk: Walk) -> None:
    row = directories(workspace)
    walk.ask(row[0])
    walk.ask(row[1])
    assert walk.made[-1] == row[2]
    workspace.delete("data:v1", now=True)
    walk.epoch.advance()
    with pytest.raises(OSError):
        walk.ask(row[2])


def test_other_room_than_expected_is_respected(workspace: Workspace, walk: Walk) -> None:
    row = directories(workspace)
    walk.ask(row[0])
    walk.ask(row[1])
    assert len(walk.ask(row[2], 0, 1000)) <= 1000


@pytest.mark.parametrize("error", [DamageError("a directory record is malformed"), ValueError("node 3 is none")])
def test_damage_that_is_met_ahead_is_told_to_who_asks(workspace: Workspace, walk: Walk, error: Exception) -> None:
    row = directories(workspace)
    contents = walk.tree.contents

    def damaged(inode: int, cookie: int) -> Contents | None:
        if inode == row[2]:
            raise error
        return contents(inode, cookie)

    walk.tree.contents = damaged  # type: ignore[method-assign]
    walk.ask(row[0])
    walk.ask(row[1])
    with pytest.raises(OSError):
        walk.ask(row[2])
    assert walk.ask(row[3])
