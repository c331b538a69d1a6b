"""Interrupt one process that lives on: SIGINT at random moments, or KeyboardInterrupt at lines outside deferred calls.

After each interrupt, a garbage collection and the next call, the process has the same descriptors and threads as
before, holds no lock, and no draft of it is alive; at the end the workspace is sound.
"""

from __future__ import annotations

import argparse
import gc
import os
import random
import signal
import struct
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any, Final

import artstore
from artstore import interrupts
from artstore.reclaim import leases
from artstore.storage import environment
from artstore.workspace import Workspace, init_workspace
from soaks.report import Report, run

SOURCES = os.path.dirname(artstore.__file__)


class Bench:
    """A workspace, and what a notebook does with it."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.random = random.Random(seed)
        self.workspace: Workspace = init_workspace(folder / "workspace")
        self.source = folder / "source"
        self.source.mkdir()
        for number in range(12):
            (self.source / f"f{number}").write_bytes(self.random.randbytes(self.random.randrange(100, 300_000)))
        self.workspace.put(self.source, "data")

    def change(self) -> None:
        """Change a file of the source."""
        path = self.source / f"f{self.random.randrange(12)}"
        path.write_bytes(self.random.randbytes(self.random.randrange(100, 300_000)))

    def put(self) -> None:
        """Put the folder."""
        self.workspace.put(self.source, "data")

    def draft(self) -> None:
        """Open a draft, change it and commit it."""
        ident = f"d{self.random.randrange(1 << 40)}"
        try:
            draft = self.workspace.drafts.new("data", base="latest", id=ident)
            draft.add(self.source / "f1", "below/new", overwrite=True)
            draft.remove("below")
            draft.commit()
        except BaseException:
            for each in self.workspace.drafts.all():
                each.abort()
            raise

    def gather(self) -> None:
        """Gather a version and commit it."""
        from artstore.changes.committing import Commit

        gathering = self.workspace.drafts.gather("gathered")
        gathering.add(self.source / "f2", "a")
        gathering.add(self.source, "b")
        gathering.commit(Commit.checked("gathered"))

    def get(self) -> None:
        """Copy the version out."""
        self.workspace.get("data", self.folder / "out", overwrite=True)

    def read(self) -> None:
        """Read every file through the API."""
        version = self.workspace.version("data")
        for where, _, files in version.walk():
            for name in files:
                with version.open(f"{where}/{name}".strip("/")) as file:
                    while file.read(100_000):
                        pass

    def remove(self) -> None:
        """Delete old versions and free their bytes."""
        names = [version.name for version in self.workspace.versions("data")]
        if len(names) > 3:
            self.workspace.delete(*names[:-3], now=True, force=True)

    def collect(self) -> None:
        """Free what is due."""
        self.workspace.gc()

    def look(self) -> None:
        """Look at everything."""
        self.workspace.usage()
        self.workspace.artifacts()
        self.workspace.log("data")
        self.workspace.why("data")

    def operations(self) -> Mapping[str, Callable[[], None]]:
        """Return the operations by name."""
        named = (self.put, self.draft, self.gather, self.get, self.read, self.remove, self.collect, self.look)
        return {operation.__name__: operation for operation in named}

    def state(self) -> dict[str, Any]:
        """Return what an interrupt must leave as it was, after a collection and a call."""
        gc.collect()
        self.workspace.versions("data")
        leases._close_spares()  # open files without locks: an interrupt may cost one, and what is left then is a leak
        deadline = time.monotonic() + 5
        while threading.active_count() > 1 + len(KEPT) and time.monotonic() < deadline:
            time.sleep(0.001)
        links = [os.readlink(f"/proc/self/fd/{each}") for each in os.listdir("/proc/self/fd") if _is_open(each)]
        inside = [link for link in links if str(self.folder) in link and not link.endswith((".pack", "data.mdb"))]
        packs = len([link for link in links if link.endswith(".pack")]) - len(set(links) & set(_packs(links)))
        present = environment._open_environments.values()
        return {
            "descriptors": sorted(inside),
            "packs opened twice": packs,
            "threads": threading.active_count() - len(KEPT),
            "transactions": sum(len(each._users) for each in present),
            "lock": _is_free(environment._lock),
            "drafts": [draft.title for draft in self.workspace.drafts.states() if draft.alive],
            "deferring": interrupts.is_deferring(),
            "handler": signal.getsignal(signal.SIGINT) is signal.default_int_handler,
        }


_REQUEST: Final = struct.Struct("<dQ")
KEPT: list[threading.Thread] = []
"""Threads of this program."""


def _is_free(lock: Any) -> bool:
    """Return whether another thread can take a lock: the one that holds it can take it again."""
    free: list[bool] = []

    def take() -> None:
        free.append(lock.acquire(blocking=False))
        if free[0]:
            lock.release()

    thread = threading.Thread(target=take)
    thread.start()
    thread.join()
    return free[0]


def _is_open(descriptor: str) -> bool:
    return os.path.lexists(f"/proc/self/fd/{descriptor}")


def _packs(links: list[str]) -> list[str]:
    return [link for link in links if link.endswith(".pack")]


class Signaller:
    """A thread that sends SIGINT to this process after a delay, at most once for each request."""

    def __init__(self) -> None:
        self._reading, self._writing = os.pipe()  # what `threading` waits with would itself be interrupted
        self._wanted = 0
        self._last = 0
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, daemon=True)
        KEPT.append(self._thread)
        self._thread.start()

    def _run(self) -> None:
        while True:
            delay, number = _REQUEST.unpack(os.read(self._reading, _REQUEST.size))
            time.sleep(delay)
            with self._lock:
                if self._wanted == number:
                    self._wanted = 0
                    os.kill(os.getpid(), signal.SIGINT)

    def request(self, delay: float) -> None:
        """Send SIGINT after ``delay`` seconds, unless `cancel` comes first."""
        self._last += 1
        self._wanted = self._last
        os.write(self._writing, _REQUEST.pack(delay, self._last))

    def cancel(self) -> None:
        """Send no signal any more."""
        with self._lock:
            self._wanted = 0


def _in_finaliser(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_name == "__del__":
            return True
        frame = frame.f_back
    return False


class Tracer:
    """Raise KeyboardInterrupt at a line of the engine outside critical sections, the ``nth`` that is reached."""

    def __init__(self, nth: int) -> None:
        self._left = nth
        self.done = False

    def __call__(self, frame: FrameType, event: str, argument: object) -> Any:
        """Trace a frame of the engine."""
        if not frame.f_code.co_filename.startswith(SOURCES) or frame.f_code.co_name == "__del__" or self.done:
            return None  # exceptions of finalisers are lost
        if frame.f_code.co_filename == interrupts.__file__ or interrupts.is_deferring() or _in_finaliser(frame):
            return self
        if event == "line":
            self._left -= 1
            if self._left < 0:
                self.done = True
                raise KeyboardInterrupt
        return self


def interrupted(bench: Bench, operation: Callable[[], None], signaller: Signaller, chance: random.Random) -> bool:
    """Run an operation and send SIGINT during it; return whether it was interrupted."""
    try:
        signaller.request(chance.choice((0.002, 0.01, 0.04)) * chance.random() * 2)
        operation()
        signaller.cancel()
        time.sleep(0)
    except KeyboardInterrupt:
        return True
    finally:
        signaller.cancel()
    return False


def traced(operation: Callable[[], None], nth: int) -> bool:
    """Run an operation with KeyboardInterrupt at a line; return whether the line was reached."""
    tracer = Tracer(nth)
    sys.settrace(tracer)
    try:
        operation()
    except KeyboardInterrupt:
        pass
    finally:
        sys.settrace(None)
    return tracer.done


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """Return what has changed, in words; empty if nothing has."""
    return "; ".join(f"{key}: {before[key]} became {after[key]}" for key in before if before[key] != after[key])


def interrupt(folder: Path, count: int, seed: int) -> tuple[Counter[str], list[str]]:
    """Interrupt operations ``count`` times by signals and at lines; return how often each, and the faults."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    chance, signaller = random.Random(seed), Signaller()
    bench = Bench(folder, seed)
    operations = bench.operations()
    for operation in operations.values():
        operation()
    before, hits, wrong = bench.state(), Counter[str](), list[str]()
    last = time.monotonic()
    while sum(hits.values()) < count and len(wrong) < 20:
        name = chance.choice(list(operations))
        if chance.random() < 0.5:
            bench.change()
        is_line = chance.random() < 0.2
        hit = (
            traced(operations[name], int(chance.expovariate(1 / 40)))
            if is_line
            else interrupted(bench, operations[name], signaller, chance)
        )
        if not hit:
            continue
        hits[f"{name}{' at a line' if is_line else ''}"] += 1
        found = differences(before, bench.state())
        if found:
            wrong.append(f"{name}: {found}")
            before = bench.state()
        if time.monotonic() - last > 30:
            print(f"  {sum(hits.values())} interrupts, {len(wrong)} faults", flush=True)
            last = time.monotonic()
    report = bench.workspace.fsck(data=True)
    wrong += [f"fsck: {problem}" for problem in report.problems]
    return hits, wrong


def soak(report: Report, folder: Path, arguments: argparse.Namespace) -> None:
    """Run the whole case."""
    hits, wrong = interrupt(folder, arguments.count, arguments.seed)
    for name, count in sorted(hits.items()):
        report.figure(f"interrupts during {name}", count, "")
    report.figure("interrupts", sum(hits.values()), "")
    for fault in wrong[:20]:
        print(f"  {fault}", flush=True)
    report.holds("nothing was left open or locked", not wrong)


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--count", type=int, default=10_000, help="number of interrupts [10000]")
    options.add_argument("--seed", type=int, default=1, help="seed of the moments [1]")
    run("interrupts", options, soak)
