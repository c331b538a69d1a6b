"""Runs in a remote: what made a version goes with it, comes to who pulls it, and follows when the run goes on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from artstore.errors import DamageError
from artstore.objects import probing
from artstore.objects.failures import UnreachableError
from artstore.objects.folders import Folder
from artstore.records.catalogue import RunRecord
from artstore.remotes import adding
from artstore.remotes.checking import check_remote
from artstore.remotes.connecting import choose, connect
from artstore.remotes.exchanging import clone
from artstore.remotes.holdings import Holdings, LostSetError
from artstore.remotes.log.fields import Span
from artstore.remotes.log.state import REAPED
from artstore.remotes.packs.places import TREES, Pack
from artstore.remotes.run_records import RemoteRun, decode_run, encode_run, read_run, run_uuid
from artstore.workspace import Workspace
from store.oracle import assert_sound
from store.remotes.team import Team, sources


@pytest.fixture
def team(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Team]:
    """Return a machine with ``data:v0`` and ``model:v0``, which a run made of it, and a remote that is empty."""
    monkeypatch.setattr(adding, "probe", partial(probing.probe, threads=2, rounds=1))
    team = Team(tmp_path, workspace)
    workspace.remotes.add("origin", team.bucket.as_uri())
    team.put(workspace, "data")
    team.put(workspace, "model", name="model")
    yield team
    for machine in team.machines[1:]:
        machine.close()


def begin(machine: Workspace, *, resume: bool = False) -> RunRecord:
    """Run a training that uses ``data:v0``, makes ``model:v0`` and logs two rows; it goes on after that."""
    record, lease = machine.runs.start("vision", "r7", resume=resume, config={"z": 1, "a": {"deep": [1, 2]}})
    machine.runs.use(record.number, machine.version("data:v0"), "latest")
    machine.runs.made(record.number, machine.version("model:v0"))
    machine.runs.log(record.number, [{"loss": 2.0}, {"loss": 1.0}], {"loss": 1.0})
    lease.close()
    return record


def seen(machine: Workspace) -> list[dict[str, Any]]:
    """Return what users see of all runs."""
    found = []
    for record in machine.runs.all():
        shown = {name: getattr(record, name) for name in ("project", "id", "created_ns", "config", "summary", "steps")}
        versions = {used: [v.name for v in machine.runs.versions(record.number, used=used)] for used in (True, False)}
        found.append({**shown, "rows": machine.runs.rows(record.number), "versions": versions})
    return found


def objects(team: Team) -> set[str]:
    return {str(path.relative_to(team.bucket)) for path in team.bucket.rglob("*") if path.is_file()}


def test_a_run_goes_with_the_version_that_it_made(team: Team) -> None:
    """Record, rows, lineage and names come to a clone; a push or fetch without news writes nothing."""
    one = team.machines[0]
    record = begin(one)
    one.runs.change(record.number, state="finished")
    one.remotes.push(["data", "model"])
    two = team.join()
    assert seen(two) == []  # the run made none of the versions that are local
    two.remotes.pull("model")
    assert seen(two) == seen(one)
    assert seen(two)[0]["versions"] == {True: ["data:v0"], False: ["model:v0"]}
    assert list(seen(two)[0]["config"]) == ["z", "a"]
    assert sources(two, "model:v0") == {"vision/r7"} == sources(one, "model:v0")
    before = objects(team)
    entries = one.remotes.fetch().entries
    for machine in (one, two):
        assert machine.remotes.push("model").lost == []
        assert machine.remotes.fetch().entries == entries
    assert {name for name in objects(team) - before if not name.startswith("state/")} == set()
    for machine in (one, two):
        assert_sound(machine)


def test_a_version_that_comes_later_gets_its_edge(team: Team) -> None:
    """The run is local already when what it used is pulled."""
    one = team.machines[0]
    begin(one)
    one.remotes.push("model")  # the run used a version that the remote lacks
    one.remotes.push(["data", "model"])
    two = Workspace(clone(team.bucket.as_uri(), team.path / "two"))
    team.machines.append(two)
    two.remotes.pull("model")
    assert seen(two)[0]["versions"] == {True: [], False: ["model:v0"]}
    two.remotes.pull("data")
    assert seen(two)[0]["versions"] == {True: ["data:v0"], False: ["model:v0"]}


def test_a_run_that_goes_on_is_brought_up_to_date(team: Team) -> None:
    """By the next push there, and the next fetch here; blocks that are there are not sent again."""
    one = team.machines[0]
    record = begin(one)
    one.remotes.push(["data", "model"])
    two = team.join()
    two.remotes.pull("model")
    _, row = only_run(one)
    first = read_run(connection(one), "vision/r7", row)
    one.runs.log(record.number, [{"loss": 0.5}], {"loss": 0.5})
    assert one.remotes.push("model").lost == []
    _, row = only_run(one)
    second = read_run(connection(one), "vision/r7", row)
    assert second.blocks[: len(first.blocks)] == first.blocks
    assert len(second.blocks) == 2
    assert two.remotes.fetch().lost == []
    assert seen(two) == seen(one)
    assert [row["loss"] for row in seen(two)[0]["rows"]] == [2.0, 1.0, 0.5]


def test_a_run_of_another_machine_is_not_shown_as_killed(team: Team) -> None:
    """It runs elsewhere, so no process here holds its lease; one that was killed here is failed elsewhere."""
    one = team.machines[0]
    record, lease = one.runs.start("vision", "r8")
    one.runs.made(record.number, one.version("model:v0"))
    one.remotes.push(["data", "model"])
    two = team.join()
    two.remotes.pull("model")
    assert [two.runs.state(run) for run in two.runs.all()] == ["running"]
    lease.close()
    one.remotes.push("model")
    two.remotes.fetch()
    assert [two.runs.state(run) for run in two.runs.all()] == ["failed"]


def test_rows_that_were_logged_here_are_kept(team: Team) -> None:
    """A run that goes on at two machines: the second one prints it, and loses nothing."""
    one = team.machines[0]
    record = begin(one)
    one.remotes.push(["data", "model"])
    two = team.join()
    two.remotes.pull("model")
    (copy,) = two.runs.all()
    two.runs.log(copy.number, [{"loss": 7.0}], {"loss": 7.0})
    one.runs.log(record.number, [{"loss": 0.5}], {"loss": 0.5})
    one.remotes.push("model")
    (sentence,) = two.remotes.push("model").lost
    assert "the run vision/r7 was changed by" in sentence
    assert sentence.endswith("it went on here, too, and stays as it is here")
    assert [row["loss"] for row in two.runs.rows(copy.number)] == [2.0, 1.0, 7.0]
    assert [row["loss"] for row in one.runs.rows(record.number)] == [2.0, 1.0, 0.5]


def test_another_run_of_the_same_name_stays(team: Team) -> None:
    """Two machines that gave two runs one id: neither becomes the other."""
    one = team.machines[0]
    begin(one)
    one.remotes.push(["data", "model"])
    two = team.join()
    other, lease = two.runs.start("vision", "r7", config={"other": True})
    lease.close()
    lost = two.remotes.pull("model").lost
    assert [run.config for run in two.runs.all()] == [other.config]
    assert all("another run of that name" in sentence for sentence in lost)
    assert_sound(two)


def connection(machine: Workspace) -> Any:
    found = connect(machine.store, *choose(machine.store, None))
    found.log.read_on()
    return found


def only_run(machine: Workspace) -> tuple[Any, Span]:
    remote = connection(machine)
    (row,) = remote.state.runs.values()
    assert row.record is not None
    return remote, row.record


def test_objects_of_a_run_are_needed_until_its_last_version_is_reaped(team: Team) -> None:
    """Collectors keep record and blocks; a record that cannot be read stops them, by the run's name."""
    one = team.machines[0]
    begin(one)
    one.remotes.push(["data", "model"])
    remote, span = only_run(one)
    state = remote.state
    packs = {Pack(TREES, part.pack) for part in (span, *read_run(remote, "vision/r7", span).blocks)}
    now = 1 << 62
    holdings = Holdings(remote)
    assert packs <= set(holdings.packs(holdings.needed(now)))
    left = list(state.versions.values())
    assert not packs & set(holdings.packs(holdings.needed(now, left)))
    for key, row in list(state.versions.items()):
        state.versions[key] = row._replace(state=REAPED)
    assert not packs & set(holdings.packs(holdings.needed(now)))
    for key, row in zip(list(state.versions), left, strict=True):
        state.versions[key] = row
    (team.bucket / Pack(TREES, span.pack).object_name).unlink()
    with pytest.raises(LostSetError, match="the run vision/r7 needs"):
        Holdings(remote).needed(now)


def test_fsck_checks_records_and_blocks(team: Team) -> None:
    """A sound remote has no finding and no unused object; each damaged part is named with its run."""
    one = team.machines[0]
    begin(one)
    one.remotes.push(["data", "model"])
    remote, span = only_run(one)
    (block,) = read_run(remote, "vision/r7", span).blocks
    report = check_remote(one.store, "origin")
    assert (report.problems, report.notes) == ([], [])
    path = team.bucket / Pack(TREES, block.pack).object_name
    sound = path.read_bytes()
    for part, what in ((span, "the record of the run vision/r7"), (block, "block 0 of what the run vision/r7 logged")):
        path.chmod(0o600)
        path.write_bytes(sound[: part.offset + 9] + bytes([sound[part.offset + 9] ^ 1]) + sound[part.offset + 10 :])
        assert what in str(check_remote(one.store, "origin").problems)


def test_a_damaged_run_does_not_stop_a_pull(team: Team) -> None:
    """Its version comes here, and a sentence names the run; nothing of the run is recorded."""
    one = team.machines[0]
    begin(one)
    one.remotes.push(["data", "model"])
    _, span = only_run(one)
    (team.bucket / Pack(TREES, span.pack).object_name).unlink()
    two = team.join()
    pulled = two.remotes.pull("model")
    assert [each.name for each in pulled.versions] == ["model:v0"]
    (sentence,) = pulled.lost
    assert sentence.startswith("the run vision/r7 cannot be read: ")
    assert seen(two) == []
    assert_sound(two)


def stop(patch: pytest.MonkeyPatch, step: int) -> None:
    """Let creation ``step`` and all later ones fail; the third one is stored, and its answer is lost."""
    create, calls = Folder.create, count(1)

    def stopped(self: Folder, name: str, body: bytes) -> bool:
        call = next(calls)
        if call < step or call == 3:
            create(self, name, body)
        if call >= step:
            raise UnreachableError("stopped")
        return True

    patch.setattr(Folder, "create", stopped)


def test_a_push_that_was_stopped_is_taken_up(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped before the object, before the entry, and after it: the next push leaves one run, as it is here."""
    one = team.machines[0]
    record = begin(one)
    one.remotes.push("data")
    one.remotes.push("model")
    for step in range(1, 4):
        one.runs.log(record.number, [{"loss": float(step)}], {})
        with monkeypatch.context() as patch:
            stop(patch, step)
            with suppress(UnreachableError):
                one.remotes.push("model")
        one.remotes.push("model")
        remote, span = only_run(one)
        assert len(read_run(remote, "vision/r7", span).blocks) == 1 + step
    two = team.join()
    two.remotes.pull("model")
    assert seen(two) == seen(one)


RECORD = RunRecord(0, "vision", "r7", 10**18, state="finished", steps=3, blocks=1, config={"lr": 0.1})
VECTOR = (
    '{"_":1,"number":0,"project":"vision","id":"r7","created_ns":1000000000000000000,"name":"","job_type":"","group":"",'
    '"state":"finished","finished_ns":0,"config":{"lr":0.1},"summary":{},"tags":[],"notes":"","settings":{},"pid":0,'
    f'"steps":3,"blocks":1,"uses":{{"{"07" * 16}":"best"}},"metrics":[["{"01" * 16}",24,100,"{"02" * 32}"]]}}'
)
"""This record is kept for ever: a later release has to read it, and to write the same bytes."""


def test_the_record_of_a_run_stays_as_it_is() -> None:
    run = RemoteRun(RECORD, (Span(b"\1" * 16, 24, 100, b"\2" * 32),), {b"\7" * 16: "best"})
    assert encode_run(run).decode() == VECTOR
    assert decode_run(VECTOR.encode()) == run
    assert run_uuid(RECORD).hex() == "2e671b97bc0fbed858dd056cc0461509"


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ('"blocks":1', '"blocks":2'),
        ('"steps":3', '"steps":0'),
        (",24,", ",-1,"),
        (",24,", ",true,"),
        (",100,", ",0,"),
        ("01" * 16, "01" * 15),
        ("02" * 32, "0A" * 32),
        ('"id":"r7"', '"id":"../r7"'),
        ('"state":"finished"', '"state":"gone"'),
        ('"best"', "7"),
        ('"uses"', '"used"'),
        ('"_":1', '"_":2'),
        ("{", "["),
    ],
)
def test_other_records_are_refused(good: str, bad: str) -> None:
    assert good in VECTOR
    with pytest.raises(DamageError):
        decode_run(VECTOR.replace(good, bad, 1).encode())
