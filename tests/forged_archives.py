"""Archives that an attacker makes: any index and any contents, with sums and headers that go with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from artstore.archives.headers import END, FILE, header_of, padding
from artstore.archives.index import ArchivedVersion, encode_index
from artstore.archives.layout import INDEX, SUMS, index_sum, members, sum_lines
from artstore.archives.reading import Archive
from artstore.ids import content_id

__all__ = ["archive_bytes", "contents_of", "versions_of"]


def member(path: bytes, content: bytes) -> bytes:
    """Return a file of an archive."""
    return header_of(path, FILE, size=len(content)) + content + padding(len(content))


def archive_bytes(
    versions: Sequence[ArchivedVersion], contents: Mapping[bytes, bytes], *, index: bytes | None = None
) -> bytes:
    """Return an archive; ``contents`` are by digest, and ``index`` takes the place of the versions' own."""
    written = encode_index(versions) if index is None else index
    sums = index_sum(content_id(written)) + b"".join(sum_lines(versions))
    parts = [member(INDEX, written), member(SUMS, sums)]
    for each in members(versions):
        content = contents[each.entry.digest] if each.size else b""
        parts.append(each.header + content + padding(len(content)))
    return b"".join([*parts, END])


def versions_of(path: Path) -> list[ArchivedVersion]:
    """Return the versions of an archive."""
    with Archive(path) as archive:
        return list(archive.versions)


def contents_of(path: Path) -> dict[bytes, bytes]:
    """Return the contents of an archive by their digests."""
    with Archive(path) as archive:
        return {
            entry.digest: archive.read(entry)
            for version in archive.versions
            for entry in version.entries
            if entry.is_file
        }
