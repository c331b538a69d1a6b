"""Appending: one entry, whatever became of answers and earlier runs; void transactions are not written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from artstore.errors import InvalidInputError, RefusedError
from artstore.objects.failures import UnknownOutcomeError, WrongAnswerError
from artstore.objects.opening import open_store
from artstore.remotes.log.appending import Appended, Machine, append
from artstore.remotes.log.entries import Transaction, entry_name
from artstore.remotes.log.fold import BrokenLogError
from artstore.remotes.log.operations import Alias, Commit, Condemn, Place
from artstore.remotes.log.publishing import publish
from artstore.remotes.log.reading import TURNS, Log
from artstore.remotes.log.state import State
from artstore.remotes.log.voids import Reason
from store.objects.model_store import Bucket, ModelStore
from store.remotes.log.log_story import UUID, commit, make_id, make_span

ADA = Machine(make_id("ada"), "ada@lab")
BOB = Machine(make_id("bob"), "bob@hut")
DIGITS = make_id("digits")


class MemoryNotes:
    """Notes that outlive the runs of a test."""

    def __init__(self) -> None:
        self.rows: dict[bytes, int] = {}
        self.landed: list[bytes] = []

    def note(self, entry: bytes, number: int) -> None:
        """See `Notes.note`."""
        self.rows[entry] = number

    def noted(self) -> Sequence[tuple[bytes, int]]:
        """See `Notes.noted`."""
        return list(self.rows.items())

    def settle(self, entry: bytes, *, landed: bool) -> None:
        """See `Notes.settle`."""
        del self.rows[entry]
        if landed:
            self.landed.append(entry)


def _push(version: str) -> Callable[[State], list[Transaction]]:
    """Return what prepares a version's commit as the next number, unless it is there."""

    def prepare(state: State) -> list[Transaction]:
        if state.version_of(make_id(version)) is not None:
            return []
        artifact = state.artifacts.get(DIGITS)
        return [state.transaction(commit("digits", 0 if artifact is None else artifact.next, version))]

    return prepare


def _append(bucket: Bucket, version: str, notes: MemoryNotes | None = None, machine: Machine = ADA) -> Appended:
    return append(Log(ModelStore(bucket), UUID), machine, _push(version), notes or MemoryNotes())


def _read(bucket: Bucket) -> Log:
    log = Log(ModelStore(bucket), UUID)
    log.read_on()
    log.check_writable()
    return log


def test_an_append_costs_few_requests() -> None:
    """A machine that has read the log lists, looks at the last entry, and creates the next."""
    bucket, notes = Bucket(), MemoryNotes()
    log = Log(ModelStore(bucket), UUID)
    assert append(log, ADA, _push("a"), notes) == Appended(1, (None,))
    bucket.requests.clear()
    assert append(log, ADA, _push("b"), notes) == Appended(2, (None,))
    assert bucket.requests == {"list": 1, "read": 1, "create": 1}
    assert not notes.rows
    assert len(notes.landed) == 2
    assert log.state.machines[ADA.id].by == "ada@lab"
    assert log.state.time_ns == pytest.approx(bucket.now * 1e9, abs=2e9)
    assert append(log, ADA, _push("b"), notes) == Appended(None, ())


def test_what_is_void_is_not_written() -> None:
    """Accepted transactions are written without the void ones; a call with void ones only writes nothing."""
    bucket = Bucket()
    _append(bucket, "a")
    log = _read(bucket)
    wrong = Alias(DIGITS, "best", 5, 0)

    def prepare(state: State) -> list[Transaction]:
        return [state.transaction(wrong), *_push("b")(state), state.transaction(commit("digits", 9, "c"))]

    appended = append(log, BOB, prepare, MemoryNotes())
    assert [void and void.reason for void in appended.verdicts] == [Reason.ALIAS_MOVED, None, Reason.NUMBER]
    entry = log.entry(2)
    assert entry is not None
    assert [type(each) for transaction in entry.transactions for each in transaction.operations] == [Commit]
    appended = append(log, BOB, lambda state: [state.transaction(wrong)], MemoryNotes())
    assert appended.number is None
    assert appended.verdicts[0] is not None
    assert len([name for name in bucket.objects if name.startswith("log/")]) == 2


def test_the_loser_of_a_race_prepares_again() -> None:
    """Who finds the number taken folds the winner's entry and takes the next number."""
    bucket, notes = Bucket(), MemoryNotes()
    log = _read(bucket)
    seen: list[int] = []

    def prepare(state: State) -> list[Transaction]:
        seen.append(state.number)
        if state.number < 3:
            _append(bucket, f"other {state.number}", machine=BOB)
        return _push("mine")(state)

    assert append(log, ADA, prepare, notes) == Appended(4, (None,))
    assert seen == [0, 1, 2, 3]
    assert not notes.rows
    assert [log.state.versions[DIGITS, number].uuid for number in range(4)] == [
        make_id(name) for name in ("other 0", "other 1", "other 2", "mine")
    ]


@pytest.mark.parametrize("fault", ["before", "after", "late"])
def test_a_lost_answer_is_found_by_the_next_run(fault: str) -> None:
    """Whether the entry was stored, is stored later or never: the next run ends with one version."""
    bucket, notes = Bucket(), MemoryNotes()
    _append(bucket, "a")
    log = Log(ModelStore(bucket, odds={fault: 1.0}), UUID, _read(bucket).state)
    log.store.list = ModelStore(bucket).list  # type: ignore[method-assign]  # only the creation is unlucky
    log.store.read = ModelStore(bucket).read  # type: ignore[method-assign]
    with pytest.raises(UnknownOutcomeError):
        append(log, ADA, _push("b"), notes)
    assert list(notes.rows.values()) == [2]
    if fault == "late":
        bucket.put_new(*bucket.late.pop())
    appended = _append(bucket, "b", notes)
    assert appended == Appended(2, (None,), by_earlier_run=fault != "before")
    assert not notes.rows
    assert set(_read(bucket).state.versions) == {(DIGITS, 0), (DIGITS, 1)}


def test_a_creation_that_lands_during_the_next_run_is_found() -> None:
    """The first run's entry lands just before the second one's: the second finds the first's id."""
    bucket, notes = Bucket(), MemoryNotes()
    lost = ModelStore(bucket, odds={"late": 1.0})
    with pytest.raises(UnknownOutcomeError):
        append(Log(lost, UUID), ADA, _push("a"), notes)
    log = Log(ModelStore(bucket), UUID)

    def prepare(state: State) -> list[Transaction]:
        if bucket.late:
            bucket.put_new(*bucket.late.pop())
        return _push("a")(state)

    appended = append(log, ADA, prepare, notes)
    assert appended == Appended(1, (None,), by_earlier_run=True)
    assert not notes.rows
    assert len(notes.landed) == 1


def test_a_denied_creation_is_ours() -> None:
    """A store that refuses what it has just stored: the entry's id shows that it landed."""
    bucket, notes = Bucket(), MemoryNotes()
    log = Log(ModelStore(bucket, odds={"denied": 1.0}), UUID)
    assert append(log, ADA, _push("a"), notes) == Appended(1, (None,))
    assert not notes.rows


def test_a_name_that_exists_and_is_not_there_ends_in_an_error() -> None:
    """After some turns of 'it exists' for an entry that no list shows, the error says what may be in the way."""
    bucket, notes = Bucket(), MemoryNotes()
    log = Log(ModelStore(bucket, odds={"conflict": 1.0}), UUID)
    with pytest.raises(WrongAnswerError, match="exists"):
        append(log, ADA, _push("a"), notes)
    assert bucket.requests["create"] == TURNS
    assert set(notes.rows.values()) == {1}


def test_a_broken_log_is_not_written() -> None:
    """A hole, and another last entry, are found before anything is created."""
    bucket = Bucket()
    for version in "abc":
        _append(bucket, version)
    log = _read(bucket)
    del bucket.objects[entry_name(3)]
    with pytest.raises(BrokenLogError, match="entry 3 "):
        append(log, ADA, _push("d"), MemoryNotes())
    assert entry_name(4) not in bucket.objects


def test_transactions_that_do_not_fit_are_left() -> None:
    """As many transactions are written as fit into an entry; one that never fits is refused."""
    bucket = Bucket()
    log = _read(bucket)

    def prepare(state: State) -> list[Transaction]:
        return [state.transaction(commit("digits", number, number)) for number in range(1000)]

    appended = append(log, ADA, prepare, MemoryNotes())
    assert appended.verdicts == (None,) * len(log.state.versions)
    assert 60_000 < len(bucket.objects[entry_name(1)][0]) <= 65_536
    big = tuple(commit("digits", number, number) for number in range(500, 1000))
    with pytest.raises(InvalidInputError, match="at most 65536"):
        append(
            log, ADA, lambda state: [state.transaction(*_numbered(big, state.artifacts[DIGITS].next))], MemoryNotes()
        )


def _numbered(commits: Sequence[Commit], first: int) -> list[Commit]:
    return [each._replace(next=first + at, number=first + at) for at, each in enumerate(commits)]


def test_a_collector_proves_the_log_and_the_clock() -> None:
    """A condemn is written by who has folded the log from its start, and not while the log is ahead of the clock."""
    bucket = Bucket()
    for version in "abc":
        _append(bucket, version)
    log = Log(ModelStore(bucket), UUID, _read(bucket).state)
    assert not log.is_proved

    def prepare(state: State) -> list[Transaction]:
        return [state.transaction(Condemn(make_span("list"), 1, 1, ()))]

    bucket.now -= 1000
    with pytest.raises(RefusedError, match="ahead of the store's clock"):
        append(log, ADA, prepare, MemoryNotes())
    bucket.now += 1000
    assert append(log, ADA, prepare, MemoryNotes()).number == 4
    assert log.is_proved
    assert list(log.state.condemned) == [Place(4, 0)]


def test_machines_share_a_folder(tmp_path: Path) -> None:
    """Machines that append to a folder at the same time all land, each version once, in one order."""
    (tmp_path / "remote").mkdir()

    def work(name: str) -> State:
        log = Log(open_store(f"file://{tmp_path}/remote"), UUID)
        for number in range(5):
            assert append(log, Machine(make_id(name), name), _push(f"{name}{number}"), MemoryNotes()).number
        publish(log)
        return log.state

    with ThreadPoolExecutor(4) as threads:
        states = list(threads.map(work, "abcd"))
    log = Log(open_store(f"file://{tmp_path}/remote"), UUID)
    log.read_on()
    log.prove()
    log.check_writable()
    assert sorted(number for _, number in log.state.versions) == list(range(20))
    assert {row.uuid for row in log.state.versions.values()} == {
        make_id(f"{name}{number}") for name in "abcd" for number in range(5)
    }
    for state in states:
        assert state.versions.items() <= log.state.versions.items()
