"""The headers are those of POSIX tar: Python's tarfile reads what was written."""

from __future__ import annotations

import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artstore.archives.headers import BLOCK, DIRECTORY, END, FILE, HARD_LINK, SYMLINK, header_of, padding, size_in

PATHS = st.lists(
    st.binary(min_size=1, max_size=130).filter(lambda name: not {b"/"[0], 0} & {*name} and name not in (b".", b"..")),
    min_size=1,
    max_size=3,
).map(b"/".join)


def read(header: bytes) -> tarfile.TarInfo:
    with tarfile.open(fileobj=io.BytesIO(header + END), errors="surrogateescape", encoding="utf-8") as archive:
        return next(iter(archive))


@given(path=PATHS, target=PATHS, kind=st.sampled_from([FILE, HARD_LINK, SYMLINK, DIRECTORY]), executable=st.booleans())
def test_a_header_is_read(path: bytes, target: bytes, kind: bytes, executable: bool) -> None:
    is_link = kind in (HARD_LINK, SYMLINK)
    header = header_of(path, kind, target=target if is_link else b"", executable=executable)
    assert len(header) % BLOCK == 0
    found = read(header)
    assert found.name.encode("utf-8", "surrogateescape") == path.rstrip(b"/") and found.type == kind
    assert found.linkname.encode("utf-8", "surrogateescape") == (target if is_link else b"")
    assert (found.uid, found.gid, found.uname, found.gname, found.mtime) == (0, 0, "", "", 315_532_800)
    if kind == FILE:
        assert found.mode == (0o755 if executable else 0o644)


@pytest.mark.parametrize("size", [0, 1, 511, 512, 8**11 - 1, 8**11, 1 << 50])
def test_a_size_is_read(size: int) -> None:
    """A size that the field cannot hold is in the extended header."""
    header = header_of(b"a", FILE, size=size)
    with tarfile.open(fileobj=io.BytesIO(header)) as archive:
        assert next(iter(archive)).size == size
    if len(header) == BLOCK:
        assert size_in(header) == size
    assert (size + len(padding(size))) % BLOCK == 0 and len(padding(size)) < BLOCK if size < 8**11 else True


@pytest.mark.parametrize("block", [b"", bytes(BLOCK), b"x" * BLOCK, header_of(b"a", FILE)[:-1]])
def test_a_block_without_a_size_is_refused(block: bytes) -> None:
    with pytest.raises(ValueError, match="size"):
        size_in(block)
