"""Links: a version shown as a version of another artifact, which holds its own reference to the content."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace

from artstore.changes.committing import Commit
from artstore.changes.results import commit_staged, version_of
from artstore.errors import InvalidInputError, NotFoundError
from artstore.ingest.batch import StaleHintError
from artstore.ingest.staging import Stager
from artstore.queries.versions import Version
from artstore.records.catalogue import VersionRecord
from artstore.rows import catalogue
from artstore.rows.catalogue import label
from artstore.store import Store

__all__ = ["link"]


def link(store: Store, version: VersionRecord, target: str, aliases: Sequence[str]) -> Version:
    """Link a version as the next version of the artifact ``target``, with its type, metadata and description.

    Nothing is copied.  The link keeps its content whatever happens to the version, which cannot be deleted while the
    link exists.  Raises `NotFoundError` if the version is deleted, and the errors of `commit`.
    """
    with store.snapshot() as snapshot:
        transaction = snapshot.transaction
        current = catalogue.version(transaction, version.serial)
        artifact = None if current is None else catalogue.artifact(transaction, current.artifact)
        if current is None or artifact is None:
            raise NotFoundError("the version to link has been deleted")
        if artifact.name == target:
            raise InvalidInputError(
                f"{label(transaction, current)} is already a version of {target!r}", hint="set an alias on it instead"
            )
        request = Commit.checked(target, type=artifact.type, aliases=aliases, description=current.description)
        # Not checked again: the metadata may contain values that artfs itself wrote.
        request = replace(
            request,
            metadata=current.metadata,
            linked=current.serial,
            mtime_ns=current.mtime_ns,
            mode=current.mode,
        )
    with closing(Stager(store, target, "")) as stager:
        try:
            root = stager.known_tree(current.form, current.digest)
            return version_of(store, commit_staged(store, stager, root, request))
        except StaleHintError as error:
            raise NotFoundError("the version to link has been deleted") from error
