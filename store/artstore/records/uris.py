"""Secrets in URIs: the one rule by which a user part or a query is refused, and left out of what is shown.

A parameter is a secret if its name says so (``token``, ``api_key``, ``X-Amz-Signature``), or if its value looks like
one: a well-known prefix of tokens, or a long run of characters that is no word, number, date, checksum or UUID.  A
name that means a version or a checksum exempts its value from the last pattern.  The rule holds for every scheme, for
fragments, and for URIs within values.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final
from urllib.parse import unquote, unquote_plus

__all__ = ["has_user_part", "secret_parameter", "shown_arguments", "shown_uri"]

_HIDDEN: Final = "***"
_AUTHORITY: Final = re.compile(r"(?<=://)[^/?#]*")
_PORT: Final = re.compile(r"\[[^\]]*\](:\d*)?|[^:]*(:\d*)?")
_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_NAMES: Final = frozenset(
    {
        *("password", "passwd", "passphrase", "passcode", "pass", "pwd", "pw", "secret", "token", "jwt", "bearer"),
        *("auth", "authorization", "authentication", "credential", "credentials", "cred", "creds", "signature", "sig"),
        *("sas", "hmac", "psk", "otp", "cookie", "session", "sessionid", "sessid", "sid", "ticket"),
    }
)
"""Words that make a name that of a secret."""
_KEYS: Final = (
    *("api", "app", "access", "account", "auth", "client", "encryption", "function", "functions", "license", "master"),
    *("private", "secret", "security", "service", "shared", "signing", "storage", "subscription", "user", "write"),
)
"""Words that make ``..._key`` the name of a secret; there are also sort keys, primary keys and keys of objects."""
_ENDINGS: Final = (
    *("password", "passwd", "passphrase", "secret", "token", "credential", "signature", "sessionid", "sessid"),
    *(f"{word}key" for word in _KEYS),
    *(f"{word}keyid" for word in _KEYS),
)
"""Ends of names that are written without separators."""
_EXEMPT: Final = frozenset(
    {
        *("v", "ver", "version", "versionid", "generation", "metageneration", "snapshot", "revision", "rev", "commit"),
        *("ref", "sha", "tree", "etag", "checksum", "digest", "hash", "integrity", "md5", "sha1", "sha224", "sha256"),
        *("sha384", "sha512", "blake2b", "blake2s", "blake3", "crc32", "crc32c", "crc64", "crc64nvme", "xxh64", "xxh3"),
    }
)
"""Names of versions and checksums, without separators; their values are as random as secrets."""
_TOKEN: Final = re.compile(
    r"(?:A[KS]IA[0-9A-Z]{12,}|AIza[\w-]{20,}|gh[a-z]_\w{10,}|github_pat_\w+|gl[a-z]{2,5}-[\w-]{10,}|xox[a-z]-[\w-]+"
    r"|hf_\w{10,}|sk[-_][\w-]{10,}|[rsp]k_(?:live|test)_\w+|npm_\w{10,}|pypi-[\w-]{10,}|dckr_pat_[\w-]+|ya29\.[\w.-]+"
    r"|eyJ[\w-]{8,}\.[\w.-]*|(?:Bearer|Basic|Token)\s+\S+|-----BEGIN\b.*)",
    re.DOTALL,
)
_CHECKSUM: Final = re.compile(
    r"(?:[a-z0-9]+[:-])?(?:[0-9a-f]{8}|[0-9a-f]{16}|[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{48}|[0-9a-f]{56}|[0-9a-f]{64}"
    r"|[0-9a-f]{96}|[0-9a-f]{128})",
    re.IGNORECASE,
)
_LABELLED: Final = re.compile(r"(?:md5|sha\d+|blake\w+|crc\w+|xxh\w+)[:-][\w+/=-]+", re.IGNORECASE)
_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_RUN: Final = re.compile(r"[A-Za-z0-9]+")
_PIECE: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|\d+")
_LONG: Final = 15
_LONG_JOINED: Final = 22
_LONGEST_WORD: Final = 40
_PIECES: Final = 0.34
"""Words and numbers per character, at most, in names of files; random text mostly has more."""
_DEEPEST: Final = 3


def has_user_part(uri: str) -> bool:
    """Return whether a URI has a user name or a password before its host."""
    match = _AUTHORITY.search(uri)
    return match is not None and ("@" in unquote(match[0]) or _PORT.fullmatch(match[0]) is None)


def secret_parameter(uri: str) -> str | None:
    """Return the name of the first parameter of a URI that holds what looks like a secret; None if there is none.

    A parameter without a name is ``"?"``.
    """
    for _, parameters in _parts(uri):
        for text in parameters:
            if _is_secret_parameter(text, 0):
                name, separator, _ = text.partition("=")
                return unquote_plus(name) if separator and not _looks_random(unquote_plus(name)) else "?"
    return None


def shown_uri(uri: str) -> str:
    """Return a URI as messages and lists show it: without a user part, and without the values of secrets."""
    match = _AUTHORITY.search(uri)
    if match is not None and has_user_part(uri):
        # A password with a slash ends what looks like the authority: up to the last "@" all may be part of it.
        at = match[0].rfind("@") + match.start() if "@" in match[0] else uri.rfind("@")
        uri = uri[: match.start()] + _HIDDEN + (uri[at:] if at >= 0 else uri[match.end() :])
    head = re.split("[?#]", uri, maxsplit=1)[0]
    return head + "".join(mark + _redacted(parameters) for mark, parameters in _parts(uri))


def shown_arguments(arguments: Sequence[str]) -> list[str]:
    """Return the arguments of a command line without what looks like a secret.

    That is the value of ``--token=VALUE``, ``--token VALUE``, ``token=VALUE`` and ``token: VALUE``, the value of such a
    key in JSON, and a value that looks like a secret itself.
    """
    shown: list[str] = []
    is_secret = False
    for argument in arguments:
        option = argument.startswith("-")
        if is_secret and not (option and _is_secret_name(argument)):
            shown.append(_HIDDEN)
            is_secret = False
            continue
        shown.append(_shown_argument(argument))
        is_secret = option and "=" not in argument and _is_secret_name(argument)
    return shown


def _shown_argument(argument: str) -> str:
    if argument.lstrip().startswith(("{", "[")):
        try:
            return json.dumps(_shown_json(json.loads(argument)), ensure_ascii=False)
        except (ValueError, RecursionError):
            return _HIDDEN  # whatever it is, its parts are not known
    name, separator, value = argument.partition("=")
    inner = value.lstrip()
    if separator and inner.startswith(("{", "[")) and not _is_secret_name(name):
        return f"{name}={_shown_argument(inner)}"
    if "://" in argument:
        address = value if separator and "://" in value and "://" not in name else argument
        head = argument[: len(argument) - len(address)]
        return f"{head}{_HIDDEN}" if head and _is_secret_name(head) else head + shown_uri(address)
    if _is_secret_parameter(argument, 0):
        return _hidden(argument)
    header, colon, value = argument.partition(":")
    if colon and value.strip() and (_is_secret_name(header) or _is_secret_value(value.strip(), 0)):
        return f"{header}:{_HIDDEN}"
    return argument


def _shown_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _HIDDEN if each and _is_secret_name(key) else _shown_json(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_shown_json(each) for each in value]
    return _shown_argument(value) if isinstance(value, str) and value else value


def _parts(uri: str) -> Iterator[tuple[str, list[str]]]:
    """Yield (mark, parameters and separators) of the query and the fragment."""
    for part in re.findall(r"[?#][^?#]*", uri):
        yield part[0], re.split("([&;])", part[1:])


def _redacted(parameters: list[str]) -> str:
    return "".join(_hidden(text) if _is_secret_parameter(text, 0) else text for text in parameters)


def _hidden(text: str) -> str:
    name, separator, _ = text.partition("=")
    return f"{name}={_HIDDEN}" if separator and not _looks_random(unquote_plus(name)) else _HIDDEN


def _is_secret_parameter(text: str, depth: int) -> bool:
    name, separator, value = (unquote_plus(part) for part in text.partition("="))
    if not separator:
        return _is_secret_value(name, depth)
    if value and _is_secret_name(name):
        return True
    if _joined(name) in _EXEMPT:
        return _TOKEN.match(value) is not None
    return _looks_random(name) or _is_secret_value(value, depth)


def _is_secret_name(name: str) -> bool:
    words = [word.lower() for word in _WORD.findall(name) if not word.isdigit()]
    joined = "".join(words)
    if joined == "key" or not _NAMES.isdisjoint(words):
        return True
    return joined.removesuffix("s").endswith(_ENDINGS)


def _joined(name: str) -> str:
    return "".join(_RUN.findall(name)).lower()


def _is_secret_value(value: str, depth: int) -> bool:
    if depth < _DEEPEST and has_user_part(value):
        return True
    if depth < _DEEPEST and "=" in value.rstrip("="):
        inner = value.partition("?")[2] if "://" in value else value
        return any(_is_secret_parameter(text, depth + 1) for text in re.split("[&;~,|?]", inner))
    return _TOKEN.match(value) is not None or _looks_random(value)


def _looks_random(value: str) -> bool:
    """Return whether a text is no sequence of words and numbers, and neither a checksum nor a UUID."""
    if _CHECKSUM.fullmatch(value) or _LABELLED.fullmatch(value) or _UUID.fullmatch(value):
        return False
    runs = [run for run in _RUN.findall(value) if run.isdigit() or not _CHECKSUM.fullmatch(run)]
    joined = "".join(runs)
    return any(map(_is_random_run, runs)) or (len(joined) >= _LONG_JOINED and _is_random_run(joined))


def _is_random_run(run: str) -> bool:
    """Return whether letters and digits change too often, or too rarely, for words and numbers."""
    if len(run) < _LONG or run.isdigit():
        return False
    pieces = _PIECE.findall(run)
    return len(pieces) > len(run) * _PIECES or (len(pieces) == 1 and len(run) > _LONGEST_WORD)
