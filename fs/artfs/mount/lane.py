"""The fast lane: a compiled program that answers the kernel in front of the workers, and passes the rest on to them.

It is optional. `program` finds it, in the distribution ``artfs-lane``; `Lane` starts it, and starts it again when it
dies or when the environment is replaced.  The Python core stays the definition of what is right: the lane answers
requests for entries of living versions, and whatever is unusual it hands over, unanswered.

The program gets all its settings in one structure, `_PLAN`, which is ``struct plan`` in ``lane/src/lane.h``.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import signal
import socket
import struct
import time
from collections import deque
from collections.abc import Callable, Iterable
from enum import IntEnum
from pathlib import Path
from typing import Final, NoReturn, Protocol

from artfs.mount.attributes import Modes
from artfs.mount.configuration import Configuration
from artfs.mount.counters import Counters, Field
from artfs.mount.ownership import Shown
from artfs.mount.transports.handover import SLOT_BYTES, SLOTS, Channel
from artfs.mount.wakefulness import LATENCY_DEVICE
from artstore import beneath, locate
from artstore.errors import BusyError
from artstore.storage import disk
from artstore.storage.environment import map_size
from artstore.storage.lmdb_files import link_environment
from artstore.storage.manifest_folders import read_current

__all__ = ["INSTALL", "MOST_WORKERS", "Lane", "Verdict", "is_installed", "program"]

_ENDED, _REPLACED, _UNSUITED = 0, 75, 76
"""Exit codes of the program: the mount has ended; the environment was replaced; it cannot serve this workspace."""
_MAGIC: Final = 0x314E414C
_PLAN: Final = struct.Struct("=IIqqQIIiiiiiiIIIIII64i64i64i256s2560I")
INSTALL: Final = "apt install gcc liblmdb-dev libzstd-dev libxxhash-dev, then pip install ./lane in a clone of artfs"
"""What installs the program, a distribution of its own because pip compiles it."""
MOST_WORKERS: Final = 64
"""Workers behind a lane at most; it has no more threads, either."""
_HAZARDS: Final = (64 + 2 * 64) * 8
"""Bytes of ``struct hazards`` in ``lane/src/plan.c``."""
_NONE: Final = 0xFFFFFFFF
_DEATHS: Final = 3
_DEATH_SECONDS: Final = 60.0
_SWITCH: Final = "ARTFS_LANE"
_PACKAGE: Final = "artfs_lane"
"""It is looked for and not loaded: all that it has is the program."""

_log = logging.getLogger(__name__)


class Fork(Protocol):
    """Run a task in a child process; see `artfs.mount.children.fork`."""

    def __call__(self, task: Callable[[], int], *, closing: Iterable[int]) -> int:
        """Return the child's pid."""


class Verdict(IntEnum):
    """What follows from the end of the program."""

    MOUNT_ENDED = 0
    START_AGAIN = 1
    TURN_OFF = 2


def is_installed() -> bool:
    """Return whether the distribution with the program is there."""
    return importlib.util.find_spec(_PACKAGE) is not None


def program() -> str:
    """Return the path of the program, "" if it is not installed, or turned off by ``ARTFS_LANE=0``."""
    package = importlib.util.find_spec(_PACKAGE)
    if os.environ.get(_SWITCH) == "0" or package is None or package.origin is None:
        return ""
    path = Path(package.origin).with_name("artfs-lane")
    return str(path) if os.access(path, os.X_OK) else ""


class Lane:
    """Start the program of one mount; for the zygote."""

    def __init__(
        self, configuration: Configuration, shown: Shown, counters: Counters, clone: Callable[[], int]
    ) -> None:
        """Serve a mount, whose device ``clone`` clones; everything is shown as owned by ``shown``."""
        self._configuration = configuration
        self._shown = shown
        self._counters = counters
        self._clone = clone
        self._threads = min(MOST_WORKERS, 2 * len(os.sched_getaffinity(0)) + 2)
        self._devices = [clone() for _ in range(self._threads)]
        self._hazards = _memory("artfs-hazards", _HAZARDS)
        self._memories = [_memory("artfs-answers", SLOTS * SLOT_BYTES) for _ in range(configuration.workers)]
        self._ends: list[socket.socket | None] = [None] * configuration.workers
        self._control: socket.socket | None = None
        self._deaths: deque[float] = deque(maxlen=_DEATHS)
        self.pid = 0

    @property
    def descriptors(self) -> list[int]:
        """The descriptors of this process that no worker may hold."""
        control = [] if self._control is None else [self._control.fileno()]
        return [*self._devices, self._hazards, *control, *(end.fileno() for end in self._ends if end is not None)]

    def channel(self, slot: int) -> Channel:
        """Return a new channel for the worker in a slot; the program learns of it, now or when it starts."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        if self._control is None:
            self._close_end(slot)
            self._ends[slot] = ours
        else:
            with ours:
                try:
                    socket.send_fds(self._control, [struct.pack("=I", slot)], [ours.fileno()])
                except OSError as error:  # it is ending
                    _log.info("the fast lane did not take a channel: %s", error)
        return Channel(theirs, self._memories[slot])

    def start(self, fork: Fork, closing: list[int]) -> None:
        """Start the program, with the channels made since it ended; it does not hold the descriptors ``closing``."""
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        control = self._control
        with theirs:
            self.pid = fork(lambda: self._execute(theirs.fileno()), closing=[*closing, control.fileno()])
        for slot in range(len(self._ends)):
            self._close_end(slot)
        self._counters.lane.set(Field.PID, self.pid)
        self._counters.lane.set(Field.STARTED_NS, time.time_ns())

    def _close_end(self, slot: int) -> None:
        end, self._ends[slot] = self._ends[slot], None
        if end is not None:
            end.close()

    def _close_control(self) -> None:
        if self._control is not None:
            self._control.close()
            self._control = None

    def _execute(self, control: int) -> NoReturn:
        """Become the program."""
        plan, kept = self._make_plan(control)
        for descriptor in (plan, *kept):
            os.set_inheritable(descriptor, True)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        path = self._configuration.lane
        os.execve(path, [path, str(plan)], {})

    def _make_plan(self, control: int) -> tuple[int, list[int]]:
        """Return the descriptor of the plan, and those that the program must inherit."""
        configuration = self._configuration
        workspace = Path(configuration.workspace)
        folder, stamp, kept = _open_environment(workspace)
        latency = os.open(LATENCY_DEVICE, os.O_WRONLY | os.O_CLOEXEC) if configuration.low_latency else -1
        root = beneath.open_folder(workspace)
        packs = beneath.open_folder(workspace, "packs")
        group = beneath.shared_group(workspace)
        ends = [end.fileno() for end in self._ends if end is not None]
        shared = [self._counters.descriptor, self._hazards]
        data = _PLAN.pack(
            _MAGIC,
            _PLAN.size,
            *stamp,
            map_size(),
            self._counters.lane_at,
            self._counters.epoch_at,
            *shared,
            root,
            packs,
            control,
            latency,
            self._shown.uid,
            self._shown.gid,
            os.fstat(root).st_uid,
            _NONE if group is None else group,
            len(self._devices),
            len(ends),
            *_padded(self._devices),
            *_padded(ends),
            *_padded(self._memories),
            os.fsencode(folder),
            *Modes(umask=configuration.umask, readable=configuration.readable).shown,
        )
        plan = os.memfd_create("artfs-plan", os.MFD_CLOEXEC)
        os.write(plan, data)
        kept += [root, packs, control, *shared, *self._devices, *ends, *self._memories]
        return plan, kept + [latency] * (latency >= 0)

    def judge(self, status: int) -> Verdict:
        """Return what follows from the exit status of the program, and say why if it is turned off."""
        self.pid = 0
        self._counters.lane.set(Field.PID, 0)
        self._close_control()
        code = os.waitstatus_to_exitcode(status)
        if code == _ENDED:
            return Verdict.MOUNT_ENDED
        if code == _REPLACED:
            return Verdict.START_AGAIN
        self._counters.lane.add(Field.RESTARTS)
        now = time.monotonic()
        self._deaths.append(now)
        often = len(self._deaths) == _DEATHS and now - self._deaths[0] < _DEATH_SECONDS
        if code == _UNSUITED or often:
            _log.warning("the fast lane is turned off: the workers serve without it")
            return Verdict.TURN_OFF
        _log.warning("the fast lane has died (%s) and is restarted", code)
        return Verdict.START_AGAIN

    def renew_devices(self) -> None:
        """Close the devices, for kernels that cannot send requests again: these fail or retry those in progress."""
        for descriptor in self._devices:
            os.close(descriptor)
        self._devices = [self._clone() for _ in range(self._threads)]

    def close(self) -> None:
        """Close what is left."""
        self._close_control()
        for slot in range(len(self._ends)):
            self._close_end(slot)
        for descriptor in (*self._devices, self._hazards, *self._memories):
            os.close(descriptor)
        self._devices = []


def _memory(name: str, length: int) -> int:
    descriptor = os.memfd_create(name, os.MFD_CLOEXEC)
    os.ftruncate(descriptor, length)
    return descriptor


def _padded(descriptors: list[int]) -> list[int]:
    return descriptors + [-1] * (MOST_WORKERS - len(descriptors))


def _open_environment(workspace: Path) -> tuple[str, tuple[int, int], list[int]]:
    """Return a folder through which LMDB opens the environment in use, the stamp of `current`, and descriptors to keep.

    One of them holds the lock that keeps the environment from being replaced.
    """
    if locate.is_on_read_only_disk(workspace):
        os._exit(_UNSUITED)  # it is read without locks there
    while True:
        stamp, name = read_current(workspace)
        folder = workspace / name
        try:
            lease = beneath.open_file(workspace, folder / "lease", os.O_RDWR)
        except FileNotFoundError:
            if read_current(workspace)[0] == stamp:
                raise
            continue
        if not disk.try_lock(lease, shared=True):
            raise BusyError(f"the manifest of {workspace} is being replaced", hint="try again in a few seconds")
        path, descriptors = link_environment(workspace, folder)
        if read_current(workspace)[0] == stamp:
            return path, stamp, [lease, *descriptors]
        for descriptor in (lease, *descriptors):
            os.close(descriptor)
