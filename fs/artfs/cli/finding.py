"""``find``: versions by name, type, tag, metadata and age."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from artfs.cli.metadata import parse_metadata
from artfs.cli.output import counted, legible, moment, size, warn, write_document, write_table
from artfs.cli.session import Session, subcommand
from artfs.cli.times import parse_age

if TYPE_CHECKING:
    from artstore.queries.versions import Version

__all__ = ["find"]

_EMPTY = "no version matches"


@subcommand("find", paged=True)
@click.argument("artifact", metavar="[GLOB]", required=False)
@click.option("--project", metavar="PROJECT", help="Only artifacts in this project and below.")
@click.option("--type", "type_", metavar="TYPE", help="Only artifacts of this type.")
@click.option("--tag", metavar="TAG", help="Only versions with this tag.")
@click.option(
    "--meta",
    multiple=True,
    metavar="CONDITION",
    help="Only versions whose metadata satisfy this, such as acc>0.9; repeatable.",
)
@click.option(
    "--origin",
    multiple=True,
    metavar="CONDITION",
    help="Only versions made there, such as user=alice or commit^=4f2a; repeatable.",
)
@click.option(
    "--younger",
    "--since",
    "younger",
    metavar="TIME",
    help="Only versions created within this time, such as 7d, or since a date, such as 2026-01-31.",
)
@click.option(
    "--older", "--older-than", "--until", "older", metavar="TIME", help="Only versions created longer ago than this."
)
@click.option("--latest", is_flag=True, help="Only the latest version of each artifact.")
@click.option(
    "--sort", metavar="KEY", default="name", help="Sort by name, created, size, or a key of the metadata [name]."
)
@click.option("-r", "--reverse", is_flag=True, help="Sort in descending order.")
@click.option("-n", "--limit", type=click.IntRange(min=1), metavar="N", help="At most this many versions.")
@click.option("--columns", metavar="KEY,...", help="Show these keys of the metadata in columns.")
def find(
    session: Session,
    artifact: str | None,
    project: str | None,
    type_: str | None,
    tag: str | None,
    meta: tuple[str, ...],
    origin: tuple[str, ...],
    younger: str | None,
    older: str | None,
    latest: bool,
    sort: str,
    reverse: bool,
    limit: int | None,
    columns: str | None,
) -> None:
    """Find versions by name, type, tag, metadata and age.

    GLOB is matched against the full names of artifacts; quote it. A version must match every condition. A condition on
    metadata is KEY=VALUE, KEY!=VALUE, KEY>VALUE, and so with >=, < and <=, KEY^=BEGINNING, KEY:=JSON, KEY alone (it has
    a value), or a JSON object. KEY can be a path such as eval.f1. Numbers are compared as numbers, whether they were
    kept as numbers or as text; what cannot be compared is left out, and counted on stderr. --origin takes conditions on
    user, host, command, folder, commit and dirty.

    \b
    Examples:
      artfs find --type model --meta stage=final --meta 'acc>0.9'
      artfs find --sort acc -r -n 10 --columns acc,eval.f1
      artfs find 'logs/2024_*' --older 90d
    """
    workspace = session.open()
    objects = [item for item in meta if item.lstrip().startswith("{")]
    versions = workspace.find(
        artifact,
        project=project,
        type=type_,
        tag=tag,
        metadata=parse_metadata(objects),
        where=[item for item in meta if item not in objects],
        origin=origin,
        younger=None if younger is None else parse_age(younger),
        older=None if older is None else parse_age(older),
        latest=latest,
        sort=sort,
        reverse=reverse,
        limit=limit,
    )
    if session.json:
        from artfs.documents.versions import VersionsDocument

        write_document(VersionsDocument.found(versions))
        return
    keys = [key for key in (columns or "").split(",") if key]
    _write(versions, keys)
    if versions.left_out:
        warn(f"left out {counted(versions.left_out, 'value')} that cannot be compared")
    if versions.unordered:
        warn(f"{counted(versions.unordered, 'version')} without a value to sort {sort} by: listed last")


def _write(versions: Sequence[Version], keys: Sequence[str]) -> None:
    """Write a table with columns for keys of metadata, or by default with what tells versions apart."""
    if keys:
        rows = [[version.name, *(_cell(version.metadata, key) for key in keys)] for version in versions]
        write_table(["VERSION", *map(str.upper, keys)], rows, right=_numeric(rows), empty=_EMPTY)
        return
    rows = [
        [
            version.name,
            version.type or "-",
            moment(version.created_at),
            size(version.size),
            ", ".join([*version.aliases, *(f"[{tag}]" for tag in version.tags)]),
        ]
        for version in versions
    ]
    write_table(["VERSION", "TYPE", "CREATED", "SIZE", "ALIASES AND TAGS"], rows, right=[3], empty=_EMPTY)


def _cell(metadata: Mapping[str, Any], key: str) -> str:
    from artstore.queries.conditions import values_at

    for value in values_at(metadata, key):
        return legible(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)) or '""'
    return "-"


def _numeric(rows: Sequence[Sequence[str]]) -> list[int]:
    """Return the columns whose cells are numbers or empty."""
    from artstore.metadata import decimal_of

    width = len(rows[0]) if rows else 0
    return [
        index
        for index in range(1, width)
        if all(row[index] == "-" or decimal_of(row[index]) is not None for row in rows)
    ]
