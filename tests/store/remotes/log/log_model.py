"""The model of many machines on one log: clients in any order, one request at a time, with every kind of misfortune.

Each client runs in a thread of its own and stops before each request; the model chooses, from a seed, who goes on, who
is killed, who sleeps.  The code under test is the real one.  After a run all properties are checked:

1.  No version that was acknowledged is lost, and no pack of a living or held version was condemned or is missing.
2.  No pack of an unfinished push that has staged it was condemned, and no list of condemned packs.
3.  All folds agree: that of each client, of a new one, and one by brute force.
4.  One push makes one version, and numbers are unique.
5.  An entry that was removed is not created again; who has acknowledged a version that an older bucket lacks sees it.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Final

from artstore.ids import content_id
from artstore.objects.failures import ObjectMissingError
from artstore.remotes.log import checkpoints
from artstore.remotes.log import fold as folding
from artstore.remotes.log.appending import Machine
from artstore.remotes.log.checkpoints import encode_state
from artstore.remotes.log.condemn_lists import Pack, decode_condemn_list, pack_name
from artstore.remotes.log.entries import entry_name
from artstore.remotes.log.fields import Span
from artstore.remotes.log.fold import BrokenLogError
from artstore.remotes.log.reading import Log
from artstore.remotes.log.state import State
from store.objects.model_store import Bucket, ModelStore
from store.remotes.log.brute_fold import World, fold_all
from store.remotes.log.log_bugs import FOCUS, SCENARIOS, patched
from store.remotes.log.log_clients import Client
from store.remotes.log.log_disk import Disk, packs_of_body
from store.remotes.log.log_story import UUID

__all__ = ["Outcome", "run"]

JOBS: Final = {
    "push": 8,
    "delete": 5,
    "undelete": 4,
    "collect": 5,
    "hold": 2,
    "meta": 2,
    "run": 1,
    "rename": 1,
    "read": 1,
    "retag": 2,
}
"""What clients do, and how often."""
EVERY: Final = 4
"""Entries between checkpoints."""
_MOST_STEPS: Final = 4000


class Killed(BaseException):
    """Raised at a request of a client that is killed."""


class Player:
    """A client's thread, and the baton that lets it make one request."""

    def __init__(self, model: Model, disk: Disk, jobs: list[str]) -> None:
        self.model = model
        self.disk = disk
        self.jobs = jobs
        self.go = threading.Semaphore(0)
        self.is_over = False
        self.is_killed = False
        self.error: BaseException | None = None
        self.client: Client | None = None
        self.acknowledged: set[bytes] = set()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def turn(self) -> None:
        """Let the client run up to its next request."""
        self.go.release()
        self.model.back.acquire()

    def end(self) -> None:
        """Kill the client and wait for its thread."""
        self.is_killed = True
        while not self.is_over:
            self.turn()
        self._thread.join()

    def step(self, kind: str) -> None:
        """Stop before a request."""
        del kind
        self.model.back.release()
        self.go.acquire()
        if self.is_killed:
            raise Killed

    def _run(self) -> None:
        self.go.acquire()
        model = self.model
        try:
            chance = random.Random(model.chance.random())
            store = ModelStore(model.bucket, chance, model.odds, self.step)
            keeps = model.scenario != "sound"
            self.client = Client(self.disk, store, chance, every=EVERY, bugs=model.bugs, keeps=keeps)
            self.client.acknowledged = self.acknowledged
            while self.jobs:
                self.client.work(self.disk.job.get("kind", self.jobs[-1]))
                self.jobs.pop()
        except Killed:
            pass
        except BaseException as error:
            self.error = error
        finally:
            self.is_over = True
            model.back.release()


@dataclass
class Outcome:
    """What a run did: counts, and the first property that does not hold, or an empty text."""

    wrong: str = ""
    counts: Counter[str] = field(default_factory=Counter)


class Model:
    """One run."""

    def __init__(self, seed: int, bugs: frozenset[str], scenario: str) -> None:
        self.chance = random.Random(seed)
        self.bugs = bugs
        self.scenario = scenario
        self.bucket = Bucket()
        self.back = threading.Semaphore(0)
        kinds = {"before": 0.03, "after": 0.03, "late": 0.03, "conflict": 0.02, "denied": 0.03, "missing": 0.02}
        self.odds = {kind: odd for kind, odd in kinds.items() if self.chance.random() < 0.5}
        # Each run leaves some jobs out, so that some runs have much of what is rare in others.
        others = [kind for kind in JOBS if kind != "push" and self.chance.random() < 0.6]
        focus = next((FOCUS[bug] for bug in bugs if bug in FOCUS), ())
        self.jobs = list(focus or ("push", *others))
        self.players = [self._player(number) for number in range(self.chance.choice((2, 3, 4, 5)))]
        self.everyone = list(self.players)
        self.counts: Counter[str] = Counter()
        self.bodies: dict[str, bytes] = {}
        self.is_quiet = self.chance.random() < 0.5
        self._asleep: Player | None = None
        self.removed: tuple[str, tuple[bytes, float]] | None = None
        self._copy: Bucket | None = None

    def _player(self, number: int) -> Player:
        disk = Disk(Machine(bytes([number]) * 16, f"user@{number}"))
        return Player(self, disk, self._some_jobs())

    def _some_jobs(self) -> list[str]:
        weights = [JOBS[kind] for kind in self.jobs]
        return self.chance.choices(self.jobs, weights, k=self.chance.randint(2, 6))

    def play(self) -> Outcome:
        """Run all clients to their ends, then check what must hold."""
        steps = 0
        while any(not player.is_over for player in self.players) and steps < _MOST_STEPS:
            steps += 1
            if steps % 40 == 1:
                self._asleep = self.chance.choice(self.players)
            awake = [each for each in self.players if not each.is_over and each is not self._asleep]
            player = self.chance.choice(awake or [each for each in self.players if not each.is_over])
            if self.chance.random() < 0.01:
                self._kill(player)
            else:
                player.turn()
            self._remember()
            if self.scenario != "sound":
                self._harm(steps)
            if "names removed" in self.bugs and self.chance.random() < 0.05:
                self._trim()
        self.counts["steps"] += steps
        for player in self.everyone:
            player.end()
        try:
            Check(self).all()
        except AssertionError as error:
            return Outcome(str(error) or "an assertion", self.counts)
        return Outcome("", self.counts)

    def _remember(self) -> None:
        """Keep the bodies of what was ever stored, so that sets of deleted objects can be read by the checks."""
        for name, (body, _) in self.bucket.objects.items():
            self.bodies.setdefault(name, body)

    def _kill(self, player: Player) -> None:
        """Kill a client and run it again; sometimes its disk was cloned before."""
        self.counts["kills"] += 1
        player.end()
        disks = [player.disk]
        if self.chance.random() < 0.3 and len(self.players) < 7:
            self.counts["clones"] += 1
            disks.append(deepcopy(player.disk))
        self.players.remove(player)
        for disk in disks:
            again = Player(self, disk, list(player.jobs))
            again.acknowledged |= player.acknowledged
            self.players.append(again)
            self.everyone.append(again)

    def _harm(self, step: int) -> None:
        """Remove an entry, or put back an older bucket: once."""
        entries = [name for name in self.bucket.objects if name.startswith("log/")]
        if self._copy is None and len(entries) > 2 and self.chance.random() < 0.05:
            self._copy = self.bucket.copy()
            self._copied = step
        elif (
            self._copy is not None and step > self._copied + 30 and self.counts[self.scenario] == 0 and self._may_harm()
        ):
            self.counts[self.scenario] += 1
            if self.scenario == "hole":
                # The last one cannot be missed by who has not read it: to remove that is to roll back.
                name = self.chance.choice(sorted(entries)[:-1])
                self.removed = (name, self.bucket.objects.pop(name))
                self.bucket.late = [each for each in self.bucket.late if each[0] != name]
            else:
                self.bucket.objects = dict(self._copy.objects)
                self.bucket.late.clear()

    def _may_harm(self) -> bool:
        """Return whether no client is between reading on and creating an entry, in runs in which that is asked."""
        clients = [player.client for player in self.players if not player.is_over]
        return not self.is_quiet or not any(client is not None and client.is_appending for client in clients)

    def _trim(self) -> None:
        """Remove the entries that a checkpoint covers, as a bug."""
        saved = [name for name in self.bucket.objects if name.startswith("state/0")]
        if saved:
            most = max(int(name.split("/")[1]) for name in saved)
            for number in range(1, most + 1):
                self.bucket.objects.pop(entry_name(number), None)


class Check:
    """The properties, after a run; each raises AssertionError with a sentence."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.bucket = model.bucket
        self.is_recreated = False
        if model.removed is not None:
            self._put_back(*model.removed)
        self.log = Log(ModelStore(self.bucket), UUID, State(UUID), every=EVERY, at_once=1)
        self.log.read_on()
        self.entries = [self.bucket.objects[entry_name(number)][0] for number in range(1, self.log.state.number + 1)]

    def _put_back(self, name: str, row: tuple[bytes, float]) -> None:
        """Restore a removed entry; one who had read the log before may have created it again, and all others see it."""
        if name in self.bucket.objects:
            assert not self.model.is_quiet, "a missing entry was created again"
            self.model.counts["created again"] += 1
            log = Log(ModelStore(self.bucket), UUID, State(UUID), every=EVERY, at_once=1)
            log.read_on()
            assert log.trouble is not None, "a missing entry was created again, and nothing shows it"
            self.is_recreated = True
        self.bucket.objects[name] = row

    def all(self) -> None:
        """Check all properties."""
        counts = self.model.counts
        counts["entries"] += len(self.entries)
        worlds, verdicts = fold_all(self.entries, self.model.bugs)
        is_sound = self.model.scenario == "sound"
        is_whole = self.model.scenario != "rollback"
        for player in self.model.everyone:
            if player.error is not None and (is_sound or not isinstance(player.error, BrokenLogError)):
                raise AssertionError(f"a client failed: {player.error!r}") from player.error
        self._folds(worlds, verdicts)
        if self.is_recreated:
            return  # what its writer did then is in a log that all others find broken
        if is_whole:
            assert self.log.trouble is None, f"the log is broken: {self.log.trouble}"
            self._acknowledged()
            self._states()
            self._hint()
        else:
            self._acknowledged_or_broken()
        self._collections(worlds)

    def _folds(self, worlds: Sequence[World], verdicts: Sequence[Sequence[bool]]) -> None:
        state = State(UUID)
        self.digests = [content_id(encode_state(state))]
        for data, world, expected in zip(self.entries, worlds, verdicts, strict=True):
            folded = folding.fold(state, data, every=EVERY)
            self.digests.append(content_id(encode_state(state)))
            assert [void is None for void in folded.verdicts] == expected, f"verdicts of entry {state.number} differ"
            self.model.counts["void"] += sum(void is not None for void in folded.verdicts)
            assert (state.condemns, state.uses) == (world.condemns, world.uses), "the counts differ"
            names = ("live", "deleted", "reaped")
            assert {key: (row.uuid, names[row.state], row.record) for key, row in state.versions.items()} == {
                key: (row["uuid"], row["state"], row["record"]) for key, row in world.versions.items()
            }, f"the versions at {state.number} differ"
            assert {key: row.version for key, row in state.aliases.items()} == world.aliases, "the aliases differ"
            assert {uuid: row.name for uuid, row in state.artifacts.items()} == world.names, "the names differ"
            assert set(state.holds) == set(world.holds), "the holds differ"
            assert set(state.stages) == set(world.stages), "the stages differ"
            assert len(state.condemned) == len(world.lists), "the condemns differ"
        uuids = [row.uuid for row in state.versions.values()]
        assert len(uuids) == len(set(uuids)), "a version stands twice"
        digests = [row.digest for row in state.versions.values()]
        assert len(digests) == len(set(digests)), "one push made two versions"
        self.state = state

    def _acknowledged(self) -> None:
        for player in self.model.everyone:
            self.model.counts["acknowledged"] += len(player.acknowledged)
            for uuid in player.acknowledged:
                assert self.state.version_of(uuid) is not None, "an acknowledged version is lost"

    def _acknowledged_or_broken(self) -> None:
        for player in self.model.players:
            lost = [uuid for uuid in player.acknowledged if self.state.version_of(uuid) is None]
            if not lost or player.client is None:
                continue
            kept = player.disk.state
            log = player.client.log
            if kept is not None and log.state.number == 0:
                state = checkpoints.decode_state(kept[0])
                state.digest = kept[1]
                log = Log(log.store, UUID, state, every=EVERY, at_once=1)
            log.store = ModelStore(self.bucket)
            log.read_on(to_write=True)
            # One who had read on before the harm may create an entry after it; then others see what it does not.
            is_seen = log.trouble is not None or (not self.model.is_quiet and self.log.trouble is not None)
            assert is_seen, "a machine does not see that the log lost its version"
            self.model.counts["seen as lost"] += len(lost)

    def _states(self) -> None:
        for player in self.model.everyone:
            if player.client is not None:
                state = player.client.log.state
                assert state.number < len(self.digests), "a client is ahead of the log"
                assert content_id(encode_state(state)) == self.digests[state.number], "a client has another state"

    def _hint(self) -> None:
        log = Log(ModelStore(self.bucket), UUID, every=EVERY, at_once=1)
        log.read_on()
        assert log.trouble is None, f"a new client finds {log.trouble}"
        assert content_id(encode_state(log.state)) == self.digests[-1], "a new client has another state"
        log.prove()
        assert log.trouble is None, "a checkpoint is not what the log leads to"

    def _collections(self, worlds: Sequence[World]) -> None:
        """No condemned pack is used at its condemn or later, and what is used is there."""
        if not worlds:
            return
        condemned: set[Pack] = set()
        seen = 0
        for before, world in zip([World(), *worlds], worlds, strict=False):
            for key, row in before.versions.items():
                reaped = row["state"] == "live" and world.versions[key]["state"] == "reaped"
                assert not reaped, "a living version was reaped"
            for _, condemn in world.lists[seen:]:
                condemned |= set(decode_condemn_list(self._body(Pack("t", condemn.listed.pack))))
                self.model.counts["condemns"] += 1
            seen = len(world.lists)
            for what, pack in self._used(world):
                assert pack not in condemned, f"a pack of {what} was condemned"
        for what, pack in self._used(worlds[-1]):
            if self.model.scenario == "sound":
                assert pack_name(pack) in self.bucket.objects, f"a pack of {what} is missing"

    def _used(self, world: World) -> Iterator[tuple[str, Pack]]:
        for row in world.kept():
            yield from self._set("a version", row["manifest"])
            if row["record"] is not None:
                yield "a version's record", Pack("t", row["record"].pack)
        for stage in world.stages.values():
            yield from self._set("a stage", stage.manifest)
        for _, run in world.runs.values():
            if run.record is not None:
                yield "a run", Pack("t", run.record.pack)
        for _, condemn in world.lists:
            yield "a condemn", Pack("t", condemn.listed.pack)

    def _set(self, what: str, manifest: Span) -> Iterator[tuple[str, Pack]]:
        pack = Pack("t", manifest.pack)
        yield what, pack
        for each in packs_of_body(self._body(pack)):
            # What was staged and is not uploaded yet cannot be listed by a collector.
            yield what, each

    def _body(self, pack: Pack) -> bytes:
        try:
            return self.model.bodies[pack_name(pack)]
        except KeyError:
            raise AssertionError(f"{pack_name(pack)} is named and was never stored") from None


def run(seed: int, bug: str | None = None, scenario: str | None = None) -> Outcome:
    """Run the model once; ``scenario`` is ``sound``, ``hole`` or ``rollback``."""
    bugs = frozenset((bug,) if bug else ())
    scenario = scenario or SCENARIOS.get(bug or "", "sound")
    with patched(bugs):
        try:
            return Model(seed, bugs, scenario).play()
        except ObjectMissingError as error:
            return Outcome(f"what the checks need is missing: {error}")
