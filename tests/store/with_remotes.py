"""A workspace that knows remotes: a row in each of their tables."""

from __future__ import annotations

from artstore.changes import tracking
from artstore.records.remotes import ENTRY, PENDING, PUSHED, ContentPlace, Counterpart, RemoteRecord
from artstore.records.tables import key64
from artstore.rows import catalogue, remotes, views
from artstore.workspace import Workspace


def live_with_remotes(workspace: Workspace, name: str) -> None:
    """Leave two remotes, one of which an artifact tracks whose v0 was pushed, and a push of its v1 under way."""
    store, remote = workspace.store, bytes(range(16))
    tracking.record_remote(store, remote, RemoteRecord("origin", "s3://bucket/prefix", False, 5))
    tracking.record_remote(store, bytes(16), RemoteRecord("mirror", "file:///mirror", True, 6))
    tracking.update_remote(store, remote, probed_ns=7, folded=3, head="aa", probe={"rounds": 20})
    first, second = (workspace.version(f"{name}:v{number}").record for number in (0, 1))
    with store.write() as transaction:
        artifact = catalogue.artifact(transaction, first.artifact)
        assert artifact is not None
        tracking.track(store, transaction, artifact, remote, b"a" * 16)
        tracking.record_counterpart(store, transaction, first.serial, remote, Counterpart(b"0" * 16, 0, PUSHED))
        tracking.record_counterpart(store, transaction, second.serial, remote, Counterpart(b"1" * 16, 0, PENDING))
        remotes.note(transaction, remote, ENTRY, b"e" * 16, 4)
        remotes.note(transaction, remote, ord("d"), b"d" * 16)
        place = ContentPlace(ord("d"), b"d" * 16, 40, 500)
        remotes.put_place(transaction, remote, ord("c"), b"c" * 32, place)
        views.write_views(transaction, {}, {views.SHOWN + remote: key64(3)})  # all that is there is here too
