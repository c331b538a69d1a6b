"""Daemons that exist as a run file and a socket only, and answer requests as a test wants."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import resource
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from artstore.daemons import DaemonInfo, daemons_folder, runtime_folder, socket_path
from artstore.mount_leases import DeletedVersion, MountLeases

Answer = Callable[[dict[str, Any]], dict[str, Any] | None]


class FakeDaemon:
    """Hold a run file and answer on a socket with the results of ``answer``; None is silence."""

    def __init__(self, run_dir: Path, folder: Path, name: str, answer: Answer | None, *, device: str = "0:99") -> None:
        self.info = DaemonInfo(
            id=name,
            pid=os.getpid(),
            mountpoint=f"/mnt/{name}",
            socket=str(socket_path(folder, run_dir, name)),
            device=device,
            started_at=1.0,
            transport="fake",
            uid=os.getuid(),
            mounter=os.getuid(),
        )
        self.heard: list[dict[str, Any]] = []
        self.answer = answer
        path = daemons_folder(run_dir) / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("w")
        fcntl.flock(self._file, fcntl.LOCK_EX)
        self._file.write(json.dumps({**asdict(self.info), "of a later version": 1}))
        self._file.flush()
        self.leases = MountLeases.of_run_file(self._file.fileno())
        self._listener = socket.socket(socket.AF_UNIX)
        self._thread = threading.Thread(target=self._serve)
        self._connections: list[socket.socket] = []

    def listen(self) -> None:
        self._listener.bind(self.info.socket)
        self._listener.listen()
        if self.answer is not None:
            self._thread.start()

    def _serve(self) -> None:
        assert self.answer is not None
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connections.append(connection)
            line = connection.makefile("rb").readline()
            if not line:
                continue
            self.heard.append(json.loads(line))
            said = self.answer(self.heard[-1])
            if said is not None:
                connection.sendall(json.dumps(said).encode() + b"\n")
                connection.close()

    def take(self, *versions: DeletedVersion) -> None:
        for version in versions:
            self.leases.take(version.artifact, version.number, version.number)

    def release(self, *versions: DeletedVersion) -> None:
        for version in versions:
            self.leases.release(version.artifact, version.number)

    def die(self) -> None:
        """End as a killed process does: the locks and the socket go, the files stay."""
        self._file.close()
        self.leases.close()
        with contextlib.suppress(OSError):  # one that does not listen
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._connections:
            connection.close()
        if self._thread.is_alive():
            self._thread.join()
        for connection in self._connections:  # it may have accepted one more
            connection.close()


@contextmanager
def fake_daemons(run_dir: Path) -> Iterator[Callable[..., FakeDaemon]]:
    """Return a function that starts a daemon of a workspace: ``start(name, answer, listening=True, device=...)``."""
    folder = runtime_folder(os.getuid())
    daemons: list[FakeDaemon] = []

    def start(
        name: str, answer: Answer | None = lambda _: {"ok": True}, *, listening: bool = True, device: str = "0:99"
    ) -> FakeDaemon:
        daemon = FakeDaemon(run_dir, folder, name, answer, device=device)
        daemons.append(daemon)
        if listening:
            daemon.listen()
        return daemon

    try:
        yield start
    finally:
        for daemon in daemons:
            with contextlib.suppress(OSError):
                daemon.die()
            Path(daemon.info.socket).unlink(missing_ok=True)


@contextmanager
def without_descriptors(free: int = 0) -> Iterator[None]:
    """Let this process open at most ``free`` more descriptors inside the block."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest: list[int] = []
    try:
        while len(lowest) <= free:
            lowest.append(os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC))
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest[-1], limits[1]))
        for descriptor in lowest:
            os.close(descriptor)
        lowest.clear()
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for descriptor in lowest:
            os.close(descriptor)
