"""``draft``: building a version step by step."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import click

from artfs.cli.completion import DRAFT, NAME
from artfs.cli.differences import print_difference
from artfs.cli.metadata import parse_metadata, version_options
from artfs.cli.output import counted, moment, quoted, size, warn, write_document, write_line, write_table
from artfs.cli.progress import progress_bar
from artfs.cli.putting import passed_lines, print_put, warn_of_reaped
from artfs.cli.references import allowance_options, is_uri, pinning_bar
from artfs.cli.session import Group, Session, subcommand
from artfs.cli.times import parse_time_left
from artfs.documents.encoding import exact_name
from artstore.errors import NotFoundError

if TYPE_CHECKING:
    pass

__all__ = ["draft"]


@click.group("draft", cls=Group)
def draft() -> None:
    """Build a version step by step.

    A draft starts empty or from a version, without copying. Steps add, remove and move files until the draft is
    committed. Each step is atomic; any process can run the next one, also after a crash. A draft without a step for 7
    days expires.

    \b
    Example:
      artfs draft new imagenet --from latest --id fixes
      artfs draft add fixes ./new-images train
      artfs draft rm fixes train/broken.jpg
      artfs draft commit fixes
    """


@subcommand("new", group=draft, writes=True)
@click.argument("name", type=NAME)
@click.option("--from", "base", metavar="VERSION", help="Start from this version [default: empty].")
@click.option("--id", "ident", metavar="ID", default="", help="The ID of the draft [default: d and a number].")
@click.option("--expires", metavar="TIME", help="Expire after this time without a step, such as 12h [default: 7d].")
def draft_new(session: Session, name: str, base: str | None, ident: str, expires: str | None) -> None:
    """Open a draft of the next version of NAME and print its ID.

    VERSION is v3, an alias, or NAME:v3 of any artifact.

    \b
    Example:
      artfs draft new imagenet --from latest --id fixes
    """
    seconds = None if expires is None else parse_time_left(expires)
    opened = session.open().drafts.new(name, base=base, id=ident, expires=seconds)
    if session.json:
        from artfs.documents.drafts import DraftDocument

        write_document(DraftDocument.of(opened))
    else:
        write_line(opened.id)


@subcommand("add", group=draft, writes=True)
@click.argument("ident", metavar="ID", type=DRAFT)
@click.argument("path", type=click.Path(readable=False))
@click.argument("to", metavar="[TO]", default="")
@click.option("--overwrite", is_flag=True, help="Replace files that an earlier step added.")
@click.option("--exclude", multiple=True, metavar="GLOB", help="Exclude matching paths; repeatable.")
@click.option("--anonymous", is_flag=True, help="With a URI: access it without credentials.")
@allowance_options
def draft_add(
    session: Session,
    ident: str,
    path: str,
    to: str,
    overwrite: bool,
    exclude: tuple[str, ...],
    anonymous: bool,
    allow_query: bool,
    allow_private: bool,
) -> None:
    """Add the file or folder PATH to a draft, as TO inside it.

    PATH can be a URI as for 'artfs ref add'; the files there are referenced, not copied.

    Without TO, a file keeps its name, and the contents of a folder are added at the top. If TO is a folder, or ends
    with a slash, a file is added inside it. Folders of the same name are merged. Files of the base version are
    replaced; differing files that an earlier step added are replaced only with --overwrite.

    \b
    Examples:
      artfs draft add fixes ./images train
      artfs draft add fixes labels.csv
      artfs draft add fixes s3://bucket/extra/ extra
    """
    session.on_interrupt = "the draft is unchanged"
    opened = session.open().drafts.get(ident)
    if is_uri(path):
        with pinning_bar() as report:
            referred = opened.refer(
                path,
                to,
                overwrite=overwrite,
                anonymous=anonymous,
                allow_query=allow_query,
                allow_private=allow_private,
                report=report,
            )
        if session.json:
            from artfs.documents.drafts import DraftAdditionDocument

            write_document(DraftAdditionDocument.of_references(ident, referred))
        else:
            warn(f"{counted(len(referred.paths), 'reference')} to {size(referred.bytes)}")
        return
    with progress_bar() as update:
        added = opened.add(path, to, overwrite=overwrite, exclude=exclude, progress=update)
    warn_of_reaped(added.reaped_bytes)
    if session.json:
        from artfs.documents.drafts import DraftAdditionDocument

        write_document(DraftAdditionDocument.of(ident, added))
    else:
        warn(f"{counted(added.files, 'file')}, {size(added.bytes)}, {size(added.new_bytes)} new")
        for line in passed_lines(added):
            warn(line)


@subcommand("rm", group=draft, writes=True)
@click.argument("ident", metavar="ID", type=DRAFT)
@click.argument("patterns", metavar="PATH...", nargs=-1, required=True)
def draft_rm(session: Session, ident: str, patterns: tuple[str, ...]) -> None:
    """Remove files and folders from a draft.

    PATH is a file, a folder, or a quoted glob as in .gitignore: '*.tmp' matches at any depth, '/*.tmp' only at the
    top. Folders that become empty are removed too.

    \b
    Example:
      artfs draft rm fixes train/broken.jpg '*.tmp'
    """
    removed = session.open().drafts.get(ident).remove(*patterns)
    if session.json:
        from artfs.documents.drafts import DraftRemovalDocument

        write_document(DraftRemovalDocument.of(ident, removed))
    else:
        for path in removed:
            warn(f"removed {quoted(path)}")


@subcommand("mv", group=draft, writes=True)
@click.argument("ident", metavar="ID", type=DRAFT)
@click.argument("source", metavar="OLD")
@click.argument("target", metavar="NEW")
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
def draft_mv(session: Session, ident: str, source: str, target: str, overwrite: bool) -> None:
    """Move a file or folder inside a draft.

    If NEW is a folder, OLD is moved into it.

    \b
    Example:
      artfs draft mv fixes train/cat.jpg val/
    """
    path = session.open().drafts.get(ident).move(source, target, overwrite=overwrite)
    if session.json:
        from artfs.documents.drafts import DraftMoveDocument

        write_document(DraftMoveDocument(ident, exact_name(path)))
    else:
        warn(f"moved {quoted(source)} to {quoted(path)}")


@subcommand("status", group=draft)
@click.argument("ident", metavar="ID", type=DRAFT)
def draft_status(session: Session, ident: str) -> None:
    """List what a draft would change.

    The draft is compared with its base version, or with nothing; the output is that of 'artfs diff'.

    \b
    Example:
      artfs draft status fixes
    """
    opened = session.open().drafts.get(ident)
    difference = opened.status()
    if session.json:
        from artfs.documents.drafts import DraftStatusDocument

        write_document(DraftStatusDocument.shown(opened, difference))
        return
    warn(f"draft of {opened.artifact} from {opened.base or 'nothing'}")
    print_difference(difference)


@subcommand("commit", group=draft, writes=True)
@click.argument("idents", metavar="ID...", nargs=-1, required=True, type=DRAFT)
@version_options
def draft_commit(
    session: Session,
    idents: tuple[str, ...],
    type_: str | None,
    aliases: tuple[str, ...],
    description: str | None,
    meta: tuple[str, ...],
    ttl: str | None,
    new: bool,
) -> None:
    """Commit a draft as the next version.

    If nothing differs from the latest version, no version is created. Several drafts are committed together in one
    atomic step.

    \b
    Examples:
      artfs draft commit fixes -a reviewed
      artfs draft commit model tokenizer config
    """
    versions = session.open().drafts.commit(
        *idents,
        type=type_,
        aliases=aliases,
        description=description,
        metadata=parse_metadata(meta),
        ttl=None if ttl is None else parse_time_left(ttl),
        new=new,
    )
    if session.json and len(versions) > 1:
        from artfs.documents.versions import PutsDocument

        write_document(PutsDocument.of(versions))
        return
    for version in versions:
        print_put(session, version)


@subcommand("abort", group=draft, writes=True)
@click.argument("ident", metavar="ID", type=DRAFT)
def draft_abort(session: Session, ident: str) -> None:
    """Discard a draft and free the space that only it uses.

    \b
    Example:
      artfs draft abort fixes
    """
    session.open().drafts.get(ident).abort()
    if session.json:
        from artfs.documents.drafts import DraftAbortDocument

        write_document(DraftAbortDocument(ident))
    else:
        warn(f"discarded the draft {ident}")


@subcommand("ls", group=draft)
def draft_ls(session: Session) -> None:
    """List the open drafts, and what interrupted puts left.

    An interrupted put has no ID. What it had stored is kept for an hour, so that the same put can resume; 'artfs gc
    --interrupted' frees it now.

    \b
    Example:
      artfs draft ls
    """
    from artfs.documents.drafts import DraftItem, DraftsDocument, InterruptedItem

    drafts = session.open().drafts
    items = []
    for opened in drafts.all():
        with suppress(NotFoundError):  # ended by another process meanwhile
            items.append(DraftItem.of(opened))
    interrupted = [InterruptedItem.of(put) for put in drafts.interrupted()]
    if session.json:
        write_document(DraftsDocument(items, interrupted))
        return
    rows = [
        [item.id, item.artifact, item.base or "nothing", size(item.new_bytes), moment(item.expires_at)]
        for item in items
    ]
    for put in interrupted:
        source = f"interrupted put{f' of {quoted(put.source)}' if put.source else ''}"
        rows.append(["-", put.artifact, source, size(put.bytes), moment(put.expires_at)])
    empty = "no drafts are open; 'artfs draft new NAME' opens one"
    write_table(["ID", "ARTIFACT", "FROM", "NEW", "EXPIRES"], rows, right=[3], empty=empty)
