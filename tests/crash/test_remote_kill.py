"""Commands on remotes that are killed at a request, or whose answers are lost: a part of `scripts/soak remote-kill`."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest

from crash.remote_bugs import BUGS
from crash.remote_kill import FAULTS, RACED, SCENES, Point, Stage, Tally, kill_points, run_point, staged
from crash.remote_world import World, opened_world
from servers.s3 import S3

RUNS = 1


@pytest.fixture(scope="module")
def world(moto: S3, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with opened_world(moto, tmp_path_factory.mktemp("machines")) as made:
        yield made


@pytest.fixture(scope="module")
def pushing(world: World) -> Stage:
    """The first push of three versions, prepared."""
    return staged(world, SCENES["first push"])


def entries(stage: Stage, bug: str = "") -> list[int]:
    """Return the requests of the command that create entries of the log, from an empty remote on."""
    stage.machine.world.reset(stage.objects)
    done = stage.machine.copy("counted").run(*stage.words, bug=bug)
    return [each.number for each in done.requests if each.method == "PUT" and "/log/" in each.path]


def test_a_push_that_is_killed_loses_nothing(pushing: Stage) -> None:
    """Around the entry of the first version, where it comes to be, and at some other requests."""
    points = kill_points(pushing)
    entry = entries(pushing)[0]
    tally = Tally()
    chosen = [Point(entry, "before"), Point(entry, "after"), *Random(1).sample(points, RUNS)]
    for point in chosen:
        run_point(pushing, point, tally)
    assert tally.faults == []
    assert sum(number for what, number in tally.counts.items() if "killed" in what) == len(chosen)


@pytest.mark.parametrize("kind", ["lost before", "lost after", "409 before", RACED])
def test_a_push_without_an_answer_loses_nothing(pushing: Stage, kind: str) -> None:
    """The creation of an entry: the push finds out, or says that it does not know, and goes on later.

    Also where another machine has created the entry of that number just before.
    """
    tally = Tally()
    run_point(pushing, Point(entries(pushing)[1], kind), tally)
    assert kind in (*FAULTS, RACED) and tally.faults == []


@pytest.mark.parametrize(("bug", "kind"), [("entry before objects", "after"), ("without the condition", RACED)])
def test_the_rig_finds_bugs(pushing: Stage, bug: str, kind: str) -> None:
    """A kill just after the entry came to be, and an entry of the same number of another machine."""
    tally = Tally()
    run_point(pushing, Point(entries(pushing, bug)[0], kind), tally, bug=bug)
    assert bug in BUGS and tally.faults


@pytest.mark.parametrize("name", ["remote add", "later push", "clone", "fetch", "pull"])
def test_a_command_that_is_killed_can_be_repeated(world: World, name: str) -> None:
    stage, tally = staged(world, SCENES[name]), Tally()
    run_point(stage, Random(name).choice(kill_points(stage)), tally)
    assert tally.faults == []
