"""The result of a change: the version that it led to, and the daemons that were not notified."""

from __future__ import annotations

import os
from dataclasses import field
from typing import Any, Final

from artstore import daemon_requests
from artstore.changes.committing import Commit, Committed, commit
from artstore.daemon_requests import Change
from artstore.daemons import DaemonInfo
from artstore.ingest.batch import Ref, StaleHintError
from artstore.ingest.earlier import Earlier
from artstore.ingest.retiming import retimed
from artstore.ingest.source import Passed
from artstore.ingest.staging import RequirementError, Stager
from artstore.queries.versions import PutReceipt, Version
from artstore.store import Store
from artstore.values import value_class

__all__ = ["PutResult", "announce", "commit_staged", "receipt_of", "version_of"]

_ATTEMPTS: Final = 3


@value_class
class PutResult:
    """The result of a put: the version, the stored bytes added, and the daemons that did not answer.

    ``reaped_bytes`` are bytes of deleted content that were freed early because the disk was full.  ``differing`` counts
    the paths whose time or mode was not recorded, because their content is unchanged; ``private``, ``special``,
    ``followed``, ``ignored`` and ``temporary`` are those of `PutReceipt`.
    """

    committed: Committed
    new_bytes: int
    silent: list[DaemonInfo]
    reaped_bytes: int = 0
    differing: int = 0
    private: int = 0
    special: int = 0
    followed: Passed = field(default_factory=Passed)
    ignored: Passed = field(default_factory=Passed)
    temporary: Passed = field(default_factory=Passed)


def commit_staged(
    store: Store,
    stager: Stager,
    root: Ref,
    request: Commit,
    *,
    earlier: Earlier | None = None,
    base: int | None = None,
) -> PutResult:
    """Make the staged content a version, with the times that it shows; raise the errors of `commit`.

    ``earlier`` are the versions by which the root was built, None if it was built without; ``base`` is the root of the
    version that the content was taken from.  If the commit is refused, the root stays staged.
    """
    differing = 0 if earlier is None else earlier.differing
    shown, is_stored, stale = root, False, 0
    while True:
        try:
            if earlier is None:
                earlier = Earlier(store, request.name, share=not request.force)
                if earlier.root() is not None:
                    stager.flush()
                    is_stored = True
                    shown = retimed(store, stager, root, earlier, base)
                    stager.flush()  # a commit that is refused loses what its batch holds
            committed = stager.commit(
                shown,
                lambda transaction, root, added: commit(store, transaction, root, request, stager.stored_bytes + added),
                earlier.require_latest,
            )
        except RequirementError:  # another version was committed since: its times count too
            earlier = None
        except StaleHintError:  # a directory of the latest version was reaped: that is no longer the latest
            stale += 1
            if not is_stored or stale == _ATTEMPTS:
                raise
            stager.discard()
            earlier = None
        else:
            return PutResult(committed, stager.stored_bytes, announce(store, committed.changes), differing=differing)


def version_of(store: Store, result: PutResult) -> Version:
    """Return the version that a put led to, with the receipt for it."""
    committed = result.committed
    silent = [daemon.mountpoint for daemon in result.silent]
    differing = 0 if committed.created else result.differing
    receipt = receipt_of(
        created=committed.created,
        new_bytes=result.new_bytes,
        silent_daemons=silent,
        reaped_bytes=result.reaped_bytes,
        differing_paths=differing,
        private_files=result.private,
        special_modes=result.special,
        followed=result.followed,
        ignored=result.ignored,
        temporary=result.temporary,
    )
    return Version(store, committed.artifact.name, committed.version, committed.artifact.type, receipt)


def receipt_of(*, followed: Passed, ignored: Passed, temporary: Passed, **figures: Any) -> PutReceipt:
    """Return the receipt of a put with what its walk followed and left out."""
    return PutReceipt(
        **figures,
        followed_links=followed.count,
        followed_paths=_names(followed),
        ignored_entries=ignored.count,
        ignored_paths=_names(ignored),
        temporary_folders=temporary.count,
        temporary_paths=_names(temporary),
    )


def _names(passed: Passed) -> tuple[str, ...]:
    return tuple(map(os.fsdecode, passed.paths))


def announce(store: Store, changes: list[Change]) -> list[DaemonInfo]:
    """Notify every live daemon of changes, each name once; return those that did not answer."""
    names: dict[str, dict[str, None]] = {}
    for change in changes:
        names.setdefault(change.directory, {}).update(dict.fromkeys(change.names))
    merged = [Change(directory, list(listed)) for directory, listed in names.items()]
    return daemon_requests.notify(store.run_dir, merged) if merged else []
