"""The catalogue from the journal, and the journal from the catalogue: each leads to the other."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from artstore.checking.report import Report
from artstore.errors import DamageError
from artstore.records.events import DeleteEvent, VersionEvent
from artstore.records.journal_frames import encode_events
from artstore.repairing.replay_journal import Recalled, events_of, read_journal
from artstore.rows.history import History
from artstore.storage import journal
from artstore.workspace import Workspace


def journal_of(ws: Workspace) -> Path:
    return journal.journal_path(ws.path)


def state_of(history: History) -> dict[str, object]:
    """Return what a history says of the versions that live, of aliases, rules, runs and lineage."""
    provenance = history.provenance
    return {
        "versions": {
            (name, number): (
                version.digest,
                version.made.serial,
                version.description,
                version.metadata,
                version.tags,
                version.expires_ns,
                version.purged,
            )
            for name, number, version in Recalled(history).living
        },
        "aliases": history.aliases,
        "numbers": {name: artifact.next_version for name, artifact in history.artifacts.items()},
        "rules": history.rules,
        "runs": provenance.runs,
        "blocks": provenance.blocks,
        "edges": provenance.edges,
        "next": history.next_serial,
    }


def test_both_ways_lead_to_the_same(lived: Workspace) -> None:
    """What the journal says of the present is what its replacement, written from the catalogue, says."""
    report = Report()
    recalled = read_journal(journal_of(lived), report)
    assert report.clean and not recalled.is_damaged
    assert recalled.end == journal_of(lived).stat().st_size
    fresh = History()
    with lived.store.snapshot() as snapshot:
        for event in events_of(snapshot.transaction):
            fresh.apply(event)
    assert state_of(fresh) == state_of(recalled.history)


def test_a_deleted_version_is_not_among_the_living(lived: Workspace) -> None:
    """Living ones come in the order of their creation; a deleted one that can be undeleted stays deleted."""
    lived.delete("team/vision/data:v1", force=True, local=True)
    living = read_journal(journal_of(lived), Report()).living
    assert [version.made.serial for _, _, version in living] == sorted(version.made.serial for _, _, version in living)
    names = {
        (artifact.name, version.number) for artifact in lived.artifacts() for version in lived.versions(artifact.name)
    }
    assert {(name, number) for name, number, _ in living} == names
    with lived.store.snapshot() as snapshot:
        events = list(events_of(snapshot.transaction))
    made = [(event.name, event.number) for event in events if isinstance(event, VersionEvent)]
    gone = [(event.name, event.version) for event in events if isinstance(event, DeleteEvent)]
    assert ("team/vision/data", 1) in made and ("team/vision/data", 1) in gone
    assert set(made) - set(gone) == names


@pytest.mark.parametrize("seed", range(5))
def test_a_torn_end_was_never_acknowledged(lived: Workspace, seed: int) -> None:
    """However much of the last event is left, those before it are replayed, and nothing is damaged."""
    path = journal_of(lived)
    ends = [end for end, _ in journal.salvage(path)]
    cut = random.Random(seed).randrange(ends[-2] + 1, ends[-1])
    path.write_bytes(path.read_bytes()[:cut])
    report = Report()
    recalled = read_journal(path, report)
    assert report.clean and not recalled.is_damaged
    assert recalled.end == ends[-2]


def test_damage_in_the_middle_is_reported_and_the_rest_replayed(lived: Workspace) -> None:
    """The events after it are applied as far as they stand by themselves."""
    path = journal_of(lived)
    ends = [end for end, _ in journal.salvage(path)]
    data = bytearray(path.read_bytes())
    data[ends[-3] - 2] ^= 4
    path.write_bytes(bytes(data))
    report = Report()
    recalled = read_journal(path, report)
    assert recalled.is_damaged and {problem.kind for problem in report.problems} == {"journal"}
    assert recalled.end == ends[-1]


def test_a_contradiction_is_damage(lived: Workspace) -> None:
    """An event of a version that no event made is reported; the others are applied."""
    path = journal_of(lived)
    before = state_of(read_journal(path, Report()).history)
    path.write_bytes(path.read_bytes() + encode_events([DeleteEvent(name="alone", version=99, aliases=[])]))
    report = Report()
    recalled = read_journal(path, report)
    assert recalled.is_damaged and len(report.problems) == 1
    assert state_of(recalled.history) == before


def test_what_a_rebuild_left_makes_the_journal_suspect(lived: Workspace) -> None:
    """A damaged journal that was kept means that a rebuild may not have come to its end."""
    (journal_of(lived).parent / "journal.damaged").touch()
    assert read_journal(journal_of(lived), Report()).is_damaged


def test_without_a_journal_there_is_nothing_to_replay(tmp_path: Path) -> None:
    """No catalogue is made up."""
    with pytest.raises(DamageError):
        read_journal(tmp_path / "journal.1", Report())
