"""The description, metadata and tags of a version; of one that only a remote has, fetched at their first use."""

from __future__ import annotations

from typing import Any

from artstore.records.catalogue import VersionRecord
from artstore.rows import catalogue
from artstore.rows.views import is_lazy
from artstore.store import Store

__all__ = ["description_of", "metadata_of", "tags_of"]


def description_of(store: Store, version: VersionRecord) -> str:
    """Return the description."""
    return str(_in_remote(store, version)["description"]) if is_lazy(version) else version.description


def metadata_of(store: Store, version: VersionRecord) -> dict[str, Any]:
    """Return the metadata."""
    metadata: dict[str, Any] = _in_remote(store, version)["metadata"] if is_lazy(version) else version.metadata
    return metadata


def tags_of(store: Store, version: VersionRecord) -> list[str]:
    """Return the tags at this moment, sorted."""
    if is_lazy(version):
        return sorted(_in_remote(store, version)["tags"])
    with store.snapshot() as snapshot:
        record = catalogue.recorded_version(snapshot.transaction, version.serial)
    return sorted((record or version).tags)


def _in_remote(store: Store, version: VersionRecord) -> dict[str, Any]:
    with store.snapshot() as snapshot:
        return snapshot.lazy.description(snapshot, version.serial)
