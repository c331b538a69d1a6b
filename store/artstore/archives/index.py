"""The index of an archive: its versions and their entries, one line of JSON for each.

The first line has the format and the counts.  Each version has a line, and its entries have the lines after that, in
the order of their paths as bytes.  A line is canonical JSON: sorted keys, no blanks, ASCII; bytes of a path or link
that are not UTF-8 are lone surrogates, as Python has them.  So equal versions have equal indexes, and an index that is
written in another way is refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from artstore.arguments import shown_text
from artstore.errors import ArchiveError, ArtfsError, UnsupportedError
from artstore.ids import EMPTY_ID, ID_LENGTH
from artstore.names import check_name, check_type, parse_version_label
from artstore.records.trees import is_entry_name

__all__ = [
    "FORMAT",
    "LONGEST",
    "LONGEST_LINE",
    "ArchivedEntry",
    "ArchivedVersion",
    "decode_index",
    "encode_index",
    "raw_text",
    "split_name",
]

FORMAT: Final = 1
LONGEST: Final = 1 << 27
"""Bytes of an index; one of a million files is as long."""
LONGEST_LINE: Final = 1 << 24
_LARGEST: Final = 1 << 63
_DIGITS: Final = frozenset("0123456789abcdef")


class ArchivedEntry(NamedTuple):
    """A file, a symlink with its text as ``target``, or an empty directory; ``path`` is below the version."""

    path: bytes
    digest: bytes = b""
    size: int = 0
    executable: bool = False
    target: bytes = b""
    is_directory: bool = False

    @property
    def is_file(self) -> bool:
        """Whether it is a file."""
        return bool(self.digest)


@dataclass(frozen=True, slots=True)
class ArchivedVersion:
    """A version in an archive.

    ``name`` is ``NAME:vN``, as it was where it was exported; ``digest`` the hex digest of its tree; ``includes`` the
    names of the versions whose content it includes.
    """

    name: str
    digest: str
    type: str | None
    description: str
    metadata: Mapping[str, Any]
    includes: Sequence[str]
    entries: Sequence[ArchivedEntry]


def split_name(name: str) -> tuple[str, int]:
    """Return (artifact, number) of ``NAME:vN``; raise ValueError for any other text."""
    artifact, _, label = name.rpartition(":")
    number = parse_version_label(label)
    if number is None:
        raise ValueError(f"{name!r} is not the name of a version")
    return check_name(artifact), number


# -- writing -------------------------------------------------------------------------------------------------------


def encode_index(versions: Sequence[ArchivedVersion]) -> bytes:
    """Return the index of versions."""
    count = sum(len(version.entries) for version in versions)
    lines = [_line({"archive": "artfs", "entries": count, "format": FORMAT, "versions": len(versions)})]
    for version in versions:
        lines.append(_line(_version_values(version)))
        lines += [_line(_entry_values(entry)) for entry in version.entries]
    return b"".join(lines)


def _line(values: Mapping[str, Any]) -> bytes:
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return text.encode("ascii") + b"\n"


def _version_values(version: ArchivedVersion) -> dict[str, Any]:
    return {
        "version": version.name,
        "digest": version.digest,
        "type": version.type,
        "description": version.description,
        "metadata": dict(version.metadata),
        "includes": list(version.includes),
        "entries": len(version.entries),
    }


def _entry_values(entry: ArchivedEntry) -> dict[str, Any]:
    values: dict[str, Any] = {"path": _shown(entry.path)}
    if entry.is_directory:
        return {**values, "directory": True}
    if not entry.is_file:
        return {**values, "link": _shown(entry.target)}
    values |= {"digest": entry.digest.hex(), "size": entry.size}
    return {**values, "executable": True} if entry.executable else values


def _shown(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")


def raw_text(text: str) -> bytes:
    """Return the bytes that a text of the index stands for; raise ValueError if there are none."""
    return text.encode("utf-8", "surrogateescape")


# -- reading -------------------------------------------------------------------------------------------------------


def decode_index(data: bytes) -> list[ArchivedVersion]:
    """Return the versions of an index.

    Raises `UnsupportedError` for a newer format, and `ArchiveError` for anything that is not an index: another
    spelling, a path that leads out of its version, a repeated path or version, a wrong count.
    """
    try:
        return _decoded(data)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        if isinstance(error, ArtfsError) and isinstance(error, ArchiveError | UnsupportedError):
            raise
        reason = str(error) if isinstance(error, _LineError | ArtfsError) else type(error).__name__
        raise ArchiveError(f"the index of the archive is invalid: {reason[:160]}") from error


class _LineError(ValueError):
    pass


def _decoded(data: bytes) -> list[ArchivedVersion]:
    lines = iter(data.split(b"\n"))
    head = _values(next(lines))
    if head.get("archive") != "artfs" or type(head.get("format")) is not int:
        raise _LineError("its first line is not that of an archive")
    if head["format"] != FORMAT:
        raise UnsupportedError(
            f"the archive has format {head['format']}, and this artfs reads format {FORMAT}",
            hint="read it with a newer artfs",
        )
    versions = [_version(lines) for _ in range(_count(head["versions"]))]
    if len({version.name for version in versions}) < len(versions):
        raise _LineError("a version is listed twice")
    if encode_index(versions) != data:  # so no key is unknown or repeated, no count is wrong, and nothing follows
        raise _LineError("it is not written as artfs writes it")
    return versions


def _count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise _LineError("a count is invalid")
    return value


def _values(line: bytes | None) -> dict[str, Any]:
    if line is None or len(line) > LONGEST_LINE:
        raise _LineError("a line is missing or too long")
    values = json.loads(line)
    if not isinstance(values, dict):
        raise _LineError("a line is not an object")
    return values


def _version(lines: Iterator[bytes]) -> ArchivedVersion:
    values = _values(next(lines, None))
    name, kind, includes = values["version"], values["type"], values["includes"]
    split_name(name)
    if kind is not None:
        check_type(kind)
    if not isinstance(values["description"], str) or not isinstance(values["metadata"], dict):
        raise _LineError(f"the line of {shown_text(name)} has a value of a wrong type")
    if not isinstance(includes, list):
        raise _LineError(f"the includes of {shown_text(name)} are not a list")
    for each in includes:
        split_name(each)
    entries = tuple(_entry(_values(next(lines, None))) for _ in range(_count(values["entries"])))
    _check_tree(name, entries)
    digest = _digest(values["digest"]).hex()
    return ArchivedVersion(name, digest, kind, values["description"], values["metadata"], tuple(includes), entries)


def _digest(text: Any) -> bytes:
    if not isinstance(text, str) or len(text) != 2 * ID_LENGTH or not _DIGITS.issuperset(text):
        raise _LineError("a digest is invalid")
    return bytes.fromhex(text)


def _entry(values: dict[str, Any]) -> ArchivedEntry:
    path = raw_text(values["path"])
    if "directory" in values:
        return ArchivedEntry(path, is_directory=True)
    if "link" in values:
        return ArchivedEntry(path, target=raw_text(values["link"]))
    size = values["size"]
    if type(size) is not int or not 0 <= size < _LARGEST:
        raise _LineError(f"the size of {shown_text(values['path'])} is invalid")
    digest = _digest(values["digest"])
    if not size and digest != EMPTY_ID:
        raise _LineError(f"{shown_text(values['path'])} is empty, but its digest is not that of no content")
    return ArchivedEntry(path, digest, size, "executable" in values)


def _check_tree(name: str, entries: Sequence[ArchivedEntry]) -> None:
    """Raise ValueError unless entries are a tree, in order, in which no path leads out of the version."""
    before: bytes | None = None
    leaves = {entry.path for entry in entries}
    for entry in entries:
        where = f"the path {shown_text(_shown(entry.path))} in {shown_text(name)}"
        if before is not None and entry.path <= before:
            raise _LineError(f"{where} is out of order or listed twice")
        before = entry.path
        if not entry.path and entry.is_directory and len(entries) == 1:
            return  # a version without anything
        parts = entry.path.split(b"/")
        if not all(map(is_entry_name, parts)):
            raise _LineError(f"{where} is not a path inside a version")
        if any(b"/".join(parts[:depth]) in leaves for depth in range(1, len(parts))):
            raise _LineError(f"{where} is below something that is not a directory")
        if not entry.is_file and not entry.is_directory and not _stays_inside(len(parts) - 1, entry.target):
            raise _LineError(f"the link {where[9:]} leads out of it")


def _stays_inside(depth: int, target: bytes) -> bool:
    """Return whether a link in a directory so deep leads nowhere above the version, at any step."""
    if not target or target.startswith(b"/") or b"\0" in target:
        return False
    for part in target.split(b"/"):
        depth += -1 if part == b".." else part not in (b"", b".")
        if depth < 0:
            return False
    return True
