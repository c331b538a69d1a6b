"""What tests of the registry share: a key of their own, a canary, and writing and reading payloads."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest

from artfs.registry.serializers import serialize
from artfs.registry.serializers.errors import PickleWarning
from fs.registry.registries import *  # noqa: F403
from payloads import Store, Stored


@pytest.fixture(autouse=True)
def own_key(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep the user's own key out of the tests."""
    file = tmp_path_factory.mktemp("keys") / "registry.key"
    monkeypatch.setenv("ARTFS_KEY_FILE", str(file))
    return file


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    """Return the path of a file that hostile payloads make if anything of theirs runs."""
    return tmp_path / "canary"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Return a function that serialises an object into a folder of its own."""
    count = iter(range(10_000))

    def stored(obj: Any, format_hint: str | None = None) -> Stored:
        folder = tmp_path / f"payload-{next(count)}"
        folder.mkdir()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PickleWarning)
            payload = serialize(obj, folder, format_hint)
        return Stored(payload, folder / payload.filename)

    return stored
