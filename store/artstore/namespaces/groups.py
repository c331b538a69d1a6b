"""The groups of operations of an open workspace, each imported when it is first used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from artstore.namespaces.opened import Opened

if TYPE_CHECKING:
    from artstore.namespaces.aliases import Aliases
    from artstore.namespaces.drafts import Drafts
    from artstore.namespaces.metadata import VersionMetadata
    from artstore.namespaces.references import References
    from artstore.namespaces.relations import Relations
    from artstore.namespaces.remotes import Remotes
    from artstore.namespaces.retention import Retention
    from artstore.namespaces.runs import Runs
    from artstore.namespaces.tags import Tags

__all__ = ["Groups"]


class Groups(Opened):
    """An open workspace with its groups of operations."""

    __slots__ = ()

    @property
    def aliases(self) -> Aliases:
        """The aliases: ``of``, ``set``, ``remove``, ``log``."""
        from artstore.namespaces.aliases import Aliases

        return Aliases(self.store)

    @property
    def tags(self) -> Tags:
        """The tags of versions: ``of``, ``add``, ``remove``."""
        from artstore.namespaces.tags import Tags

        return Tags(self.store)

    @property
    def metadata(self) -> VersionMetadata:
        """The metadata of versions, and their history: ``of``, ``set``, ``remove``, ``log``."""
        from artstore.namespaces.metadata import VersionMetadata

        return VersionMetadata(self.store)

    @property
    def drafts(self) -> Drafts:
        """The versions that are assembled step by step: ``new``, ``get``, ``all``, ``commit``, ``states``."""
        from artstore.namespaces.drafts import Drafts

        return Drafts(self.store)

    @property
    def references(self) -> References:
        """The files whose bytes stay outside: ``of``, ``uri``, ``check``, ``failed``, ``fetch``."""
        from artstore.namespaces.references import References

        return References(self.store)

    @property
    def relations(self) -> Relations:
        """The relations of versions: ``current``, ``included_by``, ``dependants_of``, ``logged_by``."""
        from artstore.namespaces.relations import Relations

        return Relations(self.store)

    @property
    def remotes(self) -> Remotes:
        """The object stores that machines share: ``all``, ``get``, ``add``, ``check``, ``remove``."""
        from artstore.namespaces.remotes import Remotes

        return Remotes(self.store)

    @property
    def retention(self) -> Retention:
        """The rules that delete old versions: ``rules``, ``set``, ``remove``, ``plan``, ``apply``, ``set_ttl``."""
        from artstore.namespaces.retention import Retention

        return Retention(self.store)

    @property
    def runs(self) -> Runs:
        """The programs that use and make versions: ``get``, ``all``, ``versions``, ``rows``; ``start`` records one."""
        from artstore.namespaces.runs import Runs

        return Runs(self.store)
