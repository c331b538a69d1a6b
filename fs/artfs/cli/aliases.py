"""``alias`` and ``tag``: movable names of versions, and labels on them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from artfs.cli.completion import NAME, REFERENCE
from artfs.cli.output import moment, warn, warn_of_silent, write_document, write_table
from artfs.cli.session import Group, Session, subcommand
from artstore.names import version_label

if TYPE_CHECKING:
    from artstore.queries.versions import Version

__all__ = ["alias", "tag"]


@click.group("alias", cls=Group)
def alias() -> None:
    """Name versions of an artifact.

    An alias such as 'production' points at one version and can be moved. Under a mount an alias is a symbolic link to
    its version. 'latest' always points at the highest existing version and cannot be set.
    """


@subcommand("set", group=alias, writes=True)
@click.argument("reference", metavar="REF", type=REFERENCE)
@click.argument("names", metavar="ALIAS...", nargs=-1, required=True)
@click.option("-f", "--force", is_flag=True, help="Also move protected aliases.")
def alias_set(session: Session, reference: str, names: tuple[str, ...], force: bool) -> None:
    """Point aliases at a version, moving existing ones.

    Aliases listed in 'artfs config protected-aliases' are moved only with --force. When the command returns, every
    mount of the workspace shows the new target.

    \b
    Example:
      artfs alias set imagenet:v3 production clean
    """
    workspace = session.open()
    version = workspace.version(reference)
    warn_of_silent(workspace.aliases.set(version.name, *names, force=force))
    if session.json:
        from artfs.documents.aliases import AliasSettingDocument

        write_document(AliasSettingDocument.of(version, names))
        return
    for name in names:
        warn(f"{version.artifact}:{name} -> {version_label(version.number)}")


@subcommand("rm", group=alias, writes=True)
@click.argument("name", type=NAME)
@click.argument("alias_name", metavar="ALIAS")
@click.option("-f", "--force", is_flag=True, help="Also remove a protected alias.")
def alias_rm(session: Session, name: str, alias_name: str, force: bool) -> None:
    """Remove an alias from an artifact.

    The version itself is not deleted.

    \b
    Example:
      artfs alias rm imagenet clean
    """
    warn_of_silent(session.open().aliases.remove(name, alias_name, force=force))
    if session.json:
        from artfs.documents.aliases import AliasRemovalDocument

        write_document(AliasRemovalDocument(name, [alias_name]))
    else:
        warn(f"removed the alias {name}:{alias_name}")


@subcommand("ls", group=alias)
@click.argument("name", type=NAME)
def alias_ls(session: Session, name: str) -> None:
    """List an artifact's aliases and their versions.

    \b
    Example:
      artfs alias ls imagenet
    """
    aliases = session.open().aliases.of(name)
    if session.json:
        from artfs.documents.aliases import AliasesDocument

        write_document(AliasesDocument.of(name, aliases))
    else:
        rows = [[alias, version_label(number)] for alias, number in sorted(aliases.items())]
        write_table(["ALIAS", "VERSION"], rows, empty=f"{name} has no aliases")


@subcommand("log", group=alias, paged=True)
@click.argument("name", type=NAME)
@click.argument("alias_name", metavar="[ALIAS]", required=False)
def alias_log(session: Session, name: str, alias_name: str | None) -> None:
    """List the changes of aliases, newest first.

    The last 200 changes of an artifact's aliases are kept; '-' means that the alias was removed.

    \b
    Example:
      artfs alias log imagenet production
    """
    from artstore.errors import NotFoundError

    changes = [change for change in session.open().aliases.log(name) if alias_name in (None, change.alias)]
    if alias_name is not None and not changes:
        raise NotFoundError(
            f"no change of an alias {alias_name!r} of {name!r} is recorded", hint=f"artfs alias log {name}"
        )
    if session.json:
        from artfs.documents.aliases import AliasLogDocument

        write_document(AliasLogDocument.of(name, changes))
        return
    rows = [
        [
            moment(change.at),
            change.alias,
            "-" if change.version is None else version_label(change.version),
        ]
        for change in changes
    ]
    write_table(["SINCE", "ALIAS", "VERSION"], rows, empty=f"no alias of {name} has been changed")


@click.group("tag", cls=Group)
def tag() -> None:
    """Label versions with tags.

    Unlike an alias, a tag can be on any number of versions.
    """


@subcommand("add", group=tag, writes=True)
@click.argument("reference", metavar="REF", type=REFERENCE)
@click.argument("names", metavar="TAG...", nargs=-1, required=True)
def tag_add(session: Session, reference: str, names: tuple[str, ...]) -> None:
    """Add tags to a version.

    A tag that the version already has is left as it is.

    \b
    Example:
      artfs tag add imagenet:v3 reviewed
    """
    workspace = session.open()
    version = workspace.version(reference)
    _print_change(session, version, workspace.tags.add(version.name, *names))


@subcommand("rm", group=tag, writes=True)
@click.argument("reference", metavar="REF", type=REFERENCE)
@click.argument("names", metavar="TAG...", nargs=-1, required=True)
def tag_rm(session: Session, reference: str, names: tuple[str, ...]) -> None:
    """Remove tags from a version.

    \b
    Example:
      artfs tag rm imagenet:v3 reviewed
    """
    workspace = session.open()
    version = workspace.version(reference)
    _print_change(session, version, workspace.tags.remove(version.name, *names))


@subcommand("ls", group=tag)
@click.argument("reference", metavar="REF", type=REFERENCE)
def tag_ls(session: Session, reference: str) -> None:
    """List the tags of a version.

    \b
    Example:
      artfs tag ls imagenet:v3
    """
    version = session.open().version(reference)
    if session.json:
        from artfs.documents.aliases import TagsDocument

        write_document(TagsDocument.of(version, version.tags))
    else:
        write_table(["TAG"], [[name] for name in version.tags], empty=f"{version.name} has no tags")


def _print_change(session: Session, version: Version, tags: list[str]) -> None:
    if session.json:
        from artfs.documents.aliases import TagsDocument

        write_document(TagsDocument.of(version, tags))
    else:
        warn(f"{version.name} has the tags {', '.join(tags)}" if tags else f"{version.name} has no tags")
