"""A payload is loaded only if it has its digest."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from artfs.registry.serializers.errors import (
    MalformedPayloadError,
    UnknownFormatError,
)
from artfs.registry.serializers.reading import trusted_names
from artstore.errors import DamageError, InvalidInputError
from payloads import Store


def test_flipped_and_truncated_payloads_are_damage(store: Store) -> None:
    """Any other bytes than those that were digested are refused, whatever they would decode to."""
    stored = store({"a": 1})
    data = stored.file.read_bytes()
    for changed in (data[:-1], data + b" ", bytes([data[0] ^ 1]) + data[1:], b""):
        stored.file.write_bytes(changed)
        with pytest.raises(DamageError):
            stored.load()
    stored.file.write_bytes(data)
    assert stored.load(content_hash=f"sha256:{hashlib.sha256(data).hexdigest()}") == {"a": 1}
    for kind in ("md5:00", "blake3:", "blake3", "BLAKE3:00", "sha256"):
        with pytest.raises(MalformedPayloadError):
            stored.load(content_hash=kind)


def test_invalid_arguments(store: Store) -> None:
    stored = store(1)
    with pytest.raises(InvalidInputError):
        stored.load(on_mismatch="loud")
    for trusted in (True, 1, [1], b"x", {"a": 1}):
        with pytest.raises(InvalidInputError):
            stored.load(trusted=trusted)
    stored.payload = stored.payload._replace(format="nonsense")
    with pytest.raises(UnknownFormatError):
        stored.load()


def test_trusted_names() -> None:
    """Types and functions stand for their full names, and one text is one name."""
    assert trusted_names("a.B") == {"a.B"}
    assert trusted_names([np.ndarray, "a.B", hashlib.sha256]) == {"numpy.ndarray", "a.B", "_hashlib.openssl_sha256"}
    assert trusted_names(dict) == {"builtins.dict"}
    assert trusted_names(()) == trusted_names([]) == frozenset()
