"""``ui``: pages for a browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from artfs.cli.completion import REFERENCE
from artfs.cli.output import flush, warn, write_line
from artfs.cli.session import Session, subcommand

if TYPE_CHECKING:
    from artstore.workspace import Workspace

__all__ = ["ui"]


@subcommand("ui", as_json=False)
@click.argument("reference", metavar="[REF]", type=REFERENCE, required=False)
@click.option("--port", type=click.IntRange(0, 65535), metavar="N", help="The port [default: 7878, or a free one].")
@click.option("--host", metavar="H", default="127.0.0.1", help="The address to listen on [default: 127.0.0.1].")
@click.option("--no-browser", is_flag=True, help="Print the address and open no browser.")
@click.option("--read-only", is_flag=True, help="Show no forms, and take none.")
def ui(session: Session, reference: str | None, port: int | None, host: str, no_browser: bool, read_only: bool) -> None:
    """Show the workspace in a browser.

    Pages of artifacts, versions, files and differences, made by a server on this machine, which runs until Ctrl-C. Each
    start has a new token: only the address that is opened or printed lets a browser in. REF opens the page of an
    artifact or a version.

    To look at a workspace of another machine, forward its port: ssh -L 7878:localhost:7878 MACHINE.

    \b
    Examples:
      artfs ui
      artfs ui imagenet:v3 --no-browser
    """
    workspace = session.open()
    try:
        from artfs.ui.server import is_loopback, serve
    except ImportError as error:
        from artstore.errors import UnsupportedError

        name = (error.name or "a package").partition(".")[0]
        raise UnsupportedError(f"pages need {name}, which is not installed", hint="pip install 'artfs[ui]'") from error
    start = _start_of(workspace, reference)

    def ready(address: str, entry: str) -> None:
        if not is_loopback(host):
            warn(
                f"warning: who can reach {host} can read the token and everything else, because nothing is encrypted; "
                "prefer the default and ssh -L"
            )
        if no_browser:
            write_line(entry)
            flush()  # a program that reads the pipe waits for the address while the server runs
        else:
            warn(f"serving {address} until Ctrl-C")

    serve(
        workspace,
        host=host,
        port=port,
        start=start,
        is_read_only=read_only or workspace.store.is_read_only,
        browser=not no_browser,
        ready=ready,
    )


def _start_of(workspace: Workspace, reference: str | None) -> str:
    """Return the address of the page of an artifact or version; raises what resolving the reference raises."""
    from artfs.ui.addresses import address

    if reference is None:
        return "/"
    if ":" not in reference and workspace.has_artifact(reference):
        return address("/artifact", name=reference)
    return address("/version", ref=workspace.version(reference).name)
