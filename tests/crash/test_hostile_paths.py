"""Workspaces in which something lies that does not belong there, each tried with every command by root.

Whatever lies at a path of the workspace, no command touches a file outside, waits for ever, or fails with more than
one sentence.  The commands keep root's rights here, which they give up otherwise (tests/fs/cli/test_rights.py).
"""

from __future__ import annotations

import os
import shutil
import signal
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest

from artfs.cli.main import main
from artstore import privileges
from artstore.creating import create_workspace
from artstore.errors import ArtfsError
from artstore.reclaim.compaction import compact_environment
from artstore.store import Store
from artstore.workspace import Workspace

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs a user whom the workspace does not belong to")

ALICE: Final = 42421
MALLORY: Final = 42422
SECRET: Final = b"the canary's secret"
MOST_SECONDS: Final = 60
SAMPLE: Final = 3
FILES: Final = (
    *("artfs.json", "current", "manifest.1/data.mdb", "manifest.1/lock.mdb", "manifest.1/lease", "reserve"),
    *("packs/00000001.pack", "packs/00000002.pack", "journal/catalogue.journal", "journal/catalogue.1.journal"),
    *("run/leases", "run/reaper", "run/runs", "run/drafts/3", "run/drafts/4", "run/daemons/dead.json"),
    *("run/daemons/dead.log", "cache/figures.json", "cache/fsck"),
)
FOLDERS: Final = (
    *("manifest.1", "manifest.2", "packs", "journal", "cache", "cache/stat", "cache/references", "cache/changed"),
    *("run", "run/drafts", "run/daemons", "run/rebuild"),
)
COMMANDS: Final = (
    ("ls",),
    ("ls", "data:v0"),
    ("show", "data"),
    ("log", "data"),
    ("cat", "data:v0/a.txt"),
    ("get", "data:v0", "{out}"),
    ("diff", "data:v0", "data:v1"),
    ("find", "--tag", "x"),
    ("put", "{source}", "more"),
    ("draft", "new", "data", "--id", "open"),
    ("draft", "add", "open", "{source}"),
    ("draft", "commit", "open"),
    ("link", "data:v1", "model"),
    ("alias", "set", "data:v0", "best"),
    ("tag", "add", "data:v0", "x"),
    ("artifact", "ls"),
    ("lineage", "data:v0"),
    ("run", "ls"),
    ("warm", "data:v0"),
    ("usage",),
    ("du", "data:v0"),
    ("why", "data:v0/a.txt"),
    ("status",),
    ("retention", "show"),
    ("config",),
    ("rm", "data:v1", "--force", "--cascade=orphan"),
    ("undelete", "data:v1"),
    ("rm", "data:v1", "--now", "--force", "--cascade=orphan"),
    ("purge", "data:v0/a.txt", "--everywhere", "--reason", "x"),
    ("gc",),
    ("gc", "--compact"),
    ("fsck",),
    ("fsck", "--repair"),
    ("fsck", "--rebuild"),
    ("ls",),
    ("init", "{workspace}"),
)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with two versions and the leftovers of a daemon."""
    folder = tmp_path_factory.mktemp("base")
    source = folder / "source"
    source.mkdir()
    ws = Workspace(create_workspace(folder / "ws"))
    for text in ("one", "two"):
        (source / "a.txt").write_text(text * 5000)
        ws.put(source, "data")
    ws.gc()
    for opened in (folder / "ws").rglob("*"):
        os.chown(opened, ALICE, ALICE)
    os.chown(folder / "ws", ALICE, ALICE)
    return folder


class Hostile:
    """A copy of the workspace, and a folder outside that no command may change."""

    def __init__(self, base: Path, folder: Path) -> None:
        self.workspace, self.outside = folder / "ws", folder / "outside"
        self.base = base / "ws"
        self.out, self.source = folder / "out", base / "source"
        self.log = folder / "log"
        self.code = 0
        self.outside.mkdir(parents=True)

    def prepare(self, place: str, harm: Callable[[Hostile, Path, bool], None], *, is_folder: bool) -> None:
        for path in (self.workspace, self.outside, self.out):
            shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(self.base, self.workspace, ignore=shutil.ignore_patterns("reserve"))
        (self.workspace / "reserve").touch()
        for path in (self.workspace, *self.workspace.rglob("*")):
            os.chown(path, ALICE, ALICE)
        self.outside.mkdir()
        (self.outside / "folder").mkdir()
        (self.outside / "canary").write_bytes(SECRET)
        (self.outside / "folder" / "1.json").write_bytes(SECRET)
        harm(self, self.workspace / place, is_folder)

    def snapshot(self) -> dict[str, tuple[object, ...]]:
        """Return all that is outside: content, owner, mode and times; a hard link in the workspace may be removed."""
        found: dict[str, tuple[object, ...]] = {}
        for path in sorted([self.outside, *self.outside.rglob("*")]):
            status = path.lstat()
            content = path.read_bytes() if stat.S_ISREG(status.st_mode) else b""
            key = (status.st_mode, status.st_uid, status.st_gid, status.st_mtime_ns, status.st_ino)
            found[str(path.relative_to(self.outside))] = (*key, content)
        return found

    def run(self, command: tuple[str, ...]) -> str:
        """Run a command in a child; return what is wrong with how it ended, or an empty string."""
        places = {"out": self.out, "source": self.source, "workspace": self.workspace}
        arguments = ["-w", str(self.workspace), *(part.format(**places) for part in command)]
        pid = os.fork()
        if not pid:
            self._perform(arguments)
        deadline = time.monotonic() + MOST_SECONDS
        while not (ended := os.waitpid(pid, os.WNOHANG))[0]:
            if time.monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                return "it hangs"
            time.sleep(0.001)
        said = self.log.read_bytes()
        code = self.code = os.waitstatus_to_exitcode(ended[1])
        if b"Traceback" in said or b"internal error" in said or code < 0 or code > 7:
            return f"it ends with {code}: {said[-2000:].decode(errors='replace')}"
        return "it shows the canary" if SECRET in said else ""

    def _perform(self, arguments: list[str]) -> None:
        code = 99
        try:
            fd = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            null = os.open(os.devnull, os.O_RDONLY)
            for number, to in ((0, null), (1, fd), (2, fd)):
                os.dup2(to, number)
            sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w", buffering=1)  # noqa: SIM115
            privileges.refuse_root = lambda workspace: None
            code = main(arguments)
            sys.stdout.flush()
        finally:
            os._exit(code)


def _clear(path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def link_to_canary(case: Hostile, path: Path, is_folder: bool) -> None:
    _clear(path)
    path.symlink_to(case.outside / ("folder" if is_folder else "canary"))


def link_to_nothing(case: Hostile, path: Path, is_folder: bool) -> None:
    _clear(path)
    path.symlink_to(case.outside / "folder" / "made")


def link_to_moved(case: Hostile, path: Path, is_folder: bool) -> None:
    """What followed the link would find everything in order."""
    if not path.exists():
        link_to_canary(case, path, is_folder)
        return
    shutil.move(path, case.outside / "moved")
    path.symlink_to(case.outside / "moved")


def fifo(case: Hostile, path: Path, is_folder: bool) -> None:
    _clear(path)
    os.mkfifo(path, 0o666)
    os.chown(path, ALICE, ALICE)


def hard_link(case: Hostile, path: Path, is_folder: bool) -> None:
    _clear(path)
    os.link(case.outside / "canary", path)


def wrong_kind(case: Hostile, path: Path, is_folder: bool) -> None:
    _clear(path)
    path.touch() if is_folder else path.mkdir()
    os.chown(path, ALICE, ALICE)


def other_owner(case: Hostile, path: Path, is_folder: bool) -> None:
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        path.mkdir() if is_folder else path.touch()
    os.chown(path, MALLORY, MALLORY)


HARMS: Final = (link_to_canary, link_to_nothing, link_to_moved, fifo, hard_link, wrong_kind, other_owner)


def cases() -> Iterator[tuple[str, bool]]:
    yield from ((place, False) for place in FILES)
    yield from ((place, True) for place in FOLDERS)


def commands(number: int) -> list[tuple[str, ...]]:
    """Return the commands to be tried on a case: all if `ARTFS_HOSTILE` asks for it, else a few, each in its turn."""
    if os.environ.get("ARTFS_HOSTILE") == "all":
        return list(COMMANDS)
    return [COMMANDS[at % len(COMMANDS)] for at in range(number * SAMPLE, (number + 1) * SAMPLE)]


def test_every_command_works_on_a_sound_workspace(base: Path, tmp_path: Path) -> None:
    """Else the others would try nothing."""
    case = Hostile(base, tmp_path)
    case.prepare("nothing", lambda *_: None, is_folder=False)
    refused, said = [], b""
    for command in COMMANDS:
        if case.run(command) or case.code:
            refused.append(command)
            said += case.log.read_bytes()
    assert refused == [], said


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("harm", HARMS, ids=lambda harm: harm.__name__)
def test_no_command_leaves_the_workspace(
    base: Path, tmp_path: Path, harm: Callable[[Hostile, Path, bool], None]
) -> None:
    case = Hostile(base, tmp_path)
    faults = []
    for number, (place, is_folder) in enumerate(cases()):
        case.prepare(place, harm, is_folder=is_folder)
        before = case.snapshot()
        for command in commands(number + HARMS.index(harm)):
            wrong = case.run(command)
            if wrong:
                faults.append(f"{place}: {' '.join(command)}: {wrong}")
            after = case.snapshot()
            if after != before:
                changed = [name for name in {*before, *after} if before.get(name) != after.get(name)]
                faults.append(f"{place}: {' '.join(command)}: it changes {changed} outside")
                before = after
    assert not faults, "\n".join(faults)


def test_a_compaction_gives_nothing_away(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The owner exchanges the files of the copy for links while root makes it."""
    monkeypatch.setattr(privileges, "refuse_root", lambda workspace: None)
    case = Hostile(base, tmp_path)
    case.prepare("nothing", lambda *_: None, is_folder=False)
    before = case.snapshot()
    is_over = threading.Event()

    def exchange() -> None:
        while not is_over.is_set():
            for folder in case.workspace.glob("manifest.*"):
                if folder.name == "manifest.1":
                    continue
                for name in ("lease", "lock.mdb", "data.mdb"):
                    with suppress(OSError):
                        (folder / name).rename(folder / f"{name}.old")
                        (folder / name).symlink_to(case.outside / "canary")

    thread = threading.Thread(target=exchange)
    thread.start()
    try:
        for _ in range(20):
            with suppress(ArtfsError, OSError):
                compact_environment(Store.open(case.workspace))
    finally:
        is_over.set()
        thread.join()
    assert case.snapshot() == before
