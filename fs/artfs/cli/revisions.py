"""``describe`` and ``meta``: later changes of a version's description and metadata."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import click

from artfs.cli.completion import REFERENCE
from artfs.cli.metadata import parse_metadata
from artfs.cli.output import legible, moment, quoted, warn, write_document, write_table
from artfs.cli.session import Group, Session, subcommand

if TYPE_CHECKING:
    from artstore.queries.revisions import Revision

__all__ = ["describe", "meta"]


@subcommand("describe", writes=True)
@click.argument("reference", metavar="REF", type=REFERENCE)
@click.argument("text")
@click.option("--purge", is_flag=True, help="Also remove earlier descriptions from the version's history.")
def describe(session: Session, reference: str, text: str, purge: bool) -> None:
    """Change the description of a version.

    An empty TEXT removes it. 'artfs meta log' shows earlier descriptions. For the description of a whole artifact use
    'artfs artifact describe'.

    \b
    Example:
      artfs describe imagenet:v3 'labels corrected by hand'
    """
    workspace = session.open()
    name = workspace.version(reference).name
    workspace.describe(name, text, purge=purge)
    _report(session, name, f"{name} now has {f'the description {quoted(text)}' if text else 'no description'}")


@click.group("meta", cls=Group)
def meta() -> None:
    """Change the metadata of a version, and show its history.

    Metadata are values by name, such as acc=0.93. 'artfs put --meta' sets them, 'artfs show' prints them, and
    'artfs find --meta' finds versions by them. They are not part of the content: a change makes no version.

    \b
    Example:
      artfs meta set imagenet:v3 acc=0.93
    """


@subcommand("set", group=meta, writes=True)
@click.argument("reference", metavar="REF", type=REFERENCE)
@click.argument("items", metavar="K=V...", nargs=-1, required=True)
def meta_set(session: Session, reference: str, items: tuple[str, ...]) -> None:
    """Set metadata of a version.

    An item is KEY=VALUE, KEY:=JSON, or a JSON object, as for 'artfs put --meta'. Other keys keep their values. Keys
    that begin with 'artfs.' are reserved.

    \b
    Example:
      artfs meta set imagenet:v3 acc=0.93 'classes:=["cat", "dog"]'
    """
    workspace = session.open()
    name = workspace.version(reference).name
    values = parse_metadata(items, option="") or {}
    workspace.metadata.set(name, values)
    _report(session, name, f"set {', '.join(map(quoted, values))} of {name}")


@subcommand("rm", group=meta, writes=True)
@click.argument("reference", metavar="REF", type=REFERENCE)
@click.argument("keys", metavar="KEY...", nargs=-1, required=True)
@click.option("--purge", is_flag=True, help="Also remove the values from the version's history, for good.")
def meta_rm(session: Session, reference: str, keys: tuple[str, ...], purge: bool) -> None:
    """Remove metadata of a version.

    The history still has the values ('artfs meta log'). With --purge they are removed there too: the journal and the
    manifest are rewritten without them, which takes longer in a large workspace. Copies in backups stay.

    \b
    Example:
      artfs meta rm imagenet:v3 token --purge
    """
    workspace = session.open()
    name = workspace.version(reference).name
    workspace.metadata.remove(name, *keys, purge=purge)
    where = "from its history too" if purge else f"the history has the value: artfs meta log {name}"
    _report(session, name, f"removed {', '.join(map(quoted, keys))} of {name}; {where}")


@subcommand("log", group=meta, paged=True)
@click.argument("reference", metavar="REF", type=REFERENCE)
def meta_log(session: Session, reference: str) -> None:
    """List the changes of a version, newest first.

    These are the changes of its description and metadata; the last line is the creation of the version. The last 200
    changes are kept.

    \b
    Example:
      artfs meta log imagenet:v3
    """
    workspace = session.open()
    version = workspace.version(reference)
    revisions = workspace.metadata.log(version.name)
    if session.json:
        from artfs.documents.revisions import RevisionsDocument

        write_document(RevisionsDocument.of(version.name, revisions))
        return
    rows = [
        [moment(after.at), _who(after), ", ".join(_changes(before, after)) or "nothing changed"]
        for after, before in pairwise(revisions)
    ]
    created = revisions[-1]
    rows.append([moment(created.at), _who(created), ", ".join(["created", *_changes(None, created)])])
    write_table(["SINCE", "BY", "CHANGES"], rows)


def _who(revision: Revision) -> str:
    return quoted(revision.by) or "-"


def _changes(before: Revision | None, after: Revision) -> Iterator[str]:
    """Yield how a state differs from the one before it, as ``KEY: OLD -> NEW``."""
    old_text = "" if before is None else before.description
    if after.description != old_text:
        yield _change("description", {"description": old_text} if old_text else {}, {"description": after.description})
    old: Mapping[str, Any] = {} if before is None else before.metadata
    for key in sorted(old.keys() | after.metadata.keys()):
        change = _change(key, old, after.metadata)
        if _written(old, key) != _written(after.metadata, key):
            yield change


def _change(key: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    arrow = f"{_written(old, key)} -> " if key in old else ""
    return f"{quoted(key)}: {arrow}{_written(new, key)}"


def _written(values: Mapping[str, Any], key: str) -> str:
    return legible(json.dumps(values[key], ensure_ascii=False, sort_keys=True)) if key in values else "removed"


def _report(session: Session, name: str, sentence: str) -> None:
    if session.json:
        from artfs.documents.revisions import RevisedDocument

        write_document(RevisedDocument.of(session.open().version(name)))
    else:
        warn(sentence)
