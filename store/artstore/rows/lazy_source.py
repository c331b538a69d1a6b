"""What a snapshot asks for nodes that lie in a remote; `artstore.remotes.lazy` answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, Protocol

from artstore.errors import OutsideError
from artstore.ids import Buffer
from artstore.records.trees import TreeView
from artstore.rows.content import ContentInfo

if TYPE_CHECKING:
    from artstore.rows.snapshot import Snapshot

__all__ = ["AbsentError", "LazySource", "Plan", "open_lazy"]

_IMPLEMENTATION: Final = "artstore.remotes.lazy.source"
"""Named and not imported: it is above this module, and is loaded only where something is read from a remote."""


class AbsentError(OutsideError):
    """Raised where a reader must not wait and something has to be fetched; after ``fetch()`` the same call goes on."""

    def __init__(self, fetch: Callable[[], object]) -> None:
        super().__init__("this is still in a remote", hint="try again")
        self.fetch = fetch


class Plan(Protocol):
    """Contents that are to be fetched into the cache, ``bytes`` of them."""

    bytes: int

    def fetch(self) -> Iterator[int]:
        """Fetch everything, outside of any snapshot; yield the bytes of each request."""


class LazySource(Protocol):
    """Read nodes of remotes, verified, and fetch what this machine does not have."""

    def tree(self, snapshot: Snapshot, node: int) -> TreeView:
        """Return a directory record, whose rows have nodes of the remote."""

    def content(self, snapshot: Snapshot, node: int) -> ContentInfo:
        """Return the id, the size and no birth of a file's content; the id of a file of many chunks is not proved."""

    def read(self, snapshot: Snapshot, node: int, offset: int, size: int) -> list[Buffer]:
        """Return bytes of a file's content as consecutive pieces, fewer than ``size`` only at its end."""

    def stored_bytes(self, snapshot: Snapshot, node: int) -> int:
        """Return the bytes that the chunks of a file take in the remote."""

    def want(self, snapshot: Snapshot, nodes: Sequence[int]) -> None:
        """Fetch the contents of small files that are read next, with few requests."""

    def plan(self, snapshot: Snapshot, nodes: Sequence[int]) -> Plan:
        """Return what has to be fetched so that the contents of files are in the cache."""

    def description(self, snapshot: Snapshot, serial: int) -> dict[str, Any]:
        """Return the ``description``, ``metadata`` and ``tags`` of a version."""


def open_lazy(store: object) -> LazySource:
    """Return the source for an `artstore.store.Store` of this process."""
    source: LazySource = import_module(_IMPLEMENTATION).open_lazy(store)
    return source
