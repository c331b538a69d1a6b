"""Ours follow the protocol that users follow."""

from __future__ import annotations

import pytest

from artfs.registry.serializers import catalogue
from artfs.registry.serializers.protocol import Serializer, payload_name


@pytest.mark.parametrize("name", catalogue.names())
def test_ours_follow_the_protocol(name: str) -> None:
    serializer = catalogue.find(name)
    assert isinstance(serializer, Serializer)
    assert serializer.name == name
    assert payload_name(serializer.extension) == f"payload.{serializer.extension}"
