"""Names and aliases that several machines change: the log decides, and the second machine prints what the first did."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from artstore.objects import probing
from artstore.objects.folders import Folder
from artstore.remotes import adding
from artstore.workspace import Workspace
from store.oracle import assert_sound
from store.remotes.team import Team, labels


@pytest.fixture
def team(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Team]:
    """Return a team of two machines with ``data:v0`` to ``v2``, of which v0 has the alias ``best``."""
    monkeypatch.setattr(adding, "probe", partial(probing.probe, threads=2, rounds=1))
    team = Team(tmp_path, workspace)
    workspace.remotes.add("origin", team.bucket.as_uri())
    for number in range(3):
        team.put(workspace, f"{number}", aliases=[] if number else ["best"])
    workspace.remotes.push("data")
    team.join().remotes.pull("data:*")
    yield team
    for machine in team.machines[1:]:
        machine.close()


def aliases(machine: Workspace, name: str = "data") -> dict[str, int]:
    return {alias: number for alias, number in machine.aliases.of(name).items() if alias != "latest"}


def test_changes_go_there_and_come_here(team: Team) -> None:
    """Set, moved and removed aliases, of versions that are there already; no machine prints a conflict."""
    one, two = team.machines
    assert aliases(two) == {"best": 0}
    one.aliases.set("data:v1", "best", "new")
    assert one.remotes.push("data").lost == []
    assert two.remotes.fetch().lost == []
    assert aliases(two) == aliases(one) == {"best": 1, "new": 1}
    two.aliases.remove("data", "new")
    two.aliases.set("data:v2", "best")
    assert two.remotes.push("data:v0").lost == []
    assert one.remotes.pull("data").lost == []
    assert aliases(one) == {"best": 2}
    entries = one.remotes.fetch().entries
    one.remotes.push("data")
    two.remotes.push("data")
    assert one.remotes.fetch().entries == entries
    for machine in (one, two):
        assert_sound(machine)


Change = Callable[[Workspace], object]


def _set(number: int, machine: Workspace) -> object:
    return machine.aliases.set(f"data:v{number}", "best")


def _remove(machine: Workspace) -> object:
    return machine.aliases.remove("data", "best")


@pytest.mark.parametrize("call", ["push", "fetch", "pull"])
@pytest.mark.parametrize(
    ("first", "second", "expected", "told"),
    [
        (partial(_set, 1), partial(_set, 2), {"best": 1}, "was set to v1"),
        (partial(_set, 1), _remove, {"best": 1}, "was set to v1"),
        (_remove, partial(_set, 2), {}, "was removed"),
        (partial(_set, 1), partial(_set, 1), {"best": 1}, None),
        (_remove, _remove, {}, None),
    ],
)
def test_the_loser_is_told(
    team: Team, first: Change, second: Change, expected: dict[str, int], told: str | None, call: str
) -> None:
    """Who moved what and when; the log's state comes to the loser, who can then change it."""
    one, two = team.machines
    first(one)
    second(two)
    assert one.remotes.push("data").lost == []
    lost = {"push": two.remotes.push, "pull": two.remotes.pull}.get(call, lambda _: two.remotes.fetch())("data").lost
    if told is None or (first is _remove and second is _remove):
        assert lost == [] or told is None
    else:
        [sentence] = lost
        assert f"data:best {told} by " in sentence and "UTC (entry " in sentence
    assert aliases(two) == aliases(one) == expected
    two.aliases.set("data:v2", "best")
    assert two.remotes.push("data").lost == []
    assert one.remotes.fetch().lost == []
    assert aliases(one) == {"best": 2}


def test_the_alias_of_a_pending_version_that_was_moved_there(team: Team) -> None:
    """The version lands, and the alias stays where the log has it."""
    one, two = team.machines
    team.put(two, "of two", push=False, aliases=["best", "mine"])
    _set(1, one)
    one.remotes.push("data")
    [sentence] = two.remotes.push("data").lost
    assert "data:best was set to v1 by " in sentence
    assert labels(two) == ["v0", "v1", "v2", "v3"]
    assert aliases(two) == {"best": 1, "mine": 3}
    one.remotes.pull("data")
    assert aliases(one) == {"best": 1, "mine": 3}
    assert_sound(two)


def test_a_put_says_what_it_lost(team: Team) -> None:
    """The receipt of a put that is pushed at once has the sentence."""
    one, two = team.machines
    _set(1, one)
    one.remotes.push("data")
    receipt = team.put(two, "of two", aliases=["best"]).receipt
    assert receipt is not None and len(receipt.lost) == 1
    assert aliases(two) == {"best": 1}


def test_what_is_not_here_is_left_alone(team: Team) -> None:
    """Aliases of versions that were never pulled, or whose copies were removed here, stay there."""
    one, two = team.machines
    three = team.join()
    three.remotes.push("data")
    two.delete("data:v0", force=True, local=True)
    two.remotes.push("data")
    assert one.remotes.fetch().lost == []
    assert aliases(one) == {"best": 0}


def test_renames(team: Team) -> None:
    """A rename goes there and comes here; the second of two prints the first, and takes that name."""
    one, two = team.machines
    one.rename("data", "team/data")
    assert one.remotes.push("team/data").lost == []
    [sentence] = two.remotes.fetch().lost
    assert "data is called team/data now, renamed by " in sentence
    assert [each.name for each in two.artifacts()] == ["team/data"]
    one.rename("team/data", "a")
    two.rename("team/data", "b")
    one.remotes.push("a")
    [sentence] = two.remotes.push("b").lost
    assert "b is called a now, renamed by " in sentence
    assert [each.name for each in two.artifacts()] == ["a"]
    for machine in (one, two):
        assert_sound(machine)
        assert machine.version("a:best").number == 0


def test_a_name_that_is_taken_there(team: Team) -> None:
    """The log refuses it, and says who has it."""
    one, two = team.machines
    team.put(one, "x", name="other")
    one.remotes.push("other")
    two.rename("data", "other")
    [sentence] = two.remotes.push("other").lost
    assert "the name other belongs to another artifact" in sentence
    assert [each.name for each in one.remotes.fetch().artifacts] == ["data", "other"]


def described(machine: Workspace, ref: str = "data:v1") -> tuple[str, dict[str, object], list[str]]:
    version = machine.version(ref)
    return version.description, version.metadata, version.tags


def test_descriptions_metadata_and_tags(team: Team) -> None:
    """Changed after a push they go there and come here, and a pull of the version has them."""
    one, two = team.machines
    one.tags.add("data:v1", "gold")
    one.metadata.set("data:v1", {"k": 1})
    one.describe("data:v2", "the last")
    before = sorted(team.bucket.rglob("*"))
    assert one.remotes.push("data:v0").lost == []
    assert len({path for path in team.bucket.rglob("*") if path.is_file()} - set(before)) == 2
    assert len(two.remotes.fetch().lost) == 2
    assert two.remotes.fetch().lost == []
    for machine in (one, two):
        assert described(machine) == ("", {"k": 1}, ["gold"])
        assert described(machine, "data:v2") == ("the last", {}, [])
        entries = machine.remotes.fetch().entries
        machine.remotes.push("data")
        assert machine.remotes.fetch().entries == entries
        assert_sound(machine)
    team.log()
    assert described(team.machines[-1]) == ("", {"k": 1}, ["gold"])


class Killed(BaseException):
    """Ends a push at a request, as a signal does."""


@pytest.mark.parametrize("after", [False, True])
def test_a_push_of_changes_that_is_killed_goes_on(team: Team, after: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before each write, or after it: the next push sends the rest, and the other machine has all of it."""
    one, two = team.machines
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
    for round_ in range(5):
        one.aliases.set(f"data:v{round_ % 3}", "best")
        one.tags.add("data:v0", f"round-{round_}")
        left[0] = round_
        try:
            one.remotes.push("data")
        except Killed:
            kills += 1
        left[0] = 1 << 30
        assert one.remotes.push("data").lost == []
        two.remotes.fetch()
        assert aliases(two) == aliases(one) == {"best": round_ % 3}
        assert described(two, "data:v0") == described(one, "data:v0")
    assert kills >= 2
    assert_sound(one)


def test_the_first_description_wins(team: Team) -> None:
    """The other machine prints it, takes it, and can change it then."""
    one, two = team.machines
    one.tags.add("data:v1", "of one")
    two.tags.add("data:v1", "of two")
    assert one.remotes.push("data").lost == []
    [sentence] = two.remotes.push("data").lost
    assert "data:v1 were changed by " in sentence and "(entry " in sentence
    assert described(two) == described(one) == ("", {}, ["of one"])
    two.tags.add("data:v1", "of two")
    assert two.remotes.push("data").lost == []
    assert len(one.remotes.pull("data").lost) == 1
    assert described(one) == ("", {}, ["of one", "of two"])
    assert_sound(one)
