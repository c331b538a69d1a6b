"""``push``, ``fetch``, ``pull`` and ``clone``: versions on their way between workspaces and remotes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from artfs.cli.completion import REFERENCE, REMOTE
from artfs.cli.deletion import version_ranges
from artfs.cli.output import counted, moment, quoted, size, warn, write_document, write_line, write_table
from artfs.cli.progress import progress_bar
from artfs.cli.session import Session, subcommand

if TYPE_CHECKING:
    from artstore.namespaces.remotes import Remotes
    from artstore.remotes.exchanging import Fetched, OnProgress, OnVersion, Transferred

__all__ = ["clone", "fetch", "pull", "push"]


def _chosen(reference: str | None, remote: str | None, every: bool, what: str) -> tuple[list[str], str | None]:
    """Return (references, remote) of ``REF [REMOTE]``, or with --all of ``[REMOTE]``."""
    if every and remote is not None:
        raise click.UsageError(f"with --all give the remote only, not a {what}")
    if every:
        return [], reference
    if reference is None:
        raise click.UsageError(f"give a {what}, or --all")
    return [reference], remote


@contextmanager
def _shown(show: OnVersion | None) -> Iterator[tuple[OnVersion, OnProgress | None]]:
    """Yield callbacks for versions and progress; lines are printed at once, or after the bar that would hide them."""
    landed: list[Transferred] = []
    try:
        with progress_bar() as progress:
            yield (landed.append if show is None or progress is not None else show), progress
    finally:
        if show is not None:
            for version in landed:
                show(version)


@subcommand("push", writes=True)
@click.argument("reference", metavar="[REF]", required=False, type=REFERENCE)
@click.argument("remote", metavar="[REMOTE]", required=False, type=REMOTE)
@click.option("--all", "every", is_flag=True, help="Push all versions of all artifacts.")
@click.option("--if-latest", metavar="vN", help="Push only if this is the latest version there.")
@click.option("--adopt", is_flag=True, help="Append to an artifact of the same name that was made elsewhere.")
@click.option("-n", "--dry-run", is_flag=True, help="Show what would be sent, and send nothing.")
def push(
    session: Session,
    reference: str | None,
    remote: str | None,
    every: bool,
    if_latest: str | None,
    adopt: bool,
    dry_run: bool,
) -> None:
    """Send versions to a remote.

    REF is NAME or a quoted glob of names (all living versions), NAME:v3, NAME:ALIAS, NAME:v0..v9 or 'NAME:*'. REMOTE is
    by default the remote called origin, or the only one. Versions are sent in the order in which they were made, with
    description, metadata, tags and aliases. Content that the remote has is not sent again, and neither is a version
    that is there. A version keeps its number if that is free there, else it gets the next one, here too. Pending
    versions (p1, p2) become the next ones. What a version includes, links to or is based on is sent first.

    Each version is there as a whole or not at all: after a stop, run the same command again. The
    versions are printed as they land. With --dry-run the numbers are the most that would be sent.

    \b
    Examples:
      artfs push imagenet
      artfs push team/model:best backup
      artfs push --all --dry-run
    """
    refs, remote = _chosen(reference, remote, every, "version or artifact")
    remotes = session.open().remotes
    with _shown(None if session.json or dry_run else _show_sent) as (show, progress):
        pushed = remotes.push(
            refs,
            remote,
            every=every,
            dry_run=dry_run,
            if_latest=if_latest,
            adopt=adopt,
            on_version=show,
            progress=progress,
        )
    if session.json:
        from artfs.documents.remotes import PushDocument

        write_document(PushDocument.of(pushed))
        return
    new = sum(version.is_new for version in pushed.versions)
    for sentence in pushed.lost:
        warn(sentence)
    for version in pushed.versions if dry_run else ():
        if version.is_new:
            write_line(version.name)
    if dry_run:
        objects = counted(pushed.objects, "object")
        warn(
            f"{counted(new, 'version')} would be pushed to {pushed.remote}: "
            f"at most {size(pushed.sent_bytes)}, {objects}"
        )
    else:
        there = len(pushed.versions) - new
        rest = f", {counted(there, 'version')} there already" if there else ""
        warn(f"{counted(new, 'version')} pushed to {pushed.remote}: {size(pushed.sent_bytes)} sent{rest}")


def _show_sent(version: Transferred) -> None:
    if version.is_new:
        as_name = "" if version.remote_name == version.name else f" as {version.remote_name}"
        write_line(f"{version.name}{as_name}")


@subcommand("fetch", writes=True)
@click.argument("remote", metavar="[REMOTE]", required=False, type=REMOTE)
def fetch(session: Session, remote: str | None) -> None:
    """List what a remote has.

    REMOTE is by default the remote called origin, or the only one. Only its log is read: no content is fetched. LOCAL
    counts the versions that this workspace has, too; 'artfs pull' makes others local. Versions that another machine
    has deleted or restored are deleted or restored here as well; 'artfs undelete' restores them for all machines.

    \b
    Example:
      artfs fetch origin
    """
    fetched = session.open().remotes.fetch(remote)
    if session.json:
        from artfs.documents.remotes import FetchDocument

        write_document(FetchDocument.of(fetched))
    else:
        _print_fetched(fetched)
        for sentence in fetched.lost:
            warn(sentence)


def _print_fetched(fetched: Fetched) -> None:
    rows = [
        [each.name, f"v{each.versions[-1]}", str(len(each.versions)), str(len(each.local)), size(each.bytes)]
        for each in fetched.artifacts
    ]
    heads = ["ARTIFACT", "LATEST", "VERSIONS", "LOCAL", "SIZE"]
    write_table(heads, rows, empty=f"the remote {fetched.remote} has no artifacts; 'artfs push' sends some")
    for gone in fetched.deleted:
        rule = f" ({gone.reason})" if gone.reason else ""
        until = "" if gone.due_at is None else f", undelete until {moment(gone.due_at)}"
        write_line(f"{gone.name}  deleted by {quoted(gone.by)} at {moment(gone.at)}{rule}{until}")
    followed = fetched.followed
    for names, what in ((followed.deleted, "deleted"), (followed.restored, "restored")):
        if names:
            warn(f"{what} here as well: {', '.join(version_ranges(names))}")
    for sentence in followed.kept:
        warn(sentence)


@subcommand("pull", writes=True)
@click.argument("reference", metavar="[REF]", required=False)
@click.argument("remote", metavar="[REMOTE]", required=False, type=REMOTE)
@click.option("--all", "every", is_flag=True, help="Pull all living versions of all artifacts.")
@click.option("--drop", is_flag=True, help="Give local copies back: remove them here, for good.")
def pull(session: Session, reference: str | None, remote: str | None, every: bool, drop: bool) -> None:
    """Make versions of a remote local.

    REF is NAME (the latest version), NAME:v3, NAME:ALIAS or a quoted NAME:GLOB. REMOTE is by default the remote called
    origin, or the only one. The whole version is fetched, verified and kept until it is deleted here, with the number,
    description, metadata, tags and aliases that it has there. Content that this workspace has is not fetched.

    With --drop, REF is NAME:v3, NAME:ALIAS or NAME:v0..v9, and the copies here are removed, without an undelete window.
    The versions stay in the remote, are listed as before, and are read from there. A version that the remote does not
    have is refused.

    \b
    Examples:
      artfs pull imagenet
      artfs pull 'team/model:*' backup
      artfs pull --all
      artfs pull --drop imagenet:v3
    """
    if drop and every:
        raise click.UsageError("--drop needs the versions to give back, not --all")
    refs, remote = _chosen(reference, remote, every, "version of the remote")
    remotes = session.open().remotes
    if drop:
        _drop(session, remotes, refs, remote)
        return
    with _shown(None if session.json else _show_pulled) as (show, progress):
        pulled = remotes.pull(refs, remote, every=every, on_version=show, progress=progress)
    if session.json:
        from artfs.documents.remotes import PullDocument

        write_document(PullDocument.of(pulled))
        return
    new = sum(version.is_new for version in pulled.versions)
    for sentence in pulled.lost:
        warn(sentence)
    local = len(pulled.versions) - new
    rest = f", {counted(local, 'version')} local already" if local else ""
    warn(f"{counted(new, 'version')} pulled from {pulled.remote}{rest}")


def _drop(session: Session, remotes: Remotes, refs: list[str], remote: str | None) -> None:
    names = remotes.drop(refs, remote)
    if session.json:
        from artfs.documents.remotes import DropDocument

        write_document(DropDocument(names))
        return
    for name in names:
        write_line(name)
    warn(f"{counted(len(names), 'copy', 'copies')} given back; they are read from the remote")


def _show_pulled(version: Transferred) -> None:
    if version.is_new:
        write_line(version.name)


@subcommand("clone")
@click.argument("url", metavar="URL")
@click.argument("directory", metavar="[DIR]", required=False, type=click.Path(readable=False))
@click.option("--read-only", is_flag=True, help="Write nothing to the remote, not even to try the store.")
@click.option("--anonymous", is_flag=True, help="Read it without credentials, as a public bucket; also read-only.")
def clone(session: Session, url: str, directory: str | None, read_only: bool, anonymous: bool) -> None:
    """Make a workspace of a remote.

    The workspace DIR, by default a folder here with the last name of URL, has the remote as origin. The names of all
    versions are listed; no content is fetched: 'artfs pull' makes versions local, 'artfs pull --all' all of them.

    \b
    Examples:
      artfs clone s3://bucket/artifacts
      artfs -w artifacts pull imagenet
    """
    from artstore.errors import InvalidInputError
    from artstore.locate import find_workspace
    from artstore.remotes.exchanging import clone as make
    from artstore.workspace import Workspace

    place = directory or session.workspace or url.rstrip("/").rpartition("/")[2]
    if not place:
        raise InvalidInputError(f"{url!r} names no folder", hint="say where: artfs clone URL DIR")
    made = Workspace(make(url, find_workspace(place), read_only=read_only, anonymous=anonymous))
    fetched = made.remotes.fetch()
    if session.json:
        from artfs.documents.remotes import CloneDocument, FetchDocument

        write_document(CloneDocument(str(made.path), made.uuid, FetchDocument.of(fetched).artifacts))
        return
    _print_fetched(fetched)
    warn(f"cloned into {quoted(str(made.path))}; 'artfs -w {quoted(str(place))} pull NAME' fetches a version")
