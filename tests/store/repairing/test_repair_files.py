"""A repair rewrites damaged headers of packs, folders and journals, and salvages what a damaged pack still has."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from artstore.records.nodes import (
    KIND_CHUNK,
    KIND_LIST,
    KIND_LOST,
    KIND_TREE,
)
from artstore.records.packing import HEADER_LENGTH
from artstore.repairing.rebuild import rebuild
from artstore.repairing.repair import repair
from artstore.rows.nodes import node_extent
from artstore.storage import journal
from artstore.storage.packs import pack_path
from artstore.store import Store
from artstore.workspace import Workspace
from crash.recount import all_nodes, contradictions
from store.conftest import forget
from store.lived import catalogue_of
from store.oracle import assert_sound
from store.repairing.damage import cut_in_half


def test_a_lost_header_is_written_anew(lived: Workspace) -> None:
    """A pack whose first bytes are damaged can be appended to and rebuilt from again."""
    with pack_path(lived.path, 1).open("r+b") as file:
        file.write(bytes(HEADER_LENGTH))
    repair(lived.store)
    assert_sound(lived)


def test_nodes_of_a_pack_that_was_cut_are_saved_or_set_aside(lived: Workspace, tmp_path: Path) -> None:
    """What lies before the cut stays or is copied; what lay behind is lost, and a put of the same folders heals it."""
    before = catalogue_of(lived)
    path = pack_path(lived.path, 1)
    with lived.store.snapshot() as snapshot:
        places = sorted(node_extent(payload) for payload in all_nodes(snapshot.transaction).values())
    middle = places[len(places) // 2]
    lived.store.reader.close()
    os.truncate(path, middle.offset + middle.stored)
    repair(lived.store)
    assert contradictions(lived.path) == []
    assert repair(lived.store) == []
    for folder in ("first", "second", "third"):
        lived.put(tmp_path / folder, "healing")
    assert {name: catalogue_of(lived)[name] for name in before} == before
    assert_sound(lived)


def test_a_missing_pack_is_given_up(lived: Workspace, tmp_path: Path) -> None:
    """Lists and directories come back from their records, chunks when they are put again."""
    before = catalogue_of(lived)
    lived.store.reader.close()
    pack_path(lived.path, 1).unlink()
    repair(lived.store)
    assert contradictions(lived.path) == []
    with lived.store.snapshot() as snapshot:
        kinds = {payload[0] for payload in all_nodes(snapshot.transaction).values()}
    assert kinds == {KIND_LIST, KIND_LOST, KIND_TREE, KIND_CHUNK}  # the empty chunk is whole
    for folder in ("first", "second", "third"):
        lived.put(tmp_path / folder, "healing")
    assert {name: catalogue_of(lived)[name] for name in before} == before
    assert_sound(lived)


@pytest.mark.parametrize("name", ["cache", "run", "run/drafts", "run/daemons", "journal", "reserve"])
def test_missing_folders_are_made_anew(lived: Workspace, name: str) -> None:
    """What they hold can be recreated; so it is."""
    before = catalogue_of(lived)
    path = lived.path / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert repair(lived.store)
    assert path.exists()
    lived.tags.add("alone:v1", "later")
    assert_sound(lived)
    assert catalogue_of(lived).keys() == before.keys()


def _flip_one(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("damage", [cut_in_half, _flip_one, Path.unlink])
def test_a_damaged_journal_is_written_anew(lived: Workspace, damage: Callable[[Path], None]) -> None:
    """It says what the catalogue does: a rebuild leads to the same."""
    before = catalogue_of(lived)
    damage(journal.journal_path(lived.path))
    assert repair(lived.store)
    assert_sound(lived)
    assert catalogue_of(lived) == before
    lived.tags.add("alone:v1", "later")
    assert_sound(lived)
    forget(lived.store)
    shutil.rmtree(lived.path / "manifest.1")
    after = catalogue_of(Workspace(Store.open(lived.path))) if rebuild(lived.path).clean else None
    assert after is not None
    assert after["team/vision/data"] == before["team/vision/data"]
