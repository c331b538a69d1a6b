"""The fold of the journal: what events lead to, what contradicts, and which events are left."""

from __future__ import annotations

from typing import Any

import pytest

from artstore.errors import DamageError
from artstore.records.catalogue import EdgeRecord, RunRecord
from artstore.records.events import (
    AliasEvent,
    ArtifactEvent,
    DeleteEvent,
    DescriptionEvent,
    EdgeEvent,
    Event,
    MetricsEvent,
    PurgeEvent,
    RenameEvent,
    RetentionEvent,
    RevisionEvent,
    RunEvent,
    TagsEvent,
    TtlEvent,
    TypeEvent,
    UndeleteEvent,
    VersionEvent,
)
from artstore.retention.rules import check_rules
from artstore.rows.history import History, Provenance
from artstore.rows.lineage import Edge, run_end, version_end
from messages import raises


def version(number: int, name: str = "a", **says: Any) -> VersionEvent:
    """Return the event that made a version, whose serial is 10 more than its number."""
    fields: dict[str, Any] = {
        "digest": "00",
        "form": "f0",
        "created_ns": 5,
        "mtime_ns": 4,
        "mode": 0o755,
        "newest_ns": 5,
        "description": "",
        "metadata": {},
        "base": None,
    }
    return VersionEvent(name=name, serial=number + 10, number=number, **{**fields, **says})


def history_of(*events: Event) -> History:
    """Return what events lead to."""
    history = History()
    for event in events:
        history.apply(event)
    return history


EDGE = EdgeEvent(source="v10", kind="u", target="r1", record=EdgeRecord(1, "a:v0", "r1"))


def test_an_artifact() -> None:
    """Versions give the next number and serial, and the first one the time."""
    history = history_of(TypeEvent(name="a", type="model"), version(0), version(3, created_ns=9))
    artifact = history.artifacts["a"]
    assert (artifact.type, artifact.created_ns, artifact.next_version) == ("model", 5, 4)
    assert history.next_serial == 14
    history.apply(DescriptionEvent(name="a", description="text"))
    assert artifact.description == "text"


def test_an_artifact_of_a_rewritten_journal() -> None:
    """Its event sets all of it, and the next serial."""
    event = ArtifactEvent(name="a", type=None, next_version=7, next_serial=90, created_ns=3, description="d")
    history = history_of(event, version(2))
    artifact = history.artifacts["a"]
    assert (artifact.created_ns, artifact.next_version, artifact.description) == (3, 7, "d")
    assert history.next_serial == 90


def test_the_last_event_of_a_kind_counts() -> None:
    """Each property of a version is what was last set; earlier revisions are its history."""
    history = history_of(version(0, description="first", metadata={"n": 1}))
    made = history.artifacts["a"].versions[0]
    assert (made.description, made.metadata, made.tags, made.expires_ns, made.digest) == (
        "first",
        {"n": 1},
        [],
        0,
        "00",
    )
    first = RevisionEvent(name="a", version=0, description="x", metadata={"x": 1})
    last = [
        RevisionEvent(name="a", version=0, description="second", metadata={}, at_ns=9),
        TagsEvent(name="a", version=0, tags=["y"]),
        TtlEvent(name="a", version=0, expires_ns=0),
    ]
    for event in (
        first,
        TagsEvent(name="a", version=0, tags=["x"]),
        TtlEvent(name="a", version=0, expires_ns=8),
        *last,
    ):
        history.apply(event)
    assert (made.description, made.metadata, made.tags, made.expires_ns) == ("second", {}, ["y"], 0)
    assert list(made.events()) == [made.made, first, *last]


def revision(description: str, **metadata: object) -> RevisionEvent:
    return RevisionEvent(name="a", version=0, description=description, metadata=metadata)


def test_the_last_revisions_are_kept() -> None:
    """The oldest beyond 200 go, so that a program that saves in a loop does not fill the journal for ever."""
    made = history_of(version(0), *(revision("", n=number) for number in range(250))).artifacts["a"].versions[0]
    assert [event.metadata["n"] for event in made.revisions] == list(range(50, 250))
    assert made.metadata == {"n": 249}


def test_forgetting_metadata() -> None:
    """The keys leave every earlier state, and a change that was only about them leaves the history."""
    history = history_of(
        version(0, metadata={"key": 1, "n": 0}),
        revision("", key=2, n=0),
        revision("", key=2, n=1),
        revision("", n=1),
        revision("", n=True),
    )
    past = history.version_by_serial(10)
    past.forget(metadata=["key"])
    assert past.made.metadata == {"n": 0}
    assert [event.metadata for event in past.revisions] == [{"n": 1}, {"n": True}]
    assert past.metadata["n"] is True


def test_forgetting_keeps_the_present_state() -> None:
    """A key that has been set again since stays, as the manifest has it."""
    past = history_of(version(0, metadata={"key": 1}), revision("", key=2)).version_by_serial(10)
    past.forget(metadata=["key"])
    assert (past.made.metadata, past.metadata) == ({}, {"key": 2})
    unrevised = history_of(version(0, metadata={"key": 1})).version_by_serial(10)
    unrevised.forget(metadata=["key"])
    assert unrevised.metadata == {"key": 1}


def test_forgetting_descriptions() -> None:
    """The present one is then the only one; metadata keep their history."""
    past = history_of(
        version(0, description="one"), revision("two"), revision("two", n=1), revision("three", n=1)
    ).version_by_serial(10)
    past.forget(description=True)
    assert (past.made.description, past.made.metadata) == ("three", {})
    assert [(event.description, event.metadata) for event in past.revisions] == [("three", {"n": 1})]
    with raises(DamageError, names=["99"]):
        history_of(version(0)).version_by_serial(99)


def test_purges_add_up() -> None:
    """The digest, form and mount serial are those after the last one; all entries and events are kept."""
    purges = [
        PurgeEvent(name="a", version=0, digest=f"0{n}", form=f"f{n}", mount=20 + n, purged=[{"path": str(n)}])
        for n in (1, 2)
    ]
    made = history_of(version(0), *purges).artifacts["a"].versions[0]
    assert (made.digest, made.form, made.mount) == ("02", "f2", 22)
    assert made.purged == [{"path": "1"}, {"path": "2"}]
    assert list(made.events()) == [version(0), *purges]


def test_a_deletion_takes_the_aliases() -> None:
    """It takes those that name the version, and an undeletion does not bring them back."""
    aliases = [AliasEvent(name="a", alias=alias, version=number) for alias, number in (("x", 0), ("y", 1), ("z", 0))]
    history = history_of(version(0), version(1), *aliases, DeleteEvent(name="a", version=0, aliases=["x", "z"]))
    assert history.aliases == {("a", "y"): 1}
    assert history.artifacts["a"].versions[0].is_deleted
    history.apply(UndeleteEvent(name="a", version=0))
    assert not history.artifacts["a"].versions[0].is_deleted
    assert history.aliases == {("a", "y"): 1}
    history.apply(AliasEvent(name="a", alias="y", version=None))
    assert history.aliases == {}


def test_a_rename_changes_the_name_in_all_events() -> None:
    """The events that are left are those of the new name."""
    history = history_of(
        version(0),
        RevisionEvent(name="a", version=0, description="", metadata={}),
        TagsEvent(name="a", version=0, tags=[]),
        TtlEvent(name="a", version=0, expires_ns=1),
        PurgeEvent(name="a", version=0, digest="01", form="f1", mount=21, purged=[]),
        AliasEvent(name="a", alias="x", version=0),
        DeleteEvent(name="a", version=0, aliases=["x"]),
        version(1),
        AliasEvent(name="a", alias="x", version=1),
        RenameEvent(name="a", to="b/c"),
    )
    assert list(history.artifacts) == ["b/c"] and history.aliases == {("b/c", "x"): 1}
    events = [event for made in history.artifacts["b/c"].versions.values() for event in made.events()]
    assert len(events) == 7 and {event.encode()["name"] for event in events} == {"b/c"}
    assert history.version("a", 0) is None and history.version("b/c", 0) is not None


@pytest.mark.parametrize(
    "event",
    [
        DeleteEvent(name="a", version=9, aliases=[]),
        UndeleteEvent(name="a", version=9),
        RevisionEvent(name="a", version=9, description="", metadata={}),
        TagsEvent(name="other", version=0, tags=[]),
        TtlEvent(name="a", version=9, expires_ns=0),
        PurgeEvent(name="a", version=9, digest="00", form="f0", mount=20, purged=[]),
        AliasEvent(name="a", alias="none", version=None),
        RenameEvent(name="other", to="b"),
        EdgeEvent(source="v1", kind="?", target="r1", record=EDGE.record),
    ],
    ids=lambda event: str(event.event_kind),
)
def test_what_contradicts_is_refused(event: Event) -> None:
    """An event about what was not made, and an edge of an unknown kind; what was there stays."""
    history = history_of(version(0))
    with raises(DamageError, names=[str(event.encode())]):
        history.apply(event)
    assert list(history.artifacts["a"].versions) == [0] and history.artifacts["a"].next_version == 1


def test_rules_are_plain_data() -> None:
    """They are kept as they are, or in the form that the caller's check gives them."""
    event = RetentionEvent(rules=[{"name": "r", "last": 3, "best": 0}])
    history = history_of(event)
    assert history.retention == event and history.rules == event.rules
    checked = History(check_rules)
    checked.apply(event)
    assert checked.rules == [{"name": "r", "last": 3}]
    for wrong in ([{"name": "r"}], [{"last": 3}], [{"name": "r", "last": 3, "odd": 1}]):
        with raises(DamageError, names=[str(RetentionEvent(rules=wrong).encode())]):
            checked.apply(RetentionEvent(rules=wrong))
    assert checked.rules == [{"name": "r", "last": 3}]


def test_runs_metrics_and_edges() -> None:
    """A run's last record counts, and of an edge the first; the events that are left lead to the same."""
    run = RunRecord(1, "team", "maker", 1, state="finished")
    again = EdgeEvent(source="v10", kind="u", target="r1", record=EdgeRecord(2, "b", "c"))
    history = history_of(
        RunEvent(record=RunRecord(1, "team", "maker", 1)),
        MetricsEvent(run=1, block=0, data=b"x"),
        RunEvent(record=run),
        EDGE,
        again,
    )
    provenance = history.provenance
    assert provenance.runs == {1: run} and provenance.blocks == {(1, 0): b"x"}
    assert provenance.edges == {Edge(version_end(10), "u", run_end(1)): EDGE.record}
    assert history_of(*provenance.events()).provenance == provenance
    rebuilt = Provenance()
    for table, rows in provenance.rows().items():
        for key, payload in rows.items():
            rebuilt.add_row(table, key, payload)
    assert rebuilt == provenance and list(provenance.differences(rebuilt)) == []
    assert len(list(provenance.differences(Provenance()))) == 3


def test_edges_to_nothing_are_pruned() -> None:
    """An edge stays if its target has a record, or if something was made from the target."""
    record = EdgeRecord(1, "", "")
    edges = [
        EdgeEvent(source=f"v{a}", kind="b", target=f"v{b}", record=record) for a, b in ((1, 2), (2, 3), (3, 4), (1, 5))
    ]
    provenance = history_of(*edges).provenance
    provenance.prune({3})
    assert {(edge.source.number, edge.target.number) for edge in provenance.edges} == {(1, 2), (2, 3)}
