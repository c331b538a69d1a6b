"""The power-loss rig: check every state of the disk that a power failure may leave behind.

A scenario (puts, deletions, reaping, compaction) runs once under strace, which records every write and every sync.
Power failures are then simulated at each call, in several ways (`crash.medium` lists the possible states), and a child
process checks the remaining files: every acknowledged version is whole, deleted versions stay deleted or can be
undeleted, reaping converges, fsck finds nothing, and the same puts succeed again.
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path

from artstore.errors import RefusedError
from corpora import folders
from corpora.folders import Content, content_of
from crash.bugs import BUGS
from crash.child import OPERATIONS
from crash.medium import UNWRITTEN, Change, Image, Kept, Medium, State, read_folder
from crash.places import quick_folder
from crash.scenes import command, environment
from crash.states import converge, faults, opened
from crash.syscalls import Call, record

PACK_LIMIT = 300_000
"""Bytes after which a scenario starts another pack, so that packs become empty and are removed."""

_LATE = (
    "artstore.checking.content",
    "artstore.reclaim.collecting",
    "artstore.changes.deleting",
    "artstore.changes.putting",
)
"""Modules that the store imports when they are needed first: here, before the children are forked."""


@dataclass(frozen=True)
class Step:
    """A command of a scenario, and the versions that exist once it has been acknowledged."""

    words: Sequence[str]
    after: dict[str, Content]
    waiting: dict[str, Content] = field(default_factory=dict)
    """Deleted versions that can still be undeleted then."""
    good: int | None = None
    """The version of `data` that the alias `good` names then."""


@dataclass(frozen=True)
class Loss:
    """A possible set of files on a disk after a power failure."""

    state: State
    acknowledged: int
    """Steps of the scenario that had been acknowledged."""
    way: str
    """When the power failed, and what reached the disk."""


@dataclass
class Tally:
    """The states that were tried and the faults that were found."""

    calls: int = 0
    states: int = 0
    acknowledged: Counter[int] = field(default_factory=Counter)
    unopened: int = 0
    """States without a workspace, where none had been acknowledged."""
    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.states} states of {self.calls} calls, after {len(self.acknowledged)} different numbers of "
            f"acknowledged steps, {self.unopened} before there was a workspace, {len(self.faults)} faults"
        )


def scenario(folder: Path) -> list[Step]:
    """Make the sources below ``folder`` and return the steps."""
    sources = [folder / name for name in ("first", "second", "third")]
    for number, source in enumerate(sources):
        source.mkdir(parents=True)
        folders.small(source, seed=1, files=10)
        (source / "weights").write_bytes(folders.random_bytes(150_000 + 20_000 * number, 1))
        (source / "own").write_bytes(folders.random_bytes(60_000, 10 + number))
    first, second, third = map(str, sources)
    v0, v1, v2 = map(content_of, sources)
    steps: list[Step] = []

    def step(
        words: str | list[str],
        *living: tuple[str, Content],
        waiting: Sequence[tuple[str, Content]] = (),
        good: int | None = None,
    ) -> None:
        words = words.split() if isinstance(words, str) else words
        steps.append(Step(words, dict(living), dict(waiting), good))

    zero, one, two, three, other = ("data:v0", v0), ("data:v1", v1), ("data:v2", v2), ("data:v3", v0), ("other:v0", v2)
    step("init")
    step(["put", first, "data"], zero)
    step(["put", second, "data", "good"], zero, one, good=1)
    step("delete data:v0", one, waiting=[zero], good=1)
    step("undelete data:v0", zero, one, good=1)
    step("delete data:v0 --now", one, good=1)
    step("gc", one, good=1)
    step(["put", third, "other"], one, other, good=1)
    step(["put", third, "data"], one, two, other, good=1)
    step("delete other:v0 data:v1 --force", two, waiting=[one, other])
    step("gc --now", two)
    step(["put", first, "data"], two, three)
    step("gc --compact", two, three)
    step("alias data:v3 good", two, three, good=3)
    three = ("data:v3", {path: entry for path, entry in v0.items() if path != b"own"})
    step(["purge", v0[b"own"].id], two, three, good=3)
    step(["put", second, "data"], two, three, ("data:v4", v1), good=3)
    four = ("data:v4", v1)
    step("gc --compact", two, three, four, good=3)
    shown = ("shown:v0", v1)
    step("link data:v4 shown", two, three, four, shown, good=3)
    step(["work", "shown", "data:v4", first], two, three, four, shown, ("shown:v1", v0), good=3)
    step("delete shown:v0 shown:v1 --now", two, three, four, good=3)
    step("draft-new data rig", two, three, four, good=3)
    step(["draft-add", "rig", third, "added"], two, three, four, good=3)
    added = {**v1, b"added": folders.DIRECTORY, **{b"added/" + path: entry for path, entry in v2.items()}}
    step("draft-commit rig", two, three, four, ("data:v5", added), good=3)
    return steps


def play(steps: Sequence[Step], folder: Path, *, bug: str | None = None) -> list[Call]:
    """Run a scenario in ``folder`` under strace; return its calls."""
    folder.mkdir()
    words = [word for step in steps for word in ("+", *step.words)][1:]
    line = command(folder / "workspace", ["play", *words], bug=bug, pack_limit=PACK_LIMIT)
    calls, _ = record(line, environment(), folder.with_name("trace"), folder)
    return calls


def _is_acknowledgement(call: Call) -> bool:
    return call.name == "write" and call.arguments.startswith("1<")


def _way(chance: random.Random, pending: Sequence[Change]) -> tuple[str, Callable[[Change], Kept | None]]:
    """Return a choice of the pending changes that reach the disk, and its name."""
    if not pending:
        return "nothing was unsynced", lambda change: None
    whole: Kept = lambda part: True  # noqa: E731
    last, odd = pending[-1], chance.choice(pending)
    share, torn, own = chance.choice((0.1, 0.5, 0.9)), chance.choice((0.0, 0.4)), random.Random(chance.random())
    return chance.choice(
        [
            ("nothing unsynced", lambda change: None),
            ("all of it", lambda change: whole),
            ("only the last change", lambda change: whole if change is last else None),
            ("all but one change", lambda change: None if change is odd else whole),
            *[(f"{share:.0%} of it, {torn:.0%} of that torn", lambda change: _part(own, change, share, torn))] * 3,
        ]
    )


def _part(chance: random.Random, change: Change, share: float, torn: float) -> Kept | None:
    if chance.random() >= share:
        return None
    if chance.random() >= torn:
        return lambda part: True
    return {part for part in range(change.parts) if chance.random() < 0.5}.__contains__


def losses(folder: Path, calls: Sequence[Call], *, count: int, seed: int) -> Iterator[Loss]:
    """Yield at most ``count`` different states, spread over a scenario; the same for the same seed.

    ``folder`` is in the state at the scenario's end: the model must predict exactly that state.
    """
    chance = random.Random(seed)
    medium = Medium(folder, State())
    seen: set[tuple[bytes, int]] = set()
    acknowledged = 0
    for number, call in enumerate(calls):
        if _is_acknowledgement(call):
            acknowledged += 1
        changes = medium.begin(call)
        wanted = int((count - len(seen)) / (len(calls) - number) + chance.random())
        for _ in range(4 * wanted if changes or number + 1 == len(calls) else 0):
            way, keep = _way(chance, medium.pending)
            state = medium.possible(keep)
            key = state.digest(), acknowledged
            if wanted and key not in seen:
                wanted -= 1
                seen.add(key)
                yield Loss(state, acknowledged, f"during call {number}, {call}: {way}")
        medium.end()
    _compare(medium.seen, read_folder(folder))


def _compare(expected: State, found: State) -> None:
    """Raise if the model's files differ from the actual ones."""
    one, two = dict(expected.tree()), dict(found.tree())
    wrong = [path for path in one.keys() | two.keys() if not _alike(path, one.get(path), two.get(path))]
    if wrong or one.keys() != two.keys():
        raise AssertionError(f"the model of the disk is wrong: {sorted(wrong or one.keys() ^ two.keys())}")


def _alike(path: bytes, one: Image | None, two: Image | None) -> bool:
    if one is None or two is None or path.endswith(UNWRITTEN):
        return one is two or path.endswith(UNWRITTEN)
    return one.size == two.size and one.data() == two.data()


def examine(folder: Path, steps: Sequence[Step], source: Path, acknowledged: int) -> list[str]:
    """Return the faults of the files in a folder, after that many acknowledged steps of a scenario."""
    workspace = folder / "workspace"
    before = steps[acknowledged - 1] if acknowledged else Step((), {})
    after = steps[acknowledged] if acknowledged < len(steps) else before
    if not (workspace / "current").exists():
        if acknowledged:
            return ["the workspace was acknowledged and is not there"]
        OPERATIONS["init"](workspace, [])
    surely = {name: content for name, content in before.after.items() if name in after.after}
    wrong = faults(workspace, surely, {**before.after, **after.after})
    with opened(workspace) as again:
        good = again.aliases.of("data").get("good") if before.good is not None else None
        if good not in (before.good, after.good):
            wrong.append(f"the alias names {good}, which is neither {before.good} nor {after.good}")
    if wrong:
        return wrong
    for name in before.waiting.keys() & (after.waiting.keys() | after.after.keys()):
        with opened(workspace) as again, suppress(RefusedError):
            again.undelete(name)
        surely[name] = before.waiting[name]
    wrong += converge(workspace)
    with opened(workspace) as again:
        surely[again.put(source, "again").name] = content_of(source)
    return wrong + faults(workspace, surely, {**before.after, **after.after})


def in_a_child(examination: Callable[[], list[str]], seconds: float = 60) -> list[str]:
    """Run an examination in a forked child, which a damaged map may kill; return its findings, or how it ended."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            signal.alarm(math.ceil(seconds))
            try:
                wrong = examination()
            except BaseException as error:
                wrong = [f"{type(error).__name__}: {error}"]
            with open(write_end, "w") as answer:
                json.dump(wrong, answer)
        finally:
            os._exit(0)
    os.close(write_end)
    with open(read_end) as answer:
        said = answer.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status or not said:
        return [f"looking at it ended with {signal.Signals(-status).name if status < 0 else status}"]
    found: list[str] = json.loads(said)
    return found


def lose_power(folder: Path, tally: Tally, *, count: int, seed: int, bug: str | None = None) -> None:
    """Play a scenario, and examine possible states after a power failure; with a seeded bug, until the first fault."""
    steps = scenario(folder / "sources")
    calls = play(steps, folder / "played", bug=bug)
    tally.calls = len(calls)
    place = folder / "lost"
    for loss in losses(folder / "played", calls, count=count, seed=seed):
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        loss.state.write_to(place)
        tally.states += 1
        tally.acknowledged[loss.acknowledged] += 1
        tally.unopened += not (place / "workspace").exists()
        wrong = in_a_child(lambda: examine(place, steps, folder / "sources" / "second", loss.acknowledged))  # noqa: B023
        tally.faults += [f"{loss.acknowledged} steps acknowledged, {loss.way}: {fault}" for fault in wrong]
        if wrong and bug:
            return


def main() -> None:
    """Simulate many power failures; exit with 1 if a fault was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--states", type=int, default=1500, help="number of states to check [1500]")
    parser.add_argument("--seed", type=int, default=1, help="seed that selects the states [1]")
    parser.add_argument("--bug", choices=sorted(BUGS), help="inject this bug, and stop once it is found")
    parser.add_argument("--directory", type=Path, help="working folder [memory, else $TMPDIR]")
    given = parser.parse_args()
    for name in _LATE:
        importlib.import_module(name)
    tally, start = Tally(), time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="artfs-power-", dir=given.directory) as folder,
        quick_folder(Path(folder)) if given.directory is None else nullcontext(Path(folder)) as place,
    ):
        lose_power(place, tally, count=given.states, seed=given.seed, bug=given.bug)
    print(f"power loss: {tally} ({time.monotonic() - start:.0f} s)", *tally.faults, sep="\n  ", flush=True)
    sys.exit(bool(tally.faults))


if __name__ == "__main__":
    main()
