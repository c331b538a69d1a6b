"""``show``, ``log`` and ``diff``: the records of versions, and the differences between them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import click

from artfs.cli import terminal
from artfs.cli.completion import NAME_OR_PATH, REFERENCE
from artfs.cli.differences import print_difference
from artfs.cli.histories import show_history
from artfs.cli.lineage import near
from artfs.cli.output import columns, counted, moment, quoted, size, write_document, write_fields, write_line
from artfs.cli.progress import progress_bar
from artfs.cli.reports import check_report, html_option, write_report
from artfs.cli.session import Session, subcommand
from artfs.cli.terminal import styled
from artfs.documents.encoding import exact_name, from_nanoseconds
from artstore.names import version_label

if TYPE_CHECKING:
    from artstore.queries.difference import Difference
    from artstore.queries.versions import Version
    from artstore.workspace import Workspace

__all__ = ["diff", "log", "show"]

_PURGED_PATHS = 5
_FAILED_PATHS = 10
_SHORT = 10


@subcommand("show", paged=True)
@click.argument("reference", metavar="REF", type=REFERENCE)
def show(session: Session, reference: str) -> None:
    """Show one version's record.

    The record has its digest, type, metadata, aliases, tags, lineage and sizes. REF is NAME (the latest version),
    NAME:v3, NAME:ALIAS, or a version's folder under a mount.

    \b
    Example:
      artfs show imagenet:production
    """
    workspace = session.open()
    version = workspace.version(reference)
    lineage = near(workspace.lineage(version.name, depth=1))
    failed = list(workspace.references.failed(version.name))
    if session.json:
        from artfs.documents.versions import VersionDocument

        write_document(VersionDocument.shown(version, lineage, failed))
    else:
        write_fields([*_described(version), *([kind, ", ".join(names)] for kind, names in lineage.items())])
        for path, failure in failed[:_FAILED_PATHS]:
            write_line(f"changed: {quoted(path)}: {failure.message}")
        if len(failed) > _FAILED_PATHS:
            write_line(f"and {len(failed) - _FAILED_PATHS} more: artfs ref check {version.name}")


@subcommand("log", paged=True)
@click.argument("name", metavar="NAME|NAME:/PATH", type=NAME_OR_PATH)
@click.option("-n", "--limit", "number", type=click.IntRange(min=1), metavar="N", help="List only the newest N.")
def log(session: Session, name: str, number: int | None) -> None:
    """List the versions of an artifact, or those of one file.

    They are listed newest first. The last column says who made a version, and from which git commit ('+': files
    differed from it). Deleted versions are marked with the time until which 'artfs undelete' can restore them; versions
    marked only 'deleted' cannot be restored.

    With a path, each distinct content of the file or folder is listed once, with the living versions that have it, and
    since when. Under a mount the same contents are links in NAME/.history/PATH.

    \b
    Examples:
      artfs log imagenet
      artfs log imagenet:/train/labels.csv
    """
    workspace = session.open()
    from artstore.queries.resolving import looks_like_path

    if ":" in name or looks_like_path(name):
        show_history(session, workspace.history(name), number)
        return
    numbers = workspace.next_version(name)  # first: a put in between must not look like a gap
    versions = workspace.log(name)
    history = _with_gaps(versions if number is None else versions[:number], numbers, to_the_first=number is None)
    if session.json:
        from artfs.documents.versions import LogDocument

        write_document(LogDocument.of(name, history))
        return
    _print_log(list(history))


def _print_log(history: list[Version | range]) -> None:
    """Print a line for each version or range of deleted ones, and below it its description and state."""
    rows = [_log_row(version) for version in history]
    headings = ["VERSION", "CREATED", "FILES", "SIZE", "ALIASES, TAGS, STATE, ORIGIN"]
    if not terminal.is_terminal():
        lines = ["  ".join(cell for cell in row if cell) for row in rows]
    else:
        heading, *lines = columns([headings, *rows], right=[2, 3], whole=[0, 1], limit=terminal.width())
        write_line(styled(heading, "heading"))
    for version, line in zip(history, lines, strict=True):
        is_gone = isinstance(version, range) or version.state == "deleted"
        write_line(styled(line, "faint") if is_gone else line)
        if isinstance(version, range):
            continue
        for text in (version.description or "").splitlines():
            write_line(f"    {quoted(text)}")
        for text in _purges(version):
            write_line(f"    purged: {text}")


def _with_gaps(versions: list[Version], numbers: int, *, to_the_first: bool = True) -> Iterator[Version | range]:
    """Yield versions, newest first, and between them the ranges of numbers below ``numbers`` that no longer exist.

    With ``to_the_first``, also the range below the last version.
    """
    above = numbers
    for version in versions:
        if version.is_pending:
            yield version
            continue
        if version.number + 1 < above:
            yield range(version.number + 1, above)
        yield version
        above = version.number
    if above and to_the_first:
        yield range(above)


@subcommand("diff", paged=True)
@click.argument("old", metavar="A", type=REFERENCE)
@click.argument("new", metavar="B", type=REFERENCE)
@click.option("--stat", is_flag=True, help="Print totals by top-level folder instead of paths.")
@click.option("--name-only", is_flag=True, help="Print only the paths that differ.")
@click.option("--content", is_flag=True, help="Print what differs inside files: rows, lines, tensors, moved images.")
@click.option("--key", multiple=True, metavar="COLUMN", help="With --content: a column by which rows are compared.")
@html_option
def diff(
    session: Session,
    old: str,
    new: str,
    stat: bool,
    name_only: bool,
    content: bool,
    key: tuple[str, ...],
    html: str | None,
) -> None:
    """List the files that differ between two versions or folders.

    A and B are versions, folders in versions, or folders of the disk, written as paths: ./data. The changes lead from A
    to B, with sizes: A is added, D removed, M changed, R renamed. The time depends on the number of differences, not on
    the size of the versions; a folder of the disk is compared as if it were put, and only files that have changed since
    its last put are read.

    With --content, the two contents of each changed file are compared: rows of tables by a key that --key names
    or that is found, lines of text, and tensors. Tables need the extra artfs[tables].

    \b
    Examples:
      artfs diff imagenet:v1 imagenet
      artfs diff imagenet ./data
      artfs diff imagenet:v1 imagenet --html changes.html
      artfs diff --content --key id sales:v1 sales
    """
    check_report(session, html, stat=stat, name_only=name_only, content=content)
    if content and (stat or name_only):
        raise click.UsageError("--content prints more than --stat and --name-only: give one of them")
    if key and not content:
        raise click.UsageError(f"--key {quoted(key[0])} needs --content")
    workspace = session.open()
    with progress_bar() as update:
        difference = workspace.diff(old, new, progress=update)
    if content:
        _write_contents(session, workspace, (old, new), difference, key)
    elif session.json or html is not None:
        from artfs.documents.differences import DifferenceDocument

        document = DifferenceDocument.of(_resolved(workspace, old), _resolved(workspace, new), difference)
        if html is None:
            write_document(document)
        else:
            write_report(html, lambda fragments: fragments.of_differences(document))
    else:
        print_difference(difference, style="stat" if stat else "names" if name_only else "paths")


def _write_contents(
    session: Session, workspace: Workspace, sides: tuple[str, str], difference: Difference, key: tuple[str, ...]
) -> None:
    from artfs.comparing.contents import content_differences
    from artfs.comparing.moves import moves_of

    files = content_differences(workspace, *sides, difference, key)
    moves = moves_of(difference)
    if session.json:
        from artfs.documents.contents import ContentDifferenceDocument, MoveItem
        from artfs.documents.differences import ChangeItem

        items = [
            MoveItem(exact_name(os.fsencode(move.old)), exact_name(os.fsencode(move.new)), len(move.files), move.images)
            for move in moves
        ]
        before, after = (_resolved(workspace, side) for side in sides)
        changes = [ChangeItem.of(change) for change in difference]
        write_document(ContentDifferenceDocument(before, after, changes, items, list(files)))
        return
    from artfs.cli.content_differences import print_contents

    print_difference(difference)
    print_contents(moves, files)


def _resolved(workspace: Workspace, reference: str) -> str:
    if workspace.is_folder(reference):
        return exact_name(os.path.abspath(os.path.expanduser(os.fsencode(reference))))
    version, path = workspace.resolve(reference)
    return f"{version.name}/{exact_name(path)}" if path else version.name


def _described(version: Version) -> list[list[str]]:
    rows = [
        ["version", version.name],
        ["type", version.type or "none"],
        ["digest", version.digest],
        ["created", moment(version.created_at, relative=True)],
        ["files", f"{version.file_count:,}"],
        ["size", f"{size(version.size)} ({version.size:,} bytes), {size(version.new_bytes)} new when it was put"],
        ["aliases", ", ".join(version.aliases) or "none"],
        ["tags", ", ".join(version.tags) or "none"],
    ]
    if version.record.expires_ns:
        rows.append(["expires at", moment(from_nanoseconds(version.record.expires_ns), relative=True)])
    if version.description:
        rows.append(["description", quoted(version.description)])
    metadata = json.dumps(version.metadata, ensure_ascii=False, sort_keys=True) if version.metadata else "none"
    rows.append(["metadata", quoted(metadata)])
    rows += [[name, quoted(text)] for name, text in _origin(version) if text]
    return [*rows, *(["purged", line] for line in _purges(version))]


def _origin(version: Version) -> Iterator[tuple[str, str]]:
    """Yield (heading, text) of what is known of a version's origin."""
    origin = version.origin
    if origin:
        yield "made by", f"{origin.get('user', '')} on {origin.get('host', '')}"
        yield "command", origin.get("command", "")
        yield "in folder", origin.get("folder", "")
    if "commit" in origin:
        state = {True: " with changes", False: "", None: ", changes unknown"}[origin.get("dirty")]
        yield "git commit", f"{origin['commit'] or 'unknown'}{state}"


def _log_row(version: Version | range) -> list[str]:
    if isinstance(version, range):
        first = f"{version_label(version[0])}.." if len(version) > 1 else ""
        return [f"{first}{version_label(version[-1])}", "", "", "", "deleted"]
    row = [version_label(version.number), moment(version.created_at)]
    row += [counted(version.file_count, "file"), size(version.size)]
    parts = []
    until = version.undeletable_until
    if until is not None:
        can = until > datetime.now(UTC)
        parts.append(f"deleted, undelete until {moment(until)}" if can else "deleted, to be reaped")
        if version.record.reason:
            parts.append(f"by {version.record.reason}")
    if version.aliases:
        parts.append(", ".join(version.aliases))
    if version.tags:
        parts.append(f"[{', '.join(version.tags)}]")
    if version.origin:
        parts.append(_made_by(version.origin))
    return [*row, "  ".join(parts)]


def _made_by(origin: Mapping[str, Any]) -> str:
    """Return ``USER@HOST COMMIT``; a plus sign means that files differed from the commit."""
    who = quoted(f"{origin.get('user', '')}@{origin.get('host', '')}")
    commit = origin.get("commit")
    return f"{who} {commit[:_SHORT]}{'+' * bool(origin.get('dirty'))}" if commit else who


def _purges(version: Version) -> Iterator[str]:
    """Yield a line for each purge: when, why, and the first of the paths removed from the version."""
    key = itemgetter("purged_ns", "reason", "old_digest")
    for (purged_ns, reason, digest), rows in groupby(version.purged, key=key):
        when = moment(from_nanoseconds(purged_ns))
        paths: list[str] = []
        more = 0
        for row in rows:
            if "path" in row and len(paths) < _PURGED_PATHS:
                paths.append(quoted(row["path"]))
            else:
                more += row.get("more", 1)
        rest = f" and {more:,} more" if more else ""
        yield f"{', '.join(paths)}{rest} at {when}: {quoted(reason)} (digest before: {digest})"
