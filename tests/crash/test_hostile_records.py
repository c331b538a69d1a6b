"""Workspaces with forged records, each tried with commands: the right answer, or one sentence and its exit code.

No command ends with a traceback, waits for ever, takes memory beyond a bound, or changes a file outside.  The workspace
belongs in turn to the user who runs the command, and to another while root does.  ``ARTFS_HOSTILE=all`` tries every
case with every command, which takes hours; ``ARTFS_HOSTILE=N`` each case with N commands; the suite tries a sample.
"""

from __future__ import annotations

import os
import random
import resource
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from artstore.ids import content_id
from crash import specimen
from crash.hostile_records import Case, cases
from crash.specimen import Specimen
from crash.test_hostile_paths import ALICE, SECRET, Hostile

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs a user whom the workspace does not belong to")

ROOM: Final = 1 << 30
"""Bytes that a command may map beside what this process has."""
SAMPLE: Final = 200
"""Cases that the suite tries, each with one command."""
COMMANDS: Final = (
    ("ls",),
    ("ls", "team/data:v1"),
    ("ls", "team/data:v1", "--json"),
    ("show", "team/data"),
    ("show", "purged", "--json"),
    ("log", "team/data"),
    ("log", "waiting"),
    ("cat", "team/data:v1/text"),
    ("cat", "team/data:v0/list"),
    ("get", "team/data:v1", "{out}"),
    ("diff", "team/data:v0", "team/data:v1"),
    ("find", "--tag", "checked"),
    ("find", "--meta", "split=train"),
    ("put", "{source}", "more"),
    ("put", "{source}", "team/data"),
    ("draft", "new", "team/data", "--id", "open", "--from", "latest"),
    ("draft", "ls"),
    ("link", "team/data:v1", "model"),
    ("alias", "set", "team/data:v0", "best"),
    ("alias", "ls", "team/data"),
    ("tag", "add", "team/data:v0", "x"),
    ("artifact", "ls"),
    ("ref", "ls", "other"),
    ("ref", "check", "other"),
    ("lineage", "other"),
    ("run", "ls"),
    ("run", "show", "team/maker"),
    ("warm", "team/data:v0"),
    ("usage",),
    ("usage", "team/data", "--json"),
    ("du", "team/data:v0"),
    ("why", "team/data:v0/text"),
    ("status",),
    ("retention", "show"),
    ("retention", "plan"),
    ("config",),
    ("rm", "team/data:v1", "--force", "--cascade=orphan"),
    ("rm", "team/data:v1", "--now", "--force", "--cascade=orphan"),
    ("undelete", "waiting:v0"),
    ("purge", "team/data:v0/text", "--everywhere", "--reason", "x"),
    ("gc",),
    ("gc", "--now"),
    ("gc", "--compact"),
    ("fsck",),
    ("fsck", "--data"),
    ("fsck", "--repair"),
    ("fsck", "--rebuild"),
    ("init", "{workspace}"),
)
ANSWERS: Final = {("cat", "team/data:v1/text"): b"text", ("cat", "team/data:v0/list"): b"list"}
DECIDE_CONTENT: Final = frozenset({"NODES", "VERSIONS", "NAMES", "ARTIFACTS", "NUMBERS", "chunk"})
"""What a case begins with whose author decides what the workspace shows."""


class Forged(Hostile):
    """A copy of the workspace with forged records."""

    def __init__(self, base: Specimen, folder: Path) -> None:
        super().__init__(base.path, folder)
        self.specimen = base
        self.source = folder / "source"
        self.source.mkdir()
        (self.source / "file").write_bytes(b"more")

    def forge(self, case: Case, owner: int) -> None:
        for path in (self.workspace, self.outside, self.out):
            shutil.rmtree(path, ignore_errors=True)
        self.specimen.copy(self.workspace)
        case.do(self.workspace)
        for path in (self.workspace, *self.workspace.rglob("*")):
            os.chown(path, owner, owner)
        self.outside.mkdir()
        (self.outside / "canary").write_bytes(SECRET)

    def _perform(self, arguments: list[str]) -> None:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        # LMDB's map takes a quarter of the limit, and a compaction has two: both must fit beside what is inherited.
        room = 2 * pages * os.sysconf("SC_PAGE_SIZE") + ROOM
        resource.setrlimit(resource.RLIMIT_AS, (room, room))
        super()._perform(arguments)

    def wrong_answer(self, case: Case, command: tuple[str, ...]) -> str:
        """Return what is wrong with the bytes that a command showed, if the case changed no record on their way."""
        name = ANSWERS.get(command)
        if name is None or self.code or case.where.partition(" ")[0] in DECIDE_CONTENT:
            return ""
        expected = self.specimen.versions[command[1].rpartition("/")[0]][name]
        return "" if content_id(self.log.read_bytes()).hex() == expected.id else "it shows other bytes"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Specimen:
    return specimen.make(tmp_path_factory.mktemp("base"))


@pytest.mark.parametrize("owner", [0, ALICE], ids=["own", "another's"])
def test_every_command_works_on_a_sound_workspace(base: Specimen, tmp_path: Path, owner: int) -> None:
    """Else the others would try nothing."""
    forged, case = Forged(base, tmp_path), Case("nothing", lambda _: None)
    refused = []
    for command in COMMANDS:
        forged.forge(case, owner)
        wrong = forged.run(command) or forged.wrong_answer(case, command)
        if wrong or forged.code:
            refused.append((command, forged.code, wrong, forged.log.read_bytes()[-300:]))
    assert refused == []


def plan(every: list[Case]) -> list[tuple[Case, tuple[str, ...], int]]:
    """Return which cases are tried with which commands, and who owns the workspace."""
    chance = random.Random(int(os.environ.get("ARTFS_HOSTILE_SEED", "5")))
    wish = os.environ.get("ARTFS_HOSTILE", "")
    if not wish:
        return [(case, chance.choice(COMMANDS), chance.choice((0, ALICE))) for case in chance.sample(every, SAMPLE)]
    each = len(COMMANDS) if wish == "all" else int(wish)
    return [
        (case, command, owner)
        for case in every
        for command in chance.sample(COMMANDS, each)
        for owner in ((0, ALICE) if wish == "all" else (chance.choice((0, ALICE)),))
    ]


@pytest.mark.timeout(24 * 3600)
def test_forged_records_are_harmless(
    base: Specimen, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    forged = Forged(base, tmp_path)
    planned = plan(cases(base.path))
    faults = []
    for case, command, owner in planned:
        forged.forge(case, owner)
        before = forged.snapshot()
        wrong = forged.run(command) or forged.wrong_answer(case, command)
        if not wrong and forged.snapshot() != before:
            wrong = "it changes what is outside"
        if wrong:
            faults.append(f"{case.where}: {' '.join(command)} as {owner}: {wrong}")
            print(faults[-1], flush=True)
    record_property("tried", len(planned))
    print(f"{len(planned) - len(faults)} of {len(planned)} harmless")
    assert not faults, "\n".join(faults)
