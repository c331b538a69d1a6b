"""The daemon's first process: it mounts, makes all others, and replaces workers that die.

It is small and has one thread, so that forking is safe: a copy of `artfs mount`, or a new process if another program
mounts.  It answers the kernel's INIT and nothing else, never opens the store, and never looks into its own mount,
because it might then wait for the workers that it has to replace.

    zygote ── supervisor     control socket (trio)
           ├─ worker 0       requests, on a device of its own
           ├─ worker n
           └─ fast lane      if it is installed: it has the devices, and the workers answer what it hands over

This code assumes: if the zygote or the supervisor dies, everything ends and readers get ENOTCONN, never a hang.  The
zygote ensures it for the supervisor, the kernel for the zygote, by PDEATHSIG.  A mount whose daemon crashed stays in
the table of mounts: an empty folder in its place would look like deleted data.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import json
import logging
import math
import os
import select
import selectors
import signal
import socket
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from artfs.mount import kernel
from artfs.mount.attaching import Attached, attach, device_number
from artfs.mount.children import ENDED, LEFT, Kit, fork, run_handover_worker, run_supervisor, run_worker, send
from artfs.mount.configuration import LIFELINE, Configuration
from artfs.mount.counters import Counters, Field
from artfs.mount.lane import Lane, Verdict
from artfs.mount.nodetable import NodeTable
from artfs.mount.notifications import resend_requests
from artfs.mount.ownership import run_as
from artfs.mount.runfile import RunFile, log_file, remove_empty_log
from artstore import beneath
from artstore.daemons import DaemonInfo, remove_socket, runtime_folder, shared_socket, socket_path
from artstore.errors import ArtfsError, MountError
from artstore.mount_leases import MountLeases
from artstore.privileges import import_modules
from artstore.references.recent import RecentSpans
from artstore.storage.chunkcaches import SharedChunkCache
from artstore.storage.readahead import Regions

__all__ = ["Zygote", "main", "serve"]

_START_SECONDS = 30.0
_END_SECONDS = 5.0
_MORE_WORKERS = 8
"""Upper limit of extra workers; one is started for each worker that waits for an outside service."""
_QUICK_DEATH_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 2.0
_KILLS_RESCUED, _CRASHES_RESCUED = 16, 1
_HOPELESS_STARTS = 8
_COLLECT_AFTER = (700, 10, 10)
"""The thresholds of the cycle collector in processes that go on: those of CPython, which the command has raised."""
"""After that many consecutive workers that could not start, reads fail instead of waiting."""

_log = logging.getLogger(__name__)


class Zygote:
    """Make, keep and end one mount."""

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self._directory = os.fsencode(configuration.directory)
        self._owner = configuration.owner
        self._ready = configuration.ready
        self._counters = Counters(configuration.workers + _MORE_WORKERS)
        self._most_slots = configuration.workers
        self._news, self._children_news = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._selector = selectors.DefaultSelector()
        self._slots: dict[int, int] = {}
        self._devices: dict[int, int] = {}
        self._supervisor = 0
        self._detacher = 0
        self._lazy = False
        self._answer_detach = False
        self._signals_taken = 0
        self._failed_starts = 0
        self._waiting: dict[int, float] = {}
        self._lane: Lane | None = None
        self._ended = False
        self._last_moment = math.inf

    def run(self) -> int:
        """Mount, report on the ready pipe, serve until the mount has ended, and return the exit code."""
        self._prepare_signals()
        try:
            attached = attach(self._configuration)
        except Exception as error:
            return self._report_failure(error)
        try:
            self._start(attached)
        except Exception as error:
            self._kill_all()
            attached.give_up(self._directory)
            self._clean()
            return self._report_failure(error)
        self._report({"ready": True})
        try:
            return self._keep()
        finally:
            self._kill_all()
            self._clean()

    def _start(self, attached: Attached) -> None:
        """Start all children: the supervisor first, so that nothing is cached before it listens."""
        owner = self._owner
        self._device = attached.device
        if owner.uid != os.geteuid():
            import artstore

            import_modules(artstore)
        address, _ = run_as(owner, lambda: (self._socket_path(), ()))
        self._info = DaemonInfo(
            id=self._configuration.id,
            pid=os.getpid(),
            mountpoint=self._configuration.directory,
            socket=str(address),
            device=device_number(self._directory),
            started_at=time.time(),
            transport=attached.name,
            low_latency=self._configuration.low_latency,
            uid=owner.uid,
            mounter=os.getuid(),
            allow_other=self._configuration.allow_other,
        )
        kernel.widen_readahead(self._info.device)
        path, (descriptor,) = run_as(owner, self._make_run_file)
        self._run_file = RunFile(Path(path), descriptor)
        self._info = replace(self._info, run_file=str(self._run_file.path))
        self._kit = Kit(
            self._configuration,
            owner,
            self._device,
            attached.shown,
            self._children_news,
            self._counters,
            attached.transport,
            os.memfd_create("artfs-duty", os.MFD_CLOEXEC),
            SharedChunkCache(),
            Regions(),
            RecentSpans(),
            NodeTable(),
            MountLeases.of_run_file(self._run_file.descriptor),
        )
        gc.set_threshold(*_COLLECT_AFTER)
        gc.freeze()  # without a collection, which takes as long as ten modules and finds nearly nothing
        self._supervisor = fork(lambda: run_supervisor(self._kit, self._info), closing=self._private(supervisor=True))
        if self._configuration.lane and attached.name == "direct":
            self._lane = Lane(
                self._configuration, attached.shown, self._counters, partial(kernel.clone_device, self._device)
            )
        else:
            self._await_ready(1)  # workers have the device, and serve as soon as they run; behind a lane they have none
        for slot in range(self._configuration.workers):
            self._start_worker(slot)
        self._await_ready(self._configuration.workers + (self._lane is not None))
        self._start_lane()

    def _socket_path(self) -> str:
        run_dir = Path(self._configuration.run_dir)
        if beneath.shared_group(run_dir.parent) is not None:
            return str(shared_socket(run_dir, self._configuration.id))
        folder = runtime_folder(os.geteuid())
        return str(socket_path(folder, Path(self._configuration.workspace), self._configuration.id))

    def _make_run_file(self) -> tuple[str, list[int]]:
        made = RunFile.create(Path(self._configuration.run_dir), self._info)
        return str(made.path), [made.descriptor]

    def _private(self, *, supervisor: bool = False, lane: bool = False) -> list[int]:
        """Return the descriptors that a child must not hold; the supervisor shares the run file's lock."""
        ours = [self._news.fileno(), self._selector.fileno(), *self._wakeup, *self._devices.values()]
        if self._lane is not None and not lane:
            ours += self._lane.descriptors
        if not supervisor:
            ours.append(self._run_file.descriptor)
        return ours + [fd for fd in (self._ready, self._configuration.lifeline) if fd >= 0]

    def _prepare_signals(self) -> None:
        """Turn signals into bytes in a pipe, which the loop reads when it is ready for them."""
        reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._wakeup = (reading, writing)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        self._selector.register(reading, selectors.EVENT_READ, self._on_signal)
        self._selector.register(self._news, selectors.EVENT_READ, self._on_news)
        if self._configuration.lifeline >= 0:
            self._selector.register(self._configuration.lifeline, selectors.EVENT_READ, self._on_lifeline)

    def _await_ready(self, count: int) -> None:
        """Wait until ``count`` children have reported that they are ready; MountError with their error otherwise."""
        deadline = time.monotonic() + _START_SECONDS
        while count:
            if not select.select([self._news], [], [], 0.1)[0]:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid:
                    raise MountError(f"the daemon did not start: one of its processes ended with {_how(status)}")
                if time.monotonic() > deadline:
                    raise MountError(f"the daemon did not start within {_START_SECONDS:.0f} s")
                continue
            message = json.loads(self._news.recv(65536))
            if "error" in message:
                raise MountError(message["error"], hint=message["hint"])
            count -= 1

    def _start_worker(self, slot: int) -> None:
        self._waiting.pop(slot, None)
        if self._lane is not None:
            channel = self._lane.channel(slot)
            with channel.socket:
                pid = fork(lambda: run_handover_worker(self._kit, slot, channel), closing=self._private())
            self._note_worker(pid, slot)
            return
        if slot not in self._devices:
            self._devices[slot] = kernel.clone_device(self._device)
        device = self._devices[slot]
        closing = [descriptor for descriptor in self._private() if descriptor != device]
        self._note_worker(fork(lambda: run_worker(self._kit, slot, device), closing=closing), slot)

    def _note_worker(self, pid: int, slot: int) -> None:
        self._slots[pid] = slot
        self._counters.slot(slot).set(Field.PID, pid)
        self._counters.slot(slot).set(Field.STARTED_NS, time.time_ns())

    def _start_lane(self) -> None:
        if self._lane is not None:
            self._lane.start(fork, self._private(lane=True))

    def _on_lane_end(self, lane: Lane, status: int) -> None:
        """Start the lane and all workers again, or the workers alone; the kernel sends again what was not answered."""
        verdict = lane.judge(status)
        if verdict is Verdict.MOUNT_ENDED:
            self._end_soon()
        if self._ended:
            return
        self._kill(*self._slots)  # an answer to a former lane must not come to the next
        for pid in self._slots:
            os.waitpid(pid, 0)
        self._slots.clear()
        if not resend_requests(self._device):
            lane.renew_devices()
        if verdict is Verdict.TURN_OFF:
            self._lane = None
            lane.close()
        for slot in range(self._most_slots):
            self._start_worker(slot)
        self._start_lane()

    def _end_soon(self) -> None:
        """Wait for the workers to end: the kernel has ended the mount."""
        self._ended = True
        self._waiting.clear()
        self._last_moment = time.monotonic() + _END_SECONDS

    def _keep(self) -> int:
        """Serve until no worker is left after the kernel has ended the mount; return the exit code."""
        while not (self._ended and not self._slots):
            now = time.monotonic()
            for slot, when in list(self._waiting.items()):
                if when <= now:
                    self._start_worker(slot)
            if self._last_moment <= now:
                self._kill(*self._slots)  # a suspended worker would never end
                self._last_moment = math.inf
            moments = [self._last_moment, *self._waiting.values()]
            pause = max(0.0, min(moments) - now) if min(moments) < math.inf else None
            for key, _ in self._selector.select(pause):
                code = key.data()
                if code is not None:
                    return int(code)
        return 0

    def _on_signal(self) -> int | None:
        received = os.read(self._wakeup[0], 4096)
        for number in received:
            if number in (signal.SIGTERM, signal.SIGINT):
                self._signals_taken += 1
                if self._signals_taken > 1:
                    return self._end_at_once()
                self._detach(lazy=False)
        return self._reap()

    def _on_lifeline(self) -> None:
        """Unmount: the process that this mount was made for has ended."""
        self._selector.unregister(self._configuration.lifeline)
        self._detach(lazy=False)

    def _on_news(self) -> None:
        message: dict[str, Any] = json.loads(self._news.recv(65536))
        if message.get("unmount"):
            self._answer_detach = True
            self._detach(lazy=bool(message["lazy"]))
        elif message.get("busy"):
            self._start_another()
        elif "error" in message:
            _log.error("worker %s cannot start: %s", message["from"], message["error"])

    def _start_another(self) -> None:
        """Start one more worker, so that requests are served while another worker waits for an outside service."""
        if self._most_slots < self._counters.slots and not self._ended:
            self._most_slots += 1
            self._start_worker(self._most_slots - 1)

    def _detach(self, *, lazy: bool) -> None:
        """Unmount in a child, because it may wait for requests that the workers are serving."""
        if self._detacher:
            return
        self._lazy = lazy
        self._detacher = fork(lambda: self._detach_in_child(lazy), closing=self._private())

    def _detach_in_child(self, lazy: bool) -> int:
        """Unmount at the current mount point, which differs if a folder above it has been renamed."""
        from artstore.locate import mount_points

        places = [point.path for point in mount_points() if point.device == self._info.device]
        try:
            kernel.detach(os.fsencode(places[-1]) if places else self._directory, lazy=lazy)
        except OSError as error:
            return error.errno or errno.EIO
        return 0

    def _on_detached(self, status: int) -> None:
        """Handle the result of the unmount: if the supervisor requested it, a busy mount is only reported."""
        self._detacher = 0
        number = os.waitstatus_to_exitcode(status)
        if self._answer_detach:
            self._answer_detach = False
            send(self._news, {"errno": number})
        elif number == errno.EBUSY and not self._lazy:
            _log.info("%s is in use: detached, and served until it is no longer used", self._configuration.directory)
            self._detach(lazy=True)
        elif number:
            _log.error("unmounting %s failed: %s", self._configuration.directory, os.strerror(abs(number)))

    def _reap(self) -> int | None:
        """Take note of children that have ended; return an exit code if the daemon must end with them."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return None
            if pid == 0:
                return None
            if pid == self._detacher:
                self._on_detached(status)
            elif pid == self._supervisor:
                self._supervisor = 0
                _log.error("the supervisor has died (%s): ending the mount's daemon", _how(status))
                return 1
            elif self._lane is not None and pid == self._lane.pid:
                self._on_lane_end(self._lane, status)
            elif pid in self._slots and self._on_worker_death(self._slots.pop(pid), status):
                return 1

    def _on_worker_death(self, slot: int, status: int) -> bool:
        """Plan a worker's replacement; return whether the daemon must give up."""
        code = os.waitstatus_to_exitcode(status)
        if code == ENDED:
            self._end_soon()
        if self._ended or code == LEFT:  # after LEFT, the end of the lane says what follows
            return False
        counts = self._counters.slot(slot)
        counts.add(Field.RESTARTS)
        lived = (time.time_ns() - counts.get(Field.STARTED_NS)) / 1e9
        self._failed_starts = self._failed_starts + 1 if lived < _QUICK_DEATH_SECONDS else 0
        _log.warning("worker %d has died (%s) and is restarted", slot, _how(status))
        if self._failed_starts >= _HOPELESS_STARTS and not self._slots:
            _log.error("workers keep dying: ending the mount's daemon")
            return True
        if self._lane is None:
            self._rescue_requests(slot, status)
        pause = 0.0 if self._failed_starts < 2 else min(_LONGEST_PAUSE_SECONDS, 0.02 * 2**self._failed_starts)
        self._waiting[slot] = time.monotonic() + pause
        return False

    def _rescue_requests(self, slot: int, status: int) -> None:
        """Hand the requests that a dead worker had read but not answered to other workers.

        Its device is still open here, so these requests wait in it.  If the kernel cannot send them again, or if they
        may be the cause of the deaths, the device is closed instead: the kernel retries reads then, and other calls
        fail with ECONNABORTED.
        """
        was_killed = -os.waitstatus_to_exitcode(status) in (signal.SIGKILL, signal.SIGTERM)
        hopeful = self._failed_starts <= (_KILLS_RESCUED if was_killed else _CRASHES_RESCUED)
        if not (hopeful and resend_requests(self._device)):
            os.close(self._devices.pop(slot))

    def _end_at_once(self) -> int:
        """Detach the mount even if it is in use, and end."""
        pid = fork(lambda: self._detach_in_child(True), closing=self._private())
        deadline = time.monotonic() + _END_SECONDS
        while time.monotonic() < deadline:
            if os.waitpid(pid, os.WNOHANG)[0]:
                break
            time.sleep(0.01)
        return 1

    def _kill_all(self) -> None:
        self._kill(*self._slots, self._supervisor, self._detacher, 0 if self._lane is None else self._lane.pid)
        while True:
            try:
                os.waitpid(-1, 0)
            except ChildProcessError:
                return

    def _kill(self, *pids: int) -> None:
        """Kill those of ``pids`` that are not 0; all are children of this process."""
        for pid in filter(None, pids):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _clean(self) -> None:
        """Remove the run file, the socket, and the log if nothing was written to it."""
        with contextlib.suppress(OSError):
            sys.stderr.flush()
        with contextlib.suppress(OSError):
            run_as(self._owner, self._remove_files)

    def _remove_files(self) -> tuple[None, list[int]]:
        if hasattr(self, "_run_file"):
            with contextlib.suppress(OSError):
                remove_socket(Path(self._configuration.workspace), self._run_file.path, self._info)
            self._run_file.remove()
        remove_empty_log(log_file(Path(self._configuration.run_dir), self._configuration.id))
        return None, []

    def _report_failure(self, error: Exception) -> int:
        """Report to the caller why nothing is mounted, and return the exit code."""
        if not isinstance(error, ArtfsError | OSError):
            _log.error("starting failed", exc_info=error)
        message = str(error) or type(error).__name__
        self._report({"error": message, "hint": getattr(error, "hint", "")})
        return 1

    def _report(self, message: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):
            os.write(self._ready, json.dumps(message).encode() + b"\n")
        os.close(self._ready)
        self._ready = -1


def _how(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    if code == -signal.SIGKILL:
        return "signal SIGKILL, perhaps for want of memory"
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def serve(configuration: Configuration) -> NoReturn:
    """Run as the daemon of a mount until it ends; the process must have no other thread."""
    os.closerange(LIFELINE + 1, os.sysconf("SC_OPEN_MAX"))  # libraries of the caller may have left files open
    os.chdir("/")
    os.umask(0o077)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(process)d %(message)s", stream=sys.stderr)
    code = Zygote(configuration).run()
    logging.shutdown()
    os._exit(code)


def main() -> None:
    """Run the daemon that the one argument describes."""
    serve(Configuration.decode(sys.argv[1]))


if __name__ == "__main__":
    main()
