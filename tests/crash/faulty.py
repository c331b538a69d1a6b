"""The fault rig: make each system call of a command fail in turn, as on a full or broken disk.

Either one call fails, or that call and all later ones that change the disk.  The command must then fail with one
sentence and the right exit code, or succeed because the call did not matter; all acknowledged data is intact; and the
command succeeds when it is run again without faults.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

from crash.kill import CALLS, Point, Tally, examine, points, strace, undisturbed
from crash.scenes import Scene, command, copy_workspace, scenes

FAILING = tuple(call for call in CALLS if call not in ("flock", "unlink", "unlinkat", "rmdir"))
"""What fails on a full or broken disk."""
FAILING_ON = tuple(call for call in FAILING if call not in ("openat", "openat2", "write"))
"""What can be let fail from a moment on; not opening files to read them, nor complaining of it on stderr."""
EXIT_CODES = {
    "ENOSPC": {0, 6},
    "EIO": {0, 1},
    "EDQUOT": {0, 6},
    "EMFILE": {0, 1},
    "ENOMEM": {0, 1},
    "EFBIG": {0, 1},
}
"""What the command may return; 0 where the call was of no consequence, such as a cache."""


def complaints(code: int, said: str, complained: str, codes: Collection[int]) -> list[str]:
    """Return the faults in a command's report of a failure; ``codes`` are the exit codes that it may use."""
    wrong = []
    if code not in codes:
        wrong.append(f"it exits with {code}")
    if code and not complained.startswith("artfs: "):
        wrong.append("it names no reason")
    if "Traceback" in complained or "internal error" in complained:
        wrong.append("it shows its inside")
    if code and len(complained.splitlines()) != 1:
        wrong.append(f"its reason takes {len(complained.splitlines())} lines")
    return [f"{fault}: {said!r}, {complained!r}" for fault in wrong]


def failing_once(point: Point, error: str) -> list[str]:
    """Return strace's options that make one call fail."""
    inject = f"inject={point.call}:error={error}:when={point.nth}"
    return ["-e", f"trace={point.call}", "-e", inject]


def failing_from(found: Sequence[Point], at: int, error: str) -> list[str]:
    """Return strace's options that make all calls fail from the point number ``at`` on."""
    options = ["-e", f"trace={','.join(FAILING_ON)}"]
    for call in FAILING_ON:
        before = sum(1 for point in found[:at] if point.call == call)
        options += ["-e", f"inject={call}:error={error}:when={before + 1}+"]
    return options


def fail_everywhere(
    scene: Scene,
    folder: Path,
    tally: Tally,
    *,
    error: str,
    for_good: bool = False,
    share: float = 1,
    bug: str | None = None,
) -> Counter[int]:
    """Make the calls of a command fail, each in its own run; return how often it exited with which code.

    With a seeded bug, stop at the first fault.
    """
    words = ["artfs", *scene.line]
    copy_workspace(scene.base, folder / "counted")
    well = {5} if scene.damaged else {0}
    calls = FAILING_ON if for_good else FAILING
    found = points(command(folder / "counted", words, bug=bug), folder / "trace", calls, codes=well)
    full = undisturbed(scene, folder)
    codes: Counter[int] = Counter()
    workspace = folder / "failed" / "workspace"
    chance = random.Random(f"{scene.name} {error} {for_good}")
    for at in chance.sample(range(len(found)), max(1, round(len(found) * share))):
        workspace.parent.mkdir(exist_ok=True)
        copy_workspace(scene.base, workspace)
        options = failing_from(found, at, error) if for_good else failing_once(found[at], error)
        done = strace(["-o", "/dev/null", *options], command(workspace, words, bug=bug))
        codes[done.returncode] += 1
        tally.killed += 1
        wrong = complaints(done.returncode, done.stdout, done.stderr, EXIT_CODES[error] | well)
        wrong += examine(scene, workspace, "" if done.returncode else "done", tally, full)
        when = "from" if for_good else "at"
        where = f"{scene.name}, {error} {when} {found[at].call} number {found[at].nth}"
        tally.faults += [f"{where}: {fault}" for fault in wrong]
        if wrong and bug:
            break
    return codes


def main() -> None:
    """Make every call of every scene fail with each error, once and permanently; exit with 1 if a fault was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--share", type=float, default=1, help="share of the calls to test [1]")
    parser.add_argument("--scene", action="append", default=[], help="test only this scene; repeatable")
    parser.add_argument("--directory", type=Path, help="working folder [$TMPDIR]")
    given = parser.parse_args()
    failed = False
    with tempfile.TemporaryDirectory(prefix="artfs-faulty-", dir=given.directory) as folder:
        for scene in scenes(Path(folder) / "scenes", only=given.scene):
            if not scene.line:
                continue  # several commands
            for error, for_good in [(error, for_good) for error in sorted(EXIT_CODES) for for_good in (False, True)]:
                tally, start = Tally(), time.monotonic()
                codes = fail_everywhere(scene, Path(folder), tally, error=error, for_good=for_good, share=given.share)
                failed |= bool(tally.faults)
                print(f"{scene.name}, {error} {'for good' if for_good else 'once'}: {tally.killed} runs", end=", ")
                print(
                    f"exit codes {dict(codes)} ({time.monotonic() - start:.0f} s)",
                    *tally.faults,
                    sep="\n  ",
                    flush=True,
                )
    sys.exit(failed)


if __name__ == "__main__":
    main()
