"""Requests to external services: one small interface over object stores and the web.

Every response is compared with the pin.  A client is opened when it is first needed, in the process that needs it:
the clients of a process that forks do not work in the child.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from artstore.errors import ArtfsError, ChangedError, InvalidInputError, NotFoundError, OutsideError
from artstore.ids import Buffer
from artstore.objects.access import Access, access_of
from artstore.objects.clients import LONGEST_PART, Trouble, open_client, reason, time_out, trouble
from artstore.objects.locations import Location
from artstore.records.references import LARGEST_OUTSIDE, ReferenceRecord
from artstore.records.uris import shown_uri
from artstore.references.addresses import Reach
from artstore.references.roots import allowed_roots, root_of

if TYPE_CHECKING:
    from obstore import GetResult, ObjectMeta
    from obstore.store import ObjectStore

__all__ = [
    "DeniedError",
    "Found",
    "NoRangesError",
    "Service",
    "bare_etag",
    "checked_size",
    "open_here",
    "seconds_to_wait",
]

_VARIABLE: Final = "ARTFS_REFERENCE_TIMEOUT"
_SMALL_PIECE: Final = 64 * 1024
"""Bytes that are copied on at once where they are: the processor has them at hand then."""
_LISTED: Final = 1000


class Found(NamedTuple):
    """A service's description of one of its objects; ``modified_ns`` is when it was last modified, if that is known."""

    key: str
    size: int
    etag: str | None
    version: str | None
    modified_ns: int | None = None


class NoRangesError(OutsideError):
    """Raised when a server does not serve ranges of a file."""


class DeniedError(OutsideError):
    """Raised when a service refuses the credentials."""


class Service(Protocol):
    """A service that serves objects by key."""

    def head(self, key: str, version: str | None = None) -> Found:
        """Describe one object, or one version of it.

        Raises `NotFoundError` if there is none, `OutsideError` if that cannot be determined.
        """

    def listed(self, prefix: str) -> Iterator[Found]:
        """Yield all objects below a prefix, which is taken as a folder: ``train`` does not match ``train2/``."""

    def check(self, key: str, record: ReferenceRecord) -> None:
        """Raise `ChangedError` if the pinned object is gone or replaced, `OutsideError` if that is unknown."""

    def pieces(self, key: str, record: ReferenceRecord, part: tuple[int, int] | None = None) -> Iterator[Buffer]:
        """Yield all bytes that a record pins, as far as its server can tell, or the range ``part`` (from, to).

        Raises `ChangedError` if it is gone or replaced, `NoRangesError` if a part cannot be requested, and
        `OutsideError`, also if a part does not have the requested length.
        """


def seconds_to_wait() -> float:
    """Return the seconds after which a request has failed: ``$ARTFS_REFERENCE_TIMEOUT``, else 20."""
    return time_out(_VARIABLE)


def open_here(location: Location, access: Access, reach: Reach | None = None) -> Service:
    """Return a client of the service that holds a location; raise `OutsideError` if credentials are missing.

    No request is made.  But for web servers, it does not work in a process forked from one that has used a client.
    ``reach`` decides to which web addresses requests may go; without it, this user's settings do.
    """
    if location.scheme.startswith("http"):
        from artstore.references.web import Web

        return Web(location, reach)
    _refuse_endpoint(location, access)
    with _translated_errors(location.shown()):
        return _Objects(open_client(location, access, seconds_to_wait()), location)


def _refuse_endpoint(location: Location, access: Access) -> None:
    """Raise `OutsideError` for an endpoint that only a record names, and that must not get what it would get.

    That is a request, if its address is not public, and credentials that give access by themselves (Google, Azure).
    The client neither tells the addresses that it connects to nor where it is redirected, so that this looks before.
    """
    endpoint = access.endpoint
    if endpoint is None:
        return
    with suppress(ArtfsError):  # an environment that names no account names no endpoint either
        if endpoint == access_of(location).endpoint:
            return
    root = root_of(endpoint)
    if root is None:
        raise OutsideError(f"the endpoint of {location.shown()} is not a web address")
    if any(root_of(entry) == root for entry in allowed_roots()):
        return
    if location.scheme != "s3" and not access.anonymous:
        raise OutsideError(
            f"{location.shown()} names the endpoint {shown_uri(endpoint)}, which would get your credentials",
            hint="if that is meant, set it in the environment, or: artfs config reference-roots add ENDPOINT",
        )
    try:
        Reach(endpoint).addresses(*root)
    except OutsideError:
        raise
    except OSError as error:
        raise OutsideError(f"the server of {location.shown()} cannot be reached: {error.strerror}") from error


class _Objects:
    """An object store."""

    def __init__(self, store: ObjectStore, location: Location) -> None:
        self._store = store
        self._location = location

    def head(self, key: str, version: str | None = None) -> Found:
        import obstore

        with _translated_errors(self._location.shown(key)):
            shown = self._location.shown(key)
            if version is not None:
                result = obstore.get(self._store, key, options={"version": version, "head": True})
                return _described(shown, key, result.meta)._replace(version=version)
            return _described(shown, key, obstore.head(self._store, key))

    def listed(self, prefix: str) -> Iterator[Found]:
        import obstore

        with _translated_errors(self._location.shown(prefix)):
            for part in obstore.list(self._store, prefix.rstrip("/") or None, chunk_size=_LISTED):
                for meta in part:
                    self._refuse_beside(prefix, meta["path"])
                    yield _described(self._location.shown(meta["path"]), meta["path"], meta)

    def _refuse_beside(self, prefix: str, key: str) -> None:
        """Raise `OutsideError` if a listing names an object that is not below the prefix that was asked for."""
        folder = prefix.rstrip("/")
        if folder and key != folder and not key.startswith(f"{folder}/"):
            raise OutsideError(
                f"the listing of {self._location.shown(prefix)} names {key!r}, which is not below it",
                hint="the service does not keep to its protocol",
            )

    def check(self, key: str, record: ReferenceRecord) -> None:
        with _translated_errors(record.shown, pinned=True):
            self._get(key, record, head=True)

    def pieces(self, key: str, record: ReferenceRecord, part: tuple[int, int] | None = None) -> Iterator[Buffer]:
        if part is None:
            for start in range(0, record.size, LONGEST_PART):
                yield from self.pieces(key, record, (start, min(start + LONGEST_PART, record.size)))
            if not record.size:
                self.check(key, record)
            return
        with _translated_errors(record.shown, pinned=True):
            left = part[1] - part[0]
            for piece in self._part(key, record, part).stream(min_chunk_size=_SMALL_PIECE):
                left -= len(piece)
                if left < 0:
                    break
                yield memoryview(piece)
            if left:
                raise OutsideError(f"the server of {record.shown} returned a different number of bytes than requested")

    def _part(self, key: str, record: ReferenceRecord, part: tuple[int, int]) -> GetResult:
        import obstore

        try:
            return self._get(key, record, range=part)
        except obstore.exceptions.NotSupportedError as error:
            raise NoRangesError(f"the server of {record.shown} does not support ranges") from error

    def _get(self, key: str, record: ReferenceRecord, **options: Any) -> GetResult:
        """Request the pinned object, and compare the response: some servers ignore conditions."""
        if record.version is not None:
            options["version"] = record.version
        elif record.etag is not None and not record.etag.startswith("W/"):  # If-Match takes strong ones only
            options["if_match"] = record.etag
        result = self._get_if(key, options)
        meta = result.meta
        etag = meta["e_tag"]
        is_same = (
            bare_etag(etag) == bare_etag(record.etag) if record.etag and etag else record.version or not record.etag
        )
        if not is_same or meta["size"] != record.size:
            raise ChangedError(
                f"{record.shown} has changed since it was logged: it has {meta['size']} bytes and ETag "
                f"{etag}, before {record.size} bytes and {record.etag}",
                hint="log it again to pin its current content",
            )
        return result

    def _get_if(self, key: str, options: Any) -> GetResult:
        """Send a conditional request; if the condition fails, check whether the object exists at all.

        For S3 it is then retried once with the unquoted ETag, which some S3 implementations require.
        """
        import obstore

        try:
            return obstore.get(self._store, key, options=options)
        except obstore.exceptions.PreconditionError:
            obstore.head(self._store, key)
            if self._location.scheme != "s3" or "if_match" not in options:
                raise
            options = {**options, "if_match": bare_etag(options["if_match"])}
            return obstore.get(self._store, key, options=options)


def checked_size(shown: str, size: int) -> int:
    """Return the size that a server sent; raise `OutsideError` if no file has it."""
    if not 0 <= size <= LARGEST_OUTSIDE:
        raise OutsideError(
            f"the server of {shown} says that it has {size:,} bytes, which cannot be",
            hint=f"at most {LARGEST_OUTSIDE:,} are possible",
        )
    return size


def _described(shown: str, key: str, meta: ObjectMeta) -> Found:
    etag = meta["e_tag"]
    if etag is not None and not etag.endswith('"'):  # some listings omit the quotes; all pins must agree
        etag = f'"{etag}"'
    return Found(key, checked_size(shown, int(meta["size"])), etag, meta["version"], _modified_ns(meta))


def bare_etag(etag: str | None) -> str:
    """Return an ETag without the quotes and the weak mark that some servers add in some responses."""
    return (etag or "").removeprefix("W/").strip('"')


@contextmanager
def _translated_errors(uri: str, *, pinned: bool = False) -> Iterator[None]:
    """Translate the client's errors, in one sentence each; ``pinned`` means that the object existed before."""
    import obstore.exceptions as exceptions

    try:
        yield
    except ArtfsError:
        raise
    except (FileNotFoundError, exceptions.BaseError, ValueError) as error:
        raise _translated(uri, error, pinned) from error


def _translated(uri: str, error: Exception, pinned: bool) -> ArtfsError:
    kind = trouble(error)
    if kind in (Trouble.MISSING, Trouble.NO_ROOT) and isinstance(error, FileNotFoundError):
        if pinned:
            return ChangedError(f"{uri} has been removed since it was logged")
        return NotFoundError(f"there is nothing at {uri}", hint="check the bucket and the key")
    if kind is Trouble.CONDITION:
        return ChangedError(f"{uri} has changed since it was logged", hint="log it again to pin its current content")
    if pinned and kind is Trouble.BEYOND:
        return ChangedError(f"{uri} has changed since it was logged: it is shorter now")
    if kind is Trouble.DENIED:
        return DeniedError(
            f"these credentials give no access to {uri}: {reason(error)}",
            hint="check the credentials and their permissions",
        )
    if kind is Trouble.INVALID_NAME:
        return InvalidInputError(f"{uri} contains a key that is not a valid path: {reason(error)}")
    if kind is Trouble.REGION:
        return OutsideError(f"{uri} is in another region", hint="set AWS_REGION to the bucket's region")
    if kind is Trouble.TIME_OUT:
        return OutsideError(
            f"{uri} did not answer within {seconds_to_wait():g} s", hint=f"{_VARIABLE} sets how long to wait"
        )
    if kind is Trouble.UNCONNECTED:
        hint = "check the network, and the endpoint in the environment"
        return OutsideError(f"the server of {uri} cannot be reached: {reason(error)}", hint=hint)
    return OutsideError(f"{uri} cannot be read: {reason(error)}")


def _modified_ns(meta: ObjectMeta) -> int | None:
    """Return when an object was last modified, in whole seconds; without that header the client says 1970."""
    seconds = int(meta["last_modified"].timestamp())
    return seconds * 1_000_000_000 if seconds > 0 else None
