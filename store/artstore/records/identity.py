"""The file that identifies a workspace: a JSON object, written again only when the workspace is shared.

artfs.json = {"format", "uuid", "created_ns", "group"?}
"""

from __future__ import annotations

import json
import uuid as uuids
from typing import Final

from artstore.errors import DamageError
from artstore.values import value_class

__all__ = ["IDENTITY", "WorkspaceIdentity"]

IDENTITY: Final = "artfs.json"
"""Name of the file that identifies a workspace."""


@value_class
class WorkspaceIdentity:
    """A workspace's uuid, when it was made, and the Unix group that it is shared with."""

    uuid: str
    created_ns: int
    group: str | None = None

    def encode(self, form: int) -> bytes:
        """Return the file's content; ``form`` is the number of the on-disk format."""
        values = {"format": form, "uuid": self.uuid, "created_ns": self.created_ns}
        if self.group:
            values["group"] = self.group
        return (json.dumps(values) + "\n").encode()

    @classmethod
    def decode(cls, data: bytes) -> WorkspaceIdentity:
        """Return the identity that `encode` wrote; raise `DamageError` on anything else."""
        try:
            values = json.loads(data)
            uuid, created_ns, group = values["uuid"], values["created_ns"], values.get("group")
            if str(uuids.UUID(uuid)) != uuid or type(created_ns) is not int or not 0 <= created_ns < 1 << 63:
                raise ValueError
            if group is not None and not (isinstance(group, str) and group):
                raise ValueError
            return cls(uuid, created_ns, group)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise DamageError(f"the {IDENTITY} is damaged") from error
