"""The zygote's children after the fork: the workers that serve the kernel, and the supervisor."""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn, Protocol

from artfs.mount import kernel
from artfs.mount.attributes import Modes
from artfs.mount.configuration import Configuration
from artfs.mount.counters import CountedChunks, Counters, Field, WorkerCounts
from artfs.mount.duty import Duty, Relief, Take
from artfs.mount.leases import WorkerLeases
from artfs.mount.nodetable import NodeTable
from artfs.mount.ownership import Shown
from artfs.mount.transports.handover import Channel, HandoverTransport
from artfs.mount.tree import RECORD_BYTES, Tree
from artfs.mount.wakefulness import LATENCY_DEVICE, Wakefulness
from artstore import beneath
from artstore.daemons import DaemonInfo, listen
from artstore.errors import ArtfsError, MountError
from artstore.mount_leases import MountLeases
from artstore.privileges import Owner
from artstore.references.recent import RecentSpans
from artstore.storage.chunkcaches import SharedChunkCache
from artstore.storage.readahead import Regions
from artstore.store import Store

__all__ = [
    "ENDED",
    "FAILED",
    "LEFT",
    "Kit",
    "Transport",
    "fork",
    "run_handover_worker",
    "run_supervisor",
    "run_worker",
    "send",
]

ENDED = 0
"""Exit code of a worker that the kernel has informed of the end of the mount."""
FAILED = 1
LEFT = 2
"""Exit code of a worker behind the fast lane, which has ended."""

_QUIET_SECONDS, _LONGEST_WAIT_SECONDS = 0.1, 3.0
"""How long workers must have had no request before the supervisor loads its modules, which uses a processor; and the
longest wait for that."""

_log = logging.getLogger(__name__)


class Transport(Protocol):
    """Carry the kernel's requests to the core."""

    runs_threads: bool
    """Whether other threads of a worker run while it waits for a request."""

    def answer_init(self) -> None:
        """Answer the kernel's first request, and no other."""

    def serve(
        self, tree: Tree, counts: WorkerCounts, note: Callable[[], None], take: Take, busy: Callable[[], None]
    ) -> None:
        """Answer requests until the mount has ended; call ``note`` for each.

        ``take`` waits for a request and reads it.  A transport that cannot answer for a while calls ``busy``.
        """


@dataclass(frozen=True, slots=True)
class Kit:
    """The objects that the zygote passes to its children.

    ``news`` is the children's end of the socket to it, ``device`` the mount's, and ``shown`` the owner that it shows.
    ``duty``, a file to lock, ``chunks``, ``regions``, ``recent`` and ``nodes`` are shared by the workers, ``leases`` by
    all.
    """

    configuration: Configuration
    owner: Owner
    device: int
    shown: Shown
    news: socket.socket
    counters: Counters
    transport: Transport
    duty: int
    chunks: SharedChunkCache
    regions: Regions
    recent: RecentSpans
    nodes: NodeTable
    leases: MountLeases


def send(news: socket.socket, message: dict[str, Any]) -> None:
    """Send one message to the other end."""
    news.send(json.dumps(message).encode())


def fork(task: Callable[[], int], *, closing: Iterable[int]) -> int:
    """Run ``task`` in a child that dies with this process, and return its pid; the result is the child's exit code.

    ``closing`` are descriptors that the child must not hold.  The process must have no other thread.
    """
    parent = os.getpid()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    _run_child(task, parent, closing)


def _run_child(task: Callable[[], int], parent: int, closing: Iterable[int]) -> NoReturn:
    code = FAILED
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGCHLD, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        kernel.die_with_parent(parent)
        for descriptor in closing:
            os.close(descriptor)
        code = task()
    except Exception:
        _log.exception("process %d of the mount failed", os.getpid())
    finally:
        logging.shutdown()
        os._exit(code)


def run_worker(kit: Kit, slot: int, device: int) -> int:
    """Serve requests from ``device``, a clone for this slot, and return when the mount has ended."""
    os.dup2(device, kit.device, inheritable=False)
    os.close(device)

    def serve(tree: Tree, counts: WorkerCounts, note: Callable[[], None]) -> None:
        kit.transport.serve(tree, counts, note, Duty(kit.duty, kit.device).read, _Busy(kit.news, slot).say)

    return ENDED if _work(kit, slot, serve) else FAILED


def run_handover_worker(kit: Kit, slot: int, channel: Channel) -> int:
    """Serve the requests that the fast lane hands over, and return when it has ended; this process has no device."""
    os.close(kit.device)
    transport = HandoverTransport(channel, kit.shown)
    return LEFT if _work(kit, slot, transport.serve) else FAILED


def _work(kit: Kit, slot: int, serve: Callable[[Tree, WorkerCounts, Callable[[], None]], None]) -> bool:
    """Become a worker; return whether it could begin."""
    parent = os.getppid()
    counts = kit.counters.slot(slot)
    try:
        note = _be_wakeful() if kit.configuration.low_latency else _note_nothing
        kit.owner.become()
        kernel.die_with_parent(parent)
        store = Store.open(Path(kit.configuration.workspace))
    except (ArtfsError, OSError) as error:
        send(kit.news, {"from": slot, "error": str(error), "hint": getattr(error, "hint", "")})
        return False
    store.chunks = CountedChunks(kit.chunks, counts)
    store.recent = kit.recent
    store.has_threads = kit.transport.runs_threads
    store.waits = not kit.transport.runs_threads
    store.reader.share_regions(kit.regions)
    counts.set(Field.PID, os.getpid())
    counts.set(Field.STARTED_NS, time.time_ns())
    send(kit.news, {"from": slot, "ready": True})
    tree = Tree(
        store,
        kit.counters.epoch,
        nodes=kit.nodes,
        leases=WorkerLeases(kit.leases, counts),
        modes=Modes(umask=kit.configuration.umask, readable=kit.configuration.readable),
        record_bytes=RECORD_BYTES // kit.configuration.workers,
    )
    serve(tree, counts, note)
    store.settle()
    return True


class _Busy:
    """Notify the zygote, once, that this worker waits for an outside service: it starts one more."""

    def __init__(self, news: socket.socket, slot: int) -> None:
        self._news = news
        self._slot = slot
        self._is_reported = False

    def say(self) -> None:
        if not self._is_reported:
            self._is_reported = True
            send(self._news, {"from": self._slot, "busy": True})


def _be_wakeful() -> Callable[[], None]:
    """Return the function to call for each request; for a process that is still root."""
    return Wakefulness(os.open(LATENCY_DEVICE, os.O_WRONLY | os.O_CLOEXEC)).note


def _note_nothing() -> None:
    pass


def run_supervisor(kit: Kit, info: DaemonInfo) -> int:
    """Listen on the control socket, report that, load the modules that answer, and answer until killed.

    The mount does not wait for the loading, which takes longer than all other steps: requests wait in the socket
    meanwhile.
    """
    parent = os.getppid()
    if kit.owner.uid != os.geteuid():
        import artfs.mount.following
        import artfs.mount.invalidator
        import artfs.mount.reaping
        import artfs.mount.releasing
        import artfs.mount.retaining
        import artfs.mount.supervisor  # noqa: F401  # the owner may not be able to reach root's interpreter
    kit.owner.become()
    kernel.die_with_parent(parent)
    try:
        if importlib.util.find_spec("trio") is None:
            raise MountError("trio is not installed", hint="pip install artfs")
        listener = listen(info)
        store = Store.open(Path(kit.configuration.workspace))
    except (ArtfsError, OSError) as error:
        send(kit.news, {"from": "supervisor", "error": str(error), "hint": getattr(error, "hint", "")})
        return FAILED
    send(kit.news, {"from": "supervisor", "ready": True})
    _await_quiet(listener, kit.counters)

    import trio

    from artfs.mount.following import Following
    from artfs.mount.invalidator import Invalidator
    from artfs.mount.reaping import Reaping
    from artfs.mount.releasing import Releasing
    from artfs.mount.retaining import Retaining
    from artfs.mount.supervisor import Supervisor

    invalidator = Invalidator(store, kit.device, kit.counters.epoch, kit.leases)
    supervisor = Supervisor(
        description=asdict(info),
        counters=kit.counters,
        forgetting=invalidator,
        reaping=Reaping(store, kit.counters),
        retaining=Retaining(store),
        following=Following(store),
        releasing=Releasing(store, kit.counters, kit.leases, invalidator.settle),
        relief=Relief(kit.device, kit.counters),
        unmount=lambda lazy: _ask_to_unmount(kit.news, lazy),
        uid=os.geteuid(),
        group=beneath.shared_group(store.path),
    )
    trio.run(supervisor.serve, listener)
    return FAILED


def _await_quiet(listener: socket.socket, counters: Counters) -> None:
    """Yield the processors and the disk to the mount's users, until they pause or a request reaches the supervisor."""
    before = -1
    for _ in range(round(_LONGEST_WAIT_SECONDS / _QUIET_SECONDS)):
        requests = counters.total(Field.REQUESTS)
        if requests == before or select.select([listener], [], [], _QUIET_SECONDS)[0]:
            return
        before = requests


def _ask_to_unmount(news: socket.socket, lazy: bool) -> int:
    send(news, {"from": "supervisor", "unmount": True, "lazy": lazy})
    return int(json.loads(news.recv(4096))["errno"])
