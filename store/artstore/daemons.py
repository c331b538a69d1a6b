"""The daemons that serve a workspace under a mount: their run files and the addresses of their sockets.

A live daemon holds an exclusive flock on its run file ``run/daemons/<id>.json`` and listens on a socket.  In a shared
workspace the socket is ``run/daemons/<id>.sock``, open to the group; the folder is sticky, so that a member can neither
replace nor remove what is another's.  Otherwise it lies in a folder that only its user may enter.  The path of a
workspace may be longer than the 108 bytes that the address of a socket can hold: a socket in it is reached by a
descriptor of its folder.

For a workspace on a read-only file system, a daemon's run file lies in a folder of its user, next to the socket.  Only
this user and root find it there; no process changes what such a mount shows.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import pwd
import re
import stat
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from blake3 import blake3

from artstore import beneath
from artstore.errors import RefusedError
from artstore.values import value_class

if TYPE_CHECKING:
    import socket

__all__ = [
    "DaemonInfo",
    "connect",
    "daemons_folder",
    "is_held",
    "is_stopped",
    "is_suspended",
    "listen",
    "live_daemons",
    "private_run_dir",
    "recorded_daemons",
    "remove_socket",
    "run_dirs",
    "run_file_of",
    "run_files",
    "runtime_folder",
    "shared_socket",
    "socket_path",
    "user_name",
]


@value_class
class DaemonInfo:
    """Describe a daemon as its run file does; ``started_at`` is in seconds since 1970.

    ``uid`` is the daemon's user: the owner of the run file, whatever is written in it.  ``mounter`` is the user to whom
    the kernel grants access, ``allow_other`` means that others have access as well.  ``run_file`` is where it was read.
    """

    id: str
    pid: int
    mountpoint: str
    socket: str
    device: str
    started_at: float
    transport: str
    uid: int
    mounter: int
    allow_other: bool = False
    low_latency: bool = False
    run_file: str = field(default="", compare=False)


def user_name(uid: int) -> str:
    """Return the name of a user, or the number of one who has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def daemons_folder(run_dir: Path) -> Path:
    """Return the folder of the run files of a workspace's daemons."""
    return run_dir / "daemons"


def runtime_folder(uid: int) -> Path:
    """Return the folder for the sockets and mounts of the user ``uid``, made if it is missing.

    It is ``artfs`` in the user's run-time folder, else ``/tmp/artfs-<uid>``.  Guarantees: it belongs to the user, and
    others have no access.  Raises RefusedError if another user made it first.
    """
    folder = _runtime_places(uid)[0]
    _make_private(folder, uid)
    return folder


def _runtime_places(uid: int) -> list[Path]:
    """Return where the folder of the user's sockets and mounts may be; the first is where it belongs now."""
    variable = os.environ.get("XDG_RUNTIME_DIR", "") if uid == os.getuid() else ""
    candidates = [variable] if uid == os.getuid() else [f"/run/user/{uid}"]
    places = [
        Path(each) / "artfs" for each in candidates if each.startswith("/") and beneath.is_private(Path(each), uid)
    ]
    return [*places, Path(f"/tmp/artfs-{uid}")]


def _make_private(folder: Path, uid: int) -> None:
    """Make a folder of the user ``uid`` if it is missing; raise RefusedError if it is not private."""
    beneath.make_private(folder, uid)
    if not beneath.is_private(folder, uid):
        raise RefusedError(
            f"{folder} is not a private folder of user {uid}",
            hint=f"remove {folder}, or set XDG_RUNTIME_DIR",
        )


def private_run_dir(run_dir: Path, uid: int) -> Path:
    """Return the folder that takes the place of ``run_dir`` on a read-only file system, for daemons of the user.

    It is made if it is missing, as `runtime_folder` is, and raises the same error.
    """
    folder = runtime_folder(uid) / _private_name(run_dir)
    _make_private(folder, uid)
    _make_private(daemons_folder(folder), uid)
    return folder


def _private_name(run_dir: Path) -> str:
    return f"{blake3(os.fsencode(run_dir)).hexdigest(12)}.run"


def run_dirs(run_dir: Path) -> Iterator[Path]:
    """Yield the folders in which a workspace's daemons may have their run files."""
    yield run_dir
    users = {os.geteuid()}
    if os.geteuid() == 0:
        with suppress(OSError):
            users.add(beneath.status(run_dir.parent, run_dir).st_uid)
    name = _private_name(run_dir)
    for uid in users:
        for place in _runtime_places(uid):
            if beneath.is_private(place, uid) and beneath.is_private(place / name, uid):
                yield place / name


def socket_path(folder: Path, workspace: Path, daemon: str) -> Path:
    """Return the address of a daemon's socket in ``folder``: a hash of the workspace and the daemon's id."""
    name = blake3(os.fsencode(workspace) + b"\0" + daemon.encode()).hexdigest(12)
    return folder / f"{name}.sock"


def shared_socket(run_dir: Path, daemon: str) -> Path:
    """Return where a daemon's socket lies in a shared workspace: next to its run file."""
    return daemons_folder(run_dir) / f"{daemon}.sock"


@contextmanager
def _address(info: DaemonInfo) -> Iterator[str]:
    """Yield the address of a daemon's socket, short enough for the kernel.

    Raises RefusedError if the run file names a socket that is not where the user of the daemon makes them.
    """
    run_file = Path(info.run_file)
    if not info.run_file or beneath.shared_group(run_file.parents[2]) is None:
        path = Path(info.socket)
        if not re.fullmatch(_SOCKET, path.name) or not beneath.is_private(path.parent, info.uid):
            raise RefusedError(
                f"the daemon of {info.mountpoint} names a socket that is not in a private folder of user {info.uid}",
                hint=f"remove {info.run_file}" if info.run_file else "",
            )
        yield info.socket
        return
    with beneath.closing(beneath.open_folder(run_file.parents[2], run_file.parent)) as folder:
        yield f"/proc/self/fd/{folder}/{info.id}.sock"


def connect(connection: socket.socket, info: DaemonInfo) -> None:
    """Connect to a daemon's socket; the caller checks whose process it reached."""
    with _address(info) as address:
        connection.connect(address)


def listen(info: DaemonInfo) -> socket.socket:
    """Return a socket that listens at a daemon's address: for its user only, in a shared workspace for the group."""
    import socket  # most commands read run files only, and importing it takes a fiftieth of their time

    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    shared = bool(info.run_file) and beneath.shared_group(Path(info.run_file).parents[2]) is not None
    before = os.umask(0o117 if shared else 0o177)
    try:
        with _address(info) as address:
            listener.bind(address)
    finally:
        os.umask(before)
    listener.listen(128)
    return listener


def remove_socket(workspace: Path, run_file: Path, info: DaemonInfo) -> None:
    """Remove the socket of a dead daemon, if it lies where the user who wrote the run file could have made it."""
    path = Path(info.socket)
    if beneath.shared_group(run_file.parents[2]) is not None:
        shared = run_file.with_suffix(".sock")
        if stat.S_ISSOCK(beneath.status(run_file.parents[2], shared).st_mode):
            beneath.remove(run_file.parents[2], shared)
    elif path == socket_path(path.parent, workspace, info.id):
        beneath.remove_socket(path, beneath.status(run_file.parents[2], run_file).st_uid)


def is_held(run_file: Path) -> bool:
    """Return whether a living daemon holds its flock on ``run_file``.

    If this process has no descriptor left to look with, or may not read the file, the answer is True: the daemon may
    use what others would free.
    """
    try:
        handle = beneath.open_file(run_file.parents[2], run_file)
    except OSError as error:
        return error.errno in _EXHAUSTED or error.errno == errno.EACCES
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def is_stopped(daemon: DaemonInfo) -> bool:
    """Return whether the process of a daemon is suspended; False for one that the user of the run file does not run."""
    return is_suspended(daemon.pid, users=(daemon.uid, 0))


def is_suspended(pid: int, *, users: Collection[int] | None = None) -> bool:
    """Return whether a process, of one of ``users`` if they are given, is suspended by a signal or a debugger."""
    try:
        process = os.open(f"/proc/{pid}", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        with open(os.open("stat", os.O_RDONLY | os.O_CLOEXEC, dir_fd=process), "rb") as file:
            state = file.read().rpartition(b")")[2].split()[0]
        return state in (b"T", b"t") and (users is None or os.fstat(process).st_uid in users)
    except OSError:
        return False
    finally:
        os.close(process)


def run_file_of(run_dir: Path, daemon: str) -> Path:
    """Return the run file of a daemon, by its id; the one in ``run_dir`` if there is none."""
    paths = [daemons_folder(folder) / f"{daemon}.json" for folder in run_dirs(run_dir)]
    return next((path for path in paths if beneath.exists(path.parents[2], path)), paths[0])


def recorded_daemons(run_dir: Path) -> Iterator[tuple[Path, DaemonInfo]]:
    """Yield (run file, daemon) of all daemons that left a readable run file, living or dead, by id.

    Raises OSError if this process has no descriptor left to look with.
    """
    for run_file in run_files(run_dir):
        info = _read(run_file)
        if info is not None:
            yield run_file, info


def run_files(run_dir: Path) -> list[Path]:
    """Return the run files of a workspace's daemons, living or dead, by id.

    Raises OSError if this process has no descriptor left to look with.
    """
    found = [run_file for folder in run_dirs(run_dir) for run_file in _run_files(daemons_folder(folder))]
    return sorted(found, key=lambda path: path.name)


def _run_files(folder: Path) -> list[Path]:
    try:
        names = beneath.names(folder.parents[1], folder)
    except RefusedError:
        raise
    except OSError as error:
        if error.errno in _EXHAUSTED:
            raise
        return []
    return [folder / name for name in names if name.endswith(".json") and not name.startswith(".")]


def live_daemons(run_dir: Path) -> list[DaemonInfo]:
    """Return the daemons of a workspace that are alive: those whose run file is held.

    Raises OSError if this process has no descriptor left to look with.
    """
    return [info for run_file, info in recorded_daemons(run_dir) if is_held(run_file)]


def _read(run_file: Path) -> DaemonInfo | None:
    """Return the daemon that a run file describes; None for a file that is unreadable, or of another daemon.

    Any user who may write to the workspace can write one, so values of other types are refused, and the user is the one
    to whom the file belongs.
    """
    try:
        with open(beneath.open_file(run_file.parents[2], run_file), "rb") as file:
            owner = os.fstat(file.fileno()).st_uid
            values = json.loads(file.read(_LONGEST))
        known = {name: value for name, value in values.items() if name in _TYPES}
        if any(type(value) is not _TYPES[name] for name, value in known.items()):
            return None
        info = DaemonInfo(**known)
        if not _is_possible(info):
            return None
    except OSError as error:
        if error.errno in _EXHAUSTED:
            raise
        return None
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None
    return replace(info, uid=owner, run_file=str(run_file)) if info.id == run_file.stem else None


def _is_possible(info: DaemonInfo) -> bool:
    """Return whether the values can be those of a daemon: callers compute with them."""
    return (
        0 < info.pid <= _MOST_PID
        and 0 <= info.started_at <= _LATEST_SECONDS  # false for what is not a number
        and re.fullmatch(_DEVICE, info.device) is not None
        and info.mountpoint.startswith("/")
        and "\0" not in info.mountpoint + info.socket
        and 0 <= info.mounter <= _MOST_UID
    )


_MOST_PID: Final = 1 << 22
_MOST_UID: Final = (1 << 32) - 1
_LATEST_SECONDS: Final = 253402300799.0
"""The end of the year 9999."""
_DEVICE: Final = r"[0-9]{1,4}:[0-9]{1,7}"
"""Major and minor number have 12 and 20 bits."""
_SOCKET: Final = r"[0-9a-f]{24}\.sock"
"""What `socket_path` makes."""
_EXHAUSTED: Final = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOMEM))
"""Errors that say nothing about a daemon: this process or the machine has no descriptors or memory left."""
_LONGEST: Final = 1 << 16
_TYPES: Final = {
    item.name: {"str": str, "int": int, "float": float, "bool": bool}[str(item.type)]
    for item in fields(DaemonInfo)
    if item.name != "run_file"
}
