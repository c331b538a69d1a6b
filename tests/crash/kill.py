"""The kill rig: end a process with SIGKILL at every system call that changes something, and at random moments.

A *scene* is a workspace and one operation on it.  The operation runs once to its end under strace, which counts its
calls; then once for each call on a copy of the workspace, killed before that call takes effect.  After each run the
workspace must meet every condition of `crash.states`, and the repeated operation must have the same result and store
nothing twice.
"""

from __future__ import annotations

import argparse
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from artstore.errors import NotFoundError, RefusedError
from artstore.records.counters import Counters
from corpora import folders
from corpora.folders import Content, content_of, content_of_file
from crash.child import perform
from crash.scenes import Scene, command, copy_workspace, environment, run, scenes
from crash.states import content_of_tree, converge, faults, opened

CALLS = (
    *(
        "write",
        "writev",
        "pwrite64",
        "pwritev",
        "pwritev2",
        "fdatasync",
        "fsync",
        "msync",
        "sync_file_range",
        "openat",
        "openat2",
    ),
    *(
        "ftruncate",
        "truncate",
        "fallocate",
        "copy_file_range",
        "sendfile",
        "rename",
        "renameat",
        "renameat2",
        "link",
        "unlink",
    ),
    *("unlinkat", "rmdir", "mkdir", "mkdirat", "chmod", "fchmod", "flock"),
)
"""What changes files, or tells others something; of openat and openat2 only what makes a file."""
_MORE = 8
_TRACED = re.compile(r"^(\d+) +(\w+)\((.*)")


@dataclass(frozen=True)
class Point:
    """Before the ``nth`` call of ``call`` by the main thread."""

    call: str
    nth: int


@dataclass
class Tally:
    """How many runs were killed at which points, and the faults found."""

    killed: int = 0
    completed: int = 0
    acknowledged: int = 0
    staged: int = 0
    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.killed} killed, {self.completed} completed, {self.acknowledged} of them acknowledged, "
            f"{self.staged} left a draft, {len(self.faults)} faults"
        )


def strace(options: Sequence[str], arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run a child under strace, all its threads traced."""
    # Not with --seccomp-bpf: with it, strace 6.1 counts calls and injects no signals.
    line = ["strace", "-f", "-qq", *options, *arguments]
    return subprocess.run(line, env=environment(), capture_output=True, text=True, timeout=300)


def points(
    arguments: Sequence[str], trace: Path, calls: Sequence[str] = CALLS, *, codes: Collection[int] = (0,)
) -> list[Point]:
    """Run a child to its end and return all its points, except writes to stderr and files opened for reading.

    ``codes`` are the exit codes that it may use.
    """
    done = strace(["-o", str(trace), "-e", f"trace={','.join(calls)}"], arguments)
    if done.returncode not in codes:
        raise RuntimeError(f"{' '.join(arguments)} failed under strace: {done.stderr}")
    lines = trace.read_text(errors="replace").splitlines()
    matches = [match for line in lines if (match := _TRACED.match(line))]
    seen: Counter[str] = Counter()
    found: list[Point] = []
    for match in matches:
        thread, call, rest = match.groups()
        if thread == matches[0][1]:  # the main thread is the only one that writes
            seen[call] += 1
            complains = call == "write" and rest.startswith("2,")
            if not complains and (not call.startswith("openat") or "O_CREAT" in rest):
                found.append(Point(call, seen[call]))
    return found


def kill_at(point: Point, workspace: Path, arguments: Sequence[str], *, bug: str | None = None) -> tuple[bool, str]:
    """Run an operation, killed at a point; return (whether that happened, its output until then)."""
    inject = f"inject={point.call}:signal=SIGKILL:when={point.nth}"
    options = ["-o", "/dev/null", "-e", f"trace={point.call}", "-e", inject]
    done = strace(options, command(workspace, arguments, bug=bug))
    if done.returncode not in (0, -signal.SIGKILL, 128 + signal.SIGKILL):
        raise RuntimeError(f"the child ended with {done.returncode}: {done.stderr}")
    return done.returncode != 0, done.stdout


def kill_after(seconds: float, workspace: Path, arguments: Sequence[str], *, nodes: int) -> tuple[bool, str]:
    """Run an operation, killed after a while; return (whether that happened, its output until then)."""
    child = subprocess.Popen(
        command(workspace, arguments, nodes=nodes), env=environment(), stdout=subprocess.PIPE, text=True
    )
    try:
        said, _ = child.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        child.kill()
        said, _ = child.communicate()
    if child.returncode not in (0, -signal.SIGKILL):
        raise RuntimeError(f"the child ended with {child.returncode}")
    return child.returncode != 0, said


def counters(workspace: Path) -> Counters:
    """Return the manifest's counters."""
    with opened(workspace) as opened_workspace, opened_workspace.store.snapshot() as snapshot:
        return snapshot.transaction.counters()


def examine(scene: Scene, workspace: Path, said: str, tally: Tally, full: Counters | None) -> list[str]:
    """Return the faults of a workspace in which a scene's operation was killed, before and after repeating it.

    ``full`` are the counters after an undisturbed run.
    """
    if scene.base is None:
        return _examine_init(workspace)
    tally.acknowledged += bool(said)
    surely = {**scene.before, **(scene.after if said else {})}
    perhaps = {**scene.after, **({} if said else scene.gone)}
    if scene.name == "rebuild":
        wrong = []
    else:
        wrong = faults(workspace, surely, perhaps, sound=scene.sound, damaged=scene.damaged)
    if scene.words[0] == "put" and not wrong:
        wrong = _examine_put(scene, workspace, tally, full)
    if scene.draft:
        wrong += _examine_draft(scene, workspace, said)
    return wrong or _finish(scene, workspace)


def _examine_put(scene: Scene, workspace: Path, tally: Tally, full: Counters | None) -> list[str]:
    """Run a put again: the nodes that it had stored must belong to a draft, and must not be stored twice."""
    assert scene.base is not None
    wrong = []
    before, between = counters(scene.base), counters(workspace)
    with opened(workspace) as again:
        dead = len(again.drafts.states())
        if between.stored_bytes > before.stored_bytes and between.versions == before.versions and not dead:
            wrong.append("a put that stored something and was killed left no draft")
    tally.staged += bool(dead)
    perform(workspace, scene.words)
    with opened(workspace) as again:
        if len(again.drafts.states()) != dead:
            wrong.append(f"{dead} drafts became {len(again.drafts.states())} by running it again")
    after = counters(workspace)
    if full is not None and (after.stored_bytes, after.free_bytes) != (full.stored_bytes, full.free_bytes):
        wrong.append(
            f"in two parts it stored {after.stored_bytes} bytes and left {after.free_bytes} free; "
            f"at once {full.stored_bytes} and {full.free_bytes}"
        )
    return wrong


def _examine_draft(scene: Scene, workspace: Path, said: str) -> list[str]:
    """The open draft must be in the state before or after the step; after it if the step was acknowledged."""
    with opened(workspace) as found:
        content = content_of_tree(found.store, found.drafts.get("rig").record().root)
    return (
        [] if content in scene.draft[1 if said else 0 :] else ["the open draft is neither as it was nor as it is to be"]
    )


def _finish(scene: Scene, workspace: Path) -> list[str]:
    """Repeat a scene's operation, and the steps that follow it; return the faults."""
    with suppress(NotFoundError, RefusedError):  # already done
        perform(workspace, scene.words)
    versions = {**scene.before, **scene.after}
    if scene.heal:
        wrong = faults(workspace, versions, damaged=scene.damaged)
        perform(workspace, scene.heal)
        healed = f"{scene.heal[2]}:v0"
        versions |= {**scene.damaged, healed: next(iter(scene.damaged.values()))}
    else:
        wrong = faults(workspace, versions)
    with opened(workspace) as again:
        if scene.aliased is not None and again.aliases.of("data").get("good") != scene.aliased:
            wrong.append("the alias does not name what it was set to")
        for name, content in scene.gone.items() if scene.can_be_undone else ():
            versions[again.undelete(name).version.name] = content
    wrong += converge(workspace)
    kept = [path for where in ("packs", "journal", "manifest.*") for path in workspace.glob(f"{where}/*")]
    if scene.purged:
        wrong += [f"what was purged is still in {path.name}" for path in kept if scene.purged in path.read_bytes()]
    return wrong + _put_another(workspace, versions)


def _put_another(path: Path, versions: Mapping[str, Content]) -> list[str]:
    """Put one more file, and check everything again."""
    with opened(path) as workspace:
        workspace.put(__file__, "another")
    return faults(path, {**versions, "another:v0": content_of_file(Path(__file__))})


def _examine_init(workspace: Path) -> list[str]:
    """A killed init leaves nothing or a whole workspace; creating one then works, and leaves no other files."""
    wrong = []
    if (workspace / "current").exists():
        wrong += faults(workspace, {})
    else:
        run(command(workspace, ["init"]))
    wrong += _put_another(workspace, {})
    rest = sorted(path.name for folder in (workspace.parent, workspace) for path in folder.glob(".artfs-*"))
    if rest:
        wrong.append(f"a killed init, and another, left {rest}")
    return wrong


def undisturbed(scene: Scene, folder: Path) -> Counters | None:
    """Return the counters after a scene's put that ran to its end."""
    if scene.base is None or scene.words[0] != "put":
        return None
    copy_workspace(scene.base, folder / "undisturbed")
    run(command(folder / "undisturbed", scene.words))
    return counters(folder / "undisturbed")


def kill_everywhere(
    scene: Scene,
    folder: Path,
    tally: Tally,
    *,
    share: float = 1,
    bug: str | None = None,
    calls: Sequence[str] = CALLS,
) -> None:
    """Kill a scene's operation at every point, or at a share of them spread over all; stop at the first fault."""
    copy_workspace(scene.base, folder / "counted")
    found = points(command(folder / "counted", scene.words, bug=bug), folder / "trace", calls)
    full = undisturbed(scene, folder)
    spread = random.Random(scene.name).sample(found, max(1, round(len(found) * share)))
    chosen = found[::-1] if bug else spread  # for a bug, the last calls are the most revealing
    if bug:
        # The size of each write depends on the other threads: the very last call may have a higher number.
        chosen[:0] = [Point(found[-1].call, found[-1].nth + more) for more in range(_MORE, 0, -1)]
    workspace = folder / "killed" / "workspace"
    for point in chosen:
        shutil.rmtree(workspace.parent, ignore_errors=True)
        workspace.parent.mkdir()
        copy_workspace(scene.base, workspace)
        killed, said = kill_at(point, workspace, scene.words, bug=bug)
        tally.killed += killed
        tally.completed += not killed
        wrong = examine(scene, workspace, said, tally, full)
        if wrong:
            tally.faults += [f"{scene.name}, before {point.call} number {point.nth}: {fault}" for fault in wrong]
            return


def kill_at_random(folder: Path, tally: Tally, *, seed: int, rounds: int) -> None:
    """Kill puts into one workspace at random moments; it must keep every acknowledged version."""
    chance = random.Random(seed)
    source, workspace = folder / "changing", folder / "living"
    source.mkdir(parents=True)
    folders.small(source, seed=seed, files=300)
    run(command(workspace, ["init"]))
    begun = time.monotonic()
    run(command(workspace, ["put", str(source), "measured"]))
    span = time.monotonic() - begun
    acknowledged: dict[str, Content] = {"measured:v0": content_of(source)}
    for number in range(rounds):
        folders.change_some(source, seed=seed * 1000 + number)
        content = content_of(source)
        name = f"data-{number % 3}"
        versions = sum(1 for known in acknowledged if known.startswith(f"{name}:"))
        killed, said = kill_after(
            chance.uniform(0.4, 1.1) * span, workspace, ["put", str(source), name], nodes=chance.choice([5, 20, 100])
        )
        tally.killed += killed
        tally.completed += not killed
        tally.acknowledged += bool(said)
        expected = {f"{name}:v{versions}": content}
        wrong = faults(workspace, {**acknowledged, **(expected if said else {})}, expected)
        if wrong:
            tally.faults += [f"random kill {number} of seed {seed}: {fault}" for fault in wrong]
            return
        with opened(workspace) as living:
            there = living.versions(name) if any(item.name == name for item in living.artifacts()) else []
            tally.staged = len(living.drafts.states())
        if len(there) > versions:
            acknowledged |= expected


def main() -> None:
    """Kill at every point of every scene, and at many random moments; exit with 1 if a fault was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--share", type=float, default=1, help="share of the calls to test [1]")
    parser.add_argument("--scene", action="append", default=[], help="test only this scene; repeatable")
    parser.add_argument("--rounds", type=int, default=300, help="number of random kills [300]")
    parser.add_argument("--seed", type=int, default=1, help="seed of the random kills [1]")
    parser.add_argument("--directory", type=Path, help="working folder [$TMPDIR]")
    given = parser.parse_args()
    failed = False
    with tempfile.TemporaryDirectory(prefix="artfs-kill-", dir=given.directory) as folder:
        for scene in scenes(Path(folder) / "scenes", only=given.scene):
            tally, start = Tally(), time.monotonic()
            kill_everywhere(scene, Path(folder), tally, share=given.share)
            failed |= _report(f"{scene.name}, at its system calls", tally, start)
        tally, start = Tally(), time.monotonic()
        kill_at_random(Path(folder) / "random", tally, seed=given.seed, rounds=given.rounds)
        failed |= _report("puts, at random moments", tally, start)
    sys.exit(failed)


def _report(what: str, tally: Tally, start: float) -> bool:
    print(f"{what}: {tally} ({time.monotonic() - start:.0f} s)", *tally.faults, sep="\n  ", flush=True)
    return bool(tally.faults)


if __name__ == "__main__":
    main()
