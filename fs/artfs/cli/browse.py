"""``ls``, ``cat``, ``get`` and ``warm``: reading versions without a mount."""

from __future__ import annotations

import os
import stat
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import click

from artfs.cli.completion import REFERENCE
from artfs.cli.output import counted, moment, quoted, size, warn, write_bytes, write_document, write_line, write_table
from artfs.cli.progress import progress_bar
from artfs.cli.session import Session, subcommand
from artstore.errors import InvalidNameError, NotFoundError
from artstore.names import version_label

if TYPE_CHECKING:
    from artstore.queries.versions import FileInfo, Version
    from artstore.workspace import ArtifactInfo, Workspace

__all__ = ["cat", "get", "ls", "warm"]

_BLOCK = 1 << 20
_GLOB = frozenset("*?[")


@subcommand("ls", paged=True)
@click.argument("reference", metavar="[REF]", required=False, type=REFERENCE)
@click.option("-l", "--long", "long_", is_flag=True, help="Show details: digests, times, sizes, descriptions.")
def ls(session: Session, reference: str | None, long_: bool) -> None:
    """List artifacts, the versions of one, or files.

    Without REF, list all artifacts with type, latest version and number of versions; with a quoted glob, those whose
    name matches. With NAME, list its versions. With NAME:v3, NAME:v3/folder or a folder of a version under a mount,
    list the files in it.

    \b
    Examples:
      artfs ls
      artfs ls 'logs/2024_*'
      artfs ls imagenet
      artfs ls -l imagenet:v3/train
    """
    workspace = session.open()
    if reference is None:
        _print_artifacts(session, workspace.artifacts(), long_=long_)
        return
    if not _GLOB.isdisjoint(reference) and ":" not in reference and not os.path.lexists(reference):
        matching = [artifact for artifact in workspace.artifacts() if fnmatchcase(artifact.name, reference)]
        if not matching:
            raise NotFoundError(f"no artifact matches {reference!r}", hint="list all artifacts: artfs ls")
        _print_artifacts(session, matching, long_=long_)
        return
    if _is_bare_name(reference):
        _list_name(session, workspace, reference, long_=long_)
        return
    version, path = workspace.resolve(reference)
    _print_files(session, version, path, long_=long_)


def _is_bare_name(reference: str) -> bool:
    """Return whether it names an artifact or project; text that is no reference may be a path inside a mount."""
    from artstore.names import parse_reference

    try:
        return not parse_reference(reference).explicit
    except InvalidNameError:
        return False


def _list_name(session: Session, workspace: Workspace, name: str, *, long_: bool) -> None:
    if workspace.is_project(name):
        _print_artifacts(session, workspace.artifacts(name), long_=long_)
    else:
        _print_versions(session, name, workspace.versions(name), long_=long_)


def _print_artifacts(session: Session, artifacts: list[ArtifactInfo], *, long_: bool) -> None:
    if session.json:
        from artfs.documents.artifacts import ArtifactsDocument

        write_document(ArtifactsDocument.of(artifacts))
        return
    headings = ["ARTIFACT", "TYPE", "LATEST", "VERSIONS", "CREATED", "DESCRIPTION"]
    rows = []
    for artifact in artifacts:
        latest = "-" if artifact.latest is None else version_label(artifact.latest)
        created = moment(artifact.created_at)
        row = [artifact.name, artifact.type or "-", latest, f"{artifact.versions:,}"]
        rows.append([*row, created, quoted(artifact.description or "")])
    shown = len(headings) if long_ else 4
    empty = "there are no artifacts yet; 'artfs put PATH NAME' stores the first one"
    write_table(headings[:shown], [row[:shown] for row in rows], right=[3], empty=empty)


def _print_versions(session: Session, name: str, versions: list[Version], *, long_: bool) -> None:
    if session.json:
        from artfs.documents.versions import VersionsDocument

        write_document(VersionsDocument.of(versions, artifact=name))
        return
    headings = ["VERSION", "CREATED", "FILES", "SIZE", "ALIASES", "NEW", "DIGEST", "TAGS", "DESCRIPTION"]
    rows = []
    for version in versions:
        created = moment(version.created_at)
        row = [version_label(version.number), created, f"{version.file_count:,}", size(version.size)]
        row += [", ".join(version.aliases), size(version.new_bytes), version.digest[:12]]
        rows.append([*row, ", ".join(version.tags), quoted(version.description or "")])
    shown = len(headings) if long_ else 5
    empty = f"{name} has no living versions; 'artfs log {name}' lists deleted ones"
    write_table(headings[:shown], [row[:shown] for row in rows], right=[2, 3, 5], empty=empty)


def _print_files(session: Session, version: Version, path: bytes, *, long_: bool) -> None:
    entry = version.stat(path)
    files = version.listdir(path) if entry.kind == "directory" else [entry]
    if session.json:
        from artfs.documents.files import FilesDocument

        write_document(FilesDocument.of(version, path, files))
    elif not files:
        warn(f"there are no files in {version.name}/{os.fsdecode(path)}".rstrip("/"))
    elif long_:
        headings = ["MODE", "SIZE", "DIGEST", "MODIFIED", "NAME"]
        write_table(headings, [_long_row(file) for file in files], right=[1])
    else:
        for file in files:
            write_line(_shown_name(file))


def _shown_name(file: FileInfo) -> str:
    return quoted(file.name) + ("/" if file.kind == "directory" else "")


def _long_row(file: FileInfo) -> list[str]:
    kind = {"directory": stat.S_IFDIR, "link": stat.S_IFLNK}.get(file.kind, stat.S_IFREG)
    mode = stat.filemode(kind | file.mode)
    name = _shown_name(file)
    if file.link_target is not None:
        name += f" -> {quoted(file.link_target)}"
    return [mode, size(file.size), (file.digest or "-")[:12], moment(file.mtime), name]


@subcommand("cat", as_json=False)
@click.argument("references", metavar="REF/PATH...", nargs=-1, required=True, type=REFERENCE)
def cat(session: Session, references: tuple[str, ...]) -> None:
    """Write files of versions to stdout.

    The content is verified and written unchanged. Several files are concatenated.

    \b
    Example:
      artfs cat imagenet:v3/labels.csv | head
    """
    from artstore.errors import InvalidInputError

    workspace = session.open()
    for reference in references:
        version, path = workspace.resolve(reference)
        if not path:
            raise InvalidInputError(
                f"{reference} is a whole version",
                hint=f"name a file in it: {version.name}/PATH ('artfs ls' lists them)",
            )
        with version.open(path) as file:
            while block := file.read(_BLOCK):
                write_bytes(block)


@subcommand("get")
@click.argument("reference", metavar="REF", type=REFERENCE)
@click.argument("dest", type=click.Path(readable=False))
@click.option("--path", "prefix", metavar="PREFIX", help="Copy only this file or folder of the version [default: all].")
@click.option("--overwrite", is_flag=True, help="Replace files in DEST that differ [default: list them and fail].")
def get(session: Session, reference: str, dest: str, prefix: str | None, overwrite: bool) -> None:
    """Copy a version's files into a folder.

    The copies are verified. DEST is created if it does not exist. Existing files with the same content are skipped, and
    nothing in DEST is deleted. To read without copying, mount the workspace: 'artfs mount'.

    \b
    Example:
      artfs get imagenet:v3 ./work --path train
    """
    workspace = session.open()
    session.on_interrupt = "the copied files are kept; run it again to copy the rest"
    with progress_bar() as update:
        receipt = workspace.get(reference, dest, prefix=prefix, overwrite=overwrite, progress=update)
    if session.json:
        from artfs.documents.files import CopyDocument

        write_document(CopyDocument.of(dest, receipt))
        return
    skipped = f", {counted(receipt.skipped, 'file')} already there" if receipt.skipped else ""
    write_line(f"{quoted(dest)}  {counted(receipt.files, 'file')}, {size(receipt.bytes)} copied{skipped}")


@subcommand("warm")
@click.argument("reference", metavar="REF", type=REFERENCE)
@click.argument("path", metavar="[PREFIX]", required=False, default="")
def warm(session: Session, reference: str, path: str) -> None:
    """Read a version from the disk into memory.

    The version is read in one sequential pass, so that shuffled reads that follow do not wait for the disk. With
    PREFIX, only that file or folder is read. Data that does not fit into memory is read from the disk later, as usual.

    \b
    Example:
      artfs warm imagenet:v3 train
    """
    workspace = session.open()
    session.on_interrupt = "what was read stays in memory"
    with progress_bar() as update:
        warmed = workspace.warm(reference, path=path, progress=update)
    if session.json:
        from artfs.documents.files import WarmDocument

        write_document(WarmDocument.of(warmed))
        return
    write_line(f"{quoted(reference)}  {counted(warmed.files, 'file')}, {size(warmed.bytes)} of packs in memory")
