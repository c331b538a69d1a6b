"""Reading: every byte of an archive is checked, and one that is wrong, missing or too much is one error."""

from __future__ import annotations

import io
import os
import random
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from artstore.archives.headers import BLOCK, FILE, header_of
from artstore.archives.index import LONGEST
from artstore.archives.layout import INDEX
from artstore.archives.reading import Archive
from artstore.errors import ArchiveError, ArtfsError, DamageError, IsFolderError, NotFoundError, UnsupportedError
from artstore.progress import Progress
from forged_archives import archive_bytes, contents_of, versions_of
from store.archives.conftest import Archived

REFUSALS = (ArchiveError, DamageError, UnsupportedError)


def read(path: Path) -> None:
    with Archive(path) as archive:
        archive.verify()


def refusal(path: Path, data: bytes) -> str:
    """Return how an archive is refused; the empty text if it is not."""
    path.write_bytes(data)
    try:
        read(path)
    except REFUSALS as error:
        assert "\n" not in str(error) and len(str(error)) < 400
        return type(error).__name__
    return ""


def test_what_was_written_is_read(archived: Archived, tmp_path: Path) -> None:
    reports: list[Progress] = []
    with Archive(archived.path) as archive:
        archive.verify(reports.append)
        assert archive.versions == archived.plan().versions
        for version, source in zip(archive.versions, archived.versions, strict=True):
            for entry in version.entries:
                if entry.is_file:
                    assert archive.read(entry) == source.read_bytes(entry.path)
                    copy = io.BytesIO()
                    archive.copy(entry, copy)
                    assert copy.getvalue() == archive.read(entry)
    assert reports[-1].files_done == reports[-1].files_total == 5


def test_the_forger_forges(archived: Archived) -> None:
    """What it makes of the true versions is the archive: so a refusal of anything else is for what is changed."""
    assert archive_bytes(versions_of(archived.path), contents_of(archived.path)) == archived.path.read_bytes()


def test_no_byte_can_be_another(archived: Archived, tmp_path: Path) -> None:
    """One flipped bit of every 9409th byte, and of many in the first header, the index and the last blocks."""
    data = archived.path.read_bytes()
    small = (
        set(range(BLOCK, 6000, 11))
        | set(range(0, len(data), 97 * 97))
        | set(range(0, BLOCK, 2))
        | set(range(len(data) - 1024, len(data), 61))
    )
    choice = random.Random(1)
    accepted = []
    for place in sorted(small):
        damaged = bytearray(data)
        damaged[place] ^= 1 << choice.randrange(8)
        if not refusal(tmp_path / "x", bytes(damaged)):
            accepted.append(place)
    assert accepted == []


def test_no_byte_can_be_missing_or_more(archived: Archived, tmp_path: Path) -> None:
    data = archived.path.read_bytes()
    lengths = [0, 1, 511, 512, 513, 1024, 5000, *range(6000, len(data), 100_001), len(data) - 1024, len(data) - 1]
    assert [length for length in lengths if not refusal(tmp_path / "x", data[:length])] == []
    more = [b"\0", bytes(512), bytes(10240), data, b"x"]
    assert [each for each in more if not refusal(tmp_path / "x", data + each)] == []


def forged(archived: Archived) -> Iterator[tuple[str, bytes]]:
    """Yield archives whose sums and headers go with a hostile index, and tars that other programs make."""
    versions, contents = versions_of(archived.path), contents_of(archived.path)
    data = archived.path.read_bytes()
    first = versions[0]
    entry = first.entries[0]
    other = replace(first, entries=(entry._replace(digest=bytes(32)), *first.entries[1:]))
    yield "another digest", archive_bytes([other], {**contents, bytes(32): b"hello"})
    other = replace(first, entries=(entry._replace(size=6),))
    yield "a size too large", archive_bytes([other], {entry.digest: b"hello!"})
    other = replace(first, entries=(entry._replace(size=1 << 40),))
    yield "a size of a terabyte", archive_bytes([other], {entry.digest: b"hello"})
    yield "not executable", archive_bytes([replace(first, entries=(entry._replace(executable=True), entry))], contents)
    versions_swapped = archive_bytes([versions[1], versions[0]], contents)
    yield "another order of members", data[:4096] + versions_swapped[4096:]
    for kind, name in [
        (tarfile.REGTYPE, "../evil"),
        (tarfile.SYMTYPE, "a"),
        (tarfile.LNKTYPE, "a"),
        (tarfile.FIFOTYPE, "a"),
    ]:
        info = tarfile.TarInfo(f"artfs-archive/versions/team/x/v0/{name}")
        info.type, info.linkname = kind, "/etc/passwd" if kind != tarfile.REGTYPE else ""
        yield f"a member of type {kind!r}", data[:-1024] + info.tobuf(tarfile.PAX_FORMAT) + bytes(1024)
        place = data.index(b"artfs-archive/versions/team/x/v0/a\0")
        yield (
            f"a member replaced by type {kind!r}",
            data[:place] + info.tobuf(tarfile.PAX_FORMAT)[:512] + data[place + 512 :],
        )
    for mode in ("w", "w:gz", "w:xz"):
        made = io.BytesIO()
        with tarfile.open(fileobj=made, mode=mode) as archive:  # type: ignore[call-overload]
            archive.addfile(tarfile.TarInfo("artfs-archive/index.jsonl"))
        yield f"a tar of another program, {mode}", made.getvalue()
    yield "an index of 8 GB", data[:124] + b"77777777777\0" + data[136:]
    yield "a zip", b"PK\3\4" + bytes(2000)
    yield "zeros", bytes(10240)
    yield "noise", random.Random(2).randbytes(10240)


def test_every_forgery_is_refused(archived: Archived, tmp_path: Path) -> None:
    """N of N, and the folder has nothing but the file that was read."""
    cases = dict(forged(archived))
    assert len(cases) >= 19
    assert [name for name, data in cases.items() if not refusal(tmp_path / "x", data)] == []
    assert os.listdir(tmp_path) == ["x"]


def test_an_index_that_is_too_long_is_not_read(archived: Archived, tmp_path: Path) -> None:
    """Even if the file is as long as it says."""
    header = header_of(INDEX, FILE, size=LONGEST + 1)
    with (tmp_path / "x").open("wb") as file:
        file.write(header)
        file.truncate(2 * LONGEST)
    with pytest.raises(ArchiveError, match="too long"):
        read(tmp_path / "x")


def test_a_change_after_the_check_is_seen(archived: Archived, tmp_path: Path) -> None:
    """Contents are checked each time that they are read."""
    path = tmp_path / "x"
    path.write_bytes(archived.path.read_bytes())
    with Archive(path) as archive:
        archive.verify()
        entry = next(each for each in archive.versions[0].entries if each.path == b"big")
        with path.open("r+b") as file:
            file.seek(archive._places[entry.digest, False] + 5)
            file.write(b"\xff\xff")
        with pytest.raises(DamageError, match="big"):
            archive.read(entry)
        with pytest.raises(DamageError, match="big"):
            archive.copy(entry, io.BytesIO())


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    errors: list[tuple[Path, type[ArtfsError]]] = [
        (tmp_path, IsFolderError),
        (tmp_path / "none", NotFoundError),
        (tmp_path / "pipe", ArchiveError),
        (Path("/dev/zero"), ArchiveError),
    ]
    for path, error in errors:
        with pytest.raises(error):
            Archive(path)
