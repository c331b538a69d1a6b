"""What this user allows references to lead to, besides public addresses: roots.

Another user may have recorded a reference, and it is read with the permissions and from the machine of the reader.  So
the reader decides.  A root is

    file:///FOLDER            the files at or below a path of this machine, without links in it
    http://HOST:PORT, https   a web server, or the endpoint of an object store
    10.0.0.0/8, 10.0.0.1      a network or an address

The list is ``reference-roots`` in the user's configuration, and ``$ARTFS_REFERENCE_ROOTS``, separated by white space.
Adding a reference allows its place to the user who adds it.
"""

from __future__ import annotations

import ipaddress
import os
import stat
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import quote_from_bytes, unquote_to_bytes, urlsplit

from artstore.errors import InvalidInputError, NotAllowedError, NotFoundError, RefusedError

__all__ = [
    "Root",
    "allow_file",
    "allow_root",
    "allowed_roots",
    "change_roots",
    "require_file",
    "root_of",
    "roots_file",
]

_VARIABLE: Final = "ARTFS_REFERENCE_ROOTS"
_PORTS: Final = {"http": 80, "https": 443}
_FILE: Final = "file://"
_MOST_BYTES: Final = 16 << 20
_PLAIN: Final = "/!$&'()*+,;=:@"


class Root(NamedTuple):
    """A host, in lower case and without brackets, and a port."""

    host: str
    port: int

    @property
    def uri(self) -> str:
        """The root as an entry of the list of what is allowed."""
        scheme = "https" if self.port == _PORTS["https"] else "http"
        return f"{scheme}://[{self.host}]:{self.port}" if ":" in self.host else f"{scheme}://{self.host}:{self.port}"


def root_of(uri: str) -> Root | None:
    """Return the host and port of a web address; None if it has none."""
    try:
        split = urlsplit(uri)
        port = split.port
    except ValueError:
        return None
    if split.scheme.lower() not in _PORTS or not split.hostname:
        return None
    return Root(split.hostname, _PORTS[split.scheme.lower()] if port is None else port)


# -- the list ----------------------------------------------------------------------------------------------------------


class _Listed(NamedTuple):
    """The entries of the user's file, and the paths among them."""

    stamp: tuple[object, ...]
    entries: tuple[str, ...]
    paths: frozenset[bytes]


_lock = threading.Lock()
_listed = _Listed((), (), frozenset())
_unkept: set[str] = set()
"""What this process has allowed and could not write to the user's file."""


def roots_file() -> Path:
    """Return the path of the user's list."""
    import platformdirs

    return Path(platformdirs.user_config_dir("artfs", appauthor=False)) / "reference-roots"


def allowed_roots() -> list[str]:
    """Return what this user has allowed, in the configuration and the environment."""
    return [*os.environ.get(_VARIABLE, "").split(), *_kept().entries, *sorted(_unkept)]


def _kept() -> _Listed:
    """Return the entries of the user's file, which must belong to the user or to root and be no other's to write."""
    global _listed
    file, text = roots_file(), ""
    stamp: tuple[object, ...] = ()
    with suppress(OSError):
        status = file.stat()
        stamp = (str(file), status.st_ino, status.st_mtime_ns, status.st_size, status.st_uid, status.st_mode)
    with _lock:
        if _listed.stamp == stamp:
            return _listed
    with suppress(OSError, ValueError), file.open("rb") as opened:
        status = os.fstat(opened.fileno())
        if status.st_uid in (os.geteuid(), 0) and not status.st_mode & stat.S_IWOTH:
            text = opened.read(_MOST_BYTES).decode()
    entries = tuple(dict.fromkeys(text.split()))
    kept = _Listed(stamp, entries, frozenset(filter(None, map(_path_of, entries))))
    with _lock:
        _listed = kept
    return kept


def _path_of(entry: str) -> bytes:
    """Return the path of a root of files, empty for other roots."""
    return unquote_to_bytes(entry.removeprefix(_FILE)).rstrip(b"/") or b"/" if entry.startswith(_FILE + "/") else b""


def _entry_of_path(path: bytes) -> str:
    return _FILE + quote_from_bytes(path, safe=_PLAIN)


def allow_root(uri: str) -> None:
    """Allow the host and port of a web address; for this process alone where the configuration is read-only."""
    split = urlsplit(uri)
    _allow(f"{split.scheme}://{split.netloc.rpartition('@')[2]}")


def allow_file(path: bytes) -> None:
    """Allow the file, or the files below the folder, to which a path leads now; as `allow_root` does."""
    real = os.path.realpath(path)
    if not _covers_path(real):
        _allow(_entry_of_path(real))


def _allow(entry: str) -> None:
    if entry in allowed_roots():
        return
    file = roots_file()
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with file.open("a", encoding="utf-8") as output:
            output.write(entry + "\n")
    except OSError:
        _unkept.add(entry)


def change_roots(*, add: list[str], remove: list[str]) -> list[str]:
    """Add roots to this user's list, or remove them; return those that it has then.

    A path stands for what it leads to now.  Raises `InvalidInputError` for what is no root, `NotFoundError` for a root
    that is not in the list, `RefusedError` if the list cannot be written.
    """
    entries = list(_kept().entries)
    for root in map(_entry_of, add):
        if root not in entries:
            entries.append(root)
    for text in remove:
        named = {text, _entry_of(text), _entry_of_path(os.path.abspath(os.fsencode(text)))}
        if not named & set(entries):
            raise NotFoundError(f"the root {text!r} is not in {roots_file()}", hint="artfs config reference-roots")
        entries = [entry for entry in entries if entry not in named]
    file = roots_file()
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        beside.write_text("".join(f"{entry}\n" for entry in entries), encoding="utf-8")
        beside.replace(file)
    except OSError as error:
        raise RefusedError(f"{file} cannot be written: {error.strerror}") from error
    _unkept.clear()
    return entries


def _entry_of(text: str) -> str:
    """Return the entry for a root as a person writes it: a path, a URI, an address or a network."""
    root = root_of(text)
    if root is not None:
        return root.uri
    path = _path_of(text) or (os.fsencode(text) if text.startswith("/") else b"")
    if path:
        return _entry_of_path(os.path.realpath(path))
    with suppress(ValueError):
        return str(ipaddress.ip_network(text, strict=False))
    raise InvalidInputError(
        f"{text!r} is not a root of references", hint="an absolute path, http://HOST:PORT, or a network: 10.0.0.0/8"
    )


# -- files -------------------------------------------------------------------------------------------------------------


def require_file(fd: int, shown: str) -> None:
    """Raise `NotAllowedError` unless an open file is a regular one below a root that this user allows.

    The file itself is asked where it is: a link in its path, or one that is exchanged now, leads to no other root.
    """
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        raise NotAllowedError(f"{shown} is not a file")
    real = os.fsencode(os.readlink(f"/proc/self/fd/{fd}"))
    if not _covers_path(real):
        raise NotAllowedError(
            f"{shown} is not below a folder that you allow references to lead to",
            hint="if you trust who recorded it: artfs config reference-roots add FOLDER",
        )


def _covers_path(real: bytes) -> bool:
    given = {_path_of(entry) for entry in (*os.environ.get(_VARIABLE, "").split(), *_unkept)}
    paths = _kept().paths | given
    parts = real.split(b"/")
    return any((b"/".join(parts[:count]) or b"/") in paths for count in range(len(parts), 0, -1))
