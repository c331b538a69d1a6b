"""Under any limit of the process a command succeeds, or names the limit in one sentence, and never reports damage."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from artstore.workspace import init_workspace
from corpora import folders
from crash.faulty import complaints, fail_everywhere
from crash.kill import Tally
from crash.scenes import Scene, copy_workspace, environment
from crash.states import forget

COMMANDS = {
    "put": ["put", "SOURCE", "data"],
    "get": ["get", "data", "OUT", "--overwrite"],
    "gc": ["gc", "--now"],
    "rm": ["rm", "data:v0", "--now"],
    "fsck": ["fsck", "--data"],
    "status": ["status"],
    "draft": ["draft", "add", "shared", "SOURCE", "there"],
    "why": ["why", "data:v0"],
}
LIMITS = {
    "files": ["-n 7", "-n 9", "-n 11", "-n 14"],
    "size": ["-f 0", "-f 200"],
    "memory": ["-v 200000", "-v 900000"],
}
NAMES = {"files": "ulimit -n", "size": "ulimit -f", "memory": "ulimit -v"}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A workspace with two versions and a draft, and a source."""
    folder = tmp_path_factory.mktemp("limits")
    source = folder / "source"
    source.mkdir()
    folders.small(source, seed=1, files=20)
    workspace = init_workspace(folder / "workspace")
    workspace.put(source, "data")
    folders.change_some(source, seed=2)
    workspace.put(source, "data")
    workspace.drafts.new("data", base="latest", id="shared")
    folders.change_some(source, seed=3)
    (source / "large").write_bytes(folders.random_bytes(1_500_000, 4))
    forget(workspace.path)
    yield folder


def limited(limit: str, workspace: Path, words: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run a command under a limit of the shell's."""
    command = [sys.executable, "-m", "artfs", "-w", str(workspace), *words]
    script = f'ulimit {limit}; exec "$@"'
    return subprocess.run(
        ["bash", "-c", script, "bash", *command], env=environment(), capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("kind", LIMITS)
def test_a_limit_is_named(base: Path, tmp_path: Path, kind: str, command: str) -> None:
    """The command succeeds, or says in one sentence which limit it has reached; the workspace stays sound."""
    wrong = []
    for limit in LIMITS[kind]:
        copy_workspace(base / "workspace", tmp_path / "workspace")
        places = {"SOURCE": str(base / "source"), "OUT": str(tmp_path / "out")}
        done = limited(limit, tmp_path / "workspace", [places.get(word, word) for word in COMMANDS[command]])
        if "artfs: " not in done.stderr and done.returncode == 1 and "Error" in done.stderr.splitlines()[-1]:
            continue  # the interpreter could not start, or load its modules
        wrong += [f"{limit}: {fault}" for fault in complaints(done.returncode, "", done.stderr, {0, 1})]
        if done.returncode and NAMES[kind] not in done.stderr:
            wrong.append(f"{limit}: {done.stderr!r} names no limit")
    again = limited("-n 1000", tmp_path / "workspace", ["fsck", "--data"])
    assert (wrong, again.returncode) == ([], 0), again.stdout


SHARES = {
    "EMFILE": {"second put": 0.03, "delete now": 0.03, "draft add": 0.03},
    "ENOMEM": {"first put": 0.02, "reap": 0.04, "draft commit": 0.03},
    "EFBIG": {"second put": 0.03, "alias": 0.1},
}


@pytest.mark.parametrize("error", SHARES)
def test_failing_calls_are_no_damage(stage: dict[str, Scene], quick_dir: Path, error: str) -> None:
    """A system call that fails for a limit ends the command with a sentence, and is not taken for damage."""
    tally, codes = Tally(), Counter[int]()
    for name, share in SHARES[error].items():
        codes += fail_everywhere(stage[name], quick_dir, tally, error=error, share=share)
    assert tally.faults == []
    assert set(codes) - {0}, "no failure reached the command"
