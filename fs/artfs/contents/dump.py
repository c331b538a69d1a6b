"""Bytes as hexadecimal lines, as `hexdump -C` writes them."""

from __future__ import annotations

from typing import Final

__all__ = ["hex_lines"]

_PER_LINE: Final = 16


def hex_lines(data: bytes, offset: int = 0) -> list[str]:
    """Return a line for each 16 bytes: the offset, the bytes, and what of them is ASCII."""
    lines = []
    for start in range(0, len(data), _PER_LINE):
        piece = data[start : start + _PER_LINE]
        shown = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in piece)
        lines.append(f"{offset + start:08x}  {piece.hex(' '):<47}  |{shown}|")
    return lines
