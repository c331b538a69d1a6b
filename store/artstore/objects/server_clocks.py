"""The clock of a store's server, from the Date of its answers: the client of object stores does not show that header.

The request is not signed, and what it is answered does not matter.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Final

from artstore.objects.access import Access
from artstore.objects.locations import Location

__all__ = ["ServerClock", "headers_at", "server_of"]

_VALID_SECONDS: Final = 60.0


class ServerClock:
    """The clock of one server; it is asked at most once a minute, and counted on from there."""

    def __init__(self, location: Location, access: Access, seconds: float) -> None:
        self._address = f"{server_of(location, access)}/{location.root}"
        self._seconds = min(seconds, 5.0)
        self._seen: tuple[float, float] | None = None
        """(the server's time, this machine's time since it started, when the answer came)."""

    def now(self) -> float | None:
        """Return the server's time in seconds since 1970, within seconds; None if it has never told it."""
        here = _since_boot()
        if self._seen is None or here - self._seen[1] > _VALID_SECONDS:
            date = _date_at(self._address, self._seconds)
            if date is not None:
                self._seen = date, _since_boot()
        return None if self._seen is None else self._seen[0] + _since_boot() - self._seen[1]


def server_of(location: Location, access: Access) -> str:
    """Return the address of the server that has a bucket."""
    if access.endpoint:
        return access.endpoint
    if location.scheme == "s3":
        return f"https://s3.{access.region or 'us-east-1'}.amazonaws.com"
    if location.scheme == "gs":
        return "https://storage.googleapis.com"
    return f"https://{access.account}.blob.core.windows.net"


def _since_boot() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)  # it goes on while the machine sleeps


def headers_at(address: str, seconds: float) -> dict[str, str]:
    """Return the headers of a server's answer to a HEAD request for an address, whatever its status; {} if none comes.

    Their names are in lower case.
    """
    import http.client
    import urllib.error
    import urllib.request

    class NoRedirects(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_: object) -> None:
            """Answer with the redirect itself."""

    opener = urllib.request.build_opener(NoRedirects)
    request = urllib.request.Request(address, method="HEAD", headers={"Cache-Control": "no-cache"})
    with suppress(OSError, ValueError, http.client.HTTPException):
        try:
            with opener.open(request, timeout=seconds) as answer:
                found = answer.headers
        except urllib.error.HTTPError as error:
            found = error.headers
            error.close()
        return {name.lower(): value for name, value in found.items()}
    return {}


def _date_at(address: str, seconds: float) -> float | None:
    """Return the Date of a server's answer to a request for an address."""
    import email.utils

    with suppress(ValueError, KeyError):
        return email.utils.parsedate_to_datetime(headers_at(address, seconds)["date"]).timestamp()
    return None
