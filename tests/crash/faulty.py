"""The fault rig: let one system call of a put fail, as a full or broken disk would, at every point in turn.

The command must then fail with one sentence and the right exit code, or succeed because the call did not matter; no
version is made by a command that failed; all that was acknowledged is there; and the command run again succeeds.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from crash.kill import CALLS, Scene, Tally, command, copy_workspace, examine, points, scenes, strace, undisturbed

FAILING = (*(call for call in CALLS if call not in ("flock", "unlink", "rmdir")), "openat")
"""What fails on a full or broken disk."""
EXIT_CODES = {"ENOSPC": {0, 6}, "EIO": {0, 1, 5}, "EDQUOT": {0, 6}}
"""What the command may return when a call fails once; 0 where it was of no consequence, such as a cache."""


def complaints(code: int, said: str, complained: str, error: str) -> list[str]:
    """Return what is wrong with the way in which a command told of a failure."""
    wrong = []
    if code not in EXIT_CODES[error]:
        wrong.append(f"it exits with {code}")
    if code and not complained.startswith("artfs: "):
        wrong.append("it names no reason")
    if "Traceback" in complained or "internal error" in complained:
        wrong.append("it shows its inside")
    if code and len(complained.splitlines()) != 1:
        wrong.append(f"its reason takes {len(complained.splitlines())} lines")
    return [f"{fault}: {said!r}, {complained!r}" for fault in wrong]


def fail_everywhere(scene: Scene, folder: Path, tally: Tally, *, error: str, share: float = 1) -> Counter[int]:
    """Let each call of a put fail once; return how often the command exited with which code."""
    words = ["artfs", "put", *scene.arguments[1:3]]
    copy_workspace(scene.base, folder / "counted")
    found = points(command(folder / "counted", words), folder / "trace", FAILING)
    full = undisturbed(scene, folder)
    codes: Counter[int] = Counter()
    workspace = folder / "failed" / "workspace"
    chosen = random.Random(error).sample(found, max(1, round(len(found) * share)))
    for point in chosen:
        copy_workspace(scene.base, workspace)
        inject = f"inject={point.call}:error={error}:when={point.nth}"
        done = strace(["-o", "/dev/null", "-e", f"trace={point.call}", "-e", inject], command(workspace, words))
        codes[done.returncode] += 1
        tally.killed += 1
        wrong = complaints(done.returncode, done.stdout, done.stderr, error)
        wrong += examine(scene, workspace, done.stdout, tally, full)
        where = f"{scene.name}, {error} at {point.call} number {point.nth}"
        tally.faults += [f"{where}: {fault}" for fault in wrong]
    return codes


def main() -> None:
    """Let every call of two puts fail with each error; exit with 1 if anything was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--share", type=float, default=1, help="share of the points [1]")
    parser.add_argument("--directory", type=Path, help="where to work [$TMPDIR]")
    given = parser.parse_args()
    failed = False
    with tempfile.TemporaryDirectory(prefix="artfs-faulty-", dir=given.directory) as folder:
        for scene in scenes(Path(folder) / "scenes"):
            for error in sorted(EXIT_CODES) if scene.arguments[0] == "put" else ():
                tally, start = Tally(), time.monotonic()
                codes = fail_everywhere(scene, Path(folder), tally, error=error, share=given.share)
                failed |= bool(tally.faults)
                print(f"{scene.name}, {error}: {tally.killed} failed calls, exit codes {dict(codes)}", end=" ")
                print(f"({time.monotonic() - start:.0f} s)", *tally.faults, sep="\n  ", flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
