"""Reference records: a version's record of a file whose bytes stay outside the store.

A record is ordinary content (a chunk, with the BLAKE3 of its bytes as its id) with a directory entry of the kind
`REFERENCE`; the entry's size is that of the file outside.  Its bytes are one JSON object with sorted keys
and no spaces, so that the same file outside, pinned alike, has the same id on any machine.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, fields
from typing import Any, Final

from artstore.errors import DamageError, InvalidInputError
from artstore.values import value_class

__all__ = ["LARGEST_OUTSIDE", "LONGEST_REFERENCE", "ReferenceRecord"]

LONGEST_REFERENCE: Final = 32 * 1024
"""Bytes of a record, at most: it is always one chunk."""
LARGEST_OUTSIDE: Final = 1 << 53
"""Bytes of a file outside, at most: larger sizes are errors, and JSON is exact up to here."""
_DIGEST: Final = re.compile("[0-9a-f]{64}")


@value_class
class ReferenceRecord:
    """A file outside, as it was when it was logged: its URI, its ``size`` in bytes, and its pin.

    The pin is the server's ``etag`` or ``version``, or the ``blake3`` of the content in hex; at least one of them.
    ``endpoint``, ``region`` and ``account`` identify the service if the URI does not; ``anonymous`` means that requests
    carry no credentials.  Secrets are kept only in a query that the user allowed.
    """

    uri: str
    size: int
    etag: str | None = None
    version: str | None = None
    blake3: str | None = None
    endpoint: str | None = None
    region: str | None = None
    account: str | None = None
    anonymous: bool = False

    def encode(self) -> bytes:
        """Return the record's bytes; raise `InvalidInputError` if `decode` would refuse them."""
        if not _is_size(self.size):
            raise InvalidInputError(
                f"{self.shown} cannot have {self.size:,} bytes; at most {LARGEST_OUTSIDE:,} are possible",
                hint="its server sends a wrong size",
            )
        if not self._is_sound():
            raise InvalidInputError(f"the reference to {self.shown} lacks what identifies its content, or has too much")
        data = self._bytes()
        if len(data) > LONGEST_REFERENCE:
            raise InvalidInputError(f"a reference has {len(data)} bytes; at most {LONGEST_REFERENCE} are allowed")
        return data

    @classmethod
    def decode(cls, data: bytes) -> ReferenceRecord:
        """Return the record that `encode` wrote; raise `DamageError` on anything else."""
        try:
            if len(data) > LONGEST_REFERENCE:
                raise ValueError
            values: dict[str, Any] = json.loads(data)
            record = cls(**values)
            if not record._is_sound() or record._bytes() != bytes(data):
                raise ValueError
        except (ValueError, TypeError, RecursionError) as error:
            raise DamageError("a reference's record is malformed") from error
        return record

    def _bytes(self) -> bytes:
        values = {name: value for name, value in asdict(self).items() if value is not None and value is not False}
        return json.dumps(values, sort_keys=True, separators=(",", ":")).encode()

    def _is_sound(self) -> bool:
        texts = [getattr(self, item.name) for item in fields(self) if item.name not in ("size", "anonymous")]
        return (
            isinstance(self.uri, str)
            and all(text is None or isinstance(text, str) for text in texts)
            and isinstance(self.anonymous, bool)
            and _is_size(self.size)
            and (self.blake3 is None or _DIGEST.fullmatch(self.blake3) is not None)
            and self.is_pinned
        )

    @property
    def shown(self) -> str:
        """The URI as messages and lists show it: without secrets."""
        from artstore.records.uris import shown_uri  # its patterns take a hundredth of the time of a command

        return self.uri if self.uri.startswith("file://") else shown_uri(self.uri)

    @property
    def is_pinned(self) -> bool:
        """Whether the record can distinguish the file from another of the same size."""
        return bool(self.etag or self.version or self.blake3)


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST_OUTSIDE
