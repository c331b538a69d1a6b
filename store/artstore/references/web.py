"""Files of web servers: one HTTP client that checks every address before it connects, and how fast data comes.

The client is urllib3.  Redirects are followed here, one by one, so that each is checked like the first address.  What
is waited for counts: in each period of the time-out, a server must send `_SLOWEST` bytes for each second, headers
included, or the request fails.  Behind a proxy the proxy resolves names: a name is then checked here only if it can be
resolved here.
"""

from __future__ import annotations

import email.utils
import io
import re
import socket
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, NoReturn
from urllib.parse import urljoin, urlsplit

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError
from urllib3.response import BaseHTTPResponse

from artstore.errors import ArtfsError, ChangedError, InvalidInputError, NotFoundError, OutsideError
from artstore.ids import Buffer
from artstore.objects.locations import Location
from artstore.records.references import ReferenceRecord
from artstore.records.uris import shown_uri
from artstore.references.addresses import PrivateAddressError, Reach
from artstore.references.roots import root_of
from artstore.references.services import DeniedError, Found, NoRangesError, bare_etag, checked_size, seconds_to_wait

__all__ = ["Web"]

_SLOWEST: Final = 1024
"""Bytes that a server must send in each second, on average over the time-out."""
_REDIRECTS: Final = 10
_RETRIES: Final = 3
_PIECE: Final = 4 * 1024 * 1024
_BUFFER: Final = 16 * 1024
_CONNECT_SECONDS: Final = 5.0
_REDIRECTED: Final = frozenset({301, 302, 303, 307, 308})
_RETRIED: Final = frozenset({408, 429, 500, 502, 503, 504})
_NUMBER: Final = re.compile(r"\d{1,20}")
_RANGE: Final = re.compile(r"bytes (\d{1,20})-(\d{1,20})/(\d{1,20})")
_HEADERS: Final = {"Accept-Encoding": "identity", "User-Agent": "artfs"}


class _SlowError(TimeoutError):
    """Raised when a server sends too little for the time that it took."""


class _Gauge(io.RawIOBase):
    """What a socket receives, as a response reads it; raises `_SlowError` if too little comes for too long."""

    def __init__(self, sock: socket.socket, seconds: float) -> None:
        self._sock = sock
        self._raw: Any = sock.makefile("rb", buffering=0)
        self._seconds = seconds
        self._timeout = 0.0
        self._waited = 0.0
        self._received = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = max(self._seconds - self._waited, 0.001)
        if abs(left - self._timeout) > self._seconds / 20:  # each change is a system call
            self._sock.settimeout(left)
            self._timeout = left
        began = time.monotonic()
        try:
            count: int = self._raw.readinto(buffer) or 0
        except TimeoutError as error:
            raise _SlowError from error
        self._waited += time.monotonic() - began
        self._received += count
        if self._received >= self._seconds * _SLOWEST:
            self._waited, self._received = 0.0, 0
        elif self._waited >= self._seconds and count:
            raise _SlowError
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _GaugedSocket:
    """A connected socket whose responses are read through a gauge."""

    def __init__(self, sock: socket.socket, seconds: float) -> None:
        self._sock = sock
        self._seconds = seconds

    def makefile(self, *_: object, **__: object) -> io.BufferedReader:
        return io.BufferedReader(_Gauge(self._sock, self._seconds), _BUFFER)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


def _connected(reach: Reach, host: str, port: int, timeout: Any) -> socket.socket:
    """Return a socket that is connected to a permitted address of a host."""
    failure: OSError = OSError(f"{host} has no address")
    for family, kind, address in reach.addresses(host, port):
        sock = socket.socket(family, kind)
        try:
            if isinstance(timeout, int | float):
                sock.settimeout(timeout)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.connect(address)
            return sock
        except OSError as error:
            sock.close()
            failure = error
        except BaseException:
            sock.close()
            raise
    raise failure


def _pools(reach: Reach, seconds: float) -> dict[str, type[HTTPConnectionPool]]:
    """Return pools whose connections go to permitted addresses only."""

    class Plain(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return _connected(reach, self._dns_host, self.port, self.timeout)

        def connect(self) -> None:
            super().connect()
            self.sock = _GaugedSocket(self.sock, seconds)

    class Secure(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return _connected(reach, self._dns_host, self.port, self.timeout)

        def connect(self) -> None:
            super().connect()
            self.sock = _GaugedSocket(self.sock, seconds)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}


class Web:
    """A web server; see `artstore.references.services.Service`."""

    def __init__(self, location: Location, reach: Reach | None = None) -> None:
        """Without ``reach``, requests go where this user's settings allow it."""
        self._location = location
        self._seconds = seconds_to_wait()
        self._reach = reach or Reach(location.uri())
        self._direct = urllib3.PoolManager(maxsize=16)
        self._direct.pool_classes_by_scheme = _pools(self._reach, self._seconds)
        self._proxies: dict[str, urllib3.ProxyManager] = {}

    # -- the service -----------------------------------------------------------------------------------------------

    def head(self, key: str, version: str | None = None) -> Found:
        """Describe one file; raise `NotFoundError` if there is none, `OutsideError` if that cannot be determined."""
        shown = self._location.shown(key)
        with _translated(shown):
            response = self._ask("HEAD", key, {}, wanted=(200, 400, 404, 405, 501))
            if response.status != 200 or _length(shown, response) is None:
                response = self._ask("GET", key, {"Range": "bytes=0-0"}, wanted=(200, 206, 416))
                if response.status == 416:
                    response = self._ask("GET", key, {}, wanted=(200,))
            size = _whole_size(shown, response)
            if size is None:
                raise OutsideError(f"the server of {shown} does not say how many bytes it has")
            return Found(key, size, response.headers.get("ETag"), None, _modified_ns(response))

    def listed(self, prefix: str) -> Iterator[Found]:
        """Raise `InvalidInputError`: web servers have no listings."""
        raise InvalidInputError(
            f"{self._location.shown(prefix)} is a folder, which cannot be listed over HTTP",
            hint="add its files one by one",
        )

    def check(self, key: str, record: ReferenceRecord) -> None:
        """Raise `ChangedError` if the pinned file is gone or replaced, `OutsideError` if that is unknown."""
        with _translated(record.shown, pinned=True):
            response = self._ask("HEAD", key, _condition(record), wanted=(200, 405, 501))
            if response.status != 200 or _length(record.shown, response) is None:
                headers = {"Range": "bytes=0-0", **_condition(record)}
                response = self._ask("GET", key, headers, wanted=(200, 206, 416))
                if response.status == 416:
                    response = self._ask("GET", key, _condition(record), wanted=(200,))
            _compare(record, response)

    def pieces(self, key: str, record: ReferenceRecord, part: tuple[int, int] | None = None) -> Iterator[Buffer]:
        """Yield all bytes that a record pins, as far as the server can tell, or the range ``part`` (from, to)."""
        with _translated(record.shown, pinned=bool(part or record.etag)):
            headers = _condition(record)
            if part is not None:
                headers["Range"] = f"bytes={part[0]}-{part[1] - 1}"
            response = self._ask("GET", key, headers, wanted=(200,) if part is None else (200, 206, 416), keep=True)
            try:
                left = self._checked_part(record, response, part)
                while piece := response.read(_PIECE):
                    left -= len(piece)
                    if left < 0:
                        break
                    yield memoryview(piece)
                if left and part is not None:
                    raise OutsideError(
                        f"the server of {record.shown} returned a different number of bytes than requested"
                    )
            finally:
                _leave(response)

    def _checked_part(self, record: ReferenceRecord, response: BaseHTTPResponse, part: tuple[int, int] | None) -> int:
        """Compare a response with the pin and the range; return the number of bytes that are to come, at most."""
        if response.status == 416:
            raise ChangedError(f"{record.shown} has changed since it was logged: it is shorter now")
        if part is None:
            if record.etag is not None:
                _compare(record, response)
            return record.size if record.etag is not None or record.blake3 is not None else 1 << 63
        if response.status == 200:
            raise NoRangesError(f"the server of {record.shown} does not support ranges")
        _compare(record, response)
        match = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if match is None or (int(match[1]), int(match[2]) + 1) != part:
            raise OutsideError(f"the server of {record.shown} returned another range than requested")
        return part[1] - part[0]

    # -- requests --------------------------------------------------------------------------------------------------

    def _ask(
        self, method: str, key: str, headers: dict[str, str], *, wanted: tuple[int, ...], keep: bool = False
    ) -> BaseHTTPResponse:
        """Send a request, and again if the server fails; return a response with a wanted status.

        With ``keep`` its body is still to be read.
        """
        url = self._location.uri(key)
        began, attempt, handled = time.monotonic(), 0, sys.exception()
        while True:
            is_last = attempt == _RETRIES or time.monotonic() - began > self._seconds
            response = None
            try:
                response = self._follow(method, url, {**_HEADERS, **headers})
            except (HTTPError, OSError) as error:
                if is_last or _artfs_error(error, handled) is not None or _is_slow(error, handled):
                    raise
            if response is not None:
                if response.status in wanted and keep:
                    return response
                _leave(response, method == "HEAD")
                if response.status in wanted:
                    return response
                if response.status not in _RETRIED or is_last:
                    _refuse_status(self._location.shown(key), response.status)
            time.sleep(min(0.1 * 2**attempt, 2.0))
            attempt += 1

    def _follow(self, method: str, url: str, headers: dict[str, str]) -> BaseHTTPResponse:
        for _ in range(_REDIRECTS):
            response = self._send(method, url, headers)
            target = response.headers.get("Location")
            if response.status not in _REDIRECTED or target is None:
                return response
            _leave(response, method == "HEAD")
            before, url = url, urljoin(url, target)
            if root_of(url) is None or (urlsplit(before).scheme == "https" and urlsplit(url).scheme != "https"):
                raise OutsideError(f"{shown_uri(before)} redirects to {shown_uri(url)!r}, which is not followed")
        raise OutsideError(f"{shown_uri(url)} redirects more than {_REDIRECTS} times")

    def _send(self, method: str, url: str, headers: dict[str, str]) -> BaseHTTPResponse:
        manager, timeout = self._manager(url), urllib3.Timeout(min(self._seconds, _CONNECT_SECONDS), self._seconds)
        return manager.urlopen(
            method,
            url.partition("#")[0],
            headers=headers,
            redirect=False,
            retries=False,
            preload_content=False,
            decode_content=False,
            timeout=timeout,
        )

    def _manager(self, url: str) -> urllib3.PoolManager:
        """Return the pools for a URL: direct, or those of the proxy that the environment names for it."""
        root = root_of(url)
        assert root is not None  # parsed before
        proxies = urllib.request.getproxies_environment()
        proxy = proxies.get(urlsplit(url).scheme) or proxies.get("all")
        if not proxy or urllib.request.proxy_bypass(root.host):
            return self._direct
        try:
            self._reach.addresses(root.host, root.port)
        except PrivateAddressError:
            raise
        except OSError:
            pass  # the proxy may know the name
        proxy = proxy if "://" in proxy else f"http://{proxy}"
        if proxy not in self._proxies:
            manager = self._proxies[proxy] = urllib3.ProxyManager(proxy, maxsize=16)
            manager.pool_classes_by_scheme = _pools(Reach(proxy, allow_private=True), self._seconds)
        return self._proxies[proxy]


def _leave(response: BaseHTTPResponse, is_head: bool = False) -> None:
    """Give a connection back if its response has been read; close it otherwise."""
    length = response.headers.get("Content-Length", "")
    if is_head or response.status in (204, 304) or (len(length) < 6 and length.isdecimal()):
        response.drain_conn()
    else:
        response.close()
    response.release_conn()


def _condition(record: ReferenceRecord) -> dict[str, str]:
    is_strong = record.etag is not None and not record.etag.startswith("W/")  # If-Match takes strong ones only
    return {"If-Match": record.etag} if is_strong and record.etag is not None else {}


def _compare(record: ReferenceRecord, response: BaseHTTPResponse) -> None:
    """Raise `ChangedError` if a response is about another content: some servers ignore conditions."""
    etag, size = response.headers.get("ETag"), _whole_size(record.shown, response)
    is_same = bare_etag(etag) == bare_etag(record.etag) if record.etag and etag else not record.etag
    if not is_same or (size is not None and size != record.size):
        raise ChangedError(
            f"{record.shown} has changed since it was logged: it has {size} bytes and ETag "
            f"{etag}, before {record.size} bytes and {record.etag}",
            hint="log it again to pin its current content",
        )


def _length(shown: str, response: BaseHTTPResponse) -> int | None:
    text = response.headers.get("Content-Length", "").strip()
    return checked_size(shown, int(text)) if _NUMBER.fullmatch(text) else None


def _whole_size(shown: str, response: BaseHTTPResponse) -> int | None:
    """Return the size of the whole file, if a response has it."""
    if response.status != 206:
        return _length(shown, response)
    match = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if match is None or _length(shown, response) != int(match[2]) + 1 - int(match[1]):
        return None
    return checked_size(shown, int(match[3]))


def _modified_ns(response: BaseHTTPResponse) -> int | None:
    try:
        seconds = int(email.utils.parsedate_to_datetime(response.headers.get("Last-Modified", "")).timestamp())
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return seconds * 1_000_000_000 if seconds > 0 else None


def _refuse_status(shown: str, status: int) -> NoReturn:
    if status in (404, 410):
        raise FileNotFoundError
    if status in (401, 403):
        raise DeniedError(
            f"the server of {shown} refuses access (status {status})", hint="only public files can be read"
        )
    if status == 412:
        raise ChangedError(f"{shown} has changed since it was logged", hint="log it again to pin its current content")
    raise OutsideError(f"{shown} cannot be read: the server answers with status {status}")


def _chain(error: BaseException, handled: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and its causes, up to the one that a caller was handling already: that is not a cause."""
    cause: BaseException | None = error
    while cause is not None and cause is not handled:
        yield cause
        cause = cause.__cause__ or cause.__context__


def _is_slow(error: BaseException, handled: BaseException | None) -> bool:
    return any(isinstance(cause, _SlowError | urllib3.exceptions.ReadTimeoutError) for cause in _chain(error, handled))


@contextmanager
def _translated(shown: str, *, pinned: bool = False) -> Iterator[None]:
    """Translate the client's errors, in one sentence each; ``pinned`` means that the file existed before."""
    handled = sys.exception()
    try:
        yield
    except ArtfsError:
        raise
    except FileNotFoundError as error:
        if pinned:
            raise ChangedError(f"{shown} has been removed since it was logged") from error
        raise NotFoundError(f"there is nothing at {shown}", hint="check the address") from error
    except (HTTPError, OSError, ValueError) as error:
        cause = _artfs_error(error, handled)
        if cause is not None:
            raise cause from error
        if _is_slow(error, handled) or isinstance(error, TimeoutError | urllib3.exceptions.TimeoutError):
            raise OutsideError(
                f"{shown} did not answer within {seconds_to_wait():g} s, or sent less than {_SLOWEST:,} "
                "bytes per second",
                hint="ARTFS_REFERENCE_TIMEOUT sets how long to wait",
            ) from error
        reason = _reason(error, handled)
        if isinstance(error, urllib3.exceptions.NewConnectionError | ConnectionError | socket.gaierror):
            raise OutsideError(f"the server of {shown} cannot be reached: {reason}") from error
        raise OutsideError(f"{shown} cannot be read: {reason}") from error


def _artfs_error(error: BaseException, handled: BaseException | None) -> ArtfsError | None:
    return next((cause for cause in _chain(error, handled) if isinstance(cause, ArtfsError)), None)


def _reason(error: BaseException, handled: BaseException | None) -> str:
    """Return the innermost cause in a few words; the client's own messages hold addresses."""
    *_, error = _chain(error, handled)
    text = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
    return text if len(text) < 100 else type(error).__name__
