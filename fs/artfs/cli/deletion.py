"""``rm``, ``undelete`` and ``gc``: deleting versions, restoring them, and freeing their space."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatchcase
from itertools import groupby
from typing import TYPE_CHECKING

import click

from artfs.cli.completion import DELETED_REFERENCE, MOUNT_FOLDER, REFERENCE, REMOTE
from artfs.cli.output import counted, moment, size, warn, warn_of_silent, write_document, write_line
from artfs.cli.progress import progress_bar
from artfs.cli.session import Session, subcommand
from artstore.names import version_label

if TYPE_CHECKING:
    from artstore.changes.deleting import Cascade, Deletion, RemoteDeletion, Undeletion
    from artstore.progress import Progress
    from artstore.reclaim.collecting import GcReport
    from artstore.reclaim.reaper import Reaped
    from artstore.workspace import Workspace

__all__ = ["gc", "rm", "undelete", "version_ranges"]

_NAMED_TO_UNDELETE = 3


@subcommand("rm", writes=True)
@click.argument("references", metavar="REF...", nargs=-1, required=True, type=REFERENCE)
@click.option("-n", "--dry-run", is_flag=True, help="Show what would be deleted and freed, and change nothing.")
@click.option("--now", is_flag=True, help="Delete permanently, without an undelete window, and free the space at once.")
@click.option(
    "-f", "--force", is_flag=True, help="Also delete versions that have aliases, or are the base of a running put."
)
@click.option("-r", "--recursive", is_flag=True, help="With a bare NAME, delete all versions of the artifact.")
@click.option(
    "--cascade",
    is_flag=False,
    flag_value="delete",
    default="no",
    type=click.Choice(["no", "delete", "orphan"]),
    metavar="[delete|orphan]",
    help="Also delete versions that others were made from; the others are deleted too, or kept with --cascade=orphan.",
)
@click.option("--local", is_flag=True, help="Delete only the copies of this workspace, and nothing in a remote.")
def rm(
    session: Session,
    references: tuple[str, ...],
    dry_run: bool,
    now: bool,
    force: bool,
    recursive: bool,
    cascade: Cascade,
    local: bool,
) -> None:
    """Delete versions.

    When the command returns, no list and no mount shows the version; files that are open stay readable until they are
    closed. 'artfs undelete' restores the version until the undelete window ends (24 hours, or as set with 'artfs
    config undelete-window'). After that, the space that no other version needs is freed automatically. With --now
    there is no window, and the version cannot be restored.

    REF is NAME:v3, NAME:ALIAS, NAME:latest, a range NAME:v0..v9 (inclusive), or a quoted glob such as 'NAME:*' or
    'NAME:v1*'. If a version has aliases, is the base of a running put, or others were made from it, it is named and
    nothing is deleted. Version numbers are never reused.

    A version that was pushed or pulled is deleted in the remote as well, for all machines; 'artfs gc --remote' frees
    its space there. If the remote does not answer, nothing is deleted.

    \b
    Examples:
      artfs rm --dry-run imagenet:v0..v9
      artfs rm imagenet:v3
    """
    workspace = session.open()
    session.on_interrupt = "'artfs log' shows what was deleted; 'artfs gc' frees the rest of its space"
    deletion = workspace.delete(
        *references, force=force, now=now, dry_run=dry_run, recursive=recursive, cascade=cascade, local=local
    )
    warn_of_silent(deletion.silent)
    if session.json:
        from artfs.documents.deletion import DeletionDocument

        write_document(DeletionDocument.of(deletion))
    else:
        _print_deletion(deletion, now=now)


def _print_deletion(deletion: Deletion, *, now: bool) -> None:
    would = "would be " if deletion.dry_run else ""
    for some in version_ranges(deletion.versions):
        write_line(f"{some}  {would}deleted")
    count, amount = counted(len(deletion.versions), "version"), size(deletion.freed_bytes)
    if now:
        rest = deletion.freed_bytes - deletion.reaped_bytes
        more = f", {size(rest)} more once no deleted version needs it" if rest > 0 else ""
        write_line(f"{count}, {size(deletion.reaped_bytes)} {would}freed{more}")
    elif deletion.dry_run:
        write_line(f"{count}, {amount} would be freed")
    elif deletion.due_at is None:
        write_line(f"{count}, {amount} to be freed")
    else:
        write_line(f"{count}, {amount} to be freed after {moment(deletion.due_at)}")
    for remote in deletion.remotes:
        _print_remote(remote, would)
    for alias in deletion.aliases:
        warn(f"the alias {alias} {'would be' if deletion.dry_run else 'was'} removed with its version")
    for sentence in deletion.in_use:
        warn(f"its space is freed later, because it is in use: {sentence}")
    if deletion.due_at is not None and not deletion.dry_run:
        ranges = list(version_ranges(deletion.versions))
        names = " ".join(ranges) if len(ranges) <= _NAMED_TO_UNDELETE else f"{ranges[0]} ..."
        warn(f"until then, 'artfs undelete {names}' restores them")


def _print_remote(remote: RemoteDeletion, would: str) -> None:
    some = f"{remote.remote}: {counted(len(remote.versions), 'version')} {would}deleted"
    if not remote.versions:
        write_line(f"{remote.remote}: deleted there already")
    elif remote.freed_bytes is not None:
        write_line(f"{some}, {size(remote.freed_bytes)} would be freed by 'artfs gc --remote {remote.remote}'")
    else:
        until = "" if remote.due_at is None else f", undelete until {moment(remote.due_at)}"
        write_line(f"{some}{until}")


def version_ranges(names: Iterable[str]) -> Iterator[str]:
    """Yield ``NAME:v3`` for versions and ``NAME:v0..v9`` for runs of them, artifact by artifact, in order of number."""
    parsed = sorted((name, int(label)) for name, _, label in (text.rpartition(":v") for text in names))
    for (artifact, _), run in groupby(enumerate(parsed), key=lambda place: (place[1][0], place[1][1] - place[0])):
        numbers = [number for _, (_, number) in run]
        last = f"..{version_label(numbers[-1])}" if len(numbers) > 1 else ""
        yield f"{artifact}:{version_label(numbers[0])}{last}"


@subcommand("undelete", writes=True)
@click.argument("references", metavar="REF...", nargs=-1, required=True, type=DELETED_REFERENCE)
def undelete(session: Session, references: tuple[str, ...]) -> None:
    """Restore deleted versions.

    A version is restored unchanged, with those of its aliases that no other version has now. This is possible until the
    undelete window ends and the space is being freed; 'artfs log NAME' shows the time. REF is NAME:v3, a range
    NAME:v0..v9, or a quoted glob such as 'NAME:*' for all that can be restored. One that a remote had deleted is
    restored there as well, for all machines.

    \b
    Examples:
      artfs undelete imagenet:v3
      artfs undelete imagenet:v0..v9
    """
    workspace = session.open()
    names = list(dict.fromkeys(name for reference in references for name in _deleted_versions(workspace, reference)))
    session.on_interrupt = "'artfs log' shows what was restored; run it again for the rest"
    undeletions: list[Undeletion] = []
    try:
        for name in names:
            undeletions.append(workspace.undelete(name))
    finally:
        if undeletions and len(undeletions) < len(names):
            restored = version_ranges(undeletion.version.name for undeletion in undeletions)
            warn(f"{', '.join(restored)} restored before this failure")
    warn_of_silent(dict.fromkeys(mount for undeletion in undeletions for mount in undeletion.silent))
    if session.json:
        from artfs.documents.deletion import UndeletionDocument

        write_document(UndeletionDocument.of(undeletions))
        return
    for undeletion in undeletions:
        aliases = f", with {', '.join(undeletion.aliases)}" if undeletion.aliases else ""
        write_line(f"{undeletion.version.name}  restored{aliases}")
        for alias in undeletion.skipped_aliases:
            warn(f"{undeletion.version.artifact}:{alias} now points at another version and was not moved")


def _deleted_versions(workspace: Workspace, reference: str) -> list[str]:
    """Return the deleted versions that match a range or glob; any other reference is returned unchanged."""
    from artstore.errors import InvalidInputError, NotFoundError
    from artstore.names import parse_version_label

    name, colon, selector = reference.partition(":")
    first, dots, last = selector.partition("..")
    if not colon or not (dots or set("*?[") & set(selector)):
        return [reference]
    deleted = {version.number: version.name for version in workspace.log(name) if version.state == "deleted"}
    if dots:
        low, high = parse_version_label(first), parse_version_label(last)
        if low is None or high is None or low > high:
            raise InvalidInputError(f"{selector!r} is not a range of versions", hint="such as v0..v9, inclusive")
        chosen = [number for number in deleted if low <= number <= high]
    else:
        chosen = [number for number in deleted if fnmatchcase(version_label(number), selector)]
    if not chosen:
        raise NotFoundError(
            f"no deleted version of {name!r} that can be restored matches {selector}", hint=f"artfs log {name}"
        )
    return [deleted[number] for number in sorted(chosen)]


@subcommand("gc")
@click.option("-n", "--dry-run", is_flag=True, help="Show what would be freed, and change nothing.")
@click.option("--now", is_flag=True, help="Also free versions that can still be undeleted; they are lost permanently.")
@click.option("--interrupted", is_flag=True, help="Also free what interrupted puts left; they cannot resume then.")
@click.option("--compact", is_flag=True, help="Also compact the manifest and nearly empty packs.")
@click.option(
    "--evict",
    metavar="MOUNT",
    multiple=True,
    type=MOUNT_FOLDER,
    help="Do not keep what is open under the mount at MOUNT: reading it fails from then on.",
)
@click.option("--remote", is_flag=True, help="Free the space of a remote, not of the workspace.")
@click.argument("name", metavar="[REMOTE]", required=False, type=REMOTE)
def gc(
    session: Session,
    dry_run: bool,
    now: bool,
    interrupted: bool,
    compact: bool,
    evict: tuple[str, ...],
    remote: bool,
    name: str | None,
) -> None:
    """Free the space of deleted versions.

    This covers versions whose undelete window has ended, and data that was left more than an hour ago by interrupted
    puts: until then the same put can resume, unless --interrupted or --now frees it. A mount does this automatically in
    the background, and commands that write do part of it when they end; use 'artfs gc' to free all of it now. Content
    that is still open is kept until it is closed. Other commands, and other 'artfs gc', can run meanwhile.

    A mount that is suspended or does not answer keeps the deleted versions that it has shown. --evict frees them all
    the same; only the user of the mount, the owner of the workspace and root may do that.

    --remote frees the space of a remote, by default the one called origin, or the only one. Objects that no version
    needs are given up by an entry of its log, which ends the undelete window of versions that are due, and are deleted
    by a later 'artfs gc --remote', a day afterwards. Objects of pushes that never ended are given up after seven days.
    Any machine may do this, beside others that push. All times are those of the store's clock.

    \b
    Examples:
      artfs gc
      artfs gc --now --compact --dry-run
      artfs gc --remote origin
    """
    if remote and (now or interrupted or compact or evict):
        raise click.UsageError("--remote can be used with --dry-run only")
    if name is not None and not remote:
        raise click.UsageError(f"to free the space of the remote {name!r}, give --remote too")
    if remote:
        _collect_remote(session, name, dry_run=dry_run)
        return
    workspace = session.open()
    session.on_interrupt = "space already freed stays free; run it again and it resumes"
    with progress_bar("node") as update:
        report = workspace.gc(
            now=now,
            interrupted=interrupted,
            dry_run=dry_run,
            compact=compact,
            evict=evict,
            progress=_reaping(update),
        )
    if session.json:
        from artfs.documents.deletion import CollectionDocument

        write_document(CollectionDocument.of(report))
    else:
        _print_gc(report)
    if report.not_compacted:
        warn(f"not compacted for want of space: {', '.join(report.not_compacted)}; free some space and run it again")


def _collect_remote(session: Session, name: str | None, *, dry_run: bool) -> None:
    workspace = session.open()
    session.on_interrupt = "what was given up or deleted stays so; run it again and it goes on"
    with progress_bar("object") as update:
        report = workspace.remotes.gc(name, dry_run=dry_run, progress=update)
    if session.json:
        from artfs.documents.remotes import RemoteCollectionDocument

        write_document(RemoteCollectionDocument.of(report))
        return
    would = "would be " if dry_run else ""
    write_line(f"{size(report.deleted_bytes)} {would}freed, {counted(report.deleted, 'object')}")
    for some in version_ranges(report.reaped):
        write_line(f"{some}  {'could no longer be' if dry_run else 'can no longer be'} undeleted")
    if report.condemned:
        left = f", {report.left:,} of them left by pushes that never ended" if report.left else ""
        given_up = f"{counted(report.condemned, 'object')}, {size(report.condemned_bytes)}"
        write_line(f"{given_up}, {would}given up, to be deleted a day later{left}")
    if report.waiting and report.next_due is not None:
        waiting = f"{counted(report.waiting, 'object')}, {size(report.waiting_bytes)}"
        write_line(
            f"{waiting}, {'would wait' if dry_run else 'wait'} to be deleted, the first at {moment(report.next_due)}"
        )
    if report.removed:
        write_line(
            f"{counted(report.removed, 'old checkpoint or object', 'old checkpoints and objects')} {would}removed"
        )


def _reaping(update: Callable[[Progress], None] | None) -> Callable[[Reaped], None] | None:
    """Return the progress callback of the reaper; the total is not known in advance."""
    if update is None:
        return None
    from artstore.progress import Progress

    return lambda reaped: update(Progress("reaping", reaped.freed_nodes, reaped.freed_bytes, None, None, ""))


def _print_gc(report: GcReport) -> None:
    verb = "would be freed" if report.dry_run else "freed"
    write_line(f"{size(report.freed_bytes)} {verb}, {counted(report.freed_nodes, 'node')}")
    for some in version_ranges(report.undelete_ended):
        write_line(f"{some}  {'could no longer be' if report.dry_run else 'can no longer be'} undeleted")
    packs = [
        counted(number, f"pack {action}", f"packs {action}")
        for number, action in ((report.packs_removed, "removed"), (report.packs_compacted, "compacted"))
        if number
    ]
    if packs:
        write_line(", ".join(packs))
    before, after = report.manifest_bytes_before, report.manifest_bytes_after
    if before is not None and after is not None:
        write_line(f"the manifest now takes {size(after)}, before {size(before)}")
    if report.waiting_entries:
        due = "" if report.next_due is None else f", the first due at {moment(report.next_due)}"
        waiting = f"{counted(report.waiting_entries, 'entry', 'entries')}, {size(report.waiting_bytes)}"
        write_line(f"{waiting}, still waiting in the undelete window or in use{due}")
    if report.interrupted_until is not None:
        puts = counted(report.interrupted_puts, "interrupted put")
        until = moment(report.interrupted_until)
        left = f"{size(report.interrupted_bytes)} of {puts}, kept until {until} so that it can resume"
        write_line(f"{left}; 'artfs gc --interrupted' frees them now")
    for sentence in report.in_use:
        warn(f"kept because it is in use: {sentence}")
