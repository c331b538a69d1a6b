"""Retention on a workspace: what goes is what was planned, a wrong clock deletes nothing, and all of it is recorded."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from artstore.errors import DamageError, InvalidInputError, NotFoundError, RefusedError
from artstore.records.tables import Table
from artstore.repairing.rebuild import rebuild
from artstore.retention import applying
from artstore.retention.applying import apply, plan
from artstore.retention.rules import read_rules
from artstore.rows import catalogue
from artstore.storage.journal import journal_path, replay
from artstore.workspace import Workspace
from messages import missing, raises
from store.lived import reopened
from store.oracle import assert_sound, leftovers, write_folder

DAY = 86400 * 10**9


@pytest.fixture
def filled(workspace: Workspace, tmp_path: Path) -> Workspace:
    """Six versions of a model, two of a data set."""
    for number in range(6):
        folder = write_folder(tmp_path / f"m{number}", {b"w": ("file", b"%d" % number * 3000)})
        workspace.put(folder, "team/model", type="model", metadata={"acc": number % 4})
    for number in range(2):
        workspace.put(write_folder(tmp_path / f"d{number}", {b"x": ("file", b"%d" % number)}), "data", type="dataset")
    return workspace


def names(workspace: Workspace) -> list[str]:
    return sorted(version.name for item in workspace.artifacts() for version in workspace.versions(item.name))


def later(days: float) -> int:
    return time.time_ns() + int(days * DAY)


def test_what_was_planned_goes_and_can_come_back(filled: Workspace) -> None:
    filled.retention.set("best", type="model", best=2, field="acc")
    found = filled.retention.plan()
    going = ["team/model:v4", "team/model:v1", "team/model:v0"]
    assert [verdict.candidate.name for verdict in found.expiring] == going
    assert len(found.verdicts) == 8 and len(names(filled)) == 8, "a plan changes nothing"
    expected = filled.delete(*going, dry_run=True).freed_bytes
    assert found.freed_bytes == expected > 0
    done = filled.retention.apply()
    assert sorted(done.versions) == sorted(going) and done.freed_bytes == expected and done.due_at is not None
    assert names(filled) == ["data:v0", "data:v1", "team/model:v2", "team/model:v3", "team/model:v5"]
    (gone,) = [version for version in filled.log("team/model") if version.number == 4]
    assert not missing(gone.record.reason, ["best", "acc", "5th of 6"])
    assert filled.retention.apply().versions == []
    assert filled.undelete("team/model:v4").version.record.reason == ""
    assert_sound(filled)
    filled.gc(now=True)
    assert leftovers(filled) == []


def test_without_rules_nothing_goes(filled: Workspace) -> None:
    assert filled.retention.plan().verdicts == []
    assert apply(filled.store, trust_clock=True, now_ns=later(5000)).versions == []
    assert len(names(filled)) == 8
    with filled.store.snapshot() as snapshot:
        assert snapshot.transaction.get(Table.META, b"retention") is None, "nor is anything written"


def test_aliases_and_drafts_protect(filled: Workspace) -> None:
    filled.retention.set("young", within=86400.0)
    filled.aliases.set("team/model:v0", "production")
    filled.drafts.new("q", base="data:v0", id="d")
    verdicts = {verdict.candidate.name: verdict for verdict in plan(filled.store, later(20)).verdicts}
    assert len(verdicts["data:v0"].reasons) == 1 and not missing(verdicts["data:v0"].reasons[0], ["'d'", "'q'"])
    apply(filled.store, trust_clock=True, now_ns=later(5))
    assert names(filled) == ["data:v0", "data:v1", "team/model:v0", "team/model:v5"]
    filled.retention.set("young", within=86400.0, aliased=True, aliases=["prod*"])
    filled.aliases.set("team/model:v5", "old")
    apply(filled.store, trust_clock=True, now_ns=later(5))
    assert names(filled) == ["data:v0", "data:v1", "team/model:v0", "team/model:v5"]
    filled.retention.set("young", within=86400.0, aliased=True)
    assert apply(filled.store, trust_clock=True, now_ns=later(5)).versions == ["team/model:v0"]
    assert filled.aliases.of("team/model") == {"latest": 5, "old": 5}


def test_who_needs_a_version_at_the_last_moment_keeps_it(filled: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others go all the same."""
    real, tried = applying.delete, []

    def delete(*arguments: object, **options: object) -> object:
        if not tried:
            filled.aliases.set("team/model:v1", "mine")
            filled.delete("team/model:v2")
        tried.append(1)
        return real(*arguments, **options)  # type: ignore[arg-type]

    filled.retention.set("last", artifact="team/*", last=1)
    monkeypatch.setattr(applying, "delete", delete)
    done = filled.retention.apply()
    assert sorted(done.versions) == ["team/model:v0", "team/model:v3", "team/model:v4"]
    assert len(done.kept) == 2 and not missing(" ".join(done.kept), ["'mine'"])
    assert names(filled) == ["data:v0", "data:v1", "team/model:v1", "team/model:v5"]


# -- ends of their own -------------------------------------------------------------------------------------------------


def test_a_version_goes_at_its_end(filled: Workspace, tmp_path: Path) -> None:
    """The latest too; an alias keeps it; and what is brought back after its end has none any more."""
    version = filled.put(tmp_path / "d1", "tmp", ttl=86400.0)
    assert abs(version.record.expires_ns - later(1)) < 60 * 10**9
    other = filled.put(tmp_path / "d1", "aliased", ttl=86400.0, aliases=["a"])
    assert apply(filled.store, now_ns=later(0.9)).versions == []
    assert apply(filled.store, now_ns=later(1.1)).versions == ["tmp:v0"]
    assert other.name in names(filled)
    assert filled.undelete("tmp:v0").version.record.expires_ns > 0, "by our clock it has not ended"
    with filled.store.write() as transaction:
        record = catalogue.version(transaction, version.record.serial)
        assert record is not None
        catalogue.put_version(transaction, replace(record, expires_ns=5))
    filled.delete("tmp:v0")
    assert filled.undelete("tmp:v0").version.record.expires_ns == 0
    assert_sound(filled)


def test_ends_are_set_and_taken_away(filled: Workspace, tmp_path: Path) -> None:
    ends = filled.retention.set_ttl("data:v0", 3600.0)
    assert ends is not None and abs(ends.timestamp() - time.time() - 3600) < 60
    assert filled.retention.set_ttl("data:v0", None) is None
    assert filled.version("data:v0").record.expires_ns == 0
    for seconds in (0.0, -5.0, 1e11, float("nan")):
        with raises(InvalidInputError, reason="end in the past"):
            filled.retention.set_ttl("data:v0", seconds)
        with raises(InvalidInputError, reason="end in the past"):
            filled.put(tmp_path / "d1", "new", ttl=seconds)
    assert "new" not in [item.name for item in filled.artifacts()]
    unchanged = filled.put(tmp_path / "d1", "data", ttl=3600.0)
    assert unchanged.receipt is not None and not unchanged.receipt.created
    assert filled.version("data:v1").record.expires_ns > 0, "said of a version that is there already"
    draft = filled.drafts.new("data", base="v1")
    draft.remove("x")
    assert draft.commit(ttl=60.0).record.expires_ns > 0
    assert_sound(filled)


# -- the clock ---------------------------------------------------------------------------------------------------------


def test_a_wrong_clock_deletes_nothing(filled: Workspace) -> None:
    """Behind the newest version, or far ahead of all that is recorded; until somebody says that it is right."""
    filled.retention.set("last", last=1)
    with raises(RefusedError, reason="clock behind"):
        apply(filled.store, now_ns=later(-1))
    with raises(RefusedError, names=["30 days"], reason="clock ahead"):
        apply(filled.store, now_ns=later(31))
    assert len(names(filled)) == 8
    assert len(apply(filled.store, trust_clock=True, now_ns=later(31)).versions) == 6


def test_a_clock_that_was_watched_is_right(filled: Workspace) -> None:
    """Whoever applies the rules now and then need confirm nothing, however long nothing is put."""
    filled.retention.set("young", within=200 * 86400.0)
    for days in (29, 58, 87, 116, 100, 150):
        assert apply(filled.store, now_ns=later(days)).versions == []
    filled.retention.set("young", within=100 * 86400.0)
    with raises(RefusedError, reason="clock behind"):
        apply(filled.store, now_ns=later(101))
    with raises(RefusedError, names=["30 days"], reason="clock ahead"):
        apply(filled.store, now_ns=later(147))
    assert len(apply(filled.store, now_ns=later(145)).versions) == 6


def test_the_clock_is_noted_once_in_an_hour(filled: Workspace) -> None:
    filled.retention.set("young", within=86400.0)
    apply(filled.store)
    number = transaction_of(filled)
    apply(filled.store)
    assert transaction_of(filled) == number
    apply(filled.store, now_ns=later(0.1))
    assert transaction_of(filled) == number + 1


def transaction_of(workspace: Workspace) -> int:
    with workspace.store.snapshot() as snapshot:
        return snapshot.number


# -- records -----------------------------------------------------------------------------------------------------------


def test_rules_are_kept_and_told_to_the_journal(filled: Workspace) -> None:
    filled.retention.set("b", last=1)
    filled.retention.set("a", within=60.0)
    filled.retention.set("b", last=2)
    assert [(rule.name, rule.last) for rule in reopened(filled).retention.rules()] == [("a", 0), ("b", 2)]
    filled.retention.remove("a")
    with raises(NotFoundError, names=["'a'"]):
        filled.retention.remove("a")
    with filled.store.snapshot() as snapshot:
        counters = snapshot.transaction.counters()
        events = list(replay(journal_path(filled.path, counters.journal_generation), counters.journal_end))
    assert [event["rules"] for event in events if event["event"] == "retention"][-1] == [{"name": "b", "last": 2}]
    assert_sound(filled)


def test_a_rebuild_brings_rules_and_ends_back(filled: Workspace) -> None:
    filled.retention.set("b", last=2, metadata={"k": [1]})
    filled.retention.set_ttl("data:v0", 1e6)
    ends = filled.version("data:v0").record.expires_ns
    (filled.path / "manifest.1" / "data.mdb").unlink()
    filled.store.reader.close()
    reopen = filled.path
    from crash.states import forget

    forget(reopen)
    rebuild(reopen)
    again = reopened(filled)
    assert [rule.record() for rule in again.retention.rules()] == [{"name": "b", "last": 2, "metadata": {"k": [1]}}]
    assert again.version("data:v0").record.expires_ns == ends
    assert again.fsck().clean


def test_rules_that_do_not_read_let_nothing_go(filled: Workspace) -> None:
    filled.retention.set("b", last=1)
    with filled.store.write() as transaction:
        transaction.put(Table.META, b"retention", b'{"rules": [{"name": "b"}], "seen_ns": 0}')
    with raises(DamageError, names=["retention"]):
        filled.retention.apply()
    assert len(names(filled)) == 8
    assert not filled.fsck().clean
    assert filled.fsck(repair=True).repaired
    assert filled.fsck().clean
    with filled.store.snapshot() as snapshot:
        assert [rule.name for rule in read_rules(snapshot.transaction).rules] == ["b"]
