"""Requests to the daemons that serve a workspace under a mount: the client's side of the control protocol.

A request and its answer are one line of JSON each, on a connection of their own:

    {"op": "invalidate", "changes": [["team/vision/imagenet", ["v3", "latest"]]]}    ->    {"ok": true}
    {"op": "in_use", "versions": [[4, 3, 17], ...]}      ->    {"ok": true, "in_use": [17, ...]}
    {"op": "purged", "entries": [[17, 2, 5, "a.jpg"], ...]}                          ->    {"ok": true}
    {"op": "status"}                    ->    {"ok": true, "status": {...}}
    {"op": "unmount", "lazy": false}    ->    {"ok": true}   or   {"ok": false, "errno": 16, "error": "..."}

Each side asks the kernel for the other's credentials.  A client talks to the user to whom the daemon's run file
belongs.  A daemon answers its own user and root, and in a shared workspace members of the group, who may not unmount.
"""

from __future__ import annotations

import ctypes
import json
import os
import selectors
import socket
import struct
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from artstore.daemons import (
    DaemonInfo,
    connect,
    is_held,
    is_stopped,
    live_daemons,
    recorded_daemons,
    run_file_of,
    run_files,
    user_name,
)
from artstore.errors import BusyError, RefusedError
from artstore.mount_leases import DeletedVersion, leased

__all__ = [
    "CACHE_SECONDS",
    "PATIENCE_SECONDS",
    "Change",
    "PurgedEntry",
    "in_use",
    "notify",
    "notify_purged",
    "parent_changes",
    "peer",
    "peer_groups",
    "request",
]

CACHE_SECONDS = 1.0
"""How long a mount may show cached entries above versions."""

PATIENCE_SECONDS = 1.5
"""How long a change waits for daemons: the lifetime of the cache and a margin, after which no stale entry is left."""

_RETRY_SECONDS = 0.02
_PURGED_AT_ONCE, _ENTRY_BYTES = 500_000, 20
"""Bytes of the names of purged entries in one message, and what counts for an entry besides: JSON is up to 6 times as
long."""
_LONGEST_LINE = 4 << 20
_CREDENTIALS = struct.Struct("3i")
_SO_PEERGROUPS = 59
_MOST_GROUPS = 65536


class Change(NamedTuple):
    """The changed names in one directory above versions: ``directory`` is a full name, "" the top level."""

    directory: str
    names: list[str]


class PurgedEntry(NamedTuple):
    """An entry that was purged: the mount serial that its version had, and the preorder indexes in it until then.

    ``directory`` is the index of the directory that listed it under ``name``, ``ordinal`` its own.
    """

    mount: int
    directory: int
    ordinal: int
    name: bytes


class Peer(NamedTuple):
    """The process at the other end of a socket."""

    pid: int
    uid: int
    gid: int


def peer(connection: socket.socket) -> Peer:
    """Return the process at the other end of a Unix socket, as the kernel reports it."""
    return Peer(*_CREDENTIALS.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)))


def peer_groups(connection: socket.socket) -> frozenset[int]:
    """Return the groups of the process at the other end of a Unix socket, as they were when it connected."""
    groups = (ctypes.c_uint32 * _MOST_GROUPS)()
    length = ctypes.c_uint32(ctypes.sizeof(groups))
    failed = ctypes.CDLL(None, use_errno=True).getsockopt(
        connection.fileno(), socket.SOL_SOCKET, _SO_PEERGROUPS, groups, ctypes.byref(length)
    )
    if failed:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return frozenset((*groups[: length.value // 4], peer(connection).gid))


def parent_changes(name: str) -> list[Change]:
    """Return the changes of a new artifact's parents: each project lists one more name."""
    components = name.split("/")
    return [Change("/".join(components[:depth]), [components[depth]]) for depth in range(len(components))]


def notify(run_dir: Path, changes: Iterable[Change]) -> list[DaemonInfo]:
    """Notify every live daemon of changes, and return those that did not answer.

    Guarantees: on return no mount shows the state before the changes.  A daemon has acknowledged that its kernel has
    dropped the entries; if one does not answer, `PATIENCE_SECONDS` have passed, in which all cached entries have
    expired.  Call it after the commit, outside of any transaction.
    """
    listed = [[change.directory, list(change.names)] for change in changes]
    if not listed:
        return []
    deadline = time.monotonic() + PATIENCE_SECONDS
    try:
        return _tell(run_dir, {"op": "invalidate", "changes": listed})
    except OSError:  # no descriptor is left to ask with, and the change is committed: let the caches expire
        time.sleep(max(0.0, deadline - time.monotonic()))
        return []


def notify_purged(run_dir: Path, entries: Sequence[PurgedEntry]) -> list[DaemonInfo]:
    """Notify every live daemon of purged entries, and return those that did not answer.

    Call it when the versions have new mount serials.  Guarantees: the kernels of all other mounts hold neither bytes
    nor names of the entries.  A mount that did not answer may, until it ends.
    """
    silent: dict[str, DaemonInfo] = {}
    for part in _in_messages(entries):
        listed = [[*entry[:3], entry.name.decode("utf-8", "surrogateescape")] for entry in part]
        message = {"op": "purged", "entries": listed}
        silent.update((daemon.id, daemon) for daemon in _tell(run_dir, message))
    return list(silent.values())


def _in_messages(entries: Sequence[PurgedEntry]) -> Iterator[list[PurgedEntry]]:
    part: list[PurgedEntry] = []
    room = _PURGED_AT_ONCE
    for entry in entries:
        room -= len(entry.name) + _ENTRY_BYTES
        if room < 0 and part:
            yield part
            part, room = [], _PURGED_AT_ONCE
        part.append(entry)
    if part:
        yield part


def in_use(run_dir: Path, versions: Sequence[DeletedVersion], *, evicted: Collection[str] = ()) -> dict[int, str]:
    """Return the users of those deleted versions that a mount may still use, by serial: its mountpoint, or a phrase.

    A mount may use what its daemon has leases of.  The daemons that have some are asked to release what their kernels
    do not use, and the leases are examined once more when they have answered, or after `PATIENCE_SECONDS`: a daemon
    that does not answer keeps what it has, and no more.  The leases of the daemons ``evicted``, by id, do not count.
    """
    asked = _leases(run_dir, versions, evicted)
    if not asked:
        return {}
    calls = {}
    for run_file, info in recorded_daemons(run_dir):
        if run_file in asked:
            request = {"op": "in_use", "versions": [list(version) for version in asked[run_file]]}
            calls[run_file] = _Call(info, run_dir, _line(request))
    _make(list(calls.values()))
    users: dict[int, str] = {}
    for run_file, kept in _leases(run_dir, versions, evicted).items():
        users.update((version.serial, _user(run_file, calls.get(run_file))) for version in kept)
    return users


def _leases(
    run_dir: Path, versions: Sequence[DeletedVersion], evicted: Collection[str]
) -> dict[Path, list[DeletedVersion]]:
    """Return the versions of which each daemon has a lease, by run file; all for one whose file cannot be read."""
    found = {}
    for run_file in run_files(run_dir):
        if run_file.stem not in evicted:
            try:
                kept = leased(run_file, versions)
            except PermissionError:
                kept = list(versions)
            if kept:
                found[run_file] = kept
    return found


def _user(run_file: Path, call: _Call | None) -> str:
    if call is None:
        return f"a mount that cannot be examined: {run_file} is not readable, or not a run file"
    info = call.info
    owner = "" if info.uid == os.geteuid() else f" of {user_name(info.uid)}"
    if call.agreed:
        return f"{info.mountpoint} (process {info.pid}{owner})" if owner else info.mountpoint
    state = ", because it is suspended" if is_stopped(info) else ""
    return f"the daemon of {info.mountpoint} (process {info.pid}{owner}) does not answer{state}"


def _tell(run_dir: Path, message: Mapping[str, Any]) -> list[DaemonInfo]:
    """Send a message to every live daemon, wait up to `PATIENCE_SECONDS`, and return those that did not answer."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    silent = [call.info for call in _ask_all(run_dir, message) if not (call.is_dead or call.agreed)]
    if silent:
        time.sleep(max(0.0, deadline - time.monotonic()))
    return silent


def _ask_all(run_dir: Path, message: Mapping[str, Any]) -> list[_Call]:
    """Ask all live daemons in parallel; return when each has answered or died, or after `PATIENCE_SECONDS`."""
    line = _line(message)
    calls = [_Call(info, run_dir, line) for info in live_daemons(run_dir)]
    _make(calls)
    return calls


def _make(calls: list[_Call]) -> None:
    """Carry out requests in parallel; return when each is answered or its daemon has died, or after the patience."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    if not calls:
        return
    with selectors.DefaultSelector() as selector:
        try:
            _converse(calls, selector, deadline)
        finally:
            for call in calls:
                call.close(selector)


def _converse(calls: list[_Call], selector: selectors.BaseSelector, deadline: float) -> None:
    while (left := deadline - time.monotonic()) > 0:
        open_calls = [call for call in calls if not call.is_over]
        if not open_calls:
            return
        unconnected = [call for call in open_calls if not call.connect(selector)]
        for key, events in selector.select(min(left, _RETRY_SECONDS) if unconnected else left):
            key.data.proceed(selector, events)


class _Call:
    """Carry one request to one daemon without waiting for it; ``answer`` is empty until it has answered."""

    def __init__(self, info: DaemonInfo, run_dir: Path, line: bytes) -> None:
        self.info = info
        self.answer: dict[str, Any] = {}
        self.is_dead = False
        self.is_over = False
        self._run_file = run_file_of(run_dir, info.id)
        self._line = line
        self._sent = 0
        self._received = bytearray()
        self._socket: socket.socket | None = None

    @property
    def agreed(self) -> bool:
        """Whether the daemon has answered with success."""
        return bool(self.answer.get("ok"))

    def connect(self, selector: selectors.BaseSelector) -> bool:
        """Connect unless connected; return whether no retry is needed."""
        if self._socket is not None:
            return True
        try:
            self._socket = _connect(self.info, timeout=0)
        except RefusedError:
            self.is_over = True
            return True
        except OSError:
            self._retry(selector)
            return self.is_over
        selector.register(self._socket, selectors.EVENT_READ | selectors.EVENT_WRITE, self)
        return True

    def proceed(self, selector: selectors.BaseSelector, events: int) -> None:
        """Send as much as the socket accepts, and receive the available data."""
        assert self._socket is not None
        try:
            if events & selectors.EVENT_WRITE:
                self._send(selector)
            if events & selectors.EVENT_READ:
                self._receive(selector)
        except BlockingIOError:
            return
        except OSError:
            self._retry(selector)

    def _send(self, selector: selectors.BaseSelector) -> None:
        assert self._socket is not None
        self._sent += self._socket.send(memoryview(self._line)[self._sent :])
        if self._sent == len(self._line):
            selector.modify(self._socket, selectors.EVENT_READ, self)

    def _receive(self, selector: selectors.BaseSelector) -> None:
        assert self._socket is not None
        data = self._socket.recv(65536)
        self._received += data
        if self._received.endswith(b"\n") or len(self._received) > _LONGEST_LINE:
            self.answer = _parse(bytes(self._received))
            self.is_over = True
            self.close(selector)
        elif not data:
            self._retry(selector)

    def _retry(self, selector: selectors.BaseSelector) -> None:
        """Connect again: a daemon that is starting will listen soon, and a dead one needs no message."""
        self.close(selector)
        self._received.clear()
        self._sent = 0
        self.is_dead = self.is_over = not is_held(self._run_file)

    def close(self, selector: selectors.BaseSelector) -> None:
        """Give up the connection."""
        if self._socket is not None:
            if self._socket in selector.get_map():
                selector.unregister(self._socket)
            self._socket.close()
            self._socket = None


def request(info: DaemonInfo, message: Mapping[str, Any], *, timeout: float) -> dict[str, Any]:
    """Send one request to a daemon and return its answer; ``timeout`` is in seconds for all of it.

    Raises BusyError if it does not answer in time or not at all, RefusedError if the process is not the daemon.
    """
    deadline = time.monotonic() + timeout
    received = b""
    try:
        with _connect(info, timeout=timeout) as connection:
            connection.sendall(_line(message))
            while not received.endswith(b"\n"):
                connection.settimeout(max(0.001, deadline - time.monotonic()))
                data = connection.recv(65536)
                if not data or len(received) > _LONGEST_LINE:
                    break
                received += data
    except RefusedError:
        raise
    except OSError as error:
        raise BusyError(f"the daemon of {info.mountpoint} (process {info.pid}) does not answer: {error}") from error
    if not received.endswith(b"\n"):
        raise BusyError(f"the daemon of {info.mountpoint} (process {info.pid}) closed the connection")
    return _parse(received)


def _connect(info: DaemonInfo, *, timeout: float) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        connection.settimeout(timeout)
        connect(connection, info)
        holder = peer(connection).uid
        if holder != info.uid:
            raise RefusedError(f"the socket of the daemon of {info.mountpoint} belongs to user {holder}")
    except BaseException:
        connection.close()
        raise
    return connection


def _line(message: Mapping[str, Any]) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def _parse(line: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(line)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}
