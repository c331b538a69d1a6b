"""Gaps in packs: merged, punched in whole blocks, and counted by what they take on the disk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from artstore.records.deadlist import Free, encode_free
from artstore.records.nodes import Extent
from artstore.records.tables import Table
from artstore.rows import space
from artstore.storage import disk
from artstore.storage.packs import pack_path
from artstore.workspace import Workspace

_BLOCK = 4096


@pytest.fixture
def pack(workspace: Workspace) -> Path:
    """Return a file that stands for pack 9: 40 blocks of ones."""
    path = pack_path(workspace.path, 9)
    path.write_bytes(b"\1" * 40 * _BLOCK)
    return path


def give_back(workspace: Workspace, pack: Path, *extents: tuple[int, int], purge: bool = False) -> list[Free]:
    """Condemn (offset, length)s and turn them into gaps; return the gaps there are."""
    with workspace.store.write() as transaction:
        space.condemn(transaction, [Extent(9, offset, length, 0) for offset, length in extents], purge=purge)
        rows = list(space.condemned(transaction))
        merges = space.punch(pack, space.plan_merges(transaction, rows))
        assert space.apply_merges(transaction, merges) == sum(length for _, length in extents)
        assert transaction.state.condemned_bytes == 0
        gaps = list(space.free_extents(transaction, 9))
        assert transaction.state.free_bytes == sum(gap.length - gap.punched for gap in gaps)
    return gaps


def test_only_whole_blocks_are_punched(workspace: Workspace, pack: Path) -> None:
    """What shares a block with a neighbour stays as it is, byte for byte."""
    (gap,) = give_back(workspace, pack, (100, 3 * _BLOCK))
    assert gap == Free(9, 100, 3 * _BLOCK, 2 * _BLOCK)
    data = pack.read_bytes()
    assert data[:_BLOCK] == b"\1" * _BLOCK and data[3 * _BLOCK :] == b"\1" * 37 * _BLOCK
    assert data[_BLOCK : 3 * _BLOCK] == bytes(2 * _BLOCK)
    assert pack.stat().st_blocks * 512 == 38 * _BLOCK


def test_neighbours_become_one_gap(workspace: Workspace, pack: Path) -> None:
    """A block that two deletions share goes with the second of them, from either side and from between."""
    assert give_back(workspace, pack, (0, 2000))[0].punched == 0
    assert give_back(workspace, pack, (2000, 3000)) == [Free(9, 0, 5000, _BLOCK)]
    assert give_back(workspace, pack, (9000, 1000), (6000, 1000))[1:] == [
        Free(9, 6000, 1000, 0),
        Free(9, 9000, 1000, 0),
    ]
    assert give_back(workspace, pack, (5000, 1000), (7000, 2000)) == [Free(9, 0, 10_000, 2 * _BLOCK)]
    assert pack.read_bytes()[: 2 * _BLOCK] == bytes(2 * _BLOCK)


def test_doing_it_twice_is_harmless(workspace: Workspace, pack: Path) -> None:
    """A run that is killed after punching punches again; a pack that is gone is done."""
    with workspace.store.write() as transaction:
        space.condemn(transaction, [Extent(9, 0, 5 * _BLOCK, 0)])
        planned = space.plan_merges(transaction, list(space.condemned(transaction)))
    assert space.punch(pack, planned) == space.punch(pack, planned)
    pack.unlink()
    assert [merge.gap.punched for merge in space.punch(pack, planned)] == [0]


def test_purged_bytes_are_overwritten_to_the_last(workspace: Workspace, pack: Path) -> None:
    """The edges too, which no hole reaches; and nothing beside them."""
    give_back(workspace, pack, (100, 2 * _BLOCK), purge=True)
    data = pack.read_bytes()
    assert data[:100] == b"\1" * 100 and data[100 : 100 + 2 * _BLOCK] == bytes(2 * _BLOCK)
    assert data[100 + 2 * _BLOCK :] == b"\1" * (38 * _BLOCK - 100)


def test_gaps_from_where_holes_could_not_be_are_punched_with_the_next(
    workspace: Workspace, pack: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A workspace that moves to a file system with holes gains them as it goes; the count is of what is a hole."""
    with monkeypatch.context() as patch:
        patch.setattr(disk, "punch_hole", lambda *_: False)
        assert give_back(workspace, pack, (0, 4 * _BLOCK)) == [Free(9, 0, 4 * _BLOCK, 0)]
    assert give_back(workspace, pack, (4 * _BLOCK, 10)) == [Free(9, 0, 4 * _BLOCK + 10, 4 * _BLOCK)]
    assert pack.stat().st_blocks * 512 == 36 * _BLOCK


def test_rows_of_the_first_workspaces_are_read(workspace: Workspace) -> None:
    """A gap that was recorded by its length alone has no hole."""
    with workspace.store.write() as transaction:
        transaction.put(Table.FREE, encode_free(Free(9, 7, 1, 0))[0], (5000).to_bytes(4, "little"))
        assert list(space.free_extents(transaction)) == [Free(9, 7, 5000, 0)]


def test_extents_side_by_side_are_one_row(workspace: Workspace) -> None:
    """Nodes of one batch lie side by side; empty ones take no row."""
    with workspace.store.write() as transaction:
        extents = [Extent(1, 100 * number, 100, 0) for number in range(50)] + [Extent(2, 0, 0, 0), Extent(2, 64, 1, 0)]
        space.condemn(transaction, reversed(extents))
        assert [(row.pack, row.offset, row.length) for row in space.condemned(transaction)] == [
            (1, 0, 5000),
            (2, 64, 1),
        ]
        assert transaction.state.condemned_bytes == 5001


def test_the_lock_is_for_one(workspace: Workspace) -> None:
    """And it is let go with the block, also by an exception."""
    with pytest.raises(KeyError), space.exclusive(workspace.path):
        raise KeyError
    with space.exclusive(workspace.path, seconds=0):
        assert os.access(workspace.path / "run" / "reaper", os.W_OK)
