"""``fsck``, ``why`` and ``purge``: checking and repair, explaining what is kept, and permanent removal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from artfs.cli.completion import REFERENCE, REMOTE
from artfs.cli.deletion import version_ranges
from artfs.cli.exit_codes import ExitCode
from artfs.cli.output import (
    counted,
    legible,
    quoted,
    say,
    size,
    warn,
    warn_of_silent,
    write_document,
    write_line,
)
from artfs.cli.progress import progress_bar
from artfs.cli.session import Session, subcommand

if TYPE_CHECKING:
    from artstore.changes.purging import PurgeReport
    from artstore.checking.report import OnProgress, Problem, Report
    from artstore.checking.report import Progress as CheckProgress
    from artstore.progress import Progress

__all__ = ["fsck", "purge", "why"]

_LISTED = 20
"""The number of paths printed for one problem; JSON has all paths of the report."""


@subcommand("fsck")
@click.option(
    "--data", is_flag=True, help="Also read and verify all content, each piece once; resumes where it was interrupted."
)
@click.option(
    "--repair", is_flag=True, help="Repair what can be repaired, and quarantine damaged content until it is put again."
)
@click.option("--rebuild", is_flag=True, help="Rebuild the manifest from packs and journal if it is lost.")
@click.option("--remote", is_flag=True, help="Check a remote, not the workspace.")
@click.argument("name", metavar="[REMOTE]", required=False, type=REMOTE)
def fsck(session: Session, data: bool, repair: bool, rebuild: bool, remote: bool, name: str | None) -> int:
    """Check the integrity of the workspace.

    Without options, check that every version is complete, every count is correct and every byte is accounted for. This
    takes seconds, and other commands can run meanwhile. If there is damage, the affected files and versions are listed
    and the exit code is 5.

    --repair corrects counts and lists, and quarantines damaged content: put the same content again, from any copy, to
    restore every version that contains it. --rebuild is for a workspace that cannot be opened, and nothing else may
    use it meanwhile: versions, aliases and tags are restored, deleted versions stay deleted, and unfinished puts are
    lost.

    --remote checks a remote, by default the one called origin, or the only one: its log, its checkpoints, the
    records of all versions, and the length and footer of each object that they use. With --data each object is read
    once and all content is verified. Nothing is written there; the remote may be read-only, and others may push
    meanwhile.

    \b
    Examples:
      artfs fsck
      artfs fsck --data --repair
      artfs fsck --remote origin
    """
    from artstore.checking import check
    from artstore.locate import find_workspace
    from artstore.repairing import check_and_repair

    if rebuild and repair:
        raise click.UsageError("--rebuild rebuilds everything: omit --repair, and run it afterwards if needed")
    if remote and (repair or rebuild):
        raise click.UsageError("--remote only checks: omit --repair and --rebuild")
    if name is not None and not remote:
        raise click.UsageError(f"to check the remote {name!r}, give --remote too")
    path = find_workspace(session.workspace)
    with progress_bar("item") as update:
        if remote:
            session.on_interrupt = "nothing was written; run it again to check the remote from the beginning"
            report = session.open().remotes.fsck(name, data=data, progress=_checking(update))
        elif rebuild:
            report = _rebuilt(session, path, data, _checking(update))
        else:
            session.on_interrupt = "completed work is kept; run it again and --data resumes where it was interrupted"
            report = (check_and_repair if repair else check)(path, data=data, progress=_checking(update))
    if session.json:
        from artfs.documents.checking import CheckDocument

        write_document(CheckDocument.of(report))
    else:
        _print_report(report)
        if not remote:
            _advise(report, repair=repair or rebuild)
        elif not report.clean:
            warn("restore damaged objects from a copy of the remote; what is not listed can still be read")
    return ExitCode.DONE if report.clean else ExitCode.DAMAGE


def _rebuilt(session: Session, path: Path, data: bool, progress: OnProgress | None) -> Report:
    """Rebuild the manifest, and with ``data`` verify all content; the report covers both."""
    from artstore.checking import check
    from artstore.errors import WorkspaceNotFoundError
    from artstore.repairing.rebuild import rebuild

    if not path.exists():
        raise WorkspaceNotFoundError(f"{path} does not exist", hint="name the workspace's folder with -w")
    session.on_interrupt = "the workspace is unchanged unless the rebuild had finished; run it again"
    report = rebuild(path, progress)
    if not data:
        return report
    session.on_interrupt = "the manifest is rebuilt; 'artfs fsck --data' continues from here"
    checked = check(path, data=True, progress=progress)
    return replace(
        checked,
        problems=report.problems + checked.problems,
        notes=report.notes + checked.notes,
        repaired=report.repaired + checked.repaired,
    )


def _advise(report: Report, *, repair: bool) -> None:
    """Print how to fix the problems found."""
    kinds = {problem.kind for problem in report.problems}
    if "unchecked" in kinds:
        warn("what could not be checked may be intact: 'artfs fsck --rebuild' rebuilds the manifest")
    elif kinds - {"lost"} and not repair:
        warn(
            "'artfs fsck --repair' repairs what can be repaired, and quarantines damaged content until it is put again"
        )
    elif any(problem.files for problem in report.problems):
        warn("to restore these files, put the same content again from any copy")


def _checking(update: Callable[[Progress], None] | None) -> OnProgress | None:
    """Return the progress callback of a check: it counts bytes while content is read, else items."""
    if update is None:
        return None
    from artstore.progress import Progress

    def report(done: CheckProgress) -> None:
        if done.phase == "data":
            update(Progress("verifying", 0, done.done, None, done.total, ""))
        else:
            update(Progress(f"checking {done.phase}", done.done, 0, done.total, None, ""))

    return report


def _print_report(report: Report) -> None:
    for problem in report.problems:
        _print_problem(problem)
    for kind, number in sorted(report.omitted.items()):
        write_line(f"{kind}: {number:,} more")
    for sentence in report.repaired:
        write_line(legible(f"repaired: {sentence}"))
    for sentence in report.notes:
        write_line(legible(f"note: {sentence}"))
    looked_at = ", ".join(_amount(name, number) for name, number in report.counted.items())
    verdict = "clean" if report.clean else f"damaged: {counted(len(report.problems), 'problem')}"
    write_line(f"{verdict} ({looked_at})" if looked_at else verdict)


def _amount(name: str, number: int) -> str:
    what, _, unit = name.rpartition("_")
    if unit == "bytes":
        return f"{size(number)} of {what.replace('_', ' ')}"
    return f"{number:,} {(name.removesuffix('s') if number == 1 else name).replace('_', ' ')}"


def _print_problem(problem: Problem) -> None:
    chunk = f" [{problem.chunk}]" if problem.chunk and problem.chunk not in problem.message else ""
    write_line(legible(f"{problem.kind}: {problem.message}{chunk}"))
    for path in problem.files[:_LISTED]:
        write_line(legible(f"  {path}"))
    if len(problem.files) > _LISTED:
        write_line(f"  and {len(problem.files) - _LISTED:,} more files")
    if problem.versions:
        touched = list(version_ranges(problem.versions))
        more = f" and {len(touched) - _LISTED:,} more" if len(touched) > _LISTED else ""
        write_line(legible(f"  in {', '.join(touched[:_LISTED])}{more}"))


@subcommand("why")
@click.argument("target", metavar="REF|DIGEST|FILE", type=REFERENCE)
def why(session: Session, target: str) -> None:
    """Explain why content is kept.

    The argument is a version, a file in it, a digest in hex (of a file, a folder or a version), or any file inside the
    workspace folder. The output shows what it is, what references it (versions, puts, the undelete window, processes
    that have it open), and where 'artfs usage' counts its bytes.

    \b
    Examples:
      artfs why imagenet:v3/train/a.jpg
      artfs why ~/.local/share/artfs/packs/00000001.pack
    """
    explanation = session.open().why(target)
    if session.json:
        from artfs.documents.checking import ExplanationDocument

        write_document(ExplanationDocument.of(explanation))
        return
    stored = "" if explanation.stored_bytes is None else f", {size(explanation.stored_bytes)} stored"
    write_line(legible(explanation.what) + stored)
    for reason in explanation.reasons:
        write_line(legible(f"  {reason}"))


@subcommand("purge", writes=True)
@click.argument("target", metavar="REF/PATH|DIGEST", type=REFERENCE)
@click.option("--reason", required=True, metavar="TEXT", help="The reason; recorded with every version that changes.")
@click.option("--everywhere", is_flag=True, help="Purge from all versions that contain it, not only from REF.")
@click.option("-n", "--dry-run", is_flag=True, help="Show what would be purged, and change nothing.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation [default: ask only on a terminal].")
def purge(session: Session, target: str, reason: str, everywhere: bool, dry_run: bool, yes: bool) -> None:
    """Remove content from versions permanently.

    Use this for content that must not be kept, such as personal data. Its bytes are overwritten before their space is
    freed; there is no undelete window, and the content cannot be restored. The versions keep their numbers and
    aliases, but their digests change; 'artfs log' and 'artfs show' list what was purged, when and why. The command
    asks for confirmation on a terminal, but not in a script.

    \b
    Examples:
      artfs purge --dry-run patients:v3/scans/17.png --everywhere --reason "consent withdrawn"
      artfs purge patients:v3/scans/17.png --everywhere --reason "consent withdrawn"
    """
    workspace = session.open()
    if not (dry_run or yes) and _has_terminal():
        _confirm(workspace.purge(target, reason=reason, everywhere=everywhere, dry_run=True))
    session.on_interrupt = "'artfs log' shows what was purged; run it again for the rest"
    report = workspace.purge(target, reason=reason, everywhere=everywhere, dry_run=dry_run)
    warn_of_silent(report.silent)
    if session.json:
        from artfs.documents.checking import PurgeDocument

        write_document(PurgeDocument.of(report))
    else:
        _print_purge(report)


def _has_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr is not None and sys.stderr.isatty()


def _confirm(planned: PurgeReport) -> None:
    """Ask for confirmation on the terminal; raise RefusedError for no, KeyboardInterrupt for Ctrl-C."""
    from artstore.errors import RefusedError

    for line in _places(planned):
        say(f"  {line}")
    try:
        if click.confirm(f"Purge this from {counted(len(planned.versions), 'version')} for good?", err=True):
            return
    except click.Abort:
        raise KeyboardInterrupt from None
    raise RefusedError("nothing was purged")


def _places(report: PurgeReport) -> Iterator[str]:
    for path in report.files[:_LISTED]:
        yield quoted(path)
    if len(report.files) > _LISTED:
        yield f"and {counted(len(report.files) - _LISTED, 'more file')}"


def _print_purge(report: PurgeReport) -> None:
    for line in _places(report):
        write_line(f"{line}  {'would be purged' if report.dry_run else 'purged'}")
    versions = counted(len(report.versions), "version")
    if report.dry_run:
        write_line(f"{versions} would change: {', '.join(version_ranges(report.versions))}")
        warn(f"{size(report.freed_bytes)} would be overwritten and freed")
    else:
        write_line(f"{versions}, {size(report.freed_bytes)} overwritten and freed")
    if report.shared_bytes:
        kept = f"{size(report.shared_bytes)} {'would be' if report.dry_run else 'are'} kept"
        warn(f"{kept} because other content uses the same chunks; to remove them, purge that content too")
    if report.waiting:
        warn("some purged content is still being read; 'artfs gc' overwrites the rest afterwards")
