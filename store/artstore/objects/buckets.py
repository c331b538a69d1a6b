"""The object stores of providers, behind the protocol: S3 and what speaks its language, Google's, Azure's.

What an answer to a create means.  The client maps 304, 409 and 412 to "already exists", but a 409 of S3 says that
another request was in flight and perhaps nothing was stored, and a 412 may be the answer to a repetition of a create
that succeeded, made by a proxy.  Google's answers 429 to a second write of a name within a second, and to one that
would lose.  A time-out, a reset or a status of 5xx leaves everything open.  So every answer but success is followed by
reading the object past caches: this body, another one, or none; then the same create is sent again, a limited number of
times.  The client itself does not repeat creates.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TypeVar

from artstore.errors import ArtfsError, InvalidInputError, OutsideError
from artstore.objects.access import Access
from artstore.objects.clients import SLOWEST_UPLOAD, Trouble, open_client, reason, status_of, time_out, trouble
from artstore.objects.failures import (
    NoBucketError,
    NoRightError,
    ObjectMissingError,
    StoreFullError,
    UnknownOutcomeError,
    UnreachableError,
    WrongAnswerError,
    WrongRegionError,
)
from artstore.objects.locations import Location
from artstore.objects.protocol import LARGEST_OBJECT, ObjectInfo, checked_name, checked_prefix, checked_range
from artstore.objects.server_clocks import ServerClock, headers_at

if TYPE_CHECKING:
    from obstore import GetOptions, ObjectMeta
    from obstore.store import AzureStore, GCSStore, S3Store

    Client = S3Store | GCSStore | AzureStore

__all__ = ["TIME_OUT_VARIABLE", "Bucket"]

TIME_OUT_VARIABLE: Final = "ARTFS_REMOTE_TIMEOUT"
_T = TypeVar("_T")
_TURNS: Final = 8
"""How often a create is sent, at most."""
_TURNS_WITHOUT_ANSWER: Final = 3
"""... if its object cannot be read either."""
_ABSENT: Final = 3
"""After so many answers "it exists" and "there is none" to one create, a list decides."""
_MOST_TIME_OUTS: Final = 6
"""The time-outs after which a create is not sent again."""
_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 2.0
_RATE_PAUSE: Final = 1.0
"""Google's stores take one write of a name a second."""
_LISTED: Final = 100
"""Objects that the client collects before this code sees and checks one, however many requests it takes."""
_DELETED: Final = 250
"""Names in one request to delete; Azure takes 256."""
_UPLOADS: Final = (1 << 16, 1 << 20, 1 << 24, LARGEST_OBJECT)
"""Sizes of bodies with clients of their own: the time-out of a client bounds sending as well."""
_OPEN: Final = (Trouble.EXISTS, Trouble.CONDITION, Trouble.BUSY, Trouble.TIME_OUT, Trouble.UNCONNECTED)
"""Answers to a create after which the object may be there, of whichever body."""
_CREDENTIALS: Final = (Trouble.DENIED, Trouble.EXPIRED)
_NO_CACHE: Final = {"Cache-Control": "no-cache"}


class Bucket:
    """A prefix of a bucket or container; see `artstore.objects.protocol.ObjectStore`.

    It works in the process that made it: `artstore.objects.opening` opens one where it is needed.
    """

    def __init__(self, location: Location, access: Access) -> None:
        self.url = location.shown(location.key.rstrip("/")).rstrip("/")
        self._location = location
        self._access = access
        self._root = f"{location.key.rstrip('/')}/" if location.key.rstrip("/") else ""
        self._seconds = time_out(TIME_OUT_VARIABLE)
        self._clients: dict[str, Client] = {}
        self._clock = ServerClock(location, access, self._seconds)

    # -- reading -------------------------------------------------------------------------------------------------------

    def read(self, name: str, start: int = 0, length: int | None = None, *, fresh: bool = False) -> bytes:
        """Return a range of an object."""
        key = self._key(name)
        checked_range(start, length)
        if length == 0:
            self.head(name)
            return b""
        options: GetOptions = {}
        if length is not None:
            options["range"] = (start, start + length)
        elif start:
            options["range"] = {"offset": start}
        shown = self._shown(name)

        def get(client: Client) -> bytes:
            import obstore

            result = obstore.get(client, key, options=options)
            wanted = int(result.meta["size"]) - start if length is None else length
            if not 0 <= wanted <= LARGEST_OBJECT:
                size = result.meta["size"]
                raise WrongAnswerError(f"{shown} has {size:,} bytes: too many for one read, or none from {start:,} on")
            data = bytes(result.bytes())
            if len(data) != wanted:
                raise WrongAnswerError(
                    f"the store answered {len(data):,} bytes of {shown}, not the {wanted:,} requested"
                )
            return data

        return self._call("read", name, "fresh" if fresh else "reading", get)

    def head(self, name: str) -> ObjectInfo:
        """Describe an object."""
        key = self._key(name)

        def head(client: Client) -> ObjectInfo:
            import obstore

            return self._described(name, obstore.head(client, key))

        return self._call("read", name, "reading", head)

    def list(self, prefix: str, *, after: str = "") -> Iterator[ObjectInfo]:
        """Yield the objects below a prefix."""
        folder = self._root + checked_prefix(prefix)
        last = after
        for meta in self._listed(prefix, folder, self._root + after if after else None):
            key = meta["path"]
            if f"{key}/" == folder and not meta["size"]:
                continue  # the mark with which consoles make a folder
            if not key.startswith(folder):
                raise WrongAnswerError(
                    f"the list of {self._shown(prefix)} names {key!r:.250}, which is not below it",
                    hint="the store does not keep to its protocol",
                )
            name = key[len(self._root) :]
            if name <= after:
                continue  # from a store that does not know where to begin
            if name <= last:
                raise WrongAnswerError(
                    f"the list of {self._shown(prefix)} has {name!r:.250} after {last!r:.250}: it has no order",
                    hint="remotes need a store whose lists are sorted",
                )
            last = name
            yield self._described(name, meta)

    def _listed(self, prefix: str, folder: str, offset: str | None) -> Iterator[ObjectMeta]:
        """Yield what a store lists; credentials that expire on the way are fetched again once."""
        import obstore

        for is_last in (False, True):
            try:
                client = self._client("reading")
                for page in obstore.list(client, folder.rstrip("/") or None, offset=offset, chunk_size=_LISTED):
                    yield from page
                    offset = page[-1]["path"]
                return
            except (FileNotFoundError, obstore.exceptions.BaseError, ValueError) as error:
                if is_last or trouble(error) not in _CREDENTIALS:
                    raise self._translated("list", prefix, error) from error
                self._clients.clear()

    def remarks(self, name: str) -> Sequence[str]:
        """Return sentences about versions and rules of the bucket, as far as S3 tells them with an object."""
        if self._location.scheme != "s3" or self._access.anonymous:
            return ()
        key = self._key(name)

        def sign(client: Client) -> str:
            from datetime import timedelta

            import obstore

            return obstore.sign(client, "HEAD", key, timedelta(seconds=60))

        headers = headers_at(self._call("read", name, "reading", sign), self._seconds)
        remarks = []
        if headers.get("x-amz-version-id", "null") != "null":
            remarks.append("the bucket keeps versions: what is deleted goes on to take space there")
        if (expiry := headers.get("x-amz-expiration")) is not None:
            remarks.append(f"a lifecycle rule of the bucket will remove objects that were pushed: {expiry:.200}")
        return remarks

    def date(self) -> float | None:
        """Return the store's clock."""
        return self._clock.now()

    # -- writing -------------------------------------------------------------------------------------------------------

    def create(self, name: str, body: bytes) -> bool:
        """Store an object unless there is one of that name."""
        key, kind = self._key(name), _kind_for(name, body)
        deadline = time.monotonic() + _MOST_TIME_OUTS * (self._seconds + int(kind) / SLOWEST_UPLOAD)
        is_sent = False
        absent = 0
        for turn in range(1, _TURNS + 1):
            try:
                answer = self._try_to_create(key, body, kind)
                if answer is None:
                    return True
                is_sent = is_sent or answer is not Trouble.UNCONNECTED
                return self.read(name, fresh=True) == body
            except ObjectMissingError:
                absent += answer is Trouble.EXISTS
            except ArtfsError as error:
                answer = Trouble.BUSY
                is_late = turn >= _TURNS_WITHOUT_ANSWER or time.monotonic() > deadline
                if is_late or not isinstance(error, UnreachableError):
                    if is_sent:
                        raise self._unknown(name, error.message) from error
                    raise
            if absent == _ABSENT:
                self._refuse_old_answers(name)
            if time.monotonic() > deadline:
                break
            time.sleep(_pause(turn, answer))
        raise self._unknown(name, f"the store gave no clear answer to {turn} requests")

    def _try_to_create(self, key: str, body: bytes, kind: str) -> Trouble | None:
        """Send one create; return None if it was stored, else what the answer means if it may have been."""
        import obstore

        for is_last in (False, True):
            try:
                obstore.put(self._client(kind), key, body, mode="create", use_multipart=False)
                return None
            except (FileNotFoundError, obstore.exceptions.BaseError, ValueError) as error:
                meaning = trouble(error)
                if meaning in _OPEN or (meaning is Trouble.OTHER and not status_of(error)):
                    return meaning
                if is_last or meaning not in _CREDENTIALS:
                    raise self._translated("create", key[len(self._root) :], error) from error
                self._clients.clear()
        raise AssertionError("the second try returns or raises")

    def _refuse_old_answers(self, name: str) -> None:
        """Raise `UnknownOutcomeError` if a list has the object whose reading is answered as if there were none."""
        folder, slash, _ = name.rpartition("/")
        for found in self.list(folder + slash, after=name[:-1]):
            if found.name == name:
                raise UnknownOutcomeError(
                    f"{self._shown(name)} is listed, yet reading it says that it does not exist: a caching proxy on "
                    "the way keeps old answers",
                    hint="let it pass requests with Cache-Control: no-cache to the store",
                )
            if found.name > name:
                return

    def _unknown(self, name: str, why: str) -> UnknownOutcomeError:
        return UnknownOutcomeError(
            f"it is not known whether {self._shown(name)} was stored: {why}", hint="run it again: that finds out"
        )

    def replace(self, name: str, body: bytes) -> None:
        """Store an object in place of any of that name."""
        key, kind = self._key(name), _kind_for(name, body)

        def put(client: Client) -> None:
            import obstore

            obstore.put(client, key, body, use_multipart=False)

        self._call("replace", name, kind, put)

    def delete(self, names: Iterable[str]) -> None:
        """Remove objects."""
        keys = [self._key(name) for name in names]
        for begin in range(0, len(keys), _DELETED):
            part = keys[begin : begin + _DELETED]
            try:
                self._delete(part)
            except ObjectMissingError:  # of one of them, and nothing is known of the others
                for key in part:
                    with suppress(ObjectMissingError):
                        self._delete([key])

    def _delete(self, keys: Sequence[str]) -> None:
        def delete(client: Client) -> None:
            import obstore

            obstore.delete(client, keys)

        self._call("delete", keys[0][len(self._root) :], "reading", delete)

    # -- requests ------------------------------------------------------------------------------------------------------

    def _client(self, kind: str) -> Client:
        """Return a client for a kind of requests, which is opened once."""
        found = self._clients.get(kind)
        if found is None:
            options: dict[str, Any] = {"headers": _NO_CACHE} if kind == "fresh" else {}
            if kind.isdigit():
                options = {"retries": 0, "upload": int(kind)}
            found = open_client(self._location, self._access, self._seconds, **options)
            self._clients[kind] = found
        return found

    def _call(self, verb: str, name: str, kind: str, request: Callable[[Client], _T]) -> _T:
        """Send a request, and translate its error; credentials that are refused are fetched again once."""
        from obstore.exceptions import BaseError

        for is_last in (False, True):
            try:
                return request(self._client(kind))
            except ArtfsError:
                raise
            except (FileNotFoundError, BaseError, ValueError) as error:
                if is_last or trouble(error) not in _CREDENTIALS:
                    raise self._translated(verb, name, error) from error
                self._clients.clear()
        raise AssertionError("the second try returns or raises")

    def _key(self, name: str) -> str:
        return self._root + checked_name(name)

    def _shown(self, name: str) -> str:
        return f"{self.url}/{name}".rstrip("/")

    def _described(self, name: str, meta: ObjectMeta) -> ObjectInfo:
        size = int(meta["size"])
        if not 0 <= size < 1 << 63:
            raise WrongAnswerError(f"the store says that {self._shown(name)} has {size:,} bytes, which cannot be")
        return ObjectInfo(name, size, max(0.0, meta["last_modified"].timestamp()))

    def _translated(self, verb: str, name: str, error: Exception) -> ArtfsError:
        """Return the error of this package for one of the client."""
        shown, meaning = self._shown(name), trouble(error)
        why = reason(error, words=True)
        if meaning is Trouble.MISSING and verb not in ("create", "replace", "list"):
            return ObjectMissingError(f"there is no object {shown}")
        if meaning in (Trouble.MISSING, Trouble.NO_ROOT):
            what = "container" if self._location.scheme == "az" else "bucket"
            return NoBucketError(
                f"there is no {what} {self._location.root!r} for {shown}", hint="create it with the provider's tools"
            )
        if meaning is Trouble.DENIED:
            hint = f"grant the right to {_RIGHTS[verb]}, or check the credentials"
            return NoRightError(f"the store refuses to {verb} {shown}: {why}", hint=hint)
        if meaning is Trouble.EXPIRED:
            return NoRightError(f"the credentials for {shown} have expired: {why}", hint="renew them")
        if meaning is Trouble.REGION:
            return WrongRegionError(
                f"{shown} is in another region than {self._access.region!r}: {why}",
                hint="set AWS_REGION to the bucket's region",
            )
        if meaning is Trouble.FULL:
            return StoreFullError(
                f"the store has no space for {shown}: {why}", hint="free space there, or raise its quota"
            )
        if meaning is Trouble.TIME_OUT:
            return UnreachableError(
                f"{shown} did not answer within {self._seconds:g} s", hint=f"{TIME_OUT_VARIABLE} sets how long to wait"
            )
        if meaning is Trouble.UNCONNECTED:
            hint = "check the network, and the endpoint in the environment"
            return UnreachableError(f"the server of {shown} cannot be reached: {why}", hint=hint)
        if meaning is Trouble.BUSY:
            return UnreachableError(f"the store fails to {verb} {shown}: {why}", hint="try again later")
        if meaning in (Trouble.BEYOND, Trouble.NO_RANGE):
            return WrongAnswerError(f"the store does not have the requested bytes of {shown}: {why}")
        if meaning is Trouble.INVALID_NAME:
            return InvalidInputError(f"{shown} is not a valid address of an object: {why}")
        return OutsideError(f"the store does not {verb} {shown}: {why}")


_RIGHTS: Final = {
    "read": "read objects",
    "list": "list the bucket",
    "create": "write objects",
    "replace": "write objects",
    "delete": "delete objects",
}


def _kind_for(name: str, body: bytes) -> str:
    """Return the kind of client that sends a body: the number of bytes that its time-out is meant for."""
    if len(body) > LARGEST_OBJECT:
        raise InvalidInputError(f"{name} would have {len(body):,} bytes; an object has at most {LARGEST_OBJECT:,}")
    return str(next(size for size in _UPLOADS if len(body) <= size))


def _pause(turn: int, answer: Trouble | None) -> float:
    """Return the seconds to wait before a create is sent again; at random, so that those who race part."""
    least = _RATE_PAUSE if answer is Trouble.BUSY else 0.0
    longest: float = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**turn)
    return least + random.uniform(0.5, 1.0) * longest
