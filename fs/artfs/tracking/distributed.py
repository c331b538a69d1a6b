"""One version made by several runs: each brings files to a draft that is open among them, one makes the version."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from artfs.tracking.artifact import Artifact
from artstore.changes.committing import Commit
from artstore.drafting.open_draft import EXPIRY_SECONDS, OpenDraft, commit_drafts, find_draft, open_new
from artstore.errors import ExistsError, NotFoundError
from artstore.queries.versions import Version
from artstore.records.catalogue import RunRecord
from artstore.workspace import Workspace

__all__ = ["contribute", "finish"]

Place = tuple[str, str, str]
"""The artifact's full name, the draft's id, and what its makers call it."""


def contribute(
    workspace: Workspace, artifact: Artifact, place: Place, run: RunRecord, *, overwrite: bool
) -> str | None:
    """Bring what an artifact holds; return the version that was finished before, where this begins the next one."""
    full, ident, shared = place
    said = {key: value for key, value in artifact.said().items() if value} | {"runs": [run.number]}
    digest = artifact.root_digest()
    while True:
        late = None
        try:
            draft = find_draft(workspace.store, ident)
        except NotFoundError:
            finished = _finished(workspace, full, ident)
            late = None if finished is None else finished.name
            try:
                draft = open_new(workspace.store, full, ident, None, EXPIRY_SECONDS, shared)
            except ExistsError:
                continue  # another run has opened it at this moment
        try:
            draft.merge(digest, f"the run {run.title!r}", overwrite=overwrite, said=said)
        except NotFoundError:
            continue  # another run has finished it at this moment
        artifact.discard()
        return late


def _finished(workspace: Workspace, full: str, ident: str) -> Version | None:
    """Return the newest living version that a draft became."""
    try:
        versions = workspace.versions(full)
    except NotFoundError:
        return None
    return next((version for version in reversed(versions) if version.record.draft == ident), None)


def finish(workspace: Workspace, artifact: Artifact, place: Place, run: RunRecord) -> Version:
    """Make the version; return it, or the one that was made before."""
    full, ident, shared = place
    try:
        draft = find_draft(workspace.store, ident)
    except NotFoundError as error:
        version = _finished(workspace, full, ident)
        if version is None:
            raise NotFoundError(
                f"nobody has brought anything for {full!r} as {shared!r}", hint="upsert_artifact brings it"
            ) from error
        return version
    own = artifact.said()
    try:
        if artifact.holds_anything:
            draft.merge(artifact.root_digest(), f"the run {run.title!r}", overwrite=True)
        return _commit(workspace, draft, full, own, run)
    except NotFoundError:
        version = _finished(workspace, full, ident)  # another run has finished it at this moment
        if version is None:
            raise
        return version


def _commit(workspace: Workspace, draft: OpenDraft, full: str, own: dict[str, Any], run: RunRecord) -> Version:
    said = draft.record().said
    metadata = {**said.get("metadata", {}), **(own["metadata"] or {})}
    asked = Commit.checked(
        full,
        type=own["type"] or said.get("type"),
        aliases=[*said.get("aliases", []), *own["aliases"]],
        description=own["description"] or said.get("description"),
        metadata=metadata or None,
        ttl=own["ttl"] or said.get("ttl"),
    )
    included = [*said.get("included", []), *own["included"]]
    runs = dict.fromkeys([run.number, *said.get("runs", [])])
    version = commit_drafts(workspace.store, [(draft, replace(asked, runs=tuple(runs), included=tuple(included)))])[0]
    tags = sorted({*said.get("tags", []), *own["tags"]})
    if tags:
        workspace.tags.add(version.name, *tags)
    return version
