"""``ws.relations``: what versions have to do with each other and with runs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from artstore.interrupts import deferring
from artstore.queries import relations
from artstore.queries.artifacts import artifact_info
from artstore.store import Store

if TYPE_CHECKING:
    from artstore.queries.artifacts import ArtifactInfo
    from artstore.queries.relations import Logged
    from artstore.queries.versions import Version

__all__ = ["Relations"]


@deferring()
class Relations:
    """The names and relations of a workspace's versions; reading only."""

    __slots__ = ("_store",)

    def __init__(self, store: Store) -> None:
        self._store = store

    def names_below(self, project: str, beginning: str = "") -> list[str]:
        """Return the components directly below a project that begin with a text, in order."""
        return relations.names_below(self._store, project, beginning)

    def children(self, project: str = "") -> list[tuple[str, bool]]:
        """Return (component, whether it is an artifact) of what is directly in a project, or at the top, by name."""
        return relations.children(self._store, project)

    def edition(self) -> int:
        """Return a number that changes with each change of versions, names, aliases and metadata.

        What was read while it was the same is still true.
        """
        return relations.edition(self._store)

    def artifact(self, name: str) -> ArtifactInfo:
        """Return one artifact as `Workspace.artifacts` does; raise `NotFoundError` if it has no living version."""
        return artifact_info(self._store, name)

    def current(self, name: str) -> Version | None:
        """Return the latest living version of an artifact, or None."""
        return relations.current(self._store, name)

    def included_by(self, version: Version) -> list[Version]:
        """Return the living versions that a version includes."""
        return relations.included_by(self._store, version)

    def dependants_of(self, version: Version) -> list[Version]:
        """Return the living versions that were made from a version: those that `Workspace.delete` names."""
        return relations.dependants_of(self._store, version)

    def logged_by(self, version: Version) -> list[Logged]:
        """Return the runs that logged a version, and whether each made it: a run may log a version that was there."""
        return relations.logged_by(self._store, version)

    def serials_by_value(self, path: str, *, text: bool = False) -> dict[str | int | float, list[int]]:
        """Return the serials of the living versions by the number or text that they have at a path of their metadata.

        A text that writes a number is that number, unless ``text``.
        """
        return relations.serials_by_value(self._store, path, text=text)

    def stored_bytes_of(self, digests: Iterable[str]) -> int:
        """Return the stored bytes of contents, given by their digests in hex."""
        return relations.stored_bytes_of(self._store, digests)
