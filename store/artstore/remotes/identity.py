"""The object ``artfs-remote.json`` that makes a prefix of an object store a remote: made once, and never changed.

    {"format": 1, "uuid": "...", "writer": 1, "created": "2026-11-30T19:00:00Z", "probe": {...}}

``writer`` is the least release of the log's writers that may write to it; ``probe`` is what was found of the store when
the remote was made.  Keys of later releases are passed over: what a reader must know raises the format.
"""

from __future__ import annotations

import json
import uuid as uuids
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

from artstore.errors import DamageError, RefusedError, UnsupportedError
from artstore.objects.failures import ObjectMissingError
from artstore.objects.protocol import PROBES, ObjectStore
from artstore.records.catalogue import load_json

__all__ = ["FORMAT", "IDENTITY", "RemoteIdentity", "create_identity", "read_identity"]

FORMAT: Final = 1
"""Number of the format of remotes.  A remote of a newer one is refused."""
IDENTITY: Final = "artfs-remote.json"
"""Name of the object that identifies a remote."""
_LONGEST: Final = 64 << 10
_WRITER: Final = 1


@dataclass(frozen=True, slots=True)
class RemoteIdentity:
    """A remote's uuid (16 bytes), the least writer, when it was created, and the probe of its store."""

    uuid: bytes
    writer: int
    created: str
    probe: dict[str, Any] = field(default_factory=dict)

    def encode(self) -> bytes:
        """Return the object's bytes."""
        values = {"format": FORMAT, "uuid": str(uuids.UUID(bytes=self.uuid)), "writer": self.writer}
        return (json.dumps({**values, "created": self.created, "probe": self.probe}, indent=1) + "\n").encode()

    @classmethod
    def decode(cls, data: bytes, url: str) -> Self:
        """Return the identity that `encode` wrote.

        Raises `UnsupportedError` for another format, naming its number, and `DamageError` for anything else.
        """
        try:
            if len(data) > _LONGEST:
                raise ValueError
            values = load_json(data)
            number = values["format"]
            if type(number) is not int or number < 1:
                raise ValueError
            if number != FORMAT:
                raise UnsupportedError(
                    f"the remote at {url} has format {number}; this artfs reads format {FORMAT}", hint="upgrade artfs"
                )
            uuid, writer, created, probe = (values[key] for key in ("uuid", "writer", "created", "probe"))
            if type(writer) is not int or writer < 1:
                raise ValueError
            if not isinstance(created, str) or not isinstance(probe, dict) or str(uuids.UUID(uuid)) != uuid:
                raise ValueError
            return cls(uuids.UUID(uuid).bytes, writer, created, probe)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            if isinstance(error, UnsupportedError):
                raise
            raise DamageError(
                f"the {IDENTITY} at {url} is damaged", hint="restore it from a copy: it is the same for ever"
            ) from error


def read_identity(store: ObjectStore) -> RemoteIdentity | None:
    """Return what a store has as its identity, None if it has none; raise what `RemoteIdentity.decode` raises."""
    try:
        data = store.read(IDENTITY, fresh=True)
    except ObjectMissingError:
        return None
    return RemoteIdentity.decode(data, store.url)


def refuse_foreign(store: ObjectStore) -> None:
    """Raise `RefusedError` if a prefix without an identity holds objects that no probe made."""
    for info in store.list(""):
        if not info.name.startswith(PROBES):
            raise RefusedError(
                f"{store.url} is no remote, and not empty: it has {info.name!r}",
                hint="use an empty prefix, such as a new folder in it",
            )


def create_identity(store: ObjectStore, created: str, probe: Mapping[str, Any]) -> RemoteIdentity:
    """Make a prefix a remote, unless another process does so first; return the identity that it has then."""
    identity = RemoteIdentity(uuids.uuid4().bytes, _WRITER, created, dict(probe))
    if store.create(IDENTITY, identity.encode()):
        return identity
    found = read_identity(store)
    if found is None:
        raise DamageError(f"the {IDENTITY} at {store.url} was removed in the meantime", hint="run the command again")
    return found
