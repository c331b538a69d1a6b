"""``registry``: models and preprocessors, found by the chain of operators that made them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click

from artfs.cli.bundles import registry_export, registry_import
from artfs.cli.completion import REGISTERED
from artfs.cli.datasets import one_artifact, only_registry, registries
from artfs.cli.deletion import version_ranges
from artfs.cli.output import counted, legible, size, warn, write_document, write_fields, write_line, write_table
from artfs.cli.session import Group, Session, subcommand

if TYPE_CHECKING:
    from artfs.registry.records import ArtifactRecord

__all__ = ["registry", "write_deletion"]


@click.group("registry", cls=Group)
def registry() -> None:
    """Find registered models by how they were made.

    Models and preprocessors are registered with Python's artfs.registry, and are versions like any others, below
    runs/DATASET/PIPELINE. An ID is PIPELINE$HASH:FOLD; the beginning of the hash or of the pipeline is enough if one
    artifact fits. The workspace can also be the folder that a program named: -w FOLDER is then FOLDER/.artfs.

    \b
    Examples:
      artfs registry ls
      artfs registry find --param n_components=10 --metric 'rmse<0.5'
      artfs registry orphans --yes
    """


dataset_option = click.option(
    "-d", "--dataset", metavar="DATASET", help="The data set [default: the only one that has artifacts]."
)


@subcommand("ls", group=registry, paged=True)
@click.argument("dataset", metavar="[DATASET]", required=False)
@click.option("--pipeline", metavar="PIPELINE", help="Only artifacts of this pipeline.")
@click.option("--step", type=click.IntRange(min=0), metavar="N", help="Only artifacts of this step.")
def registry_ls(session: Session, dataset: str | None, pipeline: str | None, step: int | None) -> None:
    """List the registered artifacts.

    \b
    Example:
      artfs registry ls wheat --pipeline 0001
    """
    found: list[ArtifactRecord] = []
    for each in registries(session, dataset):
        found += each.find(pipeline_id=pipeline, step_index=step)
    _write_list(session, found)


@subcommand("show", group=registry)
@click.argument("artifact_id", metavar="ID", type=REGISTERED)
@dataset_option
@click.option("--version", "number", type=click.IntRange(min=0), metavar="N", help="Version N instead of the latest.")
def registry_show(session: Session, artifact_id: str, dataset: str | None, number: int | None) -> None:
    """Show the record of a registered artifact.

    It has what the artifact was made from, and what was made from it.

    \b
    Example:
      artfs registry show '0001_pls$35f1:0'
    """
    made_by, record = one_artifact(session, artifact_id, dataset, number)
    sources = made_by.sources_of(made_by.version_of(record))
    versions = [each.ref for each in made_by.versions(record.artifact_id)]
    if session.json:
        from artfs.documents.registered import RegisteredDocument

        columns = None if record.meta_config is None else record.meta_config.feature_columns
        write_document(
            RegisteredDocument.of(
                record,
                versions=versions,
                depends_on=record.depends_on,
                sources=[each.artifact_id for each in sources],
                dependents=made_by.get_dependents(record.artifact_id),
                feature_columns=columns,
                libraries=record.libraries,
            )
        )
        return
    _write_record(record, versions, sources, made_by.get_dependents(record.artifact_id))


def _write_record(
    record: ArtifactRecord, versions: Sequence[str], sources: Sequence[ArtifactRecord], dependents: Sequence[str]
) -> None:
    fields = [
        ["id", record.artifact_id],
        ["version", f"{record.ref}, of {counted(len(versions), 'version')}"],
        ["type", str(record.artifact_type)],
        ["class", record.class_path],
        ["name", record.custom_name],
        ["chain", record.chain_path],
        ["step", f"{record.step_index}, fold {record.get_fold_str()}{_branch(record)}"],
        ["params", _pairs(record.params)],
        ["metrics", _pairs(record.metrics)],
        ["payload", f"{record.path}, {size(record.size_bytes)}, {record.format}"],
        ["digest", record.content_hash],
        ["registered", record.created_at],
        ["libraries", _pairs(record.libraries)],
        ["made from", ", ".join(each.artifact_id for each in sources)],
        ["made into", ", ".join(dependents)],
    ]
    write_fields([[name, legible(text)] for name, text in fields if text])


def _branch(record: ArtifactRecord) -> str:
    return f", branch {'.'.join(map(str, record.branch_path))}" if record.branch_path else ""


def _pairs(values: Any) -> str:
    return ", ".join(f"{name}={value}" for name, value in values.items())


@subcommand("find", group=registry, paged=True)
@dataset_option
@click.option("--pipeline", metavar="PIPELINE", help="Only artifacts of this pipeline.")
@click.option("--step", type=click.IntRange(min=0), metavar="N", help="Only artifacts of this step.")
@click.option("--fold", type=click.IntRange(min=0), metavar="N", help="Only artifacts of this fold.")
@click.option("--chain", metavar="CHAIN", help="Only what this chain made, such as s1.MinMaxScaler>s3.PLSRegression.")
@click.option("--class", "class_name", metavar="CLASS", help="Only objects of this class.")
@click.option("--name", "custom_name", metavar="TEXT", help="Only artifacts with this custom name.")
@click.option("--type", "type_", metavar="TYPE", help="Only artifacts of this type.")
@click.option("--param", multiple=True, metavar="CONDITION", help="Such as n_components=10; repeatable.")
@click.option("--metric", multiple=True, metavar="CONDITION", help="Such as 'rmse<0.5'; repeatable.")
@click.option("-n", "--limit", type=click.IntRange(min=1), metavar="N", help="At most this many artifacts.")
def registry_find(
    session: Session,
    dataset: str | None,
    pipeline: str | None,
    step: int | None,
    fold: int | None,
    chain: str | None,
    class_name: str | None,
    custom_name: str | None,
    type_: str | None,
    param: tuple[str, ...],
    metric: tuple[str, ...],
    limit: int | None,
) -> None:
    """Find artifacts by parameters, metrics, chain and more.

    All that is given must hold. Conditions are written as those of 'artfs find --meta'.

    \b
    Example:
      artfs registry find --param n_components=10 --fold 3
    """
    found: list[ArtifactRecord] = []
    for each in registries(session, dataset):
        found += each.find(
            [*param],
            class_name,
            custom_name,
            [*metric],
            artifact_type=type_,
            pipeline_id=pipeline,
            step_index=step,
            fold_id=fold,
            chain=chain,
            limit=limit,
        )
    _write_list(session, found[:limit])


@subcommand("folds", group=registry)
@click.argument("pipeline", metavar="PIPELINE")
@click.argument("step", type=click.IntRange(min=0), metavar="STEP")
@dataset_option
def registry_folds(session: Session, pipeline: str, step: int, dataset: str | None) -> None:
    """Compare the models of a step's folds.

    Each fold has a line with size, metrics and parameters; mean and standard deviation of the metrics follow.

    \b
    Example:
      artfs registry folds 0001 3
    """
    from artstore.errors import NotFoundError

    compared = only_registry(session, dataset).compare_folds(pipeline, step)
    if not compared["folds"]:
        raise NotFoundError(
            f"step {step} of the pipeline {pipeline!r} has no fold models", hint="list what there is: artfs registry ls"
        )
    if session.json:
        from artfs.documents.registered import FoldsDocument

        write_document(FoldsDocument.of(compared))
        return
    names = list(dict.fromkeys(name for row in compared["folds"] for name in row["metrics"]))
    rows = [
        [
            str(row["fold_id"]),
            size(row["size_bytes"]),
            *(_number(row["metrics"].get(name)) for name in names),
            _pairs(row["params"]),
        ]
        for row in compared["folds"]
    ]
    for label in ("mean", "std") if names else ():
        rows.append([label, "", *(_number(compared[label].get(name)) for name in names), ""])
    heads = ["FOLD", "SIZE", *map(str.upper, names), "PARAMETERS"]
    write_table(heads, rows, right=range(1, len(names) + 2))


def _number(value: object) -> str:
    return "-" if value is None else f"{value:.6g}" if isinstance(value, float) else legible(str(value))


@subcommand("stats", group=registry)
@click.argument("dataset", metavar="[DATASET]", required=False)
def registry_stats(session: Session, dataset: str | None) -> None:
    """Count artifacts and the bytes of their payloads.

    Each data set has a line: versions, distinct payloads, bytes of all payloads, the part that sharing saves, what the
    distinct payloads take in compressed form, and orphans.

    \b
    Example:
      artfs registry stats wheat
    """
    stats = [each.get_stats() for each in registries(session, dataset)]
    if session.json:
        from artfs.documents.registered import RegistryStatsDocument

        write_document(RegistryStatsDocument.of(stats))
        return
    rows = [
        [
            each["dataset"],
            str(each["total_artifacts"]),
            str(each["unique_files"]),
            size(each["total_size_bytes"]),
            f"{each['deduplication_ratio']:.1%}",
            size(each["stored_bytes"]),
            str(each["orphaned_count"]),
        ]
        for each in stats
    ]
    heads = ["DATASET", "ARTIFACTS", "PAYLOADS", "SIZE", "SHARED", "STORED", "ORPHANS"]
    write_table(heads, rows, right=range(1, 7), empty="nothing is registered")


@subcommand("orphans", group=registry)
@click.argument("dataset", metavar="[DATASET]", required=False)
@click.option("--superseded", is_flag=True, help="Also older versions that nothing keeps.")
@click.option("--yes", is_flag=True, help="Delete them.")
def registry_orphans(session: Session, dataset: str | None, superseded: bool, yes: bool) -> None:
    """List or delete what failed runs have left.

    These are the versions that failed and killed runs registered and nothing keeps. Dependants, links, aliases, other
    registrations and manifests below FOLDER/runs keep a version. What is deleted can be undeleted for a while.

    \b
    Examples:
      artfs registry orphans
      artfs registry orphans wheat --yes
    """
    session.writes = yes
    versions: list[str] = []
    freed = 0
    for each in registries(session, dataset):
        names, count = each.delete_orphaned_artifacts(dry_run=not yes, superseded=superseded)
        versions += names
        freed += count
    if session.json:
        from artfs.documents.registered import OrphansDocument

        write_document(OrphansDocument(versions, freed, yes and bool(versions)))
    else:
        write_deletion(versions, freed, yes, "no orphans")
    if yes:
        session.reap_due()


@subcommand("purge", group=registry)
@click.argument("dataset", metavar="DATASET")
@click.option("--pipeline", metavar="PIPELINE", help="Only the artifacts of this pipeline.")
@click.option("--cascade", is_flag=True, help="Also delete what was made from them, and their predictions.")
@click.option("--yes", is_flag=True, help="Delete them.")
def registry_purge(session: Session, dataset: str, pipeline: str | None, cascade: bool, yes: bool) -> None:
    """Show or delete all artifacts of a data set.

    Without --yes, the versions and the bytes that come back are shown, and nothing is deleted. What others depend
    on is refused, and named, unless --cascade. Deleted versions can be undeleted for a while.

    \b
    Example:
      artfs registry purge wheat --pipeline 0042 --yes
    """
    session.writes = yes
    (one,) = registries(session, dataset)
    names = one.living_versions(pipeline)
    freed = 0
    if names:
        deletion = one.delete_versions(names, dry_run=not yes, cascade=cascade)
        names, freed = deletion.versions, deletion.freed_bytes
    if session.json:
        from artfs.documents.registered import RegistryPurgeDocument

        write_document(RegistryPurgeDocument(names, freed, yes and bool(names)))
    else:
        write_deletion(names, freed, yes, "nothing is registered")
    if yes:
        session.reap_due()


@subcommand("trust", group=registry)
@click.argument("artifact_id", metavar="ID", type=REGISTERED)
@dataset_option
@click.option("--version", "number", type=click.IntRange(min=0), metavar="N", help="Version N instead of the latest.")
@click.option("--yes", is_flag=True, help="Sign it.")
def registry_trust(session: Session, artifact_id: str, dataset: str | None, number: int | None, yes: bool) -> None:
    """Sign the payload of another user, so that it is loaded.

    Loading a pickle can run any code, so it is loaded only with a signature of yours. Without --yes, the object's class
    and its origin are shown, and nothing is signed. The signature is kept with your key, for these bytes alone.

    \b
    Example:
      artfs registry trust '0001_pls$35f1:0' --yes
    """
    from artfs.registry.serializers.reading import DATA_FORMATS, digest_of
    from artfs.registry.trust import vouch
    from artstore.errors import DamageError, InvalidInputError

    made_by, record = one_artifact(session, artifact_id, dataset, number)
    if record.format in DATA_FORMATS:
        raise InvalidInputError(f"the payload of {record.artifact_id} is {record.format}, which needs no signature")
    with made_by.open_payload(record) as payload:
        if digest_of(payload) != record.content_hash:
            raise DamageError(f"the payload of {record.artifact_id} does not have its digest")
    if yes:
        vouch(record.format, record.content_hash)
    origin = made_by.version_of(record).origin
    if session.json:
        from artfs.documents.registered import RegistryTrustDocument

        names = (record.artifact_id, record.ref, record.class_path, record.format, record.content_hash)
        write_document(RegistryTrustDocument(*names, origin, yes))
        return
    fields = [
        ["id", record.artifact_id],
        ["version", record.ref],
        ["class", record.class_path],
        ["payload", f"{record.path}, {size(record.size_bytes)}, {record.format}"],
        ["digest", record.content_hash],
        ["registered", record.created_at],
        ["origin", _pairs(origin)],
    ]
    write_fields([[name, legible(text)] for name, text in fields if text])
    warn("signed: it is loaded from now on" if yes else "nothing was signed: --yes signs it")


registry.add_command(registry_export)
registry.add_command(registry_import)


def write_deletion(versions: Sequence[str], freed: int, done: bool, empty: str) -> None:
    """Write the versions that are deleted, or would be unless ``done``; ``empty`` if there are none."""
    if not versions:
        warn(empty)
        return
    for each in version_ranges(versions):
        write_line(each)
    count = counted(len(versions), "version")
    if done:
        warn(f"{count} deleted, {size(freed)} to be freed; 'artfs undelete' restores them for a while")
    else:
        warn(f"{count}, {size(freed)} to be freed; nothing was deleted: --yes deletes them")


def _write_list(session: Session, records: Iterable[ArtifactRecord]) -> None:
    if session.json:
        from artfs.documents.registered import RegisteredListDocument

        write_document(RegisteredListDocument.of(records))
        return
    rows = [
        [
            record.dataset,
            record.artifact_id,
            str(record.artifact_type),
            legible(record.custom_name or record.class_name),
            legible(record.chain_path),
            size(record.size_bytes),
            _pairs(record.metrics),
        ]
        for record in records
    ]
    heads = ["DATASET", "ID", "TYPE", "OBJECT", "CHAIN", "SIZE", "METRICS"]
    write_table(heads, rows, right=[5], empty="no registered artifact matches")
