"""``ws.metadata``: values by name that describe versions, and can be changed later."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from artstore.arguments import texts_of
from artstore.interrupts import deferring
from artstore.queries.resolving import local_version, version_of_reference
from artstore.store import Store

if TYPE_CHECKING:
    from artstore.queries.revisions import Revision

__all__ = ["VersionMetadata"]


@deferring()
class VersionMetadata:
    """The metadata of a workspace's versions."""

    __slots__ = ("_store",)

    def __init__(self, store: Store) -> None:
        self._store = store

    def of(self, ref: str) -> dict[str, Any]:
        """Return a version's metadata."""
        return version_of_reference(self._store, ref).metadata

    def set(self, ref: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """Set keys of a version's metadata, and leave its other keys; return all of them.

        Raises `InvalidInputError` for values that JSON cannot hold, and for keys that begin with ``artfs.``.
        """
        from artstore.changes.revising import revise

        version = local_version(self._store, ref)
        return revise(self._store, version.record, update=values).record.metadata

    def remove(self, ref: str, *keys: str, purge: bool = False) -> dict[str, Any]:
        """Remove keys of a version's metadata; return the others.

        ``purge`` also removes the values from the version's history, by rewriting journal and manifest.  Raises
        `NotFoundError` if the version, or with ``purge`` also its history, lacks a key.  Raises `BusyError` if other
        processes read the manifest for more than ten seconds; purging can then be repeated.
        """
        from artstore.changes.revising import forget_metadata, revise

        version, names = local_version(self._store, ref).record, texts_of(keys, "the keys")
        if purge:
            return forget_metadata(self._store, version, names).record.metadata
        return revise(self._store, version, remove=names).record.metadata

    def log(self, ref: str) -> list[Revision]:
        """Return the states of a version's description and metadata, newest first; the last 200 changes are kept."""
        from artstore.queries.revisions import revisions_of

        return revisions_of(self._store, local_version(self._store, ref).record)
