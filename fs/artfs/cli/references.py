"""``ref``: versions that refer to external files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from artfs.cli.completion import NAME, REFERENCE
from artfs.cli.exit_codes import ExitCode
from artfs.cli.metadata import parse_metadata, version_options
from artfs.cli.output import counted, quoted, size, write_document, write_line, write_table
from artfs.cli.progress import progress_bar
from artfs.cli.putting import first_workspace, print_put
from artfs.cli.session import Group, Session, subcommand
from artfs.cli.times import parse_time_left
from artfs.documents.encoding import exact_name

if TYPE_CHECKING:
    from artstore.references.pinning import OnPinned

__all__ = ["allowance_options", "is_uri", "pinning_bar", "ref"]

F = TypeVar("F", bound=Callable[..., Any])


@click.group("ref", cls=Group)
def ref() -> None:
    """Refer to external files.

    A version can contain files whose bytes are stored elsewhere: in S3, Google Cloud Storage or Azure, on the web, or
    in another folder of this machine. A reference pins the file by version, ETag or content. Under a mount these are
    ordinary files; data is fetched into a cache when it is read. Reading a file that has changed since fails.

    \b
    Examples:
      artfs ref add s3://bucket/imagenet/ imagenet
      artfs ref check imagenet
    """


def allowance_options(command: F) -> F:
    """Add the options that allow what a URI must not have without them."""
    for option in (
        click.option(
            "--allow-private",
            is_flag=True,
            help="Allow this host though its address is not public, now and when you read.",
        ),
        click.option(
            "--allow-query", is_flag=True, help="Keep the query of the URI even if it seems to contain a secret."
        ),
    ):
        command = option(command)
    return command


@subcommand("add", group=ref, writes=True)
@click.argument("uri", metavar="URI")
@click.argument("name", type=NAME)
@click.argument("to", metavar="[TO]", default="")
@version_options
@click.option("--base", metavar="VERSION", help="Add to the files of this version.")
@click.option("--anonymous", is_flag=True, help="Access it without credentials, as for a public bucket.")
@click.option("--no-checksum", is_flag=True, help="Pin local files by time and size, without reading them.")
@allowance_options
def ref_add(
    session: Session,
    uri: str,
    name: str,
    type_: str | None,
    meta: tuple[str, ...],
    ttl: str | None,
    no_checksum: bool,
    **options: Any,
) -> None:
    """Store references to the files at URI as a version.

    URI is s3://BUCKET/KEY, gs://BUCKET/KEY, az://CONTAINER/KEY, https://HOST/PATH, file:///PATH or an absolute path;
    artfs://NAME:v3[/PATH] is another version, or a part of it; 'artfs rm' then refuses to delete that version. A key
    that ends with a slash, or names no object, stands for all objects below it. A file keeps its name or is called
    TO; the contents of a folder or prefix are added at the top or below TO. The files become the next version of NAME.
    Nothing is copied, and the bytes are not counted as stored.

    Credentials are those of the provider's own tools, from the environment and their files, and a mount needs them
    too: AWS_ACCESS_KEY_ID or AWS_PROFILE, AWS_ENDPOINT_URL; GOOGLE_APPLICATION_CREDENTIALS;
    AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY. They are never stored: a URI with a password,
    a token or a signature is refused.

    \b
    Examples:
      artfs ref add s3://bucket/imagenet/train/ imagenet train
      artfs ref add /nfs/archive/scan.tif scans --base latest
    """
    from artstore.objects.locations import parse_location

    metadata = parse_metadata(meta)

    def check() -> None:
        if not uri.startswith("artfs://"):
            parse_location(uri, allow_query=options["allow_query"])

    workspace = first_workspace(session, name, check)
    with pinning_bar() as report:
        version = workspace.refer(
            uri,
            name,
            type=type_,
            metadata=metadata,
            ttl=None if ttl is None else parse_time_left(ttl),
            checksum=not no_checksum,
            report=report,
            **options,
        )
    print_put(session, version)


@subcommand("ls", group=ref, paged=True)
@click.argument("reference", metavar="REF", type=REFERENCE)
def ref_ls(session: Session, reference: str) -> None:
    """List the references of a version.

    REF is a version, or a path in it: NAME:v3/path.

    \b
    Example:
      artfs ref ls imagenet:v3
    """
    references = session.open().references.of(reference)
    if session.json:
        from artfs.documents.references import ReferencesDocument

        write_document(ReferencesDocument.of(references))
        return
    rows = [[quoted(exact_name(each.path)), size(each.record.size), quoted(each.record.shown)] for each in references]
    write_table(["PATH", "SIZE", "URI"], rows, empty=f"{reference} has no references")


@subcommand("check", group=ref)
@click.argument("reference", metavar="REF", type=REFERENCE)
def ref_check(session: Session, reference: str) -> None:
    """Check whether referenced files have changed.

    The service is queried for each file; files pinned by content are read if they may have changed. The exit code is 5
    if a file has changed or is missing, and 1 if that cannot be determined.

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
        write_line(f"{counted(good, 'reference')} unchanged, {len(bad)} not")
    if bad:
        raise click.exceptions.Exit(
            ExitCode.DAMAGE if any(each.state == "changed" for each in bad) else ExitCode.FAILED
        )


@subcommand("pin", group=ref, writes=True)
@click.argument("reference", metavar="REF", type=REFERENCE)
def ref_pin(session: Session, reference: str) -> None:
    """Fetch and store the content of references.

    The version does not change. The next version stores the content instead of the references, of all of them or of
    those at a path (NAME:v3/path), and does not depend on external files.

    \b
    Example:
      artfs ref pin imagenet:v3
    """
    session.on_interrupt = "no version was created"
    with progress_bar() as update:
        version = session.open().references.fetch(reference, progress=update)
    print_put(session, version)


def is_uri(text: str) -> bool:
    """Return whether an argument is a URI rather than a path."""
    from artstore.objects.locations import SCHEMES

    return text.lower().startswith(SCHEMES)


@contextmanager
def pinning_bar() -> Iterator[OnPinned]:
    """Show the number of files found so far."""
    from artstore.progress import Progress

    with progress_bar() as update:

        def report(files: int, total: int, name: str) -> None:
            if update is not None:
                update(Progress("looking", files, total, None, None, name))

        yield report
