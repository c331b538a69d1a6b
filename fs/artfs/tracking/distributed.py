"""One version made by several runs: each adds files to a draft that they share, and one of them commits it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from artstore.errors import ExistsError, NotFoundError
from artstore.queries.versions import Version
from artstore.workspace import Workspace

if TYPE_CHECKING:
    from artstore.drafting.open_draft import OpenDraft
    from artstore.records.catalogue import RunRecord

__all__ = ["contribute", "finish"]

Place = tuple[str, str, str]
"""The artifact's full name, the draft's id, and the name that the runs have for it."""
Contribution = tuple[bytes | None, dict[str, Any]]
"""The digest of a folder that the caller keeps in the store, and the description: `Artifact.contribution`."""


def contribute(
    workspace: Workspace, place: Place, run: RunRecord, contribution: Contribution, *, overwrite: bool
) -> str | None:
    """Add a run's files; return the version that was finished before, if this begins the next one."""
    full, ident, shared = place
    digest, message = contribution
    assert digest is not None
    message = {key: value for key, value in message.items() if value} | {"runs": [run.number]}
    while True:
        late = None
        try:
            draft = workspace.drafts.get(ident)
        except NotFoundError:
            finished = _finished(workspace, full, ident)
            late = None if finished is None else finished.name
            try:
                draft = workspace.drafts.new(full, id=ident, shared_as=shared)
            except ExistsError:
                continue  # another run has opened it at this moment
        try:
            draft.merge(digest, f"the run {run.title!r}", overwrite=overwrite, fields=message)
        except NotFoundError:
            continue  # another run has finished it at this moment
        return late


def _finished(workspace: Workspace, full: str, ident: str) -> Version | None:
    """Return the newest living version that a draft became."""
    try:
        versions = workspace.versions(full)
    except NotFoundError:
        return None
    return next((version for version in reversed(versions) if version.record.draft == ident), None)


def finish(workspace: Workspace, place: Place, run: RunRecord, contribution: Contribution) -> Version:
    """Make the version, with what this run adds itself; return it, or the one that was made before."""
    full, ident, shared = place
    digest, message = contribution
    try:
        draft = workspace.drafts.get(ident)
    except NotFoundError as error:
        version = _finished(workspace, full, ident)
        if version is None:
            raise NotFoundError(
                f"no run has added anything to {full!r} as {shared!r}", hint="add files with upsert_artifact"
            ) from error
        return version
    try:
        if digest is not None:
            draft.merge(digest, f"the run {run.title!r}", overwrite=True)
        return _commit(workspace, draft, full, message, run)
    except NotFoundError:
        version = _finished(workspace, full, ident)  # another run has finished it at this moment
        if version is None:
            raise
        return version


def _commit(workspace: Workspace, draft: OpenDraft, full: str, own: dict[str, Any], run: RunRecord) -> Version:
    from artstore.changes.committing import Commit

    others = draft.record().said
    metadata = {**others.get("metadata", {}), **(own["metadata"] or {})}
    commit = Commit.checked(
        full,
        type=own["type"] or others.get("type"),
        aliases=[*others.get("aliases", []), *own["aliases"]],
        description=own["description"] or others.get("description"),
        metadata=metadata or None,
        ttl=own["ttl"] or others.get("ttl"),
    )
    included = [*others.get("included", []), *own["included"]]
    runs = dict.fromkeys([run.number, *others.get("runs", [])])
    version = draft.commit_as(replace(commit, runs=tuple(runs), included=tuple(included)))
    tags = sorted({*others.get("tags", []), *own["tags"]})
    if tags:
        workspace.tags.add(version.name, *tags)
    return version
