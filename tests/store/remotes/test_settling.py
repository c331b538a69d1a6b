"""Versions made together: pending ones, pushes at once, and the numbers that the log of the remote gives."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from artstore.errors import ArtfsError, InvalidInputError, NotFoundError, RefusedError
from artstore.names import PENDING
from artstore.objects import probing
from artstore.objects.folders import Folder
from artstore.queries.versions import Version
from artstore.records.events import AliasEvent
from artstore.remotes import adding
from artstore.remotes.exchanging import clone
from artstore.repairing.rebuild import rebuild
from artstore.rows import catalogue
from artstore.storage import journal
from artstore.workspace import Workspace, init_workspace
from messages import raises
from store.oracle import assert_sound
from store.remotes.team import Team, labels, read, sources


@pytest.fixture(autouse=True)
def short_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adding, "probe", partial(probing.probe, threads=2, rounds=1))


@pytest.fixture
def team(workspace: Workspace, tmp_path: Path) -> Iterator[Team]:
    """Return a team of one machine, which has pushed ``data:v0``."""
    team = Team(tmp_path, workspace)
    workspace.remotes.add("origin", team.bucket.as_uri())
    team.put(workspace, "zero")
    workspace.remotes.push("data")
    yield team
    for machine in team.machines[1:]:
        machine.close()


def test_a_put_is_pushed_at_once(team: Team) -> None:
    """It has its number when the put returns, shows no p, and one that changes nothing sends nothing."""
    [machine] = team.machines
    version = team.put(machine, "one", aliases=["best"])
    assert (version.name, version.number, version.is_pending) == ("data:v1", 1, False)
    assert version.receipt is not None
    assert (version.receipt.created, version.receipt.pushed_to, version.receipt.unpushed) == (True, "origin", "")
    assert labels(machine) == ["v0", "v1"]
    assert not machine.aliases.of("data").keys() & {"p1"}
    again = team.put(machine, "one")
    assert again.receipt is not None and not again.receipt.created
    assert team.log() == ["zero", "one"]
    assert team.machines[-1].version("data:best").number == 1
    assert_sound(machine)


def test_other_ways_to_make_versions(team: Team) -> None:
    """Restored versions, links, references and committed drafts are pushed at once, too."""
    [machine] = team.machines
    team.put(machine, "one")
    assert machine.restore("data:v0").name == "data:v2"
    machine.remotes.push(team.put(machine, "x", name="other").artifact)
    assert machine.link("data:v1", "other").name == "other:v1"
    (team.path / "outside").write_text("outside")
    assert machine.refer((team.path / "outside").as_uri(), "other").name == "other:v2"
    draft = machine.drafts.new("other", base="other:v0")
    assert [version.name for version in machine.drafts.commit(draft.id, new=True)] == ["other:v3"]
    fetched = {each.name: each.versions for each in machine.remotes.fetch().artifacts}
    assert fetched == {"data": [0, 1, 2], "other": [0, 1, 2, 3]}


def test_what_is_only_in_the_remote_is_no_source(team: Team) -> None:
    """A put, a link or a restore that would take content from there is refused by name, and works after a pull."""
    machine = Workspace(clone(team.bucket.as_uri(), team.path / "clone"))
    team.machines.append(machine)
    machine.remotes.fetch()
    calls = (
        partial(team.put, machine, "more", base="v0"),
        partial(machine.restore, "data:v0", new=True),
        partial(machine.link, "data:v0", "other"),
    )
    for call in calls:
        with raises(RefusedError, names=["data:v0"]):
            call()
    machine.remotes.pull("data:v0")
    assert [call().name for call in calls] == ["data:v1", "data:v2", "other:v0"]
    assert_sound(machine)


def test_local_artifacts_are_numbered_here(team: Team) -> None:
    """What no remote has makes no pending versions."""
    version = team.put(team.machines[0], "x", name="mine")
    assert (version.name, version.receipt and version.receipt.pushed_to) == ("mine:v0", "")


@pytest.mark.parametrize("way", ["offline", "no push"])
def test_what_is_not_pushed_is_pending(team: Team, way: str) -> None:
    """p1, p2: folders of their own, which references name; latest is none of them, and a put compares with the last."""
    [machine] = team.machines
    put = partial(team.put, machine, online=False) if way == "offline" else partial(team.put, machine, push=False)
    first = put("one", aliases=["mine"])
    assert (first.name, first.number, first.is_pending) == ("data:p1", PENDING + 1, True)
    assert first.receipt is not None and first.receipt.unpushed
    assert put("one").name == "data:p1"
    second = put("zero")
    assert labels(machine) == ["v0", "p1", "p2"]
    assert machine.version("data").name == "data:v0"
    assert machine.version("data:mine").name == "data:p1"
    assert [read(machine.version(f"data:{label}")) for label in ("p1", "p2")] == ["one", "zero"]
    assert second.record.serial in {each.serial for each in [machine.version("data:p2").record]}
    with raises(NotFoundError, names=["data:p3"]):
        machine.version("data:p3")
    assert_sound(machine)
    pushed = machine.remotes.push("data")
    assert [(each.name, each.remote_name) for each in pushed.versions if each.is_new] == [
        ("data:p1", "data:v1"),
        ("data:p2", "data:v2"),
    ]
    assert labels(machine) == ["v0", "v1", "v2"]
    assert machine.aliases.of("data") == {"latest": 2, "mine": 1}
    assert machine.version("data:p1").name == "data:v1"
    assert machine.version("data:p2").record.serial == second.record.serial
    assert team.put(machine, "two", push=False).name == "data:p3"
    assert_sound(machine)
    assert team.log() == ["zero", "one", "zero"]


def test_what_landed_survives_a_rebuild_a_compaction_and_a_deletion(team: Team) -> None:
    """The links, the counter of pending versions, and a deleted version that comes back."""
    [machine] = team.machines
    for number in range(3):
        team.put(machine, f"{number}", push=False, aliases=[f"a{number}"])
    machine.remotes.push(["data:p1", "data:p2"])
    machine.delete("data:p1", force=True)
    with raises(NotFoundError, names=["data:p1"]):
        machine.version("data:p1")
    machine.undelete("data:v1")
    before = machine.version("data:p1").record.serial, labels(machine), machine.aliases.of("data")
    assert before[1:] == (["v0", "v1", "v2", "p3"], {"a0": 1, "a1": 2, "a2": PENDING + 3, "latest": 2})
    machine.gc(compact=True)
    assert_sound(machine)
    machine.close()
    rebuild(machine.path)
    assert (machine.version("data:p1").record.serial, labels(machine), machine.aliases.of("data")) == before
    assert team.put(machine, "more", push=False).name == "data:p4"
    assert_sound(machine)
    machine.remotes.push("data")
    assert labels(machine) == ["v0", "v1", "v2", "v3", "v4"]


ORDERS = [
    (first, second, order)
    for first in ("online", "offline")
    for second in ("online", "offline")
    for order in ("first", "second")
]


@pytest.mark.parametrize(("first", "second", "order"), ORDERS)
def test_two_machines_at_once(team: Team, first: str, second: str, order: str) -> None:
    """Both land, in the order of their pushes, each with its base; nothing is lost and both come to the same."""
    one, two = team.machines[0], team.join()
    a = team.put(one, "of one", online=first == "online", aliases=["one"])
    b = team.put(two, "of two", online=second == "online", aliases=["two"])
    for machine in (one, two) if order == "first" else (two, one):
        machine.remotes.push("data")
    landed = {"of one": one.version(a.name).number, "of two": two.version(b.name).number}
    if first == second == "offline":
        assert landed == ({"of one": 1, "of two": 2} if order == "first" else {"of one": 2, "of two": 1})
    assert sorted(landed.values()) == [1, 2]
    for machine in (one, two):
        machine.remotes.pull("data:*")
        assert {read(version): version.number for version in machine.versions("data")} == {"zero": 0, **landed}
        assert machine.aliases.of("data") == {"latest": 2, "one": landed["of one"], "two": landed["of two"]}
        for version in machine.versions("data")[1:]:
            assert sources(machine, version.name) == {"data:v0"}
        assert_sound(machine)
    assert team.log() == ["zero", *sorted(landed, key=landed.__getitem__)]


@pytest.mark.parametrize("is_local", [False, True])
def test_equal_content_makes_no_version(team: Team, is_local: bool) -> None:
    """Aliases, runs and lineage go to the version that it equals, here and there, and p1 leads to it."""
    one, two = team.machines[0], team.join()
    pending = team.put(two, "same", push=False, aliases=["mine"])
    linked = two.link("data:p1", "other")
    team.put(one, "same", aliases=["theirs"])
    if is_local:
        two.remotes.pull("data")
    [done] = [each for each in two.remotes.push("data").versions if each.name == pending.name]
    assert (done.remote_name, done.is_new, done.sent_bytes) == ("data:v1", False, 0)
    assert labels(two) == ["v0", "v1"]
    assert two.version("data:p1").name == two.version("data:mine").name == "data:v1"
    assert "data:v1" in sources(two, linked.name)
    assert_sound(two)
    one.remotes.fetch()
    assert team.log() == ["zero", "same"]
    assert team.machines[-1].aliases.of("data") == {"latest": 1, "mine": 1, "theirs": 1}
    forced = team.put(two, "same", new=True)
    assert forced.name == "data:v2"


def test_other_metadata_make_a_version(team: Team) -> None:
    """Equal content alone does not."""
    one, two = team.machines[0], team.join()
    team.put(two, "same", push=False, metadata={"k": 1})
    team.put(one, "same", metadata={"k": 2})
    two.remotes.push("data")
    assert two.version("data:p1").name == "data:v2" and labels(two) == ["v0", "v1", "v2"]


def test_if_latest(team: Team) -> None:
    """The second machine prints who pushed what and when, and sends nothing."""
    one, two = team.machines[0], team.join()
    team.put(two, "of two", push=False)
    team.put(two, "of two again", push=False)
    team.put(one, "of one")
    objects = sorted(team.bucket.rglob("*"))
    with raises(RefusedError, names=["data:v1", "v0", "entry 2"]):
        two.remotes.push("data", if_latest="v0")
    assert sorted(team.bucket.rglob("*")) == objects
    assert labels(two)[-2:] == ["p1", "p2"]
    for wrong in ("latest", "p1", "7"):
        with pytest.raises(InvalidInputError):
            two.remotes.push("data", if_latest=wrong)
    two.remotes.push("data", if_latest="v1")
    assert labels(two) == ["v0", "v1", "v2", "v3"]


def test_one_name_of_two_origins(team: Team) -> None:
    """Refused with both ways out, and each of them works."""
    one = team.machines[0]

    def apart(name: str) -> tuple[Workspace, Version]:
        """Return a workspace that made ``data`` before it knew the remote, and the version."""
        machine = init_workspace(team.path / name)
        team.machines.append(machine)
        version = team.put(machine, f"of {name}")
        machine.remotes.add("origin", team.bucket.as_uri())
        return machine, version

    two, mine = apart("two")
    with raises(RefusedError, names=["data"]) as caught:
        two.remotes.push("data")
    assert "artfs artifact rename data" in (caught.value.hint or "") and "--adopt" in (caught.value.hint or "")
    assert mine.name == "data:v0"
    two.remotes.push("data", adopt=True)
    assert mine.record.serial == two.version("data:v1").record.serial
    assert read(two.version("data")) == "of two"
    two.remotes.pull("data:*")
    assert labels(two) == ["v0", "v1"]
    assert_sound(two)
    three, _ = apart("three")
    three.rename("data", "data-2")
    three.remotes.push("data-2")
    assert [each.name for each in one.remotes.fetch().artifacts] == ["data", "data-2"]


def test_what_a_version_needs_is_sent_first(team: Team) -> None:
    """Links and bases, in the order in which they were made."""
    [machine] = team.machines
    team.put(machine, "a", name="a")
    machine.link("a:v0", "b")
    sent = machine.remotes.push("b")
    assert [each.name for each in sent.versions] == ["a:v0", "b:v0"]
    for content in "xy":
        team.put(machine, content, push=False)
    assert [each.remote_name for each in machine.remotes.push("data:p2").versions] == ["data:v1", "data:v2"]


def test_a_remote_that_is_read_only(team: Team) -> None:
    """What is put into its artifacts stays pending, and can go to a remote of one's own."""
    reader = Workspace(clone(team.bucket.as_uri(), team.path / "reader", read_only=True))
    team.machines.append(reader)
    reader.remotes.pull("data")
    version = team.put(reader, "mine")
    assert version.name == "data:p1" and version.receipt is not None and "origin" in version.receipt.unpushed
    (team.path / "own").mkdir()
    reader.remotes.add("own", (team.path / "own").as_uri())
    reader.remotes.push("data", "own")
    assert labels(reader) == ["v0", "v1"]
    assert team.put(reader, "next").name == "data:v2"
    with Workspace(clone((team.path / "own").as_uri(), team.path / "fresh")) as fresh:
        fresh.remotes.pull(every=True)
        assert [read(each) for each in fresh.versions("data")] == ["zero", "mine", "next"]


def test_pending_versions_go_to_the_remote_that_numbers_them(team: Team) -> None:
    """Another remote refuses them, and takes what has a number."""
    [machine] = team.machines
    (team.path / "copy").mkdir()
    machine.remotes.add("copy", (team.path / "copy").as_uri())
    machine.remotes.push("data", "copy")
    team.put(machine, "one", push=False)
    with raises(RefusedError, names=["data:p1", "origin"]):
        machine.remotes.push("data", "copy")
    machine.remotes.push("data", "origin")
    machine.remotes.push("data", "copy")
    assert labels(machine) == ["v0", "v1"]


def test_a_remote_that_is_gone_for_good(team: Team) -> None:
    """Its artifacts are local ones then, whose pending versions are the next ones."""
    [machine] = team.machines
    for number in range(3):
        team.put(machine, f"{number}", online=False, aliases=[f"a{number}"])
    machine.delete("data:p2", force=True)
    machine.remotes.remove("origin", keep_local=True)
    assert labels(machine) == ["v0", "v1", "v2"]
    assert machine.aliases.of("data") == {"a0": 1, "a2": 2, "latest": 2}
    assert machine.version("data:p3").name == "data:v2"
    assert team.put(machine, "local").name == "data:v3"
    machine.undelete("data:p2")
    assert labels(machine) == ["v0", "v1", "v2", "v3", "p2"]
    assert_sound(machine)


def test_names_of_that_form(team: Team) -> None:
    """New ones are refused; an alias from before keeps working, and numbers pass it by."""
    [machine] = team.machines
    for call in (
        partial(team.put, machine, "x", name="p1"),
        partial(team.put, machine, "x", name="a/p2/b"),
        partial(machine.aliases.set, "data:v0", "p3"),
        partial(machine.rename, "data", "p4"),
    ):
        with pytest.raises(ArtfsError, match=r"p[1-4]"):
            call()
    with machine.store.write() as transaction:
        artifact = catalogue.find_name(transaction, "data")
        assert artifact is not None
        catalogue.put_alias(transaction, artifact.number, "p1", 0, 1)
        journal.append(machine.path, transaction, [AliasEvent(name="data", alias="p1", version=0)])
    assert machine.version("data:p1").name == "data:v0"
    assert machine.aliases.of("data")["p1"] == 0
    assert team.put(machine, "one", push=False).name == "data:p2"
    assert machine.version("data:p1").name == "data:v0"
    assert_sound(machine)


class Killed(BaseException):
    """Ends a put at a request, as a signal does."""


@pytest.mark.parametrize("after", [False, True])
def test_a_put_that_is_killed_at_any_request_goes_on(team: Team, after: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before each write, or after it: the version is here, and a push makes it one, with one number."""
    [machine] = team.machines
    create, left = Folder.create, [0]

    def killing(folder: Folder, name: str, body: bytes) -> bool:
        left[0] -= 1
        if left[0] < 0 and not after:
            raise Killed
        done = create(folder, name, body)
        if left[0] < 0:
            raise Killed
        return done

    monkeypatch.setattr(Folder, "create", killing)
    kills = 0
    for round_ in range(9):
        left[0] = round_
        try:
            team.put(machine, f"round {round_}", aliases=["newest"])
        except Killed:
            kills += 1
        left[0] = 1 << 30
        machine.remotes.push("data")
        assert labels(machine) == [f"v{number}" for number in range(round_ + 2)]
    assert kills >= 2
    monkeypatch.setattr(Folder, "create", create)
    assert team.log() == ["zero", *(f"round {round_}" for round_ in range(9))]
    assert_sound(machine)


@pytest.mark.parametrize("seed", range(6))
def test_any_order_of_puts_pushes_and_pulls(team: Team, seed: int) -> None:
    """The log has every content once, in the order of the pushes; what has a number has the same one everywhere."""
    chance = random.Random(seed)
    machines = [team.machines[0], team.join(), team.join()]
    expected = ["zero"]
    waiting: dict[int, list[str]] = {0: [], 1: [], 2: []}

    def land(place: int) -> None:
        expected.extend(waiting[place])
        waiting[place].clear()

    steps: list[Callable[[int, int], object]] = [
        lambda place, step: (waiting[place].append(f"{step}"), team.put(machines[place], f"{step}", push=False)),
        lambda place, step: (waiting[place].append(f"{step}"), team.put(machines[place], f"{step}"), land(place)),
        lambda place, step: (machines[place].remotes.push("data"), land(place)),
        lambda place, step: machines[place].remotes.pull("data:*"),
    ]
    for step in range(14):
        place = chance.randrange(3)
        chance.choice(steps)(place, step)
    for place, machine in enumerate(machines):
        machine.remotes.push("data")
        land(place)
    assert team.log() == expected
    for machine in machines:
        machine.remotes.pull("data:*")
        assert [(version.number, read(version)) for version in machine.versions("data")] == list(enumerate(expected))
        assert_sound(machine)


@pytest.mark.parametrize("online", [True, False])
def test_a_put_into_what_only_the_remote_has_goes_on_there(team: Team, online: bool) -> None:
    """A clone that has pulled nothing makes the next version of an artifact that it shows, of the same type."""
    [machine] = team.machines
    team.put(machine, "one")
    team.put(machine, "typed", name="typed", type="dataset")
    machine.remotes.push("typed")
    other = Workspace(clone(team.bucket.as_uri(), team.path / "other"))
    team.machines.append(other)
    assert [version.name for version in other.versions("data")] == ["data:v0", "data:v1"]
    source = team.path / "source"
    (source / "file").write_text("one")
    assert list(other.diff("data:v1", source)) == [] and other.preview(source, "data").latest == 1
    version = team.put(other, "two", online=online)
    assert version.name == ("data:v2" if online else "data:p1")
    with raises(RefusedError, names=["typed", "dataset", "model"]):
        team.put(other, "of another type", name="typed", type="model")
    assert team.put(other, "of that type", name="typed").type == "dataset"
    if not online:
        assert labels(other) == ["v0", "v1", "p1"]
        assert other.remotes.push("data") and version.name == "data:p1"
    assert labels(other) == ["v0", "v1", "v2"] and team.log() == ["zero", "one", "two"]
    assert_sound(other)
    other.close()
    rebuild(other.path)
    assert other.version("typed:v1").type == "dataset"
    assert team.put(other, "three").name == "data:v3"
