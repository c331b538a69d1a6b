"""Opening an object store by its URL: ``s3://BUCKET/PREFIX``, ``gs://``, ``az://`` or ``file:///FOLDER``."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from artstore.errors import InvalidInputError, RefusedError
from artstore.objects.access import Access, access_of
from artstore.objects.delegating import ask, must_delegate, note_use
from artstore.objects.folders import Folder
from artstore.objects.locations import Location, parse_location
from artstore.objects.protocol import ObjectInfo, ObjectStore
from artstore.records.uris import shown_uri

__all__ = ["ReadOnly", "address_of", "open_store"]


def open_store(url: str, *, read_only: bool = False, anonymous: bool = False) -> ObjectStore:
    """Return the object store at a URL; no request is made, and obstore is imported by the first one.

    What it returns works in forks of this process, and can be pickled.  Credentials are those of the environment, as
    for references.  With ``read_only``, writing raises `RefusedError`; with ``anonymous`` requests are not signed.
    Raises `InvalidInputError` for a URL of another kind.
    """
    location = _location(url)
    store: ObjectStore
    if location.scheme == "file":
        store = Folder(Path(location.key))
    else:
        store = _Provided(location, access_of(location, anonymous=anonymous))
    return ReadOnly(store) if read_only else store


def address_of(url: str) -> str:
    """Return a text that is equal for two URLs of one place, with the settings of this environment; no secrets."""
    location = _location(url)
    if location.scheme == "file":
        return location._replace(key=os.path.realpath(location.key)).uri()
    access = access_of(location)
    where = " ".join(each for each in (access.endpoint, access.account) if each)
    return f"{location.uri(location.key.rstrip('/')).rstrip('/')} {where}".rstrip()


def _location(url: str) -> Location:
    location = parse_location(url)
    if location.scheme.startswith("http") or location.version is not None:
        raise InvalidInputError(
            f"{shown_uri(url)!r} is not the URL of an object store",
            hint="s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, az://CONTAINER/PREFIX or file:///FOLDER",
        )
    if location.scheme == "az" and "\\" in location.key:
        raise InvalidInputError(
            f"{shown_uri(url)!r} has a backslash, which Azure takes for a slash", hint="leave it out"
        )
    return location._replace(key=location.key.rstrip("/") or location.key)


def _open_bucket(location: Location, access: Access) -> ObjectStore:
    from artstore.objects.buckets import Bucket

    return Bucket(location, access)


class _Provided:
    """A provider's store, whose client is opened in the process that needs it, or in its helper."""

    def __init__(self, location: Location, access: Access) -> None:
        self.url = location.shown()
        self._place = location, access
        self._opened: tuple[int, ObjectStore] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return _Provided, self._place

    def _do(self, method: str, *arguments: Any, **options: Any) -> Any:
        if must_delegate():
            return ask(_open_bucket, self._place, method, *arguments, **options)
        if self._opened is None or self._opened[0] != os.getpid():
            note_use()
            self._opened = os.getpid(), _open_bucket(*self._place)
        return getattr(self._opened[1], method)(*arguments, **options)

    def create(self, name: str, body: bytes) -> bool:
        return bool(self._do("create", name, body))

    def read(self, name: str, start: int = 0, length: int | None = None, *, fresh: bool = False) -> bytes:
        data: bytes = self._do("read", name, start, length, fresh=fresh)
        return data

    def head(self, name: str) -> ObjectInfo:
        info: ObjectInfo = self._do("head", name)
        return info

    def replace(self, name: str, body: bytes) -> None:
        self._do("replace", name, body)

    def list(self, prefix: str, *, after: str = "") -> Iterator[ObjectInfo]:
        yield from self._do("list", prefix, after=after)

    def delete(self, names: Iterable[str]) -> None:
        self._do("delete", [*names])

    def remarks(self, name: str) -> Sequence[str]:
        remarks: Sequence[str] = self._do("remarks", name)
        return remarks

    def date(self) -> float | None:
        date: float | None = self._do("date")
        return date


class ReadOnly:
    """A store of which nothing is written: see `artstore.objects.protocol.ObjectStore`."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self.url = store.url
        self.read = store.read
        self.head = store.head
        self.list = store.list
        self.remarks = store.remarks
        self.date = store.date

    def __reduce__(self) -> tuple[Any, ...]:
        return ReadOnly, (self._store,)

    def _refuse(self) -> RefusedError:
        return RefusedError(f"{self.url} is open for reading only", hint="add it without --read-only")

    def create(self, name: str, body: bytes) -> bool:
        """Raise `RefusedError`."""
        raise self._refuse()

    def replace(self, name: str, body: bytes) -> None:
        """Raise `RefusedError`."""
        raise self._refuse()

    def delete(self, names: Iterable[str]) -> None:
        """Raise `RefusedError`."""
        raise self._refuse()
