"""A warning names versions that differ, once for each library and loader."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from artfs.registry.serializers.errors import MalformedPayloadError, VersionMismatchError, VersionMismatchWarning
from payloads import Store


def test_the_versions_of_libraries_are_recorded(store: Store) -> None:
    versions = store(np.arange(3)).payload.versions
    assert versions["numpy"] == np.__version__
    assert {"python", "artfs"} <= set(versions)
    assert "__main__" not in versions and "builtins" not in versions


def test_a_minor_version_that_differs_is_said_once(store: Store) -> None:
    stored = store(np.arange(3))
    major, minor = np.__version__.split(".")[:2]
    then = {"numpy": f"{major}.{int(minor) + 1}.0", "absent-library": "1.0"}
    seen: set[str] = set()
    with pytest.warns(VersionMismatchWarning) as caught:
        stored.load(versions=then, seen=seen)
        stored.load(versions=then, seen=seen)
    assert len(caught) == 2
    assert {word for warning in caught for word in str(warning.message).split()} >= {"numpy", "absent-library"}
    with pytest.raises(VersionMismatchError) as raised:
        stored.load(versions=then, on_mismatch="error")
    assert then["numpy"] in str(raised.value) and np.__version__ in str(raised.value)
    assert len(stored.load(versions=then, on_mismatch="ignore")) == 3


def test_a_patch_that_differs_is_not_said(store: Store) -> None:
    stored = store(np.arange(3))
    major, minor = np.__version__.split(".")[:2]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stored.load(versions={"numpy": f"{major}.{minor}.99"}, on_mismatch="error")


def test_a_load_that_fails_names_both_versions(store: Store) -> None:
    stored = store({"a": 1})
    stored.file.write_bytes(b"{")
    with pytest.raises(VersionMismatchError) as raised:
        stored.load(content_hash="", versions={"numpy": "0.1"}, on_mismatch="ignore")
    assert "0.1" in str(raised.value) and np.__version__ in str(raised.value)
    with pytest.raises(MalformedPayloadError):
        stored.load(content_hash="")
