"""Addresses of pages: names and paths as parameters of a query.

A path in a version is bytes, and may hold ``..``, ``%`` or bytes that are no UTF-8; in a parameter nothing on the way
normalises it.  Text is as `os.fsdecode` makes it: lone surrogates stand for such bytes, on the way out and in.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qs, urlencode

__all__ = ["address", "parameters_of"]

_MOST: Final = 100


def address(page: str, /, **parameters: object) -> str:
    """Return the address of a page such as ``/compare``; parameters that are None or empty are left out."""
    given = [(name.rstrip("_"), str(value)) for name, value in parameters.items() if value not in (None, "")]
    query = urlencode(given, errors="surrogateescape", safe="/:")
    return f"{page}?{query}" if query else page


def parameters_of(query: bytes) -> dict[str, list[str]]:
    """Return the values of each parameter of a query, in their order; raise `ValueError` for too many."""
    return parse_qs(query.decode("latin-1"), errors="surrogateescape", max_num_fields=_MOST)
