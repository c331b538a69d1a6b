"""Clients of object stores, and what their errors mean.

obstore is imported when a client is opened.  A client works only in the process that opened it: its threads do not
survive a fork (see `artstore.objects.delegating`).
"""

from __future__ import annotations

import os
import re
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Final

from artstore.errors import InvalidInputError
from artstore.objects.access import Access, azure_options, google_options, s3_options
from artstore.objects.locations import Location

if TYPE_CHECKING:
    from obstore.store import AzureStore, GCSStore, S3Store

__all__ = ["LONGEST_PART", "SLOWEST_UPLOAD", "Trouble", "open_client", "reason", "status_of", "time_out", "trouble"]

_SECONDS: Final = 20.0
_RETRIES: Final = 3
LONGEST_PART: Final = 32 * 1024 * 1024
"""Bytes that one request asks for, at most, where the caller can divide a request."""
_SLOWEST: Final = 16 * 1024
"""Bytes per second, on average, with which the longest part must arrive; the client has no other measure."""
SLOWEST_UPLOAD: Final = 128 * 1024
"""The same for what is sent.  The client's time-out for an answer begins with the request and not with its end, so a
body that takes longer than that to send would always fail; it has to be part of the time-out."""
_LONGEST_REASON: Final = 120
_LONGEST_WORDS: Final = 200
_STATUS: Final = re.compile(r"status code: ([0-9]{3})")
_ANSWER: Final = re.compile(r"status code: (\d{3} [A-Za-z ]+)")
_QUERY: Final = re.compile(r"(https?://[^\s?]+)\?\S*")
_CODE: Final = re.compile(r"<Code>(\w+)</Code>")
_WORDS: Final = re.compile(r"<Message>([^<]*)</Message>")
_CAUSE: Final = re.compile(r'(?:message|error): "([^"\n]+)"')
_OF_ONE: Final = re.compile(r"request failed for key .*?: (.*) \(code: (\w+)\)")
"""How the client reports the error of one object in the answer to a request to delete several, whose status is 200."""
_DENIED: Final = ("AccessDenied", "AllAccessDisabled", "AuthorizationFailure", "AuthorizationPermissionMismatch")
_OTHER_RANGE: Final = re.compile(
    r"non-partial response when range requested|Requested \d+\.\.\d+, got |parse value for CONTENT_RANGE header"
)
"""What the client says of an answer without a range, or with another one."""
_PREFIX: Final = re.compile(r"^Generic \w+ error: (?:Error performing \w+ \S+ in [^-]*- )?(?:HTTP error: )?")
_SECRET_VARIABLE: Final = re.compile(r"^(?:AWS|AZURE|GOOGLE)_.*(?:KEY|SECRET|TOKEN|PASSWORD|CONNECTION_STRING)")
_SHORTEST_SECRET: Final = 6
_NO_ROOT: Final = ("NoSuchBucket", "ContainerNotFound")
_WRONG_REGION: Final = ("AuthorizationHeaderMalformed", "PermanentRedirect", "IllegalLocationConstraintException")
_EXPIRED: Final = ("ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "InvalidToken", "RequestExpired")
_FULL: Final = re.compile(r"Quota|StorageFull|InsufficientStorage|NotEnoughSpace")


class Trouble(Enum):
    """What an error of the client means."""

    MISSING = auto()
    """There is no such object."""
    NO_ROOT = auto()
    """There is no such bucket or container."""
    EXISTS = auto()
    """The answer to a create says that the object exists, or that another request is in the way."""
    CONDITION = auto()
    """The condition of a request failed."""
    DENIED = auto()
    EXPIRED = auto()
    """The credentials were valid, and are no longer."""
    REGION = auto()
    FULL = auto()
    BUSY = auto()
    """The store asks for fewer requests, or failed (429 and 5xx, but 501: it does not know such requests)."""
    TIME_OUT = auto()
    UNCONNECTED = auto()
    INVALID_NAME = auto()
    NO_RANGE = auto()
    """The store ignores ranges, or answers others than those requested."""
    BEYOND = auto()
    """A range begins behind the object's end."""
    OTHER = auto()


def time_out(variable: str) -> float:
    """Return the seconds after which a request has failed: those of an environment variable, else 20."""
    text = os.environ.get(variable, "")
    try:
        seconds = float(text) if text else _SECONDS
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 86400:
        raise InvalidInputError(f"{variable} must be a number of seconds, not {text!r}")
    return seconds


def open_client(
    location: Location,
    access: Access,
    seconds: float,
    *,
    retries: int = _RETRIES,
    upload: int = 0,
    headers: dict[str, str] | None = None,
) -> S3Store | GCSStore | AzureStore:
    """Return obstore's client of the bucket of a location; no request is made.

    A request has failed when nothing came for ``seconds``, or when `LONGEST_PART` bytes come too slowly; one that sends
    up to ``upload`` bytes, when those were sent too slowly.  Raises `OutsideError` if credentials are missing.
    """
    import obstore.store

    client: dict[str, Any] = {
        "allow_http": True,
        "connect_timeout": f"{min(seconds, 5):f}s",
        "read_timeout": f"{seconds + upload / SLOWEST_UPLOAD:f}s",
        "timeout": f"{seconds + max(LONGEST_PART / _SLOWEST, upload / SLOWEST_UPLOAD):f}s",
    }
    if headers:
        client["default_headers"] = headers
    retry = {"max_retries": retries, "retry_timeout": _delta(seconds), "backoff": {"max_backoff": _delta(2.0)}}
    both: dict[str, Any] = {"client_options": client, "retry_config": retry}
    uri = location.shown()
    if location.scheme == "s3":
        return obstore.store.S3Store(location.root, **s3_options(uri, access), **both)
    if location.scheme == "gs":
        return obstore.store.GCSStore(location.root, **google_options(uri, access), **both)
    if location.scheme == "az":
        return obstore.store.AzureStore(location.root, **azure_options(uri, access), **both)
    raise InvalidInputError(f"{uri} is not in an object store")


def _delta(seconds: float) -> Any:
    from datetime import timedelta

    return timedelta(seconds=seconds)


def status_of(error: BaseException) -> int:
    """Return the status of the server's answer that an error of the client reports, 0 if it reports none."""
    text = str(error)
    found = _STATUS.search(text)
    if found is None and (code := _code(text)).isdigit():
        return int(code)
    return int(found[1]) if found is not None else 0


def trouble(error: BaseException) -> Trouble:
    """Return what an error of the client means; its class tells only some of it."""
    from obstore import exceptions

    text, status = str(error), status_of(error)
    code = _code(text)
    if _FULL.search(code) or status == 507:
        return Trouble.FULL
    if code in _EXPIRED:
        return Trouble.EXPIRED
    if code in _WRONG_REGION or status in (301, 307) or "incorrectly configured region" in text:
        return Trouble.REGION
    if isinstance(error, FileNotFoundError) or status == 404:
        return Trouble.NO_ROOT if code in _NO_ROOT else Trouble.MISSING
    if code in _DENIED:
        return Trouble.DENIED
    for cls, meaning in (
        (exceptions.AlreadyExistsError, Trouble.EXISTS),
        (exceptions.PreconditionError, Trouble.CONDITION),
        (exceptions.PermissionDeniedError, Trouble.DENIED),
        (exceptions.UnauthenticatedError, Trouble.DENIED),
        (exceptions.InvalidPathError, Trouble.INVALID_NAME),
        (exceptions.NotSupportedError, Trouble.NO_RANGE),
    ):
        if isinstance(error, cls):
            return meaning
    return _by_status(status) or _by_connection(text)


def _by_status(status: int) -> Trouble | None:
    if status in (401, 403):
        return Trouble.DENIED
    if status == 416:
        return Trouble.BEYOND
    if status == 429 or (status >= 500 and status != 501):
        return Trouble.BUSY
    return Trouble.OTHER if status else None


def _by_connection(text: str) -> Trouble:
    if "Wanted range starting at" in text:  # the client's own words, as the next ones
        return Trouble.BEYOND
    if _OTHER_RANGE.search(text) is not None:
        return Trouble.NO_RANGE
    if "kind: Timeout" in text or "TimedOut" in text or "timed out" in text:
        return Trouble.TIME_OUT
    return Trouble.UNCONNECTED if "kind: Connect" in text else Trouble.OTHER


def _code(text: str) -> str:
    if (found := _CODE.search(text)) is not None:
        return found[1]
    return found[2] if (found := _OF_ONE.search(text)) is not None else ""


def reason(error: BaseException, *, words: bool = False) -> str:
    """Return the reason in an error's message, on one line: the client's own words are about requests and retries.

    With ``words`` the sentence that the server wrote follows.  Queries of addresses are left out, because they may
    contain secrets, and so is what the environment has as one.
    """
    text = str(error).strip()
    if (answer := _ANSWER.search(text)) is not None:
        code = _code(text)
        said = f"{answer[1].strip()}{f' ({code})' if code else ''}"
        found = _WORDS.search(text) if words else None
        if found is not None and (sentence := " ".join(found[1].split())):
            said += f": {_shortened(sentence.rstrip('.'), _LONGEST_WORDS)}"
        return _without_secrets(said)
    if (of_one := _OF_ONE.search(text)) is not None:
        sentence = _shortened(of_one[1].rstrip("."), _LONGEST_WORDS)
        return _without_secrets(f"{of_one[2]}: {sentence}" if words else of_one[2])
    causes = _CAUSE.findall(text)
    if causes:
        return _without_secrets(str(causes[-1].rpartition(": ")[2]))
    line = _PREFIX.sub("", text.partition("\n")[0].strip())
    return _shortened(_without_secrets(line), _LONGEST_REASON)


def _without_secrets(text: str) -> str:
    text = "".join(character for character in _QUERY.sub(r"\1", text) if character.isprintable())
    for name, value in os.environ.items():
        if len(value) >= _SHORTEST_SECRET and _SECRET_VARIABLE.match(name):
            text = text.replace(value, "***")
    return text


def _shortened(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."
