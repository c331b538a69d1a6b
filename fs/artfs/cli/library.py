"""``library``: templates and trained pipelines, kept under names of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import click

from artfs.cli.completion import LIBRARY_ENTRY
from artfs.cli.datasets import registry_workspace
from artfs.cli.metadata import parse_metadata
from artfs.cli.output import counted, legible, quoted, size, warn, write_document, write_fields, write_line, write_table
from artfs.cli.putting import first_workspace
from artfs.cli.registry import write_deletion
from artfs.cli.session import Group, Session, subcommand

if TYPE_CHECKING:
    from artfs.registry.library.entries import LibraryEntry
    from artfs.registry.library.manager import LibraryManager
    from artstore.queries.versions import Version

__all__ = ["library"]

_KINDS: Final = ("template", "filtered", "pipeline", "fullrun")


@click.group("library", cls=Group)
def library() -> None:
    """Keep templates and trained pipelines under names.

    Entries are versions like any others, below library/templates and library/trained. A KIND is template (a
    configuration), filtered (configuration and metrics), pipeline (with binaries) or fullrun (all of a run).

    \b
    Examples:
      artfs library save template baseline pipeline.yaml --tag nir
      artfs library ls
      artfs library load baseline
    """


kind_option = click.option(
    "-k", "--kind", type=click.Choice(_KINDS), help="The kind [default: the only one that has NAME]."
)
version_option = click.option(
    "--version", "number", type=click.IntRange(min=0), metavar="N", help="Version N instead of the latest."
)
entry_argument = click.argument("name", metavar="NAME", type=LIBRARY_ENTRY)


@subcommand("ls", group=library, paged=True)
@click.argument("kind", metavar="[KIND]", required=False, type=click.Choice(_KINDS))
@click.option("--category", metavar="TEXT", help="Only templates of this category.")
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="Only templates with this tag, or another given one.")
@click.option("--search", "words", metavar="TEXT", help="Only entries that have every word of TEXT in what ls shows.")
def library_ls(
    session: Session, kind: str | None, category: str | None, tags: tuple[str, ...], words: str | None
) -> None:
    """List what the library has.

    Words are searched in name, description, category, tags and notes.

    \b
    Example:
      artfs library ls template --tag nir
    """
    from artfs.registry.library.entries import kind_of
    from artfs.registry.library.templates import has_words

    manager = _library(session)
    found = [
        each
        for name in ([kind] if kind is not None else _KINDS)
        for each in manager.entries(kind_of(name))
        if (category is None or each["category"] == category)
        and (not tags or not set(tags).isdisjoint(each["tags"]))
        and (words is None or has_words(each, words))
    ]
    if session.json:
        from artfs.documents.library import LibraryDocument

        write_document(LibraryDocument.of(found))
        return
    rows = [
        [
            each["kind"],
            each["name"],
            f"v{each['version']}",
            size(each["size_bytes"]),
            legible(each["category"]),
            legible(", ".join(each["tags"])),
            legible(each["description"]),
        ]
        for each in found
    ]
    heads = ["KIND", "NAME", "VERSION", "SIZE", "CATEGORY", "TAGS", "DESCRIPTION"]
    write_table(heads, rows, right=[3], empty="the library has nothing of this")


@subcommand("show", group=library)
@entry_argument
@kind_option
@version_option
def library_show(session: Session, name: str, kind: str | None, number: int | None) -> None:
    """Show what is known of an entry.

    'artfs library load NAME' prints the configuration of a template.

    \b
    Example:
      artfs library show baseline --version 0
    """
    entry = _library(session).load(name, kind, number)
    versions = [each.name for each in entry.workspace.versions(entry.version.artifact)]
    artifacts = [record.artifact_id for record in entry.records]
    if session.json:
        from artfs.documents.library import LibraryEntryDocument

        write_document(LibraryEntryDocument.of(entry.info, versions=versions, artifacts=artifacts))
        return
    info = entry.info
    fields = [
        ["name", info["name"]],
        ["kind", info["kind"]],
        ["version", f"{info['ref']}, of {counted(len(versions), 'version')}"],
        ["description", info["description"]],
        ["category", info["category"]],
        ["tags", ", ".join(info["tags"])],
        ["metrics", _pairs(info["metrics"])],
        ["notes", info["notes"]],
        ["files", f"{counted(info['files'], 'file')}, {size(info['size_bytes'])}"],
        ["artifacts", ", ".join(artifacts)],
        ["saved", info["created_at"]],
    ]
    write_fields([[label, legible(text)] for label, text in fields if text])


def _pairs(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in values.items())


@subcommand("save", group=library, writes=True)
@click.argument("kind", metavar="KIND", type=click.Choice(_KINDS))
@click.argument("name", metavar="NAME", type=LIBRARY_ENTRY)
@click.argument("path", metavar="[PATH]", required=False, type=click.Path(readable=False))
@click.option("--description", metavar="TEXT", help="The description.")
@click.option("--category", metavar="TEXT", help="The category of a template.")
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="A tag of a template; repeatable.")
@click.option("--metric", "metrics", multiple=True, metavar="K=V", help="A metric of a template; repeatable.")
@click.option("--notes", metavar="TEXT", help="Notes on a template.")
@click.option("--run", "run_dir", metavar="DIR", help="The run that has the pipeline [default: the folder above PATH].")
@click.option("-d", "--dataset", metavar="DATASET", help="Without PATH: the data set in the registry.")
@click.option("--pipeline", metavar="PIPELINE", help="Without PATH: the pipeline in the registry.")
@click.option("--id", "ids", multiple=True, metavar="ID", help="Without PATH: a registered artifact; repeatable.")
def library_save(session: Session, kind: str, name: str, path: str | None, **options: Any) -> None:
    """Save the next version of an entry.

    PATH is a YAML or JSON file for a template, the pipeline's folder for filtered and pipeline, and the run's folder
    for fullrun. The binaries that pipeline.json names are saved too; nothing is loaded. Without PATH, what is
    registered is saved without copying. If nothing differs from the latest version, no version is made.

    \b
    Examples:
      artfs library save template baseline pipeline.yaml --tag nir
      artfs library save pipeline wheat_quality runs/wheat/0042_x9y8z7
      artfs library save pipeline best --dataset wheat --pipeline 0042
    """
    _refuse_unused(kind, path, options)
    manager = _saving_library(session, kind, name, path)
    if kind == "template":
        version = _save_template(manager, name, path, options)
    elif path is not None:
        version = _save_folder(manager, kind, name, path, options)
    else:
        version = _save_registered(manager, kind, name, options)
    created = version.receipt is not None and version.receipt.created
    if session.json:
        from artfs.documents.library import LibrarySaveDocument
        from artfs.registry.library.entries import kind_of, summary

        write_document(LibrarySaveDocument.of(summary(kind_of(kind), version), created=created))
    elif created:
        write_line(f"{version.name}  {counted(version.file_count, 'file')}, {size(version.size)}")
    else:
        warn(f"{version.name} has this already; no version was made")


_OF_TEMPLATES: Final = ("category", "tags", "metrics", "notes")
_OF_REGISTRY: Final = ("dataset", "pipeline", "ids")
_OPTIONS: Final = {"tags": "tag", "metrics": "metric", "ids": "id", "run_dir": "run"}


def _refuse_unused(kind: str, path: str | None, options: Mapping[str, Any]) -> None:
    """Raise `InvalidInputError` for an option that would have no effect."""
    from artstore.arguments import shown_text
    from artstore.errors import InvalidInputError

    uses = {
        "only for templates": [] if kind == "template" else _OF_TEMPLATES,
        "only for a save without PATH": [] if path is None else _OF_REGISTRY,
        "only for the folder of a pipeline": [] if kind == "pipeline" and path is not None else ["run_dir"],
    }
    for use, names in uses.items():
        for name in names:
            value = options[name]
            if value not in (None, ()):
                word = value if isinstance(value, str) else value[0]
                raise InvalidInputError(f"--{_OPTIONS.get(name, name)} {shown_text(word)} is {use}")
    if kind == "template" and path is None:
        raise InvalidInputError("a template is saved from a file", hint="name a .yaml or .json file after NAME")
    if kind == "pipeline" and path is None and options["pipeline"] is None and not options["ids"]:
        raise InvalidInputError("what to save is missing", hint="name a folder after NAME, or use --pipeline or --id")


def _save_template(manager: LibraryManager, name: str, path: str | None, options: Mapping[str, Any]) -> Version:
    from artfs.registry.library.template_files import read_template

    assert path is not None
    template = read_template(path)
    metrics = parse_metadata(options["metrics"], "--metric ")
    description, category, notes = (options[key] for key in ("description", "category", "notes"))
    return manager.save_template(
        template.values,
        name,
        template.description if description is None else description,
        category=template.category if category is None else category,
        tags=options["tags"] or template.tags,
        metrics=template.metrics if metrics is None else metrics,
        notes=template.notes if notes is None else notes,
    )


def _save_folder(manager: LibraryManager, kind: str, name: str, path: str, options: Mapping[str, Any]) -> Version:
    from pathlib import Path

    description = options["description"] or ""
    if kind == "filtered":
        return manager.save_filtered(path, name, description)
    if kind == "fullrun":
        return manager.save_fullrun(path, name, description)
    run_dir = options["run_dir"] or Path(path).absolute().parent
    return manager.save_pipeline_full(run_dir, path, name, description)


def _save_registered(manager: LibraryManager, kind: str, name: str, options: Mapping[str, Any]) -> Version:
    from artfs.registry.library.trained import FromRegistry

    given: FromRegistry = {}
    if options["dataset"] is not None:
        given["dataset"] = options["dataset"]
    if options["pipeline"] is not None:
        given["pipeline_id"] = options["pipeline"]
    if options["ids"]:
        given["ids"] = options["ids"]
    description = options["description"] or ""
    if kind == "filtered":
        return manager.save_filtered(name=name, description=description, **given)
    if kind == "fullrun":
        return manager.save_fullrun(name=name, description=description, **given)
    return manager.save_pipeline_full(name=name, description=description, **given)


@subcommand("load", group=library)
@entry_argument
@click.argument("dest", metavar="[DEST]", required=False, type=click.Path(readable=False))
@kind_option
@version_option
@click.option("--overwrite", is_flag=True, help="Replace files that differ [default: fail].")
def library_load(
    session: Session, name: str, dest: str | None, kind: str | None, number: int | None, overwrite: bool
) -> None:
    """Copy an entry out of the library.

    The configuration of a template is printed as JSON, or written to DEST, a .yaml or .json file that 'artfs library
    save template' reads. Any other entry is copied into the folder DEST.

    \b
    Examples:
      artfs library load baseline
      artfs library load wheat_quality ./wheat
    """
    manager = _library(session)
    entry = manager.load(name, kind, number)
    configuration = None
    if entry.kind == "template":
        if dest is None:
            configuration = _configuration(session, entry)
        else:
            manager.export_template(name, dest, entry.version.number, overwrite=overwrite)
    else:
        _copy(entry, dest, overwrite)
    if session.json:
        from artfs.documents.library import LibraryLoadDocument

        write_document(LibraryLoadDocument.of(entry.info, path=dest, pipeline_config=configuration))
    elif dest is not None:
        write_line(f"{quoted(dest)}  {entry.version.name}")


def _configuration(session: Session, entry: LibraryEntry) -> Any:
    """Return a template's configuration as JSON values; print it unless a document is wanted."""
    from artfs.registry.library.configurations import configuration_text, encoded

    values = encoded(entry.config)
    if not session.json:
        write_line(configuration_text(values).rstrip("\n"))
    return values


def _copy(entry: LibraryEntry, dest: str | None, overwrite: bool) -> None:
    from artstore.errors import InvalidInputError

    if dest is None:
        raise InvalidInputError(f"a {entry.kind} is copied into a folder", hint="name the folder after NAME")
    entry.workspace.get(entry.version.name, dest, overwrite=overwrite)


@subcommand("rm", group=library)
@entry_argument
@kind_option
@version_option
@click.option("--yes", is_flag=True, help="Delete it.")
def library_rm(session: Session, name: str, kind: str | None, number: int | None, yes: bool) -> None:
    """Show or delete an entry, or one version of it.

    Without --yes, the versions and the bytes that come back are shown, and nothing is deleted. Aliases, and what was
    made from a version, prevent it and are named. Deleted versions can be undeleted for a while.

    \b
    Example:
      artfs library rm baseline --version 0 --yes
    """
    session.writes = yes
    manager = _library(session)
    entry = manager.load(name, kind, number)
    deletion = manager.delete(entry.kind, name, number, dry_run=not yes)
    if session.json:
        from artfs.documents.library import LibraryRemovalDocument

        write_document(LibraryRemovalDocument(deletion.versions, deletion.freed_bytes, yes))
    else:
        write_deletion(deletion.versions, deletion.freed_bytes, yes, "")
    if yes:
        session.reap_due()


def _library(session: Session) -> LibraryManager:
    from artfs.registry.library.manager import LibraryManager

    return LibraryManager(registry_workspace(session))


def _saving_library(session: Session, kind: str, name: str, path: str | None) -> LibraryManager:
    """Return the library; its workspace is made if what is saved is there."""
    from artfs.registry.library.entries import kind_of
    from artfs.registry.library.manager import LibraryManager
    from artstore.errors import WorkspaceNotFoundError

    kind_of(kind).artifact(name)
    try:
        opened = registry_workspace(session)
    except WorkspaceNotFoundError:
        if path is None:
            raise
        opened = first_workspace(session, name, lambda: _require(path))
    return LibraryManager(opened)


def _require(path: str) -> None:
    from pathlib import Path

    from artstore.errors import NotFoundError

    if not Path(path).exists():
        raise NotFoundError(f"{quoted(path)} does not exist", hint="name a file or a folder that exists")
