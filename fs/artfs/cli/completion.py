"""Shell completion of artifacts, references, drafts and retention rules, by click's mechanism."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from artfs.cli.session import Session

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from artstore.workspace import Workspace

__all__ = ["DELETED_REFERENCE", "DRAFT", "NAME", "REFERENCE", "RULE"]


class _Known(click.ParamType[str]):
    """An argument whose values are listed by the store."""

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Return the values that begin with the incomplete text."""
        from click.shell_completion import CompletionItem

        from artstore.locate import find_workspace
        from artstore.workspace import open_workspace

        try:
            session = ctx.find_object(Session) or Session()
            path = find_workspace(session.workspace)
            if session.is_process and os.geteuid() == 0:
                from artfs.cli.rights import become_owner

                become_owner(session, path)
            workspace = open_workspace(path)
            candidates = self._candidates(workspace, incomplete)
        except Exception:  # a shell that completes has nowhere to show what went wrong
            return []
        return [CompletionItem(text) for text in candidates if text.startswith(incomplete)]

    def _candidates(self, workspace: Workspace, incomplete: str) -> list[str]:
        raise NotImplementedError


class _Reference(_Known):
    """An artifact, and with ``versions`` a version of it after a colon, or one of its aliases.

    With ``deleted``, only deleted versions that can be undeleted.
    """

    def __init__(self, name: str, *, versions: bool, deleted: bool = False) -> None:
        self.name = name
        self._versions = versions
        self._deleted = deleted

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the value; raise UsageError for a version where only an artifact is possible."""
        name, colon, _ = value.partition(":")
        if colon and not self._versions:
            raise click.UsageError(f"{value!r} names a version; give the artifact alone: {name or 'NAME'}", ctx)
        return value

    def _candidates(self, workspace: Workspace, incomplete: str) -> list[str]:
        name, colon, _ = incomplete.partition(":")
        if not colon:
            return [artifact.name for artifact in workspace.artifacts()]
        if not self._versions:
            return []
        if self._deleted:
            return [version.name for version in workspace.log(name) if version.state == "deleted"]
        versions = [version.name for version in workspace.versions(name)]
        return versions + [f"{name}:{alias}" for alias in workspace.aliases.of(name)]


class _Draft(_Known):
    """The ID of an open draft."""

    name = "draft"

    def _candidates(self, workspace: Workspace, incomplete: str) -> list[str]:
        return [draft.id for draft in workspace.drafts.all()]


class _Rule(_Known):
    """The name of a retention rule."""

    name = "rule"

    def _candidates(self, workspace: Workspace, incomplete: str) -> list[str]:
        return [rule.name for rule in workspace.retention.rules()]


DRAFT = _Draft()
RULE = _Rule()
REFERENCE = _Reference("reference", versions=True)
NAME = _Reference("name", versions=False)
DELETED_REFERENCE = _Reference("deleted reference", versions=True, deleted=True)
