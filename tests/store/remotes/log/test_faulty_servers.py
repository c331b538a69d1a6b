"""The log over the real client and a server whose answers are lost, late or wrong: each push lands once."""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from artstore.errors import OutsideError
from artstore.objects.opening import open_store
from artstore.remotes.log.appending import Machine, append
from artstore.remotes.log.entries import Transaction, entry_name
from artstore.remotes.log.publishing import publish
from artstore.remotes.log.reading import Log
from artstore.remotes.log.state import State
from servers.fake import FakeStore
from servers.faults import Fault, FaultProxy, Request
from store.remotes.log.brute_fold import fold_all
from store.remotes.log.log_disk import Disk, Notes
from store.remotes.log.log_story import UUID, commit, make_id

DIGITS = make_id("digits")
PUSHES = 4
FAULTS = [
    *(Fault(lose=True), Fault(drop=True, lose=True), Fault(reset=True), Fault(before=0.5), Fault(after=0.5)),
    *(Fault(status=status) for status in (409, 412, 429, 500, 503)),
    *(Fault(drop=True, status=status) for status in (409, 412, 429, 500, 503)),
]


@pytest.fixture
def proxy(fake_s3: FakeStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    """A proxy before a store, and a client that does not wait long."""
    with FaultProxy(fake_s3.url) as made:
        monkeypatch.setenv("AWS_ENDPOINT_URL", made.url)
        monkeypatch.setenv("ARTFS_REMOTE_TIMEOUT", "0.4")
        monkeypatch.setattr("artstore.objects.buckets._RATE_PAUSE", 0.02)
        monkeypatch.setattr("artstore.objects.buckets._LONGEST_PAUSE", 0.1)
        monkeypatch.setattr("artstore.objects.clients.SLOWEST_UPLOAD", 1 << 24)
        yield made


def _push(uri: str, name: str) -> set[bytes]:
    """Push versions as one machine, each again until its outcome is known; return those that were acknowledged."""
    notes = Notes(Disk(Machine(make_id(name), name)), forgets=False)
    acknowledged = set()
    for number in range(PUSHES):
        uuid = make_id((name, number))

        def prepare(state: State, uuid: bytes = uuid) -> list[Transaction]:
            if state.version_of(uuid) is not None:
                return []
            artifact = state.artifacts.get(DIGITS)
            return [state.transaction(commit("digits", 0 if artifact is None else artifact.next, uuid, version=uuid))]

        for _ in range(50):
            log = Log(open_store(uri), UUID)
            try:
                append(log, Machine(make_id(name), name), prepare, notes)
            except OutsideError:
                continue
            acknowledged.add(uuid)
            publish(log)
            break
    return acknowledged


def test_each_push_lands_once(fake_s3: FakeStore, proxy: FaultProxy) -> None:
    """Two machines push through a proxy that spoils every fourth request: all is acknowledged, and nothing twice."""
    chance = random.Random(7)

    def spoil(request: Request) -> Fault | None:
        del request
        return chance.choice(FAULTS) if chance.random() < 0.25 else None

    proxy.rules.append(spoil)
    uri = fake_s3.uri("p")
    with ThreadPoolExecutor(2) as threads:
        first, second = threads.map(lambda name: _push(uri, name), ("ada", "bob"))
    assert len(first) == len(second) == PUSHES
    proxy.rules.clear()
    log = Log(open_store(uri), UUID)
    log.read_on()
    log.prove()
    log.check_writable()
    assert {row.uuid for row in log.state.versions.values()} == first | second
    assert sorted(number for _, number in log.state.versions) == list(range(2 * PUSHES))
    entries = [fake_s3.objects[f"p/{entry_name(number)}"].body for number in range(1, log.state.number + 1)]
    worlds, _ = fold_all(entries)
    assert worlds[-1].versions.keys() == log.state.versions.keys()
