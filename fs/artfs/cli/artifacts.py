"""``artifact``: the properties of a whole artifact, and the artifact commands of wandb's command line."""

from __future__ import annotations

import os

import click

from artfs.cli.caching import cache
from artfs.cli.completion import NAME, REFERENCE
from artfs.cli.metadata import parse_metadata
from artfs.cli.output import moment, quoted, size, warn, warn_of_silent, write_document, write_line, write_table
from artfs.cli.progress import progress_bar
from artfs.cli.projects import require_project
from artfs.cli.putting import print_put, workspace_for_put
from artfs.cli.session import Group, Session, subcommand
from artstore.names import check_name

__all__ = ["artifact"]


@click.group("artifact", cls=Group)
def artifact() -> None:
    """Put, get, list and describe artifacts.

    'put', 'get', 'ls' and 'cache' work as in wandb's command line; 'artfs put', 'artfs get' and 'artfs ls' can do
    more.

    \b
    Example:
      artfs artifact put --name team/imagenet --type dataset ./data
    """


@subcommand("set-type", group=artifact, writes=True)
@click.argument("name", type=NAME)
@click.argument("type_", metavar="TYPE")
def set_type(session: Session, name: str, type_: str) -> None:
    """Change the type of an artifact.

    All versions of NAME share one type. The first 'artfs put --type' sets it; later puts with another type are
    refused, so that a typo does not change it.

    \b
    Example:
      artfs artifact set-type imagenet dataset
    """
    session.open().set_type(name, type_)
    if session.json:
        from artfs.documents.artifacts import ArtifactTypeDocument

        write_document(ArtifactTypeDocument(name, type_))
    else:
        warn(f"{name} now has the type {type_}")


@subcommand("rename", group=artifact, writes=True)
@click.argument("name", type=NAME)
@click.argument("to", metavar="NEW")
def rename(session: Session, name: str, to: str) -> None:
    """Rename an artifact.

    All versions, aliases and open drafts of NAME move to NEW, which may be in another project. Mounts show the new name
    at once. A name that was used before is refused, because version numbers are never reused.

    \b
    Example:
      artfs artifact rename imagenet team/vision/imagenet
    """
    warn_of_silent(session.open().rename(name, to))
    if session.json:
        from artfs.documents.artifacts import ArtifactNameDocument

        write_document(ArtifactNameDocument(to, was=name))
    else:
        warn(f"renamed {name} to {to}")


@subcommand("describe", group=artifact, writes=True)
@click.argument("name", type=NAME)
@click.argument("text")
def describe(session: Session, name: str, text: str) -> None:
    """Set the description of an artifact.

    'artfs ls -l' shows it. To describe a single version use 'artfs describe'.

    \b
    Example:
      artfs artifact describe imagenet 'the 1,000 classes, cleaned'
    """
    session.open().describe(name, text)
    if session.json:
        from artfs.documents.artifacts import ArtifactDescriptionDocument

        write_document(ArtifactDescriptionDocument(name, text))
    else:
        warn(f"{name} now has the description {quoted(text)}" if text else f"{name} now has no description")


@subcommand("put", group=artifact, writes=True)
@click.argument("path", type=click.Path(readable=False))
@click.option("-n", "--name", metavar="NAME", help="[PROJECT/]NAME of the artifact [default: the name of PATH].")
@click.option("-d", "--description", metavar="TEXT", help="The description of the version.")
@click.option("-t", "--type", "type_", metavar="TYPE", help="The type of the artifact.")
@click.option("-a", "--alias", "aliases", multiple=True, metavar="ALIAS", help="An alias of the version; repeatable.")
@click.option("--meta", multiple=True, metavar="JSON|K=V|K:=JSON", help="Metadata of the version; repeatable.")
def put(
    session: Session,
    path: str,
    name: str | None,
    description: str | None,
    type_: str | None,
    aliases: tuple[str, ...],
    meta: tuple[str, ...],
) -> None:
    """Store a folder or file as the next version.

    \b
    Example:
      artfs artifact put --name team/imagenet --type dataset ./data
    """
    full = check_name(name or os.path.basename(os.path.abspath(path)))
    session.on_interrupt = "run it again and it resumes from what is stored"
    metadata = parse_metadata(meta)
    workspace = workspace_for_put(session, path, full)
    with progress_bar() as update:
        version = workspace.put(
            path,
            full,
            type=type_,
            aliases=[alias for alias in aliases if alias != "latest"],
            description=description,
            metadata=metadata,
            progress=update,
        )
    print_put(session, version)


@subcommand("get", group=artifact)
@click.argument("reference", metavar="REF", type=REFERENCE)
@click.option(
    "--root",
    metavar="DIR",
    type=click.Path(readable=False),
    help="The folder to copy to [default: ./artifacts/NAME:vN].",
)
@click.option("--type", "type_", metavar="TYPE", help="Fail unless the artifact has this type.")
def get(session: Session, reference: str, root: str | None, type_: str | None) -> None:
    """Copy a version into a folder and verify it.

    Files that differ are replaced; other files in the folder are not changed.

    \b
    Example:
      artfs artifact get team/imagenet:latest --root ./data
    """
    from artfs.tracking.values import download_folder
    from artstore.errors import RefusedError

    workspace = session.open()
    version = workspace.version(reference)
    if type_ is not None and version.type != type_:
        has = f"the type {version.type!r}" if version.type else "no type"
        raise RefusedError(f"{version.name} has {has}, not {type_!r}", hint="omit --type")
    folder = download_folder() or os.path.abspath("artifacts")
    dest = os.path.abspath(root) if root else os.path.join(folder, version.name.rpartition("/")[2])
    with progress_bar() as update:
        copied = workspace.get(version.name, dest, overwrite=True, progress=update)
    if session.json:
        from artfs.documents.files import DownloadDocument

        write_document(DownloadDocument.of(version.name, dest, copied))
    else:
        write_line(dest)


@subcommand("ls", group=artifact)
@click.argument("project", metavar="[PROJECT]", default="")
@click.option("-t", "--type", "type_", metavar="TYPE", help="List only artifacts of this type.")
def ls(session: Session, project: str, type_: str | None) -> None:
    """List the latest version of each artifact.

    With PROJECT, list only artifacts in it and below.

    \b
    Example:
      artfs artifact ls team --type dataset
    """
    workspace = session.open()
    require_project(workspace, project or None)
    versions = workspace.find(project=project or None, type=type_, latest=True)
    if session.json:
        from artfs.documents.versions import VersionsDocument

        write_document(VersionsDocument.of(versions))
        return
    rows = [[version.type or "", moment(version.created_at), size(version.size), version.name] for version in versions]
    write_table(["TYPE", "CREATED", "SIZE", "NAME"], rows, empty="no artifact matches")


artifact.add_command(cache)
