"""Completion of artifact names and references in the shell, by click's mechanism."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from artfs.cli.session import Session

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

__all__ = ["DELETED_REFERENCE", "NAME", "REFERENCE"]


class _Reference(click.ParamType[str]):
    """Text that names an artifact, and with ``versions`` a version of it; the store says what it means.

    With ``deleted`` it is a version that was deleted and can be brought back.
    """

    def __init__(self, name: str, *, versions: bool, deleted: bool = False) -> None:
        self.name = name
        self._versions = versions
        self._deleted = deleted

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Return the names, and after a colon the versions and aliases, that begin with what is there."""
        from click.shell_completion import CompletionItem

        try:
            candidates = self._candidates(ctx, incomplete)
        except Exception:  # a shell that completes has nowhere to show what went wrong
            return []
        return [CompletionItem(text) for text in candidates if text.startswith(incomplete)]

    def _candidates(self, context: click.Context, incomplete: str) -> list[str]:
        from artstore.workspace import open_workspace

        session = context.find_object(Session)
        workspace = open_workspace(session.workspace if session is not None else None)
        name, colon, _ = incomplete.partition(":")
        if not colon:
            return [artifact.name for artifact in workspace.artifacts()]
        if not self._versions:
            return []
        if self._deleted:
            return [version.name for version in workspace.log(name) if version.state == "deleted"]
        versions = [version.name for version in workspace.versions(name)]
        return versions + [f"{name}:{alias}" for alias in workspace.aliases(name)]


REFERENCE = _Reference("reference", versions=True)
NAME = _Reference("name", versions=False)
DELETED_REFERENCE = _Reference("deleted reference", versions=True, deleted=True)
