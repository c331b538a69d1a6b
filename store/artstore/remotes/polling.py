"""Asking a remote again and again for what is new, with as few requests as possible: one, where nothing is."""

from __future__ import annotations

from artstore.daemon_requests import Change
from artstore.errors import NotFoundError
from artstore.remotes.connecting import connect, note_position
from artstore.remotes.connection import Connection
from artstore.remotes.following import follow
from artstore.remotes.showing import show
from artstore.rows import remotes as rows
from artstore.rows.views import shown_to
from artstore.store import Store

__all__ = ["Poller"]


class Poller:
    """One remote of a workspace, whose log is read on at each call; for one thread."""

    def __init__(self, store: Store, uuid: bytes) -> None:
        self._store = store
        self._uuid = uuid
        self._connection: Connection | None = None
        self._edition = -1

    def poll(self) -> list[Change]:
        """Read the log on, and show what is new; return what changed under mounts.

        Raises what `artstore.remotes.connecting.connect` raises.  After an error make another object.
        """
        with self._store.snapshot() as snapshot:
            record = rows.all_remotes(snapshot.transaction).get(self._uuid)
            shown = shown_to(snapshot.transaction, self._uuid)
            is_same, self._edition = snapshot.edition == self._edition, snapshot.edition
        if record is None:
            raise NotFoundError("the remote was removed in the meantime")
        if self._connection is None:
            self._connection = connect(self._store, self._uuid, record)
        elif self._connection.log.has_news():
            log = self._connection.log
            log.read_on()
            if log.trouble is not None:
                raise log.trouble
        if shown == self._connection.state.number and is_same:
            return []
        if shown is not None and shown > self._connection.state.number:
            return []  # another process has read on since
        changes = show(self._store, self._connection)
        if record.folded != self._connection.state.number:
            note_position(self._store, self._connection)
        follow(self._store, self._connection)
        return changes
