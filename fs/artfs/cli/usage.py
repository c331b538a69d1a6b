"""``usage`` and ``du``: the disk usage of the workspace, an artifact or a version."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from artfs.cli import terminal
from artfs.cli.completion import NAME, REFERENCE
from artfs.cli.output import age, columns, counted, moment, quoted, size, warn, write_document, write_line, write_table
from artfs.cli.reports import check_report, html_option, write_report
from artfs.cli.session import Session, subcommand
from artfs.documents.encoding import from_nanoseconds
from artstore.names import version_label

if TYPE_CHECKING:
    from artstore.queries.usage import GroupUsage, Usage, VersionUsage
    from artstore.rows.deadlist import Backlog

__all__ = ["du", "usage", "warn_if_overdue"]


@subcommand("usage")
@click.argument("name", required=False, type=NAME)
@click.option(
    "--by", type=click.Choice(["project", "type"]), help="Group the usage of the workspace by project or by type."
)
@click.option("--remote", is_flag=True, help="Show the usage of a remote, not of the workspace.")
@html_option
def usage(session: Session, name: str | None, by: str | None, remote: bool, html: str | None) -> None:
    """Show disk usage.

    'logical' is the size of the versions' files, as separate copies; 'stored' the size of their content, deduplicated
    and compressed: it counts once, no matter how many versions contain it. What an interrupted put left is kept for an
    hour, so that the same put can resume; 'artfs gc --interrupted' frees it now. With NAME, show each of its versions:
    'alone' is the space that it would take if it were the only one, 'unique' the space that deleting only that version
    would free, 'attributed' the space that it added when it was put.

    With --remote, NAME is a remote, by default the one called origin, or the only one. Its objects are listed:
    'alone' is the size of those that only the versions of one artifact need, 'shared' that of those that others need
    too.

    \b
    Examples:
      artfs usage
      artfs usage imagenet
      artfs usage --by type --html usage.html
      artfs usage --remote origin
    """
    check_report(session, html, remote=remote)
    if remote and by is not None:
        raise click.UsageError("--by groups the versions of the workspace and cannot be used with --remote")
    if remote:
        _show_remote(session, name)
        return
    if name is not None and by is not None:
        raise click.UsageError("--by groups the whole workspace and cannot be used with NAME")
    workspace = session.open()
    if name is not None and workspace.is_project(name):
        from artstore.errors import NotFoundError

        hint = f"name an artifact in it: artfs ls {name}; or: artfs usage --by project"
        raise NotFoundError(f"{name!r} is a project, not an artifact", hint=hint)
    versions = [] if name is None else workspace.usage_by_version(name)
    groups = [] if by is None else workspace.usage_by(by)
    report = workspace.usage()  # last: what the others keep for the next time takes room as well
    warn_if_overdue(report)
    if session.json or html is not None:
        from artfs.documents.usage import UsageDocument

        document = UsageDocument.of(report, artifact=name, versions=versions, by=by, groups=groups)
        if html is None:
            write_document(document)
        else:
            title = f"Disk usage of {workspace.path}"
            write_report(html, lambda fragments: fragments.of_space(document, title=title))
    elif name is not None:
        _print_by_version(name, versions)
    else:
        _print_workspace(str(workspace.path), report)
        if by is not None:
            _print_groups(by, groups)


def warn_if_overdue(backlog: Usage | Backlog) -> None:
    """Warn on stderr if the space of deleted data should have been freed long ago."""
    if backlog.overdue:
        due = f"{counted(backlog.due_entries, 'entry', 'entries')} of deleted data could be freed"
        warn(f"{due} and have been due for over an hour; 'artfs gc' frees them, or shows what still uses them")


def _show_remote(session: Session, name: str | None) -> None:
    shown = session.open().remotes.usage(name)
    if session.json:
        from artfs.documents.remotes import RemoteUsageDocument

        write_document(RemoteUsageDocument.of(shown))
        return
    write_line(f"{quoted(shown.url)}  {counted(shown.objects, 'object')}")
    deleted, condemned = "only deleted versions need it", "given up, to be deleted"
    if shown.deleted_due is not None:
        deleted += f", the first can be restored until {moment(shown.deleted_due)}"
    if shown.condemned_due is not None:
        condemned += f" by 'artfs gc --remote', the first after {moment(shown.condemned_due)}"
    rows = [
        ["  living", size(shown.living_bytes), "living versions need it"],
        ["  deleted", size(shown.deleted_bytes), deleted],
        ["  condemned", size(shown.condemned_bytes), condemned],
        ["  unused", size(shown.unused_bytes), "no version needs it: pushes under way, or that never ended"],
        ["  log", size(shown.log_bytes), "the log and its checkpoints"],
        ["  other", size(shown.other_bytes), "other objects"],
        ["  stored", size(shown.bytes), "all of the above"],
    ]
    for line in columns(rows, right=[1], limit=terminal.width()):
        write_line(line)
    if shown.artifacts:
        write_line("")
        rows = [
            [each.name, f"{each.versions:,}", size(each.logical), size(each.alone), size(each.shared)]
            for each in shown.artifacts
        ]
        write_table(["ARTIFACT", "VERSIONS", "LOGICAL", "ALONE", "SHARED"], rows, right=[1, 2, 3, 4], headed=True)


def _print_groups(by: str, groups: list[GroupUsage]) -> None:
    write_line("")
    rows = [
        [group.name or "none", f"{group.versions:,}", size(group.logical), size(group.attributed)] for group in groups
    ]
    write_table([by.upper(), "VERSIONS", "LOGICAL", "ATTRIBUTED"], rows, right=[1, 2, 3], headed=True)
    write_line("logical: bytes of the files, as separate copies; attributed: stored bytes first needed there")


def _print_workspace(path: str, report: Usage) -> None:
    stored_once = "their content here, stored once and compressed"
    stored = report.stored_bytes - report.interrupted_bytes
    if report.logical_bytes >= 1.05 * stored > 0:
        stored_once += f": {report.logical_bytes / stored:,.1f} times smaller"
    write_line(f"{quoted(path)}  {counted(report.versions, 'version')}")
    apart = "'logical' and 'interrupted'" if report.interrupted_bytes else "'logical'"
    rows = [
        ["  logical", size(report.logical_bytes), "size of the versions' files as separate copies"],
        ["  stored", size(report.stored_bytes), stored_once],
        *_interrupted_row(report),
        ["  manifest", size(report.manifest_bytes), "names and records"],
        ["  deleted", size(report.deadlist_bytes), _waiting(report)],
        ["  condemned", size(report.condemned_bytes), "reaped, freed once no process reads it"],
        ["  free", size(report.free_bytes), "gaps in packs that no content uses"],
        ["  other", size(report.other_bytes), "the reserve for a full disk, block edges, run-time files"],
        ["  disk", size(report.disk_bytes), f"size of the workspace: all of the above except {apart}"],
    ]
    for line in columns(rows, right=[1], limit=terminal.width()):
        write_line(line)


def _interrupted_row(report: Usage) -> list[list[str]]:
    if report.interrupted_until_ns is None:
        return []
    puts = counted(report.interrupted_puts, "interrupted put")
    until = moment(from_nanoseconds(report.interrupted_until_ns))
    what = f"of the stored, left by {puts}, kept until {until} to resume; 'artfs gc --interrupted' frees it now"
    return [["  interrupted", size(report.interrupted_bytes), what]]


def _waiting(report: Usage) -> str:
    waiting = f"waiting to be reaped, {counted(report.deadlist_entries, 'entry', 'entries')}"
    if report.oldest_ns is None:
        return waiting
    oldest = datetime.now(UTC) - from_nanoseconds(report.oldest_ns)
    return f"{waiting}, {report.due_entries:,} of them due, the oldest deleted {age(oldest)} ago"


def _print_by_version(name: str, versions: list[VersionUsage]) -> None:
    rows = [
        [
            f"{name}:{version_label(row.number)}",
            *(size(number) for number in (row.logical, row.alone, row.unique, row.attributed)),
        ]
        for row in versions
    ]
    write_table(["VERSION", "LOGICAL", "ALONE", "UNIQUE", "ATTRIBUTED"], rows, right=[1, 2, 3, 4], headed=True)
    write_line("logical: bytes of its files; alone: stored bytes, if it were the only version")
    write_line("unique: freed if only that version is deleted; attributed: stored bytes first needed by it")


@subcommand("du")
@click.argument("reference", metavar="REF", type=REFERENCE)
def du(session: Session, reference: str) -> None:
    """Show the disk usage of one version.

    The output has the space that deleting only this version would free, and the space that it added.

    \b
    Example:
      artfs du imagenet:v3
    """
    workspace = session.open()
    version = workspace.version(reference)
    use = workspace.du(version.name)
    if session.json:
        from artfs.documents.usage import DiskUseDocument

        write_document(DiskUseDocument.of(version.artifact, use))
        return
    write_line(f"{version.name}  {counted(use.files, 'file')}, {size(use.bytes)}")
    rows = [
        ["  logical", size(use.logical), "bytes of its files"],
        ["  alone", size(use.alone), "stored, if it were the only version"],
        ["  unique", size(use.unique), "freed if only it is deleted"],
        ["  attributed", size(use.attributed), "stored bytes first needed by it"],
    ]
    for line in columns(rows, right=[1], limit=terminal.width()):
        write_line(line)
