"""``ws.remotes``: object stores that any number of machines share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from artstore.arguments import texts_of
from artstore.interrupts import deferring
from artstore.store import Store

if TYPE_CHECKING:
    from artstore.checking.report import OnProgress as OnChecked
    from artstore.checking.report import Report
    from artstore.queries.versions import Version
    from artstore.remotes.adding import Remote
    from artstore.remotes.collecting import RemoteCollection
    from artstore.remotes.exchanging import Fetched, OnProgress, OnVersion, Pulled, Pushed
    from artstore.remotes.usage import RemoteUsage

__all__ = ["Remotes"]


@deferring()
class Remotes:
    """The remotes that a workspace knows."""

    __slots__ = ("_store",)

    def __init__(self, store: Store) -> None:
        self._store = store

    def all(self) -> list[Remote]:
        """Return the remotes, by name; no request is made."""
        from artstore.remotes.adding import all_remotes

        return all_remotes(self._store)

    def get(self, name: str) -> Remote:
        """Return a remote; raise `NotFoundError` if there is none of that name."""
        from artstore.remotes.adding import find

        return find(self._store, name)

    def add(self, name: str, url: str, *, read_only: bool = False, anonymous: bool = False) -> Remote:
        """Add the remote at ``url`` (``s3://``, ``gs://``, ``az://`` or ``file://``); make it there if it is missing.

        The store is probed first.  With ``read_only`` nothing is written, now and later.  Credentials are those of the
        environment, and are not stored; ``anonymous`` is read-only without any.

        Raises `InvalidInputError` for a URL of another kind or with a secret, `ExistsError` if the name or the place is
        known already, `RefusedError` for a prefix with other objects, `UnsupportedError` for another format or a store
        that breaks a promise, and the errors of the store.
        """
        from artstore.remotes.adding import add

        return add(self._store, name, url, read_only=read_only, anonymous=anonymous)

    def check(self, name: str) -> Remote:
        """Probe a remote again, read its log on, and record what was found.

        Raises `UnsupportedError` if the store breaks a promise, `DamageError` if the log or the remote is another one
        than before, and the errors of the store.
        """
        from artstore.remotes.adding import check

        remote, found = check(self._store, name)
        found.require(writing=not remote.read_only)
        return remote

    def fsck(self, name: str | None = None, *, data: bool = False, progress: OnChecked | None = None) -> Report:
        """Check a remote: its log, its checkpoints, all records of its versions, and the objects that they use.

        With ``data`` every object is read once and all content is proved.  The report names the files and versions that
        are lost.  Nothing is written.

        Raises `NotFoundError` for an unknown remote, and the errors of a store that does not answer.
        """
        from artstore.remotes.checking import check_remote

        return check_remote(self._store, name, data=data, progress=progress)

    def remove(self, name: str, *, keep_local: bool = False) -> list[str]:
        """Forget a remote; return the names of the artifacts that tracked it.  Its objects and all versions stay.

        Raises `RefusedError` if artifacts track it, unless ``keep_local``.
        """
        from artstore.remotes.adding import remove

        return remove(self._store, name, keep_local=keep_local)

    def gc(
        self, name: str | None = None, *, dry_run: bool = False, progress: OnProgress | None = None
    ) -> RemoteCollection:
        """Give up objects of a remote that no version needs any more, and delete those that were given up a day ago.

        Any machine may do so, beside others that push.  ``dry_run`` counts what would be done.

        Raises `NotFoundError`, `RefusedError` for a remote that is read-only or whose clock is behind its log,
        `NoRightError` if these credentials may not delete, `DamageError` if it is not known what a version needs, and
        the store's errors.
        """
        from artstore.remotes.collecting import collect_remote

        return collect_remote(self._store, name, dry_run=dry_run, progress=progress)

    def usage(self, name: str | None = None) -> RemoteUsage:
        """Return what the objects of a remote take, and which artifacts need them; the remote may be read-only."""
        from artstore.remotes.usage import remote_usage

        return remote_usage(self._store, name)

    # -- versions --------------------------------------------------------------------------------------------------

    def push(
        self,
        refs: str | Sequence[str] = (),
        remote: str | None = None,
        *,
        every: bool = False,
        dry_run: bool = False,
        if_latest: str | None = None,
        adopt: bool = False,
        on_version: OnVersion | None = None,
        progress: OnProgress | None = None,
    ) -> Pushed:
        """Push versions: ``NAME`` or a glob of names, ``NAME:v3``, ``NAME:v0..v9``, or ``every`` one.

        ``remote`` is by default ``origin``, or the only one.  ``on_version`` is called for each that is there.  What is
        there already is not sent again; what a version includes, links to or is based on is sent first.  Pending
        versions become the next ones, here too.  ``dry_run`` counts what would be sent.  With ``if_latest`` (``"v4"``)
        nothing is pushed unless that is the latest version there.  ``adopt`` appends to an artifact of the same name
        and another origin.

        Raises `NotFoundError`, `RefusedError` for a remote that is read-only or where a name or alias means something
        else, `BusyError` while another process pushes, `UnknownOutcomeError` (run it again), and the store's errors.
        """
        from artstore.remotes.exchanging import push

        given = texts_of([refs], "the versions to push") if refs else []
        return push(
            self._store,
            given,
            remote,
            every=every,
            dry_run=dry_run,
            if_latest=if_latest,
            adopt=adopt,
            on_version=on_version,
            progress=progress,
        )

    def settle(self, version: Version, *, push: bool = True) -> Version:
        """Push a version that was just made, if a remote numbers it; return it as it is then.

        The operations of a workspace that make versions do so already.  If it stays pending, ``receipt.unpushed`` says
        why; a remote that does not answer is no error.
        """
        from artstore.remotes.settling import settle

        return settle(self._store, version, push=push)

    def fetch(self, remote: str | None = None) -> Fetched:
        """Read a remote's log on; return what is there.  No content is read."""
        from artstore.remotes.exchanging import fetch

        return fetch(self._store, remote)

    def pull(
        self,
        refs: str | Sequence[str] = (),
        remote: str | None = None,
        *,
        every: bool = False,
        on_version: OnVersion | None = None,
        progress: OnProgress | None = None,
    ) -> Pulled:
        """Make versions of a remote local: ``NAME`` (the latest), ``NAME:v3``, ``NAME:ALIAS``, or ``every`` one.

        Raises `NotFoundError`, `RefusedError` if a name means another artifact here, `DamageError` for anything that is
        not as the log says, and the errors of the store.
        """
        from artstore.remotes.exchanging import pull

        given = texts_of([refs], "the versions to pull") if refs else []
        return pull(self._store, given, remote, every=every, on_version=on_version, progress=progress)

    def drop(self, refs: str | Sequence[str], remote: str | None = None) -> list[str]:
        """Remove local versions that a remote has; return their names.  They are read from the remote again.

        Raises `RefusedError` for a version that the remote lacks or that another local one was made from.
        """
        from artstore.remotes.dropping import drop

        return drop(self._store, texts_of([refs], "the versions to give back"), remote)
