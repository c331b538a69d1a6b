"""Make, find and end mounts, for the command line and the Python interface.

Nothing here loads a FUSE binding or an event loop; the daemon does that in a process of its own.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from artfs.mount import checks, kernel, table, wakefulness
from artfs.mount.configuration import LIFELINE, READY, TRANSPORTS, Configuration, default_workers
from artfs.mount.daemon import Daemon
from artfs.mount.handle import MountHandle
from artfs.mount.ownership import run_as
from artfs.mount.runfile import remove_dead
from artfs.mount.table import Mounted
from artstore import beneath
from artstore.daemon_requests import request
from artstore.daemons import (
    DaemonInfo,
    is_held,
    is_stopped,
    live_daemons,
    private_run_dir,
    run_file_of,
    runtime_folder,
)
from artstore.errors import BusyError, InvalidInputError, MountError, NotFoundError, RefusedError
from artstore.privileges import Owner
from artstore.records.trees import MODE_BITS
from artstore.storage.environment import Environment
from artstore.store import Store

if TYPE_CHECKING:
    from artfs.mount.reports import MountStatus

__all__ = ["MountHandle", "mount", "mount_for", "opened", "status", "unmount"]

PathLike = str | os.PathLike[str]

_END_SECONDS = 3.0
_LAZY_END_SECONDS = 0.5
_DYING_SECONDS = 0.2
_ANSWER_SECONDS = 2.0
_NO_OWNER = (1 << 32) - 1
"""The number that system calls take for "no user"."""


def mount(
    workspace_path: PathLike,
    directory: PathLike,
    *,
    workers: int | None = None,
    allow_other: bool = False,
    foreground: bool = False,
    transport: str = "auto",
    low_latency: bool | None = None,
    umask: int = 0,
    readable: bool = False,
    uid: int | None = None,
    gid: int | None = None,
    tied: bool = False,
    forked: bool = False,
) -> MountHandle:
    """Show a workspace's versions on ``directory``, an empty folder, and return once the mount answers.

    The daemon stays until it is unmounted; with ``tied`` also no longer than this process.  With ``foreground`` it is
    tied, writes to this process's stderr, and the call returns when it has ended, with SIGINT and SIGTERM passed on.
    ``workers`` is the number of serving processes; ``transport`` how they speak to the kernel: "direct", "pyfuse3", or
    "auto" for direct if the kernel supports it.  ``low_latency`` keeps processors from halting during frequent reads;
    None enables it for root in a virtual machine, where it pays off.

    Files have the permission bits of their sources, without those in ``umask``; ``readable`` adds read permission for
    all to files, and search permission to folders.  ``uid`` and ``gid`` are shown as the owners of everything; by
    default those of the workspace if root mounts, else the calling user's.  ``forked`` is for a process that has one
    thread, little memory and no other task: the daemon starts as a copy of it, and need not load modules again.

    Raises what `artfs.mount.checks.check` does, MountError, or errors of opening the workspace.
    """
    _check_options(workers, transport, umask, uid, gid)
    workspace = Path(os.path.realpath(workspace_path))
    owner = Owner.of(workspace)
    run_dir, _ = run_as(owner, lambda: (_prepared(workspace, forked=forked), ()))
    target = table.resolve(checks.followed(directory) if os.geteuid() == 0 else directory)
    checks.check(workspace, target, allow_other=allow_other)
    configuration = Configuration(
        id=uuid.uuid4().hex[:12],
        workspace=str(workspace),
        run_dir=str(run_dir),
        directory=str(target),
        workers=workers or default_workers(),
        allow_other=allow_other,
        transport=transport,
        low_latency=_low_latency(low_latency),
        lane=_lane(owner, workers or default_workers()),
        umask=umask,
        readable=readable,
        uid=uid,
        gid=gid,
        ready=READY,
        lifeline=LIFELINE if tied or foreground else -1,
        owner=owner,
    )
    daemon = Daemon.start(configuration, foreground=foreground, forked=forked)
    handle = MountHandle(target, daemon, unmount)
    if foreground:
        handle.wait()
    return handle


def _check_options(workers: int | None, transport: str, umask: int, uid: int | None, gid: int | None) -> None:
    if workers is not None and workers < 1:
        raise InvalidInputError("a mount needs at least one worker")
    if transport not in TRANSPORTS:
        raise InvalidInputError(f"there is no transport {transport!r}", hint=f"one of {', '.join(TRANSPORTS)}")
    if not 0 <= umask <= MODE_BITS:
        raise InvalidInputError(f"{umask:o} is not a umask", hint="up to three octal digits, such as 022")
    for number in (uid, gid):
        if number is not None and not 0 <= number < _NO_OWNER:
            raise InvalidInputError(f"{number} is not a user or group: they lie between 0 and {_NO_OWNER - 1}")


def opened(workspace_path: PathLike) -> Path:
    """Return the path of a workspace that can be opened, with links resolved; raises the errors of `Store.open`."""
    workspace = Path(os.path.realpath(workspace_path))
    run_as(Owner.of(workspace), lambda: (str(Store.open(workspace).path), ()))
    return workspace


def _prepared(workspace: Path, *, forked: bool) -> str:
    """Open the workspace, clear dead daemons away, and return the folder for the run file and the log of a new one."""
    store = Store.open(workspace)
    if forked:
        Environment.of(workspace).drop()  # the daemon's first process must not hold it
    remove_dead(store.run_dir)
    return os.fspath(private_run_dir(store.run_dir, os.geteuid()) if store.is_read_only else store.run_dir)


def _clear_dead(workspace: Path) -> None:
    """Remove what dead daemons have left in a workspace."""

    def task() -> tuple[None, tuple[()]]:
        remove_dead(workspace / "run")
        return None, ()

    run_as(Owner.of(workspace), task)


def _lane(owner: Owner, workers: int) -> str:
    """Return the path of the fast lane's program, "" without it.

    A mount that root makes of another user's workspace does without: that user could trace the program, which has the
    device of root's mount.
    """
    from artfs.mount.lane import MOST_WORKERS, program

    return program() if owner.uid == os.geteuid() and workers <= MOST_WORKERS else ""


def _low_latency(wanted: bool | None) -> bool:
    """Return whether to keep processors awake; raise if an option needs root."""
    if wanted is None:
        return wakefulness.is_virtual() and wakefulness.is_possible()
    if wanted and not wakefulness.is_possible():
        raise InvalidInputError(
            f"low latency needs write access to {wakefulness.LATENCY_DEVICE}",
            hint="mount as root, or without low latency",
        )
    return wanted


def unmount(directory: PathLike, *, lazy: bool = False) -> None:
    """End the mount on ``directory``, also one whose daemon has died.

    ``lazy`` detaches it at once, and files that are open there stay readable.  Returns when the daemon has ended, or
    after some seconds if the mount is still in use elsewhere.

    Raises BusyError, naming processes that use it, NotFoundError if no artfs mount is there, and MountError.
    """
    target = table.resolve(directory)
    mounted = _mounted_at(target)
    dead = table.is_dead(mounted)
    try:
        kernel.detach(os.fsencode(target), lazy=lazy or dead)
    except OSError as error:
        number = error.errno
        if number in (errno.EPERM, errno.EINVAL) and mounted.daemon is not None:
            number = _ask_to_unmount(mounted, mounted.daemon, lazy)  # root has mounted it for this user
        if number:
            raise _why_not(mounted, number) from error
    _await_end(mounted, _LAZY_END_SECONDS if lazy else _END_SECONDS)
    _clear_dead(mounted.workspace)


def _mounted_at(target: Path) -> Mounted:
    point = table.at(target)
    if point is None:
        raise NotFoundError(f"nothing is mounted at {target}", hint="list the mounts: artfs status")
    if point.fstype != kernel.FILESYSTEM:
        raise NotFoundError(
            f"{target} is not an artfs mount but {point.fstype} of {point.source}", hint="list the mounts: artfs status"
        )
    return next(mount for mount in reversed(table.artfs_mounts()) if mount.directory == target)


def _ask_to_unmount(mounted: Mounted, daemon: DaemonInfo, lazy: bool) -> int:
    """Make the daemon unmount, and return 0 or the kernel's errno; the daemon may end before it answers."""
    try:
        answer = request(daemon, {"op": "unmount", "lazy": lazy}, timeout=_ANSWER_SECONDS)
    except BusyError:
        if table.at(mounted.directory) is None:
            return 0
        raise
    return 0 if answer.get("ok") else int(answer.get("errno", errno.EIO))


def _why_not(mounted: Mounted, number: int) -> MountError | BusyError:
    if number == errno.EBUSY:
        from artfs.mount.holders import holders

        users = holders(mounted.directory, mounted.device)
        by = f" by {', '.join(users)}" if users else ""
        return BusyError(
            f"{mounted.directory} is in use{by}", hint=f"end them, or: artfs umount --lazy {mounted.directory}"
        )
    if number == errno.EPERM:
        return MountError(f"{mounted.directory} was mounted by another user, and only that user or root may unmount it")
    return MountError(f"unmounting {mounted.directory} failed: {os.strerror(number)}")


def _await_end(mounted: Mounted, seconds: float) -> None:
    """Wait for the daemon to end; it runs as long as open files or other namespaces hold the mount."""
    if mounted.daemon is None:
        return
    run_file = _run_file(mounted.workspace, mounted.daemon)
    deadline = time.monotonic() + seconds
    while is_held(run_file) and time.monotonic() < deadline:
        time.sleep(0.01)


def status(workspace_path: PathLike | None = None, directory: PathLike | None = None) -> list[MountStatus]:
    """Return the states of a workspace's mounts, of the mount on ``directory``, or else of all visible mounts.

    Raises NotFoundError if ``directory`` is not an artfs mount.
    """
    if directory is not None:
        mounts = [_mounted_at(table.resolve(directory))]
    else:
        mounts = table.artfs_mounts(Path(os.path.realpath(workspace_path)) if workspace_path is not None else None)
    known = {mount.daemon.id for mount in mounts if mount.daemon}
    result = [_status_of(mount) for mount in mounts]
    if workspace_path is not None and directory is None:
        workspace = Path(os.path.realpath(workspace_path))
        for daemon in live_daemons(workspace / "run"):
            if daemon.id not in known:
                elsewhere = Mounted(Path(daemon.mountpoint), workspace, daemon.device, daemon)
                result.append(_status_of(elsewhere))
    return result


def _status_of(mounted: Mounted) -> MountStatus:
    from artfs.mount.reports import FollowedRemote, MountStatus, ReaperStatus, WorkerStatus

    daemon = mounted.daemon
    if daemon is None:
        state = "dead" if table.is_dead(mounted) else "silent"
        return MountStatus(str(mounted.workspace), str(mounted.directory), state)
    try:
        answer = request(daemon, {"op": "status"}, timeout=_ANSWER_SECONDS)
    except RefusedError:  # any member may write a run file, and a socket of another user is not the daemon's
        answer = {}
    except BusyError:
        answer = {}
        _await_end(mounted, _DYING_SECONDS)
        if not is_held(_run_file(mounted.workspace, daemon)):
            return _status_of(replace(mounted, daemon=None))  # it was just dying
    state = "live" if answer.get("ok") else "silent"
    described = answer["status"] if state == "live" else {"workers": [], "reaper": None}
    return MountStatus(
        workspace=str(mounted.workspace),
        directory=str(mounted.directory),
        state=state,
        is_stopped=state == "silent" and is_stopped(daemon),
        pid=daemon.pid,
        started_at=datetime.fromtimestamp(daemon.started_at, UTC),
        transport=daemon.transport,
        low_latency=daemon.low_latency,
        uid=daemon.uid,
        allow_other=daemon.allow_other,
        workers=[WorkerStatus.from_message(worker) for worker in described["workers"]],
        lane=WorkerStatus.from_message(described["lane"]) if described.get("lane") else None,
        reaper=ReaperStatus.from_message(described["reaper"]) if described["reaper"] else None,
        remotes=[FollowedRemote.from_message(remote) for remote in described.get("remotes", ())],
    )


def _run_file(workspace: Path, daemon: DaemonInfo) -> Path:
    return run_file_of(workspace / "run", daemon.id)


def mount_for(workspace_path: PathLike, *, create: bool = True, for_root: bool = False) -> tuple[Path, bool]:
    """Return (folder, whether this call mounted it) of a mount of the workspace that this user can read.

    Without one, it is mounted in the user's run-time folder; MountError instead if ``create`` is false, or ``for_root``
    true: then the folder is for root, whose rights this process has given up.
    """
    workspace = Path(os.path.realpath(workspace_path))
    existing = _readable_mount(workspace, 0 if for_root else os.geteuid())
    if existing is not None:
        return existing, False
    if not create or for_root:
        raise MountError(f"the workspace {workspace} is not mounted", hint="artfs mount DIR")
    import hashlib

    folder = runtime_folder(os.getuid())
    name = hashlib.blake2s(os.fsencode(workspace), digest_size=4).hexdigest()
    target = folder / f"{workspace.name}-{name}"
    with _locked(folder):
        existing = _readable_mount(workspace, os.geteuid())
        if existing is not None:
            return existing, False
        with contextlib.suppress(FileExistsError):
            beneath.make_folder(folder, target, 0o700)
        mount(workspace, target)
    return target, True


def _readable_mount(workspace: Path, uid: int) -> Path | None:
    for mounted in table.artfs_mounts(workspace):
        daemon = mounted.daemon
        if daemon is not None and (daemon.mounter == uid or daemon.allow_other):
            return mounted.directory
    return None


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    descriptor = beneath.open_file(folder, ".mounting", os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
