"""``mount``, ``umount``, ``status`` and ``path``: versions as folders."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from artfs.cli.completion import MOUNT_FOLDER, REFERENCE
from artfs.cli.output import age, counted, legible, moment, quoted, size, warn, write_bytes, write_document, write_line
from artfs.cli.session import Session, subcommand
from artfs.cli.terminal import styled
from artfs.cli.usage import warn_if_overdue
from artfs.documents.encoding import exact_name, from_nanoseconds
from artstore.names import version_label

if TYPE_CHECKING:
    from pathlib import Path

    from artfs.mount.reports import MountStatus, ReaperStatus
    from artstore.rows.deadlist import Backlog
    from artstore.rows.drafts import DraftInfo
    from artstore.rows.interrupted import Interrupted
    from artstore.workspace import Workspace

__all__ = ["mount", "path", "status", "umount"]


@subcommand("mount")
@click.argument("place", metavar="[URL]", type=click.Path(readable=False))
@click.argument("directory", metavar="DIR", required=False, type=click.Path(readable=False))
@click.option(
    "--foreground",
    is_flag=True,
    help="Run in the foreground until Ctrl-C or 'artfs umount' [default: return once mounted].",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    metavar="N",
    help="The number of worker processes [default: by the number of cores].",
)
@click.option("--allow-other", is_flag=True, help="Allow other users to read the mount [default: only you].")
@click.option(
    "--umask",
    default="0",
    metavar="BITS",
    callback=lambda _context, _option, text: _permission_bits(text),
    help="Permission bits that the mount does not show, in octal [default: 0: permissions are shown as they were put].",
)
@click.option("--readable", is_flag=True, help="Show every file and folder as readable by everyone.")
@click.option(
    "--uid",
    type=click.IntRange(min=0),
    metavar="N",
    help="The user shown as the owner of all files [default: you; if root mounts, the owner of the workspace].",
)
@click.option(
    "--gid",
    type=click.IntRange(min=0),
    metavar="N",
    help="The group shown for all files [default: yours; if root mounts, that of the workspace].",
)
@click.option(
    "--transport",
    type=click.Choice(["auto", "direct", "pyfuse3"]),
    default="auto",
    help="The interface to the kernel; direct is faster [default: direct if the kernel supports it].",
)
@click.option(
    "--low-latency/--no-low-latency",
    default=None,
    help="Keep processors from idling under heavy reads; root only [default: on in virtual machines].",
)
def mount(
    session: Session,
    place: str,
    directory: str | None,
    foreground: bool,
    workers: int | None,
    allow_other: bool,
    transport: str,
    low_latency: bool | None,
    umask: int,
    readable: bool,
    uid: int | None,
    gid: int | None,
) -> None:
    """Show every version as a folder below DIR.

    The mount is read-only and stays until 'artfs umount DIR'. DIR is an existing, empty folder. Versions are
    DIR/NAME/v0, v1, ...; aliases are symbolic links to them. New versions appear automatically.

    With the URL of a remote, show all that is there, without a workspace of your own. Only what is read is fetched, and
    cached.

    Files have the times and permissions that they were put with. Extended attributes describe versions (digest, type,
    description, metadata, created_at, aliases) and files (digest, stored_bytes); they are not listed, ask by name.

    \b
    Examples:
      artfs mount ~/artifacts && ls ~/artifacts/imagenet
      artfs mount s3://bucket/artifacts ~/artifacts
      getfattr -n user.artfs.digest ~/artifacts/imagenet/v0
    """
    from artfs.mount.control import mount as make_mount
    from artfs.mount.control import opened
    from artstore.locate import find_workspace

    url = place if directory is not None else None
    directory = directory or place
    workspace = opened(find_workspace(session.workspace) if url is None else _clone_of(url, directory))
    if foreground:
        warn(f"serving {quoted(str(workspace))} at {quoted(directory)}; press Ctrl-C to unmount")
    handle = make_mount(
        workspace,
        directory,
        workers=workers,
        allow_other=allow_other,
        foreground=foreground,
        transport=transport,
        low_latency=low_latency,
        umask=umask,
        readable=readable,
        uid=uid,
        gid=gid,
        forked=session.is_process and url is None,  # who has made requests has threads
    )
    if session.json:
        from artfs.documents.mounts import MountDocument

        write_document(MountDocument(str(workspace), str(handle.directory), handle.pid))
    elif not foreground:
        warn(f"mounted {quoted(str(workspace))} at {quoted(str(handle.directory))}")


def _clone_of(url: str, directory: str) -> Path:
    """Return the workspace in the cache folder that shows the remote at a URL; the directory is checked first."""
    from artfs.mount.checks import check_target
    from artstore.remotes.exchanging import mounted_clone

    check_target(directory)
    return mounted_clone(url)


def _permission_bits(text: str) -> int:
    try:
        return int(text, 8)
    except ValueError:
        raise click.BadParameter(f"{text!r} is not an octal number, such as 022") from None


@subcommand("umount")
@click.argument("directory", metavar="DIR", type=MOUNT_FOLDER)
@click.option("--lazy", is_flag=True, help="Detach the mount now, even if it is in use [default: refuse].")
def umount(session: Session, directory: str, lazy: bool) -> None:
    """Unmount DIR.

    This also works if the daemon of the mount has died.

    \b
    Example:
      artfs umount ~/artifacts
    """
    from artfs.mount.control import unmount

    unmount(directory, lazy=lazy)
    if session.json:
        from artfs.documents.mounts import UnmountDocument

        write_document(UnmountDocument(directory))
    else:
        warn(f"unmounted {quoted(directory)}")


@subcommand("path")
@click.argument("reference", metavar="REF", type=REFERENCE)
def path(session: Session, reference: str) -> None:
    """Print the folder of a version under a mount.

    An alias is resolved, so that the path always leads to the same version. If the workspace is not mounted, it is
    first mounted in your run-time folder. Use this in scripts instead of the folder 'latest', which the next put
    changes.

    \b
    Example:
      python train.py "$(artfs path imagenet:production)"
    """
    from artfs.mount.control import mount_for

    workspace = session.open()
    version, inside = workspace.resolve(reference)
    if inside:
        version.stat(inside)  # names the missing part; a path that does not exist is not printed
    directory, mounted_now = mount_for(workspace.path, for_root=session.gave_up_root)
    if mounted_now:
        where = quoted(str(directory))
        warn(f"mounted {quoted(str(workspace.path))} at {where} ('artfs umount {where}' unmounts it)")
    # Under the mount names are UTF-8 whatever the locale says.
    below = f"{version.artifact}/{version_label(version.number)}".encode()
    folder = b"/".join([os.fsencode(directory), below, *([inside] if inside else [])])
    if session.json:
        from artfs.documents.mounts import PathDocument

        write_document(PathDocument(exact_name(folder), version_label(version.number), mounted_now))
    else:
        write_bytes(folder + b"\n")


@subcommand("status")
@click.argument("directory", metavar="[DIR]", required=False, type=MOUNT_FOLDER)
def status(session: Session, directory: str | None) -> None:
    """Show mounts, drafts and deleted data to be freed.

    With DIR, show only the mount there. A draft is an unfinished version: an open one ('artfs draft'), or the data of
    an interrupted put, which is reused if the same put is run again within an hour. The space of deleted data is freed
    by a mount in the background, in part at the end of each command that writes, or by 'artfs gc'. A workspace on a
    read-only file system is reported: it is read without locks, and nothing in it is freed.

    \b
    Example:
      artfs status
    """
    from artfs.mount.control import status as mounts_of

    drafts: list[tuple[DraftInfo, Interrupted | None]] = []
    backlog: Backlog | None = None
    is_read_only: bool | None = None
    if directory is not None:
        mounts = mounts_of(directory=directory)
    else:
        workspace = session.open()
        mounts = mounts_of(workspace_path=workspace.path)
        is_read_only = workspace.is_read_only
        drafts, backlog = _unfinished(workspace), workspace.backlog()
        if not is_read_only:
            warn_if_overdue(backlog)
    if session.json:
        from artfs.documents.status import StatusDocument

        write_document(StatusDocument.of(mounts, drafts, backlog, is_read_only))
        return
    if is_read_only:
        write_line("the workspace is on a read-only file system: it is read without locks and cannot be changed")
    if not mounts:
        write_line("nothing is mounted")
    for mount in mounts:
        _print_mount(mount)
    for draft, interrupted in drafts:
        write_line(_draft_line(draft, interrupted))
    if backlog is not None and backlog.entries:
        write_line(_backlog_line(backlog))


def _unfinished(workspace: Workspace) -> list[tuple[DraftInfo, Interrupted | None]]:
    """Return the drafts and puts that are not finished, without interrupted ones that hold nothing."""
    left = {interrupted.draft: interrupted for interrupted in workspace.drafts.interrupted()}
    states = workspace.drafts.states()
    return [(draft, left.get(draft.number)) for draft in states if draft.id or draft.alive or draft.number in left]


def _print_mount(mount: MountStatus) -> None:
    state = styled(mount.state, {"live": "ok", "dead": "fail"}.get(mount.state, "warn"))
    write_line(f"{quoted(mount.directory)}  {state}, {quoted(mount.workspace)}")
    if mount.state == "dead":
        write_line(f"  its daemon has died and reads fail: 'artfs umount {quoted(mount.directory)}' cleans up")
        return
    since = "" if mount.started_at is None else f" since {moment(mount.started_at)}"
    latency = ", low latency" if mount.low_latency else ""
    if mount.pid is None:
        write_line("  its daemon does not answer, and its workspace has no record of it that you can read")
        return
    owner = "" if mount.uid in (None, os.geteuid()) else f" of {_user(mount.uid)}"
    write_line(f"  process {mount.pid}{owner}{since}, transport {mount.transport}{latency}")
    if mount.is_stopped:
        write_line(f"  it is suspended: 'kill -CONT {mount.pid}' resumes it")
    elif mount.state == "silent":
        write_line("  it does not answer")
    if mount.state == "silent":
        return
    served = f"{counted(mount.requests, 'request')} served, {size(mount.bytes)} read"
    write_line(f"  {counted(len(mount.workers), 'worker')}, {served}")
    if mount.reaper is not None:
        write_line(f"  {_reaper_line(mount.reaper)}")
    for remote in mount.remotes:
        read = "not read yet" if remote.read_at is None else f"read {moment(remote.read_at)}"
        write_line(f"  remote {quoted(remote.name)}: {read}{f'; {legible(remote.error)}' if remote.error else ''}")
    processes = [("worker", worker) for worker in mount.workers]
    if mount.lane is not None and mount.lane.pid:
        processes.insert(0, ("fast lane", mount.lane))
    elif mount.lane is not None:
        write_line(f"  fast lane: turned off, because it died {counted(mount.lane.restarts, 'time')}")
    for name, worker in processes:
        memory = "" if worker.memory_bytes is None else f", {size(worker.memory_bytes)} of memory"
        restarts = f", {counted(worker.restarts, 'restart')}" if worker.restarts else ""
        errors = f", {counted(worker.errors, 'error')}" if worker.errors else ""
        write_line(f"  {name} {worker.pid}: {counted(worker.requests, 'request')}{memory}{restarts}{errors}")


def _user(uid: int) -> str:
    from artstore.daemons import user_name

    return user_name(uid)


def _reaper_line(reaper: ReaperStatus) -> str:
    state = reaper.state
    if reaper.in_use:
        state += f", {counted(reaper.in_use, 'deleted version')} still open"
    if reaper.last_error is not None:
        state += f": {legible(reaper.last_error)}"
    return f"reaper {state}; {size(reaper.freed_bytes)} freed, {counted(reaper.freed_nodes, 'node')}"


def _backlog_line(backlog: Backlog) -> str:
    assert backlog.oldest_due_ns is not None  # there are entries
    waiting = f"deleted, to be freed: {counted(backlog.entries, 'entry', 'entries')}"
    first = from_nanoseconds(backlog.oldest_due_ns)
    if backlog.due_entries:
        return f"{waiting}, {backlog.due_entries:,} of them due, the first for {age(datetime.now(UTC) - first)}"
    return f"{waiting}, the first due at {moment(first)}"


def _draft_line(draft: DraftInfo, interrupted: Interrupted | None) -> str:
    since = moment(from_nanoseconds(draft.created_ns))
    if draft.id:
        state = f"open since {since}" if draft.alive else "expired: gc removes it"
        return f"draft {draft.id} of {draft.artifact}, {state}"
    if draft.alive:
        return f"put of {draft.artifact} by process {draft.pid} since {since}"
    assert interrupted is not None  # others are not shown
    until = moment(from_nanoseconds(interrupted.until_ns))
    source = f" from {quoted(interrupted.source)}" if interrupted.source else ""
    kept = f"{size(interrupted.bytes)} kept until {until} to resume"
    return f"put of {draft.artifact}{source}, interrupted: {kept}; 'artfs gc --interrupted' frees them now"
