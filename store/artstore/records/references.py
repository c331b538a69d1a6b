"""Reference records: a version's record of a file whose bytes stay outside the store.

A record is ordinary content (a chunk, with the BLAKE3 of its bytes as its id) with a directory entry of the kind
`REFERENCE`; the entry's size is that of the file outside.  Its bytes are one JSON object with sorted keys
and no spaces, so that the same file outside, pinned alike, has the same id on any machine.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

from artstore.errors import DamageError, InvalidInputError
from artstore.records.uris import shown_uri

__all__ = ["LONGEST_REFERENCE", "ReferenceRecord"]

LONGEST_REFERENCE: Final = 32 * 1024
"""Bytes of a record, at most: it is always one chunk."""
_LARGEST: Final = 1 << 62


@dataclass(frozen=True, slots=True)
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
        """Return the record's bytes; raise `InvalidInputError` if they would be too long."""
        values = {name: value for name, value in asdict(self).items() if value is not None and value is not False}
        data = json.dumps(values, sort_keys=True, separators=(",", ":")).encode()
        if len(data) > LONGEST_REFERENCE:
            raise InvalidInputError(f"a reference has {len(data)} bytes; at most {LONGEST_REFERENCE} are allowed")
        return data

    @classmethod
    def decode(cls, data: bytes) -> ReferenceRecord:
        """Return the record that `encode` wrote; raise `DamageError` on anything else."""
        try:
            values: dict[str, Any] = json.loads(data)
            record = cls(**values)
        except (ValueError, TypeError) as error:
            raise DamageError("a reference's record is malformed") from error
        texts = [getattr(record, item.name) for item in fields(cls) if item.name not in ("size", "anonymous")]
        as_meant = all(text is None or isinstance(text, str) for text in texts) and isinstance(record.uri, str)
        if not as_meant or not isinstance(record.anonymous, bool) or not _is_size(record.size) or not record.is_pinned:
            raise DamageError("a reference's record is malformed")
        return record

    @property
    def shown(self) -> str:
        """The URI as messages and lists show it: without secrets."""
        return self.uri if self.uri.startswith("file://") else shown_uri(self.uri)

    @property
    def is_pinned(self) -> bool:
        """Whether the record can distinguish the file from another of the same size."""
        return bool(self.etag or self.version or self.blake3)


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _LARGEST
