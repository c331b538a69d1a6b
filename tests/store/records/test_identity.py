"""The content of artfs.json."""

from __future__ import annotations

import pytest

from artstore.errors import DamageError
from artstore.records.identity import WorkspaceIdentity

UUID = "6f1f6c0e-6c0a-4a55-a0a9-0f2a7a5be0a1"


@pytest.mark.parametrize(
    ("group", "data"),
    [
        (None, b'{"format": 1, "uuid": "%s", "created_ns": 17}\n'),
        ("users", b'{"format": 1, "uuid": "%s", "created_ns": 17, "group": "users"}\n'),
    ],
)
def test_the_bytes_are_fixed(group: str | None, data: bytes) -> None:
    """An identity has these bytes, and is read back from them."""
    data %= UUID.encode()
    identity = WorkspaceIdentity(UUID, 17, group)
    assert identity.encode(1) == data
    assert WorkspaceIdentity.decode(data) == identity


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"{}", b"[]", b"null", b"\xff", b"[" * 100_000),
        *(b'{"uuid": "x", "created_ns": 1}', b'{"uuid": 1, "created_ns": 1}', b'{"uuid": "%s"}' % UUID.encode()),
        b'{"uuid": "%s", "created_ns": Infinity}' % UUID.encode(),
    ],
)
def test_anything_else_is_damage(data: bytes) -> None:
    """Content that identifies no workspace is refused."""
    with pytest.raises(DamageError):
        WorkspaceIdentity.decode(data)
