"""The kill rig of remotes: end a command with SIGKILL at each of its requests, and lose or falsify each answer.

A *scene* is a remote, a machine, and one command.  The command runs once to its end, which counts its requests; then
once for each request, killed before the server has seen it, and for those that change something also afterwards.  After
each run a fresh clone must have what was acknowledged and nothing else, and the repeated command must have the same
result, without sending again what was acknowledged.  `FAULTS` does the same with answers in place of kills.
"""

from __future__ import annotations

import argparse
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import NamedTuple

from artstore.workspace import open_workspace
from crash.remote_bugs import BUGS
from crash.remote_child import DATA_TARGET
from crash.remote_world import Done, Machine, World, killing, opened_world
from servers import s3 as servers
from servers.faults import Fault, Request, Rule
from soaks.report import Report, run

__all__ = ["FAULTS", "SCENES", "Scene", "Tally", "at", "kill_points", "run_point", "staged"]

_WRITES = ("PUT", "POST", "DELETE")
_SLACK = 3 * DATA_TARGET
"""Bytes that a push which was taken up may have sent twice: what was in flight."""

FAULTS: dict[str, Fault] = {
    "lost before": Fault(drop=True, lose=True),
    "lost after": Fault(lose=True),
    "reset after": Fault(reset=True),
    "delayed": Fault(after=0.3),
    "cut": Fault(cut=7),
    **{f"{status} before": Fault(drop=True, status=status) for status in (403, 409, 412, 429, 500, 503)},
    **{f"{status} after": Fault(status=status) for status in (403, 409, 412, 500, 503)},
}
"""What can happen to a request; "after" means that the server has done what it asks."""
RACED = "raced"
"""Before the server sees the request, another machine pushes a version of its own, whole."""


@dataclass(frozen=True)
class Scene:
    """A command of a machine: ``prepare`` makes the remote and the machine, and knows all versions at the end.

    ``complete`` are the versions that the remote has after the command, ``lasting`` those that it had before.
    """

    name: str
    words: tuple[str, ...]
    prepare: Callable[[World, Machine], None]
    complete: tuple[str, ...]
    lasting: tuple[str, ...] = ()
    is_push: bool = False


class Point(NamedTuple):
    """What happens at a request of the command: a kill or a fault."""

    number: int
    kind: str


@dataclass
class Tally:
    """How many runs there were, by what happened, and the faults found."""

    counts: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


# -- the scenes --------------------------------------------------------------------------------------------------------


def _put(machine: Machine, name: str, seed: int, versions: int) -> None:
    """Make versions of an artifact: small files, one of several packs, and one file that is added each time."""
    chance, source = Random(seed), machine.home / f"source-{name}"
    (source / "deep").mkdir(parents=True)
    (source / "large").write_bytes(chance.randbytes(150_000))
    for number in range(12):
        (source / f"deep/{number}").write_bytes(chance.randbytes(300))
    with machine.opened() as workspace:
        for number in range(versions):
            (source / f"more-{number}").write_bytes(chance.randbytes(2000))
            workspace.put(source, name, description=f"the {number}th", aliases=["best"] if number == 1 else [])
            machine.world.expect(workspace, f"{name}:v{number}", f"{name}:v{number}")


def _connected(machine: Machine) -> None:
    """Add the remote to a machine."""
    with machine.world.here(), machine.opened() as workspace:
        workspace.remotes.add("origin", machine.world.url)


def _first(world: World, machine: Machine) -> None:
    _put(machine, "data", 1, 3)
    _connected(machine)


def _second(world: World, machine: Machine) -> None:
    """Another machine has pushed an artifact, and this one has pushed the first version of its own."""
    other = world.machine("other")
    _put(other, "model", 2, 2)
    _put(machine, "data", 1, 3)
    for each in (other, machine):
        _connected(each)
    with world.here():
        with other.opened() as workspace:
            workspace.remotes.push(every=True)
        with machine.opened() as workspace:
            workspace.remotes.push("data:v0")


def _reader(world: World, machine: Machine) -> None:
    """Another machine has pushed, and this one knows the remote."""
    other = world.machine("other")
    _put(other, "data", 1, 3)
    _connected(other)
    with world.here(), other.opened() as workspace:
        workspace.remotes.push(every=True)
    _connected(machine)


def _newcomer(world: World, machine: Machine) -> None:
    _reader(world, world.machine("reader"))


_RIVAL = "rival:v0"
_DATA = ("data:v0", "data:v1", "data:v2")
_MODEL = ("model:v0", "model:v1")
_URL = "{url}"

SCENES = {
    scene.name: scene
    for scene in (
        Scene("remote add", ("remote", "add", "origin", _URL), lambda world, machine: _put(machine, "data", 1, 1), ()),
        Scene("first push", ("push", "data"), _first, _DATA, is_push=True),
        Scene("later push", ("push", "--all"), _second, (*_DATA, *_MODEL), ("data:v0", *_MODEL), is_push=True),
        Scene("clone", ("clone", _URL, "copy"), _newcomer, _DATA, _DATA),
        Scene("fetch", ("fetch",), _reader, _DATA, _DATA),
        Scene("pull", ("pull", "--all"), _reader, _DATA, _DATA),
    )
}


class Stage(NamedTuple):
    """A scene that is prepared: the machine and the objects that each run begins with, and the command."""

    scene: Scene
    machine: Machine
    objects: dict[str, bytes]
    words: tuple[str, ...]


def staged(world: World, scene: Scene) -> Stage:
    """Prepare a scene in a world whose remote is empty."""
    world.known.clear()
    world.reset({})
    machine = world.machine("machine")
    scene.prepare(world, machine)
    words = tuple(word.replace(_URL, world.url) for word in scene.words)
    return Stage(scene, machine, world.objects(), words)


# -- runs --------------------------------------------------------------------------------------------------------------


def at(number: int, fault: Fault) -> Rule:
    """Return a rule for one request of a command."""
    return lambda request: fault if request.number == number else None


def _raced(world: World, number: int) -> Rule:
    """Return a rule by which another machine pushes before a request of a number."""
    rival = world.machine("rival")
    _put(rival, "rival", 9, 1)
    _connected(rival)

    def push(request: Request) -> None:
        if request.number == number:
            with world.here(), rival.opened() as workspace:
                workspace.remotes.push("rival")

    return push


def kill_points(stage: Stage) -> list[Point]:
    """Run the command to its end, and return all points at which it can be killed."""
    done = _fresh(stage).run(*stage.words)
    assert done.code == 0, done.error
    return [
        Point(request.number, kind)
        for request in done.requests
        for kind in (("before", "after") if request.method in _WRITES else ("before",))
    ]


def fault_points(stage: Stage, kinds: Sequence[str]) -> list[Point]:
    """Return all points at which a request of the command can meet a fault."""
    done = _fresh(stage).run(*stage.words)
    assert done.code == 0, done.error
    return [Point(request.number, kind) for request in done.requests for kind in kinds]


def _fresh(stage: Stage) -> Machine:
    """Return a machine and a remote as they were before the command."""
    stage.machine.world.reset(stage.objects)
    return stage.machine.copy("run")


def run_point(stage: Stage, point: Point, tally: Tally, *, bug: str = "") -> None:
    """Run the command with a kill or a fault at a request, and judge what it leaves and what a second run makes."""
    world, scene = stage.machine.world, stage.scene
    machine = _fresh(stage)
    kills = point.kind in ("before", "after")
    complete: tuple[str, ...] = scene.complete
    if point.kind == RACED:
        rule, complete = _raced(world, point.number), (*complete, _RIVAL)
    elif kills:
        rule = killing(world, point.number, after=point.kind == "after")
    else:
        rule = at(point.number, FAULTS[point.kind])
    done = machine.run(*stage.words, rule=rule, bug=bug)
    told = [line for line in done.lines if line in world.known] if scene.is_push else []
    wrong = [] if _ended_well(done, kills) else [f"it ended with {done.code}: {done.error.strip()}"]
    if done.code == 0 and not kills:
        told = list(complete)
    if scene.complete or done.code == 0:
        wrong += world.faults([*scene.lasting, *told])
    again = machine.run(*stage.words, bug=bug)
    if again.code != 0 and not _is_done_already(scene, machine, again):
        wrong.append(f"the second run ended with {again.code}: {again.error.strip()}")
    wrong += world.faults(complete, complete=complete)
    if scene.is_push:
        wrong += _pushed_faults(stage, machine)
    elif scene.name == "pull":
        wrong += _pulled_faults(scene, machine)
    tally.counts[f"{point.kind}: {'killed' if done.code == -signal.SIGKILL else f'exit {done.code}'}"] += 1
    tally.faults += [f"{scene.name}, request {point.number}, {point.kind}: {each}" for each in wrong]


def _ended_well(done: Done, kills: bool) -> bool:
    """Return whether a command did as it should: it was killed, or said in one sentence what is wrong."""
    if kills:
        return done.code in (0, -signal.SIGKILL)
    return done.code == 0 or (done.code in (1, 3, 4, 5, 6) and done.error.count("artfs: ") >= 1)


def _is_done_already(scene: Scene, machine: Machine, again: Done) -> bool:
    """Return whether the first run had done it, so that the second is refused: a name or a folder that is in use.

    The remote is recorded at the end, so a clone without it has not been made.
    """
    if scene.name not in ("remote add", "clone") or again.code != 4:
        return False
    home = machine.home / "copy" if scene.name == "clone" else machine.workspace
    with closing(open_workspace(home)) as workspace:
        return [remote.name for remote in workspace.remotes.all()] == ["origin"]


def _pushed_faults(stage: Stage, machine: Machine) -> list[str]:
    """Return what is wrong after a push that was repeated: a third one has work, or too much was sent."""
    third = machine.run(*stage.words)
    wrong = [] if third.code == 0 and not third.lines else [f"a third push has work: {third.lines} {third.error}"]
    objects = machine.world.objects()
    sent = sum(len(body) for name, body in objects.items() if name[0] in "dt" and name not in stage.objects)
    known = machine.world.known
    content = {body for name in stage.scene.complete for _, body in known[name][1].values()}
    if sent > sum(map(len, content)) + _SLACK:
        wrong.append(f"{sent:,} bytes were sent")
    return wrong


def _pulled_faults(scene: Scene, machine: Machine) -> list[str]:
    with machine.opened() as workspace:
        there = {version.name for version in workspace.versions("data")}
        problems = workspace.fsck(data=True).problems
    wrong = [f"fsck of the workspace: {problem.message}" for problem in problems]
    return wrong if there == set(scene.complete) else [*wrong, f"it has {sorted(there)} after the pull"]


# -- the soak ----------------------------------------------------------------------------------------------------------


@contextmanager
def _server(name: str) -> Iterator[servers.S3]:
    with servers.ceph() if name == "ceph" else servers.moto() as server:
        yield server


def soak(report: Report, folder: Path, arguments: argparse.Namespace) -> None:
    """Run the whole case."""
    chosen = [SCENES[name] for name in arguments.scene or SCENES]
    for name in arguments.server or ("moto", "ceph"):
        if name == "ceph" and servers.ceph_is_missing():
            report.figure("runs on ceph, which is missing here", 0, "")
            continue
        (folder / name).mkdir()
        with _server(name) as server, opened_world(server, folder / name) as world:
            for scene in () if arguments.bugs_only else chosen:
                stage = staged(world, scene)
                tally = Tally()
                points = kill_points(stage)
                kinds = (*FAULTS, RACED) if scene.is_push else tuple(FAULTS)
                faults = [] if arguments.kills_only else fault_points(stage, kinds)
                faults = faults[:: arguments.every]
                for point in [*points, *faults]:
                    before = len(tally.faults)
                    run_point(stage, point, tally)
                    for fault in tally.faults[before:]:
                        print(f"  {fault}", flush=True)
                report.figure(f"{name}, {scene.name}: kills", len(points), "runs")
                report.figure(f"{name}, {scene.name}: other faults", len(faults), "runs")
                report.figure(f"{name}, {scene.name}: findings", len(tally.faults), "", most=0)
            if name == "moto" and not arguments.scene:
                _find_bugs(report, world)
    shutil.rmtree(folder, ignore_errors=True)


def _find_bugs(report: Report, world: World) -> None:
    """Run the pushes with each bug put in, at all kill points and with lost answers, until it is found."""
    for bug in BUGS:
        runs, is_found = 0, False
        for stage, point in _points_for_bugs(world, bug):
            runs += 1
            tally = Tally()
            run_point(stage, point, tally, bug=bug)
            if tally.faults:
                is_found = True
                print(f"  with the bug {bug!r}: {tally.faults[0]}", flush=True)
                break
        report.figure(f"runs until the bug was found: {bug}", runs, "runs")
        report.holds(f"found: {bug}", is_found)


def _points_for_bugs(world: World, bug: str) -> Iterator[tuple[Stage, Point]]:
    for name in ("first push", "later push"):
        stage = staged(world, SCENES[name])
        done = _fresh(stage).run(*stage.words, bug=bug)
        for request in done.requests:
            for kind in ("before", "after", "lost before", "lost after", "409 before", RACED):
                if request.method in _WRITES:
                    yield stage, Point(request.number, kind)


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--server", action="append", choices=["moto", "ceph"], help="the server [both]")
    options.add_argument("--scene", action="append", choices=list(SCENES), help="the scene [all, and the bugs]")
    options.add_argument("--every", type=int, default=1, help="of the other faults only each N-th [1]")
    options.add_argument("--bugs-only", action="store_true", help="only the bugs that it must find, on moto")
    options.add_argument("--kills-only", action="store_true", help="no other faults than kills")
    run("remote-kill", options, soak)
