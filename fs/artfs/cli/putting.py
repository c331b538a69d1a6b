"""``init``, ``put`` and ``restore``: creating workspaces and versions."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from artfs.cli.completion import NAME, REFERENCE
from artfs.cli.metadata import parse_metadata, version_options
from artfs.cli.output import counted, quoted, size, warn, warn_of_silent, write_document, write_line
from artfs.cli.progress import progress_bar
from artfs.cli.session import Session, subcommand
from artfs.cli.times import parse_time_left
from artfs.documents.encoding import exact_name
from artstore.names import is_pending, version_label

if TYPE_CHECKING:
    from artstore.drafting.adding import Added
    from artstore.queries.versions import PutReceipt, Version
    from artstore.workspace import Workspace

__all__ = [
    "first_workspace",
    "init",
    "passed_lines",
    "print_put",
    "put",
    "restore",
    "warn_of_reaped",
    "workspace_for_put",
]

_NAMED: Final = 3
_SWITCH_SECONDS: Final = 0.0003
_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
"""Parameters of glibc's mallopt: from how much free memory on it is given back, and from which size on at once."""


@subcommand("init")
@click.argument("directory", metavar="[DIR]", required=False, type=click.Path(readable=False))
@click.option("--default", "as_default", is_flag=True, help="Use it as the default workspace.")
@click.option("--shared", "group", metavar="GROUP", help="Allow members of this group to use it [default: only you].")
@click.option("--owner", metavar="USER", help="Create it as this user; root needs it with --shared [default: you].")
def init(session: Session, directory: str | None, as_default: bool, group: str | None, owner: str | None) -> None:
    """Create a workspace, the folder that holds all versions.

    Without DIR it is created where commands look for it. The first 'artfs put' creates it automatically; use this
    command to choose another disk. An existing workspace is not changed.

    \b
    Example:
      artfs init /data/artfs --default
    """
    from artstore.errors import ExistsError, WorkspaceNotFoundError
    from artstore.locate import find_workspace, set_default_workspace
    from artstore.workspace import init_workspace, open_workspace

    path = find_workspace(directory if directory is not None else session.workspace)
    if owner is not None or group is not None:
        from artfs.cli.rights import require_owner

        require_owner(session, owner)
    created = True
    try:
        workspace = init_workspace(path, group=group)
    except ExistsError as error:
        if group is not None:
            raise
        try:
            workspace, created = open_workspace(path), False
        except WorkspaceNotFoundError:
            raise error from None
    if as_default:
        set_default_workspace(workspace.path)
    if session.json:
        from artfs.documents.workspaces import WorkspaceDocument

        write_document(WorkspaceDocument(str(workspace.path), workspace.uuid, created=created, default=as_default))
        return
    what = "created the workspace" if created else "there is already a workspace at"
    default = ", now the default" if as_default else ""
    warn(f"{what} {quoted(str(workspace.path))}{default}")


@subcommand("put", writes=True)
@click.argument("path", type=click.Path(readable=False))
@click.argument("name", type=NAME)
@version_options
@click.option(
    "--base", metavar="VERSION", help="Add PATH to the files of this version: files missing from PATH are kept."
)
@click.option(
    "--exclude", multiple=True, metavar="GLOB", help="Exclude matching paths, as in .artfsignore; repeatable."
)
@click.option("--remove", multiple=True, metavar="GLOB", help="With --base, remove matching files; repeatable.")
@click.option(
    "--links",
    type=click.Choice(["follow", "keep", "refuse"]),
    default="follow",
    help="Links out of PATH: store what they lead to [default], keep them as links, or refuse them.",
)
@click.option("--no-push", is_flag=True, help="Leave the version pending, if NAME belongs to a remote.")
@click.option("-n", "--dry-run", is_flag=True, help="Print what the version would change, and create none.")
def put(
    session: Session,
    path: str,
    name: str,
    type_: str | None,
    meta: tuple[str, ...],
    ttl: str | None,
    no_push: bool,
    dry_run: bool,
    **options: Any,
) -> None:
    """Store the folder or file PATH as the next version of NAME.

    Content is stored once, no matter how many versions contain it, and a version never changes. If nothing differs from
    the latest version, no version is created. An interrupted put resumes from what it had stored when it is run again.
    A file '.artfsignore' works like '.gitignore'. Links that stay inside the folder are stored as links; of those that
    lead out of it, the file or folder at the end is stored, and the output names them.

    If NAME was pushed to a remote or pulled from one, the version is pushed at once. If the remote does not answer, it
    is pending: NAME:p1, until 'artfs push NAME' makes it the next version.

    \b
    Examples:
      artfs put ./data imagenet --type dataset -a clean
      artfs put ./fixes imagenet --base latest --remove '*.tmp' --meta labels=2
      artfs put ./data imagenet --dry-run
    """
    metadata = parse_metadata(meta)
    options |= {"type": type_, "metadata": metadata, "ttl": None if ttl is None else parse_time_left(ttl)}
    if dry_run:
        _preview(session, path, name, options)
        return
    session.on_interrupt = "run it again and it resumes from what is stored"
    workspace = workspace_for_put(session, path, name)
    _suit_the_process()
    with progress_bar() as update:
        version = workspace.put(path, name, push=not no_push, progress=update, **options)
    print_put(session, version)


def _preview(session: Session, path: str, name: str, options: dict[str, Any]) -> None:
    """Print what a put would do; paths only if there is a version to compare with."""
    workspace = session.open()
    _check_arguments(workspace, path, name)
    with progress_bar() as update:
        preview = workspace.preview(path, name, progress=update, **options)
    if session.json:
        from artfs.documents.versions import PutPreviewDocument

        write_document(PutPreviewDocument.previewed(preview))
        return
    if preview.latest is not None:
        from artfs.cli.differences import print_difference

        print_difference(preview.difference)
    version = f"the next version of {name}" if is_pending(preview.number) else f"{name}:{version_label(preview.number)}"
    held = f"{counted(preview.files, 'file')}, {size(preview.bytes)}"
    if preview.receipt.created:
        write_line(f"would create {version}  {held}, {size(preview.receipt.new_bytes)} new")
    else:
        write_line(f"would create no version: {name}:{version_label(preview.number)} is the same ({held})")
    for line in passed_lines(preview.receipt):
        write_line(line)


@subcommand("restore", writes=True)
@click.argument("reference", metavar="REF", type=REFERENCE)
@version_options
def restore(
    session: Session, reference: str, type_: str | None, meta: tuple[str, ...], ttl: str | None, **options: Any
) -> None:
    """Make the content of an earlier version the next version.

    Nothing is copied, and no version changes. The description and metadata of REF come too unless others are given. If
    all that equals the latest version, no version is created. A deleted version is restored with 'artfs undelete'
    first.

    \b
    Example:
      artfs restore imagenet:v3
    """
    version = session.open().restore(
        reference,
        type=type_,
        metadata=parse_metadata(meta),
        ttl=None if ttl is None else parse_time_left(ttl),
        **options,
    )
    print_put(session, version)


def _suit_the_process() -> None:
    """Set what the threads of a put need, in this process that ends with it.

    Freed memory is not given back to the kernel, because it is needed again at once.  A thread that has compressed gets
    Python's lock after a fraction of a millisecond instead of 5, in which it could compress the next chunks.
    """
    import ctypes

    sys.setswitchinterval(_SWITCH_SECONDS)

    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # of glibc
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, 32 << 20)
        mallopt(_TRIM_THRESHOLD, 1 << 30)


def workspace_for_put(session: Session, path: str, name: str) -> Workspace:
    """Open the workspace, or create it if the arguments of the put are valid."""
    workspace = first_workspace(session, name, lambda: _check_path(path))
    _check_arguments(workspace, path, name)
    return workspace


def _check_arguments(workspace: Workspace, path: str, name: str) -> None:
    if not os.path.lexists(path) and os.path.lexists(name) and "://" not in path:
        _refuse_exchanged(workspace, path, name)
    if "://" in path or path == "-":
        _check_path(path)


def _refuse_exchanged(workspace: Workspace, path: str, name: str) -> None:
    """Raise NotFoundError if the arguments of a put seem to be the wrong way round."""
    from artstore.errors import ArtfsError, NotFoundError

    try:
        is_artifact = workspace.has_artifact(path)
    except ArtfsError:
        return
    if is_artifact:
        what = f"{quoted(path)} does not exist here, but is an artifact"
        raise NotFoundError(what, hint=f"did you mean: artfs put {quoted(name)} {path}")


def _check_path(path: str) -> None:
    from artstore.errors import NotFoundError
    from artstore.objects.locations import SCHEMES
    from artstore.records.uris import shown_uri

    if os.path.lexists(path):
        return
    if path.lower().startswith(SCHEMES):
        raise NotFoundError(
            f"{quoted(shown_uri(path))} is not a path", hint="to refer to it without copying: artfs ref add"
        )
    shown = quoted(shown_uri(path) if "://" in path else path)
    if path == "-":
        raise NotFoundError("put does not read standard input", hint="write it to a file, and put that file")
    raise NotFoundError(f"{shown} does not exist", hint="put takes a folder or a file") from None


def first_workspace(session: Session, name: str, check: Callable[[], object]) -> Workspace:
    """Open the workspace, or create it unless the artifact's name is invalid or ``check`` raises."""
    from artstore.errors import ExistsError, WorkspaceNotFoundError
    from artstore.locate import find_workspace
    from artstore.names import check_name
    from artstore.workspace import init_workspace

    try:
        return session.open()
    except WorkspaceNotFoundError:
        check_name(name)
        check()
        try:
            workspace = init_workspace(find_workspace(session.workspace))
        except ExistsError as error:
            try:
                return session.open()  # another put made it at this moment
            except WorkspaceNotFoundError:
                raise error from None
        warn(f"created the workspace {quoted(str(workspace.path))}")
        return workspace


def warn_of_reaped(stored: int) -> None:
    """Report the space of deleted versions that was freed early to make room for a put."""
    if stored:
        warn(f"the disk was nearly full: {size(stored)} of deleted versions were freed early")


def print_put(session: Session, version: Version) -> None:
    """Print the version of a put or a draft, and whether it is new."""
    receipt = version.receipt
    assert receipt is not None  # put always fills it in
    warn_of_silent(receipt.silent_daemons)
    warn_of_reaped(receipt.reaped_bytes)
    if receipt.special_modes:
        paths = counted(receipt.special_modes, "path")
        warn(f"setuid, setgid and sticky bits are not kept; {paths} had one")
    if session.json:
        from artfs.documents.versions import PutDocument

        write_document(PutDocument.of(version))
        return
    held = f"{counted(version.file_count, 'file')}, {size(version.size)}"
    outcome = f"{held}, {size(receipt.new_bytes)} new" if receipt.created else f"unchanged ({held})"
    if receipt.private_files:
        outcome += f", {counted(receipt.private_files, 'file')} not readable by other users"
    if receipt.pushed_to:
        outcome += f", pushed to {receipt.pushed_to}"
    write_line(f"{version.name}  {outcome}")
    for sentence in receipt.lost:
        warn(sentence)
    if receipt.unpushed:
        warn(f"{version.name} is pending: {receipt.unpushed}; to push it: artfs push {version.artifact}")
    if receipt.differing_paths:
        differing = counted(receipt.differing_paths, "path")
        verb, them = ("differs", "it") if receipt.differing_paths == 1 else ("differ", "them")
        write_line(f"{differing} {verb} only in mode or time; --new records {them}")
    for line in passed_lines(receipt):
        write_line(line)


def passed_lines(receipt: PutReceipt | Added) -> Iterator[str]:
    """Yield what a put, or a step of a draft, followed out of its folder and left out of it."""
    if receipt.followed_links:
        followed = counted(receipt.followed_links, "link")
        yield f"followed {followed} out of the folder: {_named(receipt.followed_paths, receipt.followed_links)}"
    if receipt.ignored_entries:
        ignored = counted(receipt.ignored_entries, "entry", "entries")
        yield f"left out {ignored} because of .artfsignore: {_named(receipt.ignored_paths, receipt.ignored_entries)}"
    if receipt.temporary_folders:
        folders = counted(receipt.temporary_folders, "temporary folder")
        named = _named(receipt.temporary_paths, receipt.temporary_folders)
        yield f"left out {folders} of interrupted artfs calls: {named}"


def _named(paths: Sequence[str], count: int) -> str:
    """Write the first of ``count`` paths for a line of output."""
    named = ", ".join(quoted(exact_name(os.fsencode(path))) for path in paths[:_NAMED])
    return named if count <= _NAMED else f"{named} and {count - _NAMED:,} more"
