"""``ref``: versions that refer to files outside."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from artfs.cli.completion import NAME, REFERENCE
from artfs.cli.config import parse_duration
from artfs.cli.metadata import parse_metadata, version_options
from artfs.cli.output import counted, exact_name, quoted, size, write_document, write_line, write_table
from artfs.cli.progress import progress_bar
from artfs.cli.putting import first_workspace, print_put
from artfs.cli.session import Session, subcommand

if TYPE_CHECKING:
    from artstore.references.pinning import OnPinned

__all__ = ["is_uri", "pinning_bar", "ref"]

_DAMAGED = 5
_UNKNOWN = 1


@click.group("ref")
def ref() -> None:
    """Refer to files outside.

    A version can hold files whose bytes stay where they are: in S3, Google Cloud Storage or Azure, on the web, or
    elsewhere on this machine. They are pinned when they are referred to, by version, ETag or content; under a mount
    they are ordinary files, of which what is read is fetched into a cache. One that has changed since fails to be read.

    \b
    Examples:
      artfs ref add s3://bucket/imagenet/ imagenet
      artfs ref check imagenet
    """


@subcommand("add", group=ref, writes=True)
@click.argument("uri", metavar="URI")
@click.argument("name", type=NAME)
@click.argument("to", metavar="[TO]", default="")
@version_options
@click.option("--base", metavar="VERSION", help="Lay it over this version: what that has stays.")
@click.option("--anonymous", is_flag=True, help="Ask without credentials, as for a public bucket.")
@click.option("--no-checksum", is_flag=True, help="Pin files of this machine by time and size: nothing is read.")
def ref_add(
    session: Session,
    uri: str,
    name: str,
    to: str,
    type_: str | None,
    aliases: tuple[str, ...],
    description: str | None,
    meta: tuple[str, ...],
    ttl: str | None,
    new: bool,
    base: str | None,
    anonymous: bool,
    no_checksum: bool,
) -> None:
    """Make what URI leads to the next version of NAME.

    URI is s3://BUCKET/KEY, gs://BUCKET/KEY, az://CONTAINER/KEY, https://HOST/PATH, file:///PATH or an absolute path;
    artfs://NAME:v3[/PATH] is another version, or a part of it, which then is not deleted by mistake. A
    key that ends with a slash, or names no object, means all below it. A file keeps its name or is called TO; what a
    folder or prefix holds goes to the top or below TO. Nothing is copied, and the bytes are not counted as stored.

    Credentials are those that the provider's own tools use, from the environment and their files, also later where a
    mount reads: AWS_ACCESS_KEY_ID or AWS_PROFILE, AWS_ENDPOINT_URL; GOOGLE_APPLICATION_CREDENTIALS;
    AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY. They are never stored.

    \b
    Examples:
      artfs ref add s3://bucket/imagenet/train/ imagenet train
      artfs ref add /nfs/archive/scan.tif scans --base latest
    """
    from artstore.references.locations import parse_location

    metadata = parse_metadata(meta)
    workspace = first_workspace(session, name, lambda: uri.startswith("artfs://") or parse_location(uri))
    with pinning_bar() as report:
        version = workspace.refer(
            uri,
            name,
            to=to,
            type=type_,
            aliases=aliases,
            description=description,
            metadata=metadata,
            ttl=None if ttl is None else parse_duration(ttl),
            base=base,
            new=new,
            anonymous=anonymous,
            checksum=not no_checksum,
            report=report,
        )
    print_put(session, version)


@subcommand("ls", group=ref)
@click.argument("reference", metavar="REF", type=REFERENCE)
def ref_ls(session: Session, reference: str) -> None:
    """List what a version refers to.

    REF is a version, or a path in it: NAME:v3/path.

    \b
    Example:
      artfs ref ls imagenet:v3
    """
    found = session.open().references.of(reference)
    if session.json:
        from artfs.documents.references import ReferencesDocument

        write_document(ReferencesDocument.of(found))
        return
    rows = [[quoted(exact_name(each.path)), size(each.record.size), quoted(each.record.uri)] for each in found]
    write_table(["PATH", "SIZE", "URI"], rows)


@subcommand("check", group=ref)
@click.argument("reference", metavar="REF", type=REFERENCE)
def ref_check(session: Session, reference: str) -> None:
    """Ask whether what a version refers to is as it was.

    Each service is asked for each file; files that are pinned by their content are read where that may have changed.
    Exits with 5 when something has changed or is gone, with 1 when that cannot be known.

    \b
    Example:
      artfs ref check imagenet:v3
    """
    with progress_bar() as update:
        checked = list(session.open().references.check(reference, progress=update))
    bad = [each for each in checked if each.state != "ok"]
    if session.json:
        from artfs.documents.references import ReferenceCheckDocument

        write_document(ReferenceCheckDocument.of(checked))
    else:
        for each in bad:
            write_line(f"{each.state}: {quoted(exact_name(each.reference.path))}: {each.message}")
        good = len(checked) - len(bad)
        write_line(f"{counted(good, 'reference')} as {'it was' if good == 1 else 'they were'}, {len(bad)} not")
    if bad:
        raise click.exceptions.Exit(_DAMAGED if any(each.state == "changed" for each in bad) else _UNKNOWN)


@subcommand("pin", group=ref, writes=True)
@click.argument("reference", metavar="REF", type=REFERENCE)
def ref_pin(session: Session, reference: str) -> None:
    """Fetch what a version refers to for good.

    A version does not change: the next one holds the content itself in the place of the references, of all or of those
    at a path (NAME:v3/path), and does not depend on anybody outside.

    \b
    Example:
      artfs ref pin imagenet:v3
    """
    session.on_interrupt = "no version was made"
    with progress_bar() as update:
        version = session.open().references.fetch(reference, progress=update)
    print_put(session, version)


def is_uri(text: str) -> bool:
    """Return whether an argument is a URI rather than a path."""
    from artstore.references.locations import SCHEMES

    return text.lower().startswith(SCHEMES)


@contextmanager
def pinning_bar() -> Iterator[OnPinned]:
    """Show how many files were found so far."""
    from artstore.progress import Progress

    with progress_bar() as update:

        def report(files: int, total: int, name: str) -> None:
            if update is not None:
                update(Progress("looking", files, total, None, None, name))

        yield report
