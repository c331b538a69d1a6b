"""``ws.aliases``: names that point to one version of an artifact, and can be moved."""

from __future__ import annotations

from typing import TYPE_CHECKING

from artstore.arguments import texts_of
from artstore.interrupts import deferring
from artstore.names import check_alias, check_name, check_new_alias
from artstore.queries.resolving import local_version
from artstore.store import Store

if TYPE_CHECKING:
    from artstore.queries.artifacts import AliasChange

__all__ = ["Aliases"]


@deferring()
class Aliases:
    """The aliases of a workspace's artifacts."""

    __slots__ = ("_store",)

    def __init__(self, store: Store) -> None:
        self._store = store

    def of(self, name: str) -> dict[str, int]:
        """Return an artifact's aliases with the version that each points to, ``latest`` included."""
        from artstore.queries.artifacts import aliases_of

        return aliases_of(self._store, name)

    def set(self, ref: str, *aliases: str, force: bool = False) -> list[str]:
        """Point aliases to a version, moving those that exist; return the mounts that did not answer.

        Raises `RefusedError` if a protected alias would move, unless ``force``.
        """
        from artstore.changes.aliasing import set_aliases

        version = local_version(self._store, ref)
        return set_aliases(
            self._store, version.record, [check_new_alias(alias) for alias in texts_of(aliases, "aliases")], force=force
        )

    def remove(self, name: str, *aliases: str, force: bool = False) -> list[str]:
        """Remove aliases of an artifact, all or none; return the mounts that did not answer.

        Raises `NotFoundError` if one does not exist, `RefusedError` if one is protected, unless ``force``.
        """
        from artstore.changes.aliasing import remove_aliases

        check_name(name)
        return remove_aliases(
            self._store, name, [check_alias(alias) for alias in texts_of(aliases, "aliases")], force=force
        )

    def log(self, name: str) -> list[AliasChange]:
        """Return the last changes of an artifact's aliases, newest first, without those of ``latest``."""
        from artstore.queries.artifacts import alias_changes

        return alias_changes(self._store, name)
