"""``remote``: object stores that machines share: adding, showing, checking and forgetting them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from artfs.cli.completion import REMOTE
from artfs.cli.output import counted, moment, warn, write_document, write_fields, write_line, write_table
from artfs.cli.session import Group, Session, subcommand

if TYPE_CHECKING:
    from artstore.remotes.adding import Remote

__all__ = ["remote"]


@click.group("remote", cls=Group)
def remote() -> None:
    """Share versions with other machines through an object store.

    A remote is a prefix of a bucket, or a folder of another disk. Any number of machines can use it at the same time;
    nothing else runs. The store must create objects only if they are absent: 'artfs remote add' tries whether it does.

    \b
    Example:
      artfs remote add origin s3://bucket/artifacts
      artfs remote ls
    """


@subcommand("add", group=remote, writes=True)
@click.argument("name", metavar="NAME")
@click.argument("url", metavar="URL")
@click.option("--read-only", is_flag=True, help="Write nothing to it, not even to try the store.")
@click.option("--anonymous", is_flag=True, help="Read it without credentials, as a public bucket; also read-only.")
def remote_add(session: Session, name: str, url: str, read_only: bool, anonymous: bool) -> None:
    """Add the remote at URL, and make it if the place is empty.

    URL is s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, az://CONTAINER/PREFIX or file:///FOLDER. Credentials are those of the
    environment, as for 'artfs ref add'; they are not stored. The store is tried first, with some hundred small objects
    below probe/, which are removed: one that breaks a promise is refused, or can be added with --read-only. A prefix
    that has other objects is refused.

    \b
    Examples:
      artfs remote add origin s3://bucket/artifacts
      artfs remote add disk file:///mnt/backup/artifacts
      artfs remote add public gs://bucket/models --anonymous
    """
    added = session.open().remotes.add(name, url, read_only=read_only, anonymous=anonymous)
    if session.json:
        _write_document(added)
        return
    for remark in added.probe.get("remarks", ()):
        warn(remark)
    access = ", read-only" if added.read_only else ""
    warn(f"added the remote {added.name}: {added.url}{access}, {counted(added.entries, 'entry', 'entries')} in its log")


def _write_document(shown: Remote) -> None:
    from artfs.documents.remotes import RemoteDocument

    write_document(RemoteDocument.of(shown))


@subcommand("ls", group=remote)
def remote_ls(session: Session) -> None:
    """List the remotes.

    No request is made.

    \b
    Example:
      artfs remote ls
    """
    remotes = session.open().remotes.all()
    if session.json:
        from artfs.documents.remotes import RemotesDocument

        write_document(RemotesDocument.of(remotes))
        return
    rows = [[each.name, each.url, _access(each), str(len(each.artifacts))] for each in remotes]
    write_table(
        ["REMOTE", "URL", "ACCESS", "ARTIFACTS"], rows, empty="there are no remotes; 'artfs remote add' adds one"
    )


def _access(shown: Remote) -> str:
    if shown.broken:
        return "broken"
    return "read-only" if shown.read_only else "writable"


@subcommand("show", group=remote)
@click.argument("name", metavar="NAME", type=REMOTE)
def remote_show(session: Session, name: str) -> None:
    """Show what is known of a remote.

    That is its place, the last probe, and the artifacts that belong to it. No request is made; 'artfs remote check'
    asks the store.

    \b
    Example:
      artfs remote show origin
    """
    shown = session.open().remotes.get(name)
    if session.json:
        _write_document(shown)
    else:
        _print(shown)


def _print(shown: Remote) -> None:
    rows = [
        ["remote", shown.name],
        ["url", shown.url],
        ["uuid", shown.uuid],
        ["access", _access(shown)],
        ["added", moment(shown.added_at)],
    ]
    if shown.probed_at is not None:
        rows.append(["probed", moment(shown.probed_at)])
    if shown.broken:
        rows.append(["broken", shown.broken])
    rows += [["remark", remark] for remark in shown.probe.get("remarks", ())]
    rows.append(["log", counted(shown.entries, "entry", "entries")])
    rows += [["artifact", name] for name in shown.artifacts]
    write_fields(rows)


@subcommand("check", group=remote, writes=True)
@click.argument("name", metavar="NAME", type=REMOTE)
def remote_check(session: Session, name: str) -> None:
    """Try the store of a remote again, and read its log on.

    The result is recorded; 'artfs remote show' shows it. A store that breaks a promise now is an error, and so is a log
    that is not the one that was read before, as after a bucket was restored.

    \b
    Example:
      artfs remote check origin
    """
    shown = session.open().remotes.check(name)
    if session.json:
        _write_document(shown)
    else:
        _print(shown)


@subcommand("rm", group=remote, writes=True)
@click.argument("name", metavar="NAME", type=REMOTE)
@click.option("--keep-local", is_flag=True, help="Also if artifacts belong to it: they become local ones.")
def remote_rm(session: Session, name: str, keep_local: bool) -> None:
    """Forget a remote; nothing is removed there, and no version is.

    If artifacts of this workspace belong to it, that is refused without --keep-local, which also serves for a remote
    that is gone. No request is made.

    \b
    Examples:
      artfs remote rm disk
      artfs remote rm origin --keep-local
    """
    artifacts = session.open().remotes.remove(name, keep_local=keep_local)
    if session.json:
        from artfs.documents.remotes import RemoteRemovalDocument

        write_document(RemoteRemovalDocument(name, artifacts))
        return
    for artifact in artifacts:
        write_line(artifact)
    kept = f", {counted(len(artifacts), 'artifact')} kept" if artifacts else ""
    warn(f"forgot the remote {name}{kept}; nothing was removed there")
