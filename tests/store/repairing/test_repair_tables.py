"""A repair recomputes the rows and counters that follow from other records."""

from __future__ import annotations

from pathlib import Path

import pytest

from artstore.records.tables import Table
from artstore.repairing.repair import repair
from artstore.storage.environment import Environment
from artstore.workspace import Workspace
from store.checking.conftest import structure_of
from store.lived import catalogue_of
from store.oracle import assert_sound, leftovers, usage_contradictions
from store.repairing.damage import SMALL_DAMAGE, Damage, rows_spoilt


@pytest.mark.parametrize("damage", SMALL_DAMAGE, ids=lambda damage: damage.__name__.strip("_"))
def test_what_follows_from_other_records_is_put_right(lived: Workspace, damage: Damage) -> None:
    """Found before, gone after; every version as it was; the space comes back; a second repair has nothing to do."""
    before, rules = catalogue_of(lived), lived.retention.rules()
    with lived.store.write() as transaction:
        damage(lived, transaction)
    assert not structure_of(lived.path).clean
    assert repair(lived.store)
    assert structure_of(lived.path).clean
    assert_sound(lived)
    assert catalogue_of(lived) == before and lived.retention.rules() == rules
    assert repair(lived.store) == []
    assert usage_contradictions(lived) == []
    lived.gc(now=True)
    lived.gc(now=True)
    assert leftovers(lived) == []
    assert catalogue_of(lived) == before


def test_lost_counters_are_made_anew(lived: Workspace, tmp_path: Path) -> None:
    """What comes next goes on behind what is there, and the sums are recounted."""
    before = catalogue_of(lived)
    with Environment.of(lived.path).begin(write=True) as raw:
        handle = Environment.of(lived.path).handles[Table.META]
        raw.put(b"counters", b"nothing of the sort", db=handle)
    repair(lived.store)
    assert_sound(lived)
    assert catalogue_of(lived) == before
    serials = [version.record.serial for name in before for version in lived.versions(name)]
    assert lived.put(tmp_path / "third", "alone").record.serial > max(serials)
    assert_sound(lived)


def test_a_sound_workspace_is_left_alone(lived: Workspace) -> None:
    """There is nothing to do, and nothing is written but the transaction."""
    with lived.store.snapshot() as snapshot:
        tables = [list(snapshot.transaction.raw.cursor(handle)) for handle in snapshot.transaction.handles[1:]]
    assert repair(lived.store) == []
    with lived.store.snapshot() as snapshot:
        assert tables == [list(snapshot.transaction.raw.cursor(handle)) for handle in snapshot.transaction.handles[1:]]


def test_a_deleted_version_can_still_be_undeleted(lived: Workspace) -> None:
    """Its record comes back from the journal, its place on the deadlist from the record."""
    lived.delete("team/vision/data:v1", force=True, local=True)
    with lived.store.write() as transaction:
        rows_spoilt(Table.VERSIONS)(lived, transaction)
    repair(lived.store)
    assert_sound(lived)
    lived.undelete("team/vision/data:v1")
    assert lived.version("team/vision/data:v1").read_bytes("many/001") == b"1 of many"
    assert_sound(lived)
