"""Content ids are plain BLAKE3."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from artstore.ids import EMPTY_ID, ID_LENGTH, ContentHasher, content_id


def test_published_vectors() -> None:
    """The first test vectors of the BLAKE3 paper's repository: bytes 0, 1, ..., 250, 0, 1, ..."""
    for size, expected in (
        (0, "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"),
        (1, "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213"),
        (1024, "42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7"),
    ):
        assert content_id(bytes(n % 251 for n in range(size))).hex() == expected
    assert content_id(b"") == EMPTY_ID


@given(parts=st.lists(st.binary(max_size=50)))
def test_hashing_in_parts(parts: list[bytes]) -> None:
    """However the bytes come, the id is that of their concatenation."""
    hasher = ContentHasher()
    for part in parts:
        hasher.update(memoryview(part))
    assert hasher.digest() == content_id(b"".join(parts))
    assert len(hasher.digest()) == ID_LENGTH
