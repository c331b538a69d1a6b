"""`restore`: the content of an earlier version becomes the next version of its artifact."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

from artstore.changes.committing import Commit, VersionOptions
from artstore.changes.results import commit_staged, version_of
from artstore.errors import NotFoundError
from artstore.ingest.batch import StaleHintError
from artstore.ingest.staging import Stager
from artstore.queries.versions import Version
from artstore.records.catalogue import VersionRecord
from artstore.rows import catalogue
from artstore.rows.catalogue import label
from artstore.store import Store

__all__ = ["restore"]


def restore(store: Store, version: VersionRecord, options: VersionOptions) -> Version:
    """Make a version's content the next version of its artifact, based on it; nothing is copied.

    The new version has the description and metadata of the restored one unless ``options`` have others.  Without
    ``new``, no version is made if all that equals the latest version.  Raises `NotFoundError` if the version is deleted
    meanwhile, and the errors of `commit`.
    """
    with store.snapshot() as snapshot:
        current = catalogue.version(snapshot.transaction, version.serial)
        artifact = None if current is None else catalogue.artifact(snapshot.transaction, current.artifact)
        if current is None or artifact is None:
            raise _deleted()
        request = Commit.checked(artifact.name, **options)
        request = replace(
            request,
            description=current.description if request.description is None else request.description,
            # Not checked if it is the version's: it may contain values that artfs itself wrote.
            metadata=current.metadata if request.metadata is None else request.metadata,
            base=label(snapshot.transaction, current),
            mtime_ns=current.mtime_ns,
            mode=current.mode,
        )
    with closing(Stager(store, artifact.name, "")) as stager:
        try:
            root = stager.known_tree(current.form, current.digest)
            return version_of(store, commit_staged(store, stager, root, request, base=current.root))
        except StaleHintError as error:
            raise _deleted() from error


def _deleted() -> NotFoundError:
    return NotFoundError("the version to restore has been deleted", hint="list what exists: artfs log NAME")
