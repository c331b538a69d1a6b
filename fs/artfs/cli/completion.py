"""The values that shells complete: artifacts, references and paths in them, drafts, rules, runs, types and tags.

Each place on the command line with such values has a type from here: those of references and names are set by the
commands, the others follow from the name that the help gives to the place (``PLACES``).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from artstore.workspace import Workspace

__all__ = [
    "DELETED_REFERENCE",
    "DRAFT",
    "LIBRARY_ENTRY",
    "MOUNT_FOLDER",
    "NAME",
    "NAME_OR_PATH",
    "REFERENCE",
    "REGISTERED",
    "REMOTE",
    "RULE",
    "complete_places",
]

Candidates = Callable[["Workspace", click.Context, str], Iterable[str]]
"""Return the values of a place, given the words before it and the incomplete one."""

_MOST: Final = 2000
"""The candidates that are shown: a shell that lists more is of no use, and slow."""
_OPEN: Final = (":", "/")
"""The last characters of a candidate that goes on: no space follows it."""


class _Known(click.ParamType[str]):
    """A place whose values are listed by the store."""

    def __init__(self, name: str, candidates: Candidates, *, goes_on: bool = False) -> None:
        self.name = name
        self._candidates = candidates
        self._goes_on = goes_on

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Return the values that begin with the incomplete text; the type "open" is of those that may go on."""
        from click.shell_completion import CompletionItem

        from artstore.locate import find_workspace
        from artstore.workspace import open_workspace

        if self._goes_on and incomplete.startswith(("/", "./", "../", "~")):
            return [CompletionItem(incomplete, type="file")]  # a path on a mount
        try:
            session = ctx.find_root().obj
            path = find_workspace(getattr(session, "workspace", None))
            if getattr(session, "is_process", False) and os.geteuid() == 0:
                from artfs.cli.rights import become_owner

                become_owner(session, path)
            workspace = open_workspace(path)
            texts = [text for text in self._candidates(workspace, ctx, incomplete) if text.startswith(incomplete)]
        except Exception:  # a shell that completes has nowhere to show what went wrong
            return []
        shown = islice((text for text in texts if text.isprintable()), _MOST)
        return [CompletionItem(text, type="open" if self._is_open(text) else "plain") for text in shown]

    def _is_open(self, text: str) -> bool:
        return text.endswith(_OPEN) or (self._goes_on and ":" not in text)


class _Name(_Known):
    """The name of an artifact; with a version it is wrong usage."""

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the value; raise UsageError for a version."""
        name, colon, _ = value.partition(":")
        if colon:
            raise click.UsageError(
                f'{value!r} names a version behind ":"; give the artifact alone: {name or "NAME"}', ctx
            )
        return value


class _NameOrPath(_Name):
    """The name of an artifact, or a path in all its versions; a version without a path is wrong usage."""

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the value; raise UsageError for a version."""
        return value if "/" in value.partition(":")[2] else super().convert(value, param, ctx)


def complete_places(command: click.Command) -> None:
    """Give the places of a command that take any text the types that belong to their names."""
    for parameter in command.params:
        place = (parameter.metavar or "").strip("[]").removesuffix("...")
        if isinstance(parameter.type, click.types.StringParamType) and place in PLACES:
            parameter.type = PLACES[place]


def _names(workspace: Workspace, _context: click.Context, _incomplete: str) -> list[str]:
    from artstore.rows import catalogue

    with workspace.store.snapshot() as snapshot:
        return [artifact.name for artifact in catalogue.all_artifacts(snapshot.transaction)]


def _projects(workspace: Workspace, context: click.Context, incomplete: str) -> list[str]:
    parts = [name.split("/")[:-1] for name in _names(workspace, context, incomplete)]
    below = {"/".join(part[: depth + 1]) for part in parts for depth in range(len(part))}
    return sorted(below | {record.project for record in workspace.runs.all() if record.project})


def _references(workspace: Workspace, context: click.Context, incomplete: str) -> Iterable[str]:
    name, colon, rest = incomplete.partition(":")
    if not colon:
        return _names(workspace, context, incomplete)
    if "/" in rest:
        return _paths_of(workspace, incomplete)
    return (f"{name}:{version}" for version in _versions(workspace, name))


def _names_and_paths(workspace: Workspace, context: click.Context, incomplete: str) -> Iterable[str]:
    name, colon, rest = incomplete.partition(":")
    if not colon or rest.partition("/")[0]:
        return _references(workspace, context, incomplete)
    shown = f"{name}:latest"
    return [f"{name}:{path.removeprefix(shown)}" for path in _paths_of(workspace, f"{shown}{rest or '/'}")]


def _paths_of(workspace: Workspace, incomplete: str) -> Iterator[str]:
    """Yield the files and folders beside the incomplete one in a version, folders with a slash."""
    folder, _, _ = incomplete.rpartition("/")
    version, inside = workspace.resolve(folder)
    for entry in version.listdir(inside):
        yield f"{folder}/{entry.name}" + "/" * (entry.kind == "directory")


def _versions(workspace: Workspace, name: str) -> list[str]:
    labels = [version.name.rpartition(":")[2] for version in workspace.versions(name)]
    return [*workspace.aliases.of(name), *reversed(labels)]


def _deleted(workspace: Workspace, context: click.Context, incomplete: str) -> Iterable[str]:
    name, colon, _ = incomplete.partition(":")
    if not colon:
        return _names(workspace, context, incomplete)
    return [version.name for version in workspace.log(name) if version.state == "deleted"]


def _bases(workspace: Workspace, context: click.Context, incomplete: str) -> Iterable[str]:
    if ":" in incomplete:
        return _references(workspace, context, incomplete)
    return _versions(workspace, _artifact_before(context))


def _artifact_before(context: click.Context) -> str:
    """Return the artifact that an earlier word of the command line names."""
    return (_word_before(context, "name") or _word_before(context, "reference")).partition(":")[0]


def _word_before(context: click.Context, place: str) -> str:
    """Return the word for an argument, also if the words do not parse: the option that is completed has no value."""
    word = context.params.get(place)
    if isinstance(word, str):
        return word
    arguments = [each.name for each in context.command.params if isinstance(each, click.Argument)]
    words = [word for word in context.args if not word.startswith("-")]
    return dict(zip(arguments, words, strict=False)).get(place, "")


def _aliases(workspace: Workspace, context: click.Context, _incomplete: str) -> list[str]:
    return [alias for alias in workspace.aliases.of(_artifact_before(context)) if alias != "latest"]


def _tags(workspace: Workspace, context: click.Context, _incomplete: str) -> list[str]:
    reference = _word_before(context, "reference")
    if reference and context.info_name == "rm":
        return workspace.tags.of(reference)
    return sorted({tag for version in workspace.find() for tag in version.record.tags})


def _types(workspace: Workspace, _context: click.Context, _incomplete: str) -> list[str]:
    return sorted({artifact.type for artifact in workspace.artifacts() if artifact.type})


def _runs(workspace: Workspace, _context: click.Context, _incomplete: str) -> list[str]:
    return [f"{record.project}/{record.id}" for record in workspace.runs.all()]


def _drafts(workspace: Workspace, _context: click.Context, _incomplete: str) -> list[str]:
    return [draft.id for draft in workspace.drafts.all()]


def _rules(workspace: Workspace, _context: click.Context, _incomplete: str) -> list[str]:
    return [rule.name for rule in workspace.retention.rules()]


def _remotes(workspace: Workspace, _context: click.Context, _incomplete: str) -> list[str]:
    return [remote.name for remote in workspace.remotes.all()]


def _datasets(workspace: Workspace, _context: click.Context, incomplete: str) -> list[str]:
    return workspace.relations.names_below("runs", incomplete)


def _pipelines(workspace: Workspace, _context: click.Context, incomplete: str) -> list[str]:
    below = workspace.relations.names_below
    return sorted({name for dataset in below("runs") for name in below(f"runs/{dataset}", incomplete)})


def _registered(workspace: Workspace, context: click.Context, incomplete: str) -> Iterator[str]:
    """Yield ids of registered artifacts; the pipeline comes first."""
    below = workspace.relations.names_below
    pipeline, _, beginning = incomplete.rpartition("$") if "$" in incomplete else (incomplete, "", "")
    for dataset in below("runs"):
        for name in below(f"runs/{dataset}", pipeline):
            for middle in below(f"runs/{dataset}/{name}", beginning.partition(":")[0]):
                if "-" not in middle:
                    folds = below(f"runs/{dataset}/{name}/{middle}")
                    yield from (f"{name}${middle}:{fold}" for fold in folds)


def _library_entries(workspace: Workspace, context: click.Context, incomplete: str) -> list[str]:
    """Return the names of the library's entries, component by component."""
    folder, slash, beginning = incomplete.rpartition("/")
    projects = ["library/templates", *(f"library/trained/{kind}" for kind in ("filtered", "pipeline", "fullrun"))]
    below = workspace.relations.names_below
    return sorted(
        {f"{folder}{slash}{name}" for project in projects for name in below(f"{project}{slash}{folder}", beginning)}
    )


def _inside(workspace: Workspace, context: click.Context, incomplete: str) -> Iterator[str]:
    """Yield the paths in the version that an earlier word names, below its path."""
    reference = _word_before(context, "reference")
    above = f"{reference if ':' in reference else f'{reference}:latest'}/".replace("//", "/")
    for path in _paths_of(workspace, above + incomplete):
        yield path.removeprefix(above)


def _in_draft(workspace: Workspace, context: click.Context, incomplete: str) -> Iterator[str]:
    """Yield the paths in the draft that an earlier word names."""
    from artstore.records.trees import Kind
    from artstore.rows.trees import entries_from

    record = workspace.drafts.get(_word_before(context, "ident")).record()
    folder, slash, _ = incomplete.rpartition("/")
    with workspace.store.snapshot() as snapshot:
        above = snapshot.resolve(record.root, os.fsencode(folder)) if folder else None
        if folder and (above is None or above.kind != Kind.DIRECTORY):
            return
        for entry, _ in entries_from(snapshot.tree, record.root if above is None else above.node):
            yield f"{folder}{slash}{os.fsdecode(entry.name)}" + "/" * (entry.kind == Kind.DIRECTORY)


class _MountFolder(click.Path):
    """A folder that may be a mount whose daemon does not answer: examining the path could take for ever."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return value


MOUNT_FOLDER = _MountFolder()
DRAFT = _Known("draft", _drafts)
RULE = _Known("rule", _rules)
REMOTE = _Known("remote", _remotes)
REGISTERED = _Known("registered artifact", _registered)
LIBRARY_ENTRY = _Known("library entry", _library_entries)
REFERENCE = _Known("reference", _references, goes_on=True)
NAME = _Name("name", _names)
NAME_OR_PATH = _NameOrPath("name", _names_and_paths, goes_on=True)
DELETED_REFERENCE = _Known("deleted reference", _deleted, goes_on=True)

_IN_DRAFT: Final = _Known("path in the draft", _in_draft)
PLACES: Final = {
    "ALIAS": _Known("alias", _aliases),
    "TAG": _Known("tag", _tags),
    "TYPE": _Known("type", _types),
    "DATASET": _Known("data set", _datasets),
    "PIPELINE": _Known("pipeline", _pipelines),
    "PROJECT": _Known("project", _projects),
    "PROJECT/ID": _Known("run", _runs),
    "VERSION": _Known("version", _bases),
    "PREFIX": _Known("path in the version", _inside),
    "OLD": _IN_DRAFT,
    "PATH": _IN_DRAFT,
}
"""The types of places that take any text, by the name that the help gives to them."""
