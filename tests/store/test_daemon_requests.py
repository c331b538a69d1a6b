"""Changes reach every live daemon that answers, and no daemon that does not can hold a change up for long."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from artstore import daemon_requests
from artstore.daemon_requests import CACHE_SECONDS, PATIENCE_SECONDS, Change, PurgedEntry
from artstore.daemons import daemons_folder, live_daemons
from artstore.errors import BusyError, RefusedError
from artstore.mount_leases import DeletedVersion
from messages import missing, raises
from reasons import has_reason
from store.fake_daemons import Answer, FakeDaemon, fake_daemons, without_descriptors


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., FakeDaemon]]:
    with fake_daemons(tmp_path) as started:
        yield started


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
    for daemon in (start("a", None), start("b", listening=False)):
        with raises(BusyError, names=[str(daemon.info.mountpoint), str(daemon.info.pid)], reason="no answer"):
            daemon_requests.request(daemon.info, {"op": "status"}, timeout=0.2)


def test_nobody_else_is_talked_to(
    start: Callable[..., FakeDaemon], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A socket that another user holds gets no message."""
    impostor = start("a")
    monkeypatch.setattr(daemon_requests, "peer", lambda _: daemon_requests.Peer(1, os.getuid() + 1, 1))
    with raises(RefusedError, names=[str(impostor.info.mountpoint), f"user {os.getuid() + 1}"]):
        daemon_requests.request(impostor.info, {"op": "status"}, timeout=1)
    assert daemon_requests.notify(tmp_path, CHANGES) == [impostor.info]
    assert impostor.heard == []


VERSIONS = [DeletedVersion(4, 0, 17), DeletedVersion(4, 1, 18), DeletedVersion(5, 0, 19)]


def test_a_version_is_in_use_where_a_mount_keeps_its_lease(start: Callable[..., FakeDaemon], tmp_path: Path) -> None:
    """Only the daemons that have leases are asked, for those; what they release then is in use no more."""
    first, second, third, idle = (start(name) for name in "abcd")
    first.take(*VERSIONS[:2])
    second.take(VERSIONS[0])
    second.answer = lambda _: second.release(VERSIONS[0]) or {"ok": True}
    third.take(VERSIONS[2])
    idle.take(DeletedVersion(4, 2, 20), DeletedVersion(6, 0, 21))
    assert daemon_requests.in_use(tmp_path, VERSIONS) == {17: "/mnt/a", 18: "/mnt/a", 19: "/mnt/c"}
    assert first.heard == [{"op": "in_use", "versions": [[4, 0, 17], [4, 1, 18]]}]
    assert third.heard == [{"op": "in_use", "versions": [[5, 0, 19]]}]
    assert idle.heard == []
    first.answer = lambda _: first.release(*VERSIONS[:2]) or {"ok": True}
    assert daemon_requests.in_use(tmp_path, VERSIONS) == {19: "/mnt/c"}
    assert daemon_requests.in_use(tmp_path, VERSIONS, evicted=["c"]) == {}
    assert daemon_requests.in_use(tmp_path, []) == {}
    assert len(third.heard) == 2


@pytest.mark.parametrize("answer", [None, lambda _: None, lambda _: {"ok": False, "errno": 38}])
def test_a_daemon_that_does_not_answer_keeps_what_it_has_leases_of(
    start: Callable[..., FakeDaemon], tmp_path: Path, answer: Answer | None
) -> None:
    """And nothing else; the wait for it is bounded, and ends with its name."""
    silent, other = start("a", answer), start("b")
    silent.take(VERSIONS[0])
    other.take(VERSIONS[1])
    found, seconds = timed(lambda: daemon_requests.in_use(tmp_path, VERSIONS))
    assert set(found) == {17, 18}
    assert found[18] == "/mnt/b"
    assert has_reason(found[17], "no answer") and not missing(found[17], ["/mnt/a", str(os.getpid())])
    assert seconds < PATIENCE_SECONDS + 0.4


@pytest.mark.parametrize("serials", [5, "17", {"17": True}, [17, "18"], [None], [[4, 0, 17]], [], None])
def test_whatever_a_daemon_answers_its_leases_count(
    start: Callable[..., FakeDaemon], tmp_path: Path, serials: object
) -> None:
    start("a", lambda _: {"ok": True, "in_use": serials}).take(VERSIONS[1])
    assert daemon_requests.in_use(tmp_path, VERSIONS) == {18: "/mnt/a"}


def test_a_dead_daemon_uses_nothing(start: Callable[..., FakeDaemon], tmp_path: Path) -> None:
    for name, seconds in (("a", 0.0), ("b", 0.3)):
        dying = start(name, None)
        dying.take(*VERSIONS)
        timer = threading.Timer(seconds, dying.die)
        timer.start()
        found, took = timed(lambda: daemon_requests.in_use(tmp_path, VERSIONS))
        timer.join()
        assert found == {}
        assert took < 1


def test_a_run_file_that_cannot_be_examined_keeps_everything(
    start: Callable[..., FakeDaemon], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of another user that is not the group's to read."""
    start("a")

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(daemon_requests, "leased", refuse)
    found = daemon_requests.in_use(tmp_path, VERSIONS)
    assert set(found) == {17, 18, 19}
    monkeypatch.setattr(daemon_requests, "recorded_daemons", lambda _: [])
    assert str(daemons_folder(tmp_path) / "a.json") in daemon_requests.in_use(tmp_path, VERSIONS)[17]


def test_a_long_question_arrives_whole(start: Callable[..., FakeDaemon], tmp_path: Path) -> None:
    """More than a socket takes at once."""
    daemon = start("a")
    versions = [DeletedVersion(1, number, 100_000 + number) for number in range(30_000)]
    daemon.leases.take(1, 0, 29_999)
    assert set(daemon_requests.in_use(tmp_path, versions)) == {serial for _, _, serial in versions}
    (heard,) = daemon.heard
    assert heard["versions"] == [list(version) for version in versions]


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


def test_an_answer_may_come_in_pieces(start: Callable[..., FakeDaemon], tmp_path: Path) -> None:
    """Only the end of the line ends an answer, whichever function waits for it."""
    daemon = start("a", listening=False)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(daemon.info.socket)
    listener.listen()

    def answer() -> None:
        for _ in range(2):
            connection, _ = listener.accept()
            with connection:
                connection.makefile("rb").readline()
                for piece in (b'{"ok": true, ', b'"in_use": [1', b"8]}", b"\n"):
                    connection.sendall(piece)
                    time.sleep(0.02)

    daemon.take(VERSIONS[1])
    thread = threading.Thread(target=answer)
    thread.start()
    assert daemon_requests.in_use(tmp_path, VERSIONS) == {18: "/mnt/a"}
    assert daemon_requests.request(daemon.info, {"op": "in_use"}, timeout=5) == {"ok": True, "in_use": [18]}
    thread.join()
    listener.close()


def test_the_peer_is_the_process_at_the_other_end() -> None:
    """The kernel names it; the two ends of a pair are this process."""
    left, right = socket.socketpair()
    with left, right:
        assert daemon_requests.peer(left) == daemon_requests.peer(right) == (os.getpid(), os.getuid(), os.getgid())


def test_the_groups_of_the_peer_are_those_of_its_process() -> None:
    """With more of them than `socket.getsockopt` has room for."""
    code = (
        "import sys, os, socket; os.setgroups(range(70000, 70400)); from artstore.daemon_requests import peer_groups; "
    )
    code += "left, right = socket.socketpair(); print(len(peer_groups(left)), 70399 in peer_groups(left))"
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert said.split() == ["401", "True"]


@pytest.mark.parametrize(
    ("name", "changes"),
    [("data", [("", ["data"])]), ("a/b/data", [("", ["a"]), ("a", ["b"]), ("a/b", ["data"])])],
)
def test_a_new_artifact_changes_every_folder_above_it(name: str, changes: list[tuple[str, list[str]]]) -> None:
    """Each may be a project that did not exist before; no folder outside the path is named."""
    assert daemon_requests.parent_changes(name) == changes


@pytest.mark.parametrize("free", range(4))
def test_without_descriptors_no_version_is_free_to_be_reaped(
    start: Callable[..., FakeDaemon], tmp_path: Path, free: int
) -> None:
    """A process that cannot open a run file, a selector or a socket fails, or takes the daemon for a user."""
    start("a").take(VERSIONS[0])
    try:
        with without_descriptors(free):
            users = daemon_requests.in_use(tmp_path, VERSIONS)
    except OSError as error:
        assert error.errno == errno.EMFILE
    else:
        assert free and 17 in users


def test_without_descriptors_a_change_waits_until_caches_have_expired(
    start: Callable[..., FakeDaemon], tmp_path: Path
) -> None:
    """The change is committed: it does not fail, and no mount shows the old state afterwards."""
    start("a")

    def notify() -> list[object]:
        with without_descriptors():
            return list(daemon_requests.notify(tmp_path, CHANGES))

    silent, seconds = timed(notify)
    assert silent == []
    assert seconds > CACHE_SECONDS
