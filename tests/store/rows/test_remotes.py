"""The rows of remotes that stay if others are wrong, and the events that lead to them."""

from __future__ import annotations

import pytest

from artstore.errors import DamageError
from artstore.records.events import CounterpartEvent, RemoteEvent, TrackEvent, VersionEvent
from artstore.records.remotes import PENDING, PUSHED, Counterpart, RemoteRecord
from artstore.rows.history import History
from artstore.rows.remotes import Tracking

ONE, TWO = b"1" * 16, b"2" * 16
REMOTE = RemoteRecord("origin", "s3://one", False, 5)


def whole() -> Tracking:
    return Tracking(
        {ONE: REMOTE, TWO: RemoteRecord("second", "s3://two", True, 6, probed_ns=9)},
        {(3, ONE): b"a" * 16, (4, ONE): b"b" * 16, (3, TWO): b"a" * 16},
        {(7, ONE): Counterpart(b"v" * 16, 0, PUSHED), (8, ONE): Counterpart(b"w" * 16, 0, PENDING)},
    )


def test_events_lead_to_the_same_state() -> None:
    """But for probes and for versions that are only about to be pushed."""
    history = History()
    tracking = whole()
    for name, number, serial in (("three", 0, 7), ("three", 1, 8)):
        history.apply(
            VersionEvent(
                name=name,
                serial=serial,
                number=number,
                digest="",
                form="",
                created_ns=1,
                mtime_ns=1,
                mode=1,
                newest_ns=1,
                description="",
                metadata={},
                base=None,
            )
        )
    for event in tracking.events({3: "three", 4: "four"}, {7: ("three", 0), 8: ("three", 1)}):
        history.apply(event)
    assert history.tracking({"three": 3, "four": 4}) == tracking.told()
    assert history.tracking({"three": 3, "four": 4}).with_cache(tracking) == tracking
    version = next(
        event for event in tracking.events({3: "three"}, {7: ("three", 0)}) if event.event_kind == "counterpart"
    )
    history.apply(version.with_values(way="none"))
    assert (7, ONE) not in history.tracking({"three": 3, "four": 4}).versions
    history.apply(RemoteEvent(uuid=ONE.hex(), name=None))
    left = history.tracking({"three": 3, "four": 4})
    assert (left.remotes.keys(), left.artifacts, left.versions) == ({TWO}, {(3, TWO): b"a" * 16}, {})


@pytest.mark.parametrize(
    "event",
    [
        RemoteEvent(uuid="00" * 16, name=None),
        TrackEvent(name="a", remote="00" * 16, artifact="00" * 16),
        CounterpartEvent(name="a", version=0, remote="00" * 16, uuid="00" * 16, number=0, way="pulled"),
    ],
    ids=lambda event: str(event.event_kind),
)
def test_an_event_about_an_unknown_remote_is_damage(event: RemoteEvent) -> None:
    with pytest.raises(DamageError):
        History().apply(event)


def test_what_belongs_to_nothing_goes() -> None:
    """Remotes that repeat a name or a URL, artifacts and versions that are not there, and uuids that are taken."""
    tracking = whole()
    assert tracking.without_loose({3, 4}, {7: 3, 8: 3}) == tracking
    tracking.remotes[b"3" * 16] = RemoteRecord("third", "s3://one", False, 7)
    tracking.artifacts[5, ONE] = b"c" * 16
    tracking.artifacts[6, ONE] = b"b" * 16
    tracking.versions[9, ONE] = Counterpart(b"v" * 16, 3, PUSHED)
    tracking.versions[10, ONE] = Counterpart(b"x" * 16, 3, PUSHED)
    assert tracking.without_loose({3, 4, 6}, {7: 3, 8: 3, 9: 3, 10: 99}) == whole()
    assert tracking.without_loose(set(), {}) == Tracking({ONE: REMOTE, TWO: whole().remotes[TWO]})
