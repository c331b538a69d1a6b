"""Eight clients run every command on one workspace while others read it through mounts and are killed and stopped.

Every file says itself what its bytes must be, so whatever a client or a reader gets is verified, byte for byte. No
command may report damage, an internal error or a traceback, or hang; at the end the workspace is sound.  ``--seeded``
brings back a bug, and fails unless the run finds it.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import io
import json
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from artstore.errors import ArtfsError, BusyError, DamageError, NotFoundError
from artstore.workspace import init_workspace, open_workspace
from benchmarks.commands import Workspace
from soaks.report import Report, run

CLIENTS = 8
TRANSPORTS = ("direct", "pyfuse3")
NAMES = ("one", "two", "team/three")
_HEAD = struct.Struct("<QI")

_FINE = {0, 2, 3, 4}
"""Exit codes of commands whose object another client has changed, made or deleted."""


def content(seed: int, size: int) -> bytes:
    """Return the bytes of a file: its seed and size, and what follows from them."""
    return _HEAD.pack(seed, size) + random.Random(seed).randbytes(size)


def is_right(data: bytes) -> bool:
    """Return whether bytes are a whole file of `content`."""
    if len(data) < _HEAD.size:
        return False
    seed, size = _HEAD.unpack_from(data)
    return data == content(seed, size)


class Client:
    """A process that runs commands until it is ended; it notes each in its log."""

    def __init__(self, folder: Path, number: int, seed: int) -> None:
        self.random = random.Random(f"{seed} {number} {time.time_ns()}")
        self.workspace = folder / "workspace"
        self.source = folder / f"source-{number}"
        self.out = folder / f"out-{number}"
        self.log = (folder / f"log-{number}").open("a", buffering=1)

    def prepare(self) -> None:
        """Change the source: one to four of its files, of which other clients may have some."""
        for _ in range(self.random.randrange(1, 5)):
            below = self.source / f"d{self.random.randrange(3)}"
            below.mkdir(parents=True, exist_ok=True)
            size = self.random.choice((0, 20, 3000, 70_000, 400_000))
            (self.source.with_suffix(".new")).write_bytes(content(self.random.randrange(60), size))
            (self.source.with_suffix(".new")).rename(
                below / f"f{self.random.randrange(6)}"
            )  # whole, if it is killed meanwhile

    def words(self) -> list[str]:
        """Return the next command."""
        some, name = self.random.choice, self.random.choice(NAMES)
        version = f"{name}:v{self.random.randrange(40)}" if self.random.random() < 0.5 else name
        draft = f"draft{self.random.randrange(2)}"
        source = str(self.source)
        return some(
            [
                *[["put", source, name]] * 4,
                ["put", source, name, "--base", "latest"],
                *[["draft", "new", name, "--id", draft], ["draft", "add", draft, source, f"p{some('abc')}"]] * 2,
                ["draft", "new", name, "--id", draft, "--from", "latest"],
                ["draft", "add", draft, source, "--overwrite"],
                ["draft", "rm", draft, f"p{some('abc')}"],
                ["draft", "mv", draft, f"p{some('abc')}", f"p{some('abc')}/x"],
                ["draft", "status", draft],
                *[["draft", "commit", draft]] * 2,
                ["draft", "abort", draft],
                *[["get", version, str(self.out), "--overwrite"]] * 3,
                ["rm", version, "--force"],
                *[["rm", f"{name}:v{self.random.randrange(40)}", "--now", "--force"]] * 3,
                ["undelete", version],
                *[["gc"], ["gc", "--now"]],
                ["gc", "--compact"],
                ["purge", f"{version}/d0/f{self.random.randrange(6)}", "--reason", "a soak", "--everywhere"],
                ["alias", "set", version, some(("good", "best"))],
                ["alias", "rm", f"{name}:{some(('good', 'best'))}"],
                ["link", version, "linked"],
                ["diff", version, name],
                *[["why", version], ["du", name], ["usage"], ["status"], ["ls", name], ["log", name]],
                *[["fsck"], ["retention", "apply"], ["lineage", version], ["find"]],
            ]
        )

    def command(self, words: Sequence[str]) -> tuple[int, str]:
        """Run a command in this process; return its exit code and what it complained of."""
        from artfs.cli.main import main

        complaints = io.TextIOWrapper(io.BytesIO(), "utf-8")
        output = io.TextIOWrapper(io.BytesIO(), "utf-8")
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(complaints):
            code = main(["-w", str(self.workspace), *words])
        complaints.flush()
        complaints.seek(0)
        return code, complaints.read()

    def read(self) -> str:
        """Read a version through the API, and verify it; return what is wrong."""
        with open_workspace(self.workspace) as workspace:
            try:
                version = workspace.version(self.random.choice(NAMES))
                for where, _, files in version.walk():
                    for file in files:
                        path = f"{where}/{file}".strip("/")
                        if not is_right(version.read_bytes(path)):
                            return f"{version.name}/{path} has other bytes"
            except (NotFoundError, BusyError):
                pass
            except ArtfsError as error:
                return f"reading raises {type(error).__name__}: {error}"
        return ""

    def step(self) -> tuple[str, str]:
        """Do one thing; return its name and what is wrong."""
        if self.random.random() < 0.15:
            return "read", self.read()
        self.prepare()
        words = self.words()
        self.log.write(json.dumps(["begin", words]) + "\n")
        code, said = self.command(words)
        name = " ".join(words[:2]) if words[0] in ("draft", "alias", "retention") else words[0]
        wrong = ""
        if code not in _FINE and not (code == 1 and _is_busy(said)):
            wrong = f"{' '.join(words)} exits with {code}: {said[-300:]}"
        elif "Traceback" in said or "internal error" in said:
            wrong = f"{' '.join(words)} shows its inside: {said[-300:]}"
        elif words[0] == "get" and code == 0:
            wrong = "; ".join(f"{path} has other bytes" for path in self._wrong_copies())
        if words[0] == "get":
            shutil.rmtree(self.out, ignore_errors=True)
        return name, wrong

    def _wrong_copies(self) -> list[Path]:
        return [path for path in self.out.rglob("f?") if not is_right(path.read_bytes())]

    def run(self) -> None:
        """Go on until the process is killed."""
        while True:
            name, wrong = self.step()
            self.log.write(json.dumps(["end", name, wrong]) + "\n")


def _is_busy(said: str) -> bool:
    """Return whether a command was refused for what another process is doing."""
    return any(word in said for word in ("try again", "run the command again", "run it again", "fuser", "draft"))


def read_mount(folder: Path, mount: Path, number: int) -> None:
    """Read files below a mount, and verify them, until the process is killed."""
    chance = random.Random(f"{number} {time.time_ns()}")
    log = (folder / f"log-reader-{number}").open("a", buffering=1)
    while True:
        count, wrong = 0, ""
        for path in _files(mount, chance):
            try:
                data = path.read_bytes()
            except OSError as error:
                if error.errno in (errno.ENOENT, errno.ESTALE, errno.ENOTDIR, errno.ENOTCONN, errno.ENODEV):
                    continue
                time.sleep(0.5)
                with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                    path.stat()
                    wrong = f"{path} cannot be read: {error.strerror}"
                continue
            count += 1
            if not is_right(data):
                wrong = f"{path} has other bytes"
        log.write(json.dumps(["end", f"read by {mount.name}", wrong, count]) + "\n")
        time.sleep(0.05)


def _files(mount: Path, chance: random.Random) -> Iterator[Path]:
    """Yield files of a few versions."""
    with contextlib.suppress(OSError):
        name = mount / chance.choice(NAMES)
        versions = [each for each in os.listdir(name) if each.startswith("v")]
        for version in chance.sample(versions, min(2, len(versions))):
            for where, _, files in os.walk(name / version):
                for file in files:
                    yield Path(where) / file


class Churn:
    """The clients, readers and mounts of a run, and what goes wrong."""

    def __init__(self, folder: Path, seed: int, *, seeded: bool) -> None:
        self.folder = folder
        self.seed = seed
        self.random = random.Random(seed)
        self.options = ["--seeded"] if seeded else []
        self.processes: dict[tuple[str, str], subprocess.Popen[bytes]] = {}
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []
        init_workspace(folder / "workspace").close()

    def start(self, kind: str, number: str) -> None:
        """Start a client or reader."""
        words = [sys.executable, "-m", "soaks.churn", "--child", kind, "--folder", str(self.folder)]
        words += ["--number", number, "--seed", str(self.seed), *self.options]
        error = (self.folder / f"stderr-{kind}-{number}").open("ab")
        self.processes[kind, number] = subprocess.Popen(words, stderr=error, stdout=error, start_new_session=True)
        error.close()

    def disturb(self) -> None:
        """Kill or stop a client, or kill a worker of a mount; start again what has ended."""
        key = self.random.choice(list(self.processes))
        process = self.processes[key]
        chance = self.random.random()
        if chance < 0.3 and key[0] == "client":
            process.kill()
            self.counts["killed"] += 1
        elif chance < 0.6:
            process.send_signal(signal.SIGSTOP)
            time.sleep(self.random.random() * 2)
            process.send_signal(signal.SIGCONT)
            self.counts["stopped"] += 1
        elif chance < 0.8:
            workers = self.workers()
            if workers:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.random.choice(workers), signal.SIGKILL)
                    self.counts["workers killed"] += 1
        for (kind, number), process in list(self.processes.items()):
            code = process.poll()
            if code is not None:
                if code != -signal.SIGKILL:
                    self.wrong.append(f"the {kind} {number} has ended with {code}")
                self.start(kind, number)

    def workers(self) -> list[int]:
        """Return the workers of the mounts."""
        found = []
        for run_file in (self.folder / "workspace/run/daemons").glob("*.json"):
            with contextlib.suppress(OSError, ValueError, KeyError):
                found += list(json.loads(run_file.read_text()).get("workers", []))
                pid = json.loads(run_file.read_text())["pid"]
                children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
                found += [int(child) for child in children[1:]]
        return found

    def run(self, seconds: float) -> None:
        """Let all of them work for a time."""
        for number in range(CLIENTS):
            self.start("client", str(number))
        for transport in TRANSPORTS:
            self.start("reader", transport)
        until, told = time.monotonic() + seconds, time.monotonic()
        while time.monotonic() < until and len(self.wrong) < 50:
            time.sleep(self.random.random())
            self.disturb()
            if time.monotonic() > told + 60:
                told = time.monotonic()
                print(f"  {int(until - told)} s are left; {len(self.wrong)} faults", flush=True)
        for process in self.processes.values():
            process.kill()
            process.wait()

    def collect(self) -> None:
        """Read the logs."""
        for log in sorted(self.folder.glob("log-*")):
            for line in log.read_text().splitlines():
                with contextlib.suppress(ValueError):  # cut short by a kill
                    entry: list[Any] = json.loads(line)
                    if entry[0] == "end":
                        self.counts["operations"] += 1
                        self.counts[entry[1]] += 1
                        self.counts["files read through mounts"] += entry[3] if len(entry) > 3 else 0
                        if entry[2]:
                            self.wrong.append(entry[2])
        for log in sorted(self.folder.glob("stderr-*")):
            if text := log.read_text(errors="replace").strip():
                self.wrong.append(f"{log.name}: {text[-400:]}")

    def finish(self) -> int:
        """Check what is left; return the number of files that were verified."""
        verified = 0
        with open_workspace(self.folder / "workspace") as workspace:
            report = workspace.fsck(data=True)
            self.wrong += [f"fsck: {problem}" for problem in report.problems]
            workspace.gc(now=True)
            for artifact in workspace.artifacts():
                for version in workspace.versions(artifact.name):
                    for where, _, files in version.walk():
                        for file in files:
                            verified += 1
                            path = f"{where}/{file}".strip("/")
                            try:
                                is_good = is_right(version.read_bytes(path))
                            except DamageError:
                                is_good = False
                            if not is_good:
                                self.wrong.append(f"{version.name}/{path} has other bytes")
            self.wrong += [f"fsck after gc: {problem}" for problem in workspace.fsck(data=True).problems]
        return verified


def soak(report: Report, folder: Path, arguments: argparse.Namespace) -> None:
    """Run the whole case."""
    churn = Churn(folder, arguments.seed, seeded=arguments.seeded)
    workspace = Workspace(folder / "workspace")
    with contextlib.ExitStack() as mounts:
        for transport in TRANSPORTS:
            (folder / transport).mkdir()
            mounts.enter_context(workspace.mounted(folder / transport, "--transport", transport))
        churn.run(arguments.seconds)
    churn.collect()
    verified = churn.finish()
    for name, count in sorted(churn.counts.items()):
        report.figure(name, count, "")
    report.figure("files verified at the end", verified, "")
    for fault in churn.wrong[:30]:
        print(f"  {fault}", flush=True)
    if arguments.seeded:
        report.holds("the seeded bug is found", bool(churn.wrong))
    else:
        report.holds("nothing went wrong", not churn.wrong)


def _bring_back_a_bug() -> None:
    """Take what an earlier snapshot showed for the present, as steps of drafts and diff once did."""
    from artstore.drafting.open_draft import OpenDraft
    from artstore.store import Store

    OpenDraft._has_changed = lambda *_: False  # type: ignore[method-assign]
    Store.confirmed = lambda store, operation: operation(store)  # type: ignore[method-assign, assignment]


def child(arguments: argparse.Namespace) -> None:
    """Be a client or a reader."""
    if arguments.seeded:
        _bring_back_a_bug()
    if arguments.child == "client":
        Client(arguments.folder, int(arguments.number), arguments.seed).run()
    read_mount(arguments.folder, arguments.folder / arguments.number, TRANSPORTS.index(arguments.number))


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=600, help="how long the clients work [600]")
    options.add_argument("--seed", type=int, default=1, help="seed of what is killed and stopped [1]")
    options.add_argument("--seeded", action="store_true", help="bring back a bug, which the run must find")
    options.add_argument("--child", choices=["client", "reader"], help=argparse.SUPPRESS)
    options.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options.add_argument("--number", help=argparse.SUPPRESS)
    given, _ = options.parse_known_args()
    if given.child:
        child(given)
    else:
        run("churn", options, soak)
