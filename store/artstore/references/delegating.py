"""References in a process that cannot send requests to object stores itself: they go through its helper."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

from artstore.ids import Buffer
from artstore.objects.access import Access
from artstore.objects.delegating import ask, must_delegate, note_use
from artstore.objects.locations import Location
from artstore.records.references import ReferenceRecord
from artstore.references.addresses import Reach
from artstore.references.services import Found, NoRangesError, Service, open_here

__all__ = ["Delegated", "open_service"]

_PIECE: Final = 8 * 1024 * 1024


def open_service(location: Location, access: Access, reach: Reach | None = None) -> Service:
    """Return a client of the service that holds a location: of this process, or through a helper.

    ``reach`` is that of `open_here`.  Raises `OutsideError` if credentials are missing.  No request is made.
    """
    if location.scheme.startswith("http"):
        return open_here(location, access, reach)
    if must_delegate():
        return Delegated(location, access)
    service = open_here(location, access)
    note_use()
    return service


class Delegated:
    """A service reached through a helper; see `artstore.references.services.Service`."""

    def __init__(self, location: Location, access: Access) -> None:
        self._place = location, access

    def _ask(self, method: str, *arguments: Any) -> Any:
        return ask(open_here, self._place, method, *arguments)

    def head(self, key: str, version: str | None = None) -> Found:
        """Describe one object."""
        description: Found = self._ask("head", key, version)
        return description

    def listed(self, prefix: str) -> Iterator[Found]:
        """Yield all objects below a prefix."""
        yield from self._ask("listed", prefix)

    def check(self, key: str, record: ReferenceRecord) -> None:
        """Raise `ChangedError` if the pinned object has changed."""
        self._ask("check", key, record)

    def pieces(self, key: str, record: ReferenceRecord, part: tuple[int, int] | None = None) -> Iterator[Buffer]:
        """Yield the bytes that a record pins; a file without an ETag is held in memory as a whole."""
        if part is None and (record.etag is not None or record.version is not None):
            with suppress(NoRangesError):
                for start in range(0, record.size, _PIECE):
                    yield from self.pieces(key, record, (start, min(start + _PIECE, record.size)))
                return
        yield from self._ask("pieces", key, record, part)
