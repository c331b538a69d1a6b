"""The location of an external file: URIs in the form that users write.

    s3://BUCKET/KEY[?versionId=V]                     S3, and services with its protocol
    gs://BUCKET/KEY[#GENERATION]                      Google Cloud Storage
    az://CONTAINER/KEY, azure://CONTAINER/KEY         Azure Blob Storage; the account is the environment's
    https://ACCOUNT.blob.core.windows.net/CONTAINER/KEY
    http://HOST/PATH, https://HOST/PATH               one file
    file:///PATH, /PATH                               a file or folder of this machine

Keys are literal in the URIs of object stores, and percent-encoded in those of files and the web.
"""

from __future__ import annotations

import os
import re
from typing import Final, NamedTuple
from urllib.parse import quote, unquote, unquote_to_bytes, urlsplit

from artstore.errors import InvalidInputError
from artstore.records.uris import has_user_part, secret_parameter, shown_uri

__all__ = ["SCHEMES", "Location", "file_uri", "is_outside", "parse_location"]

SCHEMES: Final = ("s3://", "gs://", "az://", "azure://", "http://", "https://", "file://")
_BLOB_HOST: Final = ".blob.core.windows.net"
_VERSION: Final = re.compile(r"\?versionId=([^&#]+)$")
_GENERATION: Final = re.compile(r"#([0-9]+)$")
_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f]")


class Location(NamedTuple):
    """An external file or folder: ``root`` is the bucket, the container, or scheme and host; "" for files.

    ``key`` is relative to it, without a leading slash; for files it is the whole path.  ``version`` is the version
    that the URI names.
    """

    scheme: str
    root: str
    key: str
    account: str | None = None
    version: str | None = None

    def uri(self, key: str | None = None) -> str:
        """Return the URI of this location, or of another key in the same root."""
        key = self.key if key is None else key
        if self.scheme == "file":
            return file_uri(os.fsencode(key))
        return f"{self.root}/{key}" if self.scheme.startswith("http") else f"{self.scheme}://{self.root}/{key}"

    def shown(self, key: str | None = None) -> str:
        """Return the same as messages show it: without secrets."""
        return self.uri(key) if self.scheme == "file" else shown_uri(self.uri(key))


def is_outside(text: str) -> bool:
    """Return whether a text names an external file: by a supported scheme, or as an absolute path."""
    return text.lower().startswith(SCHEMES) or text.startswith("/")


def file_uri(path: bytes) -> str:
    """Return the URI of an absolute path."""
    return "file://" + quote(path)


def parse_location(text: str, *, allow_query: bool = True) -> Location:
    """Return the location that a URI or absolute path names; raise `InvalidInputError` if it names none.

    A URI with a user part is refused, and without ``allow_query`` one with what looks like a secret in its query.
    """
    if _CONTROLS.search(text):
        raise InvalidInputError(f"{shown_uri(text)!r} is not a URI: it contains a control character")
    if text.startswith("/"):
        return Location("file", "", os.path.normpath(text) + ("/" if text.endswith("/") and text.strip("/") else ""))
    scheme, separator, rest = text.partition("://")
    scheme = scheme.lower()
    if not separator or f"{scheme}://" not in SCHEMES:
        raise InvalidInputError(
            f"{shown_uri(text)!r} is not a supported URI or an absolute path",
            hint="s3://, gs://, az://, https://, file://, an absolute path, or artfs://NAME:v3",
        )
    if scheme == "file":
        return _file(text, rest)
    _refuse_secrets(text, allow_query)
    if scheme in ("http", "https"):
        return _web(text)
    return _bucket(text, "az" if scheme == "azure" else scheme, rest)


def _refuse_secrets(text: str, allow_query: bool) -> None:
    host = shown_uri(text).partition("://")[2].partition("/")[0].partition("?")[0].rpartition("@")[2]
    if has_user_part(text):
        raise InvalidInputError(
            f"the address at {host} contains a password; references must not contain secrets",
            hint="remove it, and set credentials in the environment",
        )
    secret = None if allow_query else secret_parameter(text)
    if secret is not None:
        raise InvalidInputError(
            f"the address at {host} contains a secret ({secret}); references must not contain secrets",
            hint="use credentials from the environment; or keep the query in the version with --allow-query",
        )


def _file(text: str, rest: str) -> Location:
    host, _, path = rest.partition("/")
    if host not in ("", "localhost"):
        raise InvalidInputError(
            f"{shown_uri(text)!r} is on another machine", hint="mount it here, and write file:///PATH"
        )
    return parse_location("/" + os.fsdecode(unquote_to_bytes(path)))


def _bucket(text: str, scheme: str, rest: str) -> Location:
    version = None
    pattern = {"s3": _VERSION, "gs": _GENERATION}.get(scheme)
    if pattern is not None and (match := pattern.search(rest)) is not None:
        version, rest = match[1], rest[: match.start()]
    root, _, key = rest.partition("/")
    if not root:
        raise InvalidInputError(f"{shown_uri(text)!r} names no bucket", hint=f"write {scheme}://BUCKET/KEY")
    return Location(scheme, root, _checked_key(text, key), version=version)


def _web(text: str) -> Location:
    split = urlsplit(text)
    if not split.hostname:
        raise InvalidInputError(f"{shown_uri(text)!r} names no host")
    if split.hostname.endswith(_BLOB_HOST):
        container, _, key = unquote(split.path).strip("/").partition("/")
        if not container:
            raise InvalidInputError(f"{shown_uri(text)!r} names no container")
        if key and split.path.endswith("/"):
            key += "/"
        return Location("az", container, _checked_key(text, key), split.hostname.removesuffix(_BLOB_HOST))
    path = split.path.lstrip("/")
    if split.query:
        path += f"?{split.query}"
    return Location(split.scheme, f"{split.scheme}://{split.netloc}", path)


def _checked_key(text: str, key: str) -> str:
    """Return a key; raise `InvalidInputError` for one that the client cannot request."""
    if any(part in ("", ".", "..") for part in key.rstrip("/").split("/")) and key:
        raise InvalidInputError(
            f"the key in {shown_uri(text)!r} is not a valid path: it has an empty, '.' or '..' component"
        )
    return key
