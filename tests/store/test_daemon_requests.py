"""Changes reach every live daemon that answers, and no daemon that does not can hold a change up for long."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from artstore import daemon_requests
from artstore.daemon_requests import CACHE_SECONDS, PATIENCE_SECONDS, Change, PurgedEntry
from artstore.daemons import DaemonInfo, daemons_folder, live_daemons, runtime_folder, socket_path
from artstore.errors import BusyError, RefusedError

Answer = Callable[[dict[str, Any]], dict[str, Any] | None]


class FakeDaemon:
    """Hold a run file and answer on a socket as ``answer`` says; None is silence."""

    def __init__(self, run_dir: Path, folder: Path, name: str, answer: Answer | None) -> None:
        self.info = DaemonInfo(
            id=name,
            pid=os.getpid(),
            mountpoint=f"/mnt/{name}",
            socket=str(socket_path(folder, run_dir, name)),
            device="0:99",
            started_at=1.0,
            transport="fake",
            uid=os.getuid(),
            mounter=os.getuid(),
        )
        self.heard: list[dict[str, Any]] = []
        self._answer = answer
        path = daemons_folder(run_dir) / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("w")
        fcntl.flock(self._file, fcntl.LOCK_EX)
        self._file.write(json.dumps({**asdict(self.info), "of a later version": 1}))
        self._file.flush()
        self._listener = socket.socket(socket.AF_UNIX)
        self._thread = threading.Thread(target=self._serve)
        self._connections: list[socket.socket] = []

    def listen(self) -> None:
        self._listener.bind(self.info.socket)
        self._listener.listen()
        if self._answer is not None:
            self._thread.start()

    def _serve(self) -> None:
        assert self._answer is not None
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
            said = self._answer(self.heard[-1])
            if said is not None:
                connection.sendall(json.dumps(said).encode() + b"\n")
                connection.close()

    def die(self) -> None:
        """End as a killed process does: the lock and the socket go, the files stay."""
        self._file.close()
        with socket.socket(socket.AF_UNIX):
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
        for connection in self._connections:
            connection.close()
        if self._thread.is_alive():
            self._thread.join()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., FakeDaemon]]:
    folder = runtime_folder(os.getuid())
    daemons: list[FakeDaemon] = []

    def started(name: str, answer: Answer | None = lambda _: {"ok": True}, *, listening: bool = True) -> FakeDaemon:
        daemon = FakeDaemon(tmp_path, folder, name, answer)
        daemons.append(daemon)
        if listening:
            daemon.listen()
        return daemon

    yield started
    for daemon in daemons:
        with contextlib.suppress(OSError):
            daemon.die()
        Path(daemon.info.socket).unlink(missing_ok=True)


CHANGES = [Change("team", ["data"]), Change("team/data", ["v1", "latest"])]


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    begun = time.monotonic()
    result = call()
    return result, time.monotonic() - begun


def test_every_live_daemon_hears_of_a_change(start: Callable[..., FakeDaemon], tmp_path: Path) -> None:
    daemons = [start(name) for name in "abc"]
    silent, seconds = timed(lambda: daemon_requests.notify(tmp_path, CHANGES))
    assert silent == []
    assert seconds < 1
    expected = {"op": "invalidate", "changes": [["team", ["data"]], ["team/data", ["v1", "latest"]]]}
    assert [daemon.heard for daemon in daemons] == [[expected]] * 3
    assert live_daemons(tmp_path) == [daemon.info for daemon in daemons]


def test_nobody_is_nobody(tmp_path: Path, start: Callable[..., FakeDaemon]) -> None:
    """No daemons, no changes, no run files that can be read: nothing to wait for."""
    assert daemon_requests.notify(tmp_path, CHANGES) == []
    daemon = start("a")
    assert daemon_requests.notify(tmp_path, []) == []
    assert daemon.heard == []
    (daemons_folder(tmp_path) / "torn.json").write_text('{"id": "torn"')
    (daemons_folder(tmp_path) / "other.json").write_text("[]")
    assert live_daemons(tmp_path) == [daemon.info]


def test_the_dead_are_not_waited_for(start: Callable[..., FakeDaemon], tmp_path: Path) -> None:
    start("a").die()
    alive = start("b")
    silent, seconds = timed(lambda: daemon_requests.notify(tmp_path, CHANGES))
    assert silent == []
    assert seconds < 0.5
    assert live_daemons(tmp_path) == [alive.info]


@pytest.mark.parametrize("answer", [None, lambda _: None, lambda _: {"ok": False}, lambda _: {}])
def test_silence_costs_the_life_of_the_cache_and_no_more(
    start: Callable[..., FakeDaemon], tmp_path: Path, answer: Answer | None
) -> None:
    """One that does not answer or agree is named once what it may have cached has expired; others have heard."""
    silent_one, other_silent, heard = start("a", answer), start("b", answer), start("c")
    silent, seconds = timed(lambda: daemon_requests.notify(tmp_path, CHANGES))
    assert silent == [silent_one.info, other_silent.info]
    assert CACHE_SECONDS < seconds < PATIENCE_SECONDS + 0.4
    assert len(heard.heard) == 1


def test_a_daemon_that_is_just_starting_is_waited_for(start: Callable[..., FakeDaemon], tmp_path: Path) -> None:
    """The run file is there before the socket: a change in between is told as soon as somebody listens."""
    starting = start("a", listening=False)
    timer = threading.Timer(0.3, starting.listen)
    timer.start()
    silent, seconds = timed(lambda: daemon_requests.notify(tmp_path, CHANGES))
    timer.join()
    assert silent == []
    assert 0.25 < seconds < 1
    assert len(starting.heard) == 1


def test_a_daemon_that_dies_meanwhile_holds_nothing(start: Callable[..., FakeDaemon], tmp_path: Path) -> None:
    dying = start("a", None)
    timer = threading.Timer(0.3, dying.die)
    timer.start()
    silent, seconds = timed(lambda: daemon_requests.notify(tmp_path, CHANGES))
    timer.join()
    assert silent == []
    assert seconds < 1


def test_a_long_answer_and_a_long_request_arrive_whole(start: Callable[..., FakeDaemon], tmp_path: Path) -> None:
    daemon = start("a", lambda message: {"ok": True, "echo": message["text"]})
    text = "ä" * 200_000
    assert daemon_requests.request(daemon.info, {"op": "echo", "text": text}, timeout=5)["echo"] == text


def test_a_request_that_is_not_answered_is_an_error(start: Callable[..., FakeDaemon]) -> None:
    with pytest.raises(BusyError, match="does not answer"):
        daemon_requests.request(start("a", None).info, {"op": "status"}, timeout=0.2)
    with pytest.raises(BusyError, match="does not answer"):
        daemon_requests.request(start("b", listening=False).info, {"op": "status"}, timeout=0.2)


def test_nobody_else_is_talked_to(
    start: Callable[..., FakeDaemon], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A socket that another user holds gets no message."""
    impostor = start("a")
    monkeypatch.setattr(daemon_requests, "peer", lambda _: daemon_requests.Peer(1, os.getuid() + 1, 1))
    with pytest.raises(RefusedError, match="held by user"):
        daemon_requests.request(impostor.info, {"op": "status"}, timeout=1)
    assert daemon_requests.notify(tmp_path, CHANGES) == [impostor.info]
    assert impostor.heard == []


def test_the_folder_of_sockets_is_the_users_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_time = tmp_path / "run"
    run_time.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(run_time))
    folder = runtime_folder(os.getuid())
    assert folder == run_time / "artfs"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert runtime_folder(os.getuid()) == folder
    folder.chmod(0o755)
    with pytest.raises(RefusedError, match="belongs to user"):
        runtime_folder(os.getuid())
    folder.rmdir()
    folder.symlink_to(tmp_path)
    with pytest.raises(RefusedError, match="belongs to user"):
        runtime_folder(os.getuid())


def test_an_open_run_time_folder_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o755)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert runtime_folder(os.getuid()) == Path(f"/tmp/artfs-{os.getuid()}")


def test_a_socket_has_a_short_path_for_any_workspace() -> None:
    long = Path("/" + "/".join("n" * 200 for _ in range(10)))
    folder = Path("/tmp/artfs-1000")
    paths = {socket_path(folder, workspace, name) for workspace in (long, Path("/w")) for name in "ab"}
    assert len(paths) == 4
    assert all(len(os.fsencode(path)) < 107 for path in paths)


VERSIONS = [(4, 0, 17), (4, 1, 18), (5, 0, 19)]


def test_a_version_is_in_use_where_any_mount_says_so(start: Callable[..., FakeDaemon], tmp_path: Path) -> None:
    first = start("a", lambda _: {"ok": True, "in_use": [17]})
    start("b", lambda _: {"ok": True, "in_use": []})
    start("c", lambda _: {"ok": True, "in_use": [19]})
    assert daemon_requests.in_use(tmp_path, VERSIONS) == {17: "/mnt/a", 19: "/mnt/c"}
    assert first.heard == [{"op": "in_use", "versions": [[4, 0, 17], [4, 1, 18], [5, 0, 19]]}]
    assert daemon_requests.in_use(tmp_path, []) == {}
    assert len(first.heard) == 1


@pytest.mark.parametrize("answer", [None, lambda _: None, lambda _: {"ok": False, "errno": 38}, lambda _: {"ok": True}])
def test_who_does_not_say_counts_as_using_all(
    start: Callable[..., FakeDaemon], tmp_path: Path, answer: Answer | None
) -> None:
    """A daemon that is silent, refuses or does not know the question keeps everything; the wait for it is bounded."""
    start("a", answer)
    start("b", lambda _: {"ok": True, "in_use": [18]})
    found, seconds = timed(lambda: daemon_requests.in_use(tmp_path, VERSIONS))
    assert set(found) == {17, 18, 19}
    assert "/mnt/a" in found[17]
    assert "does not answer" in found[17]
    assert seconds < PATIENCE_SECONDS + 0.4


def test_a_dead_daemon_uses_nothing(start: Callable[..., FakeDaemon], tmp_path: Path) -> None:
    start("a", None).die()
    dying = start("b", None)
    timer = threading.Timer(0.3, dying.die)
    timer.start()
    found, seconds = timed(lambda: daemon_requests.in_use(tmp_path, VERSIONS))
    timer.join()
    assert found == {}
    assert seconds < 1


def test_a_long_question_arrives_whole(start: Callable[..., FakeDaemon], tmp_path: Path) -> None:
    """More than a socket takes at once."""
    daemon = start("a", lambda message: {"ok": True, "in_use": [serial for _, _, serial in message["versions"]]})
    versions = [(1, number, 100_000 + number) for number in range(30_000)]
    assert set(daemon_requests.in_use(tmp_path, versions)) == {serial for _, _, serial in versions}
    assert len(daemon.heard) == 1


def test_every_live_daemon_hears_of_a_purge(start: Callable[..., FakeDaemon], tmp_path: Path) -> None:
    """In parts, where it is long; and who did not hear of each part is named."""
    entries = [PurgedEntry(7, 0, number, b"\xff%d" % number) for number in range(40_000)]
    last = [7, 0, 39_999, "\udcff39999"]
    heard, silent = start("a"), start("b", lambda message: {"ok": last not in message["entries"]})
    assert daemon_requests.notify_purged(tmp_path, []) == []
    assert daemon_requests.notify_purged(tmp_path, entries) == [silent.info]
    told = [entry for message in heard.heard for entry in message["entries"]]
    assert told == [[7, 0, number, f"\udcff{number}"] for number in range(40_000)]
    assert {message["op"] for message in heard.heard} == {"purged"}
    assert len(heard.heard) == 3
