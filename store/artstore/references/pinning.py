"""Pinning: recording the objects that a URI currently names, so that a version can refer to them.

A location that ends with a slash, or that names no object, is a folder: it stands for all objects below it, however
many.  Empty objects are files like others, except folder markers: consoles of object stores create them, with a slash
at the end of their keys.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Final, TypedDict, TypeVar, Unpack
from urllib.parse import unquote

from artstore.errors import InvalidInputError, NotFoundError, OutsideError, SourceError
from artstore.ids import ContentHasher
from artstore.objects.access import Access, access_of
from artstore.objects.locations import Location, parse_location
from artstore.records.references import ReferenceRecord
from artstore.records.trees import is_entry_name
from artstore.references.addresses import Reach
from artstore.references.delegating import open_service
from artstore.references.local import pin_file
from artstore.references.roots import allow_file, allow_root
from artstore.references.services import Found, Service

__all__ = ["OnPinned", "PinOptions", "Pinned", "pin"]

OnPinned = Callable[[int, int, str], None]
"""Is called now and then with (files found, their bytes, the last one's name)."""


class PinOptions(TypedDict, total=False):
    """How files outside are found and pinned.

    ``anonymous``: without credentials.  ``checksum``: pin files of this machine by their content and not by their
    times, which is the default; files of web servers that send no ETag can be pinned only so.  ``allow_query``: take
    a URI that has a secret in its query, which is then part of the reference.  ``allow_private``: take addresses that
    are not public, of this machine or a private network, and let this user read references there from now on.
    ``report`` is called now and then.
    """

    anonymous: bool
    checksum: bool
    allow_query: bool
    allow_private: bool
    report: OnPinned | None


T = TypeVar("T")
R = TypeVar("R")

_AT_ONCE: Final = 16
_SLASH: Final = "/"
_LONGEST_SHOWN: Final = 300
"""Characters of a key that messages show, at most."""


@dataclass(slots=True)
class Pinned:
    """The objects that a URI names: files by their paths below it, and empty folders.

    ``name`` is the default name.  A single file has the empty path.  ``modified_ns`` has the times at which files were
    last modified, by path, as far as their service gives them.
    """

    name: bytes
    files: list[tuple[bytes, ReferenceRecord]] = field(default_factory=list)
    modified_ns: dict[bytes, int] = field(default_factory=dict)
    folders: list[bytes] = field(default_factory=list)

    @property
    def is_single(self) -> bool:
        """Whether it is one file, not a folder."""
        return len(self.files) == 1 and not self.files[0][0]

    @property
    def bytes(self) -> int:
        """Bytes of all files."""
        return sum(record.size for _, record in self.files)


def pin(uri: str, **options: Unpack[PinOptions]) -> Pinned:
    """Return the files that a URI or an absolute path names now.

    Raises `InvalidInputError` if it is no URI, holds a secret or invalid paths, `NotFoundError` if nothing exists
    there, `OutsideError` if that cannot be determined.
    """
    location = parse_location(uri, allow_query=options.get("allow_query", False))
    report_pinned = options.get("report") or (lambda files, size, name: None)
    checksum = options.get("checksum", True)
    if location.scheme == "file":
        return _files(location, checksum, report_pinned)
    access = access_of(location, anonymous=options.get("anonymous", False))
    make = partial(_record, location, access)
    if location.scheme.startswith("http"):
        reach = Reach(location.uri(), allow_private=options.get("allow_private", False))
        pinned = _web(location, open_service(location, access, reach), checksum, make)
        for root in sorted(reach.used):  # so that this user can read what was pinned
            allow_root(root.uri)
        return pinned
    service = open_service(location, access)
    if access.endpoint is not None:
        allow_root(access.endpoint)
    if location.key and not location.key.endswith(_SLASH):
        with suppress(NotFoundError):
            described = service.head(location.key, location.version)
            report_pinned(1, described.size, described.key)
            name = os.fsencode(described.key.rpartition(_SLASH)[2])
            return _single(name, make(described), described.modified_ns)
    if location.version is not None:
        raise NotFoundError(f"there is nothing at {location.shown()}", hint="check the name")
    return _below(location, service, make, report_pinned)


def _single(name: bytes, record: ReferenceRecord, modified_ns: int | None) -> Pinned:
    return Pinned(name, [(b"", record)], {} if modified_ns is None else {b"": modified_ns})


def _record(location: Location, access: Access, described: Found) -> ReferenceRecord:
    uri = location._replace(version=None).uri(described.key)
    return ReferenceRecord(uri, described.size, described.etag, described.version, None, *access)


# -- object stores -----------------------------------------------------------------------------------------------------


def _below(
    location: Location, service: Service, make: Callable[[Found], ReferenceRecord], report_pinned: OnPinned
) -> Pinned:
    prefix = location.key.rstrip(_SLASH)
    pinned = Pinned(os.fsencode(prefix.rpartition(_SLASH)[2] or location.root))
    by_path: dict[bytes, Found] = {}
    size = 0
    for described in service.listed(prefix):
        path = os.fsencode(described.key[len(prefix) :].strip(_SLASH))
        if not path:  # the marker of the folder itself
            continue
        if path in by_path:
            raise OutsideError(
                f"the listing of {location.shown()} names {described.key!r} twice",
                hint="the service does not keep to its protocol",
            )
        by_path[_checked(location, described.key, path)] = described
        size += described.size
        report_pinned(len(by_path), size, described.key)
    if not by_path:
        raise NotFoundError(f"there is nothing at {location.shown()}", hint="check the bucket's name and the key")
    folders = {path[:at] for path in by_path for at in range(len(path)) if path[at : at + 1] == b"/"}
    for path in folders & by_path.keys():
        described = by_path.pop(path)
        if described.size:
            raise InvalidInputError(
                f"{location.shown(described.key)} is both an object and a folder, which a version cannot contain",
                hint="add its objects one by one",
            )
    empty = [item for item in by_path.items() if not item[1].size]
    for (path, _), is_marker in zip(empty, _each(partial(_is_marker, service), empty), strict=True):
        if is_marker:
            del by_path[path]
            pinned.folders.append(path)
    first = next(iter(by_path.values()), None)
    if first is not None and service.head(first.key).version is not None:
        # The bucket keeps versions, which listings do not contain.
        heads = _each(lambda item: (item[0], service.head(item[1].key)), list(by_path.items()))
        by_path = dict(heads)
    pinned.files = [(path, make(described)) for path, described in sorted(by_path.items())]
    times = {path: described.modified_ns for path, described in by_path.items()}
    pinned.modified_ns = {path: modified_ns for path, modified_ns in times.items() if modified_ns is not None}
    return pinned


def _checked(location: Location, key: str, path: bytes) -> bytes:
    for name in path.split(b"/"):
        if not is_entry_name(name):
            raise InvalidInputError(
                f"{_start(location.shown(key))} is not a valid path: {_start(os.fsdecode(name))} is not a file name"
            )
    return path


def _start(text: str) -> str:
    """Return a text that a server chose, for a message: quoted, and cut if it is longer than a name can be."""
    return repr(text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "...")


def _is_marker(service: Service, item: tuple[bytes, Found]) -> bool:
    """Return whether an empty object is only a folder marker: its key ends with a slash."""
    try:
        service.head(item[1].key)
    except NotFoundError:
        return True
    return False


def _each(task: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
    if not items:
        return
    with ThreadPoolExecutor(min(_AT_ONCE, len(items))) as threads:
        yield from threads.map(task, items)


# -- the web -----------------------------------------------------------------------------------------------------------


def _web(location: Location, service: Service, checksum: bool, make: Callable[[Found], ReferenceRecord]) -> Pinned:
    if location.key.endswith(_SLASH) and "?" not in location.key:
        raise InvalidInputError(
            f"{location.shown()} is a folder, which cannot be listed over HTTP", hint="add its files one by one"
        )
    described = service.head(location.key)
    record = make(described)
    if not record.is_pinned:
        if not checksum:
            raise InvalidInputError(
                f"the server of {location.shown()} sends no ETag, so only the content shows whether it changes",
                hint="omit --no-checksum: the content is read once",
            )
        record = _by_content(service, record)
    path = location.key.partition("?")[0]
    name = os.fsencode(unquote(path.rstrip(_SLASH).rpartition(_SLASH)[2])) or os.fsencode(
        location.root.rpartition("/")[2]
    )
    return _single(name.replace(b"/", b"_"), record, described.modified_ns)


def _by_content(service: Service, record: ReferenceRecord) -> ReferenceRecord:
    """Return a record with the hash of the current content; its size is the number of bytes read."""
    hasher, size = ContentHasher(), 0
    location = parse_location(record.uri)
    for piece in service.pieces(location.key, record):
        hasher.update(piece)
        size += len(piece)
    return ReferenceRecord(record.uri, size, blake3=hasher.digest().hex())


# -- files -------------------------------------------------------------------------------------------------------------


def _files(location: Location, checksum: bool, report_pinned: OnPinned) -> Pinned:
    path = os.fsencode(location.key).rstrip(b"/") or b"/"
    name = path.rpartition(b"/")[2] or b"root"
    try:
        is_folder = stat.S_ISDIR(os.stat(path).st_mode)
    except OSError as error:
        raise NotFoundError(f"{location.key!r} cannot be found: {error.strerror}") from error
    if not is_folder:
        if location.key.endswith(_SLASH):
            raise NotFoundError(f"{location.key!r} is not a folder")
        record = pin_file(path, checksum=checksum)
        allow_file(path)
        report_pinned(1, record.size, os.fsdecode(name))
        return _single(name, record, os.stat(path).st_mtime_ns)
    pinned = Pinned(name)
    files = list(_walk(path, pinned))
    size = 0
    for (inside, _), record in zip(files, _each(lambda item: pin_file(item[1], checksum=checksum), files), strict=True):
        pinned.files.append((inside, record))
        pinned.modified_ns[inside] = os.stat(os.path.join(path, inside)).st_mtime_ns
        size += record.size
        report_pinned(len(pinned.files), size, os.fsdecode(inside))
    allow_file(path)
    for _, file in files:
        if os.path.islink(file):
            allow_file(file)
    return pinned


def _walk(top: bytes, pinned: Pinned) -> Iterator[tuple[bytes, bytes]]:
    """Yield (path below the top, path) of all files, in order, and note empty folders."""

    def refuse(error: OSError) -> None:
        raise SourceError(f"{os.fsdecode(error.filename)!r} cannot be read: {error.strerror}")

    for folder, folders, names in os.walk(top, onerror=refuse):
        folders.sort()
        inside = os.path.relpath(folder, top)
        linked = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        if linked:
            raise SourceError(
                f"{os.fsdecode(os.path.join(folder, linked[0]))!r} is a link to a folder",
                hint="add that folder separately",
            )
        if not folders and not names and inside != b".":
            pinned.folders.append(inside)
        for name in sorted(names):
            yield (name if inside == b"." else os.path.join(inside, name)), os.path.join(folder, name)
