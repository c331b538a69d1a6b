"""Links: a version shown as a version of another artifact, which holds its own reference to the content."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from artstore.changes.committing import Commit, commit
from artstore.changes.results import PutResult, announce, version_of
from artstore.errors import InvalidInputError, NotFoundError
from artstore.ingest.batch import Ref
from artstore.queries.versions import Version
from artstore.records.catalogue import VersionRecord
from artstore.records.packing import CLASS_TREE
from artstore.rows import catalogue
from artstore.rows.catalogue import label
from artstore.rows.nodes import change_counts, tree_view
from artstore.store import Store

__all__ = ["link"]


def link(store: Store, version: VersionRecord, target: str, aliases: Sequence[str]) -> Version:
    """Link a version as the next version of the artifact ``target``, with its type, metadata and description.

    Nothing is copied.  The link keeps its content whatever happens to the version, which cannot be deleted while the
    link exists.  Raises `NotFoundError` if the version is deleted, and the errors of `commit`.
    """
    with store.write() as transaction:
        current = catalogue.version(transaction, version.serial)
        artifact = None if current is None else catalogue.artifact(transaction, current.artifact)
        if current is None or artifact is None:
            raise NotFoundError("the version to link has been deleted")
        if artifact.name == target:
            raise InvalidInputError(
                f"{label(transaction, current)} is already a version of {target!r}", hint="set an alias on it instead"
            )
        request = Commit.checked(
            target,
            type=artifact.type,
            aliases=aliases,
            description=current.description,
            metadata=current.metadata,
        )
        root = Ref(CLASS_TREE, tree_view(transaction, current.root).digest)
        root.node = current.root
        created, committed = commit(store, transaction, root, replace(request, linked=current.serial), 0)
        if created:
            change_counts(transaction, {current.root: 1})
    return version_of(store, PutResult(committed, 0, announce(store, committed.changes)))
