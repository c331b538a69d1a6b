"""``find``: versions by name, type, tag, metadata and age."""

from __future__ import annotations

import click

from artfs.cli.config import parse_duration
from artfs.cli.metadata import parse_metadata
from artfs.cli.output import size, write_document, write_table
from artfs.cli.projects import require_project
from artfs.cli.session import Session, subcommand
from artfs.documents.encoding import timestamp

__all__ = ["find"]


@subcommand("find")
@click.argument("artifact", metavar="[GLOB]", required=False)
@click.option("--project", metavar="PROJECT", help="Only artifacts in this project and below.")
@click.option("--type", "type_", metavar="TYPE", help="Only artifacts of this type.")
@click.option("--tag", metavar="TAG", help="Only versions with this tag.")
@click.option("--meta", multiple=True, metavar="JSON|K=V|K:=JSON", help="Only versions with this metadata; repeatable.")
@click.option("--younger", metavar="TIME", help="Only versions created within this time, such as 7d.")
@click.option("--older", metavar="TIME", help="Only versions created longer ago than this.")
@click.option("--latest", is_flag=True, help="Only the latest version of each artifact.")
def find(
    session: Session,
    artifact: str | None,
    project: str | None,
    type_: str | None,
    tag: str | None,
    meta: tuple[str, ...],
    younger: str | None,
    older: str | None,
    latest: bool,
) -> None:
    """Find versions by name, type, tag, metadata and age.

    GLOB is matched against the full names of artifacts; quote it. A version must match every condition. Numbers in
    metadata are compared as numbers, also those that were kept as text.

    \b
    Examples:
      artfs find --type model --meta stage=final
      artfs find 'logs/2024_*' --older 90d
    """
    workspace = session.open()
    require_project(workspace, project)
    versions = workspace.find(
        artifact,
        project=project,
        type=type_,
        tag=tag,
        metadata=parse_metadata(meta),
        younger=None if younger is None else parse_duration(younger),
        older=None if older is None else parse_duration(older),
        latest=latest,
    )
    if session.json:
        from artfs.documents.versions import VersionsDocument

        write_document(VersionsDocument.of(versions))
        return
    rows = [
        [
            version.name,
            version.type or "-",
            timestamp(version.created_at, seconds=True),
            size(version.size),
            ", ".join([*version.aliases, *(f"[{tag}]" for tag in version.tags)]),
        ]
        for version in versions
    ]
    write_table(["VERSION", "TYPE", "CREATED", "SIZE", "ALIASES AND TAGS"], rows, right=[3])
