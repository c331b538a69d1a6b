"""What an open workspace is set to, who shares it, and what its artifacts are called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from artstore.interrupts import deferring
from artstore.names import check_name, check_type
from artstore.namespaces.accounting import Accounting
from artstore.queries.resolving import looks_like_path, version_of_reference
from artstore.rows.settings import Settings, change_settings, read_settings

if TYPE_CHECKING:
    from artstore.changes.sharing import Sharing

__all__ = ["Administration"]


@deferring("settings")
class Administration(Accounting):
    """An open workspace with its settings, and the names, types and descriptions of what it holds."""

    __slots__ = ()

    @property
    def settings(self) -> Settings:
        """The workspace's settings."""
        with self.store.snapshot() as snapshot:
            return read_settings(snapshot.transaction)

    def configure(self, **changes: Any) -> Settings:
        """Change settings by name; raise `InvalidInputError` for an unknown name or an invalid value."""
        with self.store.write() as transaction:
            return change_settings(transaction, changes)

    def share(self, group: str | None, *, owner: tuple[int, int] | None = None) -> Sharing:
        """Share the workspace with a Unix group, or with None make it its owner's alone.

        ``owner`` (uid, gid) gives everything to another user, which only root may.  Raises `NotFoundError` for an
        unknown group, and `RefusedError` if not everything can be changed.
        """
        from artstore.changes.sharing import share

        return share(self.store, group, owner)

    def set_type(self, name: str, type: str) -> None:
        """Change the type of an artifact and of all its versions."""
        from artstore.changes.aliasing import set_type

        set_type(self.store, check_name(name), check_type(type))

    def rename(self, name: str, to: str) -> list[str]:
        """Change the full name of an artifact; return the mounts that did not answer.

        Raises `NotFoundError`, `ExistsError` if the new name is or was in use, and `InvalidInputError`.
        """
        from artstore.changes.aliasing import rename

        return rename(self.store, check_name(name), check_name(to))

    def describe(self, name: str, text: str, *, purge: bool = False) -> None:
        """Replace the description of an artifact ``NAME``, or of a version ``NAME:v3``; an empty text removes it.

        ``purge`` also removes earlier descriptions of the version from its history.
        """
        from artstore.changes import aliasing, revising

        if not looks_like_path(name) and ":" not in name:
            aliasing.describe(self.store, check_name(name), text)
        elif purge:
            revising.forget_descriptions(self.store, version_of_reference(self.store, name).record, text)
        else:
            revising.revise(self.store, version_of_reference(self.store, name).record, description=text)

    def revise(self, ref: str, *, description: str | None = None, metadata: Mapping[str, Any] | None = None) -> None:
        """Replace the description or all metadata of a version; None leaves the present value.

        Values that artfs itself wrote, under keys that begin with ``artfs.``, stay.
        """
        from artstore.changes.revising import revise

        revise(self.store, version_of_reference(self.store, ref).record, description=description, metadata=metadata)
