"""The members of an archive: a pure function of its index.

    artfs-archive/index.jsonl          the index
    artfs-archive/B3SUMS               the digest of the index and of each file, as `b3sum --check` reads them
    artfs-archive/versions/NAME/vN/    each version, as a mount shows it

Each content is stored once: a file with the content and the executable bit of an earlier one is a hard link to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from artstore.archives.headers import DIRECTORY, FILE, HARD_LINK, SYMLINK, header_of, padding
from artstore.archives.index import ArchivedEntry, ArchivedVersion, split_name
from artstore.errors import ArchiveError
from artstore.names import version_label

__all__ = ["INDEX", "SUMS", "Member", "index_sum", "members", "sum_lines"]

_TOP: Final = b"artfs-archive/"
INDEX: Final = _TOP + b"index.jsonl"
SUMS: Final = _TOP + b"B3SUMS"
_ESCAPED: Final = (b"\\", b"\n")


class Member(NamedTuple):
    """A member: its header, and the bytes of content after that; ``entry`` is the file with this content."""

    version: ArchivedVersion
    entry: ArchivedEntry
    header: bytes
    size: int

    @property
    def length(self) -> int:
        """The bytes of the archive that it takes."""
        return len(self.header) + self.size + len(padding(self.size))


def _folder(version: ArchivedVersion) -> bytes:
    artifact, number = split_name(version.name)
    return b"versions/%s/%s" % (artifact.encode(), version_label(number).encode())


def members(versions: Iterable[ArchivedVersion]) -> Iterator[Member]:
    """Yield the members of versions, in order; raise `ArchiveError` if one content has two sizes."""
    first: dict[tuple[bytes, bool], tuple[bytes, int]] = {}
    for version in versions:
        folder = _TOP + _folder(version)
        for entry in version.entries:
            path = folder + b"/" + entry.path if entry.path else folder
            if entry.is_directory:
                yield Member(version, entry, header_of(path + b"/", DIRECTORY), 0)
            elif not entry.is_file:
                yield Member(version, entry, header_of(path, SYMLINK, target=entry.target), 0)
            elif (known := first.get((entry.digest, entry.executable))) is not None:
                if known[1] != entry.size:
                    raise ArchiveError(f"the index has two sizes for the content {entry.digest.hex()}")
                header = header_of(path, HARD_LINK, target=known[0], executable=entry.executable)
                yield Member(version, entry, header, 0)
            else:
                first[entry.digest, entry.executable] = path, entry.size
                header = header_of(path, FILE, size=entry.size, executable=entry.executable)
                yield Member(version, entry, header, entry.size)


def index_sum(digest: bytes) -> bytes:
    """Return the first line of the sums: that of the index."""
    return _sum(digest, INDEX.removeprefix(_TOP))


def sum_lines(versions: Iterable[ArchivedVersion]) -> Iterator[bytes]:
    """Yield the other lines of the sums, one for each file."""
    for version in versions:
        folder = _folder(version)
        for entry in version.entries:
            if entry.is_file:
                yield _sum(entry.digest, folder + b"/" + entry.path)


def _sum(digest: bytes, name: bytes) -> bytes:
    line = digest.hex().encode() + b"  " + name + b"\n"
    if not any(each in name for each in _ESCAPED):
        return line
    return b"\\" + digest.hex().encode() + b"  " + name.replace(b"\\", b"\\\\").replace(b"\n", b"\\n") + b"\n"
