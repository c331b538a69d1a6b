"""What an open workspace says about the space that it takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from artstore.arguments import texts, whole_number
from artstore.interrupts import deferring
from artstore.namespaces.groups import Groups
from artstore.queries.resolving import resolve

if TYPE_CHECKING:
    from collections.abc import Sequence

    from artstore.queries.usage import ArtifactUsage, DiskUse, GroupUsage, Usage, VersionUsage
    from artstore.rows.deadlist import Backlog

__all__ = ["Accounting"]


@deferring()
class Accounting(Groups):
    """An open workspace with its figures of space, all in bytes."""

    __slots__ = ()

    def usage(self) -> Usage:
        """Return how the workspace's bytes are used; the terms sum to the size that ``du`` prints."""
        from artstore.queries.usage import workspace_usage

        return workspace_usage(self.store)

    def backlog(self) -> Backlog:
        """Return the amount of deleted content that waits to be reaped, and the time since when it waits."""
        from artstore.rows.deadlist import backlog, entries

        with self.store.snapshot() as snapshot:
            return backlog(list(entries(snapshot.transaction)))

    def usage_by(self, group: str) -> list[GroupUsage]:
        """Return attributed bytes by ``project``, ``type`` or ``artifact``: with those of drafts, all that is stored.

        Raises `InvalidInputError` for another group.
        """
        from artstore.queries.usage import usage_by

        return usage_by(self.store, group)

    def usage_of_artifacts(self, names: Sequence[str]) -> list[ArtifactUsage]:
        """Return what artifacts take alone, and what deleting each of them frees, in the order of their names."""
        from artstore.queries.usage import artifact_usages

        return artifact_usages(self.store, texts(names, "the artifacts"))

    def usage_by_version(self, name: str) -> list[VersionUsage]:
        """Return the logical, alone, unique and attributed bytes of each living version of an artifact."""
        from artstore.queries.usage import artifact_usage

        return artifact_usage(self.store, name)

    def most_unique(self, most: int = 20) -> list[tuple[str, VersionUsage]]:
        """Return (``NAME:vN``, usage) of the versions whose deletion alone frees the most bytes, the most first."""
        from artstore.queries.usage import most_unique

        return most_unique(self.store, whole_number(most, "most"))

    def du(self, ref: str) -> DiskUse:
        """Return the logical, alone, unique and attributed bytes of one version."""
        from artstore.queries.usage import disk_use

        return disk_use(self.store, resolve(self.store, ref)[1].serial)
