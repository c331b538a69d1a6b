"""Serialisers: how objects become payloads, safe by default.

`serialize` writes an object with the first serialiser that takes it, `deserialize` reads a payload, and
`register_serializer` adds a format.  A payload is never loaded on the word of its author: what can run code needs a
signature of this user's (`artfs.registry.trust`), or the caller's word.
"""

from __future__ import annotations

from artfs.registry.serializers.catalogue import register_serializer
from artfs.registry.serializers.protocol import DumpNotes, Payload, Serializer
from artfs.registry.serializers.reading import deserialize
from artfs.registry.serializers.writing import serialize

__all__ = ["DumpNotes", "Payload", "Serializer", "deserialize", "register_serializer", "serialize"]
