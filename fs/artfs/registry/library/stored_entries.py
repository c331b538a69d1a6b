"""The entries of a library in its workspace: finding, listing and deleting them.

The workspace is the one that was given, the one in the folder that was given, or that of the folder above ``library``.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from artfs.registry.chains import whole_number
from artfs.registry.library.entries import LibraryKind, kind_of, summary
from artfs.registry.workspaces import FolderWorkspace
from artstore.arguments import shown_text, text
from artstore.changes.committing import Commit
from artstore.drafting.batches import Included, NewVersion
from artstore.errors import NotFoundError
from artstore.names import LATEST, check_alias, parse_version_label, version_label
from artstore.queries.versions import Version
from artstore.workspace import Workspace

if TYPE_CHECKING:
    from artstore.changes.deleting import Deletion

__all__ = ["StoredEntries", "commit_of"]

_LIBRARY: Final = "library"


class StoredEntries(FolderWorkspace):
    """The versions below ``library`` of a workspace."""

    def __init__(self, path: Workspace | str | os.PathLike[str]) -> None:
        super().__init__(path)
        if self._opened is None and self._folder.name == _LIBRARY and self._existing() is None:
            self._folder = self._folder.parent

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._folder}>"

    def find(self, kind: LibraryKind, name: str, version: int | str | None = None) -> Version:
        """Return the latest version of an entry, the one with a number, or the one with an alias.

        Raises `NotFoundError` if there is none.
        """
        artifact = kind.artifact(name)
        workspace = self._existing()
        current = None if workspace is None else workspace.relations.current(artifact)
        if workspace is None or current is None:
            raise NotFoundError(
                f"the library has no {kind} with the name {shown_text(name)}",
                hint=f"list what it has: artfs library ls {kind}",
            )
        if version is None:
            return current
        return workspace.version(f"{artifact}:{_label(version)}")

    def kinds_with(self, name: str) -> list[LibraryKind]:
        """Return the kinds of which there is an entry with a name."""
        workspace = self._existing()
        artifacts = {kind: kind.artifact(name) for kind in LibraryKind}
        if workspace is None:
            return []
        return [kind for kind, artifact in artifacts.items() if workspace.relations.current(artifact) is not None]

    def entries(self, kind: LibraryKind) -> list[dict[str, Any]]:
        """Return the latest version of each entry of a kind, as `summary` does, by name."""
        workspace = self._existing()
        if workspace is None:
            return []
        return [summary(kind, version) for version in workspace.find(project=kind.project, latest=True)]

    def committed(
        self, request: Commit, texts: Mapping[str, str], included: Mapping[bytes, Included] | None = None
    ) -> Version:
        """Make the version of texts, by their paths, and of what is included of other versions; return it."""
        with (
            tempfile.TemporaryDirectory(prefix="artfs-library-") as folder,
            self.workspace.drafts.batch(request.name) as batch,
        ):
            files = {path.encode(): Path(folder) / path for path in texts}
            for file, content in zip(files.values(), texts.values(), strict=True):
                file.write_text(content, encoding="utf-8")
            batch.add(NewVersion(request, files, included or {}))
            return batch.commit()[0]

    def delete(
        self, kind: LibraryKind | str, name: str, version: int | str | None = None, *, dry_run: bool = False
    ) -> Deletion:
        """Delete an entry, or one version of it, as `Workspace.delete` does: it can be undeleted for a while.

        Raises `NotFoundError`, and `RefusedError` naming aliases and what was made from it.
        """
        kind = kind_of(kind)
        found = self.find(kind, name, version)
        names = [found.name]
        if version is None:
            names = [each.name for each in self.workspace.versions(found.artifact)]
        return self.workspace.delete(*names, dry_run=dry_run)


def _label(version: int | str) -> str:
    if not isinstance(version, str):
        return version_label(whole_number(version, "a version"))
    return version if version == LATEST or parse_version_label(version) is not None else check_alias(version)


def commit_of(kind: LibraryKind, name: str, description: str, metadata: Mapping[str, Any]) -> Commit:
    """Return the commit of an entry's next version: equal content, description and metadata make none."""
    given = {key: value for key, value in metadata.items() if value not in ("", [], {})}
    commit = Commit.checked(kind.artifact(name), type=str(kind), metadata=given)
    return replace(commit, description=text(description, "the description"))
