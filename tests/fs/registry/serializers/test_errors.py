"""Each error of payloads is the builtin that a caller would catch, and passes between processes."""

from __future__ import annotations

import pickle

import pytest

from artfs.registry.serializers import errors
from artstore.errors import ArtfsError


@pytest.mark.parametrize(
    ("name", "builtin"),
    [
        ("UntrustedError", PermissionError),
        ("UnserializableError", ValueError),
        ("UnknownFormatError", ValueError),
        ("MalformedPayloadError", ValueError),
        ("MissingLibraryError", ImportError),
        ("MissingLibraryError", ValueError),
        ("VersionMismatchError", ValueError),
    ],
)
def test_errors(name: str, builtin: type[Exception]) -> None:
    error = getattr(errors, name)("a sentence", hint="a remedy")
    assert isinstance(error, ArtfsError) and isinstance(error, builtin)
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), copy.hint) == (type(error), "a sentence", "a remedy")
