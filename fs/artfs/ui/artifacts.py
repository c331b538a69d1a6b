"""Pages of artifacts and their versions, and the forms that describe, alias, tag, link, delete and restore them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from artfs.documents.encoding import exact_name
from artfs.documents.versions import VersionItem
from artfs.drawing.timeline import Mark, timeline
from artfs.ui.addresses import address
from artfs.ui.pages import PER_PAGE, Pages, page_number, parameters
from artstore.errors import ArtfsError, NotFoundError
from artstore.names import version_label

if TYPE_CHECKING:
    from artstore.queries.artifacts import ArtifactInfo
    from artstore.queries.difference import Difference
    from artstore.queries.usage import ArtifactUsage
    from artstore.queries.versions import Version
    from artstore.workspace import Workspace

__all__ = ["routes"]

_IN_TIMELINE: Final = 40
_FILTERS: Final = ("q", "type", "tag", "where")
_KINDS: Final = ("added", "removed", "changed", "renamed", "mode_changed")
_COMPARING_SECONDS: Final = 0.05
_COMPARED_FILES: Final = 10_000
"""Versions of more files are not compared while a page is made: all of them may differ."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the list of artifacts: a project, or an artifact with its latest version."""

    name: str
    label: str
    info: ArtifactInfo | None = None
    latest: Version | None = None


def routes(pages: Pages) -> list[BaseRoute]:
    """Return the routes of these pages."""
    return [
        Route("/", lambda request: _artifacts(pages, request)),
        Route("/artifact", lambda request: _artifact(pages, request)),
        Route("/version", lambda request: _version(pages, request)),
        Route("/changes", lambda request: _changes(pages, request)),
        Route("/delete", lambda request: _plan(pages, request)),
        *(
            Route(f"/{name}", pages.form(_bound(pages.workspace, handler)), methods=["POST"])
            for name, handler in {
                "describe": _describe,
                "tag": _tag,
                "untag": _untag,
                "alias": _alias,
                "unalias": _unalias,
                "link": _link,
                "undelete": _undelete,
                "deletion": _delete,
            }.items()
        ),
    ]


def _bound(
    workspace: Workspace, handler: Callable[[Workspace, Mapping[str, str]], str]
) -> Callable[[Request, Mapping[str, str]], str]:
    return lambda _request, fields: handler(workspace, fields)


# -- pages -------------------------------------------------------------------------------------------------------------


def _artifacts(pages: Pages, request: Request) -> Response:
    """List a project, or what a search finds: names by a glob or a part of them, a type, a tag, metadata."""
    given = parameters(request)
    project = given.get("project", "").strip("/")
    filters = {name: given.get(name, "").strip() for name in _FILTERS}
    number = page_number(request)
    first = (number - 1) * PER_PAGE
    workspace = pages.workspace
    if any(filters.values()):
        found = _search(workspace, project, filters, first + PER_PAGE + 1)
        rows = [Row(each.artifact, each.artifact, _info(workspace, each.artifact), each) for each in found[first:]]
    else:
        names = workspace.relations.children(project)
        rows = [_row(workspace, project, *each) for each in names[first : first + PER_PAGE + 1]]
    more = len(rows) > PER_PAGE
    here = {"project": project, **filters}
    costs: dict[str, ArtifactUsage] = {}
    if given.get("costs"):
        measured = [row.name for row in rows[:PER_PAGE] if row.info is not None]
        usages = pages.worked(request, "Measuring artifacts", lambda _job: workspace.usage_of_artifacts(measured))
        costs = {usage.name: usage for usage in usages}
    return pages.render(
        "artifacts.html",
        request,
        rows=rows[:PER_PAGE],
        costs=costs,
        measure=None if costs or not any(row.info for row in rows) else address("/", **here, page=number, costs=1),
        project=project,
        filters=filters,
        is_search=any(filters.values()),
        before=address("/", **here, page=number - 1) if number > 1 else None,
        after=address("/", **here, page=number + 1) if more else None,
    )


def _search(workspace: Workspace, project: str, filters: Mapping[str, str], most: int) -> list[Version]:
    text = filters["q"]
    name = (text if any(mark in text for mark in "*?[") else f"*{text}*") if text else None
    found = workspace.find(
        name,
        project=project or None,
        type=filters["type"] or None,
        tag=filters["tag"] or None,
        where=filters["where"].split(",") if filters["where"] else (),
        latest=True,
        limit=most,
    )
    return list(found)


def _row(workspace: Workspace, project: str, component: str, is_artifact: bool) -> Row:
    name = f"{project}/{component}" if project else component
    if not is_artifact:
        return Row(name, component)
    return Row(name, component, _info(workspace, name), workspace.relations.current(name))


def _info(workspace: Workspace, name: str) -> ArtifactInfo | None:
    try:
        return workspace.relations.artifact(name)
    except NotFoundError:  # deleted at this moment
        return None


def _artifact(pages: Pages, request: Request) -> Response:
    """Show an artifact: its description, its aliases, and its versions from the newest, a hundred a page."""
    given = parameters(request)
    name, workspace = given.get("name", ""), pages.workspace
    below = given.get("below", "")
    start = int(below) if below.isascii() and below.isdigit() and len(below) < 11 else None
    versions = workspace.log(name, below=start, limit=PER_PAGE + 1)
    info = _info(workspace, name)
    aliases = workspace.aliases.of(name) if info is not None else {}
    costs = None
    if given.get("costs") and info is not None:
        usages = pages.worked(request, f"Measuring {name}", lambda _job: workspace.usage_by_version(name))
        costs = {usage.number: usage for usage in usages}
    before = _next_living(versions)
    return pages.render(
        "artifact.html",
        request,
        name=name,
        info=info,
        versions=versions[:PER_PAGE],
        before=before,
        changes=_changes_of(workspace, before),
        chart=_on_time(versions[:_IN_TIMELINE]),
        older=versions[PER_PAGE - 1].number if len(versions) > PER_PAGE else None,
        is_first=start is None,
        aliases=[(alias, version_label(number)) for alias, number in aliases.items()],
        costs=costs,
        label=version_label,
    )


def _on_time(versions: Sequence[Version]) -> str:
    """Return versions on an axis of time."""
    marks = [
        Mark(
            version_label(version.number),
            version.created_at,
            tuple(version.aliases),
            version.state == "deleted",
            address("/version", ref=version.name),
        )
        for version in versions
    ]
    return timeline(marks, title="Versions by time") if len(marks) > 1 else ""


def _next_living(versions: Sequence[Version]) -> dict[int, Version]:
    """Return, by the number of each version but the last living one, the living version before it."""
    living = [version for version in versions if version.state == "live"]
    return {later.number: earlier for later, earlier in pairwise(living)}


def _changes_of(workspace: Workspace, before: Mapping[int, Version]) -> dict[int, dict[str, Any]]:
    """Return how many paths differ from the version before, by number, of the versions for which the time suffices.

    The script asks for the others, one by one.
    """
    found: dict[int, dict[str, Any]] = {}
    until = time.monotonic() + _COMPARING_SECONDS
    for number, earlier in before.items():
        if time.monotonic() > until:
            break
        later = f"{earlier.artifact}:{version_label(number)}"
        try:
            if earlier.file_count <= _COMPARED_FILES:
                found[number] = _counts(workspace.diff(earlier.name, later))
        except ArtfsError:  # deleted at this moment, or damaged: the page of the comparison says what is wrong
            continue
    return found


def _counts(difference: Difference) -> dict[str, Any]:
    """Return how many paths differ by kind, as a short ``text`` (``+1 -2 ~3``), and in words as ``title``."""
    counts = {kind: len(getattr(difference, kind)) for kind in _KINDS}
    changed = counts["changed"] + counts["mode_changed"]
    signs = {"+": counts["added"], "\u2212": counts["removed"], "~": changed, "\u2192": counts["renamed"]}
    words = {"added": counts["added"], "removed": counts["removed"], "changed": changed, "renamed": counts["renamed"]}
    text = " ".join(f"{sign}{count:,}" for sign, count in signs.items() if count)
    return {
        **counts,
        "text": text or "none",
        "title": ", ".join(f"{count:,} {word}" for word, count in words.items()),
    }


def _version(pages: Pages, request: Request) -> Response:
    """Show one version: its record, and the forms that change it."""
    version = _named(pages.workspace, parameters(request).get("ref", ""))
    earlier = pages.workspace.log(version.artifact, below=version.number, limit=PER_PAGE)
    return pages.render(
        "version.html",
        request,
        version=version,
        item=VersionItem.of(version),
        metadata=[(key, json.dumps(value, ensure_ascii=False)) for key, value in sorted(version.metadata.items())],
        before=next((each for each in earlier if each.state == "live"), None),
    )


def _named(workspace: Workspace, ref: str) -> Version:
    """Return the version of a reference, a deleted one too if it can be undeleted."""
    try:
        return workspace.version(ref)
    except NotFoundError:
        name, _, label = ref.rpartition(":")
        for version in workspace.log(name) if name and label else ():
            if version_label(version.number) == label:
                return version
        raise


def _changes(pages: Pages, request: Request) -> Response:
    """Return how many paths differ between two versions, as JSON: the script fills it into the list of versions."""
    given = parameters(request)
    difference = pages.workspace.diff(_reference(given.get("a", "")), _reference(given.get("b", "")))
    return JSONResponse(_counts(difference))


def _reference(text: str) -> str:
    """Return a reference from an address; a path of the disk is none."""
    if text.startswith(("/", ".", "~")):
        raise NotFoundError(f"{exact_name(text.encode(errors='surrogateescape'))!r} is no version")
    return text


def _plan(pages: Pages, request: Request) -> Response:
    """Show what a deletion would do, and ask."""
    ref = _reference(parameters(request).get("ref", ""))
    try:
        plan, refusal = pages.workspace.delete(ref, dry_run=True), None
    except ArtfsError as error:
        if isinstance(error, NotFoundError):
            raise
        plan, refusal = None, error
    return pages.render("delete.html", request, ref=ref, plan=plan, refusal=refusal)


# -- forms -------------------------------------------------------------------------------------------------------------


def _back(ref: str, said: str) -> str:
    """Return the address of what was changed, with a sentence that it shows."""
    return address("/version", ref=ref, said=said) if ":" in ref else address("/artifact", name=ref, said=said)


def _describe(workspace: Workspace, fields: Mapping[str, str]) -> str:
    ref = _reference(fields.get("ref", ""))
    workspace.describe(ref, fields.get("text", "").replace("\r\n", "\n").strip())
    return _back(ref, "The description was changed.")


def _tag(workspace: Workspace, fields: Mapping[str, str]) -> str:
    ref = _reference(fields.get("ref", ""))
    workspace.tags.add(ref, fields.get("tag", "").strip())
    return _back(ref, "The tag was added.")


def _untag(workspace: Workspace, fields: Mapping[str, str]) -> str:
    ref = _reference(fields.get("ref", ""))
    workspace.tags.remove(ref, fields.get("tag", ""))
    return _back(ref, "The tag was removed.")


def _alias(workspace: Workspace, fields: Mapping[str, str]) -> str:
    ref = _reference(fields.get("ref", ""))
    workspace.aliases.set(ref, fields.get("alias", "").strip())
    return _back(ref, "The alias was set.")


def _unalias(workspace: Workspace, fields: Mapping[str, str]) -> str:
    ref = _reference(fields.get("ref", ""))
    workspace.aliases.remove(ref.rpartition(":")[0], fields.get("alias", ""))
    return _back(ref, "The alias was removed.")


def _link(workspace: Workspace, fields: Mapping[str, str]) -> str:
    version = workspace.link(_reference(fields.get("ref", "")), fields.get("target", "").strip())
    return _back(version.name, "The version was linked.")


def _undelete(workspace: Workspace, fields: Mapping[str, str]) -> str:
    restored = workspace.undelete(_reference(fields.get("ref", "")))
    return _back(restored.version.name, "The version was restored.")


def _delete(workspace: Workspace, fields: Mapping[str, str]) -> str:
    ref = _reference(fields.get("ref", ""))
    deletion = workspace.delete(ref)
    name = ref.partition(":")[0]
    return address("/artifact", name=name, said=f"Deleted {', '.join(deletion.versions)}.")
