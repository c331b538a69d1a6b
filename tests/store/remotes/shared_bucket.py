"""One remote in memory that several workspaces know, each as another machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from artstore.changes.tracking import record_remote
from artstore.objects.failures import UnreachableError
from artstore.records.remotes import RemoteRecord
from artstore.remotes import connecting
from artstore.remotes.connecting import connect
from artstore.remotes.connection import Connection
from artstore.remotes.identity import create_identity, read_identity
from artstore.rows.remotes import find_remote
from artstore.workspace import Workspace
from store.objects.model_store import Bucket, ModelStore

URL = "model://bucket"


def refuse(kind: str) -> None:
    """Answer no request."""
    raise UnreachableError("model://bucket does not answer")


@dataclass
class SharedBucket:
    """A remote in a bucket; ``store`` is what the next connection opens."""

    monkeypatch: pytest.MonkeyPatch
    bucket: Bucket = field(default_factory=Bucket)

    def __post_init__(self) -> None:
        self.store = ModelStore(self.bucket)
        self.uuid = create_identity(self.store, "2026-11-30T00:00:00Z", {}).uuid
        self.monkeypatch.setattr(connecting, "open_store", lambda *_, **__: self.store)
        self.monkeypatch.setattr(connecting, "user_and_host", lambda: self.by)
        self.by = "ada@lab"

    def join(self, workspace: Workspace, *, read_only: bool = False) -> None:
        """Add the remote to a workspace as ``origin``."""
        identity = read_identity(self.store)
        assert identity is not None
        record_remote(workspace.store, identity.uuid, RemoteRecord("origin", URL, read_only, 1))

    def connection(self, workspace: Workspace) -> Connection:
        """Open the remote for a workspace, and read its log."""
        with workspace.store.snapshot() as snapshot:
            found = find_remote(snapshot.transaction, "origin")
        assert found is not None
        return connect(workspace.store, *found)

    @contextmanager
    def offline(self) -> Iterator[None]:
        """Let no request be answered in a block."""
        before, self.store = self.store, ModelStore(self.bucket, step=refuse)
        try:
            yield
        finally:
            self.store = before
