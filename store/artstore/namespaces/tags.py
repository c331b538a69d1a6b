"""``ws.tags``: words on versions; unlike an alias, one tag can be on many versions."""

from __future__ import annotations

from artstore.arguments import texts_of
from artstore.interrupts import deferring
from artstore.queries.resolving import local_version, version_of_reference
from artstore.store import Store

__all__ = ["Tags"]


@deferring()
class Tags:
    """The tags of a workspace's versions."""

    __slots__ = ("_store",)

    def __init__(self, store: Store) -> None:
        self._store = store

    def of(self, ref: str) -> list[str]:
        """Return a version's tags, sorted."""
        return version_of_reference(self._store, ref).tags

    def add(self, ref: str, *tags: str) -> list[str]:
        """Add tags to a version; return all its tags."""
        from artstore.changes.aliasing import change_tags

        return change_tags(self._store, local_version(self._store, ref).record, add=texts_of(tags, "tags"))

    def remove(self, ref: str, *tags: str) -> list[str]:
        """Remove tags from a version; return the tags that are left.  Raises `NotFoundError` if it lacks one."""
        from artstore.changes.aliasing import change_tags

        return change_tags(self._store, local_version(self._store, ref).record, remove=texts_of(tags, "tags"))
