"""Payloads of the registry, as tests store and load them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from artfs.registry.serializers import Payload, deserialize
from artfs.registry.serializers.reading import digest_of
from artfs.registry.trust import sign


class Stored:
    """An object that was serialised: its payload, file and digest."""

    def __init__(self, payload: Payload, file: Path) -> None:
        self.payload, self.file = payload, file
        with file.open("rb") as stream:
            self.digest = digest_of(stream)

    @property
    def mac(self) -> str | None:
        return None if self.payload.safe else sign(self.payload.format, self.digest)

    def load(self, **options: Any) -> Any:
        options = {
            "format_version": self.payload.format_version,
            "content_hash": self.digest,
            "versions": self.payload.versions,
            "mac": self.mac,
            "label": "x",
            **options,
        }
        with self.file.open("rb") as stream:
            return deserialize(stream, self.payload.format, **options)


Store = Callable[..., Stored]
