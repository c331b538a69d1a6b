"""Content identity: BLAKE3, unkeyed, 32 bytes, so that a file's id is what ``b3sum`` prints."""

from __future__ import annotations

from typing import Final

from blake3 import blake3

__all__ = ["EMPTY_ID", "ID_LENGTH", "Buffer", "ContentHasher", "content_id"]

ID_LENGTH: Final = 32

Buffer = bytes | bytearray | memoryview

ContentHasher = blake3
"""An incremental hasher with ``update(buffer)`` and ``digest() -> bytes``; releases the GIL on large buffers."""


def content_id(data: Buffer) -> bytes:
    """Return the 32-byte BLAKE3 digest of ``data``."""
    return blake3(data).digest()


EMPTY_ID: Final = content_id(b"")
