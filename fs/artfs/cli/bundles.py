"""``registry export`` and ``registry import``: registered artifacts in one file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from artfs.cli.completion import REGISTERED
from artfs.cli.datasets import one_artifact, only_registry, registry_workspace
from artfs.cli.output import counted, legible, quoted, size, warn, write_document, write_line
from artfs.cli.progress import progress_bar
from artfs.cli.session import Session, subcommand

if TYPE_CHECKING:
    from artfs.registry.importing import BundleImport, Imported
    from artfs.registry.registry import ArtifactRegistry

__all__ = ["registry_export", "registry_import"]

_RUNS = "runs"


@subcommand("export")
@click.argument("path", metavar="FILE", type=click.Path(readable=False))
@click.argument("artifact_ids", metavar="[ID...]", nargs=-1, type=REGISTERED)
@click.option("-d", "--dataset", metavar="DATASET", help="The data set [default: the only one that has artifacts].")
@click.option("--pipeline", metavar="PIPELINE", help="Only the artifacts of this pipeline.")
@click.option("--overwrite", is_flag=True, help="Replace FILE if it exists.")
@click.option("-n", "--dry-run", is_flag=True, help="Show what FILE would have, and write nothing.")
def registry_export(
    session: Session,
    path: str,
    artifact_ids: tuple[str, ...],
    dataset: str | None,
    pipeline: str | None,
    overwrite: bool,
    dry_run: bool,
) -> None:
    """Write artifacts to one file.

    The file has the artifacts with these IDs, or all of the data set or pipeline, in their latest version, and
    everything that they were made from. It is a plain tar that needs no artfs to be read, and 'artfs registry import'
    brings it into another workspace. Equal artifacts are equal files.

    \b
    Examples:
      artfs registry export wheat.tar
      artfs registry export best.tar '0001_pls$35f1:0'
    """
    if artifact_ids and pipeline is not None:
        raise click.UsageError("name artifacts or a pipeline, not both")
    one, ids = _selected(session, artifact_ids, dataset)
    with progress_bar() as update:
        receipt = one.export_bundle(
            path, ids=ids, pipeline_id=pipeline, overwrite=overwrite, dry_run=dry_run, progress=update
        )
    if session.json:
        from artfs.documents.registered import RegistryExportDocument

        place = os.path.abspath(path)
        write_document(RegistryExportDocument(place, receipt.versions, receipt.files, receipt.bytes, not dry_run))
        return
    for each in receipt.versions:
        write_line(legible(each))
    count = f"{counted(len(receipt.versions), 'version')}, {size(receipt.bytes)}"
    warn(f"{count}; nothing was written" if dry_run else f"{count} in {quoted(path)}")


def _selected(
    session: Session, artifact_ids: Sequence[str], dataset: str | None
) -> tuple[ArtifactRegistry, list[str] | None]:
    """Return the registry and the ids that are meant, None for all; they must be of one data set."""
    from artstore.errors import InvalidInputError

    if not artifact_ids:
        return only_registry(session, dataset), None
    found = [one_artifact(session, ident, dataset, None) for ident in artifact_ids]
    datasets = sorted({registry.dataset for registry, _ in found})
    if len(datasets) > 1:
        raise InvalidInputError(
            f"the artifacts are of the data sets {', '.join(datasets)}",
            hint="export each data set to a file of its own",
        )
    return found[0][0], [record.artifact_id for _, record in found]


@subcommand("import", writes=True)
@click.argument("path", metavar="FILE", type=click.Path(readable=False))
@click.option("-n", "--dry-run", is_flag=True, help="Check FILE and show what it would bring; change nothing.")
def registry_import(session: Session, path: str, dry_run: bool) -> None:
    """Register the artifacts of a file.

    All of FILE is checked before anything is changed. What is registered already stays as it is; another object of
    the same id is its next version. Pickles are not loaded before 'artfs registry trust' signs them.

    \b
    Example:
      artfs registry import wheat.tar
    """
    done = _import(session, path, dry_run)
    if session.json:
        from artfs.documents.registered import RegistryImportDocument

        write_document(RegistryImportDocument.of(os.path.abspath(path), done, not dry_run))
        return
    for each in done:
        state = "" if each.created else "  present"
        write_line(
            f"{legible(each.record.dataset)}  {legible(each.record.artifact_id)}  {each.record.ref or 'new'}{state}"
        )
    created = sum(each.created for each in done)
    count = f"{counted(created, 'new version')}, {len(done) - created} present"
    warn(f"{count}; nothing was changed" if dry_run else count)


def _import(session: Session, path: str, dry_run: bool) -> list[Imported]:
    from artfs.cli.putting import first_workspace
    from artfs.registry.importing import BundleImport
    from artstore.errors import WorkspaceNotFoundError
    from artstore.locate import find_workspace

    def planned(place: BundleImport) -> list[Imported]:
        with progress_bar() as update:
            return place.plan(update)

    try:
        workspace = registry_workspace(session)
    except WorkspaceNotFoundError:
        new = BundleImport(path, find_workspace(session.workspace))
        if dry_run:
            return planned(new)
        workspace = first_workspace(session, _RUNS, lambda: planned(new))
    bundle = BundleImport(path, workspace)
    if dry_run:
        return planned(bundle)
    with progress_bar() as update:
        return bundle.run(update)
